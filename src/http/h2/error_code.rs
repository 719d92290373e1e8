//! Why a stream or a connection ends (RFC 9113 §5.4, §7).

/// An error code. Those that this server does not know have no name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ErrorCode {
    /// No error: a graceful end.
    NoError = 0x0,
    /// A violation of the protocol.
    ProtocolError = 0x1,
    /// A fault of this server.
    InternalError = 0x2,
    /// A window was exceeded, or would be too large.
    FlowControlError = 0x3,
    /// SETTINGS were not acknowledged in time.
    SettingsTimeout = 0x4,
    /// A frame for a stream that the client has ended.
    StreamClosed = 0x5,
    /// A frame whose length is not valid.
    FrameSizeError = 0x6,
    /// The stream was not acted on.
    RefusedStream = 0x7,
    /// The stream is not needed any more.
    Cancel = 0x8,
    /// The state of field compression is lost.
    CompressionError = 0x9,
    /// The client causes too much work.
    EnhanceYourCalm = 0xb,
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The connection has to end.
    Connection(ErrorCode, &'static str),
    /// The stream with this number has to end.
    Stream(u32, ErrorCode, &'static str),
}

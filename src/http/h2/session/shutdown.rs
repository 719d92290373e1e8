//! The end of a connection that serves what was asked for (RFC 9113 §6.8).

use super::super::ErrorCode;
use super::super::frame::write;
use super::Session;

/// The number of the last stream in a GOAWAY that says only that the connection will end.
const ANY_STREAM: u32 = 0x7fff_ffff;

/// The content of the PING that follows such a GOAWAY.
pub(super) const SHUTDOWN_PING: [u8; 8] = *b"shutdown";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shutdown {
    /// There is none.
    No,
    /// The client knows that there will be one.
    Announced,
    /// Streams above this number are not acted on.
    After(u32),
}

impl Session {
    /// Announces the end of the connection: new streams are answered until the client knows (RFC 9113 §6.8).
    pub fn begin_shutdown(&mut self, out: &mut Vec<u8>) {
        if self.shutdown == Shutdown::No {
            self.shutdown = Shutdown::Announced;
            write::go_away(out, ANY_STREAM, ErrorCode::NoError);
            write::ping(out, SHUTDOWN_PING);
        }
    }

    /// Ends the connection for new streams: the client knows of it, or has had its time.
    pub fn end_shutdown(&mut self, out: &mut Vec<u8>) {
        if !matches!(self.shutdown, Shutdown::After(_)) {
            self.shutdown = Shutdown::After(self.last_stream);
            write::go_away(out, self.last_stream, ErrorCode::NoError);
        }
    }

    /// Returns whether a stream was opened too late: it is not acted on.
    pub(super) fn is_after_shutdown(&self, id: u32) -> bool {
        matches!(self.shutdown, Shutdown::After(last) if id > last)
    }

    /// Returns the highest number of a stream that was acted on. It does not grow after a GOAWAY has said it.
    pub(super) fn last_stream(&self) -> u32 {
        if let Shutdown::After(last) = self.shutdown { last } else { self.last_stream }
    }

    /// Returns whether the connection has ended: new streams are not acted on, and there are no others.
    pub fn has_ended(&self) -> bool {
        matches!(self.shutdown, Shutdown::After(_)) && self.streams.is_empty()
    }

    /// Returns whether new streams are not acted on.
    pub fn is_shut_down(&self) -> bool {
        matches!(self.shutdown, Shutdown::After(_))
    }

    /// Ends the connection with an error. No other GOAWAY follows, and the number of the last stream does not grow (RFC 9113 §6.8).
    pub fn go_away(&mut self, code: ErrorCode, out: &mut Vec<u8>) {
        let last = self.last_stream();
        self.shutdown = Shutdown::After(last);
        write::go_away(out, last, code);
    }
}

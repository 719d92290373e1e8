//! What is counted.

/// A counter or gauge of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Connections that were accepted.
    Accepted,
    /// Connections that were rejected with 503 because their client has reached --max-per-client.
    RejectedPerClient,
    /// Connections that ended without a request.
    Unused,
    /// Requests, and connections without one, that the access log has to account for.
    LogDue,
    /// Requests and connections with a record of their own.
    LogWritten,
    /// Requests and connections that were summarized.
    LogSummed,
    /// Requests and connections whose record was dropped: the journal was too slow.
    LogDropped,
    /// Dropped records that were reported in the log.
    LogReported,
    /// Dropped records that the worker has not reported yet.
    LogUnreported,
    /// Bytes of responses that the kernel has accepted.
    BytesSent,
    /// Requests whose response the kernel has not completely accepted.
    InFlight,
    /// Open connections.
    Connections,
    /// Parked connections.
    Parked,
    /// Request threads.
    Threads,
    /// The time of the last heartbeat, in milliseconds of CLOCK_MONOTONIC.
    Heartbeat,
    /// 1 while all request threads are busy.
    Saturated,
    /// 1 while the document root, or the directory of sites, does not exist or cannot be read.
    RootMissing,
    /// 1 while the path of the document root leads to a directory that the worker may not read.
    RootOutside,
    /// Workers that were ended by a signal; counted by the supervisor.
    Killed,
    /// Workers that exited unexpectedly; counted by the supervisor.
    Exited,
    /// Workers that were killed because they were hung; counted by the supervisor.
    Hung,
    /// Connections that were evicted for new ones.
    Evicted,
    /// Listening sockets that have failed.
    FailedListeners,
    /// Messages of the server that could not be logged.
    MessagesDropped,
    /// Notifications that systemd did not receive; counted by the supervisor.
    NotificationsDropped,
    /// Files that were read for the digest of their content.
    HashedFiles,
    /// Bytes that were read for digests.
    HashedBytes,
    /// Requests for which a precompressed variant was not used because it is not the file.
    RejectedVariants,
    /// Files that were compressed for the memory of the server.
    CompressedFiles,
    /// Bytes of these files.
    CompressedBytes,
    /// Requests that were answered with such a result.
    CompressedHits,
    /// Full TLS handshakes, of version 1.2.
    Tls12Full,
    /// TLS handshakes that resumed a session, of version 1.2.
    Tls12Resumed,
    /// Full TLS handshakes, of version 1.3.
    Tls13Full,
    /// TLS handshakes that resumed a session, of version 1.3.
    Tls13Resumed,
    /// TLS handshakes that ended with an alert of the client.
    TlsFailedAlert,
    /// TLS handshakes during which the client disconnected.
    TlsFailedClosed,
    /// TLS handshakes without common parameters.
    TlsFailedParameters,
    /// TLS handshakes that violated the protocol, or had too long a hello.
    TlsFailedMalformed,
    /// TLS handshakes for a name that no certificate has.
    TlsFailedName,
    /// Connections without TLS to a socket for TLS.
    TlsFailedNotTls,
    /// TLS handshakes without a common application protocol.
    TlsFailedAlpn,
    /// TLS handshakes for which the server had no signature, or failed otherwise.
    TlsFailedServer,
    /// TLS handshakes that did not end before their timeout.
    TlsFailedTimeout,
    /// Signatures by the key process.
    Signatures,
    /// Signatures that the key process did not make.
    SignaturesFailed,
    /// The time that threads waited for signatures, in nanoseconds.
    SignatureWaitNs,
    /// Requests of workers that the key process has refused; counted by the supervisor.
    KeyRequestsRefused,
    /// Sites of a directory of sites, without the one for all other hosts.
    Sites,
    /// 1 while a directory of sites has one for all other hosts.
    DefaultSite,
    /// Connections whose PROXY header has a wrong checksum.
    ProxyChecksum,
    /// Connections that ended before their PROXY header was complete.
    ProxyClosed,
    /// Connections whose PROXY header has an unknown command.
    ProxyCommand,
    /// Connections that do not begin with a PROXY header, on a socket that requires it.
    ProxyMalformed,
    /// Connections whose PROXY header did not arrive before the head timeout.
    ProxyTimeout,
    /// Connections whose PROXY header is too long.
    ProxyTooLong,
    /// Connections to a socket for the PROXY protocol that are not from a trusted proxy.
    ProxyUntrusted,
    /// Connections of HTTP/2.
    Http2Connections,
    /// Streams that clients have reset before their response was sent.
    Http2StreamsReset,
    /// Connections of HTTP/2 that were ended because the client has violated the protocol.
    Http2Errors,
    /// Connections of HTTP/2 that were ended because the client asked for too much work (ENHANCE_YOUR_CALM).
    Http2Abuse,
    /// Tasks of streams that took so long that another thread has driven the connection meanwhile.
    Http2TakenOver,
    /// 1 while the server stops; set by the supervisor.
    Stopping,
    /// When the disk of the document root has responded last, in milliseconds of CLOCK_MONOTONIC.
    RootAnswered,
    /// When a worker has last asked whether that disk responds, in milliseconds of CLOCK_MONOTONIC.
    RootAsked,
}

/// The reasons for which PROXY headers are rejected, as they are in metrics.
pub const PROXY_REJECTIONS: [(&str, Counter); 7] = [
    ("checksum", Counter::ProxyChecksum),
    ("closed", Counter::ProxyClosed),
    ("command", Counter::ProxyCommand),
    ("malformed", Counter::ProxyMalformed),
    ("timeout", Counter::ProxyTimeout),
    ("too_long", Counter::ProxyTooLong),
    ("untrusted", Counter::ProxyUntrusted),
];

/// The reasons for which TLS handshakes fail, as they are in metrics.
pub const HANDSHAKE_FAILURES: [(&str, Counter); 9] = [
    ("alert", Counter::TlsFailedAlert),
    ("alpn", Counter::TlsFailedAlpn),
    ("closed", Counter::TlsFailedClosed),
    ("malformed", Counter::TlsFailedMalformed),
    ("name", Counter::TlsFailedName),
    ("not_tls", Counter::TlsFailedNotTls),
    ("parameters", Counter::TlsFailedParameters),
    ("server", Counter::TlsFailedServer),
    ("timeout", Counter::TlsFailedTimeout),
];

/// The times: of several, the newest counts, also if it is of a worker that has ended.
pub(super) const TIMES: [Counter; 2] = [Counter::RootAnswered, Counter::RootAsked];

/// The gauges: their values end with the worker.
pub(super) const GAUGES: [Counter; 13] = [
    Counter::InFlight,
    Counter::Connections,
    Counter::Parked,
    Counter::Threads,
    Counter::Heartbeat,
    Counter::Saturated,
    Counter::LogUnreported,
    Counter::FailedListeners,
    Counter::RootMissing,
    Counter::RootOutside,
    Counter::Sites,
    Counter::DefaultSite,
    Counter::Stopping,
];

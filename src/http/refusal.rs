//! Why a request gets no file: one column for the client, one for the journal.

use super::Status;

/// A request that is answered with an error.
///
/// The client learns [`status`](Refusal::status) and nothing else about this machine. The journal gets the
/// [`Display`](std::fmt::Display) text, at debug level, except where [`is_server_fault`](Refusal::is_server_fault) says that the fault
/// is on this side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes are no request (RFC 9112 §3 to §5). The text says which rule they break.
    Malformed(&'static str),
    /// The method is one of HTTP's, and no file answers it (RFC 9110 §15.5.6).
    MethodNotAllowed,
    /// The method is none that HTTP has (RFC 9110 §15.6.2).
    UnknownMethod,
    /// The body is in a transfer coding that is not known here (RFC 9112 §6.1).
    UnknownCoding,
    /// The version has another major number than 1 (RFC 9110 §15.6.6).
    UnknownVersion,
    /// The body is longer than [`Limits::body_bytes`](super::Limits::body_bytes).
    LargeBody,
    /// The request line is longer than [`Limits::request_line_bytes`](super::Limits::request_line_bytes).
    LongRequestLine,
    /// It is so because of its method (RFC 9112 §3).
    LongMethod,
    /// The head is longer or has more fields than the [`Limits`](super::Limits) allow.
    LargeHead,
    /// The head did not arrive in time (RFC 9110 §15.5.9).
    SlowHead,
    /// Nothing is there.
    NotFound,
    /// It is there, in none of the codings that the client takes (RFC 9110 §15.5.7).
    NotAcceptable,
    /// Something is there that this server may not read.
    Unreadable,
    /// The path leaves the document root, by a link or by `..`.
    OutsideRoot,
    /// What is there is neither a regular file nor a directory.
    NotAFile,
    /// The document root is not there at the moment.
    NoRoot,
    /// This process is out of descriptors or memory; the error number says which.
    Exhausted(i32),
    /// Too many threads wait for a disk already. The text says by whose fault.
    Blocked(&'static str),
    /// The listings that are on their way to clients take as much memory as they may.
    ListingsFull,
    /// The file system failed; the error number says how.
    Disk(i32),
    /// The file changed while it was read, so that no answer would be true.
    Changed,
}

impl Refusal {
    /// What the client gets.
    pub fn status(&self) -> Status {
        match self {
            Refusal::Malformed(_) => Status::BadRequest,
            Refusal::MethodNotAllowed => Status::MethodNotAllowed,
            Refusal::UnknownMethod | Refusal::UnknownCoding | Refusal::LongMethod => Status::NotImplemented,
            Refusal::UnknownVersion => Status::HttpVersionNotSupported,
            Refusal::LargeBody => Status::ContentTooLarge,
            Refusal::LongRequestLine => Status::UriTooLong,
            Refusal::LargeHead => Status::RequestHeaderFieldsTooLarge,
            Refusal::SlowHead => Status::RequestTimeout,
            Refusal::NotFound => Status::NotFound,
            Refusal::NotAcceptable => Status::NotAcceptable,
            Refusal::Unreadable | Refusal::OutsideRoot | Refusal::NotAFile => Status::Forbidden,
            Refusal::NoRoot | Refusal::Exhausted(_) | Refusal::Blocked(_) | Refusal::ListingsFull => {
                Status::ServiceUnavailable
            }
            Refusal::Disk(_) | Refusal::Changed => Status::InternalServerError,
        }
    }

    /// Whether the fault is this side's, so that an admin should hear of it.
    pub fn is_server_fault(&self) -> bool {
        matches!(
            self,
            Refusal::Exhausted(_) | Refusal::Blocked(_) | Refusal::ListingsFull | Refusal::Disk(_) | Refusal::Changed
        )
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Refusal::Malformed(why) | Refusal::Blocked(why) => why,
            Refusal::MethodNotAllowed => "a file does not answer the method",
            Refusal::UnknownMethod => "the method is none of HTTP's",
            Refusal::UnknownCoding => "the body is in a transfer coding that is not known here",
            Refusal::UnknownVersion => "the version is not one of HTTP/1",
            Refusal::LargeBody => "the body is too long",
            Refusal::LongRequestLine => "the request line is too long",
            Refusal::LongMethod => "the method is too long",
            Refusal::LargeHead => "the head is too large or has too many fields",
            Refusal::SlowHead => "the head did not arrive in time",
            Refusal::NotFound => "nothing is there",
            Refusal::NotAcceptable => "it is there in no coding that the client takes",
            Refusal::Unreadable => "the file is not readable for this server's user",
            Refusal::OutsideRoot => "the path leaves the document root",
            Refusal::NotAFile => "what is there is neither a regular file nor a directory",
            Refusal::NoRoot => "the document root is not there",
            Refusal::ListingsFull => "the listings that are being sent take as much memory as they may",
            Refusal::Exhausted(errno) | Refusal::Disk(errno) => {
                return std::io::Error::from_raw_os_error(*errno).fmt(f);
            }
            Refusal::Changed => "the file changed while it was read",
        };
        f.write_str(text)
    }
}

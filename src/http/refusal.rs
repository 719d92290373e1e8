//! The reasons for an error response: a status for the client, a text for the journal.

use super::{Field, Status};

/// The reason for an error response.
///
/// The client gets the [`status`](Refusal::status) and no other information about this machine. The journal gets the
/// [`Display`](std::fmt::Display) text, at debug level unless it is a [server fault](Refusal::is_server_fault).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// 400: the request is malformed (RFC 9112 §3 to §5). The text names the violated rule.
    Malformed(&'static str),
    /// 400: the client speaks HTTP without TLS on a socket for TLS.
    NeedsTls,
    /// 405: HTTP defines the method, and files do not support it (RFC 9110 §15.5.6).
    MethodNotAllowed,
    /// 501: HTTP does not define the method (RFC 9110 §15.6.2).
    UnknownMethod,
    /// 501: the body is in a transfer coding that this server does not support (RFC 9112 §6.1).
    UnknownCoding,
    /// 505: the major version is not 1 (RFC 9110 §15.6.6).
    UnknownVersion,
    /// 413: the body is longer than [`Limits::body_bytes`](super::Limits::body_bytes).
    LargeBody,
    /// 414: the request line is longer than [`Limits::request_line_bytes`](super::Limits::request_line_bytes).
    LongRequestLine,
    /// 501: the request line is that long because of its method (RFC 9112 §3).
    LongMethod,
    /// 421: the certificate of the connection does not have the host, and another one does (RFC 9110 §15.5.20).
    Misdirected,
    /// 421: there is no site of the host (RFC 9110 §15.5.20).
    NoSite,
    /// 404: the request names no host, which HTTP/1.0 allows, and there is no site for that.
    NoHost,
    /// 431: the head is longer or has more fields than the [`Limits`](super::Limits) allow.
    LargeHead,
    /// 408: the head did not arrive in time (RFC 9110 §15.5.9).
    SlowHead,
    /// 404: nothing exists at the path.
    NotFound,
    /// 406: the file exists, but in no content coding that the client accepts (RFC 9110 §15.5.7).
    NotAcceptable,
    /// 403: the server has no permission to read the file or directory.
    Unreadable,
    /// 403: the path leaves the document root by a symbolic link.
    OutsideRoot,
    /// 503: the client has as many requests in flight as it may have.
    ClientAtLimit,
    /// 403: a rule of `--allow` is for the path, and for networks that the client's address is not in.
    OtherNetwork,
    /// 403: a rule of `--allow` is for the path, and the client has no address.
    NoAddress,
    /// 401: the path is for users, and the request has no credentials (RFC 9110 §15.5.2).
    NeedsLogin {
        /// The name of the area.
        realm: Box<str>,
    },
    /// 401: the password is not that of the user, or there is no such user.
    WrongLogin {
        /// The name of the area.
        realm: Box<str>,
    },
    /// 403: the path is for users, and a password would be sent without encryption over a public network.
    ClearLogin,
    /// 429: the client has sent too many wrong passwords (RFC 6585 §4).
    TooManyLogins {
        /// The time in seconds after which it may try again.
        retry_s: u32,
    },
    /// 503: too many passwords are being compared.
    LoginsBusy,
    /// 503: the file of users cannot be read, or the login process does not respond.
    LoginsUnavailable,
    /// 503: a reload has changed who gets what since the connection was accepted.
    Outdated,
    /// 403: the path has a password in `_headers`, which this server does not check.
    PasswordInRules,
    /// 403: the path leads to something other than a regular file or a directory.
    NotAFile,
    /// 503: the document root does not exist at the moment.
    NoRoot,
    /// 503: the document root was replaced while something was looked for in it, each time that it was tried.
    Replaced,
    /// 503: a file with rules exists and cannot be used, and there are no former rules: they may say who gets what.
    NoRules,
    /// 503: this process has no file descriptor or memory left; the error number tells which.
    Exhausted(i32),
    /// 503: too many threads already wait for a disk. The text names the limit that is reached.
    Blocked(&'static str),
    /// 503: the listings that are being sent have reached their memory limit.
    ListingsFull,
    /// 500: the file system failed; the error number tells how.
    Disk(i32),
    /// 500: the file changed while it was read, so that no response would be correct.
    Changed,
}

impl Refusal {
    /// Returns the status of the response.
    pub fn status(&self) -> Status {
        match self {
            Refusal::Malformed(_) | Refusal::NeedsTls => Status::BadRequest,
            Refusal::MethodNotAllowed => Status::MethodNotAllowed,
            Refusal::UnknownMethod | Refusal::UnknownCoding | Refusal::LongMethod => Status::NotImplemented,
            Refusal::UnknownVersion => Status::HttpVersionNotSupported,
            Refusal::LargeBody => Status::ContentTooLarge,
            Refusal::LongRequestLine => Status::UriTooLong,
            Refusal::Misdirected | Refusal::NoSite => Status::MisdirectedRequest,
            Refusal::LargeHead => Status::RequestHeaderFieldsTooLarge,
            Refusal::SlowHead => Status::RequestTimeout,
            Refusal::NotFound | Refusal::NoHost => Status::NotFound,
            Refusal::NotAcceptable => Status::NotAcceptable,
            Refusal::Unreadable | Refusal::OutsideRoot | Refusal::NotAFile => Status::Forbidden,
            Refusal::OtherNetwork | Refusal::NoAddress | Refusal::ClearLogin | Refusal::PasswordInRules => {
                Status::Forbidden
            }
            Refusal::NeedsLogin { .. } | Refusal::WrongLogin { .. } => Status::Unauthorized,
            Refusal::TooManyLogins { .. } => Status::TooManyRequests,
            Refusal::LoginsBusy | Refusal::LoginsUnavailable | Refusal::Outdated => Status::ServiceUnavailable,
            Refusal::NoRoot
            | Refusal::ClientAtLimit
            | Refusal::NoRules
            | Refusal::Replaced
            | Refusal::Exhausted(_)
            | Refusal::Blocked(_)
            | Refusal::ListingsFull => Status::ServiceUnavailable,
            Refusal::Disk(_) | Refusal::Changed => Status::InternalServerError,
        }
    }

    /// Returns the field that belongs to the response, besides those of its status.
    pub fn field(&self) -> Option<Field<'static>> {
        match self {
            Refusal::NeedsLogin { realm } | Refusal::WrongLogin { realm } => {
                Some(Field::WwwAuthenticate(realm.clone()))
            }
            Refusal::TooManyLogins { retry_s } => Some(Field::RetryAfter(*retry_s)),
            _ => None,
        }
    }

    /// Returns whether the fault is the server's, so that it is logged for the admin.
    pub fn is_server_fault(&self) -> bool {
        matches!(
            self,
            Refusal::Exhausted(_)
                | Refusal::Blocked(_)
                | Refusal::ListingsFull
                | Refusal::LoginsBusy
                | Refusal::LoginsUnavailable
                | Refusal::Disk(_)
                | Refusal::Changed
        )
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Refusal::Malformed(why) | Refusal::Blocked(why) => why,
            Refusal::NeedsTls => "the client speaks HTTP without TLS on a socket for HTTPS",
            Refusal::MethodNotAllowed => "files do not support the method",
            Refusal::UnknownMethod => "HTTP does not define the method",
            Refusal::UnknownCoding => "the transfer coding of the body is not supported",
            Refusal::UnknownVersion => "the protocol version is not HTTP/1",
            Refusal::LargeBody => "the body is too long",
            Refusal::LongRequestLine => "the request line is too long",
            Refusal::LongMethod => "the method is too long",
            Refusal::Misdirected => "the certificate of the connection does not have the host, and another one does",
            Refusal::NoSite => "there is no site of the host",
            Refusal::NoHost => "the request names no host, and there is no site for that",
            Refusal::LargeHead => "the head is too large or has too many fields",
            Refusal::SlowHead => "the head did not arrive in time",
            Refusal::NotFound => "nothing exists at the path",
            Refusal::NotAcceptable => "the file exists in no content coding that the client accepts",
            Refusal::Unreadable => "the server's user has no permission to read it",
            Refusal::OutsideRoot => "the path leaves the document root",
            Refusal::ClientAtLimit => "the client reached --max-per-client",
            Refusal::OtherNetwork => "--allow gives the path to other networks",
            Refusal::NoAddress => "--allow gives the path to networks, and the client has no address",
            Refusal::NeedsLogin { .. } => "the path is for users of --auth",
            Refusal::WrongLogin { .. } => "the password is wrong, or there is no such user",
            Refusal::ClearLogin => "a password would be sent without encryption",
            Refusal::TooManyLogins { .. } => "the client has sent too many wrong passwords",
            Refusal::LoginsBusy => "too many passwords are being compared",
            Refusal::LoginsUnavailable => "the file of users cannot be read, or the login process does not respond",
            Refusal::Outdated => "a reload has changed the settings of access, and the connection is of before",
            Refusal::PasswordInRules => "_headers has a password for the path (Basic-Auth): use --auth",
            Refusal::NotAFile => "the path leads neither to a regular file nor to a directory",
            Refusal::NoRoot => "the document root does not exist",
            Refusal::Replaced => "the document root is replaced again and again",
            Refusal::NoRules => "the rules of the site cannot be used",
            Refusal::ListingsFull => "the listings that are being sent have reached their memory limit",
            Refusal::Exhausted(errno) | Refusal::Disk(errno) => {
                return std::io::Error::from_raw_os_error(*errno).fmt(f);
            }
            Refusal::Changed => "the file changed while it was read",
        };
        f.write_str(text)
    }
}

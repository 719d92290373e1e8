//! The reasons why a session fails.

use rustls::Error;

use crate::ipc::key_protocol::SignFailure;
use crate::ipc::scoreboard::Counter;

/// The reason why a session has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The client has sent no TLS.
    NotTls,
    /// The ClientHello is longer than [`MAX_HELLO`](super::session::MAX_HELLO).
    LargeHello,
    /// The name of the client belongs to no certificate.
    UnknownName,
    /// There is no common application protocol.
    NoProtocol,
    /// There is no common version, cipher, group or signature scheme.
    NoCommonParameters,
    /// The client has sent an alert, with its description (RFC 8446 §6).
    Alert(u8),
    /// The client has violated the protocol.
    Malformed,
    /// The key process made no signature.
    NoSignature,
    /// The key process no longer has the key of the certificate.
    UnknownKey,
    /// An internal error.
    Internal,
}

impl Failure {
    /// Classifies an error of rustls.
    pub fn of(error: &Error) -> Failure {
        match error {
            Error::NoApplicationProtocol => Failure::NoProtocol,
            Error::PeerIncompatible(_) => Failure::NoCommonParameters,
            Error::AlertReceived(alert) => Failure::Alert(u8::from(*alert)),
            Error::Other(error) => match error.0.downcast_ref() {
                Some(SignFailure::UnknownKey) => Failure::UnknownKey,
                Some(_) => Failure::NoSignature,
                None => Failure::Malformed,
            },
            Error::General(_) | Error::EncryptError | Error::FailedToGetCurrentTime | Error::FailedToGetRandomBytes => {
                Failure::Internal
            }
            _ => Failure::Malformed,
        }
    }

    /// Returns the counter of the failure.
    pub fn counter(self) -> Counter {
        match self {
            Failure::NotTls => Counter::TlsFailedNotTls,
            Failure::LargeHello | Failure::Malformed => Counter::TlsFailedMalformed,
            Failure::UnknownName => Counter::TlsFailedName,
            Failure::NoProtocol => Counter::TlsFailedAlpn,
            Failure::NoCommonParameters => Counter::TlsFailedParameters,
            Failure::Alert(_) => Counter::TlsFailedAlert,
            Failure::NoSignature | Failure::UnknownKey | Failure::Internal => Counter::TlsFailedServer,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Failure::NotTls => "the client has sent no TLS",
            Failure::LargeHello => "the TLS hello of the client is too long",
            Failure::UnknownName => "no certificate has the name that the client sent",
            Failure::NoProtocol => "the client supports none of the server's application protocols",
            Failure::NoCommonParameters => "client and server have no TLS version, cipher or signature in common",
            Failure::Alert(alert) => return write!(f, "the client has ended the TLS connection with alert {alert}"),
            Failure::Malformed => "the client has violated the TLS protocol",
            Failure::NoSignature => "the key process made no signature",
            Failure::UnknownKey => "the key process no longer has the key of the certificate",
            Failure::Internal => "TLS has failed in the server",
        })
    }
}

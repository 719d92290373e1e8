//! The frames of the protocol: each is one message of a SOCK_SEQPACKET socket (unix(7)). Numbers are little-endian.

pub(in crate::ipc) mod fields;

use super::{Certificate, KeyId, MAX_CHAIN_BYTES, MAX_MESSAGE_BYTES, Overview, Role};
use fields::{Reader, Writer};

/// The largest frame, in bytes. A certificate has its chain, and its names are a part of the chain.
pub const MAX_FRAME_BYTES: usize = 2 * MAX_CHAIN_BYTES + 8 * 1024;

/// The longest signature, in bytes: that of an RSA key with 8192 bits.
const MAX_SIGNATURE_BYTES: usize = 1024;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The first frame of a connection, which has no response. The supervisor sends it before a worker has the connection.
    Hello {
        /// What the connection is for.
        role: Role,
        /// The process that will use it: violations are reported with this number.
        tag: u64,
    },
    /// Requests the number of the certificates if their generation is not `known`.
    Catalog {
        /// A generation, or 0.
        known: u64,
    },
    /// Requests the certificate number `index` of a generation.
    Certificate {
        /// The generation.
        generation: u64,
        /// A number from 0.
        index: u32,
    },
    /// Requests a signature.
    Sign {
        /// The key.
        id: KeyId,
        /// The TLS SignatureScheme.
        scheme: u16,
        /// The message, which the key process hashes.
        message: Vec<u8>,
    },
    /// Requests the overview of the folder number `index`.
    Overview {
        /// A number from 0.
        index: u32,
    },
}

/// What the key process sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// The generation of the certificates is the known one.
    Unchanged,
    /// The generation of the certificates, and their number.
    Summary {
        /// The generation.
        generation: u64,
        /// The number of certificates.
        count: u32,
    },
    /// A certificate.
    Certificate(Certificate),
    /// There is no such certificate, folder or key, or it is one of another generation.
    Missing,
    /// A signature.
    Signature(Vec<u8>),
    /// The overview of a folder.
    Overview(Overview),
    /// Without a request: the certificates have changed. For the supervisor.
    Changed,
    /// Without a request: the process with this tag has sent what no worker sends. For the supervisor.
    Violation {
        /// The tag of the connection.
        tag: u64,
    },
}

/// Returns the version of the protocol in a [`Request::Hello`] of another version, whose other bytes mean nothing here.
pub fn other_version(frame: &[u8]) -> Option<u8> {
    let mut reader = Reader(frame);
    let (kind, _number, version) = (reader.u8()?, reader.u32()?, reader.u8()?);
    (kind == HELLO && version != VERSION).then_some(version)
}

impl Request {
    /// Returns the frame of this request, with `number`, which the response repeats.
    pub fn encode(&self, number: u32) -> Vec<u8> {
        match self {
            Request::Hello { role, tag } => Writer::new(HELLO, number).u8(VERSION).u8(role.code()).u64(*tag),
            Request::Catalog { known } => Writer::new(2, number).u64(*known),
            Request::Certificate { generation, index } => Writer::new(3, number).u64(*generation).u32(*index),
            Request::Sign { id, scheme, message } => {
                Writer::new(4, number).raw(id).u16(*scheme).bytes(message.get(..MAX_MESSAGE_BYTES).unwrap_or(message))
            }
            Request::Overview { index } => Writer::new(5, number).u32(*index),
        }
        .0
    }

    /// Parses a frame. Returns none if it is not exactly one request.
    pub fn decode(frame: &[u8]) -> Option<(u32, Self)> {
        let mut reader = Reader(frame);
        let (kind, number) = (reader.u8()?, reader.u32()?);
        let request = match kind {
            HELLO => {
                (reader.u8()? == VERSION).then_some(())?;
                Request::Hello { role: Role::from_code(reader.u8()?)?, tag: reader.u64()? }
            }
            2 => Request::Catalog { known: reader.u64()? },
            3 => Request::Certificate { generation: reader.u64()?, index: reader.u32()? },
            4 => Request::Sign {
                id: reader.array()?,
                scheme: reader.u16()?,
                message: reader.bytes(MAX_MESSAGE_BYTES)?.to_vec(),
            },
            5 => Request::Overview { index: reader.u32()? },
            _ => return None,
        };
        reader.0.is_empty().then_some((number, request))
    }
}

impl Response {
    /// Returns the frame of this response to the request with `number`; 0 without a request.
    pub fn encode(&self, number: u32) -> Vec<u8> {
        match self {
            Response::Unchanged => Writer::new(0x81, number),
            Response::Summary { generation, count } => Writer::new(0x82, number).u64(*generation).u32(*count),
            Response::Certificate(certificate) => Writer::new(0x83, number).certificate(certificate),
            Response::Missing => Writer::new(0x84, number),
            Response::Signature(signature) => Writer::new(0x85, number).bytes(signature),
            Response::Overview(overview) => Writer::new(0x86, number).overview(overview),
            Response::Changed => Writer::new(0x91, number),
            Response::Violation { tag } => Writer::new(0x92, number).u64(*tag),
        }
        .0
    }

    /// Parses a frame. Returns none if it is not exactly one response.
    pub fn decode(frame: &[u8]) -> Option<(u32, Self)> {
        let mut reader = Reader(frame);
        let (kind, number) = (reader.u8()?, reader.u32()?);
        let response = match kind {
            0x81 => Response::Unchanged,
            0x82 => Response::Summary { generation: reader.u64()?, count: reader.u32()? },
            0x83 => Response::Certificate(reader.certificate()?),
            0x84 => Response::Missing,
            0x85 => Response::Signature(reader.bytes(MAX_SIGNATURE_BYTES)?.to_vec()),
            0x86 => Response::Overview(reader.overview()?),
            0x91 => Response::Changed,
            0x92 => Response::Violation { tag: reader.u64()? },
            _ => return None,
        };
        reader.0.is_empty().then_some((number, response))
    }
}

/// The kind of a [`Request::Hello`]. Like the place of the version behind it, it never changes.
const HELLO: u8 = 1;

/// The version of the protocol.
pub const VERSION: u8 = 1;

impl Role {
    fn code(self) -> u8 {
        match self {
            Role::Supervisor => 1,
            Role::Worker => 2,
            Role::Check => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Role::Supervisor, Role::Worker, Role::Check].into_iter().find(|role| role.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::key_protocol::KeyKind;
    use crate::ipc::strict_frames::check_strict;

    fn requests() -> Vec<Request> {
        vec![
            Request::Hello { role: Role::Worker, tag: 1 << 40 },
            Request::Catalog { known: 7 },
            Request::Certificate { generation: 7, index: 2 },
            Request::Sign { id: [9; 32], scheme: 0x0403, message: vec![b' '; 130] },
            Request::Overview { index: 3 },
        ]
    }

    fn responses() -> Vec<Response> {
        let certificate = Certificate {
            id: [3; 32],
            key: KeyKind::Rsa,
            chain: vec![vec![1; 900], vec![2; 1200]],
            names: vec!["example.org".into(), "*.example.org".into()],
            not_before: -5,
            not_after: i64::MAX,
            is_default: true,
            folder: "example.org".into(),
        };
        let overview = Overview {
            folder: "x".into(),
            names: vec!["a".into()],
            issuer: "CN=CA".into(),
            key: "RSA 2048".into(),
            not_before: 1,
            not_after: 2,
            is_usable: false,
            faults: vec!["It does not fit.".into()],
        };
        vec![
            Response::Unchanged,
            Response::Summary { generation: 1, count: 2 },
            Response::Certificate(certificate),
            Response::Missing,
            Response::Signature(vec![1; 72]),
            Response::Overview(overview),
            Response::Changed,
            Response::Violation { tag: 4 },
        ]
    }

    #[test]
    fn frames_are_read_as_they_were_written_and_in_no_other_form() {
        for request in requests() {
            let frame = request.encode(77);
            assert_eq!(Request::decode(&frame), Some((77, request)));
            check_strict(&frame, Request::decode);
            assert_eq!(Response::decode(&frame), None, "the other direction");
        }
        for response in responses() {
            let frame = response.encode(78);
            assert_eq!(Response::decode(&frame), Some((78, response)));
            check_strict(&frame, Response::decode);
            assert_eq!(Request::decode(&frame), None, "the other direction");
        }
    }

    #[test]
    fn each_length_has_a_limit_and_a_text_no_control_character() {
        let sign = |length| Writer::new(4, 1).raw(&[0; 32]).u16(0x0403).bytes(&vec![0; length]).0;
        assert!(Request::decode(&sign(MAX_MESSAGE_BYTES)).is_some());
        assert!(Request::decode(&sign(MAX_MESSAGE_BYTES + 1)).is_none());
        let signature = |length| Response::Signature(vec![0; length]).encode(1);
        assert!(Response::decode(&signature(MAX_SIGNATURE_BYTES)).is_some());
        assert!(Response::decode(&signature(MAX_SIGNATURE_BYTES + 1)).is_none());
        for text in ["x\nMAINPID=1", "a\0", "\x1b[2J", "\u{9b}2J", "\u{7f}"] {
            let overview = Overview { folder: text.into(), ..Overview::default() };
            assert!(Response::decode(&Response::Overview(overview).encode(1)).is_none(), "{text:?}");
        }
        let mut overview = Writer::new(0x86, 1).bytes(b"folder").0;
        overview.extend_from_slice(&u16::MAX.to_le_bytes());
        assert!(Response::decode(&overview).is_none(), "names that are not there");
    }
}

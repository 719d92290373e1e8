//! Frames: a kind, a number that the response repeats, and fields.

use std::net::{IpAddr, Ipv6Addr};

use zeroize::Zeroizing;

use crate::access::credentials::{MAX_PASSWORD_BYTES, MAX_USER_BYTES};
use crate::ipc::key_protocol::frame::fields::{Reader, Writer};

/// Longer than any frame, in bytes.
pub const MAX_FRAME_BYTES: usize = 2 * 1024;

/// What a worker requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Whether a password is that of a user.
    Verify {
        /// The number of the file of users.
        file: u16,
        /// The client that has sent them; none for one of a unix socket.
        client: Option<IpAddr>,
        /// The user name.
        user: Vec<u8>,
        /// The password.
        password: Zeroizing<Vec<u8>>,
    },
    /// The present generation of a file.
    Confirm {
        /// The number of the file of users.
        file: u16,
    },
}

/// What the login process responds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// The password is that of the user, by this generation of the file.
    Accepted {
        /// The generation.
        generation: u64,
    },
    /// It is not, or there is no such user.
    Rejected,
    /// The client has failed too often.
    TooMany {
        /// The time in seconds after which it may try again.
        retry_s: u32,
    },
    /// As many passwords are being compared as there can be, and as many wait.
    Busy,
    /// The file cannot be read.
    Unreadable,
    /// The present generation of the file; 0 if it cannot be read.
    Current {
        /// The generation.
        generation: u64,
    },
}

impl Request {
    /// Returns the frame of this request, with `number`.
    pub fn encode(&self, number: u32) -> Zeroizing<Vec<u8>> {
        let frame = match self {
            Request::Verify { file, client, user, password } => {
                let address = match client {
                    Some(IpAddr::V4(address)) => address.to_ipv6_mapped().octets(),
                    Some(IpAddr::V6(address)) => address.octets(),
                    None => [0; 16],
                };
                Writer::new(1, number).u16(*file).u8(client.is_some().into()).raw(&address).bytes(user).bytes(password)
            }
            Request::Confirm { file } => Writer::new(2, number).u16(*file),
        };
        Zeroizing::new(frame.0)
    }

    /// Parses a frame. Returns none if it is not exactly one request.
    pub fn decode(frame: &[u8]) -> Option<(u32, Self)> {
        let mut reader = Reader(frame);
        let (kind, number) = (reader.u8()?, reader.u32()?);
        let request = match kind {
            1 => {
                let file = reader.u16()?;
                let (has_address, address) = (reader.bool()?, Ipv6Addr::from(reader.array()?));
                let client = has_address.then(|| IpAddr::from(address).to_canonical());
                let user = reader.bytes(MAX_USER_BYTES)?.to_vec();
                let password = Zeroizing::new(reader.bytes(MAX_PASSWORD_BYTES)?.to_vec());
                Request::Verify { file, client, user, password }
            }
            2 => Request::Confirm { file: reader.u16()? },
            _ => return None,
        };
        reader.0.is_empty().then_some((number, request))
    }
}

impl Response {
    /// Returns the frame of this response to the request with `number`.
    pub fn encode(&self, number: u32) -> Vec<u8> {
        match self {
            Response::Accepted { generation } => Writer::new(0x81, number).u64(*generation),
            Response::Rejected => Writer::new(0x82, number),
            Response::TooMany { retry_s } => Writer::new(0x83, number).u32(*retry_s),
            Response::Busy => Writer::new(0x84, number),
            Response::Unreadable => Writer::new(0x85, number),
            Response::Current { generation } => Writer::new(0x86, number).u64(*generation),
        }
        .0
    }

    /// Parses a frame. Returns none if it is not exactly one response.
    pub fn decode(frame: &[u8]) -> Option<(u32, Self)> {
        let mut reader = Reader(frame);
        let (kind, number) = (reader.u8()?, reader.u32()?);
        let response = match kind {
            0x81 => Response::Accepted { generation: reader.u64()? },
            0x82 => Response::Rejected,
            0x83 => Response::TooMany { retry_s: reader.u32()? },
            0x84 => Response::Busy,
            0x85 => Response::Unreadable,
            0x86 => Response::Current { generation: reader.u64()? },
            _ => return None,
        };
        reader.0.is_empty().then_some((number, response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::strict_frames::check_strict;

    fn requests() -> Vec<Request> {
        let verify = |client: Option<&str>, user: &[u8], password: &[u8]| Request::Verify {
            file: 3,
            client: client.map(|client| client.parse().unwrap()),
            user: user.into(),
            password: Zeroizing::new(password.into()),
        };
        vec![
            verify(Some("192.0.2.1"), b"user", b"password"),
            verify(Some("2001:db8::"), &[b'u'; MAX_USER_BYTES], &[b'p'; MAX_PASSWORD_BYTES]),
            verify(None, b"", b""),
            Request::Confirm { file: u16::MAX },
        ]
    }

    #[test]
    fn frames_are_read_as_they_were_written_and_in_no_other_form() {
        for request in requests() {
            let frame = request.encode(77);
            assert_eq!(Request::decode(&frame), Some((77, request)));
            assert!(frame.len() <= MAX_FRAME_BYTES);
            check_strict(&frame, Request::decode);
            assert_eq!(Response::decode(&frame), None, "the other direction");
        }
        for response in [
            Response::Accepted { generation: u64::MAX },
            Response::Rejected,
            Response::TooMany { retry_s: 30 },
            Response::Busy,
            Response::Unreadable,
            Response::Current { generation: 0 },
        ] {
            let frame = response.encode(78);
            assert_eq!(Response::decode(&frame), Some((78, response)));
            assert!(frame.len() <= MAX_FRAME_BYTES);
            check_strict(&frame, Response::decode);
            assert_eq!(Request::decode(&frame), None, "the other direction");
        }
    }

    #[test]
    fn each_length_has_a_limit() {
        let verify = |user: usize, password: usize| {
            let writer = Writer::new(1, 1).u16(0).u8(0).raw(&[0; 16]).bytes(&vec![b'u'; user]);
            Request::decode(&writer.bytes(&vec![b'p'; password]).0).is_some()
        };
        assert!(verify(MAX_USER_BYTES, MAX_PASSWORD_BYTES));
        assert!(!verify(MAX_USER_BYTES + 1, 0) && !verify(0, MAX_PASSWORD_BYTES + 1));
    }
}

//! Session tickets: each holds the secrets of its session, encrypted, so that any worker resumes it and none has to store it.
//!
//! Layout: the name of the key, a random nonce, the encrypted session, the tag (AES-256-GCM). Keys are read for each
//! ticket, and wiped after it: so they are neither in the heap of a worker nor in its core dumps.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use rustls::server::ProducesTickets;

use crate::ipc::ticket_keys::{LIFETIME_SECONDS, NAME_BYTES, TicketKey, TicketKeyReader};

/// The maximum length of a ticket, in bytes. Names have at most 255 bytes, secrets 48.
const MAX_TICKET: usize = 1024;

/// The version in a session of TLS 1.2.
const TLS12: [u8; 2] = [3, 3];

/// Encrypts and decrypts tickets.
#[derive(Debug)]
pub struct Tickets {
    keys: &'static TicketKeyReader,
}

impl Tickets {
    /// Creates tickets with `keys`.
    pub fn new(keys: &'static TicketKeyReader) -> Self {
        Tickets { keys }
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECONDS
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        if is_unbound(session)? {
            return None;
        }
        let key = self.keys.current()?;
        let mut encrypted = session.to_vec();
        let nonce = cipher(&key)?.seal_in_place_append_tag(Aad::from(key.name), &mut encrypted).ok()?;
        let ticket = [&key.name, &nonce.as_ref()[..], &encrypted].concat();
        (ticket.len() <= MAX_TICKET).then_some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > MAX_TICKET {
            return None;
        }
        let (name, rest) = ticket.split_at_checked(NAME_BYTES)?;
        let (nonce, encrypted) = rest.split_at_checked(NONCE_LEN)?;
        let key = self.keys.find(name)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut session = encrypted.to_vec();
        let length = cipher(&key)?.open_in_place(nonce, Aad::from(key.name), &mut session).ok()?.len();
        session.truncate(length);
        Some(session)
    }
}

fn cipher(key: &TicketKey) -> Option<RandomizedNonceKey> {
    RandomizedNonceKey::new(&AES_256_GCM, &*key.key).ok()
}

/// Returns whether a session of TLS 1.2 has no extended master secret: it is not bound to its handshake, so that an attacker
/// between client and server could resume it as another one (RFC 7627 §1). rustls encodes a session as: whether there is
/// a name, the name, version, cipher, secret, whether that is extended. Returns none for another encoding.
fn is_unbound(session: &[u8]) -> Option<bool> {
    let (has_name, mut rest) = session.split_first()?;
    if *has_name == 1 {
        rest = after_vector(rest)?;
    }
    let (version, rest) = rest.split_at_checked(2)?;
    let (_cipher, rest) = rest.split_at_checked(2)?;
    let is_extended = *after_vector(rest)?.first()?;
    Some(version == TLS12 && is_extended != 1)
}

/// Returns the bytes after a vector whose length is in its first byte.
fn after_vector(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first()?;
    rest.get(usize::from(*length)..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::ticket_keys::TicketKeys;

    /// A session of rustls, as far as it matters.
    fn session(name: Option<&str>, version: [u8; 2], is_extended: u8) -> Vec<u8> {
        let name = name.map_or(vec![0], |name| [&[1, name.len() as u8], name.as_bytes()].concat());
        [&name[..], &version, &[0x13, 1], &[3, 7, 7, 7], &[is_extended, 0, 0]].concat()
    }

    fn tickets(keys: &TicketKeys) -> Tickets {
        Tickets::new(Box::leak(Box::new(keys.reader().unwrap())))
    }

    #[test]
    fn a_ticket_is_decrypted_by_another_worker_and_only_if_it_is_unchanged() {
        let keys = TicketKeys::new(0).unwrap();
        let session = session(Some("example.org"), [3, 4], 0);
        let ticket = tickets(&keys).encrypt(&session).unwrap();
        assert!(!ticket.windows(4).any(|bytes| bytes == [3, 7, 7, 7]));
        let other = tickets(&keys);
        assert_eq!(other.decrypt(&ticket), Some(session.clone()));
        assert_ne!(other.encrypt(&session), Some(ticket.clone()), "the nonce is random");
        for position in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[position] ^= 1;
            assert_eq!(other.decrypt(&changed), None, "{position}");
            assert_eq!(other.decrypt(&ticket[..position]), None, "{position}");
        }
        assert_eq!(other.decrypt(&[0; MAX_TICKET + 1]), None);
        keys.renew(1).unwrap();
        assert_eq!(other.decrypt(&ticket), None);
    }

    #[test]
    fn tls_1_2_without_extended_master_secret_has_no_tickets() {
        let keys = TicketKeys::new(0).unwrap();
        for name in [None, Some("example.org")] {
            for (version, is_extended, is_made) in [([3, 3], 0, false), ([3, 3], 1, true), ([3, 4], 0, true)] {
                let ticket = tickets(&keys).encrypt(&session(name, version, is_extended));
                assert_eq!(ticket.is_some(), is_made, "{version:?} {is_extended}");
            }
        }
        assert_eq!(tickets(&keys).encrypt(&[1, 200]), None);
    }
}

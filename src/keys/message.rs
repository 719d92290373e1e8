//! What the key process signs: the messages of a TLS server, and nothing else. So a signature that a compromised worker
//! gets is of use in a handshake with this server only, not as one of another protocol or of a certificate request.

use crate::ipc::key_protocol::KeyKind;

/// RFC 8446 §4.4.3: the content that a server signs, without the hash of the handshake.
const CONTEXT_1_3: &[u8] = b"TLS 1.3, server CertificateVerify\0";

/// The spaces before it.
const SPACES: usize = 64;

/// RFC 8446 §4.1.3: the end of the random of a server that supports TLS 1.3, in a handshake of TLS 1.2. A client that
/// supports 1.3 rejects it, so such a signature does not serve to downgrade one.
const DOWNGRADE: &[u8; 8] = b"DOWNGRD\x01";

/// The schemes of signatures (RFC 8446 §4.2.3) that a key makes.
struct Schemes {
    both: &'static [u16],
    only_1_2: &'static [u16],
}

/// Returns whether a server of TLS has to sign `message` by a key of `kind` with the SignatureScheme `scheme`.
pub fn is_tls(kind: KeyKind, scheme: u16, message: &[u8]) -> bool {
    let Schemes { both, only_1_2 } = match kind {
        KeyKind::EcdsaP256 => Schemes { both: &[0x0403], only_1_2: &[] },
        KeyKind::EcdsaP384 => Schemes { both: &[0x0503], only_1_2: &[] },
        KeyKind::Ed25519 => Schemes { both: &[0x0807], only_1_2: &[] },
        KeyKind::Rsa => Schemes { both: &[0x0804, 0x0805, 0x0806], only_1_2: &[0x0401, 0x0501, 0x0601] },
    };
    let is_for_both = both.contains(&scheme);
    (is_for_both && is_1_3(message)) || ((is_for_both || only_1_2.contains(&scheme)) && is_1_2(message))
}

/// Returns whether a server of TLS has to sign `message` by any key.
pub fn has_form_of_tls(message: &[u8]) -> bool {
    is_1_3(message) || is_1_2(message)
}

/// Returns whether it is the content of a CertificateVerify of TLS 1.3, with a hash by SHA-256 or SHA-384.
fn is_1_3(message: &[u8]) -> bool {
    let Some((spaces, rest)) = message.split_at_checked(SPACES) else { return false };
    let hash = rest.strip_prefix(CONTEXT_1_3);
    spaces.iter().all(|&byte| byte == b' ') && hash.is_some_and(|hash| matches!(hash.len(), 32 | 48))
}

/// Returns whether it is the signed part of a ServerKeyExchange of TLS 1.2 (RFC 8422 §5.4): both randoms, and a public key on
/// a named curve.
fn is_1_2(message: &[u8]) -> bool {
    let Some((randoms, parameters)) = message.split_at_checked(64) else { return false };
    randoms.ends_with(DOWNGRADE)
        && match parameters {
            // x25519, secp256r1 and secp384r1; a point of the latter two is uncompressed.
            [3, 0x00, 0x1d, 32, point @ ..] => point.len() == 32,
            [3, 0x00, 0x17, 65, point @ ..] => point.len() == 65 && point[0] == 4,
            [3, 0x00, 0x18, 97, point @ ..] => point.len() == 97 && point[0] == 4,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use KeyKind::{EcdsaP256, EcdsaP384, Ed25519, Rsa};

    fn message_1_3(hash: usize) -> Vec<u8> {
        [&[b' '; 64][..], b"TLS 1.3, server CertificateVerify\0", &vec![0xab; hash]].concat()
    }

    fn message_1_2(curve: u8, point: &[u8]) -> Vec<u8> {
        [&[1; 32][..], &[2; 24], b"DOWNGRD\x01", &[3, 0, curve, point.len() as u8], point].concat()
    }

    fn point(length: usize) -> Vec<u8> {
        [&[4][..], &vec![7; length - 1]].concat()
    }

    #[test]
    fn the_lengths_are_those_of_the_protocol() {
        let lengths = [
            message_1_3(32),
            message_1_3(48),
            message_1_2(0x1d, &[9; 32]),
            message_1_2(0x17, &point(65)),
            message_1_2(0x18, &point(97)),
        ]
        .map(|message| message.len());
        assert_eq!(lengths, [130, 146, 100, 133, 165]);
    }

    /// Otherwise a healthy worker would be replaced as a compromised one.
    #[test]
    fn what_workers_offer_is_signed() {
        for kind in [EcdsaP256, EcdsaP384, Ed25519, Rsa] {
            for scheme in crate::tls::signer::schemes(kind) {
                assert!(is_tls(kind, u16::from(*scheme), &message_1_2(0x1d, &[9; 32])), "{kind:?} {scheme:?}");
            }
        }
    }

    #[test]
    fn each_kind_of_key_signs_by_its_own_schemes() {
        let all = [
            0x0201, 0x0203, 0x0401, 0x0403, 0x0501, 0x0503, 0x0601, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0808,
            0x0809,
        ];
        for (kind, in_1_3, in_1_2) in [
            (EcdsaP256, &[0x0403][..], &[0x0403][..]),
            (EcdsaP384, &[0x0503], &[0x0503]),
            (Ed25519, &[0x0807], &[0x0807]),
            (Rsa, &[0x0804, 0x0805, 0x0806], &[0x0401, 0x0501, 0x0601, 0x0804, 0x0805, 0x0806]),
        ] {
            for hash in [32, 48] {
                let signed: Vec<_> =
                    all.into_iter().filter(|&scheme| is_tls(kind, scheme, &message_1_3(hash))).collect();
                assert_eq!(signed, in_1_3, "TLS 1.3, {kind:?}");
            }
            for message in [message_1_2(0x1d, &[9; 32]), message_1_2(0x17, &point(65)), message_1_2(0x18, &point(97))] {
                let signed: Vec<_> = all.into_iter().filter(|&scheme| is_tls(kind, scheme, &message)).collect();
                assert_eq!(signed, in_1_2, "TLS 1.2, {kind:?}");
            }
        }
    }

    #[test]
    fn other_messages_are_not_signed() {
        let changed = |message: &[u8], position: usize| {
            let mut changed = message.to_vec();
            changed[position] ^= 1;
            changed
        };
        let verify_1_3 = message_1_3(32);
        let exchange_1_2 = message_1_2(0x17, &point(65));
        let without_1_3 = [&[1; 32][..], &[2; 32], &exchange_1_2[64..]].concat();
        let to_1_1 = [&[1; 32][..], &[2; 24], b"DOWNGRD\x00", &exchange_1_2[64..]].concat();
        let client = [&[b' '; 64][..], b"TLS 1.3, client CertificateVerify\0", &[0xab; 32]].concat();
        let compressed = message_1_2(0x17, &[&[2][..], &[7; 64]].concat());
        for (what, message) in [
            ("nothing", vec![]),
            ("a digest", vec![0xab; 32]),
            ("63 spaces", verify_1_3[1..].to_vec()),
            ("65 spaces", [b" ", &verify_1_3[..]].concat()),
            ("a tab", changed(&verify_1_3, 63)),
            ("no NUL", changed(&verify_1_3, 97)),
            ("a client", client),
            ("SHA-1", message_1_3(20)),
            ("SHA-512", message_1_3(64)),
            ("a byte less", message_1_3(31)),
            ("a byte more", message_1_3(49)),
            ("the hash missing", message_1_3(0)),
            ("a server without 1.3", without_1_3),
            ("a downgrade to 1.1", to_1_1),
            ("an explicit curve", changed(&exchange_1_2, 64)),
            ("secp521r1", message_1_2(0x19, &point(133))),
            ("ffdhe2048", changed(&exchange_1_2, 65)),
            ("a compressed point", compressed),
            ("the length of another curve", message_1_2(0x17, &point(97))),
            ("a wrong length", changed(&exchange_1_2, 67)),
            ("a point that lacks a byte", exchange_1_2[..132].to_vec()),
            ("a byte after the point", [&exchange_1_2[..], &[0]].concat()),
            ("x25519 with 33 bytes", message_1_2(0x1d, &[9; 33])),
        ] {
            for (kind, scheme) in
                [(EcdsaP256, 0x0403), (EcdsaP384, 0x0503), (Ed25519, 0x0807), (Rsa, 0x0804), (Rsa, 0x0401)]
            {
                assert!(!has_form_of_tls(&message), "{what}");
                assert!(!is_tls(kind, scheme, &message), "{what}, {kind:?}");
            }
        }
    }

    /// No change of one byte outside the hash, the randoms and the point is accepted.
    #[test]
    fn each_fixed_byte_counts() {
        let (verify_1_3, exchange_1_2) = (message_1_3(32), message_1_2(0x17, &point(65)));
        for (message, fixed) in [(&verify_1_3, 0..98), (&exchange_1_2, 56..69)] {
            for position in fixed {
                for bit in 0..8 {
                    let mut changed = message.clone();
                    changed[position] ^= 1 << bit;
                    assert!(!is_tls(EcdsaP256, 0x0403, &changed), "byte {position}, bit {bit}");
                }
            }
        }
    }
}

//! The messages that the key process signs: those that a TLS parser made from the RFCs accepts as the signed part of a
//! handshake, and no others.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otus_httpd::ipc::key_protocol::KeyKind;
use otus_httpd::keys::message::{has_form_of_tls, is_tls};

const KINDS: [KeyKind; 4] = [KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Rsa, KeyKind::Ed25519];

/// Returns whether it is the content of a CertificateVerify of a server: RFC 8446 §4.4.3, character by character.
fn is_certificate_verify(message: &[u8]) -> bool {
    let expected = format!("{:64}TLS 1.3, server CertificateVerify\0", "");
    matches!(message.len(), 130 | 146) && message.iter().zip(expected.bytes()).all(|(&byte, expected)| byte == expected)
}

/// Returns whether it is the signed part of a ServerKeyExchange: RFC 8422 §5.4, of a server that supports TLS 1.3.
fn is_server_key_exchange(message: &[u8]) -> bool {
    let named_curve = message.get(64) == Some(&3);
    let is_marked = message.get(56..64) == Some(b"DOWNGRD\x01");
    // The curve, the length of its points, and whether they begin with the byte of an uncompressed one.
    let curves = [(29, 32, false), (23, 65, true), (24, 97, true)];
    let is_point = |(curve, length, has_prefix): (u8, usize, bool)| {
        message.get(65..67) == Some(&[0, curve])
            && message.get(67) == Some(&(length as u8))
            && message.len() == 68 + length
            && (!has_prefix || message[68] == 4)
    };
    named_curve && is_marked && curves.into_iter().any(is_point)
}

// The first two bytes are the scheme; the rest is the message.
fuzz_target!(|input: &[u8]| {
    let Some((&scheme, message)) = input.split_first_chunk() else { return };
    let scheme = u16::from_be_bytes(scheme);
    let (is_1_3, is_1_2) = (is_certificate_verify(message), is_server_key_exchange(message));
    assert_eq!(has_form_of_tls(message), is_1_3 || is_1_2);
    for kind in KINDS {
        let is_signed = is_tls(kind, scheme, message);
        let is_own = match kind {
            KeyKind::EcdsaP256 => scheme == 0x0403,
            KeyKind::EcdsaP384 => scheme == 0x0503,
            KeyKind::Ed25519 => scheme == 0x0807,
            KeyKind::Rsa => matches!(scheme, 0x0804..=0x0806),
        };
        let is_pkcs1 = kind == KeyKind::Rsa && matches!(scheme, 0x0401 | 0x0501 | 0x0601);
        assert_eq!(is_signed, (is_own && (is_1_3 || is_1_2)) || (is_pkcs1 && is_1_2), "{kind:?} {scheme:#06x}");
    }
});

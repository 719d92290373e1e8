//! The cryptography: ciphers and key exchanges, in order.

use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{CipherSuite, SupportedCipherSuite};

/// The key exchanges. The order of the client decides, so that it needs no second round trip.
const GROUPS: [&dyn SupportedKxGroup; 4] =
    [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// The ciphers in the order of the server, for a processor with instructions for AES.
const CIPHERS: [SupportedCipherSuite; 9] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// Returns the cryptography of the server.
pub fn provider() -> CryptoProvider {
    CryptoProvider { cipher_suites: ciphers(has_aes()), kx_groups: GROUPS.to_vec(), ..aws_lc_rs::default_provider() }
}

/// Returns the ciphers in the order of the server. Without instructions for AES, ChaCha20 is several times as fast.
fn ciphers(has_aes: bool) -> Vec<SupportedCipherSuite> {
    let mut ciphers = CIPHERS.to_vec();
    if !has_aes {
        // The sort is stable.
        ciphers.sort_by_key(|cipher| !is_chacha(cipher));
    }
    ciphers
}

/// Returns the name of a cipher at IANA. rustls has names of its own for TLS 1.3.
pub fn cipher_name(cipher: CipherSuite) -> &'static str {
    match cipher {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        cipher => cipher.as_str().unwrap_or_default(),
    }
}

fn is_chacha(cipher: &SupportedCipherSuite) -> bool {
    matches!(
        cipher.suite(),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chacha_is_first_without_instructions_for_aes() {
        assert_eq!(ciphers(true), CIPHERS);
        let names: Vec<_> = ciphers(false).iter().map(|cipher| format!("{:?}", cipher.suite())).collect();
        assert!(names[..3].iter().all(|name| name.contains("CHACHA20")), "{names:?}");
        assert_eq!(names.len(), CIPHERS.len());
    }
}

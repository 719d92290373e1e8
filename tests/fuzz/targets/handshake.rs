//! Any bytes, cut anywhere, on a connection for TLS: what comes before the end of the handshake. The response is one page
//! without TLS, or records of a handshake and at most one alert, and the connection ends.
#![no_main]

use std::cell::RefCell;
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use libfuzzer_sys::fuzz_target;
use otus_httpd::tls::store::{Store, StoredCertificate};
use otus_httpd::tls::Server;
use otus_httpd_fuzz::site::Site;
use otus_httpd_fuzz::wire::{self, Cuts};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CONTENT: u8 = 23;

thread_local! {
    static SITE: RefCell<Site> = RefCell::new(Site::plain());
    static TLS: &'static Server = server();
}

fn server() -> &'static Server {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let key = pair.to_pkcs8v1().unwrap().as_ref().to_vec();
    let key = any_supported_type(&rustls::pki_types::PrivatePkcs8KeyDer::from(key).into()).unwrap();
    // A server does not parse its own certificate.
    let certificate = CertifiedKey::new(vec![vec![0x30, 0].into()], key);
    let names = vec!["localhost".into(), "*.example".into()];
    let certificate = StoredCertificate { names, is_default: true, key: Arc::new(certificate) };
    Box::leak(Box::new(Server::new(Store::new([certificate]), None).unwrap()))
}

// Six bytes select the cuts; the rest is sent.
fuzz_target!(|input: &[u8]| {
    let Some((cuts, stream)) = Cuts::from_front(input) else { return };
    let tls = TLS.with(|tls| *tls);
    let response = SITE.with_borrow_mut(|site| {
        wire::exchange_over(|server, socket| server.accept_tls(socket, tls), &mut site.server, stream, cuts, false)
    });
    if response.first() == Some(&b'H') {
        assert!(response.starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
        assert!(matches!(stream[0], b'A'..=b'Z' | b'a'..=b'z' | b'\r' | b'\n'));
        return;
    }
    let mut rest = &response[..];
    while let [kind, 3, _, high, low, after @ ..] = rest {
        assert!(matches!(*kind, CHANGE_CIPHER_SPEC | ALERT | HANDSHAKE | CONTENT), "{response:?}");
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        rest = after.get(length..).expect("a complete record");
        assert!(*kind != ALERT || rest.is_empty(), "nothing follows an alert: {response:?}");
    }
    assert!(rest.is_empty(), "{response:?}");
});

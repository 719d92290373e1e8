//! A TLS server without a key process, clients of it, and the form of records.

use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use otus_httpd::ipc::ticket_keys::TicketKeyReader;
use otus_httpd::tls::Server;
use otus_httpd::tls::store::{Store, StoredCertificate};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion};

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CONTENT: u8 = 23;

/// Creates a server with a certificate for `localhost` and all other names.
pub fn server(tickets: Option<&'static TicketKeyReader>) -> &'static Server {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let key = pair.to_pkcs8v1().unwrap().as_ref().to_vec();
    let key = any_supported_type(&PrivatePkcs8KeyDer::from(key).into()).unwrap();
    // A server does not parse its own certificate.
    let certificate = CertifiedKey::new(vec![vec![0x30, 0].into()], key);
    let names = vec!["localhost".into(), "*.example".into()];
    let certificate =
        StoredCertificate { names, is_default: true, not_before: 0, not_after: i64::MAX, key: Arc::new(certificate) };
    Box::leak(Box::new(Server::new(Store::new([certificate]), tickets).unwrap()))
}

/// Returns the configuration of a client that accepts any certificate.
pub fn client_config(version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_protocol_versions(&[version]).unwrap().dangerous();
    Arc::new(config.with_custom_certificate_verifier(Arc::new(AnyCertificate)).with_no_client_auth())
}

/// Fails unless `output` is complete records, with an alert without encryption as the last one only.
pub fn well_formed(output: &[u8]) {
    let mut rest = output;
    while let [kind, 3, _, high, low, after @ ..] = rest {
        assert!(matches!(*kind, CHANGE_CIPHER_SPEC | ALERT | HANDSHAKE | CONTENT), "{output:?}");
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        rest = after.get(length..).expect("a complete record");
        assert!(*kind != ALERT || rest.is_empty(), "nothing follows an alert: {output:?}");
    }
    assert!(rest.is_empty(), "{output:?}");
}

#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_tls12_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

//! Certificates and clients for tests.

use std::io::{Read, Write};
use std::process::Command;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ClientConnection};
use rustls::crypto::aws_lc_rs::{default_provider, sign};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme, SupportedProtocolVersion};

use super::Server;
use super::session::MAX_RECORD;
use super::store::{Store, StoredCertificate};

/// The arguments of `openssl req` for a key on the curve P-256.
pub const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// The same for an RSA key.
pub const RSA: &[&str] = &["rsa:2048"];

/// A server with a certificate for `localhost`, and a store of a client that trusts it.
pub fn server() -> (&'static Server, RootCertStore) {
    let certificate = certificate(&["localhost"], P256);
    let roots = roots(&[&certificate]);
    (Box::leak(Box::new(Server::new(Store::new([certificate]), None).unwrap())), roots)
}

/// Returns the store of a client that trusts `certificates`.
pub fn roots(certificates: &[&StoredCertificate]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    certificates.iter().for_each(|certificate| roots.add(certificate.key.cert[0].clone()).unwrap());
    roots
}

/// Creates a certificate whose key is in this process.
pub fn certificate(names: &[&str], key_type: &[&str]) -> StoredCertificate {
    let directory = tempfile::tempdir().unwrap();
    let alternatives: Vec<_> = names.iter().map(|name| format!("DNS:{name}")).collect();
    let output = Command::new("openssl")
        .args(["req", "-x509", "-config", "/dev/null", "-subj", "/CN=test", "-days", "30", "-nodes", "-addext"])
        .arg(format!("subjectAltName={}", alternatives.join(",")))
        .args(["-keyout", "key.pem", "-out", "certificate.pem", "-newkey"])
        .args(key_type)
        .current_dir(&directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let key = PrivateKeyDer::from_pem_file(directory.path().join("key.pem")).unwrap();
    let certificate = CertificateDer::from_pem_file(directory.path().join("certificate.pem")).unwrap();
    let certified = CertifiedKey::new(vec![certificate], sign::any_supported_type(&key).unwrap());
    let names = names.iter().map(|&name| name.into()).collect();
    StoredCertificate { names, is_default: false, not_before: 0, not_after: i64::MAX, key: Arc::new(certified) }
}

/// Returns the configuration of a client.
pub fn client_config(roots: &RootCertStore, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_protocol_versions(versions).unwrap();
    config.with_root_certificates(roots.clone()).with_no_client_auth()
}

/// A client without a socket.
#[derive(Debug)]
pub struct Client {
    /// The connection.
    pub connection: ClientConnection,
    /// The content that has arrived.
    pub content: Vec<u8>,
    /// Whether the server has closed its side (close_notify).
    pub is_ended: bool,
}

impl Client {
    /// Creates a client of the server `name`.
    pub fn new(config: Arc<ClientConfig>, name: &str) -> Self {
        let connection = ClientConnection::new(config, name.to_string().try_into().unwrap()).unwrap();
        Client { connection, content: Vec::new(), is_ended: false }
    }

    /// Sends content.
    pub fn send(&mut self, content: &[u8]) {
        self.connection.writer().write_all(content).unwrap();
    }

    /// Returns the records that it sends.
    pub fn take_output(&mut self) -> Vec<u8> {
        let mut output = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut output).unwrap();
        }
        output
    }

    /// Receives records of the server.
    pub fn receive(&mut self, mut records: &[u8]) -> Result<(), rustls::Error> {
        while !records.is_empty() {
            let mut next = records.take(MAX_RECORD as u64);
            let length = self.connection.read_tls(&mut next).unwrap();
            records = &records[length..];
            let state = self.connection.process_new_packets()?;
            let begin = self.content.len();
            self.content.resize(begin + state.plaintext_bytes_to_read(), 0);
            self.connection.reader().read_exact(&mut self.content[begin..]).unwrap();
            self.is_ended |= state.peer_has_closed();
        }
        Ok(())
    }
}

/// A verifier that accepts everything, for a client with these signature schemes.
#[derive(Debug)]
pub struct Schemes(pub Vec<SignatureScheme>);

impl ServerCertVerifier for Schemes {
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
        self.0.clone()
    }
}

//! A handshake with this server, as the last step of a command: the proof that it serves the certificate.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ClientConnection};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use super::systemd::{HTTPS_SOCKET, addresses, reachable};
use crate::failure::{self, Failure};
use crate::keys::folder::CHAIN;

/// The time within which a new certificate is used, and more.
const DEADLINE: Duration = Duration::from_secs(20);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// The time of one attempt.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Any certificate is accepted, since it is compared with the file; the signature must be that of its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer,
        _intermediates: &[CertificateDer],
        _server_name: &ServerName,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Waits until this server serves `name` with the certificate in `folder`. Returns the address.
pub fn verify(name: &str, folder: &Path) -> Result<SocketAddr, Failure> {
    let address =
        addresses(HTTPS_SOCKET)?.first().copied().map(reachable).ok_or_else(|| {
            Failure::new(format!("{HTTPS_SOCKET} has no TCP address: see systemctl cat {HTTPS_SOCKET}."))
        })?;
    let expected = CertificateDer::from_pem_file(folder.join(CHAIN))
        .map_err(|error| Failure::new(format!("{} cannot be read ({error}).", folder.join(CHAIN).display())))?;
    let begin = Instant::now();
    loop {
        let result = handshake(address, name);
        match &result {
            Ok(served) if *served == expected => return Ok(address),
            _ if begin.elapsed() < DEADLINE => thread::sleep(PAUSE),
            Ok(_) => return Err(failed(name, address, "another certificate is served")),
            Err(error) => return Err(failed(name, address, &failure::reason(error))),
        }
    }
}

fn failed(name: &str, address: SocketAddr, why: &str) -> Failure {
    Failure::new(format!(
        "A TLS handshake with this server at {address} for {name} has failed ({why}): see otus-httpd --check, journalctl -u \
         otus-httpd and journalctl -u otus-httpd-keys."
    ))
}

/// Returns the certificate that is served for `name` at `address`.
fn handshake(address: SocketAddr, name: &str) -> io::Result<CertificateDer<'static>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let server_name = ServerName::try_from(name.to_string()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(Arc::new(config), server_name).map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    connection.send_close_notify();
    let _ = connection.complete_io(&mut stream);
    let certificate = connection.peer_certificates().and_then(|chain| chain.first()).cloned();
    certificate.map(CertificateDer::into_owned).ok_or(io::ErrorKind::InvalidData.into())
}

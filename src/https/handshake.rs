//! A handshake with this server, as the last step of a command: the proof that it serves the certificate.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ClientConnection};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use super::systemd::{HTTPS_SOCKET, addresses, reachable};
use crate::failure::{self, Failure};
use crate::ipc::key_protocol::KeyKind;
use crate::keys::folder::CHAIN;
use crate::keys::{self, Description, date};

/// The time within which a new certificate is used, and more.
const DEADLINE: Duration = Duration::from_secs(20);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// The time of one attempt.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Any certificate is accepted, since it is compared with the file; the signature must be that of its key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
    /// Those for the type of key of the expected certificate: the server may have others for the same name.
    schemes: Vec<SignatureScheme>,
}

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
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// Waits until this server serves `name` with the certificate in `folder`, or with another one that it prefers. Returns a sentence
/// about that.
pub fn verify(name: &str, folder: &Path) -> Result<String, Failure> {
    let address =
        addresses(HTTPS_SOCKET)?.first().copied().map(reachable).ok_or_else(|| {
            Failure::new(format!("{HTTPS_SOCKET} has no TCP address: see systemctl cat {HTTPS_SOCKET}."))
        })?;
    let expected = leaf(folder)
        .map_err(|error| Failure::new(format!("{} cannot be read ({error}).", folder.join(CHAIN).display())))?;
    let expectation = Expectation::new(folder, expected)?;
    let begin = Instant::now();
    loop {
        let result = handshake(address, name, &expectation.schemes());
        if let Some(sentence) = result.as_ref().ok().and_then(|served| expectation.sentence(name, address, served)) {
            return Ok(sentence);
        }
        if begin.elapsed() < DEADLINE {
            thread::sleep(PAUSE);
            continue;
        }
        let why = result.map_or_else(|error| failure::reason(&error), |_| "another certificate is served".into());
        return Err(failed(name, address, &why));
    }
}

/// The certificate that is expected.
#[derive(Debug)]
struct Expectation<'a> {
    folder: &'a Path,
    certificate: CertificateDer<'static>,
    description: Description,
}

impl<'a> Expectation<'a> {
    fn new(folder: &'a Path, certificate: CertificateDer<'static>) -> Result<Self, Failure> {
        let description = describe(&certificate)
            .map_err(|why| Failure::new(format!("{} cannot be used: {why}.", folder.join(CHAIN).display())))?;
        Ok(Expectation { folder, certificate, description })
    }

    /// Returns the signature schemes of its key: the server may have certificates with other types of keys for the same name.
    fn schemes(&self) -> Vec<SignatureScheme> {
        use SignatureScheme::*;
        match self.description.kind {
            Some(KeyKind::EcdsaP256 | KeyKind::EcdsaP384) => vec![ECDSA_NISTP256_SHA256, ECDSA_NISTP384_SHA384],
            Some(KeyKind::Ed25519) => vec![ED25519],
            _ => vec![
                RSA_PSS_SHA256,
                RSA_PSS_SHA384,
                RSA_PSS_SHA512,
                RSA_PKCS1_SHA256,
                RSA_PKCS1_SHA384,
                RSA_PKCS1_SHA512,
            ],
        }
    }

    /// Returns a sentence about the certificate that is served, if it is the expected one, or another one of the directory that
    /// the server prefers for good: the one that expires last.
    fn sentence(&self, name: &str, address: SocketAddr, served: &CertificateDer) -> Option<String> {
        let own = self.folder.file_name().unwrap_or_default().display();
        if *served == self.certificate {
            return Some(format!(
                "https://{name}/ is served with the certificate {own} (a handshake with {address} has succeeded)."
            ));
        }
        let description = describe(served).ok().filter(|other| other.not_after >= self.description.not_after)?;
        let entries = fs::read_dir(self.folder.parent()?).ok()?.flatten();
        let other = entries.map(|entry| entry.path()).find(|path| leaf(path).is_ok_and(|leaf| leaf == *served))?;
        Some(format!(
            "https://{name}/ is served with the certificate {0}, which expires later, on {1}: {own} is used once {2} is removed.",
            other.file_name().unwrap_or_default().display(),
            date(description.not_after),
            other.display()
        ))
    }
}

/// Returns the certificate of the server in `folder`.
fn leaf(folder: &Path) -> Result<CertificateDer<'static>, pem::Error> {
    CertificateDer::from_pem_file(folder.join(CHAIN))
}

fn describe(certificate: &CertificateDer) -> Result<Description, String> {
    keys::describe(&[certificate.to_vec()])
}

fn failed(name: &str, address: SocketAddr, why: &str) -> Failure {
    Failure::new(format!(
        "A TLS handshake with this server at {address} for {name} has failed ({why}): see otus-httpd --check, journalctl -u \
         otus-httpd and journalctl -u otus-httpd-keys."
    ))
}

/// Returns the certificate that is served at `address` to a client of `name` with these signature schemes.
fn handshake(address: SocketAddr, name: &str, schemes: &[SignatureScheme]) -> io::Result<CertificateDer<'static>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider, schemes: schemes.into() }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::authority::{Authority, P256, RSA};

    #[test]
    fn the_expected_certificate_or_one_that_expires_later_is_accepted() {
        let (top, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let issue = |folder: &str, key_type, days: &str| {
            authority.issue_with(&["a.example"], key_type, "", &["-days", days]).write(&top.path().join(folder));
            leaf(&top.path().join(folder)).unwrap()
        };
        let (own, later) = (issue("a.example", P256, "60"), issue("later", P256, "70"));
        let (earlier, removed) = (issue("earlier", P256, "50"), issue("removed", P256, "80"));
        fs::remove_dir_all(top.path().join("removed")).unwrap();
        let folder = top.path().join("a.example");
        let expectation = Expectation::new(&folder, own.clone()).unwrap();
        let address = "127.0.0.1:443".parse().unwrap();
        let sentence = |served: &CertificateDer| expectation.sentence("a.example", address, served);
        assert!(sentence(&own).unwrap().contains("is served with the certificate a.example (a handshake"));
        let text = sentence(&later).unwrap();
        let expected = format!("a.example is used once {} is removed.", top.path().join("later").display());
        assert!(text.contains("certificate later, which expires later, on ") && text.ends_with(&expected), "{text}");
        assert_eq!((sentence(&earlier), sentence(&removed)), (None, None));
    }

    #[test]
    fn the_signature_schemes_are_those_of_the_type_of_key() {
        let (top, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let (p256, rsa) = (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256);
        for (key_type, expected, other) in [(P256, p256, rsa), (RSA, rsa, p256)] {
            authority.issue_with(&["a.example"], key_type, "", &[]).write(top.path());
            let schemes = Expectation::new(top.path(), leaf(top.path()).unwrap()).unwrap().schemes();
            assert_eq!((schemes[0], schemes.contains(&other)), (expected, false));
        }
    }
}

//! A client of full TLS 1.3 handshakes. `handshakes PORT GROUP CONNECTIONS` makes so many connections to 127.0.0.1, one after the
//! other, with X25519 or X25519MLKEM768 alone, and gets /test.html on each. It accepts every certificate, and prints the seconds.
//! Anything but 200 is an error.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, Stream};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [port, group, connections] = &arguments[..] else {
        return Err("usage: handshakes PORT GROUP CONNECTIONS".into());
    };
    let (port, connections) = (port.parse()?, connections.parse::<usize>()?);
    let group = match &group[..] {
        "X25519" => kx_group::X25519,
        "X25519MLKEM768" => kx_group::X25519MLKEM768,
        other => return Err(format!("{other} is neither X25519 nor X25519MLKEM768").into()),
    };

    let mut provider = default_provider();
    provider.kx_groups = vec![group];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAll))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let config = Arc::new(config);

    let started = Instant::now();
    for _ in 0..connections {
        get(port, config.clone())?;
    }
    println!("{connections} connections in {:.3} seconds", started.elapsed().as_secs_f64());
    Ok(())
}

fn get(port: u16, config: Arc<ClientConfig>) -> Outcome<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    let mut session = ClientConnection::new(config, ServerName::try_from("localhost")?)?;
    let mut stream = Stream::new(&mut session, &mut socket);
    stream.write_all(b"GET /test.html HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    if !response.starts_with(b"HTTP/1.1 200 ") {
        return Err(format!("the response begins with {:?}", String::from_utf8_lossy(&response[..response.len().min(40)])).into());
    }
    Ok(())
}

#[derive(Debug)]
struct AcceptAll;

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_tls12_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

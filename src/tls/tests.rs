//! Handshakes between a session and a client, without sockets.

use std::sync::Arc;

use rustls::client::ClientConfig;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, Error, ProtocolVersion, RootCertStore, SignatureScheme};

use super::session::{Buffers, MAX_HELLO, Session, State, Write};
use super::store::{Store, StoredCertificate};
use super::testing::{self, Client, P256, RSA};
use super::{Failure, Properties, RecordBuffer, Server};
use crate::ipc::ticket_keys::TicketKeys;

/// A session, and its input that was not processed.
struct Peer {
    session: Session,
    input: Vec<u8>,
    content: Vec<u8>,
}

impl Peer {
    fn new(server: &Server) -> Self {
        Peer { session: Session::new(server).unwrap(), input: Vec::new(), content: Vec::new() }
    }

    /// Processes `input`. Returns the records for the client.
    fn receive(&mut self, input: &[u8]) -> (Vec<u8>, Result<State, Failure>) {
        let mut output = RecordBuffer::default();
        self.input.extend_from_slice(input);
        if let Err(failure) = self.session.count_received(input, &mut output) {
            return (output.bytes().to_vec(), Err(failure));
        }
        let content = &mut self.content;
        let mut buffers = Buffers {
            input: &mut self.input,
            content: |bytes: &[u8]| content.extend_from_slice(bytes),
            output: &mut output,
        };
        let (used, result) = self.session.process(&mut buffers, Write::Nothing);
        self.input.drain(..used);
        (output.bytes().to_vec(), result)
    }

    /// Completes the handshake. Returns the properties, or the failure of the server and the error of the client.
    fn shake_hands(&mut self, client: &mut Client) -> Result<Properties, (Failure, Option<Error>)> {
        for _ in 0..10 {
            let (records, result) = self.receive(&client.take_output());
            let received = client.receive(&records);
            if let Err(failure) = result {
                return Err((failure, received.err()));
            }
            if let Some(properties) = self.session.take_properties() {
                received.unwrap();
                return Ok(properties);
            }
            // The server gets the alert of a client that rejects the certificate.
            let _ = received;
        }
        panic!("the handshake does not end");
    }
}

fn shake_hands(server: &Server, config: ClientConfig, name: &str) -> Result<Properties, (Failure, Option<Error>)> {
    Peer::new(server).shake_hands(&mut Client::new(Arc::new(config), name))
}

fn server(certificates: &[&StoredCertificate]) -> (Server, RootCertStore) {
    let store = Store::new(certificates.iter().map(|&certificate| certificate.clone()));
    (Server::new(store, None).unwrap(), testing::roots(certificates))
}

fn alert(failure: Failure, alert: AlertDescription) -> Option<(Failure, Option<Error>)> {
    Some((failure, Some(Error::AlertReceived(alert))))
}

/// Returns the position of the certificate that a client of `name` gets.
fn selected(server: &Server, config: &ClientConfig, name: &str, certificates: &[&StoredCertificate]) -> Option<usize> {
    let properties = shake_hands(server, config.clone(), name).ok()?;
    let certificate = properties.certificate.unwrap();
    certificates.iter().position(|other| other.key.cert == certificate.key.cert)
}

#[test]
fn the_name_of_the_client_selects_the_certificate() {
    let exact = testing::certificate(&["www.a.example", "b.example"], P256);
    let wildcard = testing::certificate(&["*.a.example", "b.example"], P256);
    let mut default = testing::certificate(&["c.example", "deep.www.a.example", "none.example"], P256);
    default.names.truncate(1);
    let all = [&exact, &wildcard, &default];
    let (server_, roots) = server(&all);
    let config = testing::client_config(&roots, &[&TLS13, &TLS12]);
    for (name, position) in [
        ("www.a.example", Some(0)),
        ("WWW.A.example", Some(0)),
        ("other.a.example", Some(1)),
        ("b.example", Some(0)),
        ("c.example", Some(2)),
    ] {
        assert_eq!(selected(&server_, &config, name, &all), position, "{name}");
    }
    // A wildcard is for one label.
    for name in ["deep.www.a.example", "a.example", "none.example"] {
        let failed = shake_hands(&server_, config.clone(), name).err();
        assert_eq!(failed, alert(Failure::UnknownName, AlertDescription::UnrecognisedName), "{name}");
    }
    default.is_default = true;
    let all = [&exact, &wildcard, &default];
    let (server_, _) = server(&all);
    for name in ["deep.www.a.example", "none.example"] {
        assert_eq!(selected(&server_, &config, name, &all), Some(2), "{name}");
    }
    // Without a name.
    let mut config = config.clone();
    config.enable_sni = false;
    assert_eq!(selected(&server_, &config, "none.example", &all), Some(2));
}

#[test]
fn the_signature_schemes_of_the_client_select_the_type_of_key() {
    let (ecdsa, rsa) = (testing::certificate(&["a.example"], P256), testing::certificate(&["a.example"], RSA));
    let all = [&ecdsa, &rsa];
    let (both, roots) = server(&all);
    let (ecdsa_only, _) = server(&[&ecdsa]);
    for version in [&TLS13, &TLS12] {
        let config = testing::client_config(&roots, &[version]);
        assert_eq!(selected(&both, &config, "a.example", &all), Some(0), "{version:?}");
    }
    // A client of TLS 1.2 says the same by its ciphers.
    let mut provider = default_provider();
    provider.cipher_suites = vec![cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
    let config = ClientConfig::builder_with_provider(Arc::new(provider));
    let config = config.with_protocol_versions(&[&TLS12]).unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    assert_eq!(selected(&both, &config, "a.example", &all), Some(1));
    let failed = shake_hands(&ecdsa_only, config, "a.example").err();
    assert_eq!(failed, alert(Failure::NoCommonParameters, AlertDescription::HandshakeFailure));
}

/// Whatever the order of their folders.
#[test]
fn of_several_certificates_the_one_that_is_valid_and_expires_last_is_used() {
    let (p256, rsa) = (testing::certificate(&["a.example"], P256), testing::certificate(&["a.example"], RSA));
    let (ecdsa, pss) = (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256);
    let with = |certificate: &StoredCertificate, not_before: i64, not_after: i64, name: &str| StoredCertificate {
        names: vec![name.into()],
        is_default: name.is_empty(),
        not_before,
        not_after,
        ..certificate.clone()
    };
    let now = 1_000;
    for (what, certificates, schemes, expected) in [
        ("an expired one", [(&p256, 0, 900, "a.example"), (&p256, 0, 2_000, "a.example")], [ecdsa, pss], 2_000),
        ("an earlier one", [(&p256, 0, 1_001, "a.example"), (&p256, 0, 2_000, "a.example")], [ecdsa, pss], 2_000),
        (
            "one that begins later",
            [(&p256, 1_001, 3_000, "a.example"), (&p256, 0, 2_000, "a.example")],
            [ecdsa, pss],
            2_000,
        ),
        ("two that are expired", [(&p256, 0, 900, "a.example"), (&p256, 0, 800, "a.example")], [ecdsa, pss], 900),
        (
            "an expired one of the first type",
            [(&p256, 0, 900, "a.example"), (&rsa, 0, 2_000, "a.example")],
            [ecdsa, pss],
            2_000,
        ),
        ("another type", [(&p256, 0, 1_500, "a.example"), (&rsa, 0, 2_000, "a.example")], [ecdsa, pss], 1_500),
        (
            "another order of types",
            [(&p256, 0, 1_500, "a.example"), (&rsa, 0, 2_000, "a.example")],
            [pss, ecdsa],
            2_000,
        ),
        ("a wildcard", [(&p256, 0, 1_500, "a.example"), (&p256, 0, 2_000, "*.example")], [ecdsa, pss], 1_500),
        (
            "an expired one beside a wildcard",
            [(&p256, 0, 900, "a.example"), (&p256, 0, 2_000, "*.example")],
            [ecdsa, pss],
            2_000,
        ),
        ("a default", [(&p256, 0, 900, "a.example"), (&p256, 0, 2_000, "")], [ecdsa, pss], 900),
        ("two defaults", [(&p256, 0, 900, ""), (&p256, 0, 2_000, "")], [ecdsa, pss], 2_000),
    ] {
        let certificates = certificates.map(|(certificate, begin, end, name)| with(certificate, begin, end, name));
        let [first, second] = certificates;
        for certificates in [[first.clone(), second.clone()], [second, first]] {
            let found = Store::new(certificates).find_at(now, Some("a.example"), &schemes).unwrap();
            assert_eq!(found.not_after, expected, "{what}");
        }
    }
}

/// RFC 8446 §4.2.3: in TLS 1.3, PKCS#1 is for the signatures of certificates only.
#[test]
fn pkcs1_selects_an_rsa_certificate_in_tls_1_2_only() {
    let (ecdsa, rsa) = (testing::certificate(&["a.example"], P256), testing::certificate(&["a.example"], RSA));
    let all = [&ecdsa, &rsa];
    let (both, _) = server(&all);
    let (pkcs1, ecdsa, pss) =
        (SignatureScheme::RSA_PKCS1_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256);
    for (schemes, version, position) in [
        (&[pkcs1, ecdsa][..], &TLS13, Some(0)),
        (&[pkcs1, ecdsa], &TLS12, Some(1)),
        (&[pkcs1, ecdsa, pss], &TLS13, Some(0)),
        (&[pkcs1, pss, ecdsa], &TLS13, Some(1)),
        (&[pkcs1], &TLS12, Some(1)),
        (&[pkcs1], &TLS13, None),
    ] {
        // rustls sends the ciphers of all versions.
        let mut provider = default_provider();
        provider.cipher_suites.retain(|cipher| cipher.version() == version);
        let config = ClientConfig::builder_with_provider(Arc::new(provider));
        let config = config.with_protocol_versions(&[version]).unwrap();
        let mut config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        config.dangerous().set_certificate_verifier(Arc::new(testing::Schemes(schemes.to_vec())));
        assert_eq!(selected(&both, &config, "a.example", &all), position, "{schemes:?} {version:?}");
    }
}

#[test]
fn a_certificate_covers_its_names_and_one_label_for_a_wildcard() {
    let certificate = testing::certificate(&["a.example", "*.b.example"], P256);
    let store = Store::new([certificate.clone()]);
    for (name, is_covered) in [
        ("a.example", true),
        ("A.EXAMPLE", true),
        ("x.b.example", true),
        ("X.B.example", true),
        ("b.example", false),
        (".b.example", false),
        ("x.y.b.example", false),
        ("x.a.example", false),
        ("*.b.example", true),
        ("", false),
        ("localhost", false),
    ] {
        assert_eq!((certificate.covers(name), store.covers(name)), (is_covered, is_covered), "{name}");
    }
}

#[test]
fn a_replaced_store_is_for_connections_that_begin_afterwards() {
    let (old, new) = (testing::certificate(&["a.example"], P256), testing::certificate(&["a.example"], P256));
    let all = [&old, &new];
    let (server, _) = server(&[&old]);
    let config = testing::client_config(&testing::roots(&all), &[&TLS13]);
    let mut before = Peer::new(&server);
    server.replace_store(Arc::new(Store::new([new.clone()])));
    let properties = before.shake_hands(&mut Client::new(Arc::new(config.clone()), "a.example")).unwrap();
    assert_eq!(properties.certificate.unwrap().key.cert, old.key.cert);
    assert_eq!(selected(&server, &config, "a.example", &all), Some(1));
}

#[test]
fn the_server_orders_ciphers_and_the_client_orders_groups() {
    let (server, roots) = server(&[&testing::certificate(&["a.example"], P256)]);
    let aes = super::provider::provider().cipher_suites[0].suite() == cipher_suite::TLS13_AES_128_GCM_SHA256.suite();
    for (version, name, ciphers) in [
        (&TLS13, "TLSv1.3", ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"]),
        (
            &TLS12,
            "TLSv1.2",
            ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"],
        ),
    ] {
        for (first, group) in
            [(kx_group::X25519, "X25519"), (kx_group::SECP256R1, "secp256r1"), (kx_group::SECP384R1, "secp384r1")]
        {
            let mut provider = default_provider();
            provider.cipher_suites.reverse();
            provider.kx_groups = vec![first, kx_group::X25519, kx_group::SECP256R1];
            let config = ClientConfig::builder_with_provider(Arc::new(provider));
            let config = config.with_protocol_versions(&[version]).unwrap();
            let config = config.with_root_certificates(roots.clone()).with_no_client_auth();
            let properties = shake_hands(&server, config, "a.example").unwrap();
            assert_eq!((properties.version, properties.group), (name, group));
            assert_eq!(properties.cipher, ciphers[usize::from(!aes)]);
            assert_eq!((properties.name.as_deref(), properties.is_resumed), (Some("a.example"), false));
        }
    }
    let mut provider = default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768];
    let config = ClientConfig::builder_with_provider(Arc::new(provider));
    let config = config.with_protocol_versions(&[&TLS13]).unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    assert_eq!(shake_hands(&server, config, "a.example").unwrap().group, "X25519MLKEM768");
}

#[test]
fn a_client_without_a_common_protocol_is_rejected() {
    let (server, roots) = server(&[&testing::certificate(&["a.example"], P256)]);
    for version in [&TLS13, &TLS12] {
        let with = |protocols: &[&[u8]]| {
            let mut config = testing::client_config(&roots, &[version]);
            config.alpn_protocols = protocols.iter().map(|&name| name.to_vec()).collect();
            shake_hands(&server, config, "a.example")
        };
        assert!(with(&[]).is_ok() && with(&[b"h2", b"http/1.1"]).is_ok());
        assert_eq!(with(&[b"h2"]).err(), alert(Failure::NoProtocol, AlertDescription::NoApplicationProtocol));
    }
}

#[test]
fn a_client_that_rejects_the_certificate_is_a_failure_with_its_alert() {
    let (server, _) = server(&[&testing::certificate(&["a.example"], P256)]);
    let (_, roots) = testing::server();
    let failed = shake_hands(&server, testing::client_config(&roots, &[&TLS13]), "a.example").err().unwrap();
    assert!(matches!(failed, (Failure::Alert(_), None)), "{failed:?}");
}

/// Splits records into records of one byte each. The records are not encrypted.
fn in_fragments(records: &[u8]) -> Vec<u8> {
    let mut rest = records;
    let mut fragments = Vec::new();
    while let [kind, major, minor, high, low, after @ ..] = rest {
        let (content, after) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        content.iter().for_each(|byte| fragments.extend_from_slice(&[*kind, *major, *minor, 0, 1, *byte]));
        rest = after;
    }
    fragments
}

#[test]
fn a_hello_in_fragments_of_one_byte_is_accepted() {
    let (server, roots) = server(&[&testing::certificate(&["a.example"], P256)]);
    for version in [&TLS13, &TLS12] {
        let config = Arc::new(testing::client_config(&roots, &[version]));
        let mut client = Client::new(config, "a.example");
        let mut peer = Peer::new(&server);
        let fragments = in_fragments(&client.take_output());
        for byte in &fragments[..fragments.len() - 1] {
            assert_eq!(peer.receive(&[*byte]), (Vec::new(), Ok(State::Handshaking)));
        }
        let (records, result) = peer.receive(&fragments[fragments.len() - 1..]);
        assert_eq!(result, Ok(State::Handshaking));
        client.receive(&records).unwrap();
        peer.shake_hands(&mut client).unwrap();
    }
}

#[test]
fn a_hello_that_is_too_long_ends_the_handshake() {
    let (server, _) = server(&[&testing::certificate(&["a.example"], P256)]);
    // A ClientHello of 16,000 bytes in short records, which rustls would accept.
    let mut message = vec![1, 0, 0x3e, 0x7c, 3, 3];
    message.resize(16_000, 0);
    let records: Vec<u8> = message.chunks(50).flat_map(|part| [&[22, 3, 1, 0, 50][..], part].concat()).collect();
    let mut peer = Peer::new(&server);
    let mut sent = 0;
    let (output, failure) = loop {
        let (output, result) = peer.receive(&records[sent..sent + 100]);
        sent += 100;
        match result {
            Ok(state) => assert_eq!((output, state), (Vec::new(), State::Handshaking)),
            Err(failure) => break (output, failure),
        }
    };
    assert_eq!((sent, failure), (MAX_HELLO + 16, Failure::LargeHello));
    assert_eq!(output, [21, 3, 3, 0, 2, 2, 50]);
}

#[test]
fn a_hello_that_announces_too_much_ends_the_handshake_at_once() {
    let (server, _) = server(&[&testing::certificate(&["a.example"], P256)]);
    for (length, is_accepted) in [([0, 0x40, 0], true), ([0, 0x40, 1], false), ([1, 0, 0], false)] {
        let message = [&[1][..], &length, &[3, 3]].concat();
        let whole = [&[22, 3, 1, 0, 6][..], &message].concat();
        // The same in records of one byte.
        let parts: Vec<u8> = message.iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect();
        for input in [whole, parts] {
            for step in [1, input.len()] {
                let mut peer = Peer::new(&server);
                let results: Vec<_> = input.chunks(step).map(|part| peer.receive(part)).collect();
                let failed = results.iter().find(|(_, result)| result.is_err());
                let expected = (!is_accepted).then_some((vec![21, 3, 3, 0, 2, 2, 50], Err(Failure::LargeHello)));
                assert_eq!(failed, expected.as_ref(), "{length:?} in {input:?} by {step}");
            }
        }
    }
}

#[test]
fn bytes_that_are_no_hello_are_failures_with_an_alert() {
    let (server, _) = server(&[&testing::certificate(&["a.example"], P256)]);
    for (records, failure) in [
        // A message other than a hello, an empty record, a version before TLS, a record that is too long.
        (&[22, 3, 1, 0, 4, 20, 0, 0, 0][..], Failure::Malformed),
        (&[22, 3, 1, 0, 0], Failure::Malformed),
        (&[22, 2, 0, 0, 1, 1], Failure::Malformed),
        (&[22, 3, 1, 0xff, 0xff, 1], Failure::Malformed),
        (&[23, 3, 3, 0, 1, 1], Failure::Malformed),
        (&[21, 3, 1, 0, 2, 2, 40], Failure::Alert(40)),
    ] {
        let mut peer = Peer::new(&server);
        let (output, result) = peer.receive(records);
        assert_eq!(result, Err(failure), "{records:?}");
        let has_alert = output.starts_with(&[21, 3]);
        assert_eq!(has_alert, failure == Failure::Malformed, "{records:?} {output:?}");
    }
}

#[test]
fn key_updates_without_content_end_the_connection() {
    let (server, roots) = server(&[&testing::certificate(&["a.example"], P256)]);
    let mut client = Client::new(Arc::new(testing::client_config(&roots, &[&TLS13])), "a.example");
    let mut peer = Peer::new(&server);
    peer.shake_hands(&mut client).unwrap();
    let failed = (0..1_000).find_map(|_| {
        client.connection.refresh_traffic_keys().unwrap();
        let (output, result) = peer.receive(&client.take_output());
        assert!(output.len() < 100, "the responses are bounded");
        result.err()
    });
    assert_eq!(failed, Some(Failure::Malformed));
}

#[test]
fn a_session_is_resumed_by_another_worker_until_the_keys_are_replaced() {
    let certificate = testing::certificate(&["a.example", "b.example"], P256);
    let keys = TicketKeys::new(0).unwrap();
    let workers = [(); 2].map(|()| {
        let reader = Box::leak(Box::new(keys.reader().unwrap()));
        Server::new(Store::new([certificate.clone()]), Some(reader)).unwrap()
    });
    for (version, number) in [(&TLS13, ProtocolVersion::TLSv1_3), (&TLS12, ProtocolVersion::TLSv1_2)] {
        // The client stores its sessions in its configuration.
        let config = Arc::new(testing::client_config(&testing::roots(&[&certificate]), &[version]));
        let connect = |server: &Server, name: &str| {
            let mut client = Client::new(config.clone(), name);
            let properties = Peer::new(server).shake_hands(&mut client).unwrap();
            assert_eq!(client.connection.protocol_version(), Some(number));
            assert_eq!(properties.certificate.unwrap().names, certificate.names);
            properties.is_resumed
        };
        assert!(!connect(&workers[0], "a.example"));
        assert!(connect(&workers[1], "a.example"));
        assert!(!connect(&workers[1], "b.example"), "a session belongs to its name");
        keys.rotate(1).unwrap();
        assert!(connect(&workers[0], "a.example"));
        keys.renew(2).unwrap();
        assert!(!connect(&workers[0], "a.example"));
    }
}

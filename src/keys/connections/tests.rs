use nix::poll::{PollFd, PollFlags, poll};

use super::*;
use crate::ipc::key_protocol::frame::MAX_FRAME_BYTES;
use crate::keys::authority::Authority;
use crate::keys::certificates::Certificates;

/// The responses of a key process with one certificate, and its identifier.
fn connections() -> (&'static Connections, KeyId) {
    let (connections, id) = without_threads();
    (0..2).for_each(|_| drop(std::thread::spawn(|| connections.serve())));
    (connections, id)
}

fn without_threads() -> (&'static Connections, KeyId) {
    let directory = tempfile::tempdir().unwrap();
    Authority::new().issue(&["example.org"]).write(&directory.path().join("example.org"));
    let mut certificates = Certificates::new(directory.path(), 1);
    certificates.update(0, 0);
    let connections: &'static Connections = Box::leak(Box::new(Connections::new().unwrap()));
    connections.publish(certificates.snapshot());
    (connections, certificates.snapshot().certificates[0].id)
}

/// A connection of the server with `role`, whose tag is `tag`.
fn connect(connections: &Connections, role: Role, tag: u64) -> OwnedFd {
    let (own, theirs) = channel::pair().unwrap();
    connections.add(theirs, Peer::server(&own).unwrap());
    channel::introduce(own.as_fd(), role, tag).unwrap();
    own
}

/// Returns the next frame; none at the end of the connection.
fn next(connection: &OwnedFd) -> Option<(u32, Response)> {
    assert_eq!(poll(&mut [PollFd::new(connection.as_fd(), PollFlags::POLLIN)], 10_000_u16), Ok(1));
    let mut frame = vec![0; MAX_FRAME_BYTES];
    let length = recv(connection.as_raw_fd(), &mut frame, MsgFlags::empty()).unwrap_or(0);
    (length > 0).then(|| Response::decode(&frame[..length]).unwrap())
}

fn request(connection: &OwnedFd, request: &Request) -> Option<(u32, Response)> {
    channel::send_frame(connection.as_fd(), &request.encode(7)).unwrap();
    next(connection)
}

fn verify_1_3() -> Vec<u8> {
    [&[b' '; 64][..], b"TLS 1.3, server CertificateVerify\0", &[0xab; 32]].concat()
}

fn sign(id: KeyId, message: Vec<u8>) -> Request {
    Request::Sign { id, scheme: 0x0403, message }
}

#[test]
fn a_worker_gets_certificates_and_signatures() {
    let (connections, id) = connections();
    let worker = connect(connections, Role::Worker, 5);
    let Some((7, Response::Summary { generation, count: 1 })) = request(&worker, &Request::Catalog { known: 0 }) else {
        panic!("no summary");
    };
    assert_eq!(connections.known(), 0);
    assert_eq!(request(&worker, &Request::Catalog { known: generation }), Some((7, Response::Unchanged)));
    assert_eq!(connections.known(), generation);
    let index_0 = Request::Certificate { generation, index: 0 };
    let Some((7, Response::Certificate(certificate))) = request(&worker, &index_0) else { panic!("no certificate") };
    assert_eq!((certificate.id, certificate.names.as_slice()), (id, &["example.org".to_string()][..]));
    for missing in [Request::Certificate { generation, index: 1 }, Request::Certificate { generation: 9, index: 0 }] {
        assert_eq!(request(&worker, &missing), Some((7, Response::Missing)), "{missing:?}");
    }
    let Some((7, Response::Signature(signature))) = request(&worker, &sign(id, verify_1_3())) else {
        panic!("no signature");
    };
    // It is one of the message, by the key of the certificate.
    use x509_cert::der::{Decode, Encode};
    let parsed = x509_cert::Certificate::from_der(&certificate.chain[0]).unwrap();
    let public = parsed.tbs_certificate().subject_public_key_info();
    let algorithm = &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1;
    let key = aws_lc_rs::signature::UnparsedPublicKey::new(algorithm, public.subject_public_key.raw_bytes());
    key.verify(&verify_1_3(), &signature).unwrap();
    assert!(public.to_der().is_ok());
    // A key that is no longer there.
    assert_eq!(request(&worker, &sign([0; 32], verify_1_3())), Some((7, Response::Missing)));
    drop(worker);
    while connections.known() != u64::MAX {
        std::thread::yield_now();
    }
}

#[test]
fn anything_else_ends_the_connection_and_is_reported_to_the_supervisor() {
    let (connections, id) = connections();
    let supervisor = connect(connections, Role::Supervisor, 0);
    assert_eq!(request(&supervisor, &Request::Overview { index: 1 }), Some((7, Response::Missing)));
    assert!(connections.take_reread(), "a supervisor that begins has the certificates read");
    let frames = [
        ("a digest", sign(id, vec![0xab; 32]).encode(1)),
        ("another scheme", Request::Sign { id, scheme: 0x0804, message: verify_1_3() }.encode(1)),
        ("a digest for an unknown key", sign([0; 32], vec![0xab; 32]).encode(1)),
        ("another role", Request::Hello { role: Role::Supervisor, tag: 1 }.encode(1)),
        ("an overview", Request::Overview { index: 0 }.encode(1)),
        ("nonsense", b"nonsense".to_vec()),
        ("a long frame", vec![4; 2_000]),
    ];
    for (number, (what, frame)) in frames.into_iter().enumerate() {
        let worker = connect(connections, Role::Worker, 100 + number as u64);
        channel::send_frame(worker.as_fd(), &frame).unwrap();
        assert_eq!(next(&worker), None, "{what}");
        assert_eq!(next(&supervisor), Some((0, Response::Violation { tag: 100 + number as u64 })), "{what}");
    }
    // Others are not affected.
    let worker = connect(connections, Role::Worker, 5);
    assert!(matches!(request(&worker, &sign(id, verify_1_3())), Some((7, Response::Signature(_)))));
}

#[test]
fn each_role_has_its_own_requests() {
    let (connections, id) = connections();
    for (role, forbidden) in [
        (Role::Check, sign(id, verify_1_3())),
        (Role::Check, Request::Certificate { generation: 1, index: 0 }),
        (Role::Supervisor, sign(id, verify_1_3())),
    ] {
        let connection = connect(connections, role, 0);
        assert!(matches!(request(&connection, &Request::Overview { index: 0 }), Some((7, Response::Overview(_)))));
        assert_eq!(request(&connection, &forbidden), None, "{role:?} {forbidden:?}");
    }
    // Without an introduction.
    let (own, theirs) = channel::pair().unwrap();
    connections.add(theirs, Peer::server(&own).unwrap());
    assert_eq!(request(&own, &sign(id, verify_1_3())), None);
}

/// Its responses would fill memory.
#[test]
fn a_worker_that_does_not_read_responses_is_ended() {
    let (connections, _) = connections();
    let supervisor = connect(connections, Role::Supervisor, 0);
    let worker = connect(connections, Role::Worker, 9);
    let frame = Request::Catalog { known: 0 }.encode(1);
    let mut is_over = false;
    while !is_over {
        is_over =
            channel::send_frame(worker.as_fd(), &frame).is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock);
    }
    assert_eq!(next(&supervisor), Some((0, Response::Violation { tag: 9 })));
}

/// Each connection has its turn: a worker with many requests delays another one by one request.
#[test]
fn connections_are_served_in_turn() {
    let (connections, id) = without_threads();
    let [busy, other] = [1, 2].map(|tag| connect(connections, Role::Worker, tag));
    // Both introductions.
    (0..2).for_each(|_| connections.serve_next());
    for number in 0..30 {
        channel::send_frame(busy.as_fd(), &sign(id, verify_1_3()).encode(number)).unwrap();
    }
    connections.serve_next();
    channel::send_frame(other.as_fd(), &sign(id, verify_1_3()).encode(99)).unwrap();
    (0..2).for_each(|_| connections.serve_next());
    assert!(matches!(next(&other), Some((99, Response::Signature(_)))));
    let mut sources = [PollFd::new(busy.as_fd(), PollFlags::POLLIN)];
    let mut count = 0;
    while poll(&mut sources, 0_u8) == Ok(1) {
        assert!(matches!(next(&busy), Some((_, Response::Signature(_)))));
        count += 1;
    }
    assert_eq!(count, 2, "of 30");
}

#[test]
fn a_server_with_another_version_of_the_protocol_is_refused_and_is_no_violation() {
    let (connections, id) = connections();
    let supervisor = connect(connections, Role::Supervisor, 0);
    assert_eq!(request(&supervisor, &Request::Overview { index: 1 }), Some((7, Response::Missing)));
    let (own, theirs) = channel::pair().unwrap();
    connections.add(theirs, Peer::server(&own).unwrap());
    let mut hello = Request::Hello { role: Role::Worker, tag: 6 }.encode(0);
    hello[5] += 1;
    hello.extend([1, 2, 3]);
    channel::send_frame(own.as_fd(), &hello).unwrap();
    assert_eq!(next(&own), None);
    // Later it is one.
    let worker = connect(connections, Role::Worker, 8);
    assert!(matches!(request(&worker, &sign(id, verify_1_3())), Some((7, Response::Signature(_)))));
    channel::send_frame(worker.as_fd(), &hello).unwrap();
    assert_eq!(next(&worker), None);
    assert_eq!(next(&supervisor), Some((0, Response::Violation { tag: 8 })));
}

#[test]
fn a_violation_is_reported_to_a_supervisor_that_connects_or_reads_later() {
    let (connections, id) = connections();
    let violate = |tag| {
        let worker = connect(connections, Role::Worker, tag);
        channel::send_frame(worker.as_fd(), &sign(id, vec![0xab; 32]).encode(1)).unwrap();
        assert_eq!(next(&worker), None);
    };
    violate(1);
    let supervisor = connect(connections, Role::Supervisor, 0);
    assert_eq!(next(&supervisor), Some((0, Response::Violation { tag: 1 })));
    // Its buffer is full.
    while connections.supervisors().iter().all(|end| channel::send_frame(end.socket.as_fd(), &[0; 64]).is_ok()) {}
    violate(2);
    let mut frame = [0; 64];
    while recv(supervisor.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT).is_ok() {}
    channel::send_frame(supervisor.as_fd(), &Request::Overview { index: 1 }.encode(7)).unwrap();
    assert_eq!(next(&supervisor), Some((0, Response::Violation { tag: 2 })));
    assert_eq!(next(&supervisor), Some((7, Response::Missing)));
    // Each is reported once.
    drop(supervisor);
    let supervisor = connect(connections, Role::Supervisor, 0);
    assert_eq!(request(&supervisor, &Request::Overview { index: 1 }), Some((7, Response::Missing)));
}

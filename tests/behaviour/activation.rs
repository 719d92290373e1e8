//! Socket activation (sd_listen_fds(3)).

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};

use nix::sys::signal::Signal;

use crate::support::{Client, Setup, Site, get};

#[test]
fn clients_may_connect_before_the_server_starts() {
    let site = Site::with(&[("a", b"a")]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::connect(listener.local_addr().unwrap());
    client.send(get("/a"));
    let _server = Setup::new(&site, &[]).socket(listener).start();
    assert_eq!(client.response().text(), "a");
}

#[test]
fn several_sockets_with_names() {
    let site = Site::with(&[("a", b"a")]);
    let path = site.outside().join("socket");
    let tcp = TcpListener::bind("[::1]:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let unix = UnixListener::bind(&path).unwrap();
    let server = Setup::new(&site, &[]).env("LISTEN_FDNAMES", "public:local").socket(tcp).socket(unix).start();

    assert_eq!(Client::connect(address).get("/a").text(), "a");
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /a HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\na"), "{answer}");
    server.wait_for_log(&format!("Listening on http://{address}/ (socket \"public\")."));
    server.wait_for_log(&format!("Listening on unix:{} (socket \"local\").", path.display()));
}

#[test]
fn host_and_port_are_ignored_with_socket_activation() {
    let site = Site::with(&[("a", b"a")]);
    let server = Setup::new(&site, &["--port=1"]).env("OTUS_HOST", "192.0.2.1").listen();
    assert_eq!(server.get("/a").text(), "a");
    let expected = [
        " WARN --host 192.0.2.1 (environment (OTUS_HOST)) has no effect: the socket unit sets",
        " WARN --port 1 (command line) has no effect: the socket unit sets",
    ];
    let messages = || {
        let messages = server.warnings();
        assert!(
            messages.iter().zip(expected.iter().cycle()).all(|(got, start)| got.starts_with(start)),
            "{messages:?}"
        );
        assert!(messages.iter().all(|line| line.contains("systemctl edit otus-httpd.socket")), "{messages:?}");
        messages.len()
    };
    server.wait_until_ready();
    assert_eq!(messages(), 2);
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
    assert_eq!(messages(), 4);
}

#[test]
fn address_settings_apply_without_a_socket_and_cause_no_warning() {
    let site = Site::new();
    let server = Setup::new(&site, &["--port=0"]).env("OTUS_HOST", "127.0.0.2").start();
    server.wait_until_ready();
    assert!(server.log().contains("Listening on http://127.0.0.2:"), "{}", server.log());
    assert_eq!(server.warnings(), [""; 0]);
}

#[test]
fn sockets_for_another_process_are_not_taken() {
    let site = Site::with(&[("a", b"a")]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Setup::new(&site, &["--port=0"]).env("LISTEN_PID", "1").socket(listener).start();
    server.wait_until_ready();
    assert!(!server.log().contains(&address.to_string()), "{}", server.log());
    assert!(server.log().contains("Listening on http://127.0.0.1:"), "{}", server.log());
}

#[test]
fn a_socket_of_the_wrong_kind_is_an_error_that_names_it() {
    let site = Site::new();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut server = Setup::new(&site, &[]).env("LISTEN_FDNAMES", "dns").socket(udp).start();
    assert_eq!(server.exit_status().code(), Some(1));
    let log = server.log();
    assert!(log.contains("\"dns\"") && log.contains("neither a TCP nor a unix stream socket"), "{log}");
}

#[test]
fn a_socket_for_a_protocol_that_is_not_available_prevents_the_start() {
    let site = Site::new();
    for (name, reason) in [
        ("https", "it is for HTTPS and there are no certificates: set --certificates"),
        ("https-proxy", "it is for HTTPS and there are no certificates: set --certificates"),
    ] {
        let expected = format!("The socket \"{name}\" is not served, since {reason}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut server = Setup::new(&site, &[]).env("LISTEN_FDNAMES", name).socket(listener).start();
        assert_eq!(server.exit_status().code(), Some(1));
        let log = server.log();
        assert!(log.contains(&expected) && log.contains("FileDescriptorName=") && log.lines().count() == 1, "{log}");
        // As before a reload, which would execute a version that does not start.
        let mut check = Setup::new(&site, &["--check"]).env("LISTEN_FDNAMES", format!("http:{name}")).start();
        assert_eq!(check.exit_status().code(), Some(1));
        assert!(check.log().contains(&expected), "{}", check.log());
    }
}

#[test]
fn a_socket_that_does_not_listen_is_an_error() {
    let site = Site::new();
    let (stream, _other) = UnixStream::pair().unwrap();
    let mut server = Setup::new(&site, &[]).socket(stream).start();
    assert_eq!(server.exit_status().code(), Some(1));
    assert!(server.log().contains("does not listen"), "{}", server.log());
}

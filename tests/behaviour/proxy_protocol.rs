//! The PROXY protocol, on sockets named `proxy` and `https-proxy`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

use nix::sys::signal::Signal;
use rustls::version::TLS13;
use rustls::{ClientConnection, StreamOwned};

use crate::https::{Certificates, exchange};
use crate::support::{Client, DEADLINE, Server, Setup, Site, get, wait_until};

const TRUSTED: &str = "--trusted-proxies=127.0.0.0/8";

/// The end of a request after which the connection is closed.
const LAST: &str = "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A server with a socket of this name, and one for metrics.
struct Proxied {
    server: Server,
    metrics: std::net::SocketAddr,
}

impl Proxied {
    fn start(name: &str, site: &Site, arguments: &[&str]) -> Self {
        let [listener, metrics] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [&listener, &metrics].map(|listener| listener.local_addr().unwrap());
        let setup = Setup::new(site, &[&["--access-log=stderr"], arguments].concat());
        let mut server =
            setup.env("LISTEN_FDNAMES", format!("{name}:metrics")).socket(listener).socket(metrics).start();
        server.address = addresses[0];
        server.wait_until_ready();
        Proxied { server, metrics: addresses[1] }
    }

    fn rejected(&self, reason: &str) -> u64 {
        let metrics = Client::connect(self.metrics).get("/metrics").text();
        let name = format!("otus_proxy_headers_rejected_total{{reason=\"{reason}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    }

    fn connect(&self, header: impl AsRef<[u8]>) -> Client {
        let mut client = self.server.connect();
        client.send(header);
        client
    }

    /// Returns the records of requests.
    fn records(&self, count: usize) -> Vec<String> {
        let records = || {
            let log = self.server.log();
            log.lines().filter(|line| line.contains("\"http_target\"")).map(String::from).collect::<Vec<_>>()
        };
        wait_until("the records", || records().len() >= count);
        records()
    }
}

/// A header of version 2 of a client at 192.0.2.7, with values.
fn v2(command: u8, values: &[(u8, &[u8])]) -> Vec<u8> {
    let mut rest = vec![192, 0, 2, 7, 198, 51, 100, 1, 18, 103, 0, 80];
    for (kind, value) in values {
        rest.push(*kind);
        rest.extend((value.len() as u16).to_be_bytes());
        rest.extend(*value);
    }
    let length = (rest.len() as u16).to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, 0x11], &length, &rest].concat()
}

const CLIENT_SSL: (u8, &[u8]) = (0x20, &[1, 0, 0, 0, 0]);

#[test]
fn the_client_is_the_one_that_the_header_names() {
    let site = Site::with(&[("a", b"a"), ("intern/a", b"secret")]);
    let arguments = [TRUSTED, "--allow=/intern=192.0.2.0/24"];
    let proxied = Proxied::start("proxy", &site, &arguments);
    for (header, address, status) in [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n".to_vec(), "192.0.2.7", 200),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 80\r\n".to_vec(), "192.0.2.7", 200),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n".to_vec(), "2001:db8::7", 403),
        (v2(0x21, &[]), "192.0.2.7", 200),
        (v2(0x20, &[]), "127.0.0.1", 403),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1", 403),
    ] {
        let before = proxied.server.log().matches("\"http_target\"").count();
        let mut client = proxied.connect(&header);
        assert_eq!(client.get("/a").text(), "a");
        assert_eq!(client.get("/intern/a").status, status, "{header:?}");
        for record in &proxied.records(before + 2)[before..] {
            assert!(record.contains(&format!("\"client_address\":\"{address}\"")), "{record}");
            assert!(!record.contains("http_scheme") && !record.contains("proxy_authority"), "{record}");
        }
    }
    for reason in ["checksum", "closed", "command", "malformed", "timeout", "too_long", "untrusted"] {
        assert_eq!(proxied.rejected(reason), 0);
    }
}

#[test]
fn a_header_may_arrive_in_parts_and_with_requests() {
    let site = Site::with(&[("a", b"a")]);
    let proxied = Proxied::start("proxy", &site, &[TRUSTED]);
    let header = v2(0x21, &[(2, b"x"), (0xE0, &[7; 3_000])]);
    let mut client = proxied.server.connect();
    for part in header.chunks(500) {
        client.send(part);
    }
    assert_eq!(client.get("/a").text(), "a");
    let together = [&header[..], get("/a").repeat(3).as_bytes()].concat();
    let mut client = proxied.connect(together);
    (0..3).for_each(|_| assert_eq!(client.response().text(), "a"));
}

#[test]
fn a_connection_without_a_valid_header_is_closed_without_a_response_and_counted() {
    let site = Site::with(&[("a", b"a")]);
    let proxied = Proxied::start("proxy", &site, &[TRUSTED, "--head-timeout=1", "--debug"]);
    let wrong_checksum = v2(0x21, &[(3, &[1, 2, 3, 4])]);
    let too_long = [&v2(0x21, &[])[..14], &[0x10, 0x00]].concat();
    for (bytes, reason, why) in [
        (get("/a").into_bytes(), "malformed", "does not begin with a PROXY header"),
        (b"\x16\x03\x01\x02\0\x01".to_vec(), "malformed", "does not begin with a PROXY header"),
        (wrong_checksum, "checksum", "the checksum of the PROXY header is wrong"),
        (v2(0x2F, &[]), "command", "the command of the PROXY header is unknown"),
        (too_long, "too_long", "the PROXY header is too long"),
        (b"PROXY TCP4 192.0.2.7".to_vec(), "timeout", "the PROXY header did not arrive before the head timeout"),
        (b"".to_vec(), "timeout", "the PROXY header did not arrive before the head timeout"),
    ] {
        let before = proxied.rejected(reason);
        let mut client = proxied.connect(&bytes);
        // If bytes are unread, the connection is reset.
        let mut received = Vec::new();
        let _ = client.0.read_to_end(&mut received);
        assert_eq!(received, b"", "{reason}");
        wait_until(reason, || proxied.rejected(reason) == before + 1);
        let is_logged = |log: &str| {
            let mut lines = log.lines().filter(|line| line.contains(why));
            lines.any(|line| line.contains("DEBUG")) && lines.any(|line| line.contains("\"target\":\"access\""))
        };
        wait_until(why, || is_logged(&proxied.server.log()));
    }
    drop(proxied.connect("PROXY TCP4"));
    wait_until("a count", || proxied.rejected("closed") == 1);
    assert_eq!(proxied.connect(v2(0x21, &[])).get("/a").text(), "a");
}

#[test]
fn only_trusted_proxies_may_connect() {
    let site = Site::with(&[("a", b"a")]);
    for arguments in [&["--trusted-proxies=192.0.2.0/24,127.0.0.2"][..], &[]] {
        let proxied = Proxied::start("proxy", &site, arguments);
        let mut client = proxied.server.connect();
        // It may be closed before it has sent anything.
        let _ = client.0.write_all(&[&v2(0x21, &[])[..], get("/a").as_bytes()].concat());
        let mut received = Vec::new();
        let _ = client.0.read_to_end(&mut received);
        assert_eq!(received, b"");
        wait_until("a count", || proxied.rejected("untrusted") == 1);
        let warning =
            "The socket \\\"proxy\\\" refuses every TCP connection, since it is for the PROXY protocol and no proxy is";
        assert_eq!(proxied.server.log().contains(warning), arguments.is_empty(), "{}", proxied.server.log());
    }
}

#[test]
fn a_reload_changes_who_is_trusted() {
    let site = Site::with(&[("a", b"a"), ("settings", b"OTUS_TRUSTED_PROXIES=192.0.2.1\n")]);
    let settings = format!("--settings={}", site.path("settings").display());
    let proxied = Proxied::start("proxy", &site, &[&settings]);
    assert!(proxied.connect(v2(0x21, &[])).0.read(&mut [0]).unwrap_or(0) == 0);
    site.write("settings", b"OTUS_TRUSTED_PROXIES=192.0.2.1,127.0.0.1\n");
    proxied.server.signal(Signal::SIGHUP);
    proxied.server.wait_for_log("Reloaded; ");
    wait_until("the new settings", || {
        let mut client = proxied.connect(v2(0x21, &[]));
        client.0.write_all(LAST.as_bytes()).is_ok() && client.0.read(&mut [0]).unwrap_or(0) == 1
    });
}

/// Who may connect is a matter of its permissions.
#[test]
fn a_unix_socket_needs_no_trusted_address() {
    let site = Site::with(&[("a", b"a")]);
    let path = site.outside().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let setup = Setup::new(&site, &["--access-log=stderr"]).env("LISTEN_FDNAMES", "proxy").socket(listener);
    let server = setup.start();
    server.wait_until_ready();
    for (header, address) in
        [(v2(0x21, &[]), "\"client_address\":\"192.0.2.7\""), (b"PROXY UNKNOWN\r\n".to_vec(), "\"http_status\":200")]
    {
        let before = server.log().matches(address).count();
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(&[&header[..], LAST.as_bytes()].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\na"), "{answer}");
        wait_until("a record", || server.log().matches(address).count() > before);
    }
    assert!(!server.log().contains("WARN"), "{}", server.log());
}

#[test]
fn a_header_on_any_other_socket_is_a_bad_request() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &[TRUSTED]);
    for header in [b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n".to_vec(), v2(0x21, &[])] {
        let mut client = server.connect();
        client.send([&header[..], get("/a").as_bytes()].concat());
        assert!(matches!(client.response().status, 400 | 501 | 505), "{header:?}");
        wait_until("the end", || client.is_closed());
    }
}

#[test]
fn tls_follows_the_header_on_a_socket_for_both() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let arguments = [TRUSTED, &certificates.option(), "--hsts=300"];
    let proxied = Proxied::start("https-proxy", &site, &arguments);
    let config = certificates.client("first", &TLS13);
    // The hello arrives together with the end of the header, with all of it, or alone.
    for cut in ["in the header", "nowhere", "after the header"] {
        let mut stream = TcpStream::connect(proxied.server.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut connection = ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
        let mut first = v2(0x21, &[(2, b"other.example")]);
        let (header, mut hello) = (first.len(), Vec::new());
        connection.write_tls(&mut hello).unwrap();
        first.extend(hello);
        let (part, rest) = first.split_at(match cut {
            "in the header" => header / 2,
            "after the header" => header,
            _ => first.len(),
        });
        stream.write_all(part).unwrap();
        stream.write_all(rest).unwrap();
        let answer = exchange(&mut StreamOwned::new(connection, stream), LAST);
        let hsts = "Strict-Transport-Security: max-age=300\r\n";
        assert!(answer.contains(hsts) && answer.ends_with("\r\n\r\na"), "{answer}");
    }
    let record = &proxied.records(1)[0];
    for field in [
        "\"client_address\":\"192.0.2.7\"",
        "\"http_scheme\":\"https\"",
        "\"tls_name\":\"localhost\"",
        "\"proxy_authority\":\"other.example\"",
    ] {
        assert!(record.contains(field), "{field} in {record}");
    }
    // Without the header, not even a handshake.
    let mut client = proxied.connect(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03");
    assert_eq!(client.0.read(&mut [0]).unwrap_or(0), 0);
    wait_until("a count", || proxied.rejected("malformed") == 1);
}

/// A front that ends TLS says so: otherwise a redirect to HTTPS would lead back to it forever.
#[test]
fn a_client_with_tls_to_its_proxy_has_https() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let [clear, tls] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let address = clear.local_addr().unwrap();
    let options = [TRUSTED, &certificates.option(), "--redirect-to-https", "--hsts=300", "--access-log=stderr"];
    let setup = Setup::new(&site, &options).env("LISTEN_FDNAMES", "proxy:https-proxy").socket(clear).socket(tls);
    let mut server = setup.start();
    server.address = address;
    server.wait_until_ready();
    let ask = |header: &[u8]| {
        let mut client = server.connect();
        client.send([header, LAST.as_bytes()].concat()).response()
    };
    let plain = ask(&v2(0x21, &[]));
    // The proxy has the port that clients see.
    assert_eq!((plain.status, plain.field("Location")), (301, Some("https://localhost/a")));
    assert_eq!(plain.field("Strict-Transport-Security"), None);
    let encrypted = ask(&v2(0x21, &[CLIENT_SSL, (2, b"evil.example")]));
    assert_eq!((encrypted.status, encrypted.text()), (200, "a".into()), "the authority chooses no site");
    assert_eq!(encrypted.field("Strict-Transport-Security"), Some("max-age=300"));
    wait_until("a record", || server.log().contains("\"proxy_authority\":\"evil.example\""));
    assert!(server.log().contains("\"http_scheme\":\"https\""), "{}", server.log());
}

#[test]
fn connections_are_limited_by_the_client_that_the_header_names() {
    let site = Site::with(&[("a", b"a")]);
    let proxied = Proxied::start("proxy", &site, &[TRUSTED, "--max-per-client=2"]);
    let from = |address: &str| proxied.connect(format!("PROXY TCP4 {address} 198.51.100.1 4711 80\r\n"));
    let mut clients: Vec<_> = (0..2).map(|_| from("192.0.2.7")).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/a").text(), "a"));
    let mut further = from("192.0.2.7");
    assert_eq!(further.get("/a").status, 503);
    wait_until("its end", || further.is_closed());
    assert_eq!(from("192.0.2.8").get("/a").text(), "a");
    // The proxy's own connections are not counted.
    let mut own: Vec<_> = (0..5).map(|_| proxied.connect("PROXY UNKNOWN\r\n")).collect();
    own.iter_mut().for_each(|client| assert_eq!(client.get("/a").text(), "a"));
    clients.pop();
    wait_until("room for another", || from("192.0.2.7").get("/a").status == 200);
    proxied.server.wait_for_log("192.0.2.7 reached --max-per-client (2)");
    let refused = "otus_http_connections_refused_total ";
    let metrics = Client::connect(proxied.metrics).get("/metrics").text();
    assert!(metrics.lines().any(|line| line.starts_with(refused) && !line.ends_with(" 0")), "{metrics}");
}

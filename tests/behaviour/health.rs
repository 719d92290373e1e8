//! The health check: on the socket named "metrics" at `/health`, and on the site's sockets at `--health-path`.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustls::version::TLS13;

use crate::http2_client::Http2Client;
use crate::https::{self, Certificates, exchange};
use crate::support::{Client, DEADLINE, Notifications, Response, Server, Setup, Site, get, wait_until};

pub const OPTION: &str = "--health-path=/healthz";

/// A server whose health is known on both sockets.
pub struct Checked {
    pub server: Server,
    metrics: SocketAddr,
}

impl Checked {
    pub fn start(setup: Setup) -> Checked {
        let [http, metrics] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [&http, &metrics].map(|listener| listener.local_addr().unwrap());
        let mut server = setup.env("LISTEN_FDNAMES", "http:metrics").socket(http).socket(metrics).start();
        server.address = addresses[0];
        server.wait_until_ready();
        Checked { server, metrics: addresses[1] }
    }

    pub fn new(site: &Site, arguments: &[&str]) -> Checked {
        Checked::start(Setup::new(site, &[&[OPTION], arguments].concat()))
    }

    /// Asks over a new connection to each socket, and returns the status and the text if both agree.
    pub fn health(&self) -> Option<(u16, String)> {
        let [metrics, site] = [Client::connect(self.metrics).get("/health"), self.server.get("/healthz")];
        let [metrics, site] = [metrics, site].map(|response| (response.status, response.text()));
        (metrics == site).then_some(site)
    }

    pub fn wait_for_health(&self, status: u16, text: &str) {
        wait_until(text, || self.health() == Some((status, format!("{text}\n"))));
    }

    /// Returns the value of a metric without labels.
    pub fn sample(&self, name: &str) -> Option<f64> {
        let text = Client::connect(self.metrics).get("/metrics").text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(|value| value.parse().unwrap())
    }
}

fn assert_ready(response: &Response) {
    assert_eq!((response.status, response.text().as_str()), (200, "ready\n"));
    response.assert_common_fields();
    assert_eq!(response.field("Cache-Control"), Some("no-store"));
    assert_eq!(response.field("Content-Type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn it_is_answered_before_anything_of_the_site_is_looked_at() {
    let site = Site::with(&[
        ("healthz", b"a file"),
        ("_redirects", b"/* /elsewhere 301!\n"),
        ("_headers", b"/*\n  Cache-Control: max-age=60\n  X-Rule: 1\n"),
    ]);
    let users = tempfile::tempdir().unwrap();
    let auth = format!("--auth=/={}", users.path().join("users").display());
    fs::write(users.path().join("users"), "").unwrap();
    let certificates = Certificates::new();
    let (allow, certificates) = ("--allow=/=192.0.2.0/24", certificates.option());
    let arguments = [allow, &auth, &certificates, "--redirect-to-https", "--http2=cleartext", "--access-log=stderr"];
    let checked = Checked::new(&site, &arguments);
    let server = &checked.server;
    assert_eq!(server.get("/a").status, 403);
    let mut client = server.connect();
    for target in ["/healthz", "/healthz?a=b", "/%68ealthz", "http://elsewhere/healthz"] {
        assert_ready(&client.get(target));
    }
    let head = client.send("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n").head();
    assert_eq!((head.status, head.content_length()), (200, 6));
    assert_eq!(client.send("POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").response().status, 405);
    for target in ["/healthz/", "/healthz/a", "/health", "/HEALTHZ"] {
        assert_eq!(client.get(target).status, 403, "{target}");
    }
    let answer = Http2Client::connect(server.address).get("/healthz");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ready\n"));
    assert_eq!((answer.field("cache-control"), answer.field("x-rule")), (Some("no-store"), None));
    let records = || server.log().lines().filter(|line| line.contains("\"http_target\":\"/healthz\"")).count();
    wait_until("records as of other requests: GET, HEAD, POST and HTTP/2", || records() == 4);
}

#[test]
fn without_the_option_its_path_is_the_sites() {
    let site = Site::with(&[("healthz", b"a file")]);
    let server = Server::of(&site);
    assert_eq!(server.get("/healthz").text(), "a file");
    assert_eq!(server.get("/health").status, 404);
}

#[test]
fn it_is_answered_on_every_kind_of_socket() {
    let (site, certificates) = (Site::new(), Certificates::new());
    let request = "GET /healthz HTTP/1.1\r\nHost: 192.0.2.1\r\nConnection: close\r\n\r\n";
    // Over TLS, for whatever host: a load balancer knows an address alone.
    let server = certificates.serve(&site, &[OPTION]);
    let answer = exchange(&mut https::connect(server.address, &certificates.client("first", &TLS13)), request);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nready\n"), "{answer}");
    let path = site.outside().join("socket");
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    let setup = Setup::new(&site, &[OPTION, "--trusted-proxies=127.0.0.1"]).env("LISTEN_FDNAMES", "http:proxy");
    let server = setup.socket(UnixListener::bind(&path).unwrap()).socket(proxy).start();
    server.wait_until_ready();
    let ask = |mut stream: Box<dyn ReadWrite>, bytes: &str| {
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nready\n"), "{answer}");
    };
    ask(Box::new(UnixStream::connect(&path).unwrap()), request);
    let proxied = format!("PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n{request}");
    ask(Box::new(TcpStream::connect(address).unwrap()), &proxied);
    // A check of the proxy itself (LOCAL).
    ask(Box::new(TcpStream::connect(address).unwrap()), &format!("PROXY UNKNOWN\r\n{request}"));
}

trait ReadWrite: Read + Write {}

impl<S: Read + Write> ReadWrite for S {}

#[test]
fn a_root_that_is_missing_is_503_until_it_is_there_again() {
    let site = Site::with(&[("a", b"a")]);
    let checked = Checked::new(&site, &[]);
    checked.wait_for_health(200, "ready");
    for _ in 0..2 {
        let moved = site.outside().join("moved");
        fs::rename(site.root(), &moved).unwrap();
        checked.wait_for_health(503, "the document root is missing");
        fs::rename(&moved, site.root()).unwrap();
        checked.wait_for_health(200, "ready");
    }
    // Another directory takes its place.
    fs::rename(site.root(), site.outside().join("old")).unwrap();
    fs::create_dir(site.root()).unwrap();
    checked.wait_for_health(200, "ready");
}

#[test]
fn it_stays_200_over_reloads() {
    let site = Site::with(&[("a", b"a")]);
    let checked = Checked::new(&site, &[]);
    let reloads = || checked.server.log().matches("Reloaded; ").count();
    let mut polls = 0;
    for reload in 1..=5 {
        checked.server.signal(Signal::SIGHUP);
        let mut after = 0;
        // Also while the old workers drain.
        while after < 20 {
            let mut kept = checked.server.connect();
            assert_eq!(kept.get("/healthz").text(), "ready\n");
            assert_eq!(checked.health(), Some((200, "ready\n".into())));
            polls += 2;
            after += usize::from(reloads() == reload);
        }
    }
    assert!(polls >= 100);
}

#[test]
fn a_worker_that_drains_after_a_reload_is_healthy_and_one_of_a_stopping_server_is_not() {
    for (signal, status, text) in [(Signal::SIGHUP, 200, "ready\n"), (Signal::SIGTERM, 503, "draining\n")] {
        let site = Site::new();
        site.write("large", &vec![b'x'; 20_000_000]);
        let server = Server::with(&site, &[OPTION, "--workers=1", "--stop-timeout=1000"]);
        let mut download = server.connect();
        download.send(get("/large"));
        let mut client = server.connect();
        assert_eq!(client.get("/healthz").text(), "ready\n");
        let mut idle = server.connect();
        assert_eq!(idle.get("/healthz").text(), "ready\n");
        // A request that has begun to arrive.
        client.send("GET /healthz HTTP/1.1\r\n");
        assert_eq!(server.get("/healthz").text(), "ready\n", "so the one worker has read what was sent before");
        server.signal(signal);
        // The worker drains once it has closed this connection.
        idle.assert_closed();
        let response = client.send("Host: a\r\n\r\n").response();
        assert_eq!((response.status, response.text().as_str()), (status, text));
        assert_eq!(response.field("Connection"), Some("close"));
        client.assert_closed();
    }
}

/// Asks over one connection until the answer is not 200, and returns that answer.
fn poll_until_503(client: &mut Client) -> Response {
    let begin = Instant::now();
    loop {
        let response = client.get("/healthz");
        if response.status != 200 {
            return response;
        }
        assert!(begin.elapsed() < DEADLINE);
    }
}

#[test]
fn a_lame_duck_says_503_and_serves_before_it_stops() {
    let site = Site::with(&[("a", b"a")]);
    let systemd = Notifications::new();
    let setup = Setup::new(&site, &[OPTION, "--lame-duck=3"]).env("NOTIFY_SOCKET", systemd.path());
    let mut checked = Checked::start(setup);
    let mut client = checked.server.connect();
    assert_eq!(client.get("/healthz").text(), "ready\n");
    let mut kept = checked.server.connect();
    assert_eq!(kept.get("/a").text(), "a");
    let begin = Instant::now();
    checked.server.signal(Signal::SIGTERM);
    let response = poll_until_503(&mut client);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!((response.text().as_str(), response.field("Connection")), ("draining\n", Some("close")));
    client.assert_closed();
    // New connections and kept ones are served until the end, by every worker, even by one that is started now.
    nix::sys::signal::kill(checked.server.workers()[0], Signal::SIGKILL).unwrap();
    let (mut served, mut messages) = (0, Vec::new());
    while begin.elapsed() < Duration::from_millis(2_500) {
        assert_eq!(checked.health(), Some((503, "draining\n".into())));
        assert_eq!(checked.server.get("/a").text(), "a");
        served += 1;
        messages.extend(systemd.waiting());
    }
    assert!(served > 10, "{served}");
    assert_eq!(checked.server.exit_status().code(), Some(0));
    assert!(begin.elapsed() > Duration::from_millis(2_900), "{:?}", begin.elapsed());
    assert!(TcpStream::connect(checked.server.address).is_err());
    messages.extend(systemd.waiting());
    assert_eq!(messages.iter().filter(|message| message.contains("STOPPING=1")).count(), 1, "{messages:?}");
    let position = |text: &str| messages.iter().position(|message| message.contains(text));
    let order = ["STOPPING=1", "STATUS=Lame duck: ", "EXTEND_TIMEOUT_USEC=", "STATUS=Stopped; "].map(position);
    assert!(order.is_sorted() && order.iter().all(Option::is_some), "{order:?} {messages:?}");
}

#[test]
fn a_second_signal_ends_the_lame_duck_and_another_signal_has_none() {
    let site = Site::with(&[("a", b"a")]);
    for signals in
        [[Signal::SIGTERM, Signal::SIGTERM].as_slice(), &[Signal::SIGTERM, Signal::SIGINT], &[Signal::SIGINT]]
    {
        let mut checked = Checked::new(&site, &["--lame-duck=1000"]);
        let begin = Instant::now();
        for (number, signal) in signals.iter().enumerate() {
            checked.server.signal(*signal);
            if number + 1 < signals.len() {
                checked.wait_for_health(503, "draining");
                assert_eq!(checked.server.get("/a").text(), "a");
            }
        }
        assert_eq!(checked.server.exit_status().code(), Some(0));
        assert!(begin.elapsed() < Duration::from_secs(60), "{signals:?}");
        checked.server.wait_for_log("completing the requests in flight");
    }
}

#[test]
fn a_reload_and_an_idle_exit_have_no_lame_duck() {
    let site = Site::with(&[("a", b"a")]);
    let mut checked = Checked::new(&site, &["--lame-duck=1000", "--idle-exit=3", "--idle-timeout=1"]);
    checked.server.signal(Signal::SIGHUP);
    checked.server.wait_for_log("Reloaded; ");
    checked.wait_for_health(200, "ready");
    assert_eq!(checked.server.exit_status().code(), Some(0));
    assert!(!checked.server.log().contains("--lame-duck"), "{}", checked.server.log());
}

#[test]
fn a_reload_during_a_lame_duck_does_not_begin() {
    let site = Site::with(&[("a", b"a")]);
    let mut checked = Checked::new(&site, &["--lame-duck=2"]);
    checked.server.signal(Signal::SIGTERM);
    checked.wait_for_health(503, "draining");
    checked.server.signal(Signal::SIGHUP);
    assert_eq!(checked.server.exit_status().code(), Some(0));
    assert!(!checked.server.log().contains("Reloaded; "), "{}", checked.server.log());
}

//! The socket named "metrics": it serves counters and health, and nothing else.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::compress;
use crate::exposition::{self, Samples};
use crate::support::{Client, Server, Setup, Site, get, wait_for, wait_until};

/// A server with a metrics socket.
struct Watched {
    server: Server,
    metrics: std::net::SocketAddr,
}

fn start(site: &Site, arguments: &[&str]) -> Watched {
    let [http, metrics] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, metrics_address) = (http.local_addr().unwrap(), metrics.local_addr().unwrap());
    let setup = Setup::new(site, arguments).env("LISTEN_FDNAMES", "http:metrics").socket(http).socket(metrics);
    let mut server = setup.start();
    server.address = address;
    Watched { server, metrics: metrics_address }
}

impl Watched {
    fn ask(&self, target: &str) -> crate::support::Response {
        let mut client = Client::connect(self.metrics);
        let response = client.get(target);
        assert_eq!(response.field("Connection"), Some("close"));
        client.assert_closed();
        response
    }

    fn samples(&self) -> Samples {
        let response = self.ask("/metrics");
        assert_eq!(response.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        exposition::parse(&response.text())
    }

    /// Returns the samples once there is no request in flight.
    fn settled(&self) -> Samples {
        wait_for("no request in flight", || {
            Some(self.samples()).filter(|samples| samples.get("otus_http_requests_in_flight") == 0.0)
        })
    }
}

fn requests(method: &str, code: &str) -> String {
    format!("otus_http_requests_total{{method=\"{method}\",code=\"{code}\"}}")
}

#[test]
fn the_counters_match_the_requests_of_clients() {
    let site = Site::with(&[("a", b"a"), ("directory/index.html", b"")]);
    let watched = start(&site, &[]);
    watched.server.wait_until_ready();
    let mut clients: Vec<Client> = (0..12).map(|_| watched.server.connect()).collect();
    for client in &mut clients {
        for _ in 0..5 {
            assert_eq!(client.get("/a").status, 200);
        }
        assert_eq!(client.get("/none").status, 404);
        assert_eq!(client.get("/directory").status, 301);
        assert_eq!(client.send("GET /a HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n").head().status, 304);
        assert_eq!(client.send("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n").head().status, 200);
        assert_eq!(client.send("OPTIONS /a HTTP/1.1\r\nHost: a\r\n\r\n").head().status, 204);
        assert_eq!(client.send("DELETE /a HTTP/1.1\r\nHost: a\r\n\r\n").response().status, 405);
        assert_eq!(client.send("BREW /a HTTP/1.1\r\nHost: a\r\n\r\n").response().status, 501);
        // Eight at once.
        client.send(get("/a").repeat(8));
        (0..8).for_each(|_| assert_eq!(client.response().status, 200));
        assert_eq!(client.send("no request\r\n\r\n").response().status, 400);
    }
    let samples = watched.settled();
    for (method, code, each) in [
        ("GET", "2xx", 13.0),
        ("GET", "3xx", 2.0),
        ("GET", "4xx", 1.0),
        ("GET", "5xx", 0.0),
        ("HEAD", "2xx", 1.0),
        ("OPTIONS", "2xx", 1.0),
        ("other", "4xx", 2.0),
        ("other", "5xx", 1.0),
    ] {
        assert_eq!(samples.get(&requests(method, code)), each * 12.0, "{method} {code}");
    }
    assert_eq!(samples.sum("otus_http_requests_total"), 21.0 * 12.0);
    assert_eq!(samples.get("otus_http_request_duration_seconds_count"), 21.0 * 12.0);
    assert!(samples.get("otus_http_request_duration_seconds_sum") > 0.0);
    assert_eq!(samples.get("otus_http_connections_accepted_total"), 12.0);
    assert_eq!(samples.get("otus_workers"), 2.0);
    assert_eq!(samples.get("otus_workers_ready"), 2.0);
    assert!(samples.get("otus_request_threads") >= 2.0);
    assert_eq!(samples.get(&format!("otus_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 1.0);
    let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let started_s = samples.get("process_start_time_seconds");
    assert!(started_s <= now_s && started_s > now_s - 300.0, "{started_s} {now_s}");
}

#[test]
fn bytes_are_those_that_clients_got() {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; 3_000_000]);
    let watched = start(&site, &[]);
    let mut received = 0;
    for target in ["/a", "/large", "/none"] {
        let mut client = watched.server.connect();
        client.send(format!("GET {target} HTTP/1.0\r\n\r\n"));
        received += std::io::Read::read_to_end(&mut client.0, &mut Vec::new()).unwrap();
    }
    assert_eq!(watched.settled().get("otus_http_sent_bytes_total"), received as f64);
}

#[test]
fn requests_and_connections_in_progress_are_reported() {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; 20_000_000]);
    let watched = start(&site, &[]);
    let mut idle = watched.server.connect();
    assert_eq!(idle.get("/a").text(), "a");
    let mut slow: Vec<Client> = (0..3).map(|_| watched.server.connect()).collect();
    for client in &mut slow {
        client.send(get("/large"));
    }
    let values_of = |samples: &Samples| {
        let gauges = ["otus_http_requests_in_flight", "otus_http_connections", "otus_http_connections_parked"];
        gauges.map(|name| samples.get(name))
    };
    wait_until("three downloads", || values_of(&watched.samples()) == [3.0, 4.0, 4.0]);
    let begin = std::time::Instant::now();
    wait_until("some time", || begin.elapsed().as_millis() > 300);
    assert_eq!(slow[0].response().body.len(), 20_000_000);
    slow.truncate(1);
    // Requests of clients that have disconnected are completed too; their duration is counted.
    let samples = watched.settled();
    assert_eq!(values_of(&samples), [0.0, 2.0, 2.0]);
    assert_eq!(samples.get("otus_http_request_duration_seconds_count"), 4.0);
    let quick = samples.get("otus_http_request_duration_seconds_bucket{le=\"0.25\"}");
    assert_eq!(quick, 1.0, "a download takes as long as its client");
    assert!(samples.get("otus_http_request_duration_seconds_sum") > 0.9);
}

#[test]
fn refused_connections_and_slow_heads_are_counted_too() {
    let site = Site::with(&[("a", b"a")]);
    let watched = start(&site, &["--max-per-client=1", "--head-timeout=1"]);
    let mut slow = watched.server.connect();
    assert_eq!(slow.get("/a").text(), "a", "its connection is accepted before the limit is reached");
    slow.send("GET /a HT");
    wait_until("a refusal", || watched.server.get("/a").status == 503);
    assert_eq!(slow.response().status, 408);
    let samples = watched.settled();
    assert!(samples.get("otus_http_connections_refused_total") >= 1.0);
    assert_eq!(samples.get(&requests("other", "4xx")), 1.0);
    assert_eq!(samples.get("otus_http_request_duration_seconds_count"), samples.sum("otus_http_requests_total"));
}

#[test]
fn a_killed_worker_is_counted_and_its_counts_stay() {
    let site = Site::with(&[("a", b"a")]);
    let watched = start(&site, &["--workers=1"]);
    (0..7).for_each(|_| assert_eq!(watched.server.get("/a").status, 200));
    let restarts =
        |samples: &Samples, reason| samples.get(&format!("otus_worker_restarts_total{{reason=\"{reason}\"}}"));
    assert_eq!(restarts(&watched.settled(), "signal"), 0.0);
    kill(watched.server.workers()[0], Signal::SIGKILL).unwrap();
    wait_until("the death to be counted", || restarts(&watched.samples(), "signal") == 1.0);
    wait_until("a worker again", || watched.samples().get("otus_workers_ready") == 1.0);
    kill(watched.server.workers()[0], Signal::SIGTERM).unwrap();
    wait_until("the exit to be counted", || restarts(&watched.samples(), "exit") == 1.0);
    assert_eq!(watched.server.get("/a").status, 200);
    let samples = watched.settled();
    assert_eq!(samples.get(&requests("GET", "2xx")), 8.0);
    assert_eq!(restarts(&samples, "signal"), 1.0);
}

#[test]
fn health_is_ready_while_a_worker_serves_and_nothing_drains() {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; 20_000_000]);
    let mut watched = start(&site, &["--workers=1"]);
    watched.server.wait_until_ready();
    let health = |watched: &Watched| (watched.ask("/health").status, watched.ask("/health").text());
    assert_eq!(health(&watched), (200, "ready\n".into()));

    // The delay grows with every death, so that the time without a worker can be observed.
    for _ in 0..5 {
        wait_until("a worker", || watched.ask("/health").status == 200);
        kill(watched.server.workers()[0], Signal::SIGKILL).unwrap();
        wait_until("no worker", || watched.ask("/health").status == 503);
    }
    assert_eq!(health(&watched), (503, "no workers ready\n".into()));
    wait_until("a worker", || watched.ask("/health").status == 200);

    let mut download = watched.server.connect();
    download.send(get("/large"));
    assert_eq!(download.0.peek(&mut [0]).unwrap(), 1);
    watched.server.signal(Signal::SIGTERM);
    wait_until("draining", || health(&watched) == (503, "draining\n".into()));
    assert_eq!(watched.samples().get("otus_http_requests_in_flight"), 1.0);
    assert_eq!(download.response().body.len(), 20_000_000);
    assert_eq!(watched.server.exit_status().code(), Some(0));
}

#[test]
fn each_socket_serves_its_own_pages_only() {
    let site = Site::with(&[("a", b"a"), ("index.html", b"")]);
    let watched = start(&site, &[]);
    watched.server.wait_until_ready();
    for target in ["/a", "/", "/index.html", "/metrics/", "/metrics/a", "/health/..", "/../a"] {
        assert!(matches!(watched.ask(target).status, 400 | 404), "{target}");
    }
    for target in ["/metrics", "/health"] {
        assert_eq!(watched.server.get(target).status, 404, "{target}");
        assert_eq!(watched.ask(&format!("{target}?a=b")).status, 200);
        let mut client = Client::connect(watched.metrics);
        let head = client.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n")).head();
        assert_eq!(head.status, 200);
        client.assert_closed();
        for method in ["POST", "OPTIONS", "DELETE", "BREW"] {
            let mut client = Client::connect(watched.metrics);
            let refused = client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n")).response();
            assert_eq!((refused.status, refused.field("Allow")), (405, Some("GET, HEAD")), "{method}");
            refused.assert_common_fields();
        }
    }
    let long = format!("GET /{}", "x".repeat(40_000));
    for (wrong, status) in [("GET /metrics HTTP/1.1\r\n\r\n", 400), (&long, 414), ("GET / HTTP/2.0\r\n\r\n", 505)] {
        let mut client = Client::connect(watched.metrics);
        // A request that is too long is rejected before it is completely sent.
        let _ = std::io::Write::write_all(&mut client.0, wrong.as_bytes());
        assert_eq!(client.response().status, status, "{:.20}", wrong);
    }
    // A request for the site counts, one for metrics does not.
    assert_eq!(watched.settled().sum("otus_http_requests_total"), 2.0);
}

/// Only the supervisor can respond for the server.
#[test]
fn workers_do_not_have_the_socket() {
    let watched = start(&Site::new(), &[]);
    watched.server.wait_until_ready();
    let sockets = |process| {
        let entries = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        let targets = entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).collect::<Vec<_>>()
    };
    let port = format!(":{:04X}", watched.metrics.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let row = table.lines().find(|row| row.contains(&port) && row.contains(" 0A ")).unwrap();
    let listener = std::path::PathBuf::from(format!("socket:[{}]", row.split_whitespace().nth(9).unwrap()));
    assert!(sockets(watched.server.pid()).contains(&listener));
    for worker in watched.server.workers() {
        assert!(!sockets(worker).contains(&listener), "{worker}");
    }
}

/// Silent clients exclude no other client.
#[test]
fn silent_clients_of_metrics_do_not_delay_health() {
    let watched = start(&Site::new(), &[]);
    watched.server.wait_until_ready();
    let silent: Vec<Client> = (0..200).map(|_| Client::connect(watched.metrics)).collect();
    let begin = Instant::now();
    for _ in 0..10 {
        let response = watched.ask("/health");
        assert_eq!((response.status, response.text()), (200, "ready\n".into()));
    }
    assert!(
        begin.elapsed() < Duration::from_millis(2_500),
        "half of what one silent caller is waited for: {:?}",
        begin.elapsed()
    );
    drop(silent);
}

#[test]
fn a_response_arrives_however_its_request_was_split() {
    // A client does not have to wait until the server runs: its connection starts the server, and it gets a response
    // when a worker serves.
    let watched = start(&Site::new(), &[]);
    let mut client = Client::connect(watched.metrics);
    for byte in get("/health").bytes() {
        client.send([byte]);
    }
    // Input after the request does not destroy the response.
    let _ = std::io::Write::write_all(&mut client.0, get("/health").repeat(100).as_bytes());
    assert_eq!(client.response().text(), "ready\n");
}

#[test]
fn slow_clients_of_metrics_do_not_affect_the_site() {
    let site = Site::with(&[("a", b"a")]);
    let mut watched = start(&site, &["--workers=1"]);
    watched.server.wait_until_ready();
    let mut slow: Vec<Client> = (0..40).map(|_| Client::connect(watched.metrics)).collect();
    for client in &mut slow {
        client.send("GET /metr");
    }
    let worker = watched.server.workers()[0];
    kill(worker, Signal::SIGKILL).unwrap();
    watched.server.wait_for_log("starting a new worker in 100 ms");
    wait_until("another worker", || watched.server.workers().iter().any(|pid| *pid != worker));
    assert_eq!(watched.server.get("/a").text(), "a");
    // Each has five seconds, sixteen at a time; then the others have their turn.
    wait_until("the first to be seen off", || slow[0].is_closed());
    slow.truncate(20);
    let begin = std::time::Instant::now();
    watched.server.signal(Signal::SIGTERM);
    assert_eq!(watched.server.exit_status().code(), Some(0));
    assert!(begin.elapsed().as_millis() < 2_000, "{:?}", begin.elapsed());
}

#[test]
fn a_new_worker_inherits_no_connection_of_the_metrics_server() {
    let site = Site::with(&[("a", b"a")]);
    let watched = start(&site, &["--workers=1"]);
    watched.server.wait_until_ready();
    let mut slow: Vec<Client> = (0..8).map(|_| Client::connect(watched.metrics)).collect();
    for client in &mut slow {
        client.send("GET /metr");
    }
    let supervisor = [watched.server.pid()];
    let idle = crate::support::open_descriptors(&watched.server.workers());
    wait_until("the metrics server to accept them", || crate::support::open_descriptors(&supervisor) >= 8 + 5);
    let worker = watched.server.workers()[0];
    kill(worker, Signal::SIGKILL).unwrap();
    wait_until("another worker", || watched.server.workers().iter().any(|pid| *pid != worker));
    assert_eq!(watched.server.get("/a").text(), "a");
    wait_until("as few descriptors as before", || crate::support::open_descriptors(&watched.server.workers()) <= idle);
}

#[test]
fn ambiguous_names_of_sockets_are_warnings() {
    let site = Site::with(&[("a", b"a")]);
    for (name, is_warned) in [("metric", true), ("HTTPS", true), ("otus-httpd-extra.socket", false), ("http", false)] {
        let server = Setup::new(&site, &[]).env("LISTEN_FDNAMES", name).listen();
        server.wait_until_ready();
        assert_eq!(server.get("/a").text(), "a", "{name}");
        assert_eq!(server.log().contains("only the name \"metrics\" selects"), is_warned, "{name}: {}", server.log());
    }
}

#[test]
fn a_metrics_socket_alone_does_not_replace_the_address_of_the_site() {
    let site = Site::with(&[("a", b"a")]);
    let setup = Setup::new(&site, &["--port=0"]).env("LISTEN_FDNAMES", "metrics");
    let server = setup.listen();
    server.wait_until_ready();
    assert_eq!(server.get("/health").text(), "ready\n");
    assert!(server.log().contains("Listening on http://127.0.0.1:"), "{}", server.log());
}

#[test]
fn counters_and_socket_roles_survive_a_reload() {
    let site = Site::with(&[("a", b"a")]);
    let watched = start(&site, &[]);
    (0..5).for_each(|_| assert_eq!(watched.server.get("/a").status, 200));
    watched.server.wait_until_ready();
    watched.server.signal(Signal::SIGHUP);
    // Requests for metrics are not affected.
    wait_until("the reload", || {
        assert_eq!(watched.samples().get("otus_workers"), 2.0);
        assert_eq!(watched.ask("/health").text(), "ready\n");
        watched.server.log().contains("Reloaded; ")
    });
    assert_eq!(watched.ask("/a").status, 404);
    assert_eq!(watched.server.get("/metrics").status, 404);
    assert_eq!(watched.settled().get(&requests("GET", "2xx")), 5.0);
}

#[test]
fn what_is_compressed_in_memory_and_sent_is_counted() {
    let content = compress::text(1, 10_000);
    let site = Site::with(&[("a.css", &content)]);
    let watched = start(&site, &["--workers=1"]);
    compress::warm(&watched.server, "/a.css", "br");
    let before = watched.settled();
    assert_eq!(before.get("otus_compressed_files_total"), 1.0);
    assert_eq!(before.get("otus_compressed_bytes_total"), content.len() as f64);
    assert_eq!(before.get("otus_compressed_hits_total"), 1.0);
    compress::warm(&watched.server, "/a.css", "br");
    assert_eq!(watched.settled().get("otus_compressed_hits_total"), 2.0);
}

//! What the status line, `/health` and the metrics say about many sites.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;

use crate::support::{Client, Notifications, Server, Setup, Site, wait_until};

/// A server of a directory of sites, with a socket for metrics.
fn serve(sites: &Site, systemd: &Notifications) -> (Server, SocketAddr) {
    let [http, metrics] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, metrics_address) = (http.local_addr().unwrap(), metrics.local_addr().unwrap());
    let directory = format!("--sites={}", sites.root().display());
    let setup = Setup::bare(&["--workers=2", &directory]).env("LISTEN_FDNAMES", "http:metrics");
    let mut server = setup.env("NOTIFY_SOCKET", systemd.path()).socket(http).socket(metrics).start();
    server.address = address;
    (server, metrics_address)
}

fn health(metrics: SocketAddr) -> (u16, String) {
    let response = Client::connect(metrics).get("/health");
    (response.status, response.text())
}

/// Returns the samples of a metric.
fn samples(metrics: SocketAddr, name: &str) -> Vec<String> {
    let exposition = Client::connect(metrics).get("/metrics").text();
    exposition.lines().filter_map(|line| line.strip_prefix(name)).map(String::from).collect()
}

#[test]
fn the_status_counts_sites_and_says_what_is_missing() {
    let sites = Site::with(&[("a.test/f", b"a"), ("b.test/f", b"b"), (".releases/1/f", b"c")]);
    symlink("a.test", sites.path("www.a.test")).unwrap();
    symlink(".releases/1", sites.path("c.test")).unwrap();
    let systemd = Notifications::new();
    let (server, metrics) = serve(&sites, &systemd);
    systemd.find("the number of sites", |message| {
        message.contains("Serving: ") && message.contains(", sites 3, no _default,")
    });
    assert_eq!(health(metrics), (200, "ready\n".into()));
    assert_eq!(samples(metrics, "otus_sites "), ["3"]);
    fs::create_dir(sites.path("_default")).unwrap();
    systemd.find("the site of all other hosts", |message| message.contains(", sites 3 and _default,"));
    let aside = sites.outside().join("aside");
    fs::rename(sites.root(), &aside).unwrap();
    let missing = systemd
        .find("the missing directory", |message| message.contains(", DIRECTORY OF SITES MISSING OR UNREADABLE,"));
    assert!(!missing.contains("DOCUMENT ROOT"), "{missing}");
    assert_eq!(health(metrics), (503, "the directory of sites is missing or cannot be read\n".into()));
    fs::rename(&aside, sites.root()).unwrap();
    systemd.find("the directory", |message| message.contains(", sites 3 and _default,"));
    wait_until("health", || health(metrics) == (200, "ready\n".into()));
    drop(server);
}

#[test]
fn bytes_are_counted_by_site() {
    let sites = Site::with(&[("a.test/large", &[b'x'; 1_000_000]), ("b.test/small", b"b")]);
    let systemd = Notifications::new();
    let (server, metrics) = serve(&sites, &systemd);
    let get = |host: &str, target: &str| {
        server.connect().send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).response()
    };
    let name = "otus_http_site_sent_bytes_total";
    assert!(samples(metrics, name).is_empty());
    for _ in 0..2 {
        assert_eq!(get("a.test", "/large").body.len(), 1_000_000);
    }
    assert_eq!(get("b.test", "/small").text(), "b");
    assert_eq!(get("c.test", "/small").status, 421);
    let bytes = || {
        let number = |sample: &String| sample.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        samples(metrics, name).iter().map(number).collect::<Vec<_>>()
    };
    wait_until(
        "all bytes",
        || matches!(bytes()[..], [a, b] if (2_000_000..2_002_000).contains(&a) && (100..1_000).contains(&b)),
    );
}

//! A disk that fails: an error before the head, a cut connection after it, one log message for the administrator, and
//! no effect on anything else.

use std::io::{ErrorKind, Read};
use std::sync::LazyLock;

use nix::errno::Errno;

use crate::fuse::{Call, Disk, Fault};
use crate::support::{Client, Server, Site, encode, get, is_open, wait_until};

const LARGE: usize = 20_000_000;

/// Bytes that depend on their position.
fn content(size: usize) -> &'static [u8] {
    static ALL: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..LARGE as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect());
    &ALL[..size]
}

/// A site with a file `a` on a healthy disk, and at `disk` a FUSE file system with a small and a large file.
fn site() -> (Site, Disk) {
    let site = Site::with(&[("a", b"a")]);
    let disk = Disk::mount(&site, "disk", &[("small", content(10_000)), ("large", content(LARGE))]);
    (site, disk)
}

#[test]
fn a_sound_disk_is_served() {
    let (site, disk) = site();
    let server = Server::of(&site);
    for _ in 0..2 {
        let mut client = server.connect();
        assert_eq!(client.get("/disk/small").body, content(10_000));
        assert!(client.get("/disk/large").body == content(LARGE));
        assert_eq!(client.get("/disk/none").status, 404);
    }
    assert_eq!(disk.waiting(), 0);
    assert_eq!(server.warnings(), Vec::<String>::new());
}

#[test]
fn a_file_whose_first_byte_cannot_be_read_is_a_500() {
    for name in ["small", "large"] {
        let (site, disk) = site();
        disk.set(name, Call::Read(0), Fault::Error(Errno::EIO));
        let server = Server::of(&site);
        let mut client = server.connect();
        for _ in 0..3 {
            let response = client.get(&format!("/disk/{name}"));
            assert_eq!(response.status_line, "HTTP/1.1 500 Internal Server Error", "{name}");
            response.assert_common_fields();
            assert_eq!(response.field("ETag").or(response.field("Last-Modified")), None);
            assert!(response.text().contains("<h1>500 Internal Server Error</h1>"), "{}", response.text());
            assert_eq!(client.get("/a").text(), "a", "the connection continues");
        }
        let record =
            format!(" WARN Cannot serve \"/disk/{name}\": Input/output error (os error 5). Logged once a minute.");
        assert_eq!(server.warnings(), [record]);
        assert!(!is_open(&server.workers(), name));
        disk.mend();
        assert_eq!(client.get(&format!("/disk/{name}")).status, 200);
    }
}

#[test]
fn a_file_that_fails_in_the_middle_cuts_the_connection() {
    const SOUND: usize = 1 << 20;
    // Some of these errors could also be of the connection: EAGAIN would cause a wait, and two others would be no
    // server fault.
    for errno in [Errno::EIO, Errno::ENXIO, Errno::EAGAIN, Errno::ETIMEDOUT, Errno::ECONNRESET] {
        let (site, disk) = site();
        disk.set("large", Call::Read(SOUND as u64), Fault::Error(errno));
        let server = Server::of(&site);
        let mut client = server.connect();
        // The pipelined request after it gets no response on this connection.
        let head = client.send(get("/disk/large") + &get("/a")).head();
        assert_eq!((head.status, head.content_length()), (200, LARGE));
        let body = rest(&mut client);
        assert!(body.len() <= SOUND && content(LARGE).starts_with(&body), "{} bytes", body.len());
        server.wait_for_log("Cannot send");
        let why = std::io::Error::from(errno);
        let record = format!("Cannot send \"/disk/large\" completely, from byte {SOUND}: {why}. Logged once a minute.");
        assert_eq!(server.warnings(), [format!(" WARN {record}")]);
        wait_until("the file to be closed", || !is_open(&server.workers(), "large"));
        assert_eq!(server.get("/a").text(), "a");
    }
}

/// Receives everything until the connection is cut, cleanly or by a reset.
fn rest(client: &mut Client) -> Vec<u8> {
    let mut body = Vec::new();
    let end = client.0.read_to_end(&mut body);
    assert!(!end.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "neither a byte nor an end");
    body
}

#[test]
fn a_failed_check_of_a_file_cuts_the_connection() {
    let (site, disk) = site();
    let server = Server::of(&site);
    let mut client = server.connect();
    let head = client.send(get("/disk/large")).head();
    disk.set("large", Call::Stat, Fault::Error(Errno::ESTALE));
    assert!(rest(&mut client).len() < head.content_length());
    server.wait_for_log("Stale file handle");
    assert_eq!(server.warnings().len(), 1);
}

#[test]
fn ranges_fail_where_the_disk_does() {
    let (site, disk) = site();
    disk.set("large", Call::Read(1 << 20), Fault::Error(Errno::EIO));
    let server = Server::of(&site);
    let ask = |range: &str| get("/disk/large").replace("\r\n\r\n", &format!("\r\nRange: bytes={range}\r\n\r\n"));
    let mut client = server.connect();
    let response = client.send(ask("1000000-1000009")).response();
    assert_eq!((response.status, &response.body[..]), (206, &content(LARGE)[1_000_000..1_000_010]));
    assert_eq!(client.send(ask("2000000-")).response().status, 500);
    assert_eq!(client.send(ask("2000000-2000001,100-101")).response().status, 500);
    // The second part fails after the first one's head.
    let head = client.send(ask("100-101,2000000-2000001")).head();
    assert_eq!(head.status, 206);
    assert!(rest(&mut client).len() < head.content_length());
}

#[test]
fn each_error_has_its_status() {
    // The status of a file that exists but cannot be opened, and of an open file that cannot be read.
    for (errno, of_open, of_read) in [
        (Errno::EIO, 500, 500),
        (Errno::ESTALE, 500, 500),
        (Errno::ENOTCONN, 500, 500),
        (Errno::ETIMEDOUT, 500, 500),
        (Errno::ENOENT, 404, 500),
        (Errno::EINVAL, 404, 500),
        (Errno::ENXIO, 403, 500),
        (Errno::ENODEV, 403, 500),
        (Errno::EACCES, 403, 403),
        (Errno::EPERM, 403, 403),
        (Errno::ENOMEM, 503, 503),
        (Errno::EAGAIN, 500, 500),
    ] {
        let (site, disk) = site();
        let server = Server::of(&site);
        let mut client = server.connect();
        // A file without metadata does not exist.
        let of_stat = if errno == Errno::ENOENT { of_open } else { of_read };
        for name in ["small", "large"] {
            for (call, expected) in [(Call::Open, of_open), (Call::Stat, of_stat), (Call::Read(0), of_read)] {
                disk.set(name, call, Fault::Error(errno));
                let response = client.get(&format!("/disk/{name}"));
                assert_eq!(response.status, expected, "{errno} from {call:?} of {name}");
            }
        }
        let is_ours = |status| status >= 500;
        let records = usize::from(is_ours(of_open) || is_ours(of_read));
        assert_eq!(server.warnings().len(), records, "{:?}", server.warnings());
    }
}

#[test]
fn errors_on_index_variants_and_error_pages_are_handled() {
    for call in [Call::Find, Call::Stat, Call::Open, Call::Read(0)] {
        let site = Site::new();
        let page: &[u8] = &[b'a'; 40_000];
        let [small_variant, large_variant]: [&[u8]; 2] =
            [&[b'a'; 500], page].map(|content| encode("gzip", content).leak() as &_);
        let disk = Disk::mount(
            &site,
            "",
            &[
                ("index.html", b"index"),
                ("404.html", b"site's 404"),
                ("50x.html", b"site's 50x"),
                ("small", &[b'a'; 500]),
                ("small.br", b"br"),
                ("small.gz", small_variant),
                ("large", page),
                ("large.br", &page[..39_999]),
                ("large.gz", large_variant),
            ],
        );
        for name in ["index.html", "404.html", "small.br", "large.br"] {
            disk.set(name, call, Fault::Error(Errno::EIO));
        }
        let server = Server::of(&site);
        let mut client = server.connect();
        let response = client.get("/none");
        assert_eq!((response.status, response.text().contains("404 Not Found")), (404, true), "{call:?}");
        let response = client.get("/");
        assert_eq!((response.status, response.text().as_str()), (500, "site's 50x"), "{call:?}");

        // A variant that cannot be read is ignored.
        for (name, variant) in [("small", small_variant), ("large", large_variant)] {
            let coded = get(&format!("/{name}")).replace("\r\n\r\n", "\r\nAccept-Encoding: br, gzip\r\n\r\n");
            wait_until("the other variant", || {
                let response = client.send(&coded).response();
                assert_eq!(
                    (response.status, response.field("Vary")),
                    (200, Some("Accept-Encoding")),
                    "{call:?}: {name}"
                );
                response.field("Content-Encoding") == Some("gzip") && response.body == variant
            });
        }
        disk.set("50x.html", Call::Find, Fault::Error(Errno::EIO));
        assert!(client.get("/").text().contains("500 Internal Server Error"));
    }
}

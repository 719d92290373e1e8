//! Files: content, fields, types, directories.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::support::{Server, Site, get, wait_until};

#[test]
fn a_file_with_all_its_fields() {
    let site = Site::with(&[("test.html", b"<p>Otus</p>\n")]);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    File::open(site.path("test.html")).unwrap().set_modified(modified).unwrap();
    let response = Server::of(&site).get("/test.html");

    assert_eq!(response.status_line, "HTTP/1.1 200 OK");
    response.assert_common_fields();
    assert_eq!(response.field("Connection"), Some("keep-alive"));
    assert_eq!(response.field("Content-Type"), Some("text/html"));
    assert_eq!(response.field("Content-Length"), Some("12"));
    assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(response.field("Last-Modified"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    let tag = response.field("ETag").unwrap();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "a strong tag: {tag}");
    assert_eq!(response.text(), "<p>Otus</p>\n");
}

#[test]
fn head_gets_the_fields_of_get_and_no_content() {
    let site = Site::with(&[("a.css", b"p {}"), ("dir/b", b"")]);
    // Within a second of its time, a file has no Last-Modified.
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    File::open(site.path("a.css")).unwrap().set_modified(modified).unwrap();
    let server = Server::of(&site);
    for target in ["/a.css", "/none", "/dir"] {
        let mut client = server.connect();
        let mut of_get = client.get(target);
        let mut of_head = client.send(get(target).replace("GET", "HEAD")).head();
        for response in [&mut of_get, &mut of_head] {
            response.fields.retain(|(name, _)| name != "Date");
        }
        assert_eq!((of_get.status_line, of_get.fields), (of_head.status_line, of_head.fields));
        // No bytes of a body remain that could be read as the next response.
        assert_eq!(client.get("/a.css").text(), "p {}");
    }
}

#[test]
fn content_of_every_size_arrives_as_it_is() {
    let site = Site::new();
    let bytes: Vec<u8> = (0..20_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for size in [0, 1, 97, 4096, 32 * 1024, 32 * 1024 + 1, 65_536, 1_000_000, bytes.len()] {
        site.write(size.to_string(), &bytes[..size]);
    }
    let server = Server::of(&site);
    // Twice: from the disk, and later, for small files, from memory.
    for _ in 0..2 {
        let mut client = server.connect();
        for size in [0, 1, 97, 4096, 32 * 1024, 32 * 1024 + 1, 65_536, 1_000_000, bytes.len()] {
            let response = client.get(&format!("/{size}"));
            assert_eq!(response.status, 200);
            assert!(response.body == bytes[..size], "{size} bytes");
        }
        wait_until_settled(&site, "97");
    }
}

#[test]
fn a_changed_file_is_seen_at_once() {
    let site = Site::with(&[("a", b"old")]);
    let server = Server::of(&site);
    wait_until_settled(&site, "a");
    // The file is in memory now; each of these changes must be detected.
    let mut client = server.connect();
    assert_eq!(client.get("/a").text(), "old");
    let tag = client.get("/a").field("ETag").unwrap().to_string();
    site.write("a", b"new");
    assert_eq!(client.get("/a").text(), "new");
    assert_ne!(client.get("/a").field("ETag").unwrap(), tag);
    for n in 0..200 {
        site.write("a", n.to_string().as_bytes());
        assert_eq!(client.get("/a").text(), n.to_string());
    }
    fs::rename(site.path("a"), site.path("b")).unwrap();
    assert_eq!(client.get("/a").status, 404);
}

/// Waits until the last write to `name` is so long ago that the file may be cached in memory.
fn wait_until_settled(site: &Site, name: &str) {
    let modified = fs::metadata(site.path(name)).unwrap().modified().unwrap();
    wait_until("the file to be two seconds old", || modified.elapsed().unwrap() > Duration::from_millis(2_100));
}

#[test]
fn types_by_extension() {
    let expected = [
        ("a.html", "text/html"),
        ("a.css", "text/css"),
        ("a.js", "text/javascript"),
        ("a.jpg", "image/jpeg"),
        ("a.jpeg", "image/jpeg"),
        ("a.PNG", "image/png"),
        ("a.gif", "image/gif"),
        ("a.swf", "application/x-shockwave-flash"),
        ("text..txt", "text/plain"),
        ("unknown", "application/octet-stream"),
    ];
    let site = Site::new();
    expected.iter().for_each(|(name, _)| site.write(name, b"x"));
    let server = Server::of(&site);
    let mut client = server.connect();
    for (name, media_type) in expected {
        assert_eq!(client.get(&format!("/{name}")).field("Content-Type"), Some(media_type), "{name}");
    }
}

#[test]
fn types_can_be_overridden() {
    let site = Site::with(&[("a.html", b""), ("a.one", b""), ("a.two", b""), ("a.css", b"")]);
    std::fs::write(site.outside().join("types"), "a/file one two\n").unwrap();
    let file = format!("--mime-types={}", site.outside().join("types").display());
    let server = Server::with(&site, &[&file, "--mime=html=a/html", "--mime=two=a/option"]);
    for (target, media_type) in
        [("/a.html", "a/html"), ("/a.one", "a/file"), ("/a.two", "a/option"), ("/a.css", "text/css")]
    {
        assert_eq!(server.get(target).field("Content-Type"), Some(media_type), "{target}");
    }
}

#[test]
fn a_charset_is_sent_for_text_only_and_only_if_configured() {
    let site = Site::with(&[("a.html", b""), ("a.png", b"")]);
    let server = Server::with(&site, &["--charset=utf-8"]);
    assert_eq!(server.get("/a.html").field("Content-Type"), Some("text/html; charset=utf-8"));
    assert_eq!(server.get("/a.png").field("Content-Type"), Some("image/png"));
}

#[test]
fn directories() {
    let site = Site::with(&[
        ("index.html", b"top"),
        ("dir/index.html", b"dir"),
        ("bare/file", b""),
        ("odd/index.html/x", b""),
        ("dir/sub/file", b""),
        ("dir/a:b/file", b""),
        ("..evil/file", b""),
        ("\\evil/file", b""),
        ("http:/file", b""),
    ]);
    let server = Server::with(&site, &["--dotfiles"]);
    let mut client = server.connect();
    assert_eq!(client.get("/").text(), "top");
    assert_eq!(client.get("/dir/").text(), "dir");
    assert_eq!(client.get("/dir/").field("Content-Type"), Some("text/html"));
    assert_eq!(client.get("/bare/").status, 404);
    assert_eq!(client.get("/odd/").status, 404);
    // It is relative, so that it holds behind a proxy that removes a prefix. It is one segment on this host.
    for (target, location) in [
        ("/dir", "dir/"),
        ("/bare?a=b&c", "bare/?a=b&c"),
        ("/bare?a=//evil/", "bare/?a=//evil/"),
        ("/dir/sub", "sub/"),
        ("/bare/../dir/sub?x", "sub/?x"),
        ("http://a/dir/sub", "sub/"),
        ("//dir", "dir/"),
        ("///dir", "dir/"),
        ("/dir/a:b", "./a:b/"),
        ("/http:", "./http:/"),
        ("/..evil", "..evil/"),
        ("/\\evil", "%5Cevil/"),
        ("/%5Cevil?\\", "%5Cevil/?%5C"),
    ] {
        let response = client.get(target);
        assert_eq!((response.status, response.field("Location")), (301, Some(location)), "{target}");
    }
}

#[test]
fn a_slash_after_a_file_name_is_404() {
    let site = Site::with(&[("page.html", b"")]);
    let server = Server::of(&site);
    assert_eq!(server.get("/page.html/").status, 404);
    assert_eq!(server.get("/page.html/more").status, 404);
}

#[test]
fn a_query_is_no_part_of_the_name() {
    let site = Site::with(&[("page.html", b"page")]);
    assert_eq!(Server::of(&site).get("/page.html?arg1=value&arg2=%00/../..").text(), "page");
}

/// Writes to a file that is being sent, and then calls `further` for it. The connection ends before the response is
/// complete.
fn check_write_while_sent(further: impl FnOnce(&File, SystemTime)) {
    let site = Site::new();
    site.write("large", &vec![b'x'; 50_000_000]);
    let server = Server::of(&site);
    let mut client = server.connect();
    let head = client.send(get("/large")).head();
    let mut file = File::options().write(true).open(site.path("large")).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(40_000_000)).unwrap();
    std::io::Write::write_all(&mut file, &[b'y'; 1_000]).unwrap();
    further(&file, modified);
    let mut body = Vec::new();
    let _ = client.0.read_to_end(&mut body);
    assert!(body.len() < head.content_length() && body.iter().all(|&byte| byte == b'x'));
    server.wait_for_log("changed while it was sent");
}

#[test]
fn a_file_that_changes_while_it_is_sent_ends_the_connection() {
    check_write_while_sent(|_, _| {});
}

#[test]
fn a_file_whose_time_is_set_back_after_a_write_ends_the_connection() {
    check_write_while_sent(|file, before| file.set_modified(before).unwrap());
}

#[test]
fn a_file_that_changes_before_it_is_sent_is_not_sent_with_its_old_head() {
    let site = Site::new();
    site.write("first", &vec![b'1'; 20_000_000]);
    site.write("second", &vec![b'x'; 100_000]);
    let server = Server::with(&site, &["--workers=1"]);
    let mut client = server.connect();
    // The client receives nothing of the first response yet. The second response must be of one version in any case.
    client.send(get("/first") + &get("/second"));
    assert_eq!(client.0.peek(&mut [0]).unwrap(), 1);
    site.write("second", &vec![b'y'; 100_000]);
    assert_eq!(client.response().body.len(), 20_000_000);
    let response = client.response();
    assert!(response.body.iter().all(|&byte| byte == response.body[0]));
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_the_connection() {
    let site = Site::new();
    site.write("large", &vec![b'x'; 30_000_000]);
    let server = Server::of(&site);
    let mut client = server.connect();
    let head = client.send(get("/large")).head();
    assert_eq!(head.content_length(), 30_000_000);
    File::options().write(true).open(site.path("large")).unwrap().set_len(1_000).unwrap();
    let mut body = Vec::new();
    // The connection ends, cleanly or by a reset, before all bytes of Content-Length.
    let _ = client.0.read_to_end(&mut body);
    assert!(body.len() < 30_000_000);
    server.wait_for_log("Cannot send \"/large\" completely");
    assert_eq!(server.get("/large").body.len(), 1_000);
}

#[test]
fn a_file_that_only_grows_is_sent_up_to_the_length_that_it_had() {
    let site = Site::new();
    let content: Vec<u8> = (0..50_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    site.write("app.log", &content);
    let server = Server::of(&site);
    let mut client = server.connect();
    let length = client.send(get("/app.log")).head().content_length();
    assert_eq!(length, content.len());
    let mut file = File::options().append(true).open(site.path("app.log")).unwrap();
    let mut body = vec![0; length];
    for part in body.chunks_mut(1_000_000) {
        client.0.read_exact(part).unwrap();
        std::io::Write::write_all(&mut file, b"another line\n").unwrap();
    }
    assert!(body == content);
    assert_eq!(client.get("/app.log").content_length(), length + 50 * 13);
    assert_eq!(server.warnings(), [""; 0]);
}

#[test]
fn renaming_or_removing_a_file_does_not_cut_its_download() {
    let site = Site::new();
    site.write("large", &vec![b'x'; 50_000_000]);
    let server = Server::of(&site);
    let mut client = server.connect();
    let length = client.send(get("/large")).head().content_length();
    let steps: [&dyn Fn(); 5] = [
        &|| fs::hard_link(site.path("large"), site.path("link")).unwrap(),
        &|| fs::set_permissions(site.path("large"), Permissions::from_mode(0o600)).unwrap(),
        &|| fs::rename(site.path("large"), site.path("old")).unwrap(),
        &|| site.write("large", b"new"),
        &|| fs::remove_file(site.path("old")).unwrap(),
    ];
    let mut body = vec![0; length];
    for (part, step) in body.chunks_mut(length / 5).zip(steps) {
        client.0.read_exact(part).unwrap();
        step();
    }
    assert!(body.iter().all(|&byte| byte == b'x'));
    assert_eq!(client.get("/large").text(), "new");
}

#[test]
fn a_directory_with_search_permission_only_has_its_redirect_and_its_index() {
    let site = Site::with(&[("xonly/index.html", b"index"), ("xonly/secret", b"")]);
    fs::set_permissions(site.path("xonly"), Permissions::from_mode(0o711)).unwrap();
    for directory in [site.outside().to_path_buf(), site.root()] {
        fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
    }
    // Root may read everything.
    let arguments: &[&str] = if nix::unistd::geteuid().is_root() { &["--user=nobody"] } else { &[] };
    let server = Server::with(&site, arguments);
    let response = server.get("/xonly");
    assert_eq!((response.status, response.field("Location")), (301, Some("xonly/")));
    assert_eq!(server.get("/xonly/").text(), "index");
}

#[test]
fn a_request_for_a_fifo_delays_no_other() {
    let site = Site::new();
    mkfifo(&site.path("fifo"), Mode::S_IRWXU).unwrap();
    let server = Server::with(&site, &["--listing"]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut client = server.connect();
            while !is_over.load(Relaxed) {
                assert_eq!(client.get("/fifo").status, 403);
                assert!(!client.get("/").text().contains("fifo"));
            }
        });
        // A writer's open succeeds if there is a reader, even for a short time.
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK;
        let tries = 200_000;
        let noticed =
            (0..tries).filter(|_| open(&site.path("fifo"), flags, Mode::empty()).err() != Some(Errno::ENXIO)).count();
        is_over.store(true, Relaxed);
        asking.join().unwrap();
        assert_eq!(noticed, 0, "of {tries}");
    });
}

#[test]
fn a_file_with_a_time_that_is_only_a_stamp_has_no_last_modified_and_a_tag_of_its_own() {
    let site = Site::with(&[("f", b"color:red;")]);
    let stamp = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    File::open(site.path("f")).unwrap().set_modified(stamp).unwrap();
    let server = Server::of(&site);
    let mut client = server.connect();
    let old = client.get("/f");
    assert_eq!(old.field("Last-Modified"), None);
    let tag = old.field("ETag").unwrap();
    site.write("n", b"color:tan;");
    File::open(site.path("n")).unwrap().set_modified(stamp).unwrap();
    fs::rename(site.path("n"), site.path("f")).unwrap();
    for further in [
        format!("If-None-Match: {tag}\r\n"),
        format!("Range: bytes=6-9\r\nIf-Range: {tag}\r\n"),
        "If-Modified-Since: Thu, 01 Jan 1970 00:00:01 GMT\r\n".into(),
        "Range: bytes=6-9\r\nIf-Range: Thu, 01 Jan 1970 00:00:01 GMT\r\n".into(),
    ] {
        let new = client.send(format!("GET /f HTTP/1.1\r\nHost: a\r\n{further}\r\n")).response();
        assert_eq!((new.status, new.text()), (200, "color:tan;".into()), "{further}");
    }
    let tag = client.get("/f").field("ETag").unwrap().to_string();
    let same = client.send(format!("GET /f HTTP/1.1\r\nHost: a\r\nIf-None-Match: {tag}\r\n\r\n")).response_or_304();
    assert_eq!(same.status, 304);
}

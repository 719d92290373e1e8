//! Entity tags and dates of files that change: no validator of one content is taken for another one (RFC 9110 §8.8).

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use crate::fuse::{Disk, Metadata};
use crate::support::{Client, Response, Server, Site, encode, wait_until};

/// A size of each kind: from memory, hashed in the background, never hashed.
const SMALL: u64 = 20_000;
const MEDIUM: u64 = 1024 * 1024;
const LARGE: u64 = 65 * 1024 * 1024;
const SIZES: [u64; 3] = [SMALL, MEDIUM, LARGE];

/// When the files were written, to the nanosecond.
fn old_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(784_111_777, 123_456_789)
}

/// What the files begin with, before and after a change; the rest is zeroes.
const BEFORE: &[u8] = b"color:red;";
const AFTER: &[u8] = b"color:tan;";

/// A way to change a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It stays as it is.
    None,
    /// Its permissions change.
    Chmod,
    /// It is replaced by rename, with the time of the change.
    Rename,
    /// The same, with the time of the earlier file: cp -p, rsync -t.
    RenameWithTime,
    /// The same, with an earlier time: the release before is restored.
    RollBack,
    /// It is written to in place.
    InPlace,
    /// The same, and the time is set back: touch -r.
    InPlaceWithTime,
    /// It is truncated and written anew.
    Truncate,
    /// It is removed, and another one is created with its time: tar x.
    Unpack,
    /// It is a link, which is exchanged for one to a file of the same time.
    Link,
    /// Its name becomes a hard link to another file of the same time.
    HardLink,
    /// It is written to twice, as fast as possible.
    Twice,
    /// It is replaced by a copy of itself, with the time of the copy.
    Copy,
}

const WAYS: [Way; 13] = [
    Way::None,
    Way::Chmod,
    Way::Rename,
    Way::RenameWithTime,
    Way::RollBack,
    Way::InPlace,
    Way::InPlaceWithTime,
    Way::Truncate,
    Way::Unpack,
    Way::Link,
    Way::HardLink,
    Way::Twice,
    Way::Copy,
];

impl Way {
    fn changes_content(self) -> bool {
        !matches!(self, Way::None | Way::Chmod | Way::Copy)
    }

    /// Whether the modification time is the same afterwards.
    fn keeps_time(self) -> bool {
        matches!(
            self,
            Way::None
                | Way::Chmod
                | Way::RenameWithTime
                | Way::InPlaceWithTime
                | Way::Unpack
                | Way::Link
                | Way::HardLink
        )
    }

    /// Applies it to the file `name` of `size` bytes.
    fn apply(self, site: &Site, name: &str, size: u64) {
        let (path, other) = (site.path(name), site.path(format!("{name}.new")));
        let in_place = |content: &[u8]| {
            OpenOptions::new().write(true).open(&path).unwrap().write_all_at(content, 0).unwrap();
        };
        match self {
            Way::None => {}
            Way::Chmod => {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
            }
            Way::Rename | Way::RenameWithTime | Way::RollBack => {
                create(&other, AFTER, size);
                match self {
                    Way::RenameWithTime => set_time(&other, old_time()),
                    Way::RollBack => set_time(&other, old_time() - Duration::from_secs(1_000)),
                    _ => {}
                }
                fs::rename(&other, &path).unwrap();
            }
            Way::InPlace => in_place(AFTER),
            Way::InPlaceWithTime => {
                in_place(AFTER);
                set_time(&path, old_time());
            }
            Way::Truncate => create(&path, AFTER, size),
            Way::Unpack => {
                fs::remove_file(&path).unwrap();
                create(&path, AFTER, size);
                set_time(&path, old_time());
            }
            Way::Link => {
                create(&other, AFTER, size);
                set_time(&other, old_time());
                let link = site.path(format!("{name}.link"));
                std::os::unix::fs::symlink(other.file_name().unwrap(), &link).unwrap();
                fs::rename(&link, &path).unwrap();
            }
            Way::HardLink => {
                create(&other, AFTER, size);
                set_time(&other, old_time());
                fs::remove_file(&path).unwrap();
                fs::hard_link(&other, &path).unwrap();
            }
            Way::Twice => {
                in_place(b"color:xxx;");
                in_place(AFTER);
            }
            Way::Copy => {
                create(&other, BEFORE, size);
                fs::rename(&other, &path).unwrap();
            }
        }
    }
}

/// Writes a file of `size` bytes, most of it a hole.
fn create(path: &std::path::Path, content: &[u8], size: u64) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    file.write_all_at(content, 0).unwrap();
}

fn set_time(path: &std::path::Path, time: SystemTime) {
    OpenOptions::new().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn name(way: Way, size: u64) -> String {
    format!("{way:?}-{size}")
}

/// Asks for the head of a file.
fn head(client: &mut Client, target: &str, fields: &str) -> Response {
    client.send(format!("HEAD /{target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).head()
}

/// Asks for the first ten bytes of a file, on a connection of its own: the response may be all of it.
fn range(server: &Server, target: &str, fields: &str) -> Response {
    let request = format!("GET /{target} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9\r\n{fields}\r\n\r\n");
    server.connect().send(request).head()
}

fn tag(response: &Response) -> String {
    response.field("ETag").unwrap_or("none").to_string()
}

/// Waits until a file has a strong tag.
fn strong_tag(client: &mut Client, target: &str) -> String {
    let mut strong = String::new();
    wait_until("a strong tag", || {
        strong = tag(&head(client, target, "A: b"));
        strong.starts_with('"')
    });
    strong
}

#[test]
fn no_validator_of_one_content_is_taken_for_another() {
    let site = Site::new();
    for size in SIZES {
        for way in WAYS {
            create(&site.path(name(way, size)), BEFORE, size);
            set_time(&site.path(name(way, size)), old_time());
        }
    }
    let server = Server::of(&site);
    let mut client = server.connect();
    let mut checks = 0;
    for size in SIZES {
        // The first tag is weak where the content was not read: nothing is known of it.
        wait_until("a tag", || tag(&head(&mut client, &name(Way::None, size), "A: b")) != "none");
        let first: Vec<_> = WAYS.map(|way| tag(&head(&mut client, &name(way, size), "A: b"))).into();
        let strong: Vec<_> = WAYS.map(|way| strong_tag(&mut client, &name(way, size))).into();
        for ((way, first), strong) in WAYS.into_iter().zip(&first).zip(&strong) {
            let target = name(way, size);
            assert_eq!(strong, &strong[..], "{target}");
            way.apply(&site, &target, size);
            // The rules once more, by other means: what may be said of the file to a client that has the earlier content.
            let is_same = !way.changes_content();
            let has_same_size_and_time = way.keeps_time();
            let strong_holds = if size == LARGE { has_same_size_and_time } else { is_same };
            let weak_holds = matches!(way, Way::None);
            for (given, holds) in
                [(strong, strong_holds), (first, if first == strong { strong_holds } else { weak_holds })]
            {
                // Until the content is known again, even the same content gets no 304.
                let is_pending = size == MEDIUM && !matches!(way, Way::None);
                let response = head(&mut client, &target, &format!("If-None-Match: {given}"));
                let expected = if holds && !is_pending { 304 } else { 200 };
                assert_eq!(response.status, expected, "If-None-Match: {given} of {target}");
                if response.status == 304 {
                    assert_eq!(tag(&response), *given, "{target}");
                }
                let is_strong = given.starts_with('"');
                let response = range(&server, &target, &format!("If-Range: {given}"));
                let expected = if holds && is_strong && !is_pending { 206 } else { 200 };
                assert_eq!(response.status, expected, "If-Range: {given} of {target}");
                checks += 2;
            }
            let date = "Sun, 06 Nov 1994 08:49:37 GMT";
            let response = head(&mut client, &target, &format!("If-Modified-Since: {date}"));
            // A date is all that such a client has: a file of the same second is the same to it.
            assert_eq!(
                response.status,
                if has_same_size_and_time { 304 } else { 200 },
                "If-Modified-Since of {target}"
            );
            assert_eq!(range(&server, &target, &format!("If-Range: {date}")).status, 200, "{target}");
            checks += 2;
        }
    }
    assert_eq!(checks, SIZES.len() * WAYS.len() * 6);
    // In the end, equal content has equal tags, however it came about.
    for size in [SMALL, MEDIUM] {
        let of = |client: &mut Client, way| strong_tag(client, &name(way, size));
        let (before, after) = (of(&mut client, Way::None), of(&mut client, Way::Rename));
        assert_ne!(before, after);
        for way in WAYS {
            assert_eq!(of(&mut client, way), if way.changes_content() { &*after } else { &*before }, "{way:?} {size}");
        }
    }
}

#[test]
fn no_variant_of_one_content_is_sent_for_another() {
    let content = |color: &str| -> Vec<u8> {
        (0..).flat_map(|number| format!(".c{number} {{ color: {color} }}\n").into_bytes()).take(60_000).collect()
    };
    for way in WAYS.into_iter().filter(|way| way.changes_content()) {
        for size in [3_000, 60_000] {
            let (before, after) = (content("red"), content("tan"));
            let site = Site::with(&[("f", &before[..size])]);
            for (suffix, coding) in [("br", "br"), ("zst", "zstd"), ("gz", "gzip")] {
                site.write(format!("f.{suffix}"), &encode(coding, &before[..size]));
                set_time(&site.path(format!("f.{suffix}")), old_time());
            }
            set_time(&site.path("f"), old_time());
            let server = Server::of(&site);
            let mut client = server.connect();
            let mut ask = || {
                let request = "GET /f HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br, zstd, gzip\r\n\r\n";
                client.send(request).response()
            };
            wait_until("a variant", || ask().field("Content-Encoding") == Some("br"));
            // The content of the other file is longer or shorter than this one's, but for the variants that does not matter.
            let new = site.path("new");
            fs::write(&new, &after[..size]).unwrap();
            match way {
                Way::InPlace | Way::InPlaceWithTime | Way::Twice => {
                    OpenOptions::new()
                        .write(true)
                        .open(site.path("f"))
                        .unwrap()
                        .write_all_at(&after[..size], 0)
                        .unwrap();
                }
                Way::Truncate => fs::write(site.path("f"), &after[..size]).unwrap(),
                _ => fs::rename(&new, site.path("f")).unwrap(),
            }
            if way.keeps_time() {
                set_time(&site.path("f"), old_time());
            }
            let response = ask();
            assert_eq!(response.field("Content-Encoding"), None, "{way:?} {size}");
            assert!(response.body == after[..size], "{way:?} {size}");
            assert_eq!(response.field("Vary"), Some("Accept-Encoding"), "{way:?} {size}");
        }
    }
}

#[test]
fn machines_with_the_same_content_send_the_same_tag() {
    let start = |content: &[u8], seconds| {
        let site = Site::new();
        for size in [SMALL, MEDIUM] {
            create(&site.path(size.to_string()), content, size);
            set_time(&site.path(size.to_string()), SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        }
        Server::of(&site)
    };
    let servers = [start(BEFORE, 1), start(BEFORE, 784_111_777), start(BEFORE, 1_700_000_000)];
    for size in [SMALL, MEDIUM] {
        let tags = servers.each_ref().map(|server| strong_tag(&mut server.connect(), &size.to_string()));
        assert!(tags.iter().all(|tag| *tag == tags[0]), "{tags:?}");
        // One that has just been started knows less, or serves another release: it never continues another content.
        let new = start(AFTER, 784_111_777);
        let target = size.to_string();
        assert_eq!(range(&new, &target, &format!("If-Range: {}", tags[0])).status, 200);
        assert_ne!(strong_tag(&mut new.connect(), &target), tags[0]);
        assert_eq!(range(&new, &target, &format!("If-Range: {}", tags[0])).status, 200);
    }
}

/// Each worker keeps the file open for a moment, with the tag that it had.
#[test]
fn once_a_tag_is_strong_it_is_strong_in_every_worker() {
    let site = Site::new();
    create(&site.path("f"), BEFORE, MEDIUM);
    let server = Server::of(&site);
    let mut clients: Vec<_> = (0..16).map(|_| server.connect()).collect();
    let tag = |client: &mut Client| head(client, "f", "A: b").field("ETag").map(str::to_string);
    wait_until("a strong tag", || {
        let tags: Vec<_> = clients.iter_mut().map(tag).collect();
        tags.iter().any(|tag| tag.as_ref().is_some_and(|tag| tag.starts_with('"')))
    });
    let tags: Vec<_> = clients.iter_mut().map(tag).collect();
    assert!(tags.iter().all(|tag| tag.as_ref().is_some_and(|tag| tag.starts_with('"'))), "{tags:?}");
}

#[test]
fn a_download_continues_over_reloads() {
    let site = Site::new();
    create(&site.path("f"), BEFORE, 50 * 1024 * 1024);
    let server = Server::of(&site);
    let strong = strong_tag(&mut server.connect(), "f");
    for round in 1..=20 {
        server.signal(Signal::SIGHUP);
        wait_until("the reload", || server.log().matches("INFO Reloaded;").count() == round);
        for _ in 0..4 {
            assert_eq!(range(&server, "f", &format!("If-Range: {strong}")).status, 206, "reload {round}");
        }
    }
}

/// A file system that stores whole seconds, on a machine whose clock is set back between two writes.
#[test]
fn a_clock_that_is_set_back_makes_no_two_versions_equal() {
    let now_s = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let site = Site::new();
    let disk = Disk::mount(&site, "", &[("f", &[b'a'; 40_000])]);
    let written = |seconds| disk.alter("f", Metadata { ctime_s: seconds, ..Metadata::OLD });
    let server = Server::of(&site);
    let mut client = server.connect();
    let mut tag = || {
        let response = head(&mut client, "f", "A: b");
        response.field("ETag").map(str::to_string)
    };
    let times = [now_s() + 3_600, now_s() - 3_600, now_s() - 7_200, now_s() + 7_200];
    let tags = times.map(|seconds| {
        written(seconds);
        tag().expect("a tag of a file that is not being written")
    });
    let mut different = tags.to_vec();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), times.len(), "{tags:?}");
    // Another write of this second would leave it as it is.
    wait_until("no tag", || {
        written(now_s());
        tag().is_none()
    });
}

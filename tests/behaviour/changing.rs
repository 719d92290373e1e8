//! Files that change while they are read: the response is completed if the content is unchanged, and cut otherwise.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use nix::sys::socket::{setsockopt, sockopt};

use crate::fuse::{Call, Disk, Fault, Metadata};
use crate::support::{Client, Server, Site, get, wait_until};

/// Many more bytes than are in transit to a client that does not read.
const SIZE: usize = 40_000_000;

/// Bytes that are read before the file is changed: the server has checked the file since the beginning.
const FIRST: usize = 8_000_000;

/// A download of `/f`, all `a`, that stops after its first bytes.
struct Download {
    site: Site,
    server: Server,
    client: Client,
}

impl Download {
    fn begin() -> Download {
        let site = Site::new();
        site.write("f", &vec![b'a'; SIZE]);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        File::open(site.path("f")).unwrap().set_modified(time).unwrap();
        let server = Server::with(&site, &["--workers=1"]);
        let mut client = server.connect();
        // Then the server has sent little more than the client has received: buffers grow to 33 MB on some machines.
        setsockopt(&client.0, sockopt::RcvBuf, &65_536).unwrap();
        assert_eq!(client.send(get("/f")).head().content_length(), SIZE);
        let mut download = Download { site, server, client };
        download.take(FIRST);
        download
    }

    fn take(&mut self, size: usize) {
        let mut bytes = vec![0; size];
        self.client.0.read_exact(&mut bytes).expect("bytes of a file that is still whole");
        assert!(bytes.iter().all(|byte| *byte == b'a'));
    }

    /// Receives the rest, which must be the content from the beginning of the download.
    fn assert_whole(mut self, what: &str) {
        let mut rest = vec![0; SIZE - FIRST];
        self.client.0.read_exact(&mut rest).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(rest.iter().all(|byte| *byte == b'a'), "{what}");
        // If the root itself was renamed, there is no 404.
        assert!(matches!(self.client.get("/none").status, 404 | 503), "{what}: the connection continues");
        let mut messages = self.server.warnings();
        messages.retain(|line| !line.contains("The document root"));
        assert_eq!(messages, Vec::<String>::new(), "{what}");
    }

    fn assert_cut(mut self, what: &str) {
        let mut rest = Vec::new();
        let end = self.client.0.read_to_end(&mut rest);
        assert!(!end.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{what}: neither a byte nor an end");
        assert!(rest.len() < SIZE - FIRST, "{what}: delivered whole");
        self.server.wait_for_log("it changed while it was sent");
    }
}

/// Overwrites the whole file with other bytes.
fn write_over(path: &Path) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(&vec![b'b'; SIZE], 0).unwrap();
}

/// Sets the times of the file to those that it had before, as `touch -r` does.
fn set_back(path: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    File::open(path).unwrap().set_modified(time).unwrap();
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// A change to a site whose file `f` is being sent.
type Deed = fn(&Site);

#[test]
fn changes_of_metadata_cut_no_download() {
    let deeds: [(&str, Deed); 7] = [
        ("unlink", |site| fs::remove_file(site.path("f")).unwrap()),
        ("rename over it", |site| {
            site.write("new", b"new");
            fs::rename(site.path("new"), site.path("f")).unwrap();
        }),
        ("rename of it", |site| fs::rename(site.path("f"), site.path("old")).unwrap()),
        ("rename of it, and another in its place", |site| {
            fs::rename(site.path("f"), site.path("old")).unwrap();
            site.write("f", b"new");
        }),
        ("hard link", |site| fs::hard_link(site.path("f"), site.path("other")).unwrap()),
        ("chmod", |site| fs::set_permissions(site.path("f"), Permissions::from_mode(0o640)).unwrap()),
        ("rename of its directory", |site| fs::rename(site.root(), site.outside().join("release-1")).unwrap()),
    ];
    for (what, deed) in deeds {
        let download = Download::begin();
        deed(&download.site);
        download.assert_whole(what);
    }
}

#[test]
fn several_changes_of_metadata_cut_no_download() {
    let mut download = Download::begin();
    let path = download.site.path("f");
    fs::hard_link(&path, download.site.path("other")).unwrap();
    download.take(FIRST);
    fs::remove_file(download.site.path("other")).unwrap();
    download.take(FIRST);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    download.take(FIRST);
    fs::remove_file(&path).unwrap();
    let mut rest = vec![0; SIZE - 4 * FIRST];
    download.client.0.read_exact(&mut rest).unwrap();
    assert!(rest.iter().all(|byte| *byte == b'a'));
}

#[test]
fn a_change_of_content_cuts_the_download() {
    let deeds: [(&str, Deed); 5] = [
        ("write in place", |site| write_over(&site.path("f"))),
        ("write in place, and touch -r", |site| {
            write_over(&site.path("f"));
            set_back(&site.path("f"));
        }),
        ("truncation", |site| File::options().write(true).open(site.path("f")).unwrap().set_len(20_000_000).unwrap()),
        ("a shorter file written into it", |site| site.write("f", &vec![b'b'; SIZE - 1])),
        ("touch", |site| File::open(site.path("f")).unwrap().set_modified(SystemTime::now()).unwrap()),
    ];
    for (what, deed) in deeds {
        let download = Download::begin();
        deed(&download.site);
        download.assert_cut(what);
    }
}

#[test]
fn a_file_that_grows_is_sent_up_to_its_first_size() {
    let download = Download::begin();
    let path = download.site.path("f");
    append(&path, b"a line\n");
    download.assert_whole("a line");

    // Lines are appended continuously, so the server also checks the file in the middle of an append.
    let download = Download::begin();
    let (site, path) = (download.site.clone(), download.site.path("f"));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut log = OpenOptions::new().append(true).open(&path).unwrap();
            while !is_over.load(Relaxed) {
                log.write_all(b"another line\n").unwrap();
            }
        });
        // The other thread has to end in any case.
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| download.assert_whole("lines")));
        is_over.store(true, Relaxed);
        end.unwrap();
    });
    assert!(fs::metadata(site.path("f")).unwrap().size() as usize > SIZE);
}

#[test]
fn a_file_that_was_seen_larger_and_shrinks_is_cut() {
    let mut download = Download::begin();
    let path = download.site.path("f");
    append(&path, &[b'a'; 1000]);
    download.take(FIRST);
    let file = File::options().write(true).open(&path).unwrap();
    // It still has more bytes than Content-Length.
    file.set_len(SIZE as u64 + 500).unwrap();
    let mut rest = Vec::new();
    let _ = download.client.0.read_to_end(&mut rest);
    assert!(rest.len() < SIZE - 2 * FIRST, "delivered whole");
}

/// The server reads a small file while the test changes it.
fn read_meanwhile(metadata: Metadata) -> (u16, Vec<u8>) {
    let site = Site::new();
    let disk = Disk::mount(&site, "disk", &[("small", &[b'a'; 10_000])]);
    disk.set("small", Call::Read(0), Fault::Hang);
    let server = Server::with(&site, &["--workers=1"]);
    let mut client = server.connect();
    client.send(get("/disk/small"));
    wait_until("a read", || disk.waiting() > 0);
    disk.alter("small", metadata);
    disk.mend();
    let response = client.response();
    // Independently of this response, the next one is of the current file.
    disk.alter("small", Metadata::OLD);
    assert_eq!(client.get("/disk/small").body, [b'a'; 10_000]);
    (response.status, response.body)
}

#[test]
fn a_file_that_is_linked_replaced_or_chmoded_while_it_is_first_read_is_served() {
    let ctime_s = Metadata::OLD.ctime_s + 100;
    let whole = (200, vec![b'a'; 10_000]);
    for metadata in [
        Metadata { ctime_s, links: 2, ..Metadata::OLD },
        Metadata { ctime_s, links: 0, ..Metadata::OLD },
        Metadata { ctime_s, mode: 0o100_600, ..Metadata::OLD },
        Metadata { ctime_s, mtime_s: ctime_s, growth: 100, ..Metadata::OLD },
    ] {
        assert!(read_meanwhile(metadata) == whole, "{metadata:?}");
    }
    let (status, _) = read_meanwhile(Metadata { ctime_s, mtime_s: ctime_s, ..Metadata::OLD });
    assert_eq!(status, 500, "written to");
}

/// A reason for one change of the change time does not apply to a later one.
#[test]
fn a_write_whose_time_is_set_back_after_a_chmod_cuts_the_download() {
    let mut download = Download::begin();
    let path = download.site.path("f");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    download.take(FIRST);
    write_over(&path);
    set_back(&path);
    let mut rest = Vec::new();
    let _ = download.client.0.read_to_end(&mut rest);
    assert!(rest.len() < SIZE - 2 * FIRST, "delivered whole");
}

/// A file that has grown and is then overwritten at its new size has changed.
#[test]
fn a_write_in_place_after_a_growth_cuts_the_download() {
    let mut download = Download::begin();
    let path = download.site.path("f");
    append(&path, b"a line\n");
    download.take(FIRST);
    write_over(&path);
    let mut rest = Vec::new();
    let _ = download.client.0.read_to_end(&mut rest);
    assert!(rest.len() < SIZE - 2 * FIRST, "delivered whole");
}

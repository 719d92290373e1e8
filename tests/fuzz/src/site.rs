//! A small site with files of all kinds, and a worker that serves it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::Parser;
use otus_httpd::codec::encode;
use otus_httpd::config::CommandLine;
use otus_httpd::connection::harness::InProcessServer;
use otus_httpd::digest::Digest;
use otus_httpd::http::{Coding, Limits};
use tempfile::TempDir;

use crate::answer::Answer;

/// Path and length of every file but the variants; all lengths differ. Those above 32 KiB are sent from the disk.
const FILES: [(&str, usize); 10] = [
    ("empty", 0),
    ("a.txt", 1),
    ("index.html", 300),
    ("404.html", 200),
    ("page.html", 3_000),
    ("large.bin", 40_000),
    ("large.bin.gz", 35_000),
    ("dir/<a b>&\u{444}", 2),
    ("dir/sub/b.json", 3),
    (".well-known/x", 4),
];

/// The variants of page.html.
const PATHS_OF_VARIANTS: [&str; 3] = ["page.html.br", "page.html.zst", "page.html.gz"];

/// A worker and its site.
#[derive(Debug)]
pub struct Site {
    pub server: InProcessServer,
    pub limits: Limits,
    pub most_requests: usize,
    /// The content of each file, with its digest.
    contents: Vec<(String, Vec<u8>)>,
    directory: TempDir,
}

impl Site {
    /// A site that is served with the default options.
    pub fn plain() -> Site {
        Site::new(&[])
    }

    /// A site with listings, without a cache, and with the smallest limits.
    pub fn narrow() -> Site {
        let limits = ["--max-request-line=512", "--max-head=600", "--max-fields=8", "--max-requests=6"];
        Site::new(&[&limits[..], &["--listing", "--dotfiles", "--charset=utf-8", "--cache-size=0"]].concat())
    }

    /// The same two, with an access log.
    pub fn logged() -> [Site; 2] {
        let log = ["--access-log=stderr", "--log-rate=1000000"];
        let narrow =
            ["--listing", "--dotfiles", "--cache-size=0", "--max-head=600", "--max-fields=8", "--max-requests=6"];
        [Site::new(&log), Site::new(&[&log[..], &narrow].concat())]
    }

    fn new(arguments: &[&str]) -> Site {
        let directory = tempfile::tempdir().unwrap();
        write_files(directory.path());
        let root = directory.path().to_str().unwrap();
        let command_line = [&["otus-httpd", "--workers=1", "--root", root], arguments].concat();
        let options = CommandLine::try_parse_from(command_line).unwrap().options;
        let site = Box::leak(Box::new(otus_httpd::site::Sites::open(&options, 1024).unwrap()));
        let (limits, most_requests) = (options.limits(), options.max_requests);
        let server = InProcessServer::new(&options, site).unwrap();
        let paths = PATHS_OF_VARIANTS.into_iter().chain(FILES.map(|(path, _)| path));
        let contents = paths.map(|path| fs::read(directory.path().join(path)).unwrap());
        let contents = contents.map(|content| (Digest::of(&content).to_string(), content)).collect();
        Site { server, limits, most_requests, contents, directory }
    }

    /// Checks that the content of a response is that of the file.
    pub fn check(&self, answer: &Answer, method: &str) {
        let content = answer.field("ETag").map(|etag| self.content_of(etag, answer));
        match (answer.status, content) {
            (200, Some(content)) if method == "GET" => assert!(answer.body == content, "{:?}", answer.fields),
            (200, Some(content)) => assert_eq!(answer.field("Content-Length"), Some(&*content.len().to_string())),
            (206, Some(content)) => {
                for (first, size, part) in answer.parts() {
                    assert_eq!(size, content.len() as u64);
                    assert!(content[first as usize..].starts_with(part), "{:?}", answer.fields);
                }
            }
            (404, _) if method == "GET" => assert!(answer.body == bytes(200), "{:?}", answer.fields),
            _ => {}
        }
    }

    /// What lies in the file that an answer is of: its tag begins with the digest of the content, or, for a file on the disk
    /// whose digest is not known, its length says which it is.
    fn content_of(&self, etag: &str, answer: &Answer) -> &[u8] {
        let size = match answer.status {
            206 => answer.parts().first().map(|(_, size, _)| *size),
            // A 304 has no length.
            _ => answer.field("Content-Length").and_then(|length| length.parse().ok()),
        };
        let is_it = |(tag, content): &&(String, Vec<u8>)| match etag.strip_prefix('"') {
            Some(opaque) => opaque.starts_with(tag),
            None => content.len() > 32 * 1024 && size.is_none_or(|size| size == content.len() as u64),
        };
        let found = self.contents.iter().find(is_it);
        found.map_or_else(|| panic!("{etag} is the tag of no file: {answer:?}"), |(_, content)| content)
    }

    /// Where the files are.
    pub fn root(&self) -> &Path {
        self.directory.path()
    }
}

fn write_files(root: &Path) {
    for (path, length) in FILES {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes(length)).unwrap();
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    }
    let page = bytes(3_000);
    for (path, coding) in PATHS_OF_VARIANTS.into_iter().zip([Coding::Brotli, Coding::Zstd, Coding::Gzip]) {
        encode(coding, &page[..], &File::create(root.join(path)).unwrap(), 3_000).unwrap();
    }
    symlink("../a.txt", root.join("dir/link")).unwrap();
    symlink("/etc/passwd", root.join("dir/out")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
}

/// The content of a file, which its length decides; no part of it looks like another one close by. A page can be compressed.
fn bytes(length: usize) -> Vec<u8> {
    if length == 3_000 {
        return (0..300).flat_map(|number| format!("{number:09}\n").into_bytes()).collect();
    }
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761).wrapping_add(length as u32) >> 13) as u8).collect()
}

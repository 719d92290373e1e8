//! `otus-httpd precompress DIR`.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::support::{BINARY, Site};

const SUFFIXES: [&str; 3] = [".br", ".zst", ".gz"];

fn run(directory: &Path) -> Output {
    Command::new(BINARY).arg("precompress").arg(directory).env_remove("JOURNAL_STREAM").output().unwrap()
}

/// Runs it and checks that it succeeds, with a summary that begins with `summary`.
fn check(site: &Site, summary: &str) {
    let output = run(&site.root());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!((output.status.code(), text.lines().count()), (Some(0), 1), "{text}");
    assert!(text.starts_with(summary), "{text} begins with {summary}");
}

/// Runs it and checks that one file fails, with one sentence that contains all of `words`.
fn check_failure(site: &Site, words: &[&str]) {
    let output = run(&site.root());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.starts_with("otus-httpd: Cannot precompress ") && text.ends_with(".\n"), "{text}");
    for word in words {
        assert!(text.contains(word), "\"{word}\" in {text}");
    }
    assert!(String::from_utf8(output.stdout).unwrap().contains(", 1 failures."));
}

fn page() -> Vec<u8> {
    (0..500).map(|number| format!("<p>Paragraph {number}</p>\n")).collect::<String>().into()
}

/// The names in the root directory, sorted.
fn names(site: &Site) -> String {
    let entries = fs::read_dir(site.root()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.join(" ")
}

fn decode(suffix: &str, bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    match suffix {
        ".br" => brotli::BrotliDecompress(&mut &bytes[..], &mut decoded).unwrap(),
        ".zst" => drop(zstd::Decoder::new(bytes).unwrap().read_to_end(&mut decoded).unwrap()),
        _ => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut decoded).unwrap()),
    }
    decoded
}

fn age(site: &Site, name: &str, seconds: u64) {
    let file = File::options().write(true).open(site.path(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
}

#[test]
fn variants_decode_to_the_original_and_have_its_time_and_permissions() {
    let site = Site::with(&[("a.html", &page()), ("deep/er/b.css", &page()), ("c.js", &page())]);
    age(&site, "a.html", 1000);
    fs::set_permissions(site.path("a.html"), Permissions::from_mode(0o604)).unwrap();
    if nix::unistd::geteuid().is_root() {
        chown(site.path("a.html"), Some(12), Some(34)).unwrap();
    }
    check(&site, "3 files: 9 variants written, 0 up to date, 0 not worth it, 0 failures. ");
    for name in ["a.html", "deep/er/b.css", "c.js"] {
        let original = fs::metadata(site.path(name)).unwrap();
        for suffix in SUFFIXES {
            let path = site.path(format!("{name}{suffix}"));
            let variant = fs::metadata(&path).unwrap();
            assert!(variant.len() < original.len() / 4, "{path:?} has {} bytes", variant.len());
            assert_eq!(decode(suffix, &fs::read(&path).unwrap()), page());
            assert_eq!(variant.modified().unwrap(), original.modified().unwrap());
            let rights = |metadata: &fs::Metadata| (metadata.uid(), metadata.gid(), metadata.mode());
            assert_eq!(rights(&variant), rights(&original), "{path:?}");
        }
    }
    assert_eq!(names(&site), "a.html a.html.br a.html.gz a.html.zst c.js c.js.br c.js.gz c.js.zst deep");
}

#[test]
fn current_variants_stay_and_stale_ones_are_written_again() {
    let site = Site::with(&[("a.html", &page()), ("b.html", &page())]);
    check(&site, "2 files: 6 variants written, 0 up to date, ");
    let inode = |name| fs::metadata(site.path(name)).unwrap().ino();
    let before = inode("a.html.br");
    age(&site, "a.html.gz", 1000);
    check(&site, "2 files: 1 variants written, 5 up to date, ");
    assert_eq!(inode("a.html.br"), before);
    site.write("b.html", &[&page()[..], b"more"].concat());
    check(&site, "2 files: 3 variants written, 3 up to date, ");
    assert!(decode(".br", &fs::read(site.path("b.html.br")).unwrap()).ends_with(b"more"));
    check(&site, "2 files: 0 variants written, 6 up to date, ");
}

#[test]
fn a_file_that_does_not_shrink_gets_no_variant_and_loses_a_stale_one() {
    let mut noise = vec![0; 5000];
    File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    let site = Site::with(&[("noise.txt", &noise), ("small.txt", &[b'a'; 255]), ("empty.txt", b"")]);
    for stale in ["noise.txt.br", "small.txt.gz"] {
        site.write(stale, b"stale");
        age(&site, stale, 1000);
    }
    check(&site, "3 files: 0 variants written, 0 up to date, 9 not worth it, ");
    assert_eq!(names(&site), "empty.txt noise.txt small.txt");
}

#[test]
fn links_and_compressed_hidden_and_special_files_are_skipped() {
    let site = Site::with(&[
        ("photo.jpg", &page()),
        ("archive.html.gz", &page()),
        ("README", &page()),
        (".hidden.html", &page()),
        (".git/a.html", &page()),
    ]);
    fs::write(site.outside().join("outside.html"), page()).unwrap();
    symlink(site.outside().join("outside.html"), site.path("link.html")).unwrap();
    symlink(site.outside(), site.path("links")).unwrap();
    nix::unistd::mkfifo(&site.path("fifo.html"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let before = names(&site);
    check(&site, "0 files: 0 variants written, ");
    assert_eq!(names(&site), before);
    assert_eq!(fs::read_dir(site.outside()).unwrap().count(), 2);
    assert_eq!(fs::read_dir(site.path(".git")).unwrap().count(), 1);
}

#[test]
fn the_directory_itself_may_be_a_link() {
    let site = Site::with(&[("a.html", &page())]);
    let link = site.outside().join("current");
    symlink(site.root(), &link).unwrap();
    assert_eq!(run(&link).status.code(), Some(0));
    assert_eq!(names(&site), "a.html a.html.br a.html.gz a.html.zst");
}

#[test]
fn a_file_that_fails_is_named_and_the_others_go_on() {
    let long = "a".repeat(250) + ".txt";
    let site = Site::with(&[("a.html", &page()), (&long, &page())]);
    check_failure(&site, &[&long, "too long", "shorter"]);
    assert_eq!(names(&site), format!("a.html a.html.br a.html.gz a.html.zst {long}"));
}

#[test]
fn a_directory_in_the_place_of_a_variant_is_a_failure_and_nothing_is_left_behind() {
    let site = Site::with(&[("a.html", &page()), ("a.html.br/file", b"")]);
    check_failure(&site, &["/a.html", "Is a directory"]);
    assert_eq!(names(&site), "a.html a.html.br");
}

#[test]
fn files_left_by_a_crash_are_removed_unless_a_run_still_writes_them() {
    let site = Site::with(&[(".otus-precompress-1-0", b"left"), (".otus-precompress-2-0", b"at work")]);
    let at_work = File::open(site.path(".otus-precompress-2-0")).unwrap();
    at_work.lock().unwrap();
    check(&site, "0 files: ");
    assert_eq!(names(&site), ".otus-precompress-2-0");
}

#[test]
fn no_directory_is_one_sentence() {
    let site = Site::with(&[("file", b"")]);
    for (path, word) in [(site.path("nothing"), "No such file or directory"), (site.path("file"), "Not a directory")] {
        let output = run(&path);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{text}");
        assert!(text.contains(word) && text.contains(path.to_str().unwrap()), "{text}");
    }
}

#[test]
fn settings_of_the_server_are_ignored_in_the_environment_and_usage_errors_as_arguments() {
    let site = Site::with(&[("a.html", &page())]);
    let task = || {
        let mut command = Command::new(BINARY);
        command.arg("precompress").arg(site.root()).env_remove("JOURNAL_STREAM");
        command
    };
    assert_eq!(task().env("OTUS_PORT", "80").output().unwrap().status.code(), Some(0));
    assert_eq!(task().arg("--port=80").output().unwrap().status.code(), Some(2));
}

#[test]
fn an_older_file_that_is_put_back_with_its_time_gets_variants_of_its_own() {
    let site = Site::with(&[("a.html", &page())]);
    check(&site, "1 files: 3 variants written, 0 up to date, ");
    site.write("a.html", &[&page()[..], b"older"].concat());
    age(&site, "a.html", 1000);
    check(&site, "1 files: 3 variants written, 0 up to date, ");
    for suffix in SUFFIXES {
        let variant = fs::read(site.path(format!("a.html{suffix}"))).unwrap();
        assert!(decode(suffix, &variant).ends_with(b"older"), "{suffix}");
    }
}

#[test]
fn an_empty_variant_is_written_again() {
    let site = Site::with(&[("a.html", &page())]);
    check(&site, "1 files: 3 variants written, 0 up to date, ");
    let time = fs::metadata(site.path("a.html")).unwrap().modified().unwrap();
    let empty = File::create(site.path("a.html.gz")).unwrap();
    empty.set_modified(time).unwrap();
    check(&site, "1 files: 1 variants written, 2 up to date, ");
    assert_eq!(decode(".gz", &fs::read(site.path("a.html.gz")).unwrap()), page());
}

/// Replaces a directory of the tree with a link to a directory outside, repeatedly, while variants are written. Nothing
/// outside is created, replaced or removed.
#[test]
fn a_directory_that_is_replaced_by_a_link_is_not_followed_outside_the_root() {
    let site = Site::with(&[]);
    let outside = site.outside().join("archive");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, site.path("link")).unwrap();
    // For each file, a variant that would be replaced, and one that would be removed because it saves nothing.
    let names: Vec<_> = (0..20).flat_map(|n| [(format!("{n}.txt"), 400), (format!("small{n}.txt"), 5)]).collect();
    for (name, _) in &names {
        fs::write(outside.join(name), page()).unwrap();
        fs::write(outside.join(format!("{name}.gz")), "theirs").unwrap();
    }
    let (sub, link) = (site.path("sub"), site.path("link"));
    for _ in 0..10 {
        fs::create_dir(&sub).unwrap();
        for (name, size) in &names {
            fs::write(sub.join(name), &page()[..*size]).unwrap();
        }
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut exchanges = 0;
                while !is_over.load(Relaxed) || exchanges % 2 == 1 {
                    renameat2(AT_FDCWD, &sub, AT_FDCWD, &link, RenameFlags::RENAME_EXCHANGE).unwrap();
                    exchanges += 1;
                }
            });
            // A file whose directory has become a link fails, and is named.
            run(&site.root());
            is_over.store(true, Relaxed);
        });
        fs::remove_dir_all(&sub).unwrap();
        for entry in fs::read_dir(&outside).unwrap() {
            let path = entry.unwrap().path();
            let is_ours = path.extension().is_some_and(|extension| extension == "gz");
            assert_eq!(fs::read(&path).unwrap(), if is_ours { b"theirs".to_vec() } else { page() }, "{path:?}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 2 * names.len(), "none was added or removed");
    }
}

/// Another user may have linked a file of root into the tree, as a variant or as a file to compress.
#[test]
fn a_file_with_a_hard_link_in_the_tree_is_neither_written_nor_revealed() {
    let site = Site::with(&[("a.html", &page())]);
    let [theirs, secret] = ["theirs", "secret"].map(|name| site.outside().join(name));
    fs::write(&theirs, "theirs").unwrap();
    fs::write(&secret, page()).unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    for suffix in SUFFIXES {
        fs::hard_link(&theirs, site.path(format!("a.html{suffix}"))).unwrap();
    }
    fs::hard_link(&secret, site.path("b.html")).unwrap();
    let before = fs::metadata(&secret).unwrap();
    check(&site, "2 files: 6 variants written, 0 up to date, ");
    assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
    let after = fs::metadata(&secret).unwrap();
    assert_eq!((after.mode(), after.uid(), after.mtime()), (before.mode(), before.uid(), before.mtime()));
    for suffix in SUFFIXES {
        assert_eq!(decode(suffix, &fs::read(site.path(format!("a.html{suffix}"))).unwrap()), page());
        let variant = fs::metadata(site.path(format!("b.html{suffix}"))).unwrap();
        assert_eq!((variant.mode(), variant.uid(), variant.nlink()), (before.mode(), before.uid(), 1), "{suffix}");
    }
}

/// Root follows a link to the top directory only if root or the owner of that directory owns the link.
#[test]
fn root_follows_no_link_of_another_user() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let site = Site::with(&[("a.html", &page())]);
    let link = site.outside().join("current");
    symlink(site.root(), &link).unwrap();
    lchown(&link, Some(12), None).unwrap();
    let output = run(&link);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("it is a symbolic link, and its owner does not own the directory"), "{text}");
    assert_eq!(names(&site), "a.html");
    chown(site.root(), Some(12), None).unwrap();
    assert_eq!(run(&link).status.code(), Some(0));
}

#[test]
fn a_file_that_grows_is_read_up_to_its_first_size() {
    let site = Site::with(&[("log.txt", &page())]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = File::options().append(true).open(site.path("log.txt")).unwrap();
            while !is_over.load(Relaxed) && file.metadata().unwrap().len() < 1 << 28 {
                // In small steps: however late the command begins, the file is far from its end.
                std::io::Write::write_all(&mut file, &[b'x'; 64]).unwrap();
            }
        });
        check_failure(&site, &["/log.txt", "changed while it was compressed"]);
        is_over.store(true, Relaxed);
    });
    assert!(fs::metadata(site.path("log.txt")).unwrap().len() < 1 << 28, "it ended before the file did");
    assert_eq!(names(&site), "log.txt");
}

#[test]
fn a_sparse_file_larger_than_the_limit_is_skipped() {
    let site = Site::with(&[("bomb.txt", b"")]);
    File::options().write(true).open(site.path("bomb.txt")).unwrap().set_len(1 << 40).unwrap();
    let output = run(&site.root());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("bomb.txt is skipped: it is larger than 1.00 GiB."), "{text}");
    assert_eq!(names(&site), "bomb.txt");
}

//! The memory that workers share: whoever gets hold of one can write there what he likes.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Server, Setup, Site, copy_program, wait_until};

/// The scoreboard's memory, as a worker has it.
fn memory(server: &Server) -> File {
    let directory = format!("/proc/{}/fd", server.workers()[0]);
    let is_memory = |path: &std::path::PathBuf| {
        fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("/memfd:counters"))
    };
    let path = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).find(is_memory).unwrap();
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

#[test]
fn its_memory_keeps_its_size() {
    let server = Server::of(&Site::new());
    server.wait_until_ready();
    let memory = memory(&server);
    let length = memory.metadata().unwrap().len();
    for other in [0, length - 1, length + 1, 1 << 32] {
        assert!(memory.set_len(other).is_err(), "{other}");
    }
}

#[test]
fn random_words_in_it_end_nobody_and_neither_reload_nor_stop_is_lost() {
    let site = Site::with(&[("a", b"a")]);
    let program = site.outside().join("otus-httpd");
    copy_program(&program);
    let mut server = Setup::new(&site, &["--workers=3", "--drain-timeout=1"]).program(&program).listen();
    server.wait_until_ready();
    let workers = server.workers();
    let memory = memory(&server);
    let words = memory.metadata().unwrap().len() / 8;
    let mut state = 1u64;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        for word in 0..words {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = if state & 0x300 == 0 { u64::MAX } else { state | 1 << 63 };
            memory.write_all_at(&value.to_ne_bytes(), 8 * word).unwrap();
        }
    }
    assert_eq!(server.workers(), workers, "{}", server.log());
    server.signal(Signal::SIGHUP);
    // The old ones count wrong who is there, and wait for nobody until their time is over.
    wait_until("new workers", || {
        let now = server.workers();
        now.len() == 3 && now.iter().all(|worker| !workers.contains(worker))
    });
    assert_eq!(server.get("/a").text(), "a");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_status().code(), Some(0));
}

//! The isolation of workers: a compromised worker cannot write the memory of others, nor use the descriptors of the
//! supervisor.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Client, Server, Setup, Site, copy_program, get, stop, wait_until};

/// More bytes than the kernel buffers for a client that does not read.
const LARGE: usize = 32 << 20;

/// A piece of memory that a process shares with others.
#[derive(Debug)]
struct Shared {
    begin: u64,
    end: u64,
    inode: String,
    is_writable: bool,
    /// Whether mprotect(2) could make it writable.
    may_be_writable: bool,
}

fn shared_memory(process: Pid) -> Vec<Shared> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps")).unwrap();
    let mut found: Vec<Shared> = Vec::new();
    let mut is_shared = false;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        // proc(5): "begin-end rwxs offset device inode name", and for each mapping lines with a name and a colon.
        if let Some((begin, end)) = words[0].split_once('-')
            && let (Ok(begin), Ok(end)) = (u64::from_str_radix(begin, 16), u64::from_str_radix(end, 16))
        {
            is_shared = words[1].ends_with('s');
            if is_shared {
                let is_writable = words[1].contains('w');
                found.push(Shared { begin, end, inode: words[4].into(), is_writable, may_be_writable: true });
            }
        } else if words[0] == "VmFlags:" && is_shared {
            found.last_mut().unwrap().may_be_writable = words.contains(&"mw");
        }
    }
    found
}

/// Checks that each worker can write only its own memory and read that of the others, except that of an `old` one.
/// There are `memories` for each.
fn assert_own_memory(server: &Server, memories: usize, old: Option<Pid>) {
    let workers = server.workers();
    let mut written = BTreeSet::new();
    for worker in &workers {
        let shared = shared_memory(*worker);
        let own: Vec<_> = shared.iter().filter(|memory| memory.is_writable).collect();
        assert_eq!(own.len(), memories, "{shared:?}");
        for memory in own {
            assert!(written.insert(memory.inode.clone()), "two workers write {memory:?}");
        }
        assert!(shared.iter().all(|memory| memory.is_writable == memory.may_be_writable), "{shared:?}");
        for link in links(*worker) {
            assert!(!link.contains("memfd"), "worker {worker} has {link}");
        }
    }
    let inodes = |worker: Pid| shared_memory(worker).into_iter().map(|memory| memory.inode).collect::<BTreeSet<_>>();
    let workers: Vec<_> = workers.into_iter().filter(|worker| Some(*worker) != old).collect();
    let read = inodes(workers[0]);
    assert!(workers.iter().all(|worker| inodes(*worker) == read), "{read:?}");
    let is_read = written.intersection(&read).count();
    assert_eq!(is_read, memories * workers.len(), "{read:?} of {written:?}");
}

/// The purposes of the descriptors of a process.
fn links(process: Pid) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.map(|link| link.to_string_lossy().into_owned()).collect()
}

fn start(site: &Site, arguments: &[&str]) -> Server {
    let program = site.outside().join("otus-httpd");
    copy_program(&program);
    Setup::new(site, arguments).program(&program).listen()
}

fn wait_for_workers(server: &Server, count: usize, gone: &[Pid]) {
    wait_until("new workers", || {
        let workers = server.workers();
        workers.len() == count && gone.iter().all(|worker| !workers.contains(worker))
    });
    wait_until("an answer", || server.get("/a").text() == "a");
}

#[test]
fn no_worker_can_write_the_memory_of_another() {
    let site = Site::with(&[("a", b"a"), ("large", &vec![b'x'; LARGE])]);
    let server = start(&site, &["--workers=3", "--max-per-client=100"]);
    server.wait_until_ready();
    assert_own_memory(&server, 2, None);

    let first = server.workers();
    kill(first[0], Signal::SIGKILL).unwrap();
    wait_for_workers(&server, 3, &first[..1]);
    assert_own_memory(&server, 2, None);

    // A worker from before the reload lives until its download ends. Only the supervisor reads its memory.
    let before = server.workers();
    let mut download = server.connect();
    download.send(get("/large"));
    assert_eq!(download.head().status, 200);
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
    wait_until("one worker of before", || server.workers().len() == 4);
    let old = server.workers().into_iter().find(|worker| before.contains(worker)).unwrap();
    assert_own_memory(&server, 2, Some(old));
    let mut rest = vec![0; LARGE];
    download.0.read_exact(&mut rest).unwrap();
    wait_until("its end", || server.workers().len() == 3);
    assert_own_memory(&server, 2, None);
}

/// Returns whether a request gets a response.
fn is_served(server: &Server) -> bool {
    let mut client = server.connect();
    client.send("GET /a HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    client.0.read_to_end(&mut answer).is_ok() && answer.starts_with(b"HTTP/1.1 200")
}

#[test]
fn a_worker_that_writes_random_words_into_its_memory_does_not_affect_others() {
    let site = Site::with(&[("a", b"a")]);
    let mut server = start(&site, &["--workers=3", "--drain-timeout=1", "--max-per-client=64"]);
    server.wait_until_ready();
    let workers = server.workers();
    // A compromised worker could do the same.
    let memory = OpenOptions::new().write(true).open(format!("/proc/{}/mem", workers[0])).unwrap();
    let own: Vec<_> = shared_memory(workers[0]).into_iter().filter(|memory| memory.is_writable).collect();
    let mut state = 1u64;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if state & 0x300 == 0 { u64::MAX } else { state | 1 << 63 }
    };
    let (begin, mut served) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(4) {
        for Shared { begin, end, .. } in &own {
            let words: Vec<u8> = (0..(end - begin) / 8).flat_map(|_| word().to_ne_bytes()).collect();
            memory.write_all_at(&words, *begin).unwrap();
        }
        // Its own connections are at its mercy. While it is stopped, the others accept all, and each has to be served.
        stop(workers[0]);
        for _ in 0..4 {
            assert!(is_served(&server), "after {served} requests: {}", server.log());
            served += 1;
        }
        kill(workers[0], Signal::SIGCONT).unwrap();
        let _ = is_served(&server);
    }
    println!("{served} requests were served");
    assert_eq!(server.workers(), workers, "{}", server.log());
    server.signal(Signal::SIGHUP);
    // The old workers may count connections wrongly. They drain until their timeout.
    wait_for_workers(&server, 3, &workers);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_status().code(), Some(0));
}

#[test]
fn the_size_of_the_shared_memory_cannot_be_changed() {
    let server = Server::of(&Site::new());
    server.wait_until_ready();
    let directory = format!("/proc/{}/fd", server.pid());
    let is_memory = |path: &std::path::PathBuf| {
        fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("/memfd:counters"))
    };
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).filter(is_memory);
    let memories: Vec<File> = paths.map(|path| OpenOptions::new().read(true).write(true).open(path).unwrap()).collect();
    assert_eq!(
        memories.len(),
        7,
        "each worker's, the supervisor's, the helper's, the digest table, compressed content and failed logins"
    );
    for memory in memories {
        let length = memory.metadata().unwrap().len();
        for other in [0, length - 1, length + 1, 1 << 32] {
            assert!(memory.set_len(other).is_err(), "{other}");
        }
    }
}

/// Checks that each worker has only descriptors that it may have. Those that were just started still close the others.
fn assert_own_descriptors(server: &Server, site: &Site, listening: usize) {
    let mut last = None;
    wait_until("workers with nothing but descriptors of their own", || {
        let wrong = wrong_descriptor(server, site, listening);
        if wrong.is_some() && wrong != last {
            println!("{wrong:?}");
        }
        last = wrong;
        last.is_none()
    });
}

/// Returns what is wrong with the descriptors of a worker. Each process has its number of them; all processes share the
/// listening sockets and the sending end of the helper's queue.
fn wrong_descriptor(server: &Server, site: &Site, listening: usize) -> Option<String> {
    let inherited = links(Pid::this());
    let supervisor: BTreeSet<_> = links(server.pid()).into_iter().collect();
    let workers = server.workers();
    for worker in &workers {
        let links = links(*worker);
        let signals = links.iter().filter(|link| *link == "anon_inode:[signalfd]").count();
        let others: BTreeSet<_> =
            workers.iter().filter(|other| *other != worker).flat_map(|other| self::links(*other)).collect();
        let sockets: Vec<_> = links.iter().filter(|link| link.starts_with("socket:")).collect();
        let shared = [&supervisor, &others].map(|of| sockets.iter().filter(|socket| of.contains(**socket)).count());
        if signals != 1 || shared != [listening + 1; 2] {
            return Some(format!("worker {worker} has {signals} signalfds, and shares {shared:?} sockets: {links:?}"));
        }
        // Descriptors that the environment of the tests has left open are inherited by every process.
        for link in links.iter().filter(|link| !inherited.contains(*link)) {
            let is_of_the_site = Path::new(link).starts_with(site.root()) || Path::new(link) == site.outside();
            let is_own = link.starts_with("socket:")
                || ["anon_inode:[signalfd]", "anon_inode:[eventfd]", "anon_inode:[eventpoll]"].contains(&link.as_str())
                // The threads of the worker and their states, and the destination of its messages.
                || Path::new(link).starts_with(format!("/proc/{worker}/task"))
                || link.ends_with("/log")
                || link == "/dev/null";
            if !(is_of_the_site || is_own) {
                return Some(format!("worker {worker} has {link} of {links:?}"));
            }
        }
    }
    None
}

#[test]
fn a_worker_has_no_descriptor_of_the_supervisor_nor_of_another_worker() {
    let site = Site::with(&[("a", b"a")]);
    let program = site.outside().join("otus-httpd");
    copy_program(&program);
    let [http, metrics] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, metrics_address) = (http.local_addr().unwrap(), metrics.local_addr().unwrap());
    let setup = Setup::new(&site, &["--workers=3", "--max-per-client=100", "--access-log=stderr"]).program(&program);
    let mut server = setup.env("LISTEN_FDNAMES", "http:metrics").socket(http).socket(metrics).start();
    server.address = address;
    server.wait_until_ready();
    assert_own_descriptors(&server, &site, 1);

    // While a client is connected to the metrics socket, a worker is replaced; then a new image is executed.
    let mut caller = Client::connect(metrics_address);
    caller.send("GET /metrics");
    let first = server.workers();
    kill(first[0], Signal::SIGKILL).unwrap();
    wait_for_workers(&server, 3, &first[..1]);
    assert_own_descriptors(&server, &site, 1);
    let before = server.workers();
    server.signal(Signal::SIGHUP);
    wait_for_workers(&server, 3, &before);
    assert_own_descriptors(&server, &site, 1);
}

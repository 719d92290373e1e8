//! A disk that hangs, in any call of the kernel that may access it: only requests for its files wait, and the server
//! can be stopped.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrStorage, bind, connect, socket};

use crate::fuse::{Call, Disk, Fault};
use crate::support::{Client, DEADLINE, Server, Setup, Site, get, is_open, stop, threads, wait_until};

const LARGE: usize = 20_000_000;

/// A site with a file `a` on a healthy disk, and at `disk` a FUSE file system with a small, a medium and a large file.
fn site() -> (Site, Disk) {
    let site = Site::with(&[("a", b"a")]);
    let disk = Disk::mount(
        &site,
        "disk",
        &[("small", b"small"), ("middling", &[b'x'; 100_000]), ("large", &vec![b'x'; LARGE])],
    );
    (site, disk)
}

/// Makes `call` of `name` hang, and sends requests for it until a thread of each worker hangs.
fn hang(server: &Server, disk: &Disk, name: &str, call: Call) -> Vec<Client> {
    disk.set(name, call, Fault::Hang);
    let mut waiting = Vec::new();
    wait_until("a thread that hangs in each worker", || {
        let mut client = server.connect();
        client.send(get(&format!("/disk/{name}")));
        waiting.push(client);
        // The main thread, a blocked thread, and an idle one.
        disk.waiting() > 0 && server.workers().iter().all(|worker| threads(*worker) > 2)
    });
    waiting
}

#[test]
fn a_file_that_hangs_delays_only_requests_for_it() {
    // With the small file in memory, and without.
    for (name, is_known) in [("small", false), ("small", true), ("large", false)] {
        for call in [Call::Find, Call::Stat, Call::Open, Call::Read(0)] {
            if is_known && matches!(call, Call::Open | Call::Read(_)) {
                // For at least a second, a check of its metadata is sufficient.
                continue;
            }
            let (site, disk) = site();
            let server = Server::of(&site);
            server.wait_until_ready();
            if is_known {
                for _ in 0..20 {
                    assert_eq!(server.get("/disk/small").text(), "small");
                }
            }
            let mut waiting = hang(&server, &disk, name, call);
            for _ in 0..50 {
                assert_eq!(server.get("/a").text(), "a");
            }
            assert!(waiting.iter_mut().all(|client| !client.is_closed()));

            disk.mend();
            for client in &mut waiting {
                let response = client.response();
                let length = if name == "small" { 5 } else { LARGE };
                assert_eq!((response.status, response.body.len()), (200, length), "{call:?} of {name}");
            }
            drop(waiting);
            wait_until("the file to be closed", || !is_open(&server.workers(), name));
            assert_eq!(server.warnings(), Vec::<String>::new());
        }
    }
}

#[test]
fn a_directory_of_sites_that_hangs_delays_no_request() {
    let (site, disk) = site();
    let server = Setup::bare(&["--workers=2", &format!("--sites={}", site.path("disk").display())]).listen();
    server.wait_until_ready();
    disk.set("", Call::Stat, Fault::Hang);
    wait_until("a check that hangs in each worker", || {
        // This disk does not list its files, so it is unknown which sites there are.
        assert_eq!(server.get("/").status, 503);
        disk.waiting() >= 2
    });
    for _ in 0..50 {
        assert_eq!(server.get("/").status, 503);
    }
    disk.mend();
}

#[test]
fn requests_that_arrive_together_do_not_block_each_other() {
    let (site, disk) = site();
    let server = Server::with(&site, &["--workers=1"]);
    let mut clients: Vec<Client> = (0..40).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/a").text(), "a");
    }
    disk.set("small", Call::Open, Fault::Hang);
    // The client finds all of them when it continues.
    let worker = server.workers()[0];
    stop(worker);
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(get(if n % 2 == 0 { "/disk/small" } else { "/a" }));
    }
    kill(worker, Signal::SIGCONT).unwrap();
    for client in clients.iter_mut().skip(1).step_by(2) {
        assert_eq!(client.response().text(), "a");
    }
    wait_until("the others to hang", || disk.waiting() == 20);
    disk.mend();
    for client in clients.iter_mut().step_by(2) {
        assert_eq!(client.response().text(), "small");
    }
}

#[test]
fn no_event_is_lost_while_a_thread_waits() {
    let (site, disk) = site();
    let server = Server::with(&site, &["--workers=1"]);
    let mut clients: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    // Several request threads, which then wait.
    disk.set("small", Call::Open, Fault::Hang);
    for client in &mut clients {
        assert_eq!(client.get("/a").text(), "a");
        client.send(get("/disk/small"));
    }
    wait_until("three threads to hang", || disk.waiting() == 3);
    disk.mend();
    for client in &mut clients {
        assert_eq!(client.response().text(), "small");
    }
    let worker = server.workers()[0];
    assert!(threads(worker) > 3);

    disk.set("large", Call::Open, Fault::Hang);
    stop(worker);
    clients[0].send(get("/disk/large"));
    clients[1].send(get("/disk/large"));
    clients[2].send(get("/a"));
    // One thread receives all three when they continue, and the first that it handles hangs.
    kill(worker, Signal::SIGCONT).unwrap();
    let begin = Instant::now();
    assert_eq!(clients[2].response().text(), "a");
    assert!(begin.elapsed() < Duration::from_secs(5), "it waited behind those that hang");
    disk.mend();
}

#[test]
fn downloads_continue_when_the_disk_responds_again() {
    let (site, disk) = site();
    let server = Server::with(&site, &["--workers=1"]);
    disk.set("large", Call::Read(10_000_000), Fault::Hang);
    let mut clients: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.send(get("/disk/large")).head().content_length(), LARGE);
        client.0.read_exact(&mut vec![0; 9_000_000]).unwrap();
    }
    wait_until("the disk to hang", || disk.waiting() > 0);
    assert_eq!(server.get("/a").text(), "a");
    disk.mend();
    for client in &mut clients {
        client.0.read_exact(&mut vec![0; LARGE - 9_000_000]).unwrap();
        assert_eq!(client.get("/a").text(), "a");
    }
}

#[test]
fn blocked_requests_are_completed_before_the_server_stops() {
    let (site, disk) = site();
    let mut server = Server::of(&site);
    server.wait_until_ready();
    let mut waiting = hang(&server, &disk, "small", Call::Open);
    wait_until("all of them to hang", || disk.waiting() == waiting.len());
    server.signal(Signal::SIGTERM);
    server.wait_for_log("completing the requests in flight");
    disk.mend();
    for client in &mut waiting {
        assert_eq!(client.response().text(), "small");
    }
    assert_eq!(server.exit_status().code(), Some(0));
}

#[test]
fn a_hanging_disk_does_not_delay_the_end_of_the_server() {
    for call in [Call::Open, Call::Read(0)] {
        let elapsed = end_of_server(call, "--stop-timeout=1", 1);
        // The server is then killed. The processes that the disk blocks are left to systemd.
        assert!((1..15).contains(&elapsed.as_secs()), "{call:?}: {elapsed:?}");
    }
}

#[test]
fn a_hanging_disk_does_not_prevent_the_end_by_a_second_signal() {
    for call in [Call::Open, Call::Read(0)] {
        let elapsed = end_of_server(call, "--stop-timeout=1000", 2);
        assert!(elapsed.as_secs() < 15, "{call:?}: {elapsed:?}");
    }
}

/// Returns how long a server takes to end after so many signals, while `call` hangs.
fn end_of_server(call: Call, argument: &str, signals: usize) -> Duration {
    let (site, disk) = site();
    let mut server = Server::with(&site, &[argument]);
    server.wait_until_ready();
    let _waiting = hang(&server, &disk, "large", call);
    let begin = Instant::now();
    for _ in 0..signals {
        server.signal(Signal::SIGTERM);
        server.wait_for_log("completing the requests in flight");
    }
    assert_eq!(server.exit_status().code(), Some(0));
    begin.elapsed()
}

#[test]
fn a_file_whose_close_hangs_delays_no_request() {
    let (site, disk) = site();
    let server = Server::with(&site, &["--workers=1", "--send-timeout=1", "--head-timeout=1"]);
    let mut slow = server.connect();
    slow.send(get("/disk/large"));
    assert_eq!(slow.0.peek(&mut [0]).unwrap(), 1, "the download is under way");
    disk.set("large", Call::Close, Fault::Hang);
    wait_until("the slow client to be cut", || disk.waiting() > 0);
    // The timeouts of other connections still end them, so the main thread does not hang.
    assert_eq!(server.connect().send("GET / HTTP/1.1\r\n").response().status, 408);
    assert_eq!(server.get("/a").text(), "a");
}

#[test]
fn a_cached_file_whose_close_hangs_delays_no_request() {
    let (site, disk) = site();
    let server = Server::with(&site, &["--workers=1"]);
    assert_eq!(server.get("/disk/middling").status, 200);
    disk.set("middling", Call::Close, Fault::Hang);
    wait_until("it to be closed", || {
        assert_eq!(server.get("/a").text(), "a");
        disk.waiting() > 0
    });
    for _ in 0..50 {
        assert_eq!(server.get("/a").text(), "a");
    }
}

/// Any number of clients, with another address of this machine than all others.
fn connect_from(last: u8, server: &Server) -> Client {
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, last, 0)).unwrap();
    connect(fd.as_raw_fd(), &SockaddrStorage::from(server.address)).unwrap();
    let client = Client(fd.into());
    client.0.set_read_timeout(Some(DEADLINE)).unwrap();
    client
}

/// The maximum number of threads of a worker in the test.
const THREADS: usize = 16;

/// Requests `target` from many more clients than there are threads. Some are rejected; returns those that wait.
fn crowd(server: &Server, disk: &Disk, target: impl Fn(usize) -> String) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..8 * THREADS).map(|_| server.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(get(&target(number)));
    }
    let mut waiting = clients;
    wait_until("all but those whom a thread waits for to be answered", || {
        waiting.retain_mut(|client| {
            client.0.set_nonblocking(true).unwrap();
            let has_answer = client.0.peek(&mut [0]).is_ok();
            client.0.set_nonblocking(false).unwrap();
            if has_answer {
                let response = client.response();
                assert_eq!((response.status, response.field("Retry-After")), (503, Some("1")), "{response:?}");
            }
            !has_answer
        });
        waiting.len() <= THREADS * 3 / 4 && disk.waiting() > 0
    });
    assert!(waiting.len() >= THREADS / 4);
    waiting
}

/// The waiting clients get their responses in the end. Some may have a rejection that has not arrived yet.
fn assert_served(waiting: &mut [Client], text: &str) {
    let served = waiting.iter_mut().map(Client::response).filter(|response| match response.status {
        503 => false,
        _ => response.text() == text,
    });
    assert!(served.count() >= THREADS / 4);
}

#[test]
fn one_file_takes_no_more_than_its_share_of_the_threads() {
    for call in [Call::Find, Call::Open, Call::Read(0)] {
        let (site, disk) = site();
        let threads = format!("--max-threads={THREADS}");
        let server = Server::with(&site, &["--workers=1", &threads]);
        assert_eq!(server.get("/a").text(), "a");
        disk.set("small", call, Fault::Hang);
        let mut waiting = crowd(&server, &disk, |_| "/disk/small".into());
        let mut same = server.connect();
        for _ in 0..50 {
            // Requests of the same client and of another one, for the same disk and for a healthy one.
            assert_eq!(same.get("/a").text(), "a");
            assert_eq!(connect_from(2, &server).get("/a").text(), "a");
            assert_eq!(connect_from(2, &server).get("/disk/middling").status, 200);
            assert_eq!(server.get("/disk/small").status, 503);
        }
        assert!(server.warnings().iter().all(|line| line.contains("the disk does not respond")), "{}", server.log());
        disk.mend();
        assert_served(&mut waiting, "small");
        for _ in 0..50 {
            assert_eq!(server.get("/disk/small").text(), "small");
        }
    }
}

#[test]
fn a_check_of_a_cached_file_counts_too() {
    let (site, disk) = site();
    let server = Server::with(&site, &["--workers=1", &format!("--max-threads={THREADS}")]);
    for _ in 0..20 {
        assert_eq!(server.get("/disk/small").text(), "small");
    }
    disk.set("small", Call::Stat, Fault::Hang);
    let mut waiting = crowd(&server, &disk, |_| "/disk/small".into());
    assert_eq!(server.get("/a").text(), "a");
    disk.mend();
    assert_served(&mut waiting, "small");
}

#[test]
fn one_client_does_not_occupy_all_threads() {
    let site = Site::with(&[("a", b"a")]);
    let files: Vec<String> = (0..8 * THREADS).map(|number| format!("f{number}")).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|name| (name.as_str(), b"f".as_slice())).collect();
    let disk = Disk::mount(&site, "disk", &files);
    let server = Server::with(&site, &["--workers=1", &format!("--max-threads={THREADS}")]);
    assert_eq!(server.get("/a").text(), "a");
    files.iter().for_each(|(name, _)| disk.set(name, Call::Open, Fault::Hang));
    let mut waiting = crowd(&server, &disk, |number| format!("/disk/f{number}"));
    for _ in 0..50 {
        assert_eq!(server.get("/a").text(), "a");
        assert_eq!(connect_from(2, &server).get("/a").text(), "a");
    }
    disk.mend();
    assert_served(&mut waiting, "f");
    assert_eq!(server.get("/disk/f1").text(), "f");
}

#[test]
fn blocked_downloads_leave_threads_to_others() {
    let (site, disk) = site();
    let server = Server::with(&site, &["--workers=1", &format!("--max-threads={THREADS}")]);
    disk.set("large", Call::Read(10_000_000), Fault::Hang);
    let mut clients: Vec<Client> = (0..4 * THREADS).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.send(get("/disk/large")).head().content_length(), LARGE);
    }
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| {
                client.0.read_exact(&mut vec![0; LARGE]).unwrap();
                // All of them are one client, which is limited to its share of the threads while the others are slow.
                wait_until("the connection to go on", || client.get("/a").text() == "a");
            });
        }
        wait_until("the disk to hang", || disk.waiting() > 0);
        // The ones in their turn block a thread each, up to a limit; the others are retried later.
        wait_until("more threads than half", || threads(server.workers()[0]) > THREADS / 2 + 1);
        for _ in 0..50 {
            assert_eq!(server.get("/a").text(), "a");
        }
        disk.mend();
    });
}

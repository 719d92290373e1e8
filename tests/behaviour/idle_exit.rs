//! `--idle-exit`: the server exits after a time without connections, and its socket starts it again.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::support::{BINARY, Client, Notifications, Server, Setup, Site, foreign_variables, own_user, wait_until};

#[test]
fn the_server_exits_after_idle_exit_seconds_without_a_connection() {
    let site = Site::with(&[("a", b"a")]);
    let mut server = Server::with(&site, &["--idle-exit=3"]);
    server.wait_until_ready();
    // Each connection restarts the time, however short it is.
    for _ in 0..3 {
        let begin = Instant::now();
        wait_until("most of the time", || begin.elapsed().as_millis() > 1_500);
        drop(server.connect());
        assert_eq!(server.get("/a").text(), "a");
    }
    let begin = Instant::now();
    assert_eq!(server.exit_status().code(), Some(0));
    assert!(begin.elapsed() > Duration::from_millis(2_800), "{:?}", begin.elapsed());
    assert!(server.log().contains("Idle for 3 s (--idle-exit)"), "{}", server.log());
    assert!(server.log().contains("Stopped; requests answered: 3."), "{}", server.log());
}

#[test]
fn an_open_connection_prevents_the_idle_exit_until_it_times_out() {
    let site = Site::with(&[("a", b"a")]);
    let mut server = Server::with(&site, &["--idle-exit=3", "--idle-timeout=8"]);
    let mut client = server.connect();
    assert_eq!(client.get("/a").text(), "a");
    let begin = Instant::now();
    wait_until("longer than --idle-exit", || begin.elapsed().as_millis() > 5_000);
    assert_eq!(client.get("/a").text(), "a");
    let begin = Instant::now();
    assert_eq!(server.exit_status().code(), Some(0));
    assert!(begin.elapsed() > Duration::from_millis(10_800), "{:?}", begin.elapsed());
    client.assert_closed();
}

#[test]
fn a_metrics_request_prevents_the_idle_exit() {
    let [http, metrics] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let address = metrics.local_addr().unwrap();
    let setup = Setup::new(&Site::new(), &["--idle-exit=3"]).env("LISTEN_FDNAMES", "http:metrics");
    let mut server = setup.socket(http).socket(metrics).start();
    let begin = Instant::now();
    let mut requests = 0;
    wait_until("longer than --idle-exit", || {
        if begin.elapsed() > Duration::from_millis(500) * requests {
            assert_eq!(Client::connect(address).get("/health").status, 200);
            requests += 1;
        }
        begin.elapsed().as_millis() > 5_000
    });
    assert_eq!(server.exit_status().code(), Some(0));
}

#[test]
fn idle_exit_without_socket_activation_is_a_usage_error() {
    let site = Site::with(&[]);
    let mut command = Command::new(BINARY);
    command.env("OTUS_ROOT", site.root());
    for variable in foreign_variables() {
        command.env_remove(variable);
    }
    for (arguments, word) in [(["--port=0", "--idle-exit=60"], "socket"), (["--port=0", "--idle-exit=2"], "from 3")] {
        let output = command.envs(own_user()).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert_eq!(text.lines().count(), 1, "one sentence: {text}");
        assert!(text.contains("--idle-exit") && text.contains("OTUS_IDLE_EXIT") && text.contains(word), "{text}");
    }
}

/// Starts the server with the same socket repeatedly, as systemd does: whenever a client waits and no server runs.
fn keep_started(
    site: &Site,
    listener: &TcpListener,
    notify: Option<PathBuf>,
    starts: &AtomicU32,
    is_over: &AtomicBool,
) {
    while !is_over.load(Relaxed) {
        let mut socket = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        if poll(&mut socket, PollTimeout::from(20u16)) != Ok(1) {
            continue;
        }
        let mut setup = Setup::new(site, &["--idle-exit=3"]);
        if let Some(path) = &notify {
            setup = setup.env("NOTIFY_SOCKET", path);
        }
        let mut server = setup.socket(listener.try_clone().unwrap()).start();
        starts.fetch_add(1, Relaxed);
        assert_eq!(server.exit_status().code(), Some(0), "{}", server.log());
    }
}

/// Sets the flag when it is dropped, also after a panic.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn visit(address: SocketAddr) {
    let mut client = Client::connect(address);
    client.send("GET /a HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().text(), "a");
    client.assert_closed();
}

fn pause(length: Duration) {
    let end = Instant::now() + length;
    while Instant::now() < end {
        std::thread::park_timeout(end.saturating_duration_since(Instant::now()));
    }
}

/// The number of servers, and the minimum of exits of each while clients connect.
const SERVERS: u32 = 20;
const ROUNDS: u32 = 2;

#[test]
fn no_request_is_lost_by_an_idle_exit() {
    let site = Site::with(&[("a", b"a")]);
    let starts: u32 = std::thread::scope(|scope| {
        let hammers: Vec<_> = (0..SERVERS)
            .map(|number| {
                scope.spawn({
                    let site = &site;
                    move || hammer(site, number)
                })
            })
            .collect();
        hammers.into_iter().map(|hammer| hammer.join().unwrap()).sum()
    });
    // Clients connect at each of these exits.
    let least = SERVERS + SERVERS / 2 * ROUNDS;
    assert!(starts > least, "{starts} starts: some exits were not while a client connected");
}

/// Connects around each exit of a server: for half of the servers from just before it, for the others from the moment
/// at which it notifies systemd, in small steps until the next one has started. Returns the number of starts.
fn hammer(site: &Site, number: u32) -> u32 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (starts, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    // The notifications must be received: the socket holds few messages.
    let systemd = (!number.is_multiple_of(2)).then(Notifications::new);
    std::thread::scope(|scope| {
        let (listener, starts, is_over) = (&listener, &starts, &is_over);
        let notify = systemd.as_ref().map(Notifications::path);
        let starter = scope.spawn(move || keep_started(site, listener, notify, starts, is_over));
        let end = SetAtEnd(is_over);
        let mut last = Instant::now();
        visit(address);
        for round in 0..ROUNDS {
            let step = round * SERVERS + number;
            let before = starts.load(Relaxed);
            if let Some(systemd) = &systemd {
                systemd.find("the end of it", |message| message.contains("STOPPING=1"));
                pause(Duration::from_micros(u64::from(step) * 500));
            } else {
                // The server checks once a second, so it exits somewhere in the second after the third.
                let early = Duration::from_millis(2_950 + u64::from(step) * 25);
                pause((last + early).saturating_duration_since(Instant::now()));
            }
            for step in 0..12 {
                visit(address);
                pause(Duration::from_micros(step * 300));
            }
            if systemd.is_some() {
                // Until then, the exiting server may have served all of them.
                wait_until("the next one", || {
                    visit(address);
                    starts.load(Relaxed) > before
                });
            }
            last = Instant::now();
        }
        drop(end);
        wait_until("the last one to leave", || {
            systemd.as_ref().map(Notifications::waiting);
            starter.is_finished()
        });
        starter.join().unwrap();
    });
    starts.into_inner()
}

//! `--idle-exit`: the server leaves when nobody comes, and its socket starts it again.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::support::{BINARY, Client, Notifications, Server, Setup, Site, foreign_variables, own_user, wait_until};

#[test]
fn it_leaves_when_nobody_has_come_for_so_long() {
    let site = Site::with(&[("a", b"a")]);
    let mut server = Server::with(&site, &["--idle-exit=3"]);
    server.wait_until_ready();
    // Each visit puts it off, however short.
    for _ in 0..3 {
        let begin = Instant::now();
        wait_until("most of the time", || begin.elapsed().as_millis() > 1_500);
        drop(server.connect());
        assert_eq!(server.get("/a").text(), "a");
    }
    let begin = Instant::now();
    assert_eq!(server.exit_status().code(), Some(0));
    assert!(begin.elapsed() > Duration::from_millis(2_800), "{:?}", begin.elapsed());
    assert!(server.log().contains("Nobody has come for 3 s (--idle-exit)"), "{}", server.log());
    assert!(server.log().contains("Stopped; requests answered: 3."), "{}", server.log());
}

#[test]
fn an_open_connection_keeps_it_until_its_own_time_is_over() {
    let site = Site::with(&[("a", b"a")]);
    let mut server = Server::with(&site, &["--idle-exit=3", "--idle-timeout=8"]);
    let mut client = server.connect();
    assert_eq!(client.get("/a").text(), "a");
    let begin = Instant::now();
    wait_until("longer than it stays alone", || begin.elapsed().as_millis() > 5_000);
    assert_eq!(client.get("/a").text(), "a");
    let begin = Instant::now();
    assert_eq!(server.exit_status().code(), Some(0));
    assert!(begin.elapsed() > Duration::from_millis(10_800), "{:?}", begin.elapsed());
    client.assert_closed();
}

#[test]
fn asking_for_metrics_keeps_it() {
    let [http, metrics] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let address = metrics.local_addr().unwrap();
    let setup = Setup::new(&Site::new(), &["--idle-exit=3"]).env("LISTEN_FDNAMES", "http:metrics");
    let mut server = setup.socket(http).socket(metrics).start();
    let begin = Instant::now();
    let mut asked = 0;
    wait_until("longer than it stays alone", || {
        if begin.elapsed() > Duration::from_millis(500) * asked {
            assert_eq!(Client::connect(address).get("/health").status, 200);
            asked += 1;
        }
        begin.elapsed().as_millis() > 5_000
    });
    assert_eq!(server.exit_status().code(), Some(0));
}

#[test]
fn where_nobody_would_start_it_again_it_is_wrong_usage() {
    let mut command = Command::new(BINARY);
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

/// Starts the server with the same socket again and again, as systemd does: whenever somebody waits there and no server runs.
/// Returns how often.
fn keep_started(site: &Site, listener: &TcpListener, notify: Option<PathBuf>, is_over: &AtomicBool) -> u32 {
    let mut starts = 0;
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
        starts += 1;
        assert_eq!(server.exit_status().code(), Some(0), "{}", server.log());
    }
    starts
}

fn visit(address: SocketAddr) {
    let mut client = Client::connect(address);
    client.send("GET /a HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().text(), "a");
    client.assert_closed();
}

fn pause(length: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < length {
        std::thread::park_timeout(length - begin.elapsed());
    }
}

/// How often each of them leaves while somebody comes.
const ROUNDS: u32 = 5;

#[test]
fn no_request_is_lost_when_it_leaves() {
    let site = Site::with(&[("a", b"a")]);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let site = &site;
            scope.spawn(move || hammer(site, number));
        }
    });
}

/// Visits around each moment at which a server leaves: half of the servers from just before, the others from the moment on at
/// which it tells systemd, in small steps through its end and the next one's start.
fn hammer(site: &Site, number: u32) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let is_over = AtomicBool::new(false);
    // Whoever is told must listen: the socket holds few messages.
    let systemd = (!number.is_multiple_of(2)).then(Notifications::new);
    let starts = std::thread::scope(|scope| {
        let (listener, is_over, notify) = (&listener, &is_over, systemd.as_ref().map(Notifications::path));
        let keeper = scope.spawn(move || keep_started(site, listener, notify, is_over));
        let mut last = Instant::now();
        visit(address);
        for round in 0..ROUNDS {
            let step = round * 8 + number;
            if let Some(systemd) = &systemd {
                systemd.find("the end of it", |message| message.contains("STOPPING=1"));
                pause(Duration::from_micros(u64::from(step) * 500));
            } else {
                // It looks once a second, so its moment is somewhere in the second after the third.
                let early = Duration::from_millis(2_950 + u64::from(step) * 25);
                pause((last + early).saturating_duration_since(Instant::now()));
            }
            for step in 0..12 {
                visit(address);
                pause(Duration::from_micros(step * 300));
            }
            last = Instant::now();
        }
        is_over.store(true, Relaxed);
        wait_until("the last one to leave", || {
            systemd.as_ref().map(Notifications::waiting);
            keeper.is_finished()
        });
        keeper.join().unwrap()
    });
    assert!(starts > 1, "it left at least once while somebody came");
}

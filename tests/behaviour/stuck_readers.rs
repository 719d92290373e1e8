//! Nobody reads what the server says: neither systemd nor whoever has its standard error. It goes on all the same.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::libc::O_NONBLOCK;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::exposition;
use crate::support::{Client, Notifications, Setup, Site, copy_program, wait_until};

/// A FIFO that has a reader, who does not read, and is full.
fn full_fifo(path: &Path) -> File {
    mkfifo(path, Mode::S_IRWXU).unwrap();
    let mut fifo = OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(path).unwrap();
    fill(&mut fifo);
    fifo
}

fn fill(fifo: &mut File) {
    while fifo.write(&[b'x'; 4096]).is_ok() {}
}

fn fill_socket(systemd: &Notifications) {
    let socket = UnixDatagram::unbound().unwrap();
    socket.set_nonblocking(true).unwrap();
    let error = std::iter::repeat_with(|| socket.send_to(b"x", systemd.path())).find_map(Result::err).unwrap();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn the_supervisor_does_not_wait_for_a_reader_of_its_output() {
    let site = Site::with(&[("a", b"a")]);
    let program = site.outside().join("otus-httpd");
    copy_program(&program);
    let path = site.outside().join("stderr");
    let mut stderr = full_fifo(&path);
    let systemd = Notifications::new();
    fill_socket(&systemd);
    let setup = Setup::new(&site, &["--workers=2", "--debug"]).program(&program).env("NOTIFY_SOCKET", systemd.path());
    let setup = setup.before(&format!("exec 2>>'{}';", path.display())).env("LISTEN_FDNAMES", "http:metrics");
    let [http, metrics] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, metrics_address) = (http.local_addr().unwrap(), metrics.local_addr().unwrap());
    let mut server = setup.socket(http).socket(metrics).start();
    server.address = address;
    wait_until("two workers", || server.workers().len() == 2);
    assert_eq!(server.get("/a").text(), "a");

    let victim = server.workers()[0];
    kill(victim, Signal::SIGKILL).unwrap();
    wait_until("a replacement", || server.workers().len() == 2 && !server.workers().contains(&victim));
    let old = server.workers();
    server.signal(Signal::SIGHUP);
    wait_until("new workers", || {
        let workers = server.workers();
        workers.len() == 2 && old.iter().all(|pid| !workers.contains(pid))
    });
    assert_eq!(server.get("/a").text(), "a");

    for receiver in ["log", "systemd"] {
        let name = format!("otus_messages_dropped_total{{to=\"{receiver}\"}}");
        wait_until(&name, || {
            exposition::parse(&Client::connect(metrics_address).get("/metrics").text()).get(&name) > 0.0
        });
    }

    // Once somebody reads, what has to be told is told, and how much was not.
    systemd.find("readiness", |message| message.lines().any(|line| line == "READY=1"));
    systemd.find("the status", |message| message.starts_with("STATUS=Serving"));
    let mut text = Vec::new();
    wait_until("what was dropped", || {
        let _ = stderr.read_to_end(&mut text);
        let _ = server.get("/a");
        String::from_utf8_lossy(&text).contains(" log lines were dropped: the reader of stderr is too slow.")
    });
    fill(&mut stderr);
    fill_socket(&systemd);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_status().code(), Some(0));
}

#[test]
fn a_failed_start_does_not_wait_for_a_reader_of_its_output() {
    let site = Site::new();
    let path = site.outside().join("stderr");
    let _stderr = full_fifo(&path);
    let mut server = Setup::bare(&["--port=none"]).before(&format!("exec 2>>'{}';", path.display())).start();
    assert_eq!(server.exit_status().code(), Some(2));
}

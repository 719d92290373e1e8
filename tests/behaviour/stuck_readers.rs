//! The server continues if no process reads its output: to systemd, to the journal and to its standard error.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;

use nix::libc::O_NONBLOCK;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::mkfifo;

use crate::exposition;
use crate::support::{Client, Notifications, Setup, Site, copy_program, wait_until};

/// A full FIFO with a reader that does not read.
fn full_fifo(path: &Path) -> File {
    mkfifo(path, Mode::S_IRWXU).unwrap();
    let mut fifo = OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(path).unwrap();
    fill(&mut fifo);
    fifo
}

/// The socket for events of the journal.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// A journal that reads nothing: its socket for events, and the stream that is the standard error of a service. Only
/// this thread and the processes that it starts from now on have this socket.
struct StuckJournal {
    _socket: UnixDatagram,
    stream: UnixStream,
}

impl StuckJournal {
    /// Returns it, and the standard error of a service.
    fn new() -> (StuckJournal, OwnedFd) {
        unshare(CloneFlags::CLONE_NEWNS).expect("this test mounts a file system: run it as root");
        // In a chroot, "/" is not a mount, and there is nothing to make private.
        let _ = mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>);
        mount(Some("run"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        fs::create_dir_all(Path::new(JOURNAL).parent().unwrap()).unwrap();
        let socket = UnixDatagram::bind(JOURNAL).unwrap();
        let (stream, stderr) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        (StuckJournal { _socket: socket, stream }, stderr.into())
    }
}

/// Sends to the socket at `path` until it is full.
fn fill_socket(path: &Path) {
    let socket = UnixDatagram::unbound().unwrap();
    socket.set_nonblocking(true).unwrap();
    let error = std::iter::repeat_with(|| socket.send_to(b"x", path)).find_map(Result::err).unwrap();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

/// Writes until the buffer is full. `output` is non-blocking.
fn fill(output: &mut impl Write) {
    while output.write(&[b'x'; 4096]).is_ok() {}
}

/// Starts a server whose output is not read, kills a worker, reloads it and stops it. `fill` fills its output, `read`
/// reads it.
fn assert_not_blocked(setup: Setup, fill: &mut dyn FnMut(), read: &mut dyn FnMut(&mut Vec<u8>)) {
    let systemd = Notifications::new();
    fill_socket(&systemd.path());
    let setup = setup.env("NOTIFY_SOCKET", systemd.path()).env("LISTEN_FDNAMES", "http:metrics");
    let [http, metrics] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, metrics_address) = (http.local_addr().unwrap(), metrics.local_addr().unwrap());
    let mut server = setup.socket(http).socket(metrics).start();
    server.address = address;
    wait_until("two workers", || server.workers().len() == 2);
    assert_eq!(server.get("/a").text(), "a");
    fill();

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

    // Once the output is read, the changes of state arrive, and the number of dropped lines.
    systemd.find("readiness", |message| message.lines().any(|line| line == "READY=1"));
    systemd.find("the status", |message| message.starts_with("STATUS=Serving"));
    let mut text = Vec::new();
    wait_until("what was dropped", || {
        read(&mut text);
        let _ = server.get("/a");
        String::from_utf8_lossy(&text).contains(" log lines were dropped: the reader of stderr is too slow.")
    });
    fill();
    fill_socket(&systemd.path());
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_status().code(), Some(0));
}

#[test]
fn the_supervisor_does_not_wait_for_a_reader_of_its_output() {
    let site = Site::with(&[("a", b"a")]);
    let program = site.outside().join("otus-httpd");
    copy_program(&program);
    let path = site.outside().join("stderr");
    let mut output = full_fifo(&path);
    let mut reader = output.try_clone().unwrap();
    let setup = Setup::new(&site, &["--workers=2", "--debug"]).program(&program);
    let setup = setup.before(&format!("exec 2>>'{}';", path.display()));
    assert_not_blocked(setup, &mut || fill(&mut output), &mut |text| {
        let _ = reader.read_to_end(text);
    });
}

#[test]
fn the_supervisor_does_not_wait_for_the_journal() {
    let site = Site::with(&[("a", b"a")]);
    let program = site.outside().join("otus-httpd");
    copy_program(&program);
    let (journal, stderr) = StuckJournal::new();
    let stat = fstat(&stderr).unwrap();
    let output = stderr.try_clone().unwrap();
    let setup = Setup::new(&site, &["--workers=2", "--debug"]).program(&program);
    let setup = setup.stderr(stderr).env("JOURNAL_STREAM", format!("{}:{}", stat.st_dev, stat.st_ino));
    let mut fill_both = || {
        fill_socket(Path::new(JOURNAL));
        while send(output.as_raw_fd(), &[b'x'; 4096], MsgFlags::MSG_DONTWAIT).is_ok() {}
    };
    assert_not_blocked(setup, &mut fill_both, &mut |text| {
        let _ = (&journal.stream).read_to_end(text);
    });
}

#[test]
fn a_failed_start_does_not_wait_for_a_reader_of_its_output() {
    let site = Site::new();
    let path = site.outside().join("stderr");
    let _stderr = full_fifo(&path);
    let mut server = Setup::bare(&["--port=none"]).before(&format!("exec 2>>'{}';", path.display())).start();
    assert_eq!(server.exit_status().code(), Some(2));
}

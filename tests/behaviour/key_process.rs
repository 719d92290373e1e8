//! The key process when it hangs, is missing, or is started by systemd; and certificates that are served with a fault.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::unistd::{Pid, geteuid};
use rustls::{ClientConfig, version};

use crate::https;
use crate::keys::{Certificates, Https, P256, site};
use crate::support::{BINARY, Notifications, Setup, own_user, wait_for, wait_until};

fn stop(pid: Pid) {
    kill(pid, Signal::SIGSTOP).unwrap();
    wait_until("its threads stop", || {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let stat = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("stat")).unwrap();
        threads.map(stat).all(|stat| stat.rsplit_once(") ").unwrap().1.starts_with('T'))
    });
}

/// The key process hangs, or has ended and no other one is started: a full handshake waits for two seconds, and later ones
/// fail at once. Sessions are resumed all the time.
#[test]
fn sessions_are_resumed_while_the_key_process_is_away() {
    for (version, is_gone) in
        [(&version::TLS13, false), (&version::TLS12, false), (&version::TLS13, true), (&version::TLS12, true)]
    {
        let site = site();
        let mut certificates = Certificates::new(&site);
        certificates.add("example.org", P256);
        let https = Https::start(&site, &certificates, &["--workers=1"]);
        let full = certificates.client(&[version]);
        let mut resuming = ClientConfig::clone(&full);
        resuming.resumption = rustls::client::Resumption::default();
        let resuming = Arc::new(resuming);
        https.wait_for_certificate(&resuming, "example.org");
        let (monitor, key_process) = (https.monitor(), https.key_process().unwrap());
        let stopped = if is_gone { monitor } else { key_process };
        stop(stopped);
        if is_gone {
            kill(key_process, Signal::SIGKILL).unwrap();
        }
        let begin = Instant::now();
        assert!(https.request(&full, "example.org").is_err(), "{version:?} {is_gone}");
        assert!(begin.elapsed() >= Duration::from_millis(1_500), "it is waited for: {:?}", begin.elapsed());
        let failed_at_once = || {
            let begin = Instant::now();
            https.request(&full, "example.org").is_err() && begin.elapsed() < Duration::from_millis(500)
        };
        // One a second is a probe, and waits for a second.
        wait_until("failures at once", || (0..3).filter(|_| failed_at_once()).count() >= 2);
        for _ in 0..5 {
            https.request(&resuming, "example.org").unwrap();
        }
        kill(stopped, Signal::SIGCONT).unwrap();
        https.wait_for_certificate(&full, "example.org");
    }
}

/// systemd passes a socket without O_NONBLOCK. Certificates are read also while nobody connects.
#[test]
fn a_new_certificate_is_read_while_nobody_connects_to_the_socket_of_systemd() {
    let (site, certificates) = (site(), https::Certificates::new());
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(&site.outside().join("keys")).unwrap()).unwrap();
    listen(&listener, Backlog::new(16).unwrap()).unwrap();
    let directory = certificates.path().display().to_string();
    let keys = Setup::bare(&["keys", "--certificates", &directory]).socket(listener).start();
    keys.wait_for_log("Certificate first: ECDSA P-256, valid until");
    certificates.add("second", &["second.example"]);
    keys.wait_for_log("Certificate second: ECDSA P-256, valid until");
    // A check has no other way to the certificates, and says so if that is closed.
    let check = |socket: PathBuf| {
        let root = format!("--root={}", site.root().display());
        let mut command = Command::new(BINARY);
        command.args(["--check", "--https-port=8443", &root]).env("OTUS_KEYS_SOCKET", socket).envs(own_user());
        let output = command.output().unwrap();
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
    };
    let [out, err] = check(site.outside().join("keys"));
    if geteuid().is_root() {
        assert!(out.contains("certificate second: second.example; ECDSA P-256; issued by CN=test;"), "{out}{err}");
    } else {
        assert!(err.contains("The certificates were not seen"), "{err}");
    }
    let [_, err] = check(site.outside().join("none"));
    let expected = "The certificates were not seen, since the key process did not respond (No such file or directory): \
                    start otus-httpd-keys.socket.";
    assert!(err.contains(expected), "{err}");
}

/// A site does not end at the second of an expiry.
#[test]
fn an_expired_certificate_is_served_with_an_error() {
    let (site, certificates) = (site(), https::Certificates::new());
    certificates.add_expired("first");
    let notifications = Notifications::new();
    let setup = Setup::new(&site, &[&certificates.option()]).env("LISTEN_FDNAMES", "https");
    let server = setup.env("NOTIFY_SOCKET", notifications.path()).listen();
    notifications.find("the status", |message| message.contains("EXPIRED CERTIFICATE of localhost since "));
    let url = format!("https://localhost:{}/a", server.address.port());
    let curl = |arguments: &[&str]| Command::new("curl").args(["--silent", &url]).args(arguments).output().unwrap();
    let output = curl(&["--insecure"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"a"[..]), "{output:?}");
    assert!(
        !curl(&["--cacert", &certificates.path().join("first/fullchain.pem").display().to_string()]).status.success()
    );
    server.wait_for_log("It is served as it is.");
    assert!(server.log().contains("Certificate first: It expired on "), "{}", server.log());
    let root = format!("--root={}", site.root().display());
    let check =
        Command::new(BINARY).args(["--check", "--https-port=8443", &root, &certificates.option()]).output().unwrap();
    let err = String::from_utf8(check.stderr).unwrap();
    assert!(err.contains("Certificate first: It expired on "), "{err}");
}

/// The connection of a worker is shut down when the worker ends, also if another process has got hold of it (here by
/// pidfd_getfd(2), for which only root has the rights).
#[test]
fn the_connection_of_a_worker_ends_with_it() {
    if !geteuid().is_root() {
        return;
    }
    let (site, certificates) = (site(), https::Certificates::new());
    let server = certificates.serve(&site, &["--workers=1"]);
    // The connection is the one that responds to a request for certificates. The worker may receive a response first.
    let script = "
import ctypes, os, select, signal, socket, sys
pid = int(sys.argv[1])
process = os.pidfd_open(pid)
request = bytes([2, 77, 0, 0, 0]) + bytes(8)
connection = None
while not connection:
    for name in os.listdir(f'/proc/{pid}/fd'):
        number = ctypes.CDLL(None).syscall(438, process, int(name), 0)
        if number < 0 or not os.readlink(f'/proc/self/fd/{number}').startswith('socket:'):
            continue
        found = socket.socket(fileno=number)
        if found.type == socket.SOCK_SEQPACKET:
            try:
                found.send(request)
                select.select([found], [], [], 0.2)
                if found.recv(5, socket.MSG_PEEK | socket.MSG_DONTWAIT) == bytes([0x82, 77, 0, 0, 0]):
                    connection = found
                    break
            except OSError:
                pass
poll = select.poll()
poll.register(connection, 0)
print(len(poll.poll(0)))
os.kill(pid, signal.SIGKILL)
print(len(poll.poll(20_000)))
";
    let output = Command::new("python3").args(["-c", script, &server.workers()[0].to_string()]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n1\n", "{output:?}");
}

/// Opens files (openat(2)) in the main thread of a worker, by ptrace(2), and attaches to another process there. The results are
/// those of the calls. Only root can.
#[cfg(target_arch = "x86_64")]
const IN_A_WORKER: &str = "
import ctypes, os, sys

ATTACH, PEEK, POKE, GETREGS, SETREGS, STEP, DETACH = 16, 1, 4, 12, 13, 9, 17
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
NAMES = 'r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs'
Registers = type('Registers', (ctypes.Structure,), {'_fields_': [(name, ctypes.c_ulonglong) for name in NAMES.split()]})

def ptrace(request, pid, address=None, data=None):
    ctypes.set_errno(0)
    result = libc.ptrace(request, pid, address, data)
    if result == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), f'ptrace {request}')
    return result

def call(pid, saved, number, *arguments):
    own = Registers.from_buffer_copy(saved)
    # The thread waits in a system call: the instruction is before its next one.
    own.rip, own.rax, own.orig_rax = saved.rip - 2, number, 2**64 - 1
    for name, value in zip(('rdi', 'rsi', 'rdx', 'r10'), arguments):
        setattr(own, name, value % 2**64)
    ptrace(SETREGS, pid, None, ctypes.addressof(own))
    ptrace(STEP, pid)
    os.waitpid(pid, 0x40000000)
    ptrace(GETREGS, pid, None, ctypes.addressof(own))
    return ctypes.c_longlong(own.rax).value

pid, key_process, paths = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
ptrace(ATTACH, pid)
os.waitpid(pid, 0x40000000)
saved = Registers()
ptrace(GETREGS, pid, None, ctypes.addressof(saved))
assert ptrace(PEEK, pid, saved.rip - 2) & 0xffff == 0x050f, 'it is in no system call'
# Below the red zone of the stack.
place = (saved.rsp - 4096) & ~7
for path in paths:
    text = path.encode() + bytes(8)
    for offset in range(0, len(text) // 8 * 8, 8):
        ptrace(POKE, pid, place + offset, int.from_bytes(text[offset:offset + 8], 'little'))
    result = call(pid, saved, 257, -100, place, 0o2000000)
    print(result if result < 0 else 'opened')
    if result >= 0:
        call(pid, saved, 3, result)
print(call(pid, saved, 101, ATTACH, key_process))
ptrace(SETREGS, pid, None, ctypes.addressof(saved))
ptrace(DETACH, pid)
";

/// By system calls of a worker itself, with its user and its sandbox: neither the key files nor the key process. The user is
/// another one than that of the key process, or the same.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_worker_can_open_neither_the_keys_nor_the_memory_of_the_key_process() {
    if !geteuid().is_root() {
        return;
    }
    for user in ["nobody", own_user().unwrap().1] {
        let (site, certificates) = (site(), https::Certificates::new());
        for path in [site.outside(), &site.root()] {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        let arguments = ["--port=0", "--https-port=0", &certificates.option()];
        let https = Https::of(Setup::new(&site, &arguments).env("OTUS_USER", user));
        let key_process = wait_for("the key process", || https.key_process());
        https.server.wait_for_log("Certificate first:");
        let of_process = ["mem", "maps", "environ", "root"].map(|name| format!("/proc/{key_process}/{name}"));
        let files = ["privkey.pem", "fullchain.pem"].map(|name| certificates.path().join("first").join(name));
        let files = files.map(|path| path.display().to_string());
        let allowed = site.path("a").display().to_string();
        let worker = https.server.workers()[0];
        let mut command = Command::new("python3");
        command.args(["-c", IN_A_WORKER, &worker.to_string(), &key_process.to_string(), &allowed]);
        let output = command.args(&files).args(&of_process).output().unwrap();
        let results = String::from_utf8(output.stdout).unwrap();
        // EACCES for each file, and EPERM for ptrace(2).
        let expected = format!("opened\n{}-1\n", "-13\n".repeat(6));
        assert_eq!(results, expected, "{user}: {}", String::from_utf8_lossy(&output.stderr));
        // It goes on.
        assert_eq!(https.server.workers().first(), Some(&worker));
    }
}

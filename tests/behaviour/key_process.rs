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
use crate::support::{BINARY, Notifications, Setup, own_user, wait_until};

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

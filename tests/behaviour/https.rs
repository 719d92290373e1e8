//! HTTPS, by clients of rustls, OpenSSL and curl.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64ct::{Base64, Encoding};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;

use crate::support::{Client, DEADLINE, Server, Setup, Site, get, wait_for, wait_until};

/// A directory of certificates.
pub struct Certificates(TempDir);

impl Certificates {
    /// With one for `localhost`.
    pub fn new() -> Self {
        let certificates = Certificates(tempfile::tempdir().unwrap());
        certificates.add("first", &["localhost"]);
        certificates
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns the option that names it.
    pub fn option(&self) -> String {
        format!("--certificates={}", self.path().display())
    }

    fn chain(&self, folder: &str) -> PathBuf {
        self.path().join(folder).join("fullchain.pem")
    }

    /// Adds a certificate for `names`.
    pub fn add(&self, folder: &str, names: &[&str]) {
        let directory = self.path().join(folder);
        fs::create_dir_all(&directory).unwrap();
        let names: Vec<_> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let output = Command::new("openssl")
            .args(["req", "-x509", "-config", "/dev/null", "-subj", "/CN=test", "-days", "30", "-nodes", "-addext"])
            .arg(format!("subjectAltName={}", names.join(",")))
            .args(["-keyout", "privkey.pem", "-out", "fullchain.pem"])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .current_dir(&directory)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Adds one for `localhost` that has expired.
    pub fn add_expired(&self, folder: &str) {
        self.add(folder, &["localhost"]);
        let output = Command::new("openssl")
            .args(["x509", "-in", "fullchain.pem", "-signkey", "privkey.pem", "-days", "-1", "-out", "expired.pem"])
            .current_dir(self.path().join(folder))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        fs::rename(self.path().join(folder).join("expired.pem"), self.chain(folder)).unwrap();
    }

    /// Starts a server with one socket, which is for HTTPS.
    pub fn serve(&self, site: &Site, arguments: &[&str]) -> Server {
        let option = self.option();
        let arguments = [&[option.as_str()], arguments].concat();
        let server = Setup::new(site, &arguments).env("LISTEN_FDNAMES", "https").listen();
        server.wait_until_ready();
        server
    }

    /// The configuration of a client that trusts the certificate in `folder`, and stores its sessions.
    pub fn client(&self, folder: &str, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.chain(folder)).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_protocol_versions(&[version]).unwrap();
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }
}

pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> TlsStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let connection = ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
    StreamOwned::new(connection, stream)
}

/// Sends requests, the last of which ends the connection. Returns the responses. A connection that ends without
/// close_notify is an error.
pub fn exchange(stream: &mut TlsStream, requests: &str) -> String {
    stream.write_all(requests.as_bytes()).unwrap();
    let mut responses = Vec::new();
    stream.read_to_end(&mut responses).unwrap();
    String::from_utf8(responses).unwrap()
}

const LAST: &str = "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Returns whether a connection resumes a session.
fn resumes(server: &Server, config: &Arc<ClientConfig>) -> bool {
    let mut stream = connect(server.address, config);
    assert!(exchange(&mut stream, LAST).ends_with("\r\n\r\na"));
    stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
}

#[test]
fn curl_gets_a_file_over_either_version() {
    let (site, certificates) = (Site::with(&[("a", b"content")]), Certificates::new());
    let server = certificates.serve(&site, &[]);
    for version in ["1.2", "1.3"] {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--tls-max", version, &format!("--tlsv{version}"), "--cacert"]);
        curl.arg(certificates.chain("first")).args(["--write-out", "|%{http_code} %{ssl_verify_result}"]);
        curl.arg("--resolve").arg(format!("localhost:{}:127.0.0.1", server.address.port()));
        let output = curl.arg(format!("https://localhost:{}/a", server.address.port())).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "content|200 0", "{version}");
    }
}

/// Returns what `openssl s_client` prints.
fn s_client(server: &Server, arguments: &[&str]) -> String {
    let address = server.address.to_string();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address]).args(arguments).stdin(Stdio::null());
    let output = command.output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn openssl_negotiates_what_the_server_supports() {
    let (site, certificates) = (Site::new(), Certificates::new());
    let server = certificates.serve(&site, &[]);
    let name = ["-servername", "localhost"];
    for (arguments, expected) in [
        (&["-tls1_3"][..], "New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256"),
        (&["-tls1_2"], "New, TLSv1.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], "Cipher is ECDHE-ECDSA-CHACHA20-POLY1305"),
        (&["-tls1_2", "-cipher", "AES128-SHA:ECDHE-ECDSA-AES128-SHA"], "SSL alert number 40"),
        (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "SSL alert number"),
        (&["-alpn", "http/1.1,h2"], "ALPN protocol: h2"),
        (&["-alpn", "http/1.1"], "ALPN protocol: http/1.1"),
        (&["-alpn", "h3"], "SSL alert number 120"),
        (&["-groups", "P-384"], "secp384r1"),
        (&["-groups", "P-521"], "SSL alert number 40"),
        (&["-sigalgs", "RSA+SHA256"], "SSL alert number 40"),
    ] {
        let output = s_client(&server, &[&name, arguments].concat());
        assert!(output.contains(expected), "{arguments:?}: {output}");
    }
    for arguments in [&["-servername", "other.example"][..], &["-noservername"]] {
        let output = s_client(&server, arguments);
        assert!(output.contains("SSL alert number 112"), "{arguments:?}: {output}");
    }
    // Renegotiation is rejected, and the connection continues or ends without a response.
    let output = s_client(&server, &[&name[..], &["-tls1_2", "-no_ticket"]].concat());
    assert!(output.contains("Extended master secret: yes"), "{output}");
}

#[test]
fn requests_that_arrive_together_and_ranges_get_their_responses() {
    let (site, certificates) = (Site::with(&[("a", b"a"), ("large", &[b'x'; 300_000])]), Certificates::new());
    let server = certificates.serve(&site, &[]);
    for version in [&TLS13, &TLS12] {
        let mut stream = connect(server.address, &certificates.client("first", version));
        let range = "GET /large HTTP/1.1\r\nHost: localhost\r\nRange: bytes=100000-199999\r\n\r\n";
        let requests = get("/a").repeat(30) + range + &get("/none") + &get("/large") + LAST;
        let responses = exchange(&mut stream, &requests);
        let count = |status: &str| responses.matches(&format!("HTTP/1.1 {status}")).count();
        assert_eq!((count("200"), count("206"), count("404")), (32, 1, 1));
        assert_eq!(responses.matches(&"x".repeat(1_000)).count(), 400);
    }
}

#[test]
fn a_large_file_arrives_completely_at_a_slow_client_that_has_closed_its_side() {
    let content: Vec<u8> = (0..50 * 1024 * 1024u32).map(|number| (number % 251) as u8).collect();
    let (site, certificates) = (Site::with(&[("large", &content)]), Certificates::new());
    let server = certificates.serve(&site, &["--workers=1"]);
    let mut stream = connect(server.address, &certificates.client("first", &TLS13));
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    stream.sock.shutdown(Shutdown::Write).unwrap();
    // The server waits: the buffers of the sockets hold a part of the file.
    let mut received = vec![0; 4096];
    stream.read_exact(&mut received).unwrap();
    let mut other = connect(server.address, &certificates.client("first", &TLS13));
    assert!(exchange(&mut other, &LAST.replace("/a", "/none")).starts_with("HTTP/1.1 404"));
    stream.read_to_end(&mut received).unwrap();
    let head = received.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    assert!(received[head..] == content);
}

#[test]
fn sessions_are_resumed_across_workers_and_a_reload() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let server = certificates.serve(&site, &["--workers=3"]);
    for version in [&TLS13, &TLS12] {
        let config = certificates.client("first", version);
        assert!(!resumes(&server, &config));
        for _ in 0..20 {
            assert!(resumes(&server, &config), "{version:?}");
        }
    }
    let config = certificates.client("first", &TLS13);
    assert!(!resumes(&server, &config));
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
    assert!(resumes(&server, &config));
}

/// Writes a file of ticket keys, one for each of `seeds`, in the place of the present one. Returns its path.
pub fn write_ticket_keys(directory: &Path, seeds: &[u8]) -> PathBuf {
    let lines: Vec<_> = seeds.iter().map(|&seed| Base64::encode_string(&[seed; 48]) + "\n").collect();
    let (path, new) = (directory.join("tickets.keys"), directory.join("tickets.keys.new"));
    fs::write(&new, lines.concat()).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, &path).unwrap();
    path
}

/// A server, which has the ticket keys in a directory of its own.
fn machine(certificates: &Certificates, site: &Site, seeds: &[u8]) -> (Server, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = write_ticket_keys(directory.path(), seeds);
    let server = certificates.serve(site, &["--workers=2", &format!("--ticket-keys={}", path.display())]);
    (server, directory)
}

#[test]
fn machines_with_the_same_ticket_keys_resume_the_sessions_of_each_other() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let (first, _first_keys) = machine(&certificates, &site, &[1]);
    let (second, second_keys) = machine(&certificates, &site, &[2, 1]);
    let (other, _other_keys) = machine(&certificates, &site, &[3]);
    for version in [&TLS13, &TLS12] {
        let config = certificates.client("first", version);
        assert!(!resumes(&first, &config));
        assert!(resumes(&second, &config), "{version:?}: its second key");
        assert!(!resumes(&other, &config), "{version:?}");
        let config = certificates.client("first", version);
        assert!(!resumes(&second, &config));
        assert!(!resumes(&first, &config), "{version:?}: the first key of a file makes the tickets");
    }
    // Rotated: the key that has made the tickets stays for a while, at first of all machines or not.
    let config = certificates.client("first", &TLS13);
    assert!(!resumes(&first, &config));
    write_ticket_keys(second_keys.path(), &[4, 2, 1]);
    second.wait_for_log("have changed; keys: 3.");
    assert!(resumes(&second, &config));
    assert!(!resumes(&first, &config));
    assert_eq!((first.warnings(), second.warnings()), (vec![], vec![]));
}

#[test]
fn ticket_keys_stay_over_a_reload_and_the_crash_of_a_worker() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let (server, _keys) = machine(&certificates, &site, &[1]);
    let (other, _other_keys) = machine(&certificates, &site, &[1]);
    let config = certificates.client("first", &TLS13);
    assert!(!resumes(&other, &config));
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
    assert!(resumes(&server, &config));
    wait_until("the end of the old workers", || server.workers().len() == 2);
    kill(server.workers()[0], Signal::SIGKILL).unwrap();
    server.wait_for_log("replace them on every machine");
    assert!(resumes(&server, &config));
}

#[test]
fn a_bad_file_of_ticket_keys_changes_nothing_and_is_reported_once() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let (server, keys) = machine(&certificates, &site, &[1]);
    let config = certificates.client("first", &TLS13);
    assert!(!resumes(&server, &config));
    let path = keys.path().join("tickets.keys");
    // Readings are 5 s apart: a later one reports the next failure.
    for (text, mode, reason) in [("no key", 0o600, "line 1 is not base64"), ("", 0o640, "by its mode 640")] {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        server.wait_for_log(reason);
        assert!(resumes(&server, &config), "{reason}");
    }
    write_ticket_keys(keys.path(), &[2, 1]);
    server.wait_for_log("have changed; keys: 2.");
    assert!(resumes(&server, &config));
    assert_eq!(server.log().matches("the keys stay as they were").count(), 2, "{}", server.log());
}

#[test]
fn a_file_of_ticket_keys_that_others_may_read_prevents_the_start() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let directory = tempfile::tempdir().unwrap();
    let outside = write_ticket_keys(directory.path(), &[1]);
    let check = |path: &Path, status: i32, reason: &str| {
        let (option, keys) = (certificates.option(), format!("--ticket-keys={}", path.display()));
        let mut server = Setup::new(&site, &[&option, &keys]).env("LISTEN_FDNAMES", "https").listen();
        assert_eq!(server.exit_status().code(), Some(status));
        assert!(server.log().contains(reason), "{}", server.log());
    };
    fs::set_permissions(&outside, Permissions::from_mode(0o644)).unwrap();
    check(&outside, 1, "others may access it, by its mode 644): it must have one to 3 lines");
    let inside = write_ticket_keys(&site.root(), &[1]);
    check(&inside, 2, "where workers may read: move it");
    check(Path::new("/nowhere"), 1, "No such file or directory");
}

#[test]
fn a_handshake_that_has_begun_goes_on_while_the_worker_drains() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let server = certificates.serve(&site, &["--workers=1"]);
    let mut stream = connect(server.address, &certificates.client("first", &TLS13));
    stream.conn.write_tls(&mut stream.sock).unwrap();
    // The server has responded.
    wait_until("its first flight", || stream.sock.peek(&mut [0]).is_ok_and(|length| length > 0));
    let mut idle = server.connect();
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
    // The old worker closes connections on which nothing has begun, a second after they were opened: this one later.
    idle.assert_closed();
    assert!(exchange(&mut stream, LAST).ends_with("\r\n\r\na"));
}

/// Returns the flags of the mappings of `process` that are left out of core dumps, and their permissions (proc(5)).
fn undumped(process: Pid) -> Vec<(String, String)> {
    let smaps = fs::read_to_string(format!("/proc/{process}/smaps")).unwrap();
    let mut permissions = "";
    let mut found = Vec::new();
    for line in smaps.lines() {
        match line.split_once("VmFlags:") {
            Some((_, flags)) if flags.contains(" dd") && permissions.ends_with('s') => {
                found.push((permissions.into(), flags.into()));
            }
            Some(_) => {}
            None if line.contains("/memfd:") => permissions = line.split(' ').nth(1).unwrap(),
            None if line.split(' ').next().unwrap().contains('-') => permissions = "",
            None => {}
        }
    }
    found
}

#[test]
fn workers_can_only_read_the_ticket_keys_and_no_core_dump_has_them() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let server = certificates.serve(&site, &["--workers=2"]);
    let check = || {
        for worker in server.workers() {
            let mappings = undumped(worker);
            assert_eq!(mappings.len(), 1, "{mappings:?}");
            let (permissions, flags) = &mappings[0];
            // mw: mprotect(2) may make it writable.
            assert!(permissions == "r--s" && !flags.contains(" mw"), "{mappings:?}");
        }
        let mut mappings: Vec<_> = undumped(server.pid()).into_iter().map(|(permissions, _)| permissions).collect();
        mappings.sort();
        assert_eq!(mappings, ["r--s", "rw-s"], "those of the supervisor");
    };
    check();
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
    wait_until("the end of the old workers", || server.workers().len() == 2);
    check();
}

#[test]
fn input_after_the_last_response_does_not_destroy_it() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let server = certificates.serve(&site, &[]);
    for version in [&TLS13, &TLS12] {
        let mut stream = connect(server.address, &certificates.client("first", version));
        // Rejected by its head, while the content is on its way.
        stream.write_all(b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream.write_all(&[b'x'; 100_000]).unwrap();
        let mut response = String::new();
        // With close_notify, and without a reset.
        stream.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("TTP/1.1 405 "), "{response}");
    }
}

#[test]
fn no_session_from_before_the_crash_of_a_worker_is_resumed() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let server = certificates.serve(&site, &["--workers=2"]);
    let (before, after) = (certificates.client("first", &TLS12), certificates.client("first", &TLS13));
    for config in [&before, &after] {
        assert!(!resumes(&server, config) && resumes(&server, config));
    }
    // A forbidden system call, the watchdog, a crash, and what the supervisor does after a refused signature.
    for signal in [Signal::SIGSYS, Signal::SIGABRT, Signal::SIGILL, Signal::SIGKILL] {
        wait_until("both workers", || server.workers().len() == 2);
        kill(server.workers()[0], signal).unwrap();
        // Each has its own line. The keys are replaced before it is written.
        server.wait_for_log(&format!("was killed by {signal}"));
        for config in [&before, &after] {
            assert!(!resumes(&server, config), "{signal}");
            assert!(resumes(&server, config), "by the new keys");
        }
    }
}

#[test]
fn no_session_from_before_the_crash_of_an_old_worker_is_resumed() {
    let (site, certificates) = (Site::with(&[("a", b"a"), ("large", &[0; 50 << 20])]), Certificates::new());
    let server = certificates.serve(&site, &["--workers=1"]);
    let configs: Vec<_> = (0..20).map(|_| certificates.client("first", &TLS13)).collect();
    let old = server.workers()[0];
    let mut download = connect(server.address, &certificates.client("first", &TLS13));
    download.write_all(get("/large").as_bytes()).unwrap();
    download.read_exact(&mut [0; 10]).unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
    for config in &configs {
        assert!(!resumes(&server, config));
    }
    assert!(resumes(&server, &configs[0]));
    assert!(server.workers().contains(&old), "it sends the large file");
    kill(old, Signal::SIGKILL).unwrap();
    wait_until("the end of the old worker", || !server.workers().contains(&old));
    // The supervisor replaces the keys after it has reaped the worker, and before it handles the next signal.
    server.signal(Signal::SIGUSR1);
    server.wait_for_log("SIGUSR1 has no effect");
    for config in &configs {
        assert!(!resumes(&server, config));
    }
}

#[test]
fn a_client_without_tls_gets_a_page_that_says_so() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let server = certificates.serve(&site, &["--debug"]);
    let response = server.get("/a?secret");
    assert_eq!(response.status, 400);
    assert!(response.text().contains("https://") && !response.text().contains("secret"), "{}", response.text());
    for bytes in [&b"\x80\x2e\x01\x03\x01"[..], b"\0\0\0"] {
        let mut client = server.connect();
        client.send(bytes);
        client.assert_closed();
    }
    server.wait_for_log("TLS handshake failed: the client has sent no TLS");
    assert_eq!(server.warnings().iter().filter(|line| !line.starts_with("DEBUG")).count(), 0);
}

#[test]
fn an_incomplete_handshake_ends_at_the_head_timeout() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let server = certificates.serve(&site, &["--head-timeout=1", "--access-log=stderr"]);
    let mut client = server.connect();
    client.send(b"\x16\x03\x01\x02");
    client.assert_closed();
    server.wait_for_log("the TLS handshake was not complete before the head timeout");
    // After the handshake, the idle timeout applies.
    let mut stream = connect(server.address, &certificates.client("first", &TLS13));
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    let begin = std::time::Instant::now();
    let mut late = server.connect();
    late.send(b"\x16");
    late.assert_closed();
    assert!(begin.elapsed().as_millis() >= 900);
    assert!(exchange(&mut stream, LAST).ends_with("\r\n\r\na"));
}

#[test]
fn a_client_beyond_its_limit_gets_no_bytes_without_encryption() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let server = certificates.serve(&site, &["--max-per-client=1"]);
    let config = certificates.client("first", &TLS13);
    let mut first = connect(server.address, &config);
    first.write_all(get("/a").as_bytes()).unwrap();
    first.read_exact(&mut [0; 10]).unwrap();
    let mut second = server.connect();
    second.send(b"\x16");
    second.assert_closed();
    drop(first);
    wait_until("the end of the first", || {
        let mut stream = connect(server.address, &config);
        stream.write_all(LAST.as_bytes()).is_ok() && stream.read_exact(&mut [0; 10]).is_ok()
    });
}

#[test]
fn a_certificate_that_is_added_is_used_without_a_reload() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let server = certificates.serve(&site, &[]);
    certificates.add("second", &["second.example"]);
    wait_until("the second certificate", || {
        s_client(&server, &["-servername", "second.example"]).contains("New, TLSv1.3")
    });
}

#[test]
fn a_request_for_the_host_of_another_certificate_is_misdirected() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    certificates.add("first", &["localhost", "*.first.example"]);
    certificates.add("second", &["second.example"]);
    let server = certificates.serve(&site, &[]);
    for (host, status) in [
        ("localhost", 200),
        ("localhost:8443", 200),
        ("a.first.example", 200),
        ("second.example", 421),
        ("SECOND.example:443", 421),
        // No certificate has these.
        ("unknown.example", 200),
        ("127.0.0.1", 200),
        ("[::1]:443", 200),
    ] {
        let mut stream = connect(server.address, &certificates.client("first", &TLS13));
        let response = exchange(&mut stream, &LAST.replace("localhost", host));
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {response}");
    }
}

#[test]
fn a_port_for_https_is_beside_that_for_http() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let start = |arguments: &[&str]| Setup::new(&site, &[&["--port=0", "--https-port=0"], arguments].concat()).start();
    let server = start(&[&certificates.option()]);
    server.wait_until_ready();
    let address = |scheme: &str| -> SocketAddr {
        let log = server.log();
        let begin = format!("Listening on {scheme}://");
        log.split(&begin).nth(1).unwrap().split('/').next().unwrap().parse().unwrap()
    };
    let check = || {
        assert_eq!(Client::connect(address("http")).get("/a").text(), "a");
        let mut stream = connect(address("https"), &certificates.client("first", &TLS13));
        assert!(exchange(&mut stream, LAST).ends_with("\r\n\r\na"));
    };
    check();
    // The sockets stay open over a reload.
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
    check();
    let mut server = start(&[]);
    assert_eq!(server.exit_status().code(), Some(2));
    assert!(server.log().contains("--https-port (OTUS_HTTPS_PORT) requires --certificates"), "{}", server.log());
}

#[test]
fn handshakes_are_counted_by_version_and_failures_by_reason() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let (https, metrics) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, metrics_address) = (https.local_addr().unwrap(), metrics.local_addr().unwrap());
    let setup = Setup::new(&site, &[&certificates.option()]).env("LISTEN_FDNAMES", "https:metrics");
    let mut server = setup.socket(https).socket(metrics).start();
    server.address = address;
    server.wait_until_ready();
    let config = certificates.client("first", &TLS13);
    assert!(!resumes(&server, &config) && resumes(&server, &config));
    assert!(!resumes(&server, &certificates.client("first", &TLS12)));
    s_client(&server, &["-servername", "other.example"]);
    server.get("/a");
    let page = wait_for("the counts", || {
        let page = Client::connect(metrics_address).get("/metrics").text();
        page.contains("otus_tls_handshake_failures_total{reason=\"not_tls\"} 1").then_some(page)
    });
    for line in [
        "otus_tls_handshakes_total{version=\"1.2\",resumed=\"no\"} 1",
        "otus_tls_handshakes_total{version=\"1.2\",resumed=\"yes\"} 0",
        "otus_tls_handshakes_total{version=\"1.3\",resumed=\"no\"} 1",
        "otus_tls_handshakes_total{version=\"1.3\",resumed=\"yes\"} 1",
        "otus_tls_handshake_failures_total{reason=\"name\"} 1",
        "otus_tls_signatures_total{outcome=\"made\"} 2",
        "otus_tls_signatures_total{outcome=\"failed\"} 0",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
}

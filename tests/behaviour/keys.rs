//! The key process: certificates as they are renewed, its end, and what other processes can see of a private key.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};

use crate::support::{BINARY, DEADLINE, Notifications, Server, Setup, Site, copy_program, wait_for, wait_until};

pub const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
pub const RSA: &[&str] = &["rsa:2048"];
pub const ED25519: &[&str] = &["ed25519"];

/// Self-signed certificates in a directory as certbot has it, and the links to it.
pub struct Certificates {
    directory: PathBuf,
    roots: RootCertStore,
}

impl Certificates {
    /// Creates the directory beside the site, whose workers may read it: their own user, and so no sandbox, is in the way.
    pub fn new(site: &Site) -> Self {
        let directory = site.outside().join("letsencrypt");
        fs::create_dir_all(directory.join("certificates")).unwrap();
        Certificates { directory, roots: RootCertStore::empty() }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.join("certificates")
    }

    fn archive(&self, name: &str) -> PathBuf {
        self.directory.join("archive").join(name)
    }

    /// Makes version `number` of the certificate for `name`, without using it.
    fn make(&mut self, name: &str, number: u32, key_type: &[&str]) -> CertificateDer<'static> {
        let archive = self.archive(name);
        fs::create_dir_all(&archive).unwrap();
        let [chain, key] = ["fullchain", "privkey"].map(|file| format!("{file}{number}.pem"));
        let output = Command::new("openssl")
            .args(["req", "-x509", "-config", "/dev/null", "-subj", "/CN=test", "-days", "30", "-nodes"])
            .args(["-addext", &format!("subjectAltName=DNS:{name}"), "-keyout", &key, "-out", &chain, "-newkey"])
            .args(key_type)
            .current_dir(&archive)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let certificate = CertificateDer::from_pem_file(archive.join(chain)).unwrap();
        self.roots.add(certificate.clone()).unwrap();
        certificate
    }

    /// Moves one link of `live/NAME` to version `number`, as certbot does.
    fn link(&self, name: &str, file: &str, number: u32) {
        let live = self.directory.join("live").join(name);
        fs::create_dir_all(&live).unwrap();
        let link = live.join(format!("{file}.pem"));
        let _ = fs::remove_file(&link);
        symlink(format!("../../archive/{name}/{file}{number}.pem"), link).unwrap();
    }

    /// Makes a certificate and uses it.
    pub fn add(&mut self, name: &str, key_type: &[&str]) -> CertificateDer<'static> {
        let certificate = self.make(name, 1, key_type);
        ["privkey", "fullchain"].into_iter().for_each(|file| self.link(name, file, 1));
        symlink(format!("../live/{name}"), self.path().join(name)).unwrap();
        certificate
    }

    pub fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let mut config = config.with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    }
}

pub const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// A server with a socket for HTTPS.
pub struct Https {
    pub server: Server,
    pub address: SocketAddr,
}

impl Https {
    pub fn start(site: &Site, certificates: &Certificates, arguments: &[&str]) -> Https {
        let directory = format!("--certificates={}", certificates.path().display());
        let arguments = [&["--port=0", "--https-port=0", &directory], arguments].concat();
        Https::of(Setup::new(site, &arguments))
    }

    pub fn of(setup: Setup) -> Https {
        let server = setup.start();
        server.wait_until_ready();
        let address = wait_for("its address", || {
            let log = server.log();
            log.split_once("https://")?.1.split_once('/')?.0.parse().ok()
        });
        Https { server, address }
    }

    pub fn monitor(&self) -> Pid {
        wait_for("the monitor", || children(self.server.pid()).into_iter().find(|pid| comm(*pid) == "otus-keys"))
    }

    pub fn key_process(&self) -> Option<Pid> {
        children(self.monitor()).into_iter().next()
    }

    /// Makes one handshake and one request.
    pub fn request(&self, config: &Arc<ClientConfig>, name: &str) -> std::io::Result<CertificateDer<'static>> {
        let name = ServerName::try_from(name.to_string()).unwrap();
        let mut connection = ClientConnection::new(config.clone(), name).unwrap();
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        let mut stream = rustls::Stream::new(&mut connection, &mut socket);
        stream.write_all(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        Ok(connection.peer_certificates().unwrap()[0].clone().into_owned())
    }

    pub fn wait_for_certificate(&self, config: &Arc<ClientConfig>, name: &str) -> CertificateDer<'static> {
        wait_for("a certificate", || self.request(config, name).ok())
    }
}

pub fn children(pid: Pid) -> Vec<Pid> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

pub fn comm(pid: Pid) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_string()
}

pub fn site() -> Site {
    Site::with(&[("a", b"a")])
}

/// Makes handshakes in several threads while `what` runs. Returns its result; all handshakes have to succeed.
fn under_load<T>(https: &Https, config: &Arc<ClientConfig>, name: &str, what: impl FnOnce(&AtomicUsize) -> T) -> T {
    let (is_over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let load = || {
            while !is_over.load(SeqCst) {
                https.request(config, name).unwrap_or_else(|error| panic!("a failed handshake: {error}"));
                count.fetch_add(1, SeqCst);
            }
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        let result = what(&count);
        let begin = count.load(SeqCst);
        wait_until("handshakes afterwards", || {
            count.load(SeqCst) > begin + 8 || threads.iter().any(|thread| thread.is_finished())
        });
        is_over.store(true, SeqCst);
        threads.into_iter().for_each(|thread| thread.join().expect("no handshake fails"));
        result
    })
}

#[test]
fn each_type_of_key_and_each_version_is_served() {
    let site = site();
    let mut certificates = Certificates::new(&site);
    let expected = [("p256.example", P256), ("rsa.example", RSA), ("ed25519.example", ED25519)]
        .map(|(name, key_type)| (name, certificates.add(name, key_type)));
    let https = Https::start(&site, &certificates, &[]);
    for versions in [&[&version::TLS13][..], &[&version::TLS12]] {
        let client = certificates.client(versions);
        for (name, certificate) in &expected {
            assert_eq!(https.wait_for_certificate(&client, name), *certificate, "{name}");
        }
    }
    assert_eq!(https.server.warnings(), [""; 0]);
}

/// The signer makes the next connection and repeats its request.
#[test]
fn no_handshake_fails_when_the_key_process_is_killed() {
    let site = site();
    let mut certificates = Certificates::new(&site);
    certificates.add("example.org", P256);
    let https = Https::start(&site, &certificates, &[]);
    let client = certificates.client(BOTH);
    https.wait_for_certificate(&client, "example.org");
    under_load(&https, &client, "example.org", |count| {
        for _ in 0..5 {
            let before = count.load(SeqCst);
            wait_until("handshakes", || count.load(SeqCst) > before + 4);
            let victim = wait_for("the key process", || https.key_process());
            kill(victim, Signal::SIGKILL).unwrap();
            wait_until("another one", || https.key_process().is_some_and(|pid| pid != victim));
        }
    });
    let log = https.server.log();
    assert_eq!(log.matches("The key process was killed by SIGKILL; starting another").count(), 5, "{log}");
}

/// A hanging key process delays a handshake for two seconds at most, and then none: plain requests go on.
#[test]
fn a_hanging_key_process_ends_full_handshakes_only() {
    let site = site();
    let mut certificates = Certificates::new(&site);
    certificates.add("example.org", P256);
    let https = Https::start(&site, &certificates, &["--workers=1"]);
    let client = certificates.client(BOTH);
    https.wait_for_certificate(&client, "example.org");
    let key_process = https.key_process().unwrap();
    kill(key_process, Signal::SIGSTOP).unwrap();
    wait_until("its threads stop", || {
        let threads = fs::read_dir(format!("/proc/{key_process}/task")).unwrap().flatten();
        let stat = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("stat")).unwrap();
        threads.map(stat).all(|stat| stat.rsplit_once(") ").unwrap().1.starts_with('T'))
    });
    let begin = Instant::now();
    assert!(https.request(&client, "example.org").is_err());
    assert!(begin.elapsed() >= Duration::from_millis(1_500), "it is waited for: {:?}", begin.elapsed());
    // Then most handshakes fail at once: one a second is a probe.
    let failed_at_once = || {
        let begin = Instant::now();
        https.request(&client, "example.org").is_err() && begin.elapsed() < Duration::from_millis(500)
    };
    wait_until("failures at once", || (0..3).filter(|_| failed_at_once()).count() >= 2);
    kill(key_process, Signal::SIGCONT).unwrap();
    https.wait_for_certificate(&client, "example.org");
}

/// A quarter of the threads wait for signatures: here one of four. Other handshakes wait without a thread.
#[test]
fn plain_requests_go_on_while_many_handshakes_wait() {
    let site = site();
    let mut certificates = Certificates::new(&site);
    certificates.add("example.org", P256);
    let https = Https::start(&site, &certificates, &["--workers=1", "--max-threads=4"]);
    let client = certificates.client(BOTH);
    https.wait_for_certificate(&client, "example.org");
    let plain = wait_for("the other address", || {
        let log = https.server.log();
        log.split_once("http://")?.1.split_once('/')?.0.parse::<SocketAddr>().ok()
    });
    let key_process = https.key_process().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..5 {
            kill(key_process, Signal::SIGSTOP).unwrap();
            (0..12).for_each(|_| drop(scope.spawn(|| https.request(&client, "example.org"))));
            let begin = Instant::now();
            (0..20).for_each(|_| assert_eq!(crate::support::Client::connect(plain).get("/a").status, 200));
            assert!(begin.elapsed() < Duration::from_millis(1_500), "{:?}", begin.elapsed());
            kill(key_process, Signal::SIGCONT).unwrap();
        }
    });
    https.wait_for_certificate(&client, "example.org");
}

/// As certbot does it: the links are moved one by one, the key first.
#[test]
fn a_renewed_certificate_is_used_and_no_handshake_fails() {
    let site = site();
    let mut certificates = Certificates::new(&site);
    let first = certificates.add("example.org", P256);
    let second = certificates.make("example.org", 2, RSA);
    let https = Https::start(&site, &certificates, &[]);
    let client = certificates.client(BOTH);
    assert_eq!(https.wait_for_certificate(&client, "example.org"), first);
    under_load(&https, &client, "example.org", |count| {
        let before = count.load(SeqCst);
        certificates.link("example.org", "privkey", 2);
        wait_until("handshakes between", || count.load(SeqCst) > before + 20);
        certificates.link("example.org", "fullchain", 2);
        let begin = Instant::now();
        wait_until("the new certificate", || https.request(&client, "example.org").unwrap() == second);
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    });
    assert_eq!(https.server.warnings(), [""; 0]);
}

/// A key process that starts knows the new key only, and the workers have the former chain for up to two seconds: the
/// handshakes that begin with it continue with the new one.
#[test]
fn no_handshake_fails_when_the_key_process_is_killed_after_a_renewal() {
    for version in [&version::TLS13, &version::TLS12] {
        let site = site();
        let mut certificates = Certificates::new(&site);
        certificates.add("example.org", P256);
        let renewals: Vec<_> = [(2, RSA), (3, P256), (4, ED25519)]
            .map(|(number, key)| certificates.make("example.org", number, key))
            .into();
        let https = Https::start(&site, &certificates, &[]);
        let client = certificates.client(&[version]);
        https.wait_for_certificate(&client, "example.org");
        under_load(&https, &client, "example.org", |count| {
            for (number, expected) in (2..).zip(renewals) {
                let before = count.load(SeqCst);
                wait_until("handshakes", || count.load(SeqCst) > before + 4);
                ["privkey", "fullchain"].into_iter().for_each(|file| certificates.link("example.org", file, number));
                kill(https.key_process().unwrap(), Signal::SIGKILL).unwrap();
                wait_until("the new certificate", || https.request(&client, "example.org").unwrap() == expected);
            }
        });
    }
}

#[test]
fn a_pair_that_never_fits_is_reported_and_the_one_before_stays() {
    let site = site();
    let mut certificates = Certificates::new(&site);
    let first = certificates.add("example.org", P256);
    certificates.make("example.org", 2, P256);
    let https = Https::start(&site, &certificates, &[]);
    let client = certificates.client(BOTH);
    assert_eq!(https.wait_for_certificate(&client, "example.org"), first);
    certificates.link("example.org", "privkey", 2);
    https.server.wait_for_log(
        "Certificate example.org cannot be used, and the one before stays in use: privkey.pem does not belong to \
         fullchain.pem; replace both by those of the same request.",
    );
    assert_eq!(https.request(&client, "example.org").unwrap(), first);
}

/// Workers and their directory are there before the first certificate is.
#[test]
fn a_new_folder_is_used_and_a_removed_one_ends_its_names() {
    let site = site();
    let mut certificates = Certificates::new(&site);
    let https = Https::start(&site, &certificates, &[]);
    https.server.wait_for_log("There is no usable certificate, and TLS handshakes fail");
    let expected = certificates.add("example.org", P256);
    let client = certificates.client(BOTH);
    assert_eq!(https.wait_for_certificate(&client, "example.org"), expected);
    fs::remove_file(certificates.path().join("example.org")).unwrap();
    wait_until("the end of the name", || https.request(&client, "example.org").is_err());
    https.server.wait_for_log("The certificate example.org was removed");
}

#[test]
fn expiry_and_faults_are_in_metrics_status_and_check() {
    let site = site();
    let mut certificates = Certificates::new(&site);
    certificates.add("example.org", P256);
    fs::create_dir(certificates.path().join("empty")).unwrap();
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = metrics.local_addr().unwrap();
    let notifications = Notifications::new();
    let directory = format!("--certificates={}", certificates.path().display());
    let setup = Setup::new(&site, &["--port=0", "--https-port=0", &directory]).env("LISTEN_FDNAMES", "metrics");
    let _server = setup.socket(metrics).env("NOTIFY_SOCKET", notifications.path()).start();
    let end = notifications.find("certificates in the status", |message| {
        message.contains(", certificates 1, the first expires: example.org on ")
            && message.contains("certificates with faults 1")
    });
    let end = end.split_once("example.org on ").unwrap().1.split_once(" GMT").unwrap().0.to_string() + " GMT";
    let end_s = httpdate::parse_http_date(&end).unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let text = crate::support::Client::connect(address).get("/metrics").text();
    for line in [
        format!("otus_certificate_expiry_timestamp_seconds{{name=\"example.org\",folder=\"example.org\"}} {end_s}"),
        "otus_certificates_unusable 1".into(),
        "otus_key_requests_refused_total 0".into(),
    ] {
        assert!(text.lines().any(|present| present == line), "{line} in {text}");
    }
    let root = format!("--root={}", site.root().display());
    let mut check = Command::new(BINARY);
    check.args(["--check", "--https-port=8443", &root, &directory]);
    let output = check.output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let expected = format!("certificate example.org: example.org; ECDSA P-256; issued by CN=test; expires on {end}\n");
    assert!(output.status.success() && out.contains(&expected), "{out}{err}");
    assert!(err.contains("Certificate empty: It cannot be used: fullchain.pem cannot be read (No such file"), "{err}");
}

/// The connections of old workers pass to the next image, and its workers get their own.
#[test]
fn handshakes_go_on_during_a_reload() {
    let site = site();
    let mut certificates = Certificates::new(&site);
    certificates.add("example.org", P256);
    let https = Https::start(&site, &certificates, &[]);
    let client = certificates.client(BOTH);
    https.wait_for_certificate(&client, "example.org");
    let (monitor, key_process) = (https.monitor(), https.key_process());
    under_load(&https, &client, "example.org", |_| {
        https.server.signal(Signal::SIGHUP);
        https.server.wait_for_log("Reloaded; ");
    });
    assert_eq!((https.monitor(), https.key_process()), (monitor, key_process), "the same key process");
}

/// The key process ends with the server, however that ends.
#[test]
fn the_key_process_ends_with_the_server() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let site = site();
        let mut certificates = Certificates::new(&site);
        certificates.add("example.org", P256);
        let https = Https::start(&site, &certificates, &[]);
        let processes = [https.monitor(), wait_for("the key process", || https.key_process())];
        https.server.signal(signal);
        let is_over = |pid: &Pid| comm(*pid) != "otus-keys" || state(*pid) == Some('Z');
        wait_until("the end of both", || processes.iter().all(is_over));
    }
}

pub fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Sends a Sign for a message of 32 bytes over each such socket of a worker (pidfd_getfd(2)). Only root can.
pub fn request_a_signature_of_a_digest(victim: Pid) {
    let script = "
import ctypes, os, socket, sys
pid = int(sys.argv[1])
process = os.pidfd_open(pid)
for name in os.listdir(f'/proc/{pid}/fd'):
    number = ctypes.CDLL(None).syscall(438, process, int(name), 0)
    if number < 0 or not os.readlink(f'/proc/self/fd/{number}').startswith('socket:'):
        continue
    kind = socket.socket(fileno=number)
    if kind.type == socket.SOCK_SEQPACKET:
        frame = bytes([4, 9, 0, 0, 0]) + bytes(32) + bytes([3, 4, 32, 0]) + bytes(32)
        try:
            kind.send(frame)
        except OSError:
            pass  # The worker was replaced after the frame before.
";
    let output = Command::new("python3").args(["-c", script, &victim.to_string()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Without systemd, root starts it: it can read all certificates, and nothing else that root can do.
#[test]
fn the_key_process_of_root_has_one_capability() {
    if !geteuid().is_root() {
        return;
    }
    let site = site();
    let mut certificates = Certificates::new(&site);
    certificates.add("example.org", P256);
    let https = Https::start(&site, &certificates, &[]);
    https.wait_for_certificate(&certificates.client(BOTH), "example.org");
    let process = wait_for("the key process", || https.key_process());
    let capabilities = |pid: Pid, set: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
        u64::from_str_radix(value.trim(), 16).unwrap()
    };
    // CAP_DAC_OVERRIDE is 1, and CAP_DAC_READ_SEARCH is 2; a container may not have the latter.
    let own = capabilities(Pid::this(), "CapPrm:");
    let kept = if own & 1 << 2 != 0 { 1 << 2 } else { own & 1 << 1 };
    let sets = ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"].map(|set| capabilities(process, set));
    assert_eq!(sets, [kept, kept, 0, 0]);
    // CAP_SETPCAP is 8.
    let bounding = if own & 1 << 8 != 0 { 0 } else { capabilities(Pid::this(), "CapBnd:") };
    assert_eq!(capabilities(process, "CapBnd:"), bounding);
}

/// A worker that requests what no worker does is replaced, and nobody else notices. Only root can send as a worker.
#[test]
fn a_worker_that_wants_something_else_signed_is_replaced() {
    if !geteuid().is_root() {
        return;
    }
    let site = site();
    let mut certificates = Certificates::new(&site);
    certificates.add("example.org", P256);
    let https = Https::start(&site, &certificates, &["--workers=2"]);
    let client = certificates.client(BOTH);
    https.wait_for_certificate(&client, "example.org");
    let victim = https.server.workers()[0];
    request_a_signature_of_a_digest(victim);
    https.server.wait_for_log(&format!(
        "The key process has refused a signature of something other than a TLS handshake of process {victim}"
    ));
    wait_until("another worker", || {
        let workers = https.server.workers();
        workers.len() == 2 && !workers.contains(&victim)
    });
    https.wait_for_certificate(&client, "example.org");
}

/// Returns the parts of the private key of a file that must not be in memory elsewhere: the numbers in both byte orders,
/// the file and its DER.
fn secrets(key: &Path) -> Vec<Vec<u8>> {
    let text = Command::new("openssl").args(["pkey", "-noout", "-text", "-in"]).arg(key).output().unwrap().stdout;
    let text = String::from_utf8(text).unwrap();
    let secret_names = ["priv:", "privateExponent:", "prime1:", "prime2:", "exponent1:", "exponent2:", "coefficient:"];
    let mut numbers = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if !secret_names.contains(&line.trim()) {
            continue;
        }
        let mut digits = String::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("    ")) {
            digits += &line.trim().replace(':', "");
        }
        let number: Vec<u8> =
            (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect();
        numbers.push(number);
    }
    assert!(!numbers.is_empty(), "{text}");
    let reversed = numbers.iter().map(|number| number.iter().rev().copied().collect()).collect::<Vec<_>>();
    let pem = fs::read(key).unwrap();
    let der = rustls::pki_types::PrivateKeyDer::from_pem_slice(&pem).unwrap().secret_der().to_vec();
    // The first line of the text has no part of the public key.
    let first = pem.split(|byte| *byte == b'\n').nth(1).unwrap()[32..].to_vec();
    [numbers, reversed, vec![der, first]].concat()
}

/// Returns how many of `secrets` have a piece of 16 bytes in the memory of a process.
fn found(pid: Pid, secrets: &[Vec<u8>]) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    // The DER and the text as a whole: their parts have the public key.
    let (numbers, whole) = secrets.split_at(secrets.len() - 2);
    let pieces: std::collections::HashMap<&[u8], usize> = numbers
        .iter()
        .enumerate()
        .flat_map(|(index, number)| number.windows(16).map(move |piece| (piece, index)))
        .collect();
    let mut is_found = vec![false; secrets.len()];
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw"))) {
        let (begin, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [begin, end] = [begin, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut content = vec![0; (end - begin) as usize];
        if memory.read_exact_at(&mut content, begin).is_err() {
            continue;
        }
        for window in content.windows(16) {
            // Most memory is zero.
            if window[..2] != [0, 0]
                && let Some(&index) = pieces.get(window)
            {
                is_found[index] = true;
            }
        }
        for (index, text) in whole.iter().enumerate() {
            let piece = &text[..text.len().min(64)];
            let piece = if index == 0 { &text[..] } else { piece };
            is_found[numbers.len() + index] |=
                content.windows(piece.len()).any(|window| window[0] == piece[0] && window == piece);
        }
    }
    is_found.into_iter().filter(|found| *found).count()
}

/// After a thousand handshakes of each kind, a reload and an upgrade. The same search finds the keys in the key process, or it would prove nothing.
#[test]
fn no_other_process_has_a_piece_of_a_key() {
    if !geteuid().is_root() {
        // Nobody else can read the memory of the key process.
        return;
    }
    let site = site();
    let mut certificates = Certificates::new(&site);
    let names = [("p256.example", P256), ("rsa.example", RSA), ("ed25519.example", ED25519)];
    for (name, key_type) in names {
        certificates.add(name, key_type);
    }
    let program = site.outside().join("otus-httpd");
    copy_program(&program);
    let directory = format!("--certificates={}", certificates.path().display());
    let arguments = ["--port=0", "--https-port=0", &directory, "--access-log=stderr"];
    let https = Https::of(Setup::new(&site, &arguments).program(&program));
    let handshakes = || {
        for versions in [&[&version::TLS13][..], &[&version::TLS12]] {
            let client = certificates.client(versions);
            for (name, _) in names {
                https.wait_for_certificate(&client, name);
                std::thread::scope(|scope| {
                    let request = || drop(https.request(&client, name).unwrap());
                    (0..4).for_each(|_| drop(scope.spawn(move || (0..125).for_each(|_| request()))));
                });
            }
        }
    };
    handshakes();
    https.server.signal(Signal::SIGHUP);
    https.server.wait_for_log("Reloaded; ");
    handshakes();
    // An upgrade: another file at the path of the program.
    copy_program(&site.outside().join("new"));
    fs::rename(site.outside().join("new"), &program).unwrap();
    https.server.signal(Signal::SIGHUP);
    wait_until("the upgrade", || https.server.log().matches("Reloaded; ").count() == 2);
    let client = certificates.client(BOTH);
    names.iter().for_each(|(name, _)| drop(https.wait_for_certificate(&client, name)));
    for (name, _) in names {
        let secrets = secrets(&certificates.archive(name).join("privkey1.pem"));
        let key_process = https.key_process().unwrap();
        assert!(found(key_process, &secrets) > 0, "the search finds nothing, {name}");
        // Workers, the helper and the monitor.
        for pid in [https.server.pid()].into_iter().chain(children(https.server.pid())) {
            assert_eq!(found(pid, &secrets), 0, "{name} in {pid}, {}", comm(pid));
        }
    }
}

/// A process of the user of the workers can read neither the key files nor the memory of the key process.
#[test]
fn the_user_of_the_workers_can_see_nothing_of_the_key_process() {
    if !geteuid().is_root() {
        return;
    }
    let site = site();
    let mut certificates = Certificates::new(&site);
    certificates.add("example.org", P256);
    let key = certificates.archive("example.org").join("privkey1.pem");
    for path in [site.outside(), &site.root()] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let directory = format!("--certificates={}", certificates.path().display());
    let setup = Setup::new(&site, &["--port=0", "--https-port=0", &directory]).env("OTUS_USER", "nobody");
    let server = setup.start();
    server.wait_until_ready();
    let monitor = wait_for("the monitor", || children(server.pid()).into_iter().find(|pid| comm(*pid) == "otus-keys"));
    let key_process = wait_for("the key process", || children(monitor).into_iter().next());
    let status = fs::read_to_string(format!("/proc/{}/status", server.workers()[0])).unwrap();
    assert!(!status.contains("Uid:\t0"), "{status}");
    let paths = ["mem", "maps", "environ", "fd/3", "map_files"].map(|name| format!("/proc/{key_process}/{name}"));
    for path in paths.into_iter().chain([key.display().to_string()]) {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--clear-groups", "cat", &path]);
        let output = command.output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{path} is readable");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{path}: {output:?}");
    }
}

/// A plain user has no other user for the keys: then the memory of the key process is closed.
#[test]
fn the_memory_of_the_key_process_is_closed_to_its_own_user() {
    let site = site();
    let mut certificates = Certificates::new(&site);
    certificates.add("example.org", P256);
    let https = Https::start(&site, &certificates, &[]);
    let key_process = wait_for("the key process", || https.key_process());
    // The kernel gives the files of a process that is not dumpable to root (proc(5)).
    wait_until("its confinement", || {
        use std::os::unix::fs::MetadataExt;
        let result = fs::File::open(format!("/proc/{key_process}/mem")).map(drop);
        let is_refused = result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
        fs::metadata(format!("/proc/{key_process}/mem")).unwrap().uid() == 0 && (geteuid().is_root() || is_refused)
    });
}

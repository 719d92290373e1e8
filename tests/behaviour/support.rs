//! The real server, a client that can send any bytes, and waiting for conditions.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

/// The timeout of every wait in a test. It is long, since the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub const BINARY: &str = env!("CARGO_BIN_EXE_otus-httpd");

/// Waits until `condition` returns a value.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(begin.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// A document root, in a directory that can hold files which must not be served. It exists as long as a server of it.
#[derive(Clone)]
pub struct Site(Arc<TempDir>);

impl Site {
    pub fn new() -> Self {
        Site::at(tempfile::tempdir().unwrap())
    }

    /// A site on no disk, for tests that would notice what else waits for one.
    pub fn in_memory() -> Self {
        Site::at(tempfile::tempdir_in("/dev/shm").unwrap())
    }

    fn at(directory: TempDir) -> Self {
        fs::create_dir(directory.path().join("root")).unwrap();
        Site(Arc::new(directory))
    }

    pub fn with(files: &[(&str, &[u8])]) -> Self {
        let site = Site::new();
        for (name, content) in files {
            site.write(name, content);
        }
        site
    }

    pub fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }

    /// The directory that the root is in.
    pub fn outside(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.root().join(name.as_ref())
    }

    pub fn write(&self, name: impl AsRef<OsStr>, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// A server to start.
pub struct Setup {
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    sockets: Vec<OwnedFd>,
    stderr: Option<OwnedFd>,
    before: String,
    site: Option<Site>,
    program: PathBuf,
}

impl Setup {
    /// Only these arguments.
    pub fn bare(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(OsString::from).collect();
        let (environment, sockets, before, program) = (Vec::new(), Vec::new(), String::new(), BINARY.into());
        Setup { arguments, environment, sockets, stderr: None, before, site: None, program }
    }

    /// Two workers for `site`, and `arguments`.
    pub fn new(site: &Site, arguments: &[&str]) -> Self {
        let root = format!("--root={}", site.root().display());
        let arguments = [&["--workers=2", &root], arguments].concat();
        Setup { site: Some(site.clone()), ..Setup::bare(&arguments) }
    }

    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Runs the program at `path` instead.
    pub fn program(mut self, path: &Path) -> Self {
        self.program = path.into();
        self
    }

    /// Passes a socket as systemd would; there may be two.
    pub fn socket(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.sockets.push(socket.into());
        self
    }

    /// Makes `stderr` its standard error, instead of a file.
    pub fn stderr(mut self, stderr: impl Into<OwnedFd>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// Shell commands that run before the server replaces the shell.
    pub fn before(mut self, commands: &str) -> Self {
        self.before += commands;
        self
    }

    /// Starts it on a free port, on which clients may already wait.
    pub fn listen(self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = self.socket(listener).start();
        server.address = address;
        server
    }

    /// Starts it without changes.
    pub fn start(self) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let count = self.sockets.len();
        // Command cannot pass descriptors 3 and 4, only 0 and 1.
        let activation = match count {
            0 => "".to_string(),
            _ => format!("exec 3<&0 4<&1 </dev/null >/dev/null; export LISTEN_FDS={count};"),
        };
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{activation} {} exec \"$0\" \"$@\"", self.before));
        command.arg(self.program).args(self.arguments).envs(self.environment);
        for inherited in foreign_variables() {
            if !command.get_envs().any(|(name, _)| *name == *inherited) {
                command.env_remove(inherited);
            }
        }
        if !command.get_envs().any(|(name, _)| name == "OTUS_USER") {
            command.envs(own_user());
        }
        let mut sockets = self.sockets.into_iter().map(Stdio::from);
        command.stdin(sockets.next().unwrap_or_else(Stdio::null));
        command.stdout(sockets.next().unwrap_or_else(Stdio::null));
        let file = File::create(&log).unwrap();
        command.stderr(self.stderr.map_or_else(|| file.into(), Stdio::from));
        let child = command.spawn().unwrap();
        Server { child, log, address: ([0, 0, 0, 0], 0).into(), _kept: (directory, self.site) }
    }
}

/// Allows tests that root runs to serve as root, since their files belong to root.
pub fn own_user() -> Option<(&'static str, &'static str)> {
    geteuid().is_root().then_some(("OTUS_USER", "root"))
}

/// Copies the program to `path`, by another process: a descriptor of this process that is open for writing may be
/// inherited by a process that another test starts, and a file that is open for writing cannot be executed.
pub fn copy_program(path: &Path) {
    assert!(Command::new("cp").arg(BINARY).arg(path).status().unwrap().success());
}

/// Variables that are set for the tests and would affect the server.
pub fn foreign_variables() -> impl Iterator<Item = OsString> {
    let systemd = ["JOURNAL_STREAM", "NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDNAMES", "INVOCATION_ID"];
    let settings = std::env::vars_os().map(|(name, _)| name);
    let settings = settings.filter(|name| name.as_encoded_bytes().starts_with(b"OTUS_"));
    systemd.map(OsString::from).into_iter().chain(settings)
}

/// A running server; ended when dropped.
pub struct Server {
    child: Child,
    log: PathBuf,
    pub address: SocketAddr,
    _kept: (TempDir, Option<Site>),
}

impl Server {
    /// A server for `site`.
    pub fn of(site: &Site) -> Server {
        Server::with(site, &[])
    }

    pub fn with(site: &Site, arguments: &[&str]) -> Server {
        Setup::new(site, arguments).listen()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Returns the lines of the log above level info.
    pub fn warnings(&self) -> Vec<String> {
        self.log().lines().filter(|line| !line.starts_with(" INFO")).map(String::from).collect()
    }

    pub fn wait_for_log(&self, text: &str) {
        wait_until(&format!("\"{text}\" in the log"), || self.log().contains(text));
    }

    pub fn wait_until_ready(&self) {
        self.wait_for_log("Ready; ");
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    pub fn exit_status(&mut self) -> ExitStatus {
        wait_for("the end of the server", || self.child.try_wait().unwrap())
    }

    pub fn workers(&self) -> Vec<Pid> {
        self.children().into_iter().filter(|child| !is_helper(*child)).collect()
    }

    pub fn helper(&self) -> Option<Pid> {
        self.children().into_iter().find(|child| is_helper(*child))
    }

    /// The login process.
    pub fn logins(&self) -> Option<Pid> {
        let name = |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        self.children().into_iter().find(|child| name(child) == "otus-logins\n")
    }

    fn children(&self) -> Vec<Pid> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends a GET of `target` over a connection of its own.
    pub fn get(&self, target: &str) -> Response {
        self.connect().get(target)
    }
}

/// Whether a child of the supervisor is the helper, or the monitor of the key process. Just after the fork, neither it nor a worker can be recognized: the
/// helper gets its name soon, a worker a second thread.
fn is_helper(process: Pid) -> bool {
    let has_name = || {
        fs::read_to_string(format!("/proc/{process}/comm"))
            .is_ok_and(|name| matches!(&*name, "otus-helper\n" | "otus-keys\n" | "otus-logins\n"))
    };
    let begin = Instant::now();
    while !has_name() {
        if threads(process) != 1 || begin.elapsed() > Duration::from_millis(200) {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    true
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // A second signal stops it immediately.
            let _ = kill(self.pid(), Signal::SIGCONT);
            for worker in self.workers() {
                let _ = kill(worker, Signal::SIGKILL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the server's log:\n{}---", self.log());
        }
    }
}

/// A client that sends any bytes, valid or not.
pub struct Client(pub TcpStream);

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(stream)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.write_all(bytes.as_ref()).unwrap();
        self
    }

    pub fn get(&mut self, target: &str) -> Response {
        self.send(get(target)).response()
    }

    /// Reads one response, of the length that it has by its head.
    pub fn response(&mut self) -> Response {
        let response = self.response_or_304();
        assert_ne!(response.status, 304);
        response
    }

    /// Reads one response, which has no body if it is a 304.
    pub fn response_or_304(&mut self) -> Response {
        let mut response = self.head();
        if response.status != 304 {
            response.body.resize(response.content_length(), 0);
            self.0.read_exact(&mut response.body).expect("a body as long as Content-Length");
        }
        response
    }

    /// Reads one response without a body, as for HEAD.
    pub fn head(&mut self) -> Response {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&head));
            });
            head.push(byte[0]);
        }
        Response::parse(&String::from_utf8(head).unwrap())
    }

    /// Waits for the end of the connection, which must be clean and without further bytes.
    pub fn assert_closed(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("a clean end");
        assert_eq!(String::from_utf8_lossy(&rest), "", "bytes before the end");
    }

    /// Returns whether the server has ended the connection, in any way.
    pub fn is_closed(&mut self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let result = self.0.read(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        match result {
            Ok(length) => length == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// A plain GET that keeps the connection.
pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub status_line: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    fn parse(head: &str) -> Self {
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap().to_string();
        assert!(status_line.starts_with("HTTP/1.1 "), "{status_line}");
        let status = status_line[9..12].parse().unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a field");
            (name.to_string(), value.to_string())
        };
        let fields = lines.take_while(|line| !line.is_empty()).map(field).collect();
        Response { status, status_line, fields, body: Vec::new() }
    }

    /// Returns the value of the only field with this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice in {self:?}");
        value
    }

    pub fn content_length(&self) -> usize {
        self.field("Content-Length").expect("a Content-Length").parse().unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Checks the fields of every response (RFC 9110 §6.6.1, §10.2.4).
    pub fn assert_common_fields(&self) {
        assert_eq!(self.field("Server"), Some("OtusServer"), "{self:?}");
        assert!(httpdate::parse_http_date(self.field("Date").unwrap()).is_ok(), "{self:?}");
        assert!(matches!(self.field("Connection"), Some("keep-alive" | "close")), "{self:?}");
    }
}

/// A NOTIFY_SOCKET, which receives the notifications of the server.
pub struct Notifications {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Notifications {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Notifications { socket, directory }
    }

    /// The value of NOTIFY_SOCKET.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("notify")
    }

    /// Receives the next message.
    pub fn next(&self) -> String {
        let mut message = [0; 4096];
        // With a timeout, a wait can be interrupted even if no signal is handled (signal(7)).
        let length = loop {
            match self.socket.recv(&mut message) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.expect("a message to systemd"),
            }
        };
        String::from_utf8(message[..length].to_vec()).unwrap().trim_end().to_string()
    }

    /// Returns the first message from now on that `is_wanted`.
    pub fn find(&self, what: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        wait_for(what, || Some(self.next()).filter(|message| is_wanted(message)))
    }

    /// Returns the messages that have arrived and were not read.
    pub fn waiting(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut message = [0; 4096];
        let waiting =
            std::iter::from_fn(|| self.socket.recv(&mut message).ok().map(|length| message[..length].to_vec()));
        let waiting = waiting.map(|message| String::from_utf8(message).unwrap()).collect();
        self.socket.set_nonblocking(false).unwrap();
        waiting
    }
}

/// Returns the total number of open descriptors of the processes.
pub fn open_descriptors(processes: &[Pid]) -> usize {
    processes.iter().map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)).sum()
}

/// Returns whether one of the processes has a file of this name open.
pub fn is_open(processes: &[Pid], name: &str) -> bool {
    let open = processes.iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten());
    let mut links = open.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    links.any(|link| link.ends_with(name))
}

/// Returns the processor time that a process has used, in ticks of a hundredth of a second.
pub fn ticks(process: Pid) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Stops a process, and waits until each of its threads has stopped.
pub fn stop(process: Pid) {
    kill(process, Signal::SIGSTOP).unwrap();
    let stat = |task: PathBuf| fs::read_to_string(task.join("stat")).unwrap_or_default();
    let has_stopped = |task| stat(task).rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'));
    wait_until("a process to stop", || {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        tasks.flatten().all(|task| has_stopped(task.path()))
    });
}

/// Returns the number of threads of a process, without the one of a worker that checks the document root.
pub fn threads(process: Pid) -> usize {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(name).filter(|name| name != "root-check\n").count()
}

/// Returns `content` in a content coding.
pub fn encode(coding: &str, content: &[u8]) -> Vec<u8> {
    match coding {
        "br" => {
            let mut encoded = Vec::new();
            brotli::BrotliCompress(&mut &*content, &mut encoded, &Default::default()).unwrap();
            encoded
        }
        "zstd" => zstd::bulk::compress(content, 3).unwrap(),
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        _ => content.to_vec(),
    }
}

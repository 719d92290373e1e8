//! The handover from one image of the supervisor to the next, across execve(2): listening sockets, counters, the digest
//! table and old workers. Descriptors stay open under their numbers; an environment variable lists them.

use std::ffi::{CString, OsString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::{Pid, execve, getpid};

use crate::os::sys;

const VARIABLE: &str = "_OTUS_HANDOVER";

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub descriptor: OwnedFd,
    /// Its name, if systemd passed it.
    pub name: Option<String>,
    /// Whether the server has bound it for HTTPS.
    pub is_https: bool,
}

/// A worker that the previous image started.
#[derive(Debug)]
pub struct OldWorkerHandle {
    /// Its process, a child of this one.
    pub pid: Pid,
    /// The supervisor's end of its lifeline.
    pub lifeline: OwnedFd,
    /// The index of the memory with its counters, from 0.
    pub memory: usize,
}

/// The state that the previous image handed over.
#[derive(Debug, Default)]
pub struct Handover {
    /// The listening sockets.
    pub sockets: Vec<Listener>,
    /// Memory with the counters of workers or of a supervisor.
    pub memories: Vec<OwnedFd>,
    /// The workers.
    pub workers: Vec<OldWorkerHandle>,
    /// What the helper works with.
    pub helper: HelperHandover,
    /// The keys of session tickets.
    pub ticket_keys: Option<OwnedFd>,
    /// The key process.
    pub keys: KeyHandover,
    /// The login process.
    pub logins: LoginHandover,
}

/// What the login processes leave to the next one.
#[derive(Debug, Default)]
pub struct LoginHandover {
    /// The failed logins of clients.
    pub failures: Option<OwnedFd>,
    /// The login processes of old workers.
    pub processes: Vec<OldLoginProcess>,
}

/// A login process that the previous image started.
#[derive(Debug)]
pub struct OldLoginProcess {
    /// Its process, a child of this one.
    pub pid: Pid,
    /// Has sent the connections of workers to it.
    pub server: OwnedFd,
}

/// The key process, and the connections of workers to it.
#[derive(Debug, Default)]
pub struct KeyHandover {
    /// The monitor of the key process; none if systemd starts it.
    pub monitor: Option<KeyMonitor>,
    /// The workers that can have connections.
    pub links: Vec<KeyLink>,
}

/// The monitor of the key process.
#[derive(Debug)]
pub struct KeyMonitor {
    /// Its process, a child of this one.
    pub pid: Pid,
    /// Sends connections to it.
    pub connections: OwnedFd,
    /// The directory of the certificates.
    pub directory: PathBuf,
    /// Whether it has the user of this process.
    pub is_replaceable: bool,
}

/// A worker that can have a connection to the key process.
#[derive(Debug)]
pub struct KeyLink {
    /// The worker.
    pub pid: Pid,
    /// Sends connections to it.
    pub channel: OwnedFd,
    /// A duplicate of its connection.
    pub connection: Option<OwnedFd>,
}

/// The shared resources of the helper.
#[derive(Debug, Default)]
pub struct HelperHandover {
    /// The digest table.
    pub digests: Option<OwnedFd>,
    /// The store of compressed content.
    pub compressed: Option<OwnedFd>,
    /// The sending end of the work queue.
    pub queue_sender: Option<OwnedFd>,
    /// The receiving end. It is not closed: closing a socket that a compromised worker has left in it can block.
    pub queue_receiver: Option<OwnedFd>,
}

/// Builds the text and the list of descriptors for the next image.
#[derive(Debug, Default)]
pub struct HandoverBuilder<'a> {
    text: String,
    descriptors: Vec<BorrowedFd<'a>>,
}

impl<'a> HandoverBuilder<'a> {
    /// Adds a listening socket.
    pub fn socket(&mut self, descriptor: BorrowedFd<'a>, name: Option<&str>) {
        self.line("socket", descriptor, &[name.unwrap_or_default()]);
    }

    /// Adds a listening socket that the server has bound for HTTPS. A version without TLS closes it.
    pub fn https_socket(&mut self, descriptor: BorrowedFd<'a>) {
        self.line("socket-https", descriptor, &[]);
    }

    /// Adds memory with counters.
    pub fn memory(&mut self, descriptor: BorrowedFd<'a>) {
        self.line("board", descriptor, &[]);
    }

    /// Adds the digest table.
    pub fn digests(&mut self, descriptor: BorrowedFd<'a>) {
        self.line("digests", descriptor, &[]);
    }

    /// Adds the store of compressed content.
    pub fn compressed(&mut self, descriptor: BorrowedFd<'a>) {
        self.line("compressed", descriptor, &[]);
    }

    /// Adds the keys of session tickets.
    pub fn ticket_keys(&mut self, descriptor: BorrowedFd<'a>) {
        self.line("ticket-keys", descriptor, &[]);
    }

    /// Adds both ends of the work queue.
    pub fn work_queue(&mut self, sender: BorrowedFd<'a>, receiver: BorrowedFd<'a>) {
        self.line("queue-sender", sender, &[]);
        self.line("queue-receiver", receiver, &[]);
    }

    /// Adds the monitor of the key process.
    pub fn key_monitor(&mut self, connections: BorrowedFd<'a>, pid: Pid, is_replaceable: bool, directory: &Path) {
        let (pid, directory) = (pid.to_string(), hex(directory.as_os_str().as_bytes()));
        let words = [pid.as_str(), if is_replaceable { "1" } else { "0" }, &directory];
        self.line("key-monitor", connections, &words);
    }

    /// Adds the channel over which a worker gets connections to the key process.
    pub fn key_channel(&mut self, channel: BorrowedFd<'a>, pid: Pid) {
        self.line("key-channel", channel, &[&pid.to_string()]);
    }

    /// Adds the connection of a worker to the key process, after its channel.
    pub fn key_connection(&mut self, connection: BorrowedFd<'a>, pid: Pid) {
        self.line("key-connection", connection, &[&pid.to_string()]);
    }

    /// Adds the failed logins of clients.
    pub fn login_failures(&mut self, descriptor: BorrowedFd<'a>) {
        self.line("login-failures", descriptor, &[]);
    }

    /// Adds a login process, and what sends the connections of workers to it.
    pub fn login_process(&mut self, server: BorrowedFd<'a>, pid: Pid) {
        self.line("login-process", server, &[&pid.to_string()]);
    }

    /// Adds an old worker, and the index of the memory with its counters.
    pub fn worker(&mut self, lifeline: BorrowedFd<'a>, pid: Pid, memory: usize) {
        // Versions with one memory for all workers expect the worker's number in this position.
        self.line("worker", lifeline, &[&pid.to_string(), "0", &memory.to_string()]);
    }

    fn line(&mut self, kind: &str, descriptor: BorrowedFd<'a>, words: &[&str]) {
        let number = descriptor.as_raw_fd().to_string();
        self.text += &[&[kind, &number], words].concat().join(" ");
        self.text.push('\n');
        self.descriptors.push(descriptor);
    }

    /// Executes the program at `path` with the same arguments and environment. Returns only on failure; then nothing
    /// has changed.
    pub fn exec(self, path: &Path) -> nix::Error {
        let text = format!("process {}\n{}", getpid(), self.text);
        let own = [(OsString::from(VARIABLE), OsString::from(text))];
        let variables = std::env::vars_os().filter(|(name, _)| name != VARIABLE).chain(own);
        let variables = variables.filter_map(|(name, value)| c_string([name, value].join("=".as_ref())));
        let arguments: Vec<_> = std::env::args_os().filter_map(c_string).collect();
        let Some(path) = c_string(path.into()) else { return nix::Error::EINVAL };
        let set_inherited = |flag| {
            self.descriptors.iter().try_for_each(|descriptor| fcntl(descriptor, FcntlArg::F_SETFD(flag)).map(drop))
        };
        let result = set_inherited(FdFlag::empty())
            .and_then(|()| execve(&path, &arguments, &variables.collect::<Vec<_>>()).map(|never| match never {}));
        let _ = set_inherited(FdFlag::FD_CLOEXEC);
        result.err().unwrap_or(nix::Error::UnknownErrno)
    }
}

/// Returns bytes as a word of the text, which has no line feed.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(word: &str) -> Option<Vec<u8>> {
    let digits: Vec<_> = word.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    digits.chunks(2).map(|pair| Some((16 * pair[0] + pair.get(1)?) as u8)).collect()
}

/// Takes over a line about the key process.
fn parse_key_line(keys: &mut KeyHandover, kind: &str, descriptor: OwnedFd, rest: &str) -> Option<()> {
    let words: Vec<_> = rest.split(' ').collect();
    let pid = Pid::from_raw(words.first()?.parse().ok()?);
    match (kind, words.as_slice()) {
        ("key-monitor", [_, is_replaceable, directory]) => {
            let directory = OsString::from_vec(from_hex(directory)?).into();
            let (connections, is_replaceable) = (descriptor, *is_replaceable == "1");
            keys.monitor = Some(KeyMonitor { pid, connections, directory, is_replaceable });
        }
        ("key-channel", _) => keys.links.push(KeyLink { pid, channel: descriptor, connection: None }),
        ("key-connection", _) => keys.links.iter_mut().find(|link| link.pid == pid)?.connection = Some(descriptor),
        _ => {}
    }
    Some(())
}

fn c_string(text: OsString) -> Option<CString> {
    CString::new(text.into_vec()).ok()
}

/// Takes over the state that the previous image handed over to this process, if there is any. Call it once.
pub fn take() -> Option<Handover> {
    parse(&std::env::var(VARIABLE).ok()?, getpid())
}

/// Parses the text for the process `own`, and takes the descriptors that it lists.
fn parse(text: &str, own: Pid) -> Option<Handover> {
    let mut lines = text.lines();
    // The variable may be from an ancestor, which handed over to itself.
    let pid = lines.next()?.strip_prefix("process ")?;
    if pid != own.to_string() {
        return None;
    }
    let mut handover = Handover::default();
    for line in lines {
        let mut words = line.splitn(3, ' ');
        let (kind, descriptor, rest) = (words.next()?, words.next()?, words.next().unwrap_or_default());
        let descriptor = sys::take_descriptor(descriptor.parse().ok()?).ok()?;
        match kind {
            "socket" => {
                let name = (!rest.is_empty()).then(|| rest.to_string());
                handover.sockets.push(Listener { descriptor, name, is_https: false });
            }
            "socket-https" => handover.sockets.push(Listener { descriptor, name: None, is_https: true }),
            "board" => handover.memories.push(descriptor),
            "digests" => handover.helper.digests = Some(descriptor),
            "compressed" => handover.helper.compressed = Some(descriptor),
            "ticket-keys" => handover.ticket_keys = Some(descriptor),
            "login-failures" => handover.logins.failures = Some(descriptor),
            "login-process" => {
                let pid = Pid::from_raw(rest.parse().ok()?);
                handover.logins.processes.push(OldLoginProcess { pid, server: descriptor });
            }
            "queue-sender" => handover.helper.queue_sender = Some(descriptor),
            "queue-receiver" => handover.helper.queue_receiver = Some(descriptor),
            "worker" => {
                let numbers: Vec<usize> = rest.split(' ').map_while(|word| word.parse().ok()).collect();
                let &[pid, _, memory] = numbers.as_slice() else { return None };
                let pid = Pid::from_raw(pid.try_into().ok()?);
                handover.workers.push(OldWorkerHandle { pid, lifeline: descriptor, memory });
            }
            "key-monitor" | "key-channel" | "key-connection" => {
                // Without it, a new one is made.
                let _ = parse_key_line(&mut handover.keys, kind, descriptor, rest);
            }
            // A later version may hand over other descriptors; they are closed.
            _ => {}
        }
    }
    Some(handover)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsFd, IntoRawFd};

    use super::*;

    fn file() -> File {
        File::open("/dev/null").unwrap()
    }

    /// Fills the descriptors into a text, in place of each `@`.
    fn with_descriptors(text: &str) -> String {
        text.chars().map(|c| if c == '@' { file().into_raw_fd().to_string() } else { c.to_string() }).collect()
    }

    /// Two workers with one memory, and no digest table: the format of the first version. The last kind of line is of a version
    /// to come.
    #[test]
    fn the_text_of_other_versions_is_read() {
        let text =
            "process 7\nsocket @ http\nsocket @ \nboard @\nworker @ 41 0 0\nworker @ 42 1 0\nlater @ words of it\n";
        let handover = parse(&with_descriptors(text), Pid::from_raw(7)).unwrap();
        let names: Vec<_> = handover.sockets.iter().map(|socket| socket.name.as_deref()).collect();
        assert_eq!(names, [Some("http"), None]);
        assert_eq!((handover.memories.len(), handover.helper.digests.is_some()), (1, false));
        let workers: Vec<_> = handover.workers.iter().map(|worker| (worker.pid.as_raw(), worker.memory)).collect();
        assert_eq!(workers, [(41, 0), (42, 0)]);
    }

    #[test]
    fn the_key_process_is_handed_over_with_the_connections_of_workers() {
        let (monitor, channel, connection) = (file(), file(), file());
        let mut builder = HandoverBuilder::default();
        let directory = Path::new("/srv/certificates of a\nsite");
        builder.key_monitor(monitor.as_fd(), Pid::from_raw(40), true, directory);
        builder.key_channel(channel.as_fd(), Pid::from_raw(41));
        builder.key_connection(connection.as_fd(), Pid::from_raw(41));
        let text = builder.text;
        // The descriptors of the text are taken over.
        let _ = [monitor, channel, connection].map(IntoRawFd::into_raw_fd);
        let KeyHandover { monitor, links } = parse(&format!("process 7\n{text}"), Pid::from_raw(7)).unwrap().keys;
        let monitor = monitor.unwrap();
        assert_eq!((monitor.pid.as_raw(), monitor.is_replaceable, monitor.directory.as_path()), (40, true, directory));
        assert_eq!((links.len(), links[0].pid.as_raw(), links[0].connection.is_some()), (1, 41, true));
    }

    #[test]
    fn the_text_for_another_process_is_ignored() {
        assert!(parse("process 7\n", Pid::from_raw(8)).is_none());
        assert!(parse("", Pid::from_raw(8)).is_none());
    }

    /// A downgrade is a reload into an earlier version, which knows these lines alone.
    #[test]
    fn the_text_can_be_read_by_the_first_version() {
        let (socket, memory, lifeline) = (file(), file(), file());
        let mut builder = HandoverBuilder::default();
        builder.socket(socket.as_fd(), Some("http"));
        builder.memory(memory.as_fd());
        builder.worker(lifeline.as_fd(), Pid::from_raw(41), 0);
        let numbers = [&socket, &memory, &lifeline].map(|file| file.as_raw_fd());
        let expected = format!("socket {} http\nboard {}\nworker {} 41 0 0\n", numbers[0], numbers[1], numbers[2]);
        assert_eq!(builder.text, expected);
    }
}

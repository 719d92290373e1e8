//! A file system that fails or hangs where a test requests it: FUSE, served on /dev/fuse by a thread of the test
//! (fuse(4); numbers and layouts are those of linux/fuse.h). It is one directory of files that are never written to.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::support::Site;

/// The calls of the kernel for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Find,
    Stat,
    Open,
    /// Reads a byte at this offset or later.
    Read(u64),
    Close,
}

/// The fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Error(Errno),
    /// There is no reply until the test requests it. Until then, even SIGKILL does not end the waiting process.
    Hang,
}

/// The metadata of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// The bytes by which it has grown.
    pub growth: u64,
    pub mtime_s: u64,
    pub ctime_s: u64,
    pub mode: u32,
    pub links: u32,
}

impl Metadata {
    /// Long ago, so that the files can be cached in memory.
    pub const OLD: Metadata =
        Metadata { growth: 0, mtime_s: 784_111_777, ctime_s: 784_111_777, mode: 0o100_644, links: 1 };
}

/// A file system; unmounted when dropped, even if calls wait for it.
pub struct Disk {
    path: PathBuf,
    device: Arc<File>,
    shelf: Arc<Mutex<Shelf>>,
    thread: Option<JoinHandle<()>>,
    _site: Site,
}

impl Disk {
    /// Mounts a file system with `files` on the directory `name` of `site`, for this thread and the processes that it
    /// starts from now on.
    pub fn mount(site: &Site, name: &str, files: &[(&str, &[u8])]) -> Disk {
        let path = site.path(name);
        std::fs::create_dir_all(&path).unwrap();
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.expect("this test needs FUSE and root: run it as root, after \"modprobe fuse\"");
        let options =
            format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other,max_read=131072", device.as_raw_fd());
        // The mount belongs to this thread, so nothing remains of it even if the tests are killed.
        unshare(CloneFlags::CLONE_NEWNS).expect("this test mounts a file system: run it as root");
        // In a chroot, "/" is not a mount, and there is nothing to make private.
        let _ = mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>);
        mount(Some("disk"), &path, Some("fuse"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options.as_str()))
            .expect("this test mounts a file system: run it as root");

        let device = Arc::new(device);
        let files = files.iter().map(|(name, content)| Node::new(name, content)).collect();
        let shelf = Arc::new(Mutex::new(Shelf {
            files,
            directory: Node::new("", b""),
            waiting: Vec::new(),
            lists: false,
            reads: 0,
        }));
        let thread = Some(std::thread::spawn({
            let (device, shelf) = (device.clone(), shelf.clone());
            move || serve(&device, &shelf)
        }));
        Disk { path, device, shelf, thread, _site: site.clone() }
    }

    /// From now on, `call` of the file `name` fails, and no other call of it. The empty name is that of the directory.
    pub fn set(&self, name: &str, call: Call, fault: Fault) {
        let mut shelf = hold(&self.shelf);
        let Shelf { files, directory, .. } = &mut *shelf;
        let mut nodes = files.iter_mut().chain([directory]);
        nodes.find(|node| node.name == name.as_bytes()).expect("a file of this disk").fault = Some((call, fault));
    }

    /// Changes the metadata of the file `name`; its content is unchanged.
    pub fn alter(&self, name: &str, metadata: Metadata) {
        let mut shelf = hold(&self.shelf);
        let file = shelf.files.iter_mut().find(|file| file.name == name.as_bytes()).expect("a file of this disk");
        file.metadata = metadata;
    }

    /// Returns the number of calls that hang.
    pub fn waiting(&self) -> usize {
        hold(&self.shelf).waiting.len()
    }

    /// From now on, the directory can be listed.
    pub fn list(&self) {
        hold(&self.shelf).lists = true;
    }

    /// Returns the number of reads so far, which the kernel has not answered from its memory.
    pub fn reads(&self) -> usize {
        hold(&self.shelf).reads
    }

    /// Ends all faults, and replies to the calls that hang.
    pub fn mend(&self) {
        let mut shelf = hold(&self.shelf);
        shelf.directory.fault = None;
        shelf.files.iter_mut().for_each(|file| file.fault = None);
        for answer in shelf.waiting.drain(..) {
            // The process that waits for the reply may have been killed.
            let _ = (&*self.device).write(&answer);
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The abort makes the calls that hang fail, and ends the thread.
        let _ = umount2(&self.path, MntFlags::MNT_FORCE | MntFlags::MNT_DETACH);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Shelf {
    files: Vec<Node>,
    directory: Node,
    waiting: Vec<Vec<u8>>,
    /// Whether the directory can be listed.
    lists: bool,
    reads: usize,
}

struct Node {
    name: Vec<u8>,
    content: Vec<u8>,
    metadata: Metadata,
    fault: Option<(Call, Fault)>,
}

fn hold(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Replies to the kernel until the file system is unmounted.
fn serve(mut device: &File, shelf: &Mutex<Shelf>) {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match device.read(&mut buffer) {
            Ok(length) => {
                if let Some(answer) = hold(shelf).answer(&Request(&buffer[..length])) {
                    let _ = device.write(&answer);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::NotFound) => {}
            Err(_) => return,
        }
    }
}

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const RELEASEDIR: u32 = 29;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

/// The number of the directory; the files have the numbers after it.
const DIRECTORY: u64 = 1;

/// A request of the kernel: a header of 40 bytes, then the part that depends on its opcode.
struct Request<'b>(&'b [u8]);

impl Request<'_> {
    fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    fn opcode(&self) -> u32 {
        self.u32(4)
    }

    /// The bytes that a READ requests.
    fn span(&self) -> (u64, u64) {
        (self.u64(48), self.u64(48) + u64::from(self.u32(56)))
    }

    fn answer(&self, result: Result<Vec<u8>, Errno>) -> Vec<u8> {
        let (error, body) = match result {
            Ok(body) => (0, body),
            Err(errno) => (-(errno as i32), Vec::new()),
        };
        let length = 16 + body.len() as u32;
        [&length.to_ne_bytes(), &error.to_ne_bytes(), &self.u64(8).to_ne_bytes()[..], &body].concat()
    }
}

impl Shelf {
    fn answer(&mut self, request: &Request) -> Option<Vec<u8>> {
        // An interrupted request still hangs.
        if matches!(request.opcode(), FORGET | BATCH_FORGET | INTERRUPT) {
            return None;
        }
        self.reads += usize::from(request.opcode() == READ);
        let node = self.node(request);
        let fault = node.and_then(|node| match node.checked_sub(DIRECTORY + 1) {
            None => self.directory.fault(request),
            Some(index) => self.files.get(index as usize)?.fault(request),
        });
        match fault {
            None => Some(request.answer(self.result(request, node))),
            Some(Fault::Error(errno)) => Some(request.answer(Err(errno))),
            Some(Fault::Hang) => {
                let answer = request.answer(self.result(request, node));
                self.waiting.push(answer);
                None
            }
        }
    }

    /// The number of the file or directory of a request.
    fn node(&self, request: &Request) -> Option<u64> {
        if request.opcode() != LOOKUP {
            return Some(request.u64(16));
        }
        let name = request.0[40..].strip_suffix(b"\0")?;
        let index = self.files.iter().position(|file| file.name == name)?;
        Some(DIRECTORY + 1 + index as u64)
    }

    fn result(&self, request: &Request, node: Option<u64>) -> Result<Vec<u8>, Errno> {
        let node = node.ok_or(Errno::ENOENT)?;
        let file = node.checked_sub(DIRECTORY + 1).and_then(|index| self.files.get(index as usize));
        Ok(match request.opcode() {
            INIT => init(),
            // The validity of names and attributes is zero (16 bytes), so every call is sent here.
            LOOKUP => [&numbers(&[node, 0, 0, 0, 0])[..], &attributes(node, file)].concat(),
            GETATTR => [&numbers(&[0, 0])[..], &attributes(node, file)].concat(),
            // The read pages stay in the page cache (FOPEN_KEEP_CACHE). Otherwise an open would wait for reads that
            // hang.
            OPEN | OPENDIR => numbers(&[0, 2]),
            READ => {
                let content = &file.ok_or(Errno::EISDIR)?.content;
                let bound = |offset: u64| (offset as usize).min(content.len());
                let (start, end) = request.span();
                content[bound(start)..bound(end)].to_vec()
            }
            // All names are in the first part.
            READDIR if self.lists && request.u64(48) > 0 => Vec::new(),
            READDIR if self.lists => self.files.iter().enumerate().flat_map(directory_entry).collect(),
            RELEASE | RELEASEDIR | FLUSH => Vec::new(),
            _ => return Err(Errno::ENOSYS),
        })
    }
}

impl Node {
    fn new(name: &str, content: &[u8]) -> Self {
        Node { name: name.into(), content: content.into(), metadata: Metadata::OLD, fault: None }
    }

    fn fault(&self, request: &Request) -> Option<Fault> {
        let is_it = |call| match call {
            Call::Find => request.opcode() == LOOKUP,
            Call::Stat => request.opcode() == GETATTR,
            Call::Open => request.opcode() == OPEN,
            Call::Read(from) => request.opcode() == READ && request.span().1 > from,
            Call::Close => request.opcode() == FLUSH,
        };
        self.fault.filter(|(call, _)| is_it(*call)).map(|(_, fault)| fault)
    }
}

/// Version 7.31; asynchronous reads and parallel lookups.
fn init() -> Vec<u8> {
    let numbers = [7, 31, 128 * 1024, 1 | 1 << 18, 0, 4096, 1];
    [&numbers.map(u32::to_ne_bytes).concat()[..], &[0; 36]].concat()
}

fn attributes(node: u64, file: Option<&Node>) -> Vec<u8> {
    let metadata = file.map_or(Metadata { mode: 0o040_755, ..Metadata::OLD }, |file| file.metadata);
    let size = file.map_or(0, |file| file.content.len() as u64 + metadata.growth);
    let Metadata { mtime_s, ctime_s, mode, links, .. } = metadata;
    let wide = numbers(&[node, size, size.div_ceil(512), mtime_s, mtime_s, ctime_s]);
    let narrow = [0, 0, 0, mode, links, 0, 0, 0, 4096, 0u32];
    [wide, narrow.map(u32::to_ne_bytes).concat()].concat()
}

/// A regular file, padded to a multiple of 8 bytes.
fn directory_entry((index, file): (usize, &Node)) -> Vec<u8> {
    let place = numbers(&[DIRECTORY + 1 + index as u64, index as u64 + 1]);
    let kind = [file.name.len() as u32, 8].map(u32::to_ne_bytes).concat();
    let mut entry = [&place[..], &kind, &file.name].concat();
    entry.resize(entry.len().next_multiple_of(8), 0);
    entry
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

//! The queue of background work: workers send open files, and the [helper](crate::helper) receives them.
//!
//! A socket pair that keeps the limits of messages. Its buffer bounds the queue: a few hundred jobs. Only the supervisor
//! and the helper have the receiving end. A worker has the sending end, by which it can receive nothing. All workers share
//! it, so a compromised one can fill it or shut it down, and then files are served as they are before their work is done.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, sendmsg, shutdown, socketpair,
};

use crate::http::coding::Coding;
use crate::os::sys;

/// What is to be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Compute the digest of its content.
    Hash,
    /// Decode its content and compute the digest of the result, and that of the file itself.
    Decode {
        /// The content coding of the file.
        coding: Coding,
        /// The most bytes that the result may have.
        max_bytes: u64,
    },
    /// Compress its content.
    Compress {
        /// The content coding of the result.
        coding: Coding,
    },
}

/// What the first number of a message has besides the coding for [`Job::Compress`].
const COMPRESS: u8 = 0x40;

/// The length of a message: the coding, or 0 for [`Job::Hash`], and the limit of [`Job::Decode`].
const MESSAGE_BYTES: usize = 9;

/// More messages than the queue can hold.
const MAX_MESSAGES: usize = 100_000;

impl Job {
    fn encode(self) -> [u8; MESSAGE_BYTES] {
        let (first, max_bytes) = match self {
            Job::Hash => (Coding::Identity as u8, 0),
            Job::Decode { coding, max_bytes } => (coding as u8, max_bytes),
            Job::Compress { coding } => (COMPRESS | coding as u8, 0),
        };
        let mut message = [0; MESSAGE_BYTES];
        message[0] = first;
        message[1..].copy_from_slice(&max_bytes.to_le_bytes());
        message
    }

    fn decode(message: &[u8]) -> Option<Job> {
        let (&first, limit) = message.split_first()?;
        let max_bytes = u64::from_le_bytes(limit.try_into().ok()?);
        let coding = Coding::BY_SIZE.into_iter().find(|coding| *coding as u8 == first & !COMPRESS)?;
        match (coding, first & COMPRESS != 0) {
            (Coding::Identity, false) => (max_bytes == 0).then_some(Job::Hash),
            (coding, false) => Some(Job::Decode { coding, max_bytes }),
            (Coding::Identity, true) => None,
            (coding, true) => (max_bytes == 0).then_some(Job::Compress { coding }),
        }
    }
}

/// The sending end.
#[derive(Debug)]
pub struct WorkSender(OwnedFd);

/// The receiving end.
#[derive(Debug)]
pub struct WorkReceiver(OwnedFd);

/// Creates both ends.
pub fn pair() -> io::Result<(WorkSender, WorkReceiver)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (sender, receiver) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    // Nothing can be sent in the other direction then, either.
    shutdown(sender.as_raw_fd(), Shutdown::Read)?;
    Ok((WorkSender(sender), WorkReceiver(receiver)))
}

/// Returns the queue with these ends, which the previous image of this process handed over.
pub fn from_ends(sender: OwnedFd, receiver: OwnedFd) -> (WorkSender, WorkReceiver) {
    (WorkSender(sender), WorkReceiver(receiver))
}

impl WorkSender {
    /// Sends a job with its file. Never blocks. Returns false if the queue is full or has no receiver.
    pub fn send(&self, job: Job, file: BorrowedFd) -> bool {
        let message = job.encode();
        let files = [file.as_raw_fd()];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let control = [ControlMessage::ScmRights(&files)];
        sendmsg::<UnixAddr>(self.0.as_raw_fd(), &[IoSlice::new(&message)], &control, flags, None).is_ok()
    }
}

impl WorkReceiver {
    /// Returns the next job with its file; None if there is none within `timeout`. An error says that the queue was shut down:
    /// by a compromised worker, which is also the only one to send a malformed message, or because no process has the sending
    /// end.
    pub fn receive(&self, timeout: Duration) -> io::Result<Option<(Job, OwnedFd)>> {
        let begin = Instant::now();
        loop {
            match self.try_receive() {
                Err(Errno::EAGAIN) => {}
                Ok(job) => return Ok(Some(job)),
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            let left = timeout.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            let mut ready = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            // One millisecond more: a fraction of one must not become a poll without a wait.
            let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut ready, left) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Ends the queue for good: nothing can be sent any more, and what was sent is released when this process ends.
    pub fn shut_down(&self) {
        let _ = shutdown(self.0.as_raw_fd(), Shutdown::Both);
        // Its end cannot be told from an empty message.
        for _ in 0..MAX_MESSAGES {
            let files = sys::receive_descriptors(&self.0, &mut [0]).map(|(_, files)| files);
            files.into_iter().flatten().for_each(leave_open);
        }
    }

    /// Receives one message.
    fn try_receive(&self) -> nix::Result<(Job, OwnedFd)> {
        let mut message = [0; MESSAGE_BYTES + 1];
        let (length, mut files) = sys::receive_descriptors(&self.0, &mut message)?;
        // The end of file, or an empty message, with the same effect.
        if length == 0 {
            return Err(Errno::ESHUTDOWN);
        }
        match (Job::decode(&message[..length]), files.pop()) {
            (Some(job), Some(file)) if files.is_empty() => Ok((job, file)),
            (_, last) => {
                files.into_iter().chain(last).for_each(leave_open);
                Err(Errno::ESHUTDOWN)
            }
        }
    }
}

/// Leaves a descriptor of a compromised worker to the end of this process. It may be a socket that closes only after its
/// client has received everything (socket(7), SO_LINGER), but not even such a one delays the end of a process.
pub fn leave_open(descriptor: OwnedFd) {
    let _ = descriptor.into_raw_fd();
}

/// Readable while there is work.
impl AsFd for WorkSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for WorkReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::{self, File};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::MetadataExt;

    use nix::sys::socket::{recv, send, setsockopt, sockopt};

    const NOW: Duration = Duration::ZERO;

    fn file(content: &str) -> File {
        let mut path = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut path, content.as_bytes()).unwrap();
        path.reopen().unwrap()
    }

    fn send_raw(sender: &WorkSender, message: &[u8], files: &[&File]) {
        let files: Vec<_> = files.iter().map(|file| file.as_raw_fd()).collect();
        let control = [ControlMessage::ScmRights(&files)];
        let control = if files.is_empty() { &[][..] } else { &control };
        sendmsg::<UnixAddr>(sender.0.as_raw_fd(), &[IoSlice::new(message)], control, MsgFlags::MSG_DONTWAIT, None)
            .unwrap();
    }

    /// The number of descriptors of this process that are open for the same file.
    fn open_count(file: &File) -> usize {
        let inode = file.metadata().unwrap().ino();
        let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
        links.filter(|link| fs::metadata(link.path()).is_ok_and(|metadata| metadata.ino() == inode)).count()
    }

    #[test]
    fn jobs_arrive_in_their_order_with_their_files() {
        let (sender, receiver) = pair().unwrap();
        let jobs = [
            Job::Hash,
            Job::Decode { coding: Coding::Brotli, max_bytes: 0 },
            Job::Decode { coding: Coding::Zstd, max_bytes: u64::MAX },
            Job::Decode { coding: Coding::Gzip, max_bytes: 1 << 40 },
            Job::Compress { coding: Coding::Brotli },
            Job::Compress { coding: Coding::Gzip },
        ];
        for (index, job) in jobs.into_iter().enumerate() {
            assert!(sender.send(job, file(&index.to_string()).as_fd()));
        }
        for (index, job) in jobs.into_iter().enumerate() {
            let (received, descriptor) = receiver.receive(NOW).unwrap().unwrap();
            assert_eq!(received, job);
            assert_eq!(std::io::read_to_string(File::from(descriptor)).unwrap(), index.to_string());
        }
        assert!(receiver.receive(NOW).unwrap().is_none());
    }

    #[test]
    fn a_full_queue_takes_nothing_and_does_not_block() {
        let (sender, receiver) = pair().unwrap();
        let file = file("");
        let taken = (0..1_000_000).take_while(|_| sender.send(Job::Hash, file.as_fd())).count();
        assert!((10..100_000).contains(&taken), "{taken}");
        assert!(!sender.send(Job::Hash, file.as_fd()));
        assert_eq!(open_count(&file), 1, "those in the queue are not in this process");
        assert!(receiver.receive(NOW).unwrap().is_some());
        assert!(sender.send(Job::Hash, file.as_fd()));
        let received = std::iter::from_fn(|| receiver.receive(NOW).unwrap()).count();
        assert_eq!(received, taken);
        assert_eq!(open_count(&file), 1);
    }

    #[test]
    fn a_malformed_message_is_an_error() {
        let file = file("");
        let hash = Job::Hash.encode();
        let mut unknown = hash;
        unknown[0] = 77;
        let mut limited = hash;
        limited[1] = 1;
        let long = [0; 500];
        let many = vec![&file; 253];
        let malformed: [(&[u8], &[&File]); 8] = [
            (&hash, &[]),
            (&hash, &[&file, &file]),
            (&hash, &many),
            (&hash[..8], &[&file]),
            (&hash[..1], &[&file]),
            (&unknown, &[&file]),
            (&limited, &[&file]),
            (&long, &[&file]),
        ];
        for (message, files) in malformed {
            let (sender, receiver) = pair().unwrap();
            send_raw(&sender, message, files);
            let error = receiver.receive(Duration::from_secs(60)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::ESHUTDOWN as i32));
        }
    }

    /// One that closes only when its client has received everything.
    fn lingering_socket() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        while std::io::Write::write(&mut server, &[0; 65536]).is_ok() {}
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 60 };
        setsockopt(&server, sockopt::Linger, &linger).unwrap();
        (client, server)
    }

    #[test]
    fn after_its_end_a_queue_is_empty_and_takes_nothing() {
        let (sender, receiver) = pair().unwrap();
        let (_client, socket) = lingering_socket();
        send_raw(&sender, b"", &[]);
        send_raw(&sender, b"x", &[]);
        for _ in 0..3 {
            assert!(sender.send(Job::Hash, socket.as_fd()));
        }
        leave_open(socket.into());
        let begin = Instant::now();
        receiver.shut_down();
        assert!(!sender.send(Job::Hash, file("").as_fd()));
        assert_eq!(receiver.receive(NOW).unwrap_err().raw_os_error(), Some(Errno::ESHUTDOWN as i32));
        drop(receiver);
        assert!(begin.elapsed() < Duration::from_secs(30), "it waits for the client");
    }

    #[test]
    fn the_sending_end_receives_nothing() {
        let (sender, receiver) = pair().unwrap();
        let mut buffer = [0; 16];
        assert_eq!(recv(sender.0.as_raw_fd(), &mut buffer, MsgFlags::empty()), Ok(0));
        let flags = MsgFlags::MSG_NOSIGNAL;
        assert_eq!(send(receiver.0.as_raw_fd(), b"x", flags), Err(Errno::EPIPE));
        assert!(sender.send(Job::Hash, file("").as_fd()));
        assert_eq!(recv(sender.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_PEEK), Ok(0));
    }

    #[test]
    fn a_queue_that_was_shut_down_is_an_error_and_not_idle() {
        for is_empty_message in [false, true] {
            let (sender, receiver) = pair().unwrap();
            assert!(sender.send(Job::Hash, file("").as_fd()));
            if is_empty_message {
                send_raw(&sender, b"", &[]);
            } else {
                shutdown(sender.0.as_raw_fd(), Shutdown::Write).unwrap();
            }
            assert!(receiver.receive(NOW).unwrap().is_some());
            let error = receiver.receive(Duration::from_secs(60)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::ESHUTDOWN as i32));
        }
    }

    #[test]
    fn a_sender_without_a_receiver_sends_nothing() {
        let (sender, receiver) = pair().unwrap();
        drop(receiver);
        assert!(!sender.send(Job::Hash, file("").as_fd()));
    }

    #[test]
    fn the_receiver_waits_for_work() {
        let (sender, receiver) = pair().unwrap();
        let begin = Instant::now();
        assert!(receiver.receive(Duration::from_millis(20)).unwrap().is_none());
        assert!(begin.elapsed() >= Duration::from_millis(20));
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(sender.send(Job::Hash, file("").as_fd())));
            assert!(receiver.receive(Duration::from_secs(60)).unwrap().is_some());
        });
    }
}

//! The queue of background work: workers send open files, and the [helper](crate::helper) receives them.
//!
//! A socket pair that keeps the limits of messages. Its buffer bounds the queue: a few hundred jobs. Only the supervisor
//! and the helper have the receiving end. A worker has the sending end, by which it can receive nothing. All workers share
//! it, so a compromised one can fill it or shut it down, and then files are served as they are before their work is done.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
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
}

/// The length of a message: the coding, or 0 for [`Job::Hash`], and the limit.
const MESSAGE_BYTES: usize = 9;

impl Job {
    fn encode(self) -> [u8; MESSAGE_BYTES] {
        let (coding, max_bytes) = match self {
            Job::Hash => (Coding::Identity, 0),
            Job::Decode { coding, max_bytes } => (coding, max_bytes),
        };
        let mut message = [0; MESSAGE_BYTES];
        message[0] = coding as u8;
        message[1..].copy_from_slice(&max_bytes.to_le_bytes());
        message
    }

    fn decode(message: &[u8]) -> Option<Job> {
        let (&first, limit) = message.split_first()?;
        let max_bytes = u64::from_le_bytes(limit.try_into().ok()?);
        match Coding::BY_SIZE.into_iter().find(|coding| *coding as u8 == first)? {
            Coding::Identity => (max_bytes == 0).then_some(Job::Hash),
            coding => Some(Job::Decode { coding, max_bytes }),
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
    /// Returns the next job with its file; None if there is none within `timeout`. A malformed message, which only a
    /// compromised worker sends, is dropped with its descriptors. An error says that the queue was shut down: by a compromised
    /// worker, or because no process has the sending end.
    pub fn receive(&self, timeout: Duration) -> io::Result<Option<(Job, OwnedFd)>> {
        let begin = Instant::now();
        loop {
            match self.try_receive() {
                Err(Errno::EAGAIN) => {}
                Ok(Some(job)) => return Ok(Some(job)),
                Ok(None) | Err(Errno::EINTR) => continue,
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

    /// Receives one message; None if it is malformed.
    fn try_receive(&self) -> nix::Result<Option<(Job, OwnedFd)>> {
        let mut message = [0; MESSAGE_BYTES + 1];
        let (length, mut files) = sys::receive_descriptors(&self.0, &mut message)?;
        // The end of file, or an empty message, with the same effect.
        if length == 0 {
            return Err(Errno::ESHUTDOWN);
        }
        let job = Job::decode(&message[..length]);
        Ok(job.zip(files.pop()).filter(|_| files.is_empty()))
    }
}

/// Readable while there is work.
impl AsFd for WorkReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt;

    use nix::sys::socket::{recv, send};

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
    fn malformed_messages_are_dropped_with_their_files() {
        let (sender, receiver) = pair().unwrap();
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
            send_raw(&sender, message, files);
        }
        assert!(sender.send(Job::Decode { coding: Coding::Gzip, max_bytes: 5 }, file.as_fd()));
        let (job, received) = receiver.receive(NOW).unwrap().unwrap();
        assert_eq!(job, Job::Decode { coding: Coding::Gzip, max_bytes: 5 });
        assert_eq!(open_count(&file), 2);
        drop(received);
        assert!(receiver.receive(NOW).unwrap().is_none());
        assert_eq!(open_count(&file), 1);
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

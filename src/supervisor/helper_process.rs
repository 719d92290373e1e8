//! The [helper](crate::helper) process: started when there is work for it, and not while it can end at any time. No request
//! depends on it, so neither does the watchdog.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::{Pid, getpid};

use super::Supervisor;
use super::backoff::Backoff;
use crate::helper::{self, Results};
use crate::ipc::compressed_store::CompressedStore;
use crate::ipc::digests::DigestTable;
use crate::ipc::handover::HelperHandover;
use crate::ipc::work_queue::{self, WorkReceiver};
use crate::log::catalog;
use crate::os::sys;
use crate::site::{CompressedAccess, HelperAccess};

/// The memory for compressed content, of all processes.
#[derive(Debug, Clone, Copy, Default)]
pub struct CompressCache {
    /// The limit of `--compress-cache`; 0 for none.
    pub bytes: usize,
    /// The number of workers.
    pub workers: usize,
}

impl CompressCache {
    /// Half of it is the store, which all workers share.
    fn store_bytes(self) -> usize {
        self.bytes / 2
    }

    /// The other half is for what workers copy from there.
    fn copy_bytes_per_worker(self) -> usize {
        self.bytes / 2 / self.workers.max(1)
    }
}

/// The helper, or when it may be started.
#[derive(Debug)]
pub struct HelperProcess {
    /// What it works with; none in a worker that was just forked.
    resources: Option<Resources>,
    child: Option<Child>,
    backoff: Backoff,
}

#[derive(Debug)]
struct Resources {
    /// None after a worker has shut it down: it would keep the files open that are still in it.
    queue: Option<WorkReceiver>,
    digests: DigestTable,
    /// None if nothing is compressed.
    store: Option<CompressedStore>,
}

#[derive(Debug)]
struct Child {
    pid: Pid,
    started_ms: u64,
    /// Whether it was killed on purpose.
    is_ending: bool,
}

impl HelperProcess {
    /// Takes over the queue of the previous image, and its memory if it has the same layout. `cache` is the memory for compressed
    /// content. Returns as well what the workers get.
    pub fn new(previous: HelperHandover, cache: CompressCache) -> io::Result<(Self, HelperAccess)> {
        let HelperHandover { digests, compressed, queue_sender, queue_receiver } = previous;
        let (sender, queue) = match (queue_sender, queue_receiver) {
            (Some(sender), Some(receiver)) => work_queue::from_ends(sender, receiver),
            _ => work_queue::pair()?,
        };
        let digests = digests.and_then(|memory| DigestTable::from_memory(memory).ok());
        let digests = digests.map_or_else(DigestTable::new, Ok)?;
        let store = (cache.bytes > 0).then(|| CompressedStore::new(compressed, cache.store_bytes())).transpose()?;
        let compressed = store.as_ref().map(|store| {
            store.reader().map(|reader| CompressedAccess { reader, copy_bytes: cache.copy_bytes_per_worker() as u64 })
        });
        let access = HelperAccess { queue: sender, digests: digests.reader()?, compressed: compressed.transpose()? };
        let resources = Some(Resources { queue: Some(queue), digests, store });
        Ok((HelperProcess { resources, child: None, backoff: Backoff::new() }, access))
    }

    /// Closes what a forked worker inherits and must not have: it could read the files of others, and write the results.
    pub fn close_inherited(&mut self) {
        self.resources = None;
    }

    /// Returns the memory of the digest table, to hand it over.
    pub fn digests(&self) -> Option<BorrowedFd<'_>> {
        self.resources.as_ref().map(|resources| resources.digests.memory())
    }

    /// Returns the memory of the store of compressed content, to hand it over.
    pub fn compressed(&self) -> Option<BorrowedFd<'_>> {
        self.resources.as_ref()?.store.as_ref().map(CompressedStore::memory)
    }

    /// Returns the receiving end of the queue, to hand it over. None after a worker has shut it down: the next image creates
    /// another one.
    pub fn work_receiver(&self) -> Option<BorrowedFd<'_>> {
        self.queue().map(WorkReceiver::as_fd)
    }

    /// Returns what becomes readable when there is work; none while that would have no effect.
    pub fn poll_source(&self, now_ms: u64) -> Option<BorrowedFd<'_>> {
        let is_startable = self.child.is_none() && now_ms >= self.backoff.due_ms();
        self.queue().filter(|_| is_startable).map(WorkReceiver::as_fd)
    }

    /// Returns when the queue is to be polled again, if a delay prevents that.
    pub fn next_due_ms(&self, now_ms: u64) -> u64 {
        let is_delayed = self.child.is_none() && self.queue().is_some() && now_ms < self.backoff.due_ms();
        if is_delayed { self.backoff.due_ms() } else { u64::MAX }
    }

    fn queue(&self) -> Option<&WorkReceiver> {
        self.resources.as_ref()?.queue.as_ref()
    }

    /// Kills the helper: it has no state, and the table stays valid. It is not started again at once.
    pub fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            child.is_ending = true;
            // One that has just ended is reaped later.
            let _ = kill(child.pid, Signal::SIGKILL);
        }
    }

    /// Records the end of the helper. Returns whether `pid` was the helper.
    pub fn end(&mut self, pid: Pid, end: WaitStatus, now_ms: u64) -> bool {
        let Some(child) = self.child.take_if(|child| child.pid == pid) else { return false };
        let how = match end {
            _ if child.is_ending => return true,
            WaitStatus::Exited(_, helper::EXIT_IDLE) => return true,
            WaitStatus::Exited(_, helper::EXIT_SHUT_DOWN) => {
                if let Some(resources) = &mut self.resources {
                    resources.queue = None;
                }
                tracing::error!(
                    "A worker has shut down the queue of the helper process, which only a compromised worker does: until a \
                     reload, no further file is hashed."
                );
                return true;
            }
            WaitStatus::Exited(_, code) => format!("exited with code {code}"),
            WaitStatus::Signaled(_, signal, _) => format!("was killed by {signal}"),
            _ => "ended".to_string(),
        };
        let lived_ms = now_ms - child.started_ms;
        let pause_ms = self.backoff.delay(now_ms, lived_ms);
        tracing::error!(
            message_id = catalog::HELPER_ENDED,
            helper_pid = pid.as_raw(),
            how,
            lived_ms,
            pause_ms,
            "The helper process (pid {pid}) {how}; starting another in {pause_ms} ms at the earliest. Requests are not affected."
        );
        true
    }
}

impl Supervisor {
    /// Starts the helper if there is work for it.
    pub(super) fn start_helper(&mut self, now_ms: u64) {
        let Some(queue) = self.helper.poll_source(now_ms) else { return };
        if poll(&mut [PollFd::new(queue, PollFlags::POLLIN)], PollTimeout::ZERO) != Ok(1) {
            return;
        }
        let supervisor = getpid();
        let forked = sys::fork(|| {
            let mut shared = self.workers.take_shared();
            // All that owns descriptors and is dropped: the helper closes what it does not know (sys::close_others).
            shared.helper = None;
            shared.client_limit = None;
            (shared.keys, shared.ticket_keys) = (None, None);
            self.ticket_keys.close_inherited();
            self.logins.close_inherited();
            shared.board.keep_only_helper();
            let Some(Resources { queue: Some(queue), digests, store }) = &self.helper.resources else {
                return helper::EXIT_IDLE;
            };
            helper::run(supervisor, queue, Results { digests, store: store.as_ref() }, shared.board.helper())
        });
        match forked {
            Ok(pid) => self.helper.child = Some(Child { pid, started_ms: now_ms, is_ending: false }),
            Err(error) => {
                tracing::error!("Cannot start the helper process ({error}); retrying.");
                self.helper.backoff.delay(now_ms, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::work_queue::Job;

    fn running(pid: i32) -> HelperProcess {
        let (mut helper, _) = HelperProcess::new(HelperHandover::default(), CompressCache::default()).unwrap();
        helper.child = Some(Child { pid: Pid::from_raw(pid), started_ms: 1_000, is_ending: false });
        helper
    }

    #[test]
    fn an_abnormal_end_delays_the_next_start_and_an_idle_one_does_not() {
        let pid = Pid::from_raw(77);
        for (end, due_ms) in [
            (WaitStatus::Exited(pid, helper::EXIT_IDLE), 0),
            (WaitStatus::Exited(pid, sys::EXIT_PANIC), 2_100),
            (WaitStatus::Signaled(pid, Signal::SIGSEGV, false), 2_100),
        ] {
            let mut helper = running(77);
            assert!(helper.poll_source(2_000).is_none(), "it reads the queue itself");
            assert!(!helper.end(Pid::from_raw(78), end, 2_000));
            assert!(helper.end(pid, end, 2_000));
            assert_eq!(helper.backoff.due_ms(), due_ms, "{end:?}");
            assert_eq!(helper.poll_source(2_000).is_some(), due_ms == 0);
            assert_eq!(helper.next_due_ms(2_000), if due_ms == 0 { u64::MAX } else { due_ms });
            assert!(helper.poll_source(2_100).is_some());
            assert_eq!(helper.next_due_ms(2_100), u64::MAX);
        }
    }

    #[test]
    fn after_a_shutdown_of_the_queue_it_is_not_started_again() {
        let mut helper = running(77);
        let pid = Pid::from_raw(77);
        assert!(helper.end(pid, WaitStatus::Exited(pid, helper::EXIT_SHUT_DOWN), 2_000));
        assert!(helper.poll_source(u64::MAX).is_none());
        assert_eq!(helper.next_due_ms(0), u64::MAX);
        assert!(helper.digests().is_some(), "what is known stays known");
    }

    /// A queue that nobody reads would keep the files in it open, those that were removed included.
    #[test]
    fn after_a_shutdown_of_the_queue_no_file_is_sent_or_kept_open() {
        let (mut helper, access) = HelperProcess::new(HelperHandover::default(), CompressCache::default()).unwrap();
        let (mut reader, file) = io::pipe().unwrap();
        assert!(access.queue.send(Job::Hash, file.as_fd()));
        drop(file);
        helper.child = Some(Child { pid: Pid::from_raw(77), started_ms: 1_000, is_ending: false });
        let pid = Pid::from_raw(77);
        helper.end(pid, WaitStatus::Exited(pid, helper::EXIT_SHUT_DOWN), 2_000);
        // The pipe ends when no process has its other end; one that another test has just forked may have it for a moment.
        let is_closed = poll(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], 10_000_u16) == Ok(1);
        assert!(is_closed, "the queue keeps it open");
        assert_eq!(io::Read::read(&mut reader, &mut [0]).unwrap(), 0);
        assert!(!access.queue.send(Job::Hash, io::stdin().as_fd()));
    }

    #[test]
    fn a_table_of_another_layout_is_replaced() {
        let of = |memory| HelperHandover { digests: Some(memory), ..HelperHandover::default() };
        let (first, _) = HelperProcess::new(HelperHandover::default(), CompressCache::default()).unwrap();
        let same = first.digests().unwrap().try_clone_to_owned().unwrap();
        let inode = |helper: &HelperProcess| nix::sys::stat::fstat(helper.digests().unwrap()).unwrap().st_ino;
        assert_eq!(inode(&HelperProcess::new(of(same), CompressCache::default()).unwrap().0), inode(&first));
        let other = sys::counters_memory(8).unwrap();
        assert_ne!(inode(&HelperProcess::new(of(other), CompressCache::default()).unwrap().0), inode(&first));
    }

    /// Old workers still send to it, and nothing that is in it is closed.
    #[test]
    fn the_next_image_has_the_same_queue() {
        let (first, access) = HelperProcess::new(HelperHandover::default(), CompressCache::default()).unwrap();
        let same = HelperHandover {
            queue_sender: access.queue.as_fd().try_clone_to_owned().ok(),
            queue_receiver: first.work_receiver().unwrap().try_clone_to_owned().ok(),
            ..HelperHandover::default()
        };
        drop(first);
        let (next, _) = HelperProcess::new(same, CompressCache::default()).unwrap();
        let has_work = |next: &HelperProcess| {
            poll(&mut [PollFd::new(next.poll_source(0).unwrap(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
        };
        assert!(!has_work(&next));
        assert!(access.queue.send(Job::Hash, tempfile::tempfile().unwrap().as_fd()));
        assert!(has_work(&next));
    }
}

//! Taking over connections of HTTP/2 whose thread is busy with a task, such as reading from a slow disk.
//!
//! A thread that does a task lends the connection to the table of [parked connections](super::parked). If it has not taken it
//! back after some milliseconds, the main loop takes the connection over and parks it: any thread can drive it on, and gets the
//! result of the task from the connection's deliveries. So a stream whose file does not respond delays no other one.
//!
//! While tasks are done, the main loop checks every two milliseconds; a notification begins that.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Release, Ordering::SeqCst};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{Worker, park};
use crate::connection::Connection;
use crate::ipc::scoreboard::Counter;

/// The interval of checks, in milliseconds. A check costs some 3 microseconds.
pub const INTERVAL_MS: u16 = 2;

/// The number of checks without a task after which they end. To begin them again costs as much as some checks.
const IDLE_CHECKS: u32 = 32;

/// The loan of a thread: the descriptor of its connection, and a number that distinguishes the loans of the thread. 0 if it does
/// no task. In a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Loan(AtomicU64);

/// The loans of all threads of a worker.
#[derive(Debug)]
pub struct Loans {
    of_threads: Box<[Loan]>,
    is_watched: AtomicBool,
    notification: EventFd,
}

impl Loans {
    /// Creates the loans of `max_threads` threads.
    pub fn new(max_threads: usize) -> nix::Result<Self> {
        Ok(Loans {
            of_threads: (0..max_threads).map(|_| Loan::default()).collect(),
            is_watched: AtomicBool::new(false),
            notification: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
        })
    }

    /// Begins a loan of the thread in `slot`, for the connection with descriptor `fd`. Returns its number.
    fn begin(&self, slot: usize, fd: usize) -> Option<u64> {
        let Loan(loan) = self.of_threads.get(slot)?;
        let count = (loan.load(SeqCst) >> 33).wrapping_add(1);
        let number = count << 33 | 1 << 32 | fd as u64;
        loan.store(number, SeqCst);
        if !self.is_watched.load(SeqCst) && !self.is_watched.swap(true, SeqCst) {
            // The counter of the eventfd does not overflow in practice.
            let _ = self.notification.write(1);
        }
        Some(number)
    }

    /// Ends the loan of the thread in `slot`.
    fn end(&self, slot: usize, number: u64) {
        if let Some(Loan(loan)) = self.of_threads.get(slot) {
            // The main loop may see it later: it does not get a connection by a number that is not that of a loan.
            loan.store(number & !(1 << 32), Release);
        }
    }

    /// Returns the numbers of the loans that have not ended, with the slots of their threads.
    fn current(&self) -> impl Iterator<Item = (usize, u64)> {
        let numbers = self.of_threads.iter().map(|Loan(loan)| loan.load(SeqCst));
        numbers.enumerate().filter(|(_, number)| number & 1 << 32 != 0)
    }
}

/// Readable when the checks have to begin.
impl AsFd for Loans {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notification.as_fd()
    }
}

/// The checks of the main loop.
#[derive(Debug, Default)]
pub struct TakeoverWatch {
    is_active: bool,
    idle_checks: u32,
    /// The loans of the last check.
    seen: Vec<(usize, u64)>,
}

impl TakeoverWatch {
    /// Returns the milliseconds until the next check; none if no task is done.
    pub fn interval_ms(&self) -> Option<u16> {
        self.is_active.then_some(INTERVAL_MS)
    }

    /// Begins the checks, after the notification.
    pub fn begin(&mut self, loans: &Loans) {
        let _ = loans.notification.read();
        *self = TakeoverWatch { is_active: true, ..TakeoverWatch::default() };
    }

    /// Takes over the connections that were lent at the last check as well.
    pub fn check(&mut self, worker: &Worker) {
        let loans: Vec<_> = worker.loans.current().collect();
        for loan in loans.iter().filter(|loan| self.seen.contains(loan)) {
            take_over(worker, loan.1);
        }
        self.idle_checks = if loans.is_empty() { self.idle_checks + 1 } else { 0 };
        self.seen = loans;
        if self.idle_checks >= IDLE_CHECKS {
            worker.loans.is_watched.store(false, SeqCst);
            // A thread that has begun a loan before saw that it was watched.
            self.is_active = worker.loans.current().next().is_some() && !worker.loans.is_watched.swap(true, SeqCst);
        }
    }
}

/// Makes another thread drive a lent connection.
fn take_over(worker: &Worker, number: u64) {
    let Some(mut connection) = worker.parked.take_lent((number & 0xffff_ffff) as usize, number) else { return };
    connection.count_task_away();
    worker.service.counters.add(Counter::Http2TakenOver, 1);
    park::rearm(worker, connection);
}

/// A connection that is lent while its thread does a task.
#[derive(Debug)]
pub struct Lent<'w> {
    worker: &'w Worker,
    slot: usize,
    fd: usize,
    number: u64,
}

impl<'w> Lent<'w> {
    /// Lends the connection of the thread in `slot`. Returns it if that has no loan.
    pub fn new(worker: &'w Worker, slot: Option<usize>, connection: Box<Connection>) -> Result<Self, Box<Connection>> {
        use std::os::fd::AsRawFd;
        let fd = connection.as_raw_fd() as usize;
        let Some((slot, number)) = slot.and_then(|slot| Some((slot, worker.loans.begin(slot, fd)?))) else {
            return Err(connection);
        };
        worker.parked.lend(connection, number);
        Ok(Lent { worker, slot, fd, number })
    }

    /// Takes the connection back; none if another thread drives it.
    pub fn take_back(self) -> Option<Box<Connection>> {
        self.worker.parked.take_lent(self.fd, self.number)
    }
}

/// The loan ends in any case, also after a panic: then another thread drives the connection.
impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.worker.loans.end(self.slot, self.number);
        if std::thread::panicking() {
            take_over(self.worker, self.number);
        }
    }
}

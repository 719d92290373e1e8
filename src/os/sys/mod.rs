//! System calls that nix omits or leaves unsafe. This is the only module with `unsafe`.

#![allow(unsafe_code)]

mod capabilities;
mod memory;

use std::fs;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrLike, SockaddrStorage, recvmsg};
use nix::sys::stat::{FileStat, SFlag};
use nix::sys::uio::pread;
use nix::unistd::{ForkResult, Pid};

pub use capabilities::keep_reading_only;
pub use memory::{OWN_DESCRIPTORS, ReadableCounters, WritableCounters, counters_memory, sealed_memory};

/// The exit status of a child that panicked.
pub const EXIT_PANIC: i32 = 101;

/// Forks; the child runs `child` and exits with the status that it returns.
///
/// Only a process of one thread may call this: in a child of a process with more, a lock that another thread held stays
/// locked for ever. The child cannot return or unwind into the caller's code.
pub fn fork(child: impl FnOnce() -> i32) -> io::Result<Pid> {
    let threads = fs::read_dir("/proc/self/task").map(Iterator::count);
    assert!(threads.is_err() || threads.is_ok_and(|n| n == 1), "fork in a process of several threads");

    // SAFETY: this process has one thread (checked above where /proc is there), so the child may use anything that the
    // parent may.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let status = catch_unwind(AssertUnwindSafe(child)).unwrap_or(EXIT_PANIC);
            exit_now(status)
        }
    }
}

/// Sets the effect of a signal, by its number: the default, or none. A number that is no signal has no effect.
pub fn set_signal(number: libc::c_int, is_ignored: bool) {
    let action = if is_ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: neither action is a function of this program that could run at a bad moment.
    unsafe { libc::signal(number, action) };
}

/// Ends this process without running destructors or exit handlers.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit takes any status and does not return.
    unsafe { libc::_exit(status) }
}

/// Returns the type of a file, which shares a number with its permissions (inode(7)).
pub fn file_type(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// Takes over a descriptor that the previous image of this process has left open across execve(2). It is closed on the
/// next execve(2).
pub fn take_descriptor(number: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: fcntl with this command and an int changes a flag of the descriptor, if there is one of that number.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, as was just checked, and nothing else in this image owns it: it was opened by the previous one.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes a descriptor of this process refer to /dev/null permanently. Other processes keep theirs.
pub fn blank(descriptor: &impl AsFd) -> io::Result<()> {
    let null = fs::File::open("/dev/null")?;
    // SAFETY: the number is that of an open descriptor, and its owner keeps an open descriptor.
    let result = unsafe { libc::dup3(null.as_raw_fd(), descriptor.as_fd().as_raw_fd(), libc::O_CLOEXEC) };
    Ok(Errno::result(result).map(drop)?)
}

/// Accepts a connection, non-blocking and closed on exec. Returns it with the address of the client.
pub fn accept(listener: &impl AsFd) -> nix::Result<(OwnedFd, Option<SockaddrStorage>)> {
    let listener = listener.as_fd().as_raw_fd();
    // SAFETY: for an address of any family, all bits zero are one.
    let mut address: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&address) as libc::socklen_t;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes an address of at most `length` bytes to where there are as many.
    let fd = Errno::result(unsafe { libc::accept4(listener, (&raw mut address).cast(), &raw mut length, flags) })?;
    // SAFETY: accept4 has just made this descriptor, and nothing else uses it.
    let connection = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: it points to an address of that length, which accept4 has written.
    let address = unsafe { SockaddrStorage::from_raw((&raw const address).cast(), Some(length)) };
    Ok((connection, address))
}

/// Closes every descriptor from 3 on but `kept`. For a process that was forked and ends by [`fork`]: values that own
/// descriptors stay, and must be neither used nor dropped.
pub fn close_others(kept: &[RawFd]) -> io::Result<()> {
    let mut kept: Vec<RawFd> = kept.iter().copied().filter(|&number| number >= 3).collect();
    kept.sort_unstable();
    let mut first = 3;
    for &number in &kept {
        if number > first {
            close_between(first, number - 1)?;
        }
        first = number + 1;
    }
    close_between(first, RawFd::MAX)
}

/// Closes the descriptors from `first` to `last`.
fn close_between(first: RawFd, last: RawFd) -> io::Result<()> {
    // glibc has a function for it since 2.34.
    //
    // SAFETY: the caller of `close_others` does not use these descriptors any more.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first as libc::c_uint, last as libc::c_uint, 0) };
    match Errno::result(result) {
        Ok(_) => Ok(()),
        // Before Linux 5.9, or not permitted.
        Err(_) => close_listed(first..=last),
    }
}

/// The same by the list of open descriptors.
fn close_listed(range: std::ops::RangeInclusive<RawFd>) -> io::Result<()> {
    let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok();
    let numbers: Vec<RawFd> = fs::read_dir("/proc/self/fd")?.filter_map(number).collect();
    for number in numbers.into_iter().filter(|number| range.contains(number)) {
        // The directory itself is closed already. SAFETY: as above.
        unsafe { libc::close(number) };
    }
    Ok(())
}

/// setpriority(2), ioprio_set(2): raises the nice value of this process, and lets its disk accesses wait for those of others.
pub fn set_low_priority(nice: libc::c_int) -> nix::Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    const IOPRIO_CLASS_IDLE: libc::c_int = 3 << 13;
    // SAFETY: it takes three numbers and changes this process only.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })?;
    // SAFETY: the same.
    Errno::result(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE) })?;
    Ok(())
}

/// preadv2(2): reads at `offset`, with flags (RWF_*). Without flags, it is pread(2), which every kernel has.
pub fn read_at(file: &impl AsFd, buffer: &mut [u8], offset: u64, flags: libc::c_int) -> nix::Result<usize> {
    if flags == 0 {
        return pread(file.as_fd(), buffer, offset as libc::off_t);
    }
    let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let file = file.as_fd().as_raw_fd();
    // glibc has a function for it since 2.26. The upper half of the offset is used on machines of 32 bits only.
    //
    // SAFETY: the kernel writes at most the length of the buffer, which this function has borrowed for writing.
    let result =
        unsafe { libc::syscall(libc::SYS_preadv2, file, &raw const part, 1, offset as libc::c_long, 0, flags) };
    Errno::result(result).map(|length| length as usize)
}

/// unix(7), SCM_MAX_FD: the most descriptors that one message can carry.
const MAX_DESCRIPTORS: usize = 253;

/// Receives a message of a socket with the descriptors that it carries, each closed on exec. A message that is longer than
/// `message` is cut. Returns its length and the descriptors.
pub fn receive_descriptors(socket: &impl AsFd, message: &mut [u8]) -> nix::Result<(usize, Vec<OwnedFd>)> {
    // Room for as many as one message can carry: `cmsgs` fails where one does not fit, and leaves the others open.
    let mut control = nix::cmsg_space!([RawFd; MAX_DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(message)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let received = recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let numbers = received.cmsgs()?.filter_map(|part| match part {
        ControlMessageOwned::ScmRights(numbers) => Some(numbers),
        _ => None,
    });
    // SAFETY: the kernel has just made these descriptors for this call, and nothing else uses them.
    let descriptors = numbers.flatten().map(|number| unsafe { OwnedFd::from_raw_fd(number) });
    Ok((received.bytes, descriptors.collect()))
}

/// socket(7), SO_SNDTIMEO: the longest time that sending may block.
pub fn set_send_timeout(socket: RawFd, timeout: Duration) -> nix::Result<()> {
    let (tv_sec, tv_usec) = (timeout.as_secs() as libc::time_t, timeout.subsec_micros().into());
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDTIMEO, libc::timeval { tv_sec, tv_usec })
}

/// tcp(7), TCP_DEFER_ACCEPT: the listener reports a connection only once data has arrived, or after this many seconds.
pub fn set_defer_accept(listener: &impl AsFd, seconds: libc::c_int) -> nix::Result<()> {
    set_option(listener.as_fd().as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, seconds)
}

/// tcp(7), TCP_CORK: only full packets are sent until it is removed.
pub fn set_cork(socket: &impl AsFd, is_in: bool) -> nix::Result<()> {
    set_option(socket.as_fd().as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_CORK, libc::c_int::from(is_in))
}

/// tcp(7), TCP_NOTSENT_LOWAT: the socket is writable only while fewer bytes than these wait to be sent.
pub fn set_max_unsent(socket: &impl AsFd, bytes: libc::c_int) -> nix::Result<()> {
    set_option(socket.as_fd().as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, bytes)
}

fn set_option<T>(socket: RawFd, level: libc::c_int, name: libc::c_int, value: T) -> nix::Result<()> {
    // SAFETY: the callers above give each option a value of its own type, and its address and length are those of `value`.
    let result =
        unsafe { libc::setsockopt(socket, level, name, (&raw const value).cast(), size_of::<T>() as libc::socklen_t) };
    Errno::result(result).map(drop)
}

/// getrandom(2): fills `bytes` with random numbers.
pub fn fill_random(mut bytes: &mut [u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        // glibc has a function for it since 2.25; this must run with 2.23.
        //
        // SAFETY: the call writes at most as many bytes as there are.
        let result = unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), 0) };
        match Errno::result(result) {
            Ok(length) => bytes = &mut bytes[length as usize..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// tcp(7), unix(7), SIOCOUTQ: returns the bytes that the client has not acknowledged.
pub fn bytes_in_flight(socket: &impl AsFd) -> nix::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: this request, which is the same number as TIOCOUTQ, writes one int to the address that it is given.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    Errno::result(result)?;
    Ok(count.unsigned_abs() as usize)
}

/// pread(2): appends up to `length` bytes of a file, from `offset`, to `bytes`, without writing zeros there first. Returns the
/// number of bytes that were read.
pub fn pread_append(file: &impl AsFd, bytes: &mut Vec<u8>, length: usize, offset: u64) -> nix::Result<usize> {
    bytes.reserve(length);
    let spare = &mut bytes.spare_capacity_mut()[..length];
    // SAFETY: the memory is writable and at least `length` bytes long.
    let read =
        unsafe { libc::pread(file.as_fd().as_raw_fd(), spare.as_mut_ptr().cast(), length, offset as libc::off_t) };
    let read = Errno::result(read)? as usize;
    // SAFETY: the kernel has written so many bytes after the present ones, into the reserved capacity.
    unsafe { bytes.set_len(bytes.len() + read) };
    Ok(read)
}

/// preadv(2): appends, for each of `parts`, its head and so many bytes of a file from `offset` on. Appends nothing, and returns false,
/// if the file has fewer bytes or the call does not return all of them.
pub fn preadv_append<const N: usize>(
    file: &impl AsFd,
    bytes: &mut Vec<u8>,
    parts: impl Iterator<Item = ([u8; N], usize)> + Clone,
    offset: u64,
) -> nix::Result<bool> {
    let total = parts.clone().map(|(_, length)| N + length).sum();
    bytes.reserve(total);
    let mut spare = &mut bytes.spare_capacity_mut()[..total];
    let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MAX_PARTS];
    let (mut count, mut expected) = (0, 0);
    for ((head, length), vector) in parts.zip(&mut vectors) {
        let (start, rest) = spare.split_at_mut(N);
        start.iter_mut().zip(head).for_each(|(place, byte)| _ = place.write(byte));
        let (content, rest) = rest.split_at_mut(length);
        *vector = libc::iovec { iov_base: content.as_mut_ptr().cast(), iov_len: length };
        (spare, count, expected) = (rest, count + 1, expected + length);
    }
    // SAFETY: each vector is writable memory of its length.
    let read = unsafe { libc::preadv(file.as_fd().as_raw_fd(), vectors.as_ptr(), count, offset as libc::off_t) };
    if Errno::result(read)? as usize != expected || !spare.is_empty() {
        return Ok(false);
    }
    // SAFETY: the heads were written above, and the kernel has written all that is between and after them.
    unsafe { bytes.set_len(bytes.len() + total) };
    Ok(true)
}

/// The maximum number of parts of [`preadv_append`].
const MAX_PARTS: usize = 8;

/// The size from which an allocation is a mapping of its own, which free(3) returns to the system, in bytes.
const MMAP_THRESHOLD: i32 = 128 * 1024;

/// The free memory at the end of an arena from which free(3) returns it, in bytes.
const TRIM_THRESHOLD: i32 = 256 * 1024;

/// mallopt(3): keeps little free memory. By default, glibc raises both limits with each large allocation that is freed, up to 32 and
/// 64 MiB, and [`trim_memory`] does not return the end of an arena that belongs to a thread.
pub fn keep_little_free_memory() {
    // SAFETY: it takes any number. It is called before the process has a second thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD);
    }
}

/// malloc_trim(3): returns free memory in all arenas to the system. free(3) returns only the end of an arena, which one
/// long-lived connection can prevent.
pub fn trim_memory() {
    // SAFETY: it accepts any number, and locks each arena that it accesses.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn parts_of_a_file_are_read_between_their_heads_or_not_at_all() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789abcdef").unwrap();
        let append = |lengths: &[usize], offset| {
            let mut bytes = b">".to_vec();
            let parts = lengths.iter().map(|&length| ([b'<', b'0' + length as u8, b'>'], length));
            let is_complete = preadv_append(&file, &mut bytes, parts, offset).unwrap();
            (is_complete, String::from_utf8(bytes).unwrap())
        };
        assert_eq!(append(&[4, 2], 3), (true, "><4>3456<2>78".into()));
        assert_eq!(append(&[4, 9], 3), (true, "><4>3456<9>789abcdef".into()));
        assert_eq!(append(&[4, 9], 4), (false, ">".into()), "the file ends before");
        assert!(append(&[1; MAX_PARTS], 0).0);
        assert_eq!(append(&[1; MAX_PARTS + 1], 0), (false, ">".into()), "more parts than a call has");
    }
}

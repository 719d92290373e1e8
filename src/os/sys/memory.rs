//! Memory that processes share: files in memory (memfd_create(2)) and mappings of them.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, munmap};
use nix::sys::stat::fstat;
use nix::unistd::{ftruncate, write};

/// Creates memory of `count` zeroes. Processes with its descriptor can map it and not change its size.
pub fn counters_memory(count: usize) -> io::Result<OwnedFd> {
    let memory = memory(c"counters")?;
    ftruncate(&memory, (count * size_of::<AtomicU64>()) as i64)?;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL))?;
    Ok(memory)
}

/// Creates a file in memory (memfd_create(2)) that cannot be executed and can be sealed.
fn memory(name: &CStr) -> nix::Result<OwnedFd> {
    let create = |flags: libc::c_uint| {
        // glibc has a function for it since 2.27; this must run with 2.23.
        //
        // SAFETY: the name is a string that ends with a zero, and outlives the call.
        Errno::result(unsafe { libc::syscall(libc::SYS_memfd_create, name.as_ptr(), flags) })
    };
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    let fd = match create(flags | libc::MFD_NOEXEC_SEAL) {
        // Before Linux 6.3.
        Err(Errno::EINVAL) => create(flags)?,
        result => result?,
    };
    // SAFETY: the call has just created this descriptor, and nothing else uses it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Creates a file in memory with `content`, which cannot be changed.
pub fn sealed_memory(name: &CStr, mut content: &[u8]) -> nix::Result<OwnedFd> {
    let memory = memory(name)?;
    while !content.is_empty() {
        match write(&memory, content) {
            Ok(length) => content = &content[length..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(memory)
}

/// A mapping of memory of [`counters_memory`]; unmapped when dropped.
#[derive(Debug)]
struct Mapping {
    start: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: it refers to memory of its own, which any thread may use: all of it is atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(memory: impl AsFd, count: usize, protection: ProtFlags) -> io::Result<Self> {
        let seals = SealFlag::from_bits_retain(fcntl(&memory, FcntlArg::F_GET_SEALS)?);
        let length = NonZeroUsize::new(count * size_of::<AtomicU64>()).ok_or(Errno::EINVAL)?;
        // Memory that could shrink, or is too short, would end this process when it is read.
        if !seals.contains(SealFlag::F_SEAL_SHRINK) || (fstat(&memory)?.st_size as usize) < length.get() {
            return Err(Errno::EINVAL.into());
        }
        // SAFETY: a new mapping overlaps nothing.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, memory, 0)? };
        Ok(Mapping { start: start.cast(), count })
    }

    /// madvise(2), MADV_DONTDUMP: leaves the memory out of core dumps of this process and of those that it forks.
    fn exclude_from_dumps(&self) -> io::Result<()> {
        let length = self.count * size_of::<AtomicU64>();
        // SAFETY: the range is that of this mapping, and the advice changes none of its content.
        unsafe { madvise(self.start.cast(), length, MmapAdvise::MADV_DONTDUMP)? };
        Ok(())
    }

    fn counters(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, as long as `count` atomics, for which every bit pattern is a value, and stays
        // so until this is dropped: the memory cannot shrink, which was seen when it was mapped.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and whatever borrowed from it is gone.
        let _ = unsafe { munmap(self.start.cast(), self.count * size_of::<AtomicU64>()) };
    }
}

/// Counters that this process may write.
#[derive(Debug)]
pub struct WritableCounters(Mapping);

impl WritableCounters {
    /// Maps the first `count` counters of `memory`, which comes from [`counters_memory`].
    pub fn map(memory: &OwnedFd, count: usize) -> io::Result<Self> {
        Mapping::new(memory, count, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE).map(WritableCounters)
    }

    /// Leaves them out of core dumps.
    pub fn exclude_from_dumps(&self) -> io::Result<()> {
        self.0.exclude_from_dumps()
    }

    /// mlock(2): keeps the memory out of swap space while this process maps it, also for the others that do.
    pub fn lock(&self) -> io::Result<()> {
        let length = self.0.count * size_of::<AtomicU64>();
        // SAFETY: the range is that of this mapping, whose content stays as it is.
        unsafe { mlock(self.0.start.cast(), length)? };
        Ok(())
    }
}

impl Deref for WritableCounters {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        self.0.counters()
    }
}

/// The directory of the descriptors of this process (proc(5)).
pub const OWN_DESCRIPTORS: &str = "/proc/self/fd";

/// Counters that this process can only read, and cannot make writable.
#[derive(Debug)]
pub struct ReadableCounters(Mapping);

impl ReadableCounters {
    /// Maps the first `count` counters of `memory`, which comes from [`counters_memory`].
    pub fn map(memory: &OwnedFd, count: usize) -> io::Result<Self> {
        // Without /proc, the pages are read-only until mprotect(2) changes that.
        Self::map_for_ever(memory, count, OWN_DESCRIPTORS)
            .or_else(|_| Mapping::new(memory, count, ProtFlags::PROT_READ).map(ReadableCounters))
    }

    /// The same, but fails if the mapping could be made writable: if there is no `descriptors`, the directory of the
    /// descriptors of this process in /proc.
    pub fn map_for_ever(memory: &OwnedFd, count: usize, descriptors: &str) -> io::Result<Self> {
        // mprotect(2), EACCES: a mapping of a descriptor that is open for reading only stays read-only.
        let read_only = fs::File::open(format!("{descriptors}/{}", memory.as_raw_fd()))?;
        Mapping::new(read_only, count, ProtFlags::PROT_READ).map(ReadableCounters)
    }

    /// Leaves them out of core dumps.
    pub fn exclude_from_dumps(&self) -> io::Result<()> {
        self.0.exclude_from_dumps()
    }

    /// Returns the current value of one.
    pub fn get(&self, index: usize) -> u64 {
        // Of atomic accesses, only this one is permitted on read-only memory (std::sync::atomic).
        self.0.counters()[index].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_shared_and_their_size_is_fixed() {
        let memory = counters_memory(9).unwrap();
        let writable = WritableCounters::map(&memory, 9).unwrap();
        let readable = ReadableCounters::map(&memory, 9).unwrap();
        writable[8].fetch_add(5, Relaxed);
        assert_eq!((0..9).map(|index| readable.get(index)).sum::<u64>(), 5);
        assert!(WritableCounters::map(&memory, 10).is_err(), "it is not so long");
        for length in [0, 8, 1 << 32] {
            assert!(ftruncate(&memory, length).is_err(), "{length}");
        }
    }

    #[test]
    fn a_readable_mapping_cannot_be_made_writable() {
        let memory = counters_memory(1).unwrap();
        let readable = ReadableCounters::map(&memory, 1).unwrap();
        drop(memory);
        let (start, both) = (readable.0.start.cast(), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
        // SAFETY: it fails; and if it did not, more would be allowed than before.
        assert_eq!(unsafe { nix::sys::mman::mprotect(start, 8, both) }, Err(Errno::EACCES));
    }
}

//! Reading a file in the background: at a limited rate, and without a lasting effect on the page cache.
//!
//! What was read only here does not stay in the page cache, since it would displace what is served from there. Linux 6.14
//! has a flag for that (RWF_DONTCACHE). Where it is missing, the pages are dropped afterwards (posix_fadvise(2)), but only
//! if none was cached before, as far as samples show (RWF_NOWAIT): the others may be in use. Reading ahead by the kernel
//! prevents that this is decided for each page.

use std::io::{self, BufRead, Read};
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::libc;

use super::rate_limit::RateLimit;
use crate::os::{clock, sys};

/// The bytes of one read.
const CHUNK_BYTES: usize = 128 << 10;

/// The offsets that are sampled, as parts of 8 of the file's size.
const SAMPLES: [u64; 4] = [0, 2, 4, 7];

/// A reader of the first bytes of a file, which the caller keeps open.
#[derive(Debug)]
pub struct BackgroundReader<'r> {
    file: BorrowedFd<'r>,
    /// The size that the file had.
    size: u64,
    offset: u64,
    buffer: Vec<u8>,
    consumed: usize,
    limit: &'r RateLimit,
    cache: CacheRule,
}

/// How the page cache is kept as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CacheRule {
    /// The kernel drops what was not cached before.
    DontCache,
    /// Each chunk is dropped after it was read.
    Drop,
    /// All stays: some was cached before, or the kernel cannot tell.
    Keep,
}

impl<'r> BackgroundReader<'r> {
    /// Creates a reader of the first `size` bytes.
    pub fn new(file: BorrowedFd<'r>, size: u64, limit: &'r RateLimit) -> Self {
        BackgroundReader { file, size, offset: 0, buffer: Vec::new(), consumed: 0, limit, cache: CacheRule::DontCache }
    }

    /// Returns the number of bytes that were read.
    pub fn bytes_read(&self) -> u64 {
        self.offset
    }

    /// Returns what was read and not consumed.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.consumed..]
    }

    /// Reads the next chunk into the buffer.
    fn read_chunk(&mut self) -> io::Result<()> {
        let length = (self.size - self.offset).min(CHUNK_BYTES as u64) as usize;
        self.buffer.resize(length, 0);
        self.consumed = 0;
        if length == 0 {
            return Ok(());
        }
        std::thread::sleep(self.limit.take(length, clock::now_ns()));
        let length = loop {
            let flags = if self.cache == CacheRule::DontCache { libc::RWF_DONTCACHE } else { 0 };
            match sys::read_at(&self.file, &mut self.buffer, self.offset, flags) {
                Ok(length) => break length,
                Err(Errno::EINTR) => {}
                // Before Linux 6.14, or a file system that cannot do that; preadv2 exists since Linux 4.6.
                Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS) if self.cache == CacheRule::DontCache => {
                    self.cache = self.sampled_rule();
                }
                Err(errno) => return Err(errno.into()),
            }
        };
        self.buffer.truncate(length);
        if self.cache == CacheRule::Drop {
            // If it fails, the pages stay.
            let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
            let _ = posix_fadvise(self.file, self.offset as i64, length as i64, advice);
        }
        self.offset += length as u64;
        Ok(())
    }

    /// Returns the rule for a kernel without the flag.
    fn sampled_rule(&self) -> CacheRule {
        let is_absent = |part: u64| {
            let offset = self.size * part / 8;
            // EAGAIN: to be read from the disk. Other errors: unknown.
            sys::read_at(&self.file, &mut [0], offset, libc::RWF_NOWAIT) == Err(Errno::EAGAIN)
        };
        if SAMPLES.into_iter().all(is_absent) { CacheRule::Drop } else { CacheRule::Keep }
    }
}

impl BufRead for BackgroundReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.consumed == self.buffer.len() {
            self.read_chunk()?;
        }
        Ok(&self.buffer[self.consumed..])
    }

    fn consume(&mut self, length: usize) {
        self.consumed += length;
    }
}

impl Read for BackgroundReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(out)?;
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::{self, File};
    use std::os::fd::AsFd;

    const SIZE: usize = 2 << 20;

    fn read_without_waiting(file: &File, buffer: &mut [u8]) -> nix::Result<usize> {
        sys::read_at(file, buffer, 0, libc::RWF_NOWAIT)
    }

    fn is_absent(file: &File) -> bool {
        read_without_waiting(file, &mut [0; 4096]) == Err(Errno::EAGAIN)
    }

    /// Reads the file with `rule`, or the one that follows from samples. Returns the rule that was used.
    fn read(file: &File, rule: Option<CacheRule>) -> CacheRule {
        let limit = RateLimit::new(u64::MAX >> 8);
        let mut reader = BackgroundReader::new(file.as_fd(), SIZE as u64, &limit);
        reader.cache = rule.unwrap_or_else(|| reader.sampled_rule());
        assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), SIZE as u64);
        reader.cache
    }

    #[test]
    fn what_was_cached_stays_cached_and_nothing_else() {
        // Not in /tmp, which may be in memory only.
        let directory = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
        let path = directory.path().join("file");
        fs::write(&path, vec![b'x'; SIZE]).unwrap();
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        let drop_pages = || posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
        drop_pages();
        if !is_absent(&file) {
            // A file system in memory, or a kernel that cannot tell.
            return;
        }
        // A page that another processor is using at this moment is not dropped, and any page can be evicted: a few attempts.
        let eventually = |what: &str, attempt: &dyn Fn() -> bool| assert!((0..50).any(|_| attempt()), "{what}");
        for (rule, if_absent, if_cached) in
            [(Some(CacheRule::DontCache), None, None), (None, Some(CacheRule::Drop), Some(CacheRule::Keep))]
        {
            let is_rule = |expected: Option<CacheRule>, used| expected.is_none_or(|expected| expected == used);
            eventually("what was absent is absent", &|| {
                // All of it: a check for absence begins to read pages.
                fs::read(&path).unwrap();
                drop_pages();
                let used = read(&file, rule);
                is_absent(&file) && is_rule(if_absent, used)
            });
            eventually("what was cached is cached", &|| {
                fs::read(&path).unwrap();
                let used = read(&file, rule);
                read_without_waiting(&file, &mut vec![0; SIZE]) == Ok(SIZE) && is_rule(if_cached, used)
            });
        }
    }
}

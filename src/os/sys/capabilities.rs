//! The capabilities of this process (capabilities(7)), which nix omits.

use std::io;

use nix::errno::Errno;
use nix::libc;

/// To read and search all files and directories.
const DAC_READ_SEARCH: u32 = 1 << 2;

/// To read and write them.
const DAC_OVERRIDE: u32 = 1 << 1;

/// The layout of [`Sets`] (capget(2)).
const VERSION_3: u32 = 0x2008_0522;

/// The number of capabilities that there can be.
const MAX_CAPABILITIES: libc::c_ulong = 64;

/// The version, and the thread: 0 is the calling one.
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// The sets of 32 capabilities.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Permanently gives up every capability but the one to read all files, for this thread and those that it starts later. In a
/// container that does not have it, the one to read and write all files stays.
pub fn keep_reading_only() -> io::Result<()> {
    for capability in 0..MAX_CAPABILITIES {
        // SAFETY: this command has one number, and affects what execve(2) can gain. It fails for a number that the kernel does
        // not know, and where this process may not do it.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    }
    // SAFETY: this command empties a set that execve(2) uses. It fails before Linux 4.3, which has none.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: both have the layout of this version, which writes two sets.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) })?;
    let permitted = sets[0].permitted;
    let kept = if permitted & DAC_READ_SEARCH != 0 { DAC_READ_SEARCH } else { permitted & DAC_OVERRIDE };
    let sets = [Sets { effective: kept, permitted: kept, inheritable: 0 }, Sets::default()];
    // SAFETY: as above; the kernel reads two sets.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) })?;
    Ok(())
}

//! The refusals of requests whose files cannot be opened or read, by error number (errno(3)).

use nix::errno::Errno;

use crate::http::Refusal;

/// Converts an error of a path.
pub fn refuse(errno: Errno) -> Refusal {
    match errno {
        // A name that no file can have gets 404 as well.
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG | Errno::ELOOP | Errno::EINVAL => Refusal::NotFound,
        Errno::EACCES | Errno::EPERM => Refusal::Unreadable,
        Errno::EXDEV => Refusal::OutsideRoot,
        Errno::ENXIO | Errno::ENODEV => Refusal::NotAFile,
        _ if is_exhausted(errno) => Refusal::Exhausted(errno as i32),
        errno => Refusal::Disk(errno as i32),
    }
}

/// Returns whether descriptors or memory have run out: nothing is known about the path.
pub fn is_exhausted(errno: Errno) -> bool {
    matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)
}

/// Converts an error of an open file: the file exists and is a file, whatever the error number.
pub fn refuse_open(errno: Errno) -> Refusal {
    match refuse(errno) {
        Refusal::NotFound | Refusal::OutsideRoot | Refusal::NotAFile => Refusal::Disk(errno as i32),
        refusal => refusal,
    }
}

//! The folder of challenges: files by which a certification authority verifies that a name leads to this server (RFC 8555
//! §8.3).
//!
//! They are not in the document root. A client of the authority writes there whenever it renews a certificate, perhaps in
//! months: by then, a new release may have replaced the document root, or it may be read-only.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat};

use super::errno::{refuse, refuse_open};
use super::walk::{FLAGS, PLACE};
use crate::http::Refusal;
use crate::os::sys::file_type;

/// The path of the challenges (RFC 8555 §8.3), as in [`Target`](crate::http::Target).
const PATH: &[u8] = b".well-known/acme-challenge/";

/// The size limit of a challenge, in bytes. They have about a hundred.
const MAX_BYTES: u64 = 16 * 1024;

/// The folder of challenges.
#[derive(Debug)]
pub struct Challenges {
    folder: PathBuf,
}

/// Returns whether a request for `path` is for a challenge.
pub fn is_challenge(path: &[u8]) -> bool {
    path.starts_with(PATH)
}

impl Challenges {
    /// Creates the challenges in `folder`, which need not exist.
    pub fn new(folder: &Path) -> Self {
        Challenges { folder: std::path::absolute(folder).unwrap_or(folder.into()) }
    }

    /// Returns the content of the challenge at `path`, if there is one. The folder is opened each time, since it may be made
    /// while the server runs.
    pub fn find(&self, path: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(name) = path.strip_prefix(PATH).filter(|name| is_name(name)) else { return Ok(None) };
        match self.read(name) {
            Err(Refusal::NotFound) => Ok(None),
            result => result.map(Some),
        }
    }

    /// Reads the file `name`, which has no slash. Links are not followed, so it is in the folder.
    fn read(&self, name: &[u8]) -> Result<Vec<u8>, Refusal> {
        let name = CString::new(name).map_err(|_| Refusal::NotFound)?;
        let folder = open(&self.folder, PLACE | OFlag::O_DIRECTORY, Mode::empty()).map_err(refuse)?;
        let file = openat(&folder, name.as_c_str(), FLAGS | OFlag::O_NOFOLLOW, Mode::empty()).map_err(refuse)?;
        let stat = fstat(&file).map_err(refuse_open)?;
        if file_type(&stat) != SFlag::S_IFREG || stat.st_size as u64 > MAX_BYTES {
            return Err(Refusal::NotFound);
        }
        let mut content = Vec::with_capacity(stat.st_size as usize);
        let read = File::from(file).take(MAX_BYTES).read_to_end(&mut content);
        read.map(|_| content).map_err(|error| Refusal::Disk(error.raw_os_error().unwrap_or_default()))
    }
}

/// Returns whether a challenge can have this name: the characters are those of a token (RFC 8555 §8.1).
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::unistd::mkfifo;

    use super::*;

    fn find(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        Challenges::new(folder).find(&[PATH, name.as_bytes()].concat())
    }

    #[test]
    fn only_regular_files_with_the_name_of_a_token_are_challenges() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("acme");
        assert_eq!(find(&folder, "token"), Ok(None));
        fs::create_dir_all(folder.join("directory")).unwrap();
        for name in ["token", "A-Z_09", "a.txt", ".hidden"] {
            fs::write(folder.join(name), name).unwrap();
        }
        fs::write(top.path().join("secret"), "secret").unwrap();
        fs::write(folder.join("large"), vec![b'a'; MAX_BYTES as usize + 1]).unwrap();
        symlink("../secret", folder.join("away")).unwrap();
        symlink("token", folder.join("near")).unwrap();
        mkfifo(&folder.join("pipe"), Mode::S_IRWXU).unwrap();
        for name in ["token", "A-Z_09"] {
            assert_eq!(find(&folder, name), Ok(Some(name.into())));
        }
        for name in ["", "a.txt", ".hidden", "..", "../secret", "token/", "directory", "large", "away", "near", "pipe"]
        {
            assert_eq!(find(&folder, name), Ok(None), "{name}");
        }
        assert_eq!(Challenges::new(&folder).find(b"token"), Ok(None));
        symlink("acme", top.path().join("link")).unwrap();
        assert_eq!(find(&top.path().join("link"), "token"), Ok(Some("token".into())));
    }
}

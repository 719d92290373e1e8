//! The file of `--ticket-keys`: the keys of session tickets that several machines share.
//!
//! Each line is a key in base64, newest first. The bytes of a line are no key themselves: name and key are derived from them, so
//! that the same file for another server is no reason to use one key for two ciphers.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64ct::{Base64, Encoding};
use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::geteuid;
use zeroize::Zeroizing;

use crate::failure::{self, Failure};
use crate::ipc::ticket_keys::{GENERATIONS, KEY_BYTES, NAME_BYTES, TicketKey};
use crate::os::landlock::Sandbox;
use crate::os::sys;

/// The lengths of a line's bytes: those that HAProxy and nginx accept.
const LENGTHS: [usize; 2] = [48, 80];

/// The maximum length of the file, in bytes: three keys, and comments.
const MAX_BYTES: u64 = 16 * 1024;

/// Permissions of the group and of others.
const OTHERS: u32 = 0o077;

/// Separates these keys from whatever else is derived from the same bytes.
const SALT: &[u8] = b"otus-httpd session tickets";

/// Checks that no worker may read `path`: it could be made to send what it can read.
pub fn check_place(path: &Path, workers: &Sandbox) -> Result<(), Failure> {
    let Some(directory) = workers.directory_of(path) else { return Ok(()) };
    let (path, directory) = (path.display(), directory.display());
    Err(Failure::usage(format!(
        "The file of ticket keys {path} (--ticket-keys, OTUS_TICKET_KEYS) is in {directory}, where workers may read: move it, such as \
         to /etc/otus-httpd."
    )))
}

/// Reads the keys in `path`, newest first. The failure is a sentence that says why it cannot be used.
pub fn read(path: &Path) -> Result<Vec<TicketKey>, Failure> {
    let keys = read_private(path).and_then(|text| parse(&text).map_err(io::Error::other));
    keys.map_err(|error| {
        let (path, why) = (path.display(), failure::reason(&error));
        Failure::new(format!(
            "The file of ticket keys {path} cannot be used ({why}): it must have one to {GENERATIONS} lines of \"openssl rand -base64 48\", and \
             belong to the user of the server alone (chown otus-httpd {path}; chmod 600 {path})."
        ))
    })
}

/// Reads a file that only the user of this process may read and write.
fn read_private(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // A FIFO must not block.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    let stat = fstat(&file)?;
    if sys::file_type(&stat) != SFlag::S_IFREG {
        return Err(io::Error::other("it is not a regular file"));
    }
    if stat.st_uid != geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if stat.st_mode & OTHERS != 0 {
        return Err(io::Error::other(format!("others may access it, by its mode {:o}", stat.st_mode & 0o7777)));
    }
    // With its capacity from the start, no part stays behind in memory.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 1));
    file.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {} KiB", MAX_BYTES / 1024)));
    }
    Ok(text)
}

/// Parses the lines of a file. Blank lines and those that begin with # are skipped.
fn parse(text: &[u8]) -> Result<Vec<TicketKey>, String> {
    let mut keys = Vec::with_capacity(GENERATIONS);
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    for (index, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#")) {
        let number = index + 1;
        let mut bytes = Zeroizing::new([0; MAX_BYTES as usize]);
        let bytes = Base64::decode(line, &mut *bytes).map_err(|_| format!("line {number} is not base64"))?;
        if !LENGTHS.contains(&bytes.len()) {
            return Err(format!("line {number} has {} bytes instead of 48 or 80", bytes.len()));
        }
        if keys.len() == GENERATIONS {
            return Err(format!("line {number} is one key too many"));
        }
        keys.push(derive(bytes).ok_or("no key can be derived")?);
    }
    if keys.is_empty() { Err("it has no key".into()) } else { Ok(keys) }
}

/// Derives name and key by HKDF (RFC 5869).
fn derive(bytes: &[u8]) -> Option<TicketKey> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let secret = Salt::new(HKDF_SHA256, SALT).extract(bytes);
    let fill = |info: &[u8], out: &mut [u8]| secret.expand(&[info], Length(out.len())).ok()?.fill(out).ok();
    let mut key = TicketKey { name: [0; NAME_BYTES], key: Zeroizing::new([0; KEY_BYTES]) };
    fill(b"name", &mut key.name)?;
    fill(b"key", &mut *key.key)?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn line(byte: u8, length: usize) -> String {
        Base64::encode_string(&vec![byte; length])
    }

    /// Returns the names of the keys, or the reason why there are none.
    fn names(text: &str) -> Result<Vec<[u8; NAME_BYTES]>, String> {
        parse(text.as_bytes()).map(|keys| keys.iter().map(|key| key.name).collect())
    }

    #[test]
    fn each_line_is_a_key_in_the_order_of_the_file() {
        let (new, old) = (line(1, 48), line(2, 80));
        let both = names(&format!("# of this week\n{new}\r\n\n  {old}")).unwrap();
        assert_eq!(both, [names(&new).unwrap(), names(&old).unwrap()].concat());
        assert_ne!(both[0], both[1]);
        let [key] = &parse(new.as_bytes()).unwrap()[..] else { panic!("one key") };
        assert!(key.name != [1; NAME_BYTES] && *key.key != [1; KEY_BYTES], "they are derived");
        assert_eq!(*key.key, *parse(new.as_bytes()).unwrap()[0].key, "the same on every machine");
    }

    #[test]
    fn a_file_with_a_mistake_has_no_keys() {
        let key = line(1, 48);
        for (text, reason) in [
            (String::new(), "it has no key"),
            ("# none".into(), "it has no key"),
            (format!("{key}\n{}", line(1, 32)), "line 2 has 32 bytes instead of 48 or 80"),
            (format!("{key}\n\nsecret!"), "line 3 is not base64"),
            (format!("{key}\n").repeat(4), "line 4 is one key too many"),
        ] {
            assert_eq!(names(&text), Err(reason.into()));
        }
    }

    #[test]
    fn a_file_that_others_may_access_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        fs::write(&path, line(1, 48)).unwrap();
        for (mode, is_private) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o610, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match read(&path) {
                Ok(keys) => assert!(is_private && keys.len() == 1, "{mode:o}"),
                Err(failure) => assert!(!is_private && failure.to_string().contains("by its mode"), "{failure}"),
            }
        }
        assert!(read(directory.path()).err().unwrap().to_string().contains("not a regular file"));
        assert!(read(Path::new("/nowhere")).err().unwrap().to_string().contains("(No such file or directory)"));
    }
}

//! The certificates for a check: from the key process of systemd, or else as this process can read them itself.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{MsgFlags, recv};

use crate::config::unit::Certificates;
use crate::failure;
use crate::ipc::key_protocol::frame::{MAX_FRAME_BYTES, Request, Response};
use crate::ipc::key_protocol::{MAX_OVERVIEWS, Overview, Role, channel};
use crate::keys::{self, date};
use crate::printable::Printable;

/// The time that the key process has for a response, in milliseconds.
const TIMEOUT_MS: u16 = 5_000;

/// Requests the certificates from the key process at `socket`, or reads `directory` if systemd starts none.
pub fn find(socket: Option<&Path>, directory: &Path) -> Certificates {
    match socket {
        Some(socket) => match request_overviews(socket) {
            Ok(folders) => describe(&folders, directory),
            Err(error) => {
                let remedy = match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => "start otus-httpd-keys.socket",
                    io::ErrorKind::PermissionDenied => "run otus-httpd --check as root",
                    _ => "see systemctl status otus-httpd-keys.service",
                };
                let why = failure::reason(&error);
                let sentence =
                    format!("The certificates were not seen, since the key process did not respond ({why}): {remedy}.");
                Certificates { lines: Vec::new(), warnings: vec![sentence] }
            }
        },
        None => describe(&keys::read_once(directory), directory),
    }
}

/// Requests the overview of each folder from the key process at `socket`.
pub fn request_overviews(socket: &Path) -> io::Result<Vec<Overview>> {
    let connection = channel::connect_to(socket)?;
    channel::introduce(connection.as_fd(), Role::Check, 0)?;
    let mut folders = Vec::new();
    let mut frame = vec![0; MAX_FRAME_BYTES];
    loop {
        let index = folders.len() as u32;
        channel::send_frame(connection.as_fd(), &Request::Overview { index }.encode(index))?;
        if poll(&mut [PollFd::new(connection.as_fd(), PollFlags::POLLIN)], TIMEOUT_MS)? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let length = recv(connection.as_raw_fd(), &mut frame, MsgFlags::empty())?;
        match Response::decode(&frame[..length]) {
            Some((_, Response::Overview(overview))) if folders.len() < MAX_OVERVIEWS => folders.push(overview),
            Some((_, Response::Missing)) => return Ok(folders),
            // It accepts root, and the service.
            None if length == 0 => return Err(io::ErrorKind::PermissionDenied.into()),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn describe(folders: &[Overview], directory: &Path) -> Certificates {
    let mut certificates = Certificates::default();
    for folder in folders {
        if folder.not_after != 0 {
            certificates.lines.push(line(folder));
        }
        let name = Printable(&folder.folder);
        let of = if folder.folder.is_empty() { String::new() } else { format!("Certificate {name}: ") };
        certificates.warnings.extend(folder.faults.iter().map(|fault| format!("{of}{fault}")));
    }
    if folders.is_empty() {
        let directory = directory.display();
        certificates.warnings.push(format!(
            "There is no certificate in {directory}: run otus-httpd https enable, or make a subdirectory there with fullchain.pem \
             and privkey.pem, or a link to one."
        ));
    }
    certificates
}

fn line(folder: &Overview) -> String {
    let names = if folder.names.is_empty() { "no names".into() } else { folder.names.join(" ") };
    let state = if folder.is_usable { "" } else { ", NOT USED" };
    let Overview { folder, key, issuer, not_after, .. } = folder;
    let line =
        format!("certificate {folder}: {names}; {key}; issued by {issuer}; expires on {}{state}", date(*not_after));
    Printable(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_names_key_issuer_and_end() {
        let folder = Overview {
            folder: "example.org".into(),
            names: vec!["example.org".into(), "*.example.org".into()],
            issuer: "CN=R3,O=Let's Encrypt,C=US".into(),
            key: "ECDSA P-256".into(),
            not_before: 0,
            not_after: 86_400,
            is_usable: false,
            faults: vec!["It expired.".into()],
        };
        let Certificates { lines, warnings } = describe(&[folder], Path::new("/certificates"));
        assert_eq!(
            lines,
            ["certificate example.org: example.org *.example.org; ECDSA P-256; issued by CN=R3,O=Let's Encrypt,C=US; \
              expires on Fri, 02 Jan 1970 00:00:00 GMT, NOT USED"]
        );
        assert_eq!(warnings, ["Certificate example.org: It expired."]);
    }

    #[test]
    fn what_was_not_seen_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let warnings = |socket: Option<&Path>| find(socket, directory.path()).warnings.join(" ");
        let missing = directory.path().join("socket");
        assert!(warnings(Some(&missing)).contains("were not seen"), "{}", warnings(Some(&missing)));
        assert!(warnings(Some(&missing)).contains("otus-httpd-keys.socket"));
        assert!(warnings(None).contains("There is no certificate in "));
    }
}

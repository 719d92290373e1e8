//! `otus-httpd https enable`.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::certbot::{self, Request};
use super::installation::{Installation, REDIRECT, cannot};
use super::undo::Undo;
use super::{handshake, reachability, say, status, systemd};
use crate::failure::{self, Failure};

/// Gets a certificate and serves it.
pub fn run(installation: &Installation, request: &Request, redirect: bool) -> Result<(), Failure> {
    certbot::check()?;
    check_server()?;
    let mut challenges = Undo::default();
    if installation.make_challenges(&mut challenges)? && systemd::is_active(systemd::SERVICE) {
        // The sandbox of the workers contains the directory only if it existed at the start.
        systemd::systemctl(&["reload", systemd::SERVICE])?;
    }
    reachability::check(&request.names, &installation.challenges)?;
    say(format!("Getting a certificate for {} by certbot ...", request.names.join(" ")));
    request.get(&installation.challenges)?;
    // certbot renews by this directory from now on, whatever happens.
    challenges.keep();
    let mut undo = Undo::default();
    certbot::place_hook(&installation.certificates, &mut undo)?;
    let name = &request.names[0];
    link(installation, name, &request.folder(), &mut undo)?;
    serve(installation, name, &request.names, redirect, undo)
}

/// Opens the socket for HTTPS, and verifies that `names` are served with the certificate in the folder `folder`.
pub fn serve(
    installation: &Installation,
    folder: &str,
    names: &[String],
    redirect: bool,
    mut undo: Undo,
) -> Result<(), Failure> {
    if redirect {
        installation.set(REDIRECT, Some("1"), &mut undo)?;
    }
    systemd::add_socket(&mut undo)?;
    let path = installation.certificates.join(folder);
    for name in names {
        say(handshake::verify(name, &path)?);
    }
    undo.keep();
    status::describe(installation, folder);
    Ok(())
}

/// Checks that the service will start with a socket for HTTPS.
pub fn check_server() -> Result<(), Failure> {
    systemd::check_settings()?;
    check_port()
}

/// Checks that the socket for HTTPS is open, or that its addresses are free. Otherwise the server would start without it.
fn check_port() -> Result<(), Failure> {
    if systemd::is_active(systemd::HTTPS_SOCKET) {
        return Ok(());
    }
    for address in systemd::addresses(systemd::HTTPS_SOCKET)? {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(Failure::new(format!(
                    "Another program listens on {address} ({}): stop it, such as a web server that has served HTTPS before, then \
                     repeat the command. To find it: ss -ltnp 'sport = :{}'.",
                    failure::reason(&error),
                    address.port()
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Links the folder of certbot into the directory of certificates.
fn link(installation: &Installation, name: &str, target: &Path, undo: &mut Undo) -> Result<(), Failure> {
    installation.make_certificates(undo)?;
    let path = installation.certificates.join(name);
    match symlink(target, &path) {
        Ok(()) => {
            undo.file(move || fs::remove_file(&path).map_err(|error| cannot("The link", &path, "removed", &error)));
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::canonicalize(&path) {
            Ok(real) if fs::canonicalize(target).is_ok_and(|target| target == real) => Ok(()),
            _ => Err(Failure::new(format!(
                "{0} exists already, and is another certificate: rename it to {0}.old, by which it stays in use, then repeat the \
                 command and remove it.",
                path.display()
            ))),
        },
        Err(error) => Err(cannot("The link", &path, "made", &error)),
    }
}

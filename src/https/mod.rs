//! `otus-httpd https`: HTTPS for the packaged service by one command.
//!
//! `enable` gets a certificate by certbot, `import` takes one from elsewhere. Both put it into the directory of certificates,
//! open the socket for HTTPS, and end with a handshake. Each command can be repeated. A command that fails says why, and
//! [undoes](undo) what it has changed.
//!
//! The commands are for `otus-httpd.service`. An instance is behind a proxy, which has the certificates; one that is not needs
//! a socket unit of its own, which otus-httpd(8) shows. All instances share certificates and challenges.

mod certbot;
mod disable;
mod enable;
mod handshake;
mod import;
mod installation;
mod name;
mod reachability;
mod sites;
mod status;
mod systemd;
mod undo;

use std::io::Write;

use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;

use crate::config::HttpsCommand;
use crate::failure::Failure;
use crate::printable::Printable;

use installation::Installation;

/// Runs a command. Its result goes to standard output.
pub fn run(command: &HttpsCommand) -> Result<(), Failure> {
    if let HttpsCommand::Enable { names, .. } = command {
        name::valid(names)?;
    }
    if !geteuid().is_root() {
        return Err(Failure::new(
            "otus-httpd https needs root, for certificates and units: repeat it with sudo or as root.",
        ));
    }
    // Certificates and challenges are readable by all, whatever the mask of root's shell; keys have a mode of their own.
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    let installation = Installation::of_package()?;
    match command {
        HttpsCommand::Enable { names, email, redirect, server, agree_tos } => {
            let (names, email, server) = (name::valid(names)?, email.clone(), server.clone());
            let request = certbot::Request { names, email, server, agrees: *agree_tos };
            match request.names.is_empty() {
                true => sites::enable(&installation, request, *redirect),
                false => enable::run(&installation, &request, *redirect),
            }
        }
        HttpsCommand::Import { chain, key } => import::run(&installation, chain, key),
        HttpsCommand::Status => status::run(&installation),
        HttpsCommand::Disable { force } => disable::run(&installation, *force),
    }
}

/// Prints a line for the administrator. Errors are ignored: the reader may have closed the pipe.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{}", Printable(line));
}

//! The program: options, log, site, sockets, supervisor.

use std::process::ExitCode;

use otus_httpd::failure::Failure;
use otus_httpd::options::{self, Options};
use otus_httpd::site::Site;
use otus_httpd::supervisor::Supervisor;
use otus_httpd::worker::Plan;
use otus_httpd::{descriptors, log, sockets};

/// The server cannot start.
const EXIT_FAILURE: u8 = 1;

/// An option or its value is wrong.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let options = match options::read() {
        Ok(options) => options,
        Err(failure) => {
            log::start(false);
            return fail(&failure, EXIT_USAGE);
        }
    };
    log::start(options.debug);
    match start(options) {
        Ok(supervisor) => {
            supervisor.run();
            ExitCode::SUCCESS
        }
        Err(failure) => fail(&failure, EXIT_FAILURE),
    }
}

fn fail(failure: &Failure, status: u8) -> ExitCode {
    log::failure(failure);
    ExitCode::from(status)
}

fn start(mut options: Options) -> Result<Supervisor, Failure> {
    for variable in options::unknown_variables() {
        tracing::warn!("{variable} in the environment is no setting of otus-httpd; see otus-httpd --help.");
    }
    options.root = std::path::absolute(&options.root).unwrap_or(options.root);
    let site = Site::open(&options)?;
    let sockets = sockets::open(&options.host, options.port)?;
    let descriptors = descriptors::raise_limit();
    Supervisor::new(Plan { options, sockets, site, descriptors })
}

//! The program: options, log, site, sockets, supervisor.

use std::process::ExitCode;

use clap::Parser;

use otus_httpd::failure::Failure;
use otus_httpd::options::Options;
use otus_httpd::site::Site;
use otus_httpd::supervisor::Supervisor;
use otus_httpd::worker::Plan;
use otus_httpd::{log, sockets};

fn main() -> ExitCode {
    let options = Options::parse();
    log::start(options.debug);
    match start(options) {
        Ok(supervisor) => {
            supervisor.run();
            ExitCode::SUCCESS
        }
        Err(failure) => {
            log::failure(&failure);
            ExitCode::FAILURE
        }
    }
}

fn start(options: Options) -> Result<Supervisor, Failure> {
    let site = Site::open(&options)?;
    let sockets = sockets::open(&options.host, options.port)?;
    Supervisor::new(Plan { options, sockets, site })
}

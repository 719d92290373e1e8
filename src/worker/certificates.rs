//! The certificates of a worker: a thread that gets each new catalog from the key process.

use std::io;
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use crate::ipc::ticket_keys::TicketKeyReader;
use crate::tls::signer::RemoteKeys;
use crate::tls::{Server, Store};

/// The interval of checking for a new catalog. A new certificate is used within 10 seconds after its files were written.
const INTERVAL: Duration = Duration::from_secs(2);

/// The same at the beginning. After a reload, the key process reads the files at once, but a worker may be earlier.
const FIRST_INTERVAL: Duration = Duration::from_millis(100);

/// The stack size of the thread, in bytes.
const STACK_BYTES: usize = 128 * 1024;

/// Creates the TLS of a worker with the current certificates, and starts the thread that keeps them current. If the key
/// process does not respond, there are no certificates until it does.
pub fn start(
    keys: Option<RemoteKeys>,
    tickets: Option<&'static TicketKeyReader>,
    has_http2: bool,
) -> io::Result<&'static Server> {
    let server = Server::new(Store::default(), tickets).map_err(io::Error::other)?;
    let server = if has_http2 { server.with_http2() } else { server };
    let Some(keys) = keys else { return Ok(Box::leak(Box::new(server))) };
    let server: &'static Server = Box::leak(Box::new(server.with_keys(keys)));
    server.update();
    Builder::new().name("certificates".into()).stack_size(STACK_BYTES).spawn(move || keep_current(server))?;
    Ok(server)
}

fn keep_current(server: &'static Server) {
    let begin = Instant::now();
    loop {
        thread::sleep(if begin.elapsed() < INTERVAL { FIRST_INTERVAL } else { INTERVAL });
        server.update();
    }
}

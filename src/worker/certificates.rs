//! The certificates of a worker: a thread that gets each new catalog from the key process.

use std::io;
use std::sync::Arc;
use std::thread::{self, Builder};
use std::time::Duration;

use crate::ipc::key_protocol::Catalog;
use crate::ipc::ticket_keys::TicketKeyReader;
use crate::tls::signer::KeyProcess;
use crate::tls::store::StoredCertificate;
use crate::tls::{Server, Store};

/// The interval of checking for a new catalog. A new certificate is used within 10 seconds after its files were written.
const INTERVAL: Duration = Duration::from_secs(2);

/// The stack size of the thread, in bytes.
const STACK_BYTES: usize = 128 * 1024;

/// Creates the TLS of a worker with the current certificates, and starts the thread that keeps them current. If the key
/// process does not respond, there are no certificates until it does.
pub fn start(keys: Option<KeyProcess>, tickets: Option<&'static TicketKeyReader>) -> io::Result<&'static Server> {
    let server: &'static Server =
        Box::leak(Box::new(Server::new(Store::default(), tickets).map_err(io::Error::other)?));
    let Some(keys) = keys else { return Ok(server) };
    let known = update(server, keys, 0);
    Builder::new()
        .name("certificates".into())
        .stack_size(STACK_BYTES)
        .spawn(move || keep_current(server, keys, known))?;
    Ok(server)
}

fn keep_current(server: &'static Server, keys: KeyProcess, mut known: u64) {
    loop {
        thread::sleep(INTERVAL);
        known = update(server, keys, known);
    }
}

/// Replaces the certificates if there is another catalog than `known`. Returns the generation of the current one.
fn update(server: &'static Server, keys: KeyProcess, known: u64) -> u64 {
    // After a failure, the certificates stay; the supervisor reports a key process that does not respond.
    let Ok(Some(Catalog { generation, certificates })) = keys.client.catalog(known) else { return known };
    let certificates = certificates.into_iter().map(|certificate| StoredCertificate::remote(certificate, keys));
    server.replace_store(Arc::new(Store::new(certificates)));
    generation
}

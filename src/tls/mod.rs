//! TLS: versions, ciphers, certificates by name, and the state of a connection. It has no socket, no file and no private key:
//! a [transport](crate::connection::transport) passes bytes in and out, and [keys](signer) are in the key process.
//!
//! The versions are 1.3 and 1.2 (RFC 8446, RFC 5246 with ECDHE and AEAD ciphers only). There is no early data, which can
//! be replayed (RFC 8446 §8), no client certificate, and no renegotiation.

mod failure;
mod hello_header;
mod properties;
mod provider;
mod records;
pub mod selection;
pub mod session;
pub mod signer;
pub mod store;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod tickets;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::server::{NoServerSessionStorage, ServerConfig};

use crate::ipc::key_protocol::Catalog;
use crate::ipc::ticket_keys::TicketKeyReader;
use selection::Selection;
use signer::RemoteKeys;
use store::StoredCertificate;
use tickets::Tickets;

pub use failure::Failure;
pub use properties::Properties;
pub use records::RecordBuffer;
pub use store::Store;

/// The name of HTTP/2 (RFC 9113 §3.2).
const HTTP2: &[u8] = b"h2";

/// The name of HTTP/1.1 (RFC 7301 §6). A client that sends no name speaks HTTP/1.1.
const HTTP11: &[u8] = b"http/1.1";

/// What all connections of a worker share.
#[derive(Debug)]
pub struct Server {
    /// Copied for each connection, which adds its own selection of a certificate.
    config: ServerConfig,
    /// The certificates. A connection keeps the store that it began with.
    store: RwLock<Arc<Store>>,
    /// Where the certificates come from, unless they were given.
    source: Option<Source>,
}

/// The key process, and the generation of its certificates that is in use.
#[derive(Debug)]
struct Source {
    keys: RemoteKeys,
    known: Mutex<u64>,
}

impl Server {
    /// Creates a server with `store`, and with tickets if there are keys for them.
    pub fn new(store: Store, ticket_keys: Option<&'static TicketKeyReader>) -> Result<Self, rustls::Error> {
        let nobody = Arc::new(Selection::new(Arc::new(Store::default())));
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider::provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(nobody);
        config.ignore_client_order = true;
        config.alpn_protocols = vec![HTTP11.into()];
        // Sessions are resumed by tickets alone: a cache would belong to one worker.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if let Some(keys) = ticket_keys {
            config.ticketer = Arc::new(Tickets::new(keys));
        }
        // One ticket for each connection, as a client has several connections at a time.
        (config.send_tls13_tickets, config.max_early_data_size) = (1, 0);
        Ok(Server { config, store: RwLock::new(Arc::new(store)), source: None })
    }

    /// Offers HTTP/2 first. The client's order does not count (RFC 7301 §3.2).
    pub fn with_http2(mut self) -> Self {
        self.config.alpn_protocols.insert(0, HTTP2.into());
        self
    }

    /// Adds the key process that [`Server::update`] gets the certificates from.
    pub fn with_keys(self, keys: RemoteKeys) -> Self {
        Server { source: Some(Source { keys, known: Mutex::new(0) }), ..self }
    }

    /// Replaces the certificates if the key process has others. After a failure, they stay.
    pub fn update(&self) {
        let Some(Source { keys, known }) = &self.source else { return };
        // Threads that find the same change wait for the first one, and then get none.
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(Some(Catalog { generation, certificates })) = keys.client.catalog(*known) else { return };
        let certificates = certificates.into_iter().map(|certificate| StoredCertificate::remote(certificate, *keys));
        self.replace_store(Arc::new(Store::new(certificates)));
        *known = generation;
    }

    /// Returns the current certificates.
    pub fn store(&self) -> Arc<Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the certificates. Connections that have begun continue with the ones before.
    pub fn replace_store(&self, store: Arc<Store>) {
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = store;
    }

    /// Returns the configuration of a connection, which selects its certificate by `selection`.
    fn config(&self, selection: &Arc<Selection>) -> Arc<ServerConfig> {
        let mut config = self.config.clone();
        config.cert_resolver = selection.clone();
        Arc::new(config)
    }
}

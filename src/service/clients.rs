//! Who the clients are: which addresses are those of trusted proxies, and how many connections each other one may have.

use std::net::IpAddr;

use super::Service;
use crate::access::Network;
use crate::access_log;
use crate::client_limit::{ClientLimiter, Permit};
use crate::ipc::scoreboard::Counter;
use crate::listeners::Client;
use crate::log::catalog;

/// What a worker knows about clients.
#[derive(Debug, Default)]
pub struct Clients {
    /// The networks of `--trusted-proxies`.
    trusted: Box<[Network]>,
    /// The limit of `--max-per-client`, and the number of the worker that counts.
    limit: Option<(&'static ClientLimiter, usize)>,
}

impl Clients {
    /// Creates what is known by the settings.
    pub fn new(trusted: &[Network]) -> Self {
        Clients { trusted: trusted.into(), limit: None }
    }

    /// Sets the limit of connections, which worker number `worker` applies.
    pub fn limit(&mut self, limiter: Option<&'static ClientLimiter>, worker: usize) {
        self.limit = limiter.map(|limiter| (limiter, worker));
    }

    /// Returns whether an address is that of a trusted proxy.
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Returns whether what a connection from `client` says about its client is believed. Who may connect to a unix socket is a
    /// matter of its permissions.
    pub fn is_trusted_peer(&self, client: Client) -> bool {
        client.is_none_or(|client| self.is_trusted(client.ip()))
    }
}

/// The error of a client that has as many connections as it may have.
#[derive(Debug, PartialEq, Eq)]
pub struct AtLimit;

impl Service {
    /// Acquires a permit for a connection of a client, if connections per client are limited. Neither a client without an
    /// address nor a trusted proxy is limited.
    pub fn admit(&self, client: Client) -> Result<Option<Permit<'static>>, AtLimit> {
        let Some((limiter, worker)) = self.clients.limit else { return Ok(None) };
        let Some(client) = client.filter(|client| !self.clients.is_trusted(client.ip())) else { return Ok(None) };
        let permit = limiter.acquire(worker, client.ip());
        if permit.is_none() {
            self.counters.add(Counter::RejectedPerClient, 1);
            if self.warnings.client_full.is_due() {
                let limit = limiter.max_per_client();
                // The address is anonymized as in the access log.
                let address = access_log::anonymize(client, self.log_address).map(|client| client.ip().to_string());
                let client_address = address.as_deref().unwrap_or("(not logged)");
                tracing::warn!(
                    message_id = catalog::CLIENT_FULL,
                    client_address,
                    "Client {client_address} reached --max-per-client ({limit}); further connections get 503."
                );
            }
        }
        permit.map(Some).ok_or(AtLimit)
    }
}

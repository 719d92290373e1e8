//! Who the clients are: which addresses are those of trusted proxies, whom these name, and how many connections or requests in
//! flight each client may have.

use std::net::IpAddr;

use super::Service;
use crate::access::Network;
use crate::access_log;
use crate::client_limit::{ClientLimiter, Permit};
use crate::config::Options;
use crate::http::authority::Authority;
use crate::http::forwarded::{AddressField, Forwarded};
use crate::http::{Fields, Refusal, Scheme};
use crate::listeners::Client;
use crate::log::catalog;

/// What a worker knows about clients.
#[derive(Debug, Clone, Default)]
pub struct Clients {
    /// The networks of `--trusted-proxies`.
    trusted: Box<[Network]>,
    /// The limit of `--max-per-client`, and the number of the worker that counts.
    limit: Option<(&'static ClientLimiter, usize)>,
    /// Whether the fields of any request are believed.
    reads_fields: bool,
    /// The field that names the client.
    address_field: AddressField,
    /// Whether a field names the host.
    reads_host: bool,
}

/// Who has sent a request, as far as that is known.
#[derive(Debug)]
pub struct Origin<'b> {
    /// The client.
    pub client: Client,
    /// Whether a field names it.
    pub is_named: bool,
    /// The scheme that the client uses.
    pub scheme: Scheme,
    /// The host that the client asked for, if it is another one than that of the request.
    pub authority: Option<Authority<'b>>,
    /// Why the request is refused.
    pub refusal: Option<Refusal>,
    /// The permit for the request, if those of its client are limited.
    pub permit: Option<Permit<'static>>,
}

impl Clients {
    /// Creates what is known by the settings.
    pub fn new(options: &Options) -> Self {
        Clients {
            trusted: options.trusted_proxies.as_slice().into(),
            limit: None,
            reads_fields: !options.trusted_proxies.is_empty() || options.client_address_header.is_some(),
            address_field: options.client_address_header.clone().unwrap_or_default(),
            reads_host: options.forwarded_host,
        }
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

    /// Returns who has sent a request with these fields, over `scheme`, on a connection of `nearest`. `is_local`: it is connected to
    /// a unix socket.
    #[inline]
    pub fn origin<'b>(&self, nearest: Client, is_local: bool, scheme: Scheme, fields: Fields<'_, 'b>) -> Origin<'b> {
        let origin = Origin { client: nearest, is_named: false, scheme, authority: None, refusal: None, permit: None };
        if !self.reads_fields {
            return origin;
        }
        self.forwarded(origin, is_local, fields)
    }

    /// Adds what the fields say, if the connection is that of a trusted proxy.
    #[inline(never)]
    fn forwarded<'b>(&self, mut origin: Origin<'b>, is_local: bool, fields: Fields<'_, 'b>) -> Origin<'b> {
        if !origin.client.map_or(is_local, |nearest| self.is_trusted(nearest.ip())) {
            return origin;
        }
        let Forwarded { client, scheme, host } = self.address_field.read(fields, |address| self.is_trusted(address));
        (origin.is_named, origin.client) = (client.is_some(), client.or(origin.client));
        origin.scheme = scheme.unwrap_or(origin.scheme);
        if let Some(host) = host.filter(|_| self.reads_host) {
            origin.authority = Authority::parse(host);
            if origin.authority.is_none() {
                origin.refusal = Some(Refusal::Malformed("the forwarded host is invalid"));
            }
        }
        origin
    }
}

/// The error of a client that has as many connections as it may have.
#[derive(Debug, PartialEq, Eq)]
pub struct AtLimit;

impl Service {
    /// Returns who has sent a request, as [`Clients::origin`], with a permit for it if a field names its client and requests of
    /// clients are limited. The connection of a proxy counts for nobody.
    #[inline]
    pub fn identify<'b>(&self, nearest: Client, is_local: bool, scheme: Scheme, fields: Fields<'_, 'b>) -> Origin<'b> {
        let mut origin = self.clients.origin(nearest, is_local, scheme, fields);
        if origin.is_named {
            match self.admit(origin.client) {
                Ok(permit) => origin.permit = permit,
                Err(AtLimit) => origin.refusal = Some(Refusal::ClientAtLimit),
            }
        }
        origin
    }

    /// Acquires a permit for a connection of a client, or for a request that it has sent by a proxy, if these are limited. Neither a
    /// client without an address nor a trusted proxy is limited.
    pub fn admit(&self, client: Client) -> Result<Option<Permit<'static>>, AtLimit> {
        let Some((limiter, worker)) = self.clients.limit else { return Ok(None) };
        let Some(client) = client.filter(|client| !self.clients.is_trusted(client.ip())) else { return Ok(None) };
        let permit = limiter.acquire(worker, client.ip());
        if permit.is_none() && self.warnings.client_full.is_due() {
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
        permit.map(Some).ok_or(AtLimit)
    }
}

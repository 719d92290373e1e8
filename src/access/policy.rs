//! What the settings say about access.

use std::net::{IpAddr, SocketAddr};

use super::{AllowRule, Network, Prefix, Rules};
use crate::failure::Failure;

/// The rules of a server.
#[derive(Debug)]
pub struct AccessPolicy {
    allow: Rules<Vec<Network>>,
}

/// Why a client does not get a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Its address is in none of the networks.
    Address,
    /// It has no address: it is connected by a unix socket.
    NoAddress,
}

impl AccessPolicy {
    /// Returns the policy of these rules; none if there are none, so that a request costs a branch.
    pub fn new(rules: &[AllowRule]) -> Option<Self> {
        let mut allowed: Vec<(Prefix, Vec<Network>)> = Vec::new();
        for rule in rules {
            match allowed.iter_mut().find(|(prefix, _)| *prefix == rule.prefix) {
                Some((_, networks)) => networks.extend(&rule.networks),
                None => allowed.push((rule.prefix.clone(), rule.networks.clone())),
            }
        }
        let policy = AccessPolicy { allow: Rules::new(allowed) };
        (!policy.allow.is_empty()).then_some(policy)
    }

    /// Checks that no rule is of one host. A server with one site serves it for every host: a client would choose another one.
    pub fn check_hosts(rules: &[AllowRule]) -> Result<(), Failure> {
        match rules.iter().find(|rule| rule.prefix.host.is_some()) {
            Some(AllowRule { prefix, .. }) => Err(Failure::usage(format!(
                "--allow (OTUS_ALLOW) {prefix} is for one host, and this server gives the same files to every host: leave the \
                 host out."
            ))),
            None => Ok(()),
        }
    }

    /// Returns whether a rule says who gets a path of a site, which `has_host` knows by the names of its hosts: then caches
    /// must not give it to others.
    pub fn is_restricted(&self, has_host: impl Fn(&str) -> bool, path: &[u8]) -> bool {
        self.allow.find(has_host, path).is_some()
    }

    /// Checks the address of a client that requests a path.
    pub fn check_address(
        &self,
        has_host: impl Fn(&str) -> bool,
        path: &[u8],
        client: Option<SocketAddr>,
    ) -> Result<(), Denied> {
        let Some(networks) = self.allow.find(has_host, path) else { return Ok(()) };
        let address: IpAddr = client.ok_or(Denied::NoAddress)?.ip();
        if networks.iter().any(|network| network.contains(address)) { Ok(()) } else { Err(Denied::Address) }
    }
}

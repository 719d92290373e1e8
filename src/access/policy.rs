//! What the settings say about access.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{AllowRule, AuthRule, Network, Place, Prefix, Rules};
use crate::failure::Failure;
use crate::http::{Refusal, Scheme};

/// The rules of a server.
#[derive(Debug)]
pub struct AccessPolicy {
    allow: Rules<Vec<Network>>,
    auth: Rules<AuthArea>,
    /// Whether passwords are accepted without encryption from anywhere.
    accepts_clear: bool,
}

/// The users who get the paths of a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthArea {
    /// The number of the file of users, as in [`files`].
    pub file: u16,
    /// The name of the area for browsers.
    pub realm: Box<str>,
}

/// Returns the files of users, each once. Their order is that of their numbers.
pub fn files(rules: &[AuthRule]) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    rules.iter().map(|rule| absolute(&rule.file)).filter(|file| seen.insert(file.clone())).collect()
}

fn absolute(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.into())
}

impl AccessPolicy {
    /// Returns the policy of these rules; none if there are none, so that a request costs a branch. `accepts_clear`: passwords
    /// are accepted without encryption from public addresses as well.
    pub fn new(allow: &[AllowRule], auth: &[AuthRule], accepts_clear: bool) -> Option<Self> {
        let mut allowed: Vec<(Prefix, Vec<Network>)> = Vec::new();
        for rule in allow {
            match allowed.iter_mut().find(|(prefix, _)| *prefix == rule.prefix) {
                Some((_, networks)) => networks.extend(&rule.networks),
                None => allowed.push((rule.prefix.clone(), rule.networks.clone())),
            }
        }
        let files = files(auth);
        let area = |rule: &AuthRule| {
            let file = files.iter().position(|file| *file == absolute(&rule.file)).unwrap_or(usize::MAX);
            AuthArea { file: u16::try_from(file).unwrap_or(u16::MAX), realm: rule.prefix.realm().into() }
        };
        let auth = auth.iter().map(|rule| (rule.prefix.clone(), area(rule)));
        let policy = AccessPolicy { allow: Rules::new(allowed), auth: Rules::new(auth), accepts_clear };
        (!policy.allow.is_empty() || !policy.auth.is_empty()).then_some(policy)
    }

    /// Checks that no prefix has two files, and that no rule is of one host unless each host has its own site: a server with one
    /// site serves it for every host, and a client would choose another one.
    pub fn check(allow: &[AllowRule], auth: &[AuthRule], has_sites: bool) -> Result<(), Failure> {
        let allow = allow.iter().map(|rule| ("--allow (OTUS_ALLOW)", &rule.prefix));
        let prefixes = allow.chain(auth.iter().map(|rule| ("--auth (OTUS_AUTH)", &rule.prefix)));
        if let Some((option, prefix)) = prefixes.into_iter().find(|(_, prefix)| prefix.host.is_some() && !has_sites) {
            return Err(Failure::usage(format!(
                "{option} {prefix} is for one host, and this server gives the same files to every host: leave the host out."
            )));
        }
        let mut seen = HashSet::new();
        match auth.iter().find(|rule| !seen.insert(rule.prefix.to_string())) {
            Some(AuthRule { prefix, .. }) => Err(Failure::usage(format!(
                "--auth (OTUS_AUTH) {prefix} has two files of users: put all users into one, or choose another prefix."
            ))),
            None => Ok(()),
        }
    }

    /// Returns whether a rule says who gets what is at a place: then caches must not give it to others. Fails if the place cannot
    /// be determined at the moment, as all that follows.
    pub fn is_restricted(&self, place: &impl Place) -> Result<bool, Refusal> {
        Ok(self.allow.find(place)?.is_some() || self.auth.find(place)?.is_some())
    }

    /// Checks the address of a client that requests what is at a place.
    pub fn check_address(&self, place: &impl Place, client: Option<SocketAddr>) -> Result<(), Refusal> {
        let Some(networks) = self.allow.find(place)? else { return Ok(()) };
        let address: IpAddr = client.ok_or(Refusal::NoAddress)?.ip();
        let is_allowed = networks.iter().any(|network| network.contains(address));
        is_allowed.then_some(()).ok_or(Refusal::OtherNetwork)
    }

    /// Returns who gets what is at a place; none if no password is needed.
    pub fn area(&self, place: &impl Place) -> Result<Option<&AuthArea>, Refusal> {
        self.auth.find(place)
    }

    /// Returns whether a password may be asked for: it is encrypted on its way, or does not leave this machine or its networks.
    pub fn may_ask(&self, scheme: Scheme, client: Option<SocketAddr>) -> bool {
        scheme == Scheme::Https || self.accepts_clear || client.is_none_or(|client| is_local(client.ip()))
    }
}

/// Returns whether an address is of this machine, of its link, or of a private network (RFC 1918, RFC 4193).
fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => {
            address == Ipv6Addr::LOCALHOST || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_asked_for_where_they_cannot_be_read_on_their_way() {
        let rules = [AuthRule::parse("/=/etc/x").unwrap()];
        let policy = AccessPolicy::new(&[], &rules, false).unwrap();
        for (address, expected) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("192.168.1.1", true),
            ("169.254.1.1", true),
            ("::1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("::ffff:192.168.1.1", true),
            ("192.0.2.1", false),
            ("172.32.0.1", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("2001:db8::1", false),
            ("::ffff:192.0.2.1", false),
        ] {
            let client = Some(SocketAddr::new(address.parse().unwrap(), 1));
            assert_eq!(policy.may_ask(Scheme::Http, client), expected, "{address}");
            assert!(policy.may_ask(Scheme::Https, client));
            assert!(AccessPolicy::new(&[], &rules, true).unwrap().may_ask(Scheme::Http, client));
        }
        assert!(policy.may_ask(Scheme::Http, None), "a unix socket");
    }

    #[test]
    fn files_have_numbers() {
        let rules =
            ["/a=/etc/a", "/b=/etc/b", "/c=/etc/a", "/d=/etc/../etc/d"].map(|rule| AuthRule::parse(rule).unwrap());
        assert_eq!(files(&rules).len(), 3);
        let policy = AccessPolicy::new(&[], &rules, false).unwrap();
        let file = |path: &[u8]| policy.area(&path).unwrap().map(|area| area.file);
        assert_eq!([&b"a"[..], b"b", b"c/x", b"d", b"e"].map(file), [Some(0), Some(1), Some(0), Some(2), None]);
        assert!(AccessPolicy::new(&[], &[], false).is_none());
    }

    #[test]
    fn rules_that_cannot_hold_are_refused() {
        let auth = |values: &[&str]| values.iter().map(|value| AuthRule::parse(value).unwrap()).collect::<Vec<_>>();
        assert!(AccessPolicy::check(&[], &auth(&["/a=/x", "/b=/x"]), false).is_ok());
        assert!(AccessPolicy::check(&[], &auth(&["/a=/x", "/a/=/y"]), true).is_err());
        assert!(AccessPolicy::check(&[], &auth(&["h.test/a=/x"]), false).is_err());
        assert!(AccessPolicy::check(&[], &auth(&["h.test/a=/x", "/a=/y"]), true).is_ok());
    }
}

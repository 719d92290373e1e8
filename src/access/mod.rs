//! Access: the parts of a site that only some clients get. Rules are values, and nothing here does I/O.
//!
//! A rule is for a [prefix](Prefix) of paths. Of the rules of one kind, the one with the longest prefix that covers a path
//! decides. The caller asks about the path of the request and about the path of the file that is sent: a link, an index or a
//! name without its extension must not lead around a rule.

pub mod credentials;
mod network;
pub mod password;
mod policy;
mod prefix;
mod rules;
pub mod users;

use std::fmt::Debug;
use std::path::PathBuf;

use crate::digest::Digest;

pub use credentials::Credentials;
pub use network::Network;
pub use policy::{AccessPolicy, AuthArea, files};
pub use prefix::Prefix;
pub use rules::{Place, Rules};

/// A value of `--allow`: the clients that get the paths with a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowRule {
    /// The paths.
    pub prefix: Prefix,
    /// The clients.
    pub networks: Vec<Network>,
}

impl AllowRule {
    /// Parses `[HOST]/PREFIX=CIDR,...`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (prefix, networks) = text
            .split_once('=')
            .ok_or("give a prefix and the networks of its clients, such as /intern=192.0.2.0/24,2001:db8::/32")?;
        let networks = networks.split(',').map(|network| Network::parse(network.trim())).collect::<Result<_, _>>()?;
        Ok(AllowRule { prefix: Prefix::parse(prefix.trim())?, networks })
    }
}

/// A value of `--auth`: the file with the users who get the paths with a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthRule {
    /// The paths.
    pub prefix: Prefix,
    /// The file.
    pub file: PathBuf,
}

impl AuthRule {
    /// Parses `[HOST]/PREFIX=FILE`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').filter(|(_, file)| !file.trim().is_empty());
        let (prefix, file) =
            parts.ok_or("give a prefix and a file of users, such as /intern=/etc/otus-httpd/intern.users")?;
        Ok(AuthRule { prefix: Prefix::parse(prefix.trim())?, file: file.trim().into() })
    }
}

/// Returns a digest of the settings of access, by which a reload knows whether they are other ones. `proxies` are the settings that
/// say whom a client is believed to be.
pub fn digest(allow: &[AllowRule], auth: &[AuthRule], accepts_clear: bool, proxies: &impl Debug) -> Digest {
    Digest::of(format!("{:?}", (allow, auth, accepts_clear, proxies)).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_auth_has_a_prefix_and_a_file() {
        let rule = AuthRule::parse("/a=/etc/a=b.users").unwrap();
        assert_eq!((rule.prefix, rule.file), (Prefix::parse("/a").unwrap(), PathBuf::from("/etc/a=b.users")));
        for wrong in ["", "/a", "/a=", "/a= ", "a=/etc/x", "=/etc/x"] {
            assert!(AuthRule::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_has_a_prefix_and_networks() {
        let rule = AllowRule::parse("/a%3Db/=192.0.2.0/24, ::1").unwrap();
        assert_eq!((rule.prefix, rule.networks.len()), (Prefix::parse("/a%3db").unwrap(), 2));
        for wrong in ["", "/a", "/a=", "/a=,", "/a=192.0.2.0/24,", "a=::1=", "/a=example.org"] {
            assert!(AllowRule::parse(wrong).is_err(), "{wrong}");
        }
    }
}

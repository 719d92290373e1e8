//! The purpose of a listening socket, from its name.
//!
//! FileDescriptorName= in the .socket unit sets the purpose of a socket: `metrics` is for monitoring; `http`, every other
//! name, and none, for the site. A further unit without that line has its own name, such as `otus-httpd-extra.socket`.
//!
//! The name `https` selects TLS, which needs certificates. The names `proxy` and `https-proxy` select the PROXY protocol before
//! HTTP or before TLS. A socket that cannot be served as its name says prevents the start: without encryption, it would be a
//! trap.

use crate::failure::Failure;
use crate::http::Scheme;

/// The purpose of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The site: workers serve its files.
    Site(Protocol),
    /// Metrics and health: the supervisor responds.
    Metrics,
}

/// What precedes HTTP on the connections of a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Protocol {
    /// First, the header of the PROXY protocol, with the address of the client.
    pub proxy: bool,
    /// Then TLS.
    pub tls: bool,
}

/// Names that suggest a meaning which they do not have (yet), or have only if they are written exactly so.
const MISLEADING: [&str; 14] = [
    "https",
    "proxy",
    "https-proxy",
    "tls",
    "ssl",
    "http2",
    "http3",
    "h2",
    "h3",
    "quic",
    "health",
    "status",
    "admin",
    "prometheus",
];

impl Purpose {
    /// Returns the purpose of a socket of that name.
    pub fn of(name: &str) -> Purpose {
        let site = |proxy, tls| Purpose::Site(Protocol { proxy, tls });
        match name {
            "metrics" => Purpose::Metrics,
            "https" => site(false, true),
            "proxy" => site(true, false),
            "https-proxy" => site(true, true),
            _ => site(false, false),
        }
    }

    /// Returns whether it is for TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Purpose::Site(Protocol { tls: true, .. }))
    }

    /// Returns the scheme of the URIs of requests.
    pub fn scheme(self) -> Scheme {
        if self.is_tls() { Scheme::Https } else { Scheme::Http }
    }

    /// Whether the name suggests a meaning that it does not have.
    pub fn is_misleading(name: &str) -> bool {
        let lower = name.to_ascii_lowercase();
        Purpose::of(name) == Purpose::Site(Protocol::default())
            && (MISLEADING.contains(&lower.as_str()) || is_near(lower.as_bytes(), b"metrics"))
    }
}

/// Whether at most two edits lie between two words: an insertion, a deletion, a replacement.
fn is_near(word: &[u8], other: &[u8]) -> bool {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in word.iter().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], index + 1);
        for (column, wanted) in other.iter().enumerate() {
            let edits = (corner + usize::from(letter != wanted)).min(row[column] + 1).min(row[column + 1] + 1);
            corner = std::mem::replace(&mut row[column + 1], edits);
        }
    }
    row[other.len()] <= 2
}

/// Returns a failure if a socket of that name is for TLS without certificates.
pub fn check_name(name: &str, has_certificates: bool) -> Result<(), Failure> {
    match Purpose::of(name) {
        Purpose::Site(Protocol { tls: true, .. }) if !has_certificates => Err(Failure::new(format!(
            "The socket \"{name}\" is not served, since it is for HTTPS and there are no certificates: set \
             --certificates (OTUS_CERTIFICATES) to their directory; or for plain HTTP, set another name with \
             FileDescriptorName= in its .socket unit."
        ))),
        _ => Ok(()),
    }
}

/// Returns a warning if a TCP socket of that name refuses every connection, since it is for the PROXY protocol and no proxy is
/// trusted.
pub fn without_proxies(name: &str, has_trusted_proxies: bool) -> Option<String> {
    let is_refusing = matches!(Purpose::of(name), Purpose::Site(Protocol { proxy: true, .. })) && !has_trusted_proxies;
    is_refusing.then(|| {
        format!(
            "The socket \"{name}\" refuses every TCP connection, since it is for the PROXY protocol and no proxy is trusted: set \
             --trusted-proxies (OTUS_TRUSTED_PROXIES) to the addresses of the servers in front of this one."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{Protocol, Purpose, check_name, without_proxies};

    #[test]
    fn a_name_is_a_purpose() {
        let site = |proxy, tls| Purpose::Site(Protocol { proxy, tls });
        let plain = site(false, false);
        for (name, purpose, is_misleading) in [
            ("http", plain, false),
            ("metrics", Purpose::Metrics, false),
            ("otus-httpd-extra.socket", plain, false),
            ("unknown", plain, false),
            ("public", plain, false),
            ("metric", plain, true),
            ("Metrics", plain, true),
            ("mertics", plain, true),
            ("https", site(false, true), false),
            ("proxy", site(true, false), false),
            ("https-proxy", site(true, true), false),
            ("HTTPS", plain, true),
            ("Proxy", plain, true),
            ("matrix", plain, false),
        ] {
            assert_eq!((Purpose::of(name), Purpose::is_misleading(name)), (purpose, is_misleading), "{name}");
        }
    }

    #[test]
    fn protocols_without_what_they_need_are_reported() {
        for (name, needs_certificates, needs_proxies) in [
            ("https", true, false),
            ("proxy", false, true),
            ("https-proxy", true, true),
            ("http", false, false),
            ("HTTPS", false, false),
            ("metrics", false, false),
            ("", false, false),
        ] {
            assert!(check_name(name, true).is_ok() && without_proxies(name, true).is_none(), "{name}");
            let failure = check_name(name, false).err().map(|failure| failure.to_string());
            for (text, is_expected, why) in [
                (failure, needs_certificates, "no certificates: set --certificates"),
                (without_proxies(name, false), needs_proxies, "no proxy is trusted: set --trusted-proxies"),
            ] {
                assert_eq!(text.is_some(), is_expected, "{name}");
                assert!(text.is_none_or(|text| text.contains(&format!("\"{name}\"")) && text.contains(why)), "{name}");
            }
        }
    }
}

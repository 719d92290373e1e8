//! The purpose of a listening socket, from its name.
//!
//! FileDescriptorName= in the .socket unit sets the purpose of a socket: `metrics` is for monitoring; `http`, every other
//! name, and none, for the site. A further unit without that line has its own name, such as `otus-httpd-extra.socket`.
//!
//! The names `https`, `proxy` and `https-proxy` select a [`Protocol`] that this version does not have. Such a socket
//! prevents the start: without encryption, or with the header of a proxy taken for a request, it would be a trap.

use crate::failure::Failure;

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

impl Protocol {
    /// Returns the parts that this version does not have, and a remedy.
    fn unsupported(self) -> Option<(&'static str, &'static str)> {
        match (self.tls, self.proxy) {
            (false, false) => None,
            (true, false) => Some(("TLS", "let a server in front of this one accept TLS")),
            (false, true) => Some(("PROXY protocol", "switch that protocol off in the server in front of this one")),
            (true, true) => Some((
                "TLS and no PROXY protocol",
                "let the server in front of this one accept TLS, without the PROXY protocol towards this one",
            )),
        }
    }
}

/// Names that suggest a meaning which they do not have (yet).
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

/// Returns a failure if a socket of that name is for a protocol that this version does not have.
pub fn check_name(name: &str) -> Result<(), Failure> {
    let Purpose::Site(protocol) = Purpose::of(name) else { return Ok(()) };
    let Some((missing, remedy)) = protocol.unsupported() else { return Ok(()) };
    Err(Failure::new(format!(
        "The socket \"{name}\" is not served, since this version has no {missing}: set another name with \
         FileDescriptorName= in its .socket unit for plain HTTP, and {remedy}."
    )))
}

#[cfg(test)]
mod tests {
    use super::{Protocol, Purpose, check_name};

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
    fn protocols_that_are_missing_are_failures() {
        for (name, missing) in [
            ("https", Some("no TLS:")),
            ("proxy", Some("no PROXY protocol:")),
            ("https-proxy", Some("no TLS and no PROXY protocol:")),
            ("http", None),
            ("HTTPS", None),
            ("metrics", None),
            ("", None),
        ] {
            let failure = check_name(name).err().map(|failure| failure.to_string());
            assert_eq!(failure.is_some(), missing.is_some(), "{name}");
            if let Some(text) = failure {
                assert!(text.contains(&format!("\"{name}\"")) && text.contains(missing.unwrap()), "{text}");
            }
        }
    }
}

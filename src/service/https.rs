//! What requests have to do with HTTPS: redirects to it, and Strict-Transport-Security (RFC 6797).

use crate::config::Options;
use crate::dns_name;
use crate::http::{Request, Scheme, target};
use crate::listeners::{Protocol, Purpose, Socket};
use crate::tls;

/// The port of HTTPS that a URI need not name.
const DEFAULT_PORT: u16 = 443;

/// The HTTPS settings of a worker.
#[derive(Debug, Default)]
pub struct HttpsPolicy {
    redirect: Option<Redirect>,
    hsts: Option<String>,
}

/// The destination of redirects.
#[derive(Debug)]
struct Redirect {
    port: u16,
    tls: &'static tls::Server,
}

impl Redirect {
    /// Returns the port of HTTPS as clients of a socket see it.
    fn port(socket: &Socket) -> Option<u16> {
        match socket.purpose {
            Purpose::Site(Protocol { tls: true, proxy: true }) => Some(DEFAULT_PORT),
            Purpose::Site(Protocol { tls: true, proxy: false }) => socket.port(),
            _ => None,
        }
    }
}

impl HttpsPolicy {
    /// Creates a policy without redirects.
    pub fn new(options: &Options) -> Self {
        HttpsPolicy { redirect: None, hsts: options.hsts.clone() }
    }

    /// Redirects to the port of a TCP socket for HTTPS, if there is one, and the options say so. Clients do not see the port of a
    /// socket that only proxies connect to: the proxy has that of HTTPS.
    pub fn enable_redirects(&mut self, options: &Options, sockets: &[Socket], tls: Option<&'static tls::Server>) {
        let ports = || sockets.iter().filter_map(Redirect::port);
        let port = ports().find(|port| *port == DEFAULT_PORT).or_else(|| ports().next());
        self.redirect = tls.zip(port).filter(|_| options.redirect_to_https).map(|(tls, port)| Redirect { port, tls });
    }

    /// Creates a policy that redirects to `port`, for tests of connections.
    #[cfg(test)]
    pub fn redirecting(port: u16, tls: &'static tls::Server) -> Self {
        HttpsPolicy { redirect: Some(Redirect { port, tls }), hsts: None }
    }

    /// Returns the URI to which a GET or HEAD of a valid target is redirected. Only a name that a certificate covers is
    /// redirected to: any other would be an error in the browser, or a site of somebody else.
    pub fn redirect(&self, scheme: Scheme, request: &Request) -> Option<String> {
        let redirect = self.redirect.as_ref().filter(|_| scheme == Scheme::Http)?;
        let host = request.authority?.host_str();
        let is_covered = dns_name::is_name(host) && redirect.tls.store().covers(host);
        let port = (redirect.port != DEFAULT_PORT).then_some(redirect.port);
        is_covered.then(|| target::https_uri(host, port, request.target)).flatten()
    }

    /// Returns the value of Strict-Transport-Security for a response. Without TLS, it must not be sent (RFC 6797 §7.2).
    pub fn hsts(&self, scheme: Scheme) -> Option<&str> {
        self.hsts.as_deref().filter(|_| scheme == Scheme::Https)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Limits;
    use crate::http::h1::parse;
    use crate::tls::testing::{P256, certificate};
    use crate::tls::{Server, Store};

    fn policy(port: u16, names: &[&str]) -> HttpsPolicy {
        let store = Store::new([certificate(names, P256)]);
        let tls = Box::leak(Box::new(Server::new(store, None).unwrap()));
        HttpsPolicy { hsts: Some("max-age=1".into()), ..HttpsPolicy::redirecting(port, tls) }
    }

    fn redirect(policy: &HttpsPolicy, scheme: Scheme, target: &str, host: &str) -> Option<String> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let mut storage = parse::storage();
        let request = parse::parse(head.as_bytes(), &mut storage, &Limits::default()).unwrap().unwrap().request;
        policy.redirect(scheme, &request)
    }

    #[test]
    fn only_names_of_certificates_are_redirected_to() {
        let policy = policy(443, &["example.org", "*.example.net"]);
        for (host, target, expected) in [
            ("example.org", "/a?b", Some("https://example.org/a?b")),
            ("Example.ORG:80", "/", Some("https://Example.ORG/")),
            ("example.org:", "//evil.example/", Some("https://example.org//evil.example/")),
            ("www.example.net:8080", "/%20?%3f", Some("https://www.example.net/%20?%3f")),
            ("example.org", "http://www.example.net?a", Some("https://www.example.net/?a")),
            ("x", "HTTP://example.org:81/a/../b", Some("https://example.org/a/../b")),
            ("www.example.org", "/", None),
            ("a.b.example.net", "/", None),
            ("user@a.example.net", "/", None),
            ("a;b.example.net", "/", None),
            ("[::1]:80", "/", None),
            ("192.0.2.1", "/", None),
            ("", "/", None),
            (".example.net", "/", None),
            (".example.net:80", "/", None),
            ("..example.net", "/", None),
        ] {
            // Where the authority is not valid, parsing has rejected it.
            let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            if parse::parse(head.as_bytes(), &mut parse::storage(), &Limits::default()).is_ok() {
                assert_eq!(redirect(&policy, Scheme::Http, target, host).as_deref(), expected, "{host} {target}");
            } else {
                assert_eq!(expected, None);
            }
            assert_eq!(HttpsPolicy::default().hsts(Scheme::Https), None);
        }
        assert_eq!(redirect(&policy, Scheme::Https, "/", "example.org"), None);
        assert_eq!(redirect(&HttpsPolicy::default(), Scheme::Http, "/", "example.org"), None);
    }

    #[test]
    fn the_port_is_named_if_it_is_not_443() {
        let policy = policy(8443, &["example.org"]);
        let location = redirect(&policy, Scheme::Http, "/a", "example.org:8080");
        assert_eq!(location.as_deref(), Some("https://example.org:8443/a"));
    }

    #[test]
    fn strict_transport_security_is_for_https_alone() {
        let policy = policy(443, &["example.org"]);
        assert_eq!((policy.hsts(Scheme::Https), policy.hsts(Scheme::Http)), (Some("max-age=1"), None));
    }
}

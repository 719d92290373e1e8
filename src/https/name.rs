//! The names for which a certificate is requested.

use crate::dns_name;
use crate::failure::Failure;

/// Returns the names in lower case, each once, in the order in which they were given.
pub fn valid(names: &[String]) -> Result<Vec<String>, Failure> {
    let mut valid: Vec<String> = Vec::new();
    for name in names {
        let lower = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if let Some(problem) = problem(&lower) {
            return Err(Failure::usage(format!(
                "There can be no certificate for \"{name}\" by this command: {problem}."
            )));
        }
        if !valid.contains(&lower) {
            valid.push(lower);
        }
    }
    Ok(valid)
}

/// Returns the names for which there can be a certificate, and the others.
pub fn partition(names: Vec<String>) -> (Vec<String>, Vec<String>) {
    names.into_iter().partition(|name| problem(name).is_none())
}

fn problem(name: &str) -> Option<&'static str> {
    if name.starts_with("*.") {
        Some(
            "a wildcard is verified by DNS, not by this server; get it with certbot's DNS plugins, then link its folder or use otus-httpd https import",
        )
    } else if name.parse::<std::net::IpAddr>().is_ok() {
        Some("it is an address; give a DNS name")
    } else if !dns_name::is_host_name(name) {
        Some("give a DNS name such as www.example.org, one with other letters in its form that begins with xn--")
    } else if !name.contains('.') {
        Some("a public name has a dot; for a name inside a network, use otus-httpd https import")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_public_dns_names() {
        let given = ["Example.org", "www.example.org.", "example.org", "xn--bcher-kva.example"].map(String::from);
        assert_eq!(valid(&given).unwrap(), ["example.org", "www.example.org", "xn--bcher-kva.example"]);
        for (name, reason) in [
            ("*.example.org", "wildcard"),
            ("192.0.2.1", "address"),
            ("::1", "address"),
            ("localhost", "dot"),
            ("http://example.org", "DNS name"),
            ("example.org/a", "DNS name"),
            ("a..org", "DNS name"),
            ("-a.org", "DNS name"),
            ("bücher.example", "xn--"),
            ("--email.example.org", "DNS name"),
            ("", "DNS name"),
        ] {
            let failure = valid(&[name.to_string()]).unwrap_err();
            assert!(failure.is_usage() && failure.to_string().contains(reason), "{failure}");
        }
    }
}

//! What the rules of a site change in the field lines of a response.

use super::{Scheme, Status};

/// The changes of the field lines that the server would send by itself. Names are compared without case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldChanges {
    /// Fields that are left out.
    pub removed: Vec<String>,
    /// Field lines that are sent, in order. A field of the server with such a name is left out.
    pub set: Vec<FieldLine>,
    /// Members of Vary, which are added to those of the server (RFC 9110 §12.5.5); `*` is one of them.
    pub vary: Vec<String>,
    /// Whether the path has a password that this server does not check: nobody gets its content.
    pub has_password: bool,
}

/// A field line of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldLine {
    /// The name, a token (RFC 9110 §5.1).
    pub name: String,
    /// The value, without control characters (RFC 9110 §5.5).
    pub value: String,
}

impl FieldChanges {
    /// Returns whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.set.is_empty() && self.vary.is_empty() && !self.has_password
    }

    /// Returns whether the server's own field with this name is left out of a response with this status.
    pub fn replaces(&self, name: &str, status: Status) -> bool {
        self.removed.iter().any(|removed| removed.eq_ignore_ascii_case(name))
            || self.set.iter().any(|line| line.name.eq_ignore_ascii_case(name) && line.applies_to(status))
    }

    /// Returns what is left of the lines that every response has: the value of Strict-Transport-Security, which is `hsts` without a
    /// rule, and whether there is Server.
    pub fn common<'h>(&self, status: Status, hsts: Option<&'h str>) -> (Option<&'h str>, bool) {
        let hsts = hsts.filter(|_| !self.replaces("Strict-Transport-Security", status));
        (hsts, !self.replaces("Server", status))
    }

    /// Returns the field lines to send, without Vary.
    pub fn lines(&self, status: Status, scheme: Scheme) -> impl Iterator<Item = &FieldLine> {
        self.set.iter().filter(move |line| line.applies_to(status) && line.applies_over(scheme))
    }
}

impl FieldLine {
    /// Returns whether a response with this status has the line.
    ///
    /// - A 4xx or 5xx has no lifetime: what is missing now may exist in a moment. Its content is not that of the path.
    /// - A 304 has no field that describes content (RFC 9110 §15.4.5).
    pub fn applies_to(&self, status: Status) -> bool {
        match status.code() {
            304 => !describes_content(&self.name),
            400.. => !describes_content(&self.name) && !self.has_lifetime(),
            _ => true,
        }
    }

    /// Strict-Transport-Security must not be sent without TLS (RFC 6797 §7.2).
    pub fn applies_over(&self, scheme: Scheme) -> bool {
        scheme == Scheme::Https || !self.name.eq_ignore_ascii_case("Strict-Transport-Security")
    }

    /// Returns whether the line lets a cache use a response without asking again (RFC 9111 §5.2.2, §5.3).
    fn has_lifetime(&self) -> bool {
        let is = |name: &str| self.name.eq_ignore_ascii_case(name);
        if is("Expires") {
            return self.value.trim() != "0" && self.value.trim() != "-1";
        }
        // Fields for caches of one kind have the same syntax (RFC 9213), and so has Surrogate-Control.
        let is_cache_control = ends_with_ignore_case(&self.name, "Cache-Control") || is("Surrogate-Control");
        // Some caches are lenient about what separates directives.
        is_cache_control && self.value.split([',', ';', ' ', '\t']).any(gives_lifetime)
    }
}

fn gives_lifetime(directive: &str) -> bool {
    let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
    let value = value.trim_matches('"');
    let is_zero = !value.is_empty() && value.bytes().all(|digit| digit == b'0');
    match name.to_ascii_lowercase().as_str() {
        "immutable" => true,
        "max-age" | "s-maxage" | "stale-while-revalidate" | "stale-if-error" => !is_zero,
        _ => false,
    }
}

/// Content-Security-Policy and the like begin with "Content-" and describe no content.
fn describes_content(name: &str) -> bool {
    ["Content-Type", "Content-Language", "Content-Disposition", "Content-Location", "Content-MD5", "Content-Digest"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

fn ends_with_ignore_case(text: &str, end: &str) -> bool {
    text.len()
        .checked_sub(end.len())
        .and_then(|start| text.get(start..))
        .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, value: &str) -> FieldLine {
        FieldLine { name: name.into(), value: value.into() }
    }

    #[test]
    fn an_error_has_no_lifetime() {
        for (name, value, expected) in [
            ("Cache-Control", "public, max-age=31536000, immutable", false),
            ("cache-control", "immutable", false),
            ("Cache-Control", "max-age=0, s-maxage=60", false),
            ("Cache-Control", "max-age=0, stale-while-revalidate=60", false),
            ("Cache-Control", "Max-Age = \"60\"", false),
            ("Cache-Control", "max-age", false),
            ("Cache-Control", "max-age=0; public max-age=60", false),
            ("Cloudflare-CDN-Cache-Control", "max-age=60", false),
            ("CDN-Cache-Control", "max-age=60", false),
            ("Surrogate-Control", "max-age=60", false),
            ("Expires", "Thu, 01 Jan 2099 00:00:00 GMT", false),
            ("Content-Type", "text/javascript", false),
            ("Content-Disposition", "attachment", false),
            ("Expires", "0", true),
            ("Cache-Control", "no-store", true),
            ("Cache-Control", "public, max-age=0, must-revalidate", true),
            ("Cache-Control", "max-age=00", true),
            ("X-Cache", "max-age=60", true),
            ("Content-Security-Policy", "default-src 'self'", true),
        ] {
            let line = line(name, value);
            assert_eq!(line.applies_to(Status::NotFound), expected, "{line:?}");
            assert_eq!(line.applies_to(Status::ServiceUnavailable), expected, "{line:?}");
            assert!(line.applies_to(Status::Ok) && line.applies_to(Status::PartialContent));
        }
    }

    #[test]
    fn a_304_describes_no_content() {
        assert!(!line("content-type", "text/plain").applies_to(Status::NotModified));
        assert!(line("Cache-Control", "max-age=60").applies_to(Status::NotModified));
        assert!(line("Content-Security-Policy", "x").applies_to(Status::NotModified));
    }

    #[test]
    fn strict_transport_security_is_for_https_alone() {
        let set = vec![line("strict-transport-security", "max-age=60"), line("X-A", "1")];
        let changes = FieldChanges { set, ..FieldChanges::default() };
        let names = |scheme| changes.lines(Status::Ok, scheme).map(|line| line.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names(Scheme::Http), ["X-A"]);
        assert_eq!(names(Scheme::Https), ["strict-transport-security", "X-A"]);
    }

    #[test]
    fn a_default_is_replaced_where_the_rule_applies() {
        let set = vec![line("cache-control", "max-age=60")];
        let changes = FieldChanges { set, removed: vec!["server".into()], ..FieldChanges::default() };
        assert!(changes.replaces("Cache-Control", Status::Ok) && changes.replaces("Server", Status::NotFound));
        assert!(!changes.replaces("Cache-Control", Status::NotFound) && !changes.replaces("ETag", Status::Ok));
    }
}

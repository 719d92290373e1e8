//! Which field sections are requests and trailers (RFC 9113 §8.1, §8.2, §8.3).

use otus_httpd::http::{Limits, Scheme};

pub type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// What a section may be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A request, which gets an answer.
    Request,
    /// Malformed: the stream ends with PROTOCOL_ERROR.
    Malformed,
    /// Either: what is beyond the limits of the server need not be looked at, and RFC 9113 does not say for the rest.
    Either,
}

/// The fields of connections of HTTP/1.1 (§8.2.2).
const OF_CONNECTIONS: [&[u8]; 5] =
    [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];

/// What the section of a new stream is.
pub fn kind(lines: &Lines, scheme: Scheme, limits: &Limits) -> Kind {
    if is_beyond(lines, limits) {
        return Kind::Either;
    }
    let [methods, schemes, authorities, paths, hosts] =
        [":method", ":scheme", ":authority", ":path", "host"].map(|name| values(lines, name));
    let known = methods.len() + schemes.len() + authorities.len() + paths.len();
    let pseudo_count = lines.iter().take_while(|line| line.0.starts_with(b":")).count();
    let is_in_order = lines.iter().skip(pseudo_count).all(|line| !line.0.starts_with(b":"));
    let [method] = methods[..] else { return Kind::Malformed };
    if !is_in_order || known != pseudo_count || !are_fields_valid(lines) || authorities.len() > 1 {
        return Kind::Malformed;
    }
    if method.is_empty() || !method.iter().all(|&byte| is_token_byte(byte)) {
        return Kind::Malformed;
    }
    let is_connect = method == b"CONNECT";
    match (&schemes[..], &paths[..]) {
        ([], []) if is_connect => {}
        ([given], [path]) if !is_connect => {
            let is_known = [scheme.as_str(), "https"].iter().any(|known| given.eq_ignore_ascii_case(known.as_bytes()));
            let is_path = path.starts_with(b"/") || *path == b"*" && method == b"OPTIONS";
            if !is_known || !is_path || std::str::from_utf8(path).is_err() {
                return Kind::Malformed;
            }
        }
        _ => return Kind::Malformed,
    }
    match (&authorities[..], &hosts[..]) {
        ([], []) | ([], [_, _, ..]) => Kind::Malformed,
        (_, [_, _, ..]) => Kind::Malformed,
        ([one], []) | ([], [one]) if std::str::from_utf8(one).is_ok() => Kind::Request,
        ([authority], [host]) if authority == host && std::str::from_utf8(host).is_ok() => Kind::Request,
        // They may be the same in other letters, or with the port of the scheme.
        ([authority], [host]) if is_perhaps_same(authority, host) => Kind::Either,
        _ => Kind::Malformed,
    }
}

/// What the section behind the content is (§8.1).
pub fn kind_of_trailers(lines: &Lines, limits: &Limits) -> Kind {
    let has_pseudo = lines.iter().any(|line| line.0.starts_with(b":"));
    let has_host = lines.iter().any(|line| line.0 == b"host");
    match are_fields_valid(lines) && !has_pseudo {
        _ if is_beyond(lines, limits) => Kind::Either,
        false => Kind::Malformed,
        true if has_host => Kind::Either,
        true => Kind::Request,
    }
}

/// Whether it exceeds the limits of the server, which get 431.
fn is_beyond(lines: &Lines, limits: &Limits) -> bool {
    size(lines) > limits.head_bytes || lines.len() > limits.fields.min(256)
}

fn values<'a>(lines: &'a Lines, name: &str) -> Vec<&'a [u8]> {
    lines.iter().filter(|line| line.0 == name.as_bytes()).map(|line| &line.1[..]).collect()
}

/// The size as §6.5.2 counts it.
pub fn size(lines: &Lines) -> usize {
    lines.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
}

/// Whether the names and values are valid, apart from which pseudo-header fields there are (§8.2.1, §8.2.2, §8.1.1).
fn are_fields_valid(lines: &Lines) -> bool {
    let lengths: Vec<_> = lines.iter().filter(|line| line.0 == b"content-length").map(|line| length(&line.1)).collect();
    lines.iter().all(|(name, value)| {
        let bare = name.strip_prefix(b":").unwrap_or(name);
        let is_name = !bare.is_empty() && bare.iter().all(|&byte| is_token_byte(byte) && !byte.is_ascii_uppercase());
        let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        let is_value = !value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
            && !is_blank(value.first())
            && !is_blank(value.last());
        let is_allowed =
            !OF_CONNECTIONS.contains(&&name[..]) && (name != b"te" || value.eq_ignore_ascii_case(b"trailers"));
        is_name && is_value && is_allowed
    }) && lengths.iter().all(|length| length.is_some() && *length == lengths[0])
}

/// The number that a Content-Length says.
pub fn length(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
}

fn is_perhaps_same(authority: &[u8], host: &[u8]) -> bool {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let (authority, host) = (text(authority), text(host));
    authority.starts_with(&host) || host.starts_with(&authority)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

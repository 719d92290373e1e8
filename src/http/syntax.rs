//! The syntax of heads and trailers: lines, tokens, parameters, authorities (RFC 9110 §5.6.2, RFC 9112 §2.2).

use super::Refusal;

/// Returns the first line of `bytes`, without its CR LF; `None` if its end has not arrived.
///
/// A line feed alone does not end a line. RFC 9112 would allow it, but requests can be smuggled if one recipient takes it
/// for a line end and another for content.
pub fn line(bytes: &[u8]) -> Result<Option<&[u8]>, Refusal> {
    let control = |&b: &u8| b != b'\t' && (b < b' ' || b == 0x7f);
    let Some(end) = bytes.iter().position(control) else { return Ok(None) };
    match bytes[end..] {
        [b'\r', b'\n', ..] => Ok(Some(&bytes[..end])),
        [b'\r'] => Ok(None),
        _ => Err(Refusal::Malformed("a line contains a control character, or does not end with CR LF")),
    }
}

/// Returns whether a token, such as a method or a field name, may contain `byte` (RFC 9110 §5.6.2).
pub const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// Returns whether two names of fields are the same: their case does not matter (RFC 9110 §5.1), but names with the same case cost
/// least.
pub fn is_name(sent: &str, name: &str) -> bool {
    sent == name || sent.eq_ignore_ascii_case(name)
}

/// Returns the number that the digits of `value` are, as in Content-Length (RFC 9110 §8.6). None if there are other bytes, or none, or
/// the number is too large.
pub fn number(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits?.parse().ok()
}

/// Removes leading spaces and tabs.
pub fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|&&b| matches!(b, b' ' | b'\t')).count();
    &bytes[blanks..]
}

/// Splits off the leading token; returns None if there is none (RFC 9110 §5.6.2).
pub fn token(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = bytes.iter().take_while(|&&b| is_token_byte(b)).count();
    (length > 0).then(|| bytes.split_at(length))
}

/// Parses a parameter after its semicolon. Returns whether it has a value, which is a token or a quoted string, and the
/// rest; None if it is malformed. Accepts the bad white space of RFC 9110 §5.6.3.
pub fn parameter(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let (_, rest) = token(skip_blanks(bytes))?;
    let [b'=', value @ ..] = skip_blanks(rest) else { return Some((false, rest)) };
    let value = skip_blanks(value);
    let rest = match value {
        [b'"', quoted @ ..] => skip_quoted(quoted)?,
        _ => token(value)?.1,
    };
    Some((true, rest))
}

/// Returns the rest after a quoted string whose opening quote was removed (RFC 9110 §5.6.4); None if it does not end.
/// The caller has rejected lines with bytes that a quoted string may not contain.
fn skip_quoted(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        bytes = match bytes {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', _, rest @ ..] | [_, rest @ ..] => rest,
            [] => return None,
        };
    }
}

/// Returns whether `value` is valid in a Host field, or as the authority of an http URI: a host that is not empty
/// (RFC 9110 §4.2.1), an optional port, no user (RFC 9110 §7.2, RFC 3986 §3.2.2).
pub fn is_authority(value: &[u8]) -> bool {
    let rest = match value {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&b| b == b']') else { return false };
            let (address, rest) = rest.split_at(end);
            let address = std::str::from_utf8(address).unwrap_or_default();
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            &rest[1..]
        }
        name => skip_registered_name(name),
    };
    let is_port = match rest {
        [] => true,
        [b':', port @ ..] => port.len() <= 5 && port.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let has_host = rest.len() < value.len();
    has_host && is_port
}

/// Returns the host of a valid authority, without its port: a name, an IPv4 address, or an IPv6 address in brackets.
pub fn host(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|byte| !byte.is_ascii_digit()) {
        Some(colon) if authority[colon] == b':' => &authority[..colon],
        _ => authority,
    }
}

/// What bytes of a host name are: a sum of [`ODD`] and [`UPPER`]. Most have none of them.
pub fn host_kinds(bytes: &[u8]) -> u8 {
    // There is no branch for each byte, since most names are plain to their end.
    bytes.iter().fold(0, |kinds, &byte| kinds | HOST_KINDS[usize::from(byte)])
}

/// A byte that needs an escape in a host name, or begins one.
pub const ODD: u8 = 1;

/// A letter in upper case.
pub const UPPER: u8 = 2;

/// Removes leading unreserved characters, subcomponent delimiters and escapes (RFC 3986 §3.2.2).
fn skip_registered_name(mut bytes: &[u8]) -> &[u8] {
    while let Some(odd) = bytes.iter().position(|&b| HOST_KINDS[usize::from(b)] & ODD != 0) {
        bytes = match &bytes[odd..] {
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            rest => return rest,
        };
    }
    &[]
}

/// The kind of each byte of a host name. A table, since every request has a host name.
const HOST_KINDS: [u8; 256] = {
    let mut kinds = [ODD; 256];
    let mut byte = 0;
    while byte < 128 {
        match byte as u8 {
            b'A'..=b'Z' => kinds[byte] = UPPER,
            b'a'..=b'z' | b'0'..=b'9' => kinds[byte] = 0,
            _ => {}
        }
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=";
    let mut n = 0;
    while n < others.len() {
        kinds[others[n] as usize] = 0;
        n += 1;
    }
    kinds
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(line(b"a b\r\nc"), Ok(Some(b"a b".as_slice())));
        assert_eq!(line(b"\r\n"), Ok(Some(b"".as_slice())));
        assert_eq!(line(b"a\tb \xff"), Ok(None));
        assert_eq!(line(b"a\r"), Ok(None));
        for bad in [b"a\n".as_slice(), b"a\rb\r\n", b"\0\r\n", b"a\x7f\r\n", b"\r\r\n"] {
            assert!(line(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn parameters() {
        let read = |text: &'static str| parameter(text.as_bytes()).map(|(has_value, rest)| (has_value, rest.len()));
        for (text, has_value, rest) in [
            ("a", false, 0),
            (" a ;b", false, 3),
            ("a=b", true, 0),
            ("\ta \t= b ;c=d", true, 5),
            ("a=\"\"", true, 0),
            ("a=\"b;c=\\\"\\\\\";d", true, 2),
            ("a=b=c", true, 2),
        ] {
            assert_eq!(read(text), Some((has_value, rest)), "{text}");
        }
        for bad in ["", " ", ";", "=b", "a=", "a= ", "a=\"", "a=\"b", "a=\"b\\", "a=\"b\\\"", "a=[b", "[", "\"a\"=b"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn authorities() {
        for good in
            ["a", "a:80", "A-b.example:8080", "127.0.0.1", "[::1]", "[::ffff:1.2.3.4]:80", "a:", "a%20b", "xn--a"]
        {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            ":",
            "a b",
            "a/b",
            "user@a",
            "a:b",
            "a:80:80",
            "a:123456",
            "[name]",
            "[1.2.3.4]",
            "[::1",
            "[]",
            "[::1]x",
            "::1",
            "a%2",
            "a,b c",
            "ä",
            "a\\b",
            "a?b",
            "a#b",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
        for (authority, expected) in [
            ("a", "a"),
            ("A-b.example:8080", "A-b.example"),
            ("a:", "a"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
        ] {
            assert_eq!(host(authority.as_bytes()), expected.as_bytes());
        }
    }
}

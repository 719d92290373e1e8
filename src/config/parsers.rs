//! Parsers for the values of settings. Each error names the valid values.

use std::time::Duration;

use crate::http::{limits, media_type};
use crate::ipc::scoreboard;

pub fn rate(text: &str) -> Result<u64, String> {
    count(text, 0, 1_000_000).map(|number| number as u64)
}

pub fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err("give yes or no".into()),
    }
}

pub fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "a port is a number from 0 to 65535".into())
}

pub fn workers(text: &str) -> Result<usize, String> {
    count(text, 1, scoreboard::MAX_WORKERS)
}

pub fn threads(text: &str) -> Result<usize, String> {
    count(text, 1, 32_768)
}

pub fn connections(text: &str) -> Result<usize, String> {
    count(text, 1, 10_000_000)
}

pub fn fields(text: &str) -> Result<usize, String> {
    count(text, 1, limits::FIELDS)
}

pub fn requests(text: &str) -> Result<usize, String> {
    count(text, 1, usize::MAX)
}

pub fn head_bytes(text: &str) -> Result<usize, String> {
    let range = 512..=1 << 20;
    bytes(text).ok().filter(|number| range.contains(number)).ok_or_else(|| "give a size from 512 to 1024k".into())
}

pub fn count(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("give a number from {least} to {most}"))
}

pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| "give whole seconds, from 1 to 86400".into())
}

/// The minimum is 3 seconds: the disk is asked once a second, and a busy machine answers later.
pub fn health_timeout(text: &str) -> Result<Duration, String> {
    let long_enough = seconds(text).ok().filter(|seconds| seconds.as_secs() >= 3);
    long_enough.ok_or_else(|| "give whole seconds, from 3 to 86400".into())
}

/// The limit is that of an administrator's patience, not of the server.
pub fn lame_duck(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0..=3_600).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| "give whole seconds, from 0 to 3600".into())
}

/// Returns a path that a decoded target can be equal to: without escapes, query, and segments that are removed.
pub fn health_path(text: &str) -> Result<String, String> {
    let mut segments = text.split('/');
    let is_absolute = segments.next() == Some("");
    let is_segment = |segment: &str| {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"%?#\\\"<>^`{|}".contains(&byte);
        !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain)
    };
    let is_path = is_absolute && segments.all(is_segment);
    is_path.then(|| text.to_string()).ok_or_else(|| "give an absolute path without a query, such as /health".into())
}

/// The minimum is 3 seconds: after five starts within ten seconds, systemd starts neither service nor socket again
/// (systemd.unit(5), StartLimitBurst=).
pub fn idle_exit(text: &str) -> Result<Duration, String> {
    let long_enough = seconds(text).ok().filter(|seconds| seconds.as_secs() >= 3);
    long_enough.ok_or_else(|| {
        "give whole seconds, from 3 to 86400; with less, systemd's limit on the rate of starts would stop the service".into()
    })
}

pub fn bytes(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| "give a number of bytes, such as 65536, 64k or 8m".into())
}

pub fn mime(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').map(|(extension, of)| (extension.trim_start_matches('.'), of));
    let pair = pair.filter(|(extension, of)| !extension.is_empty() && media_type::is_media_type(of));
    let pair = pair.map(|(extension, of)| (extension.to_string(), of.to_string()));
    pair.ok_or_else(|| "give an extension and its media type, such as wasm=application/wasm".into())
}

/// Returns the name of a file in any directory.
pub fn file_name(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\0']);
    is_name.then(|| text.to_string()).ok_or_else(|| "give the name of a file, such as index.html".into())
}

pub fn charset(text: &str) -> Result<String, String> {
    let is_token = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:+".contains(&b));
    is_token.then(|| text.to_string()).ok_or_else(|| "a charset is a name such as utf-8".into())
}

/// Returns the value of Strict-Transport-Security (RFC 6797 §6.1). The lists of browsers accept `preload` only with a year and
/// with all subdomains, and remove a site only after months.
pub fn hsts(text: &str) -> Result<String, String> {
    const YEAR_S: u32 = 31_536_000;
    let mut parts = text.split(',').map(str::trim);
    let seconds: Option<u32> = parts.next().and_then(|seconds| seconds.parse().ok());
    let (mut subdomains, mut preload, mut is_known) = (false, false, true);
    for part in parts {
        match part.to_ascii_lowercase().as_str() {
            "includesubdomains" => subdomains = true,
            "preload" => preload = true,
            _ => is_known = false,
        }
    }
    let Some(seconds) = seconds.filter(|_| is_known) else {
        return Err(
            "give seconds, then optionally ,includeSubDomains and ,preload, such as 31536000,includeSubDomains".into(),
        );
    };
    if preload && (seconds < YEAR_S || !subdomains) {
        return Err(format!("preload requires at least {YEAR_S} seconds and includeSubDomains"));
    }
    let directives = [(subdomains, "; includeSubDomains"), (preload, "; preload")];
    let directives = directives.into_iter().filter_map(|(is_set, text)| is_set.then_some(text));
    Ok(format!("max-age={seconds}{}", directives.collect::<String>()))
}

/// Returns whether browsers that have received this value of Strict-Transport-Security use HTTPS only. With 0 seconds, they forget
/// the site.
pub fn requires_https(value: &str) -> bool {
    !value.starts_with("max-age=0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_require_https_unless_the_time_is_zero() {
        for (setting, expected) in [
            ("300", true),
            ("31536000,includeSubDomains", true),
            ("0", false),
            ("00", false),
            ("0,includeSubDomains", false),
        ] {
            assert_eq!(requires_https(&hsts(setting).unwrap()), expected, "{setting}");
        }
    }

    #[test]
    fn preload_requires_a_year_and_all_subdomains() {
        for (text, value) in [
            ("0", Some("max-age=0")),
            ("300", Some("max-age=300")),
            ("300,includesubdomains", Some("max-age=300; includeSubDomains")),
            ("31536000, preload, includeSubDomains", Some("max-age=31536000; includeSubDomains; preload")),
            ("31535999,includeSubDomains,preload", None),
            ("31536000,preload", None),
            ("31536000,always", None),
            ("31536000,", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(hsts(text).ok().as_deref(), value, "{text}");
        }
    }

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(bytes("65536"), Ok(65536));
        assert_eq!(bytes("64k"), Ok(65536));
        assert_eq!(bytes("8M"), Ok(8 << 20));
        for wrong in ["", "k", "-1", "8mb", "99999999999g"] {
            assert!(bytes(wrong).is_err(), "{wrong:?}");
        }
    }
}

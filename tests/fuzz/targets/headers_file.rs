//! Rules of `_headers` never break a message, whatever the file and the path. The first line of the input is a host and a path,
//! the rest is the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otus_httpd::http::field_changes::FieldLine;
use otus_httpd::http::syntax::is_token_byte;
use otus_httpd::http::{FieldChanges, Scheme, Status, target};
use otus_httpd::rules::HeaderRules;

fuzz_target!(|input: &[u8]| {
    let Some(end) = input.iter().position(|&byte| byte == b'\n') else { return };
    let (Ok(request), file) = (std::str::from_utf8(&input[..end]), &input[end + 1..]) else { return };
    let Ok(parsed) = HeaderRules::parse(file) else { return };
    let count = file.split(|&byte| byte == b'\n').count();
    for mistake in &parsed.mistakes {
        assert!((1..=count).contains(&mistake.line));
        assert!(mistake.reason.len() < 1000 && !mistake.reason.contains(char::is_control), "{mistake:?}");
    }
    assert!(parsed.mistakes.is_sorted_by_key(|mistake| mistake.line));
    let (host, text) = request.split_once(' ').unwrap_or(("example.org", request));
    let mut path = Vec::new();
    let Ok(decoded) = target::decode(text, &mut path) else { return };
    let path = [b"/", decoded.path].concat();
    let changes = parsed.rules.changes(Some(host), &path);
    check(&changes);
    assert_eq!(changes.has_password, parsed.rules.has_password(Some(host), &path));
    if file.len() < 4096 {
        assert_eq!(changes, rule_by_rule(file, host, &path));
    }
});

fn check(changes: &FieldChanges) {
    let is_token = |text: &String| !text.is_empty() && text.bytes().all(is_token_byte);
    for (index, FieldLine { name, value }) in changes.set.iter().enumerate() {
        assert!(is_token(name) && is_allowed(name), "{name}");
        assert!(!value.is_empty() && !value.chars().any(|c| c.is_ascii_control() && c != '\t'), "{value:?}");
        let is_known = changes.set[..index].iter().any(|line| line.name.eq_ignore_ascii_case(name));
        assert!(!is_known || name.eq_ignore_ascii_case("set-cookie"), "{name}");
    }
    assert!(changes.removed.iter().all(|name| is_token(name) && is_allowed(name)));
    assert!(changes.vary.iter().all(is_token));
    let is_sts = |line: &FieldLine| line.name.eq_ignore_ascii_case("strict-transport-security");
    assert!(!changes.lines(Status::Ok, Scheme::Http).any(is_sts));
    let is_lifetime = |directive: &str| directive.to_ascii_lowercase().starts_with("max-age=1");
    let has_lifetime = |line: &FieldLine| {
        line.name.eq_ignore_ascii_case("cache-control") && line.value.split([',', ';', ' ']).any(is_lifetime)
    };
    assert!(!changes.lines(Status::NotFound, Scheme::Https).any(has_lifetime));
}

fn is_allowed(name: &str) -> bool {
    let forbidden = [
        "accept-ranges",
        "age",
        "allow",
        "alt-svc",
        "basic-auth",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "date",
        "etag",
        "keep-alive",
        "last-modified",
        "location",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
        "www-authenticate",
    ];
    let name = name.to_ascii_lowercase();
    !forbidden.contains(&name.as_str()) && !name.starts_with("proxy-")
}

/// What the rules do if each is a file of its own.
fn rule_by_rule(file: &[u8], host: &str, path: &[u8]) -> FieldChanges {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let mut blocks: Vec<Vec<u8>> = vec![Vec::new()];
    for line in file.split_inclusive(|&byte| byte == b'\n') {
        if is_source(line) {
            blocks.push(Vec::new());
        }
        blocks.last_mut().unwrap().extend_from_slice(line);
    }
    let mut all = FieldChanges::default();
    for block in blocks {
        let changes = HeaderRules::parse(&block).unwrap().rules.changes(Some(host), path);
        all.has_password |= changes.has_password;
        let is_same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        for name in changes.removed {
            all.set.retain(|line| !is_same(&line.name, &name));
            if !all.removed.iter().any(|removed| is_same(removed, &name)) {
                all.removed.push(name);
            }
        }
        for line in changes.set {
            match all.set.iter_mut().find(|known| is_same(&known.name, &line.name)) {
                Some(known) if !is_same(&line.name, "set-cookie") => {
                    known.value = format!("{}, {}", known.value, line.value)
                }
                _ => all.set.push(line),
            }
        }
        for member in changes.vary {
            if !all.vary.iter().any(|known| is_same(known, &member)) {
                all.vary.push(member);
            }
        }
    }
    all
}

fn is_source(line: &[u8]) -> bool {
    let start = line.iter().position(|byte| !b" \t\r".contains(byte)).unwrap_or(line.len());
    let scheme = line[start..].split(|&byte| byte == b':').next().unwrap();
    let is_scheme =
        !scheme.is_empty() && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    line[start..].starts_with(b"/") || is_scheme && line[start + scheme.len()..].starts_with(b"://")
}

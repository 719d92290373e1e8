//! A path never leaves the root, and a redirect leads to the same resource on this host.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otus_httpd::http::target;

fuzz_target!(|text: &str| {
    let mut path = Vec::new();
    let Ok(target) = target::decode(text, &mut path) else { return };
    assert!(!target.path.starts_with(b"/") && !target.path.contains(&0));
    let mut names = target.path.split(|&byte| byte == b'/');
    assert!(names.all(|name| name != b"." && name != b".."));
    assert!(!target.path.windows(2).any(|two| two == b"//"));
    assert!(target.path.len() < text.len().max(1));

    if text.starts_with('/') {
        // This does not use the shortcut for plain targets, and must have the same result.
        let (resolved, mut path) = (format!("/.{text}"), Vec::new());
        assert_eq!(target::decode(&resolved, &mut path).as_ref(), Ok(&target));
    }

    let location = target.with_slash();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte);
    assert!(location.bytes().all(is_plain), "{location}");
    // One segment: it contains neither host nor scheme, and leads to no other directory.
    let segment = location.split('?').next().unwrap();
    let is_prefixed = segment.starts_with("./");
    let name = segment.strip_prefix("./").unwrap_or(segment);
    let name = name.strip_suffix('/').unwrap_or(name);
    assert!(!name.contains('/') && name != "." && name != "..", "{location}");
    assert!(is_prefixed == (name.is_empty() || name.contains(':')), "{location}");

    // RFC 3986 §5.2.3: it replaces the last segment.
    let end = text.find('?').unwrap_or(text.len());
    let begin = text.find("://").map_or(0, |colon| if text.starts_with('/') { 0 } else { colon + 3 });
    let followed = match text[begin..end].rfind('/') {
        Some(slash) => format!("{}{location}", &text[..begin + slash + 1]),
        None => format!("{}/{location}", &text[..end]),
    };
    let mut again = Vec::new();
    let again = target::decode(&followed, &mut again).expect("a redirect that is a target");
    let without_slash = |path: &[u8]| path.strip_suffix(b"/").unwrap_or(path).to_vec();
    assert!(again.is_directory());
    // A path that ends with a dot segment is a directory, for which there is no redirect.
    if !target.is_directory() {
        assert_eq!(without_slash(again.path), without_slash(target.path));
        assert_eq!(again.is_hidden, target.is_hidden);
    }
    assert_eq!(again.query.is_some(), target.query.is_some());
});

//! A path never escapes, and a redirect leads to the same place on this host.
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
        // Not the way that plain targets take, and to the same place.
        let (resolved, mut path) = (format!("/.{text}"), Vec::new());
        assert_eq!(target::decode(&resolved, &mut path).as_ref(), Ok(&target));
    }

    let location = target.with_slash();
    assert!(location.starts_with('/') && !location.starts_with("//"), "{location}");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte);
    assert!(location.bytes().all(is_plain), "{location}");

    let mut again = Vec::new();
    let again = target::decode(&location, &mut again).expect("a redirect that is a target");
    let with_slash = |path: &[u8]| path.strip_suffix(b"/").unwrap_or(path).to_vec();
    assert!(again.is_directory());
    assert_eq!(with_slash(again.path), with_slash(target.path));
    assert_eq!(again.is_hidden(), target.is_hidden());
    assert_eq!(again.query.is_some(), target.query.is_some());
    assert_eq!(again.with_slash(), location);
});

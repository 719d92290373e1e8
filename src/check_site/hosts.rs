//! The hosts of the site: links with one of them are links within the site.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;

use html5gum::{DefaultEmitter, Token, Tokenizer};

use super::html;
use crate::rules::normal_host;
use crate::site::root::Root;

/// The size in bytes up to which the home page and the sitemap are read.
const MAX_BYTES: u64 = 16 << 20;

/// The sitemap, and the list of sitemaps that generators write instead.
const SITEMAPS: [&str; 2] = ["sitemap.xml", "sitemap-index.xml"];

/// Returns the host that the site itself names: that of the canonical link of its home page, one of the `index`es, or else that
/// which all addresses of its sitemap have. None if it names none.
pub fn of_site(root: &Root, index: &[String]) -> Option<String> {
    let home = index.iter().find_map(|name| read(root, name));
    let canonical = home.and_then(|content| html::read(&content).canonical);
    if let Some((host, path)) = canonical.as_deref().and_then(split)
        && matches!(path, "" | "/")
    {
        return Some(host);
    }
    let mut addresses = locations(&SITEMAPS.iter().find_map(|name| read(root, name))?).into_iter();
    let host = split(&addresses.next()?)?.0;
    addresses.all(|address| split(&address).is_some_and(|(other, _)| other == host)).then_some(host)
}

/// Splits a URL of http or https, or one without a scheme that begins with two slashes: the host, in lower case and without the
/// port, and the rest.
pub fn split(url: &str) -> Option<(String, &str)> {
    let (scheme, rest) = url.split_once("//")?;
    let is_web = ["", "http:", "https:"].iter().any(|web| scheme.eq_ignore_ascii_case(web));
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    (is_web && !authority.is_empty()).then(|| (normal_host(authority), rest))
}

/// Returns the addresses of a sitemap (sitemaps.org).
fn locations(content: &[u8]) -> Vec<String> {
    let (mut found, mut is_location) = (Vec::new(), false);
    let mut tokens = Tokenizer::new_with_emitter(content, DefaultEmitter::<usize>::new_with_span());
    while let Some(Ok(token)) = tokens.next() {
        match token {
            Token::StartTag(tag) => is_location = &**tag.name == b"loc",
            Token::String(text) if is_location => found.push(String::from_utf8_lossy(&text).trim().to_string()),
            Token::EndTag(_) => is_location = false,
            _ => {}
        }
    }
    found
}

fn read(root: &Root, name: &str) -> Option<Vec<u8>> {
    let file = File::from(root.open_beneath(&CString::new(name).ok()?).ok()?);
    let mut content = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut content).ok()?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: Option<&str>) {
        let directory = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, content)| fs::write(directory.path().join(name), content).unwrap());
        let root = Root::open(directory.path()).unwrap();
        assert_eq!(of_site(&root, &["index.html".into()]).as_deref(), expected, "{files:?}");
    }

    #[test]
    fn the_host_that_the_site_names() {
        let canonical = |url: &str| format!("<!doctype html><head><link href='{url}' rel='canonical'>");
        let sitemap = "<?xml version='1.0'?><urlset><url><loc>\n https://a.test/x </loc></url><url><loc>https://A.test/</loc></url></urlset>";
        check(&[], None);
        check(&[("index.html", &canonical("https://Example.org:443/"))], Some("example.org"));
        check(&[("index.html", &canonical("https://example.org/")), ("sitemap.xml", sitemap)], Some("example.org"));
        // The page is a copy of another.
        check(&[("index.html", &canonical("https://example.org/x"))], None);
        check(&[("index.html", &canonical("/"))], None);
        check(&[("index.html", "x"), ("sitemap.xml", sitemap)], Some("a.test"));
        check(&[("sitemap-index.xml", "<sitemap><loc>https://b.test/sitemap-0.xml</loc></sitemap>")], Some("b.test"));
        check(&[("sitemap.xml", "<loc>https://a.test/</loc><loc>https://b.test/</loc>")], None);
        check(&[("sitemap.xml", "<loc>/</loc>")], None);
        check(&[("sitemap.xml", "")], None);
    }

    #[test]
    fn urls_and_their_hosts() {
        for (url, expected) in [
            ("https://Example.org./a", Some(("example.org", "/a"))),
            ("HTTP://example.org:8080?q", Some(("example.org", "?q"))),
            ("//example.org", Some(("example.org", ""))),
            ("ftp://example.org/", None),
            ("https:///a", None),
            ("/a//b", None),
            ("a", None),
        ] {
            assert_eq!(split(url), expected.map(|(host, rest)| (host.to_string(), rest)), "{url}");
        }
    }
}

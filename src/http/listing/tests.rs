use super::*;
use crate::http::target;
use std::time::Duration;

fn entry(name: &[u8], is_directory: bool) -> DirEntry {
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    DirEntry { name: name.to_vec(), is_directory, size: 1536, modified }
}

fn of(entries: Vec<DirEntry>) -> Listing {
    Listing { entries, is_cut: false }
}

/// A row of the page: link and text of a file with this name.
fn check(name: &[u8], link: &str, text: &str) {
    let page = html(b"", of(vec![entry(name, false)]));
    let expected = format!("<tr><td><a href=\"{link}\"><bdi>{text}</bdi></a><td>");
    assert!(page.contains(&expected), "{expected}\n{page}");
}

#[test]
fn names_are_text_and_links_lead_to_them() {
    check(b"a.txt", "a.txt", "a.txt");
    check(b"a b", "a%20b", "a b");
    check("ф".as_bytes(), "%D1%84", "ф");
    check(b"50%", "50%25", "50%");
    check(b"%41", "%2541", "%41");
    check(b"a?b#c", "a%3Fb%23c", "a?b#c");
}

#[test]
fn hostile_names() {
    check(
        b"<script>alert(1)</script>",
        "%3Cscript%3Ealert%281%29%3C%2Fscript%3E",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
    );
    check(b"\" onclick=\"x", "%22%20onclick%3D%22x", "&quot; onclick=&quot;x");
    check(b"'a'", "%27a%27", "&#39;a&#39;");
    check(b"&lt;&amp", "%26lt%3B%26amp", "&amp;lt;&amp;amp");
    check(b"javascript:alert(1)", "javascript%3Aalert%281%29", "javascript:alert(1)");
    check(b"a:b", "a%3Ab", "a:b");
    check(b"http:", "http%3A", "http:");
    check(b"//evil.example", "%2F%2Fevil.example", "//evil.example");
    check(b"../up", "..%2Fup", "../up");
    check(b"\\\\evil.example", "%5C%5Cevil.example", "\\\\evil.example");
    check(b"a\r\nb\x00\x1b\x7f", "a%0D%0Ab%00%1B%7F", "a\u{fffd}\u{fffd}b\u{fffd}\u{fffd}\u{fffd}");
    check(b"\xff\xc0\xaf", "%FF%C0%AF", "\u{fffd}\u{fffd}\u{fffd}");
    check("gpj.\u{202e}exe".as_bytes(), "gpj.%E2%80%AEexe", "gpj.\u{202e}exe");
    check(b"...", "...", "...");
    check(b"</bdi></table>", "%3C%2Fbdi%3E%3C%2Ftable%3E", "&lt;/bdi&gt;&lt;/table&gt;");
}

#[test]
fn every_byte_is_linked_exactly() {
    for byte in (1..=255).filter(|&byte| byte != b'/') {
        let name = [b'x', byte];
        let link = link(&entry(&name, false));
        assert!(link.is_ascii() && !link.bytes().any(|b| b.is_ascii_control() || b == b' '), "{link}");
        let mut path = Vec::new();
        let target = format!("/{link}");
        let found = target::decode(&target, &mut path);
        assert_eq!(found.unwrap().path, name, "{link}");
    }
}

#[test]
fn directories_come_first_and_names_in_the_order_of_their_bytes() {
    let names = [(b"b", false), (b"a", false), (b"B", false), (b"z", true), (b"\xff", false), (b"c", true)];
    let page = html(b"", of(names.map(|(name, is_directory)| entry(name, is_directory)).to_vec()));
    let links: Vec<_> = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(links, ["c/", "z/", "B", "a", "b", "%FF"]);
}

#[test]
fn a_page_names_its_path_and_leads_to_the_parent_except_at_the_root() {
    let page =
        html(b"a/<b>\xff/", of(vec![entry(b".", true), entry(b"..", true), entry(b"", true), entry(b"d", true)]));
    assert!(page.contains("<title>Index of /a/&lt;b&gt;\u{fffd}/</title>"), "{page}");
    assert!(page.contains("<a href=\"../\">"));
    assert_eq!(page.matches("<tr><td>").count(), 2);
    let row = "<tr><td><a href=\"d/\"><bdi>d</bdi>/</a><td>\
               <td><time datetime=\"1994-11-06T08:49Z\">1994-11-06 08:49</time>\n";
    assert!(page.contains(row), "{page}");
    let root = html(b"", of(vec![]));
    assert!(root.contains("<title>Index of /</title>") && !root.contains("href"), "{root}");
}

#[test]
fn a_truncated_listing_is_marked() {
    let cut = || Listing { entries: vec![entry(b"a", false)], is_cut: true };
    assert!(html(b"", cut()).contains("This list is not complete"));
    assert!(!html(b"", of(vec![])).contains("not complete"));
    assert_eq!(json(cut()), json(of(vec![entry(b"a", false)])), "the head says it");
}

#[test]
fn sizes() {
    let sizes = [(0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (10_239, "9.9 KiB")];
    for (bytes, expected) in sizes {
        assert_eq!(rounded(bytes), expected);
    }
    assert_eq!(rounded(10_240), "10 KiB");
    assert_eq!(rounded((1 << 20) - 1), "1023 KiB");
    assert_eq!(rounded(1 << 20), "1.0 MiB");
    assert_eq!(rounded(u64::MAX), "15 EiB");
    assert!(html(b"", of(vec![entry(b"a", false)])).contains("<td><span title=\"1536 B\">1.5 KiB</span><td>"));
}

#[test]
fn json_of_entries() {
    assert_eq!(json(of(vec![])), "[\n]\n");
    assert_eq!(
        json(of(vec![entry(b"a\"\\\n\x7f\xff", false), entry("ф:<".as_bytes(), true), entry(b"..", true)])),
        "[\n{\"name\":\"ф:<\",\"href\":\"%D1%84%3A%3C/\",\"type\":\"directory\",\"size\":null,\
         \"mtime\":\"1994-11-06T08:49:37Z\"},\n\
         {\"name\":\"a\\\"\\\\\\u000a\x7f\u{fffd}\",\"href\":\"a%22%5C%0A%7F%FF\",\"type\":\"file\",\"size\":1536,\
         \"mtime\":\"1994-11-06T08:49:37Z\"}\n]\n"
    );
}

#[test]
fn json_only_where_it_is_ranked_above_html() {
    let check = |accept: &[&str], expected: bool| {
        let fields: Vec<_> =
            accept.iter().map(|value| httparse::Header { name: "ACCEPT", value: value.as_bytes() }).collect();
        assert_eq!(Form::of(Fields(&fields)) == Form::Json, expected, "{accept:?}");
    };
    check(&[], false);
    check(&[""], false);
    check(&["*/*"], false);
    check(&["application/json"], true);
    check(&["Application/JSON"], true);
    check(&["application/json;charset=utf-8"], true);
    check(&["application/json, text/html"], false);
    check(&["application/json, text/html;q=0.9"], true);
    check(&["application/json;q=0.9, text/html"], false);
    check(&["text/html;q=0.001", "application/json;q=0.002"], true);
    check(&["application/json, */*;q=0.1"], true);
    check(&["application/json;q=0.1, */*"], false);
    check(&["application/*"], true);
    check(&["application/*, application/json;q=0, text/html;q=0.1"], false);
    check(&["text/html;q=0, */*"], true);
    check(&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], false);
    check(&["application/json;q=2"], false);
    check(&["application/jsonp, json, application/, /json, */json"], false);
    check(&["application/json/x"], false);
}

use super::html::{POLICY, Rounded, SCRIPT, STYLE};
use super::*;
use crate::http::page::source;
use crate::http::target;

fn html(path: &[u8], listing: &Listing) -> String {
    Form::Html(Order::default()).write(path, listing)
}

fn json(listing: &Listing) -> String {
    Form::Json.write(b"", listing)
}

/// The links of a page to its entries.
fn links(page: &str) -> Vec<&str> {
    let list = page.split("<tbody>").nth(1).expect("a list");
    list.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

fn entry(name: &[u8], is_directory: bool) -> DirEntry<'_> {
    DirEntry { name, is_directory, size: 1536, modified_s: 784_111_777 }
}

fn of(entries: &[DirEntry]) -> Listing {
    let mut listing = Listing::default();
    entries.iter().for_each(|&entry| listing.push(entry));
    listing
}

/// Files, and directories before them, with numbers as names.
fn numbered(directories: usize, files: usize) -> Listing {
    let mut listing = Listing::default();
    for number in 0..directories + files {
        listing.push(entry(number.to_string().as_bytes(), number < directories));
    }
    listing
}

/// A row of the page: link and text of a file with this name.
fn check(name: &[u8], link: &str, text: &str) {
    let page = html(b"", &of(&[entry(name, false)]));
    let text = if name.is_ascii() { text.into() } else { format!("<bdi>{text}</bdi>") };
    let expected = format!("><td><a href=\"{link}\">{text}</a><td title=");
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
        let mut link = String::new();
        push_link(&mut link, entry(&name, false));
        assert!(link.is_ascii() && !link.bytes().any(|b| b.is_ascii_control() || b == b' '), "{link}");
        let mut path = Vec::new();
        let target = format!("/{link}");
        let found = target::decode(&target, &mut path);
        assert_eq!(found.unwrap().path, name, "{link}");
    }
}

#[test]
fn directories_come_first_and_names_in_natural_order() {
    let names =
        [("b10", false), ("a", false), ("B9", false), ("z10", true), ("\u{fffd}", false), ("z9", true), ("c", false)];
    let page = html(b"", &of(&names.map(|(name, is_directory)| entry(name.as_bytes(), is_directory))));
    assert_eq!(links(&page), ["z9/", "z10/", "a", "B9", "b10", "c", "%EF%BF%BD"]);
}

#[test]
fn a_page_in_another_order_has_the_rank_of_each_name_for_the_script() {
    let sized = |name, size| DirEntry { size, ..entry(name, false) };
    let entries = of(&[sized(b"a", 1), sized(b"b", 3), sized(b"c", 2), entry(b"d", true)]);
    let page = Form::Html(Order::of(Some("sort=size"))).write(b"", &entries);
    assert_eq!(links(&page), ["d/", "b", "c", "a"]);
    let ranks: Vec<_> = page.split(" data-n=").skip(1).filter_map(|rest| rest.split('>').next()).collect();
    assert_eq!(ranks, ["0", "2", "3", "1"]);
    let heading = "<th><a href=\"?sort=name&amp;order=asc\" rel=\"nofollow\">Name</a>\
                   <th aria-sort=\"descending\"><a href=\"?sort=size&amp;order=asc\" rel=\"nofollow\">Size</a>\
                   <th><a href=\"?sort=time&amp;order=desc\" rel=\"nofollow\">Modified (UTC)</a>\n";
    assert!(page.contains(heading), "{page}");
    let page = html(b"", &entries);
    assert!(!page.contains(" data-n="), "in the order of names, the script counts the rows: {page}");
    assert!(page.contains("<th aria-sort=\"ascending\"><a href=\"?sort=name&amp;order=desc\""), "{page}");
}

#[test]
fn a_page_names_its_path_and_leads_to_each_directory_above() {
    let page = html(b"a/<b>\xff/", &of(&[entry(b".", true), entry(b"..", true), entry(b"", true), entry(b"d", true)]));
    assert!(page.contains("<title>Index of /a/&lt;b&gt;\u{fffd}/</title>"), "{page}");
    let steps = "<h1>Index of <a href=\"../../\" aria-label=\"Top directory\">/</a><a href=\"../\"><bdi>a</bdi></a>/\
                 <b aria-current=\"page\"><bdi>&lt;b&gt;\u{fffd}</bdi></b>/</h1>";
    assert!(page.contains(steps), "{page}");
    assert!(page.contains("<a href=\"../\">Parent directory</a>"));
    assert_eq!(links(&page), ["d/"]);
    let row = "<tr class=d><td><a href=\"d/\">d/</a><td><td>1994-11-06 08:49:37\n";
    assert!(page.contains(row), "{page}");
    let root = html(b"", &Listing::default());
    assert!(root.contains("<title>Index of /</title>") && !root.contains("href=\"../"), "{root}");
    assert!(root.contains("This directory is empty."), "{root}");
}

/// All links of a path of 2,000 names would be six megabytes.
#[test]
fn the_page_of_a_deep_path_is_small() {
    let page = html(&b"a/".repeat(2_000), &Listing::default());
    assert!(page.len() < 100_000, "{} bytes", page.len());
    assert_eq!(page.matches("<bdi>a</bdi>").count(), 2_000);
    assert!(page.contains(&format!("<a href=\"{}\" aria-label", "../".repeat(2_000))));
}

/// A part that is not full has no fixed height.
#[test]
fn rows_are_in_parts() {
    for (count, full, rest) in [(0, 0, 0), (1, 0, 1), (99, 0, 1), (100, 1, 0), (101, 1, 1), (250, 2, 1)] {
        let page = html(b"", &numbered(0, count));
        let parts = (page.matches("<tbody class=c>").count(), page.matches("<tbody>").count());
        assert_eq!(parts, (full, rest), "{count}");
    }
}

#[test]
fn a_page_counts_its_entries() {
    let check = |directories: usize, files: usize, expected: &str| {
        let page = html(b"", &numbered(directories, files));
        assert!(page.contains(&format!("<p>{expected}</p>")), "{page}");
    };
    check(1, 0, "1 directory");
    check(2, 1, "2 directories, 1 file, <span title=\"1536 B\">1.5 KiB</span> in total");
    check(0, 10, "10 files, <span title=\"15360 B\">15 KiB</span> in total");
    let huge = DirEntry { size: u64::MAX, ..entry(b"f", false) };
    let page = html(b"", &of(&[huge, DirEntry { name: b"g", ..huge }]));
    assert!(page.contains("15 EiB</span> in total"), "{page}");
}

#[test]
fn a_long_page_has_a_box_that_filters() {
    let page = |count| html(b"", &numbered(0, count));
    assert!(!page(19).contains("type=\"search\"") && page(20).contains("type=\"search\""));
}

#[test]
fn the_policy_allows_the_style_sheet_and_the_script_and_nothing_else_in_the_page() {
    for (directive, content) in [("style-src", STYLE), ("script-src", SCRIPT)] {
        assert!(POLICY.contains(&format!("{directive} {};", source(content))), "{directive} {}", source(content));
    }
    assert!(POLICY.starts_with("default-src 'none';"));
    let page = html(b"a/", &of(&[entry(b"b.png", false)]));
    assert!(page.contains(&format!("<style>{STYLE}</style>")) && page.contains(&format!("<script>{SCRIPT}</script>")));
    for loads in ["url(", "@import", "src=", "<link", "style=", "onload=", "onclick="] {
        assert!(!page.contains(loads), "{loads} in {page}");
    }
}

#[test]
fn a_truncated_listing_is_marked() {
    let mut cut = of(&[entry(b"a", false)]);
    cut.is_cut = true;
    assert!(html(b"", &cut).contains("This list is not complete"));
    assert!(!html(b"", &Listing::default()).contains("not complete"));
    assert_eq!(json(&cut), json(&of(&[entry(b"a", false)])), "the head says it");
}

#[test]
fn sizes() {
    let sizes = [(0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (10_239, "9.9 KiB")];
    for (bytes, expected) in sizes {
        assert_eq!(Rounded(bytes).to_string(), expected);
    }
    assert_eq!(Rounded(10_240).to_string(), "10 KiB");
    assert_eq!(Rounded((1 << 20) - 1).to_string(), "1023 KiB");
    assert_eq!(Rounded(1 << 20).to_string(), "1.0 MiB");
    assert_eq!(Rounded(u64::MAX).to_string(), "15 EiB");
    assert!(html(b"", &of(&[entry(b"a", false)])).contains("<td title=\"1536 B\">1.5 KiB<td>"));
    let small = DirEntry { size: 1023, ..entry(b"a", false) };
    assert!(html(b"", &of(&[small])).contains("<td>1023 B<td>"), "it is exact");
}

#[test]
fn json_of_entries() {
    assert_eq!(json(&Listing::default()), "[\n]\n");
    assert_eq!(
        json(&of(&[entry(b"a\"\\\n\x7f\xff", false), entry("ф:<".as_bytes(), true), entry(b"..", true)])),
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
        assert_eq!(Form::of(Fields(&fields), None) == Form::Json, expected, "{accept:?}");
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

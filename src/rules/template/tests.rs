use super::*;

fn names() -> Names {
    let mut names = Names::default();
    names.add("a").unwrap();
    names.add(SPLAT).unwrap();
    names
}

fn captures<'c>(a: &'c str, splat: &'c str) -> Captures<'c> {
    vec![a.as_bytes().into(), splat.as_bytes().into()]
}

#[track_caller]
fn location(text: &str, a: &str, splat: &str, query: Option<&str>, expected: &str) {
    let location = Location::parse(text, &names()).unwrap();
    assert_eq!(location.fill(&captures(a, splat), query).uri(), expected, "{text} {a} {splat}");
}

#[test]
fn locations() {
    location("/b", "", "", None, "/b");
    location("/b/:a/:splat", "1", "x/y/", None, "/b/1/x/y/");
    location("https://h.example:8443", "", "", None, "https://h.example:8443/");
    location("https://h.example/:splat?x=:a#:a", "1&2#", "", None, "https://h.example/?x=1%262%23#1%262%23");
    location("/b", "", "", Some("x=1&y[]=\u{e4}"), "/b?x=1&y[]=%C3%A4");
    location("/b?", "", "", Some("x=1"), "/b?");
    location("/b?c#d", "", "", Some("x=1"), "/b?c#d");
    location("/b:80/a::a:unknown", "1", "", None, "/b:80/a:1:unknown");
    location("/caf\u{e9}/%7e/100%/\"", "", "", None, "/caf%C3%A9/%7e/100%25/%22");
}

#[test]
fn captures_are_encoded() {
    location("/:a", "a b?c#d%e\\f", "", None, "/a%20b%3Fc%23d%25e%5Cf");
    location("/:splat", "", "\u{7f}\r\n\"<>", None, "/%7F%0D%0A%22%3C%3E");
}

#[test]
fn dots_are_resolved_and_a_path_begins_with_one_slash() {
    location("/x/.:a/y", ".", "", None, "/y");
    location("/x/:splat", "", "../../../y/./z/..", None, "/y/");
    location("/x/:splat", "", "..", None, "/");
    location("/x/%2E%2e/:a", "1", "", None, "/1");
    location("/:a/:splat", "", "/evil.example", None, "/evil.example");
    location("/:splat", "", "../\\evil.example", None, "/%5Cevil.example");
    location("/x/..//evil.example", "", "", None, "/evil.example");
    location(
        "https://h.example/web/https://x.example//y/:splat",
        "",
        "../z",
        None,
        "https://h.example/web/https://x.example//z",
    );
    location("https://h.example/:splat", "", "../../z", None, "https://h.example/z");
}

#[test]
fn locations_that_are_refused() {
    for text in [
        "//x",
        "/\\x",
        "",
        "x",
        "mailto:x",
        "javascript:alert(1)",
        "ftp://x/",
        "https:///x",
        "https://:a.example/",
        "https://h.example:a/",
        "https://u@h.example/",
        "https://h:ello/",
        "https://b\u{fc}cher.example/",
        "/x/*",
        "https://h example/",
        "https://h.example:splat",
    ] {
        assert!(Location::parse(text, &names()).is_err(), "{text}");
    }
    assert!(Location::parse(&format!("/{}", "x".repeat(MAX_TARGET_BYTES)), &names()).is_err());
    assert!(Location::parse("/x/*/:splat", &names()).is_ok());
}

#[track_caller]
fn file(text: &str, a: &str, splat: &str, expected: Option<&str>) {
    let file = File::parse(text, &names()).unwrap();
    let found = file.fill(&captures(a, splat)).map(|path| String::from_utf8(path).unwrap());
    assert_eq!(found.as_deref(), expected, "{text} {a} {splat}");
}

#[test]
fn files() {
    file("/index.html", "", "", Some("/index.html"));
    file("/index.html?x=1#y", "", "", Some("/index.html"));
    file("/a%20b/:a", "c%20d", "", Some("/a b/c%20d"));
    file("/:splat", "", "", Some("/"));
    file("/x/:splat", "", "y/", Some("/x/y/"));
    file("/x/:splat", "", "../y", Some("/y"));
    file("/x/:splat", "", "../../y", None);
    file("/.:a", "./x", "", None);
    file("/x/.:a", "./y", "", Some("/y"));
    file("/x/:splat", "", ".git/config", None);
    file("/x/.:a", "env", "", None);
    file("/.well-known/:a", "x", "", Some("/.well-known/x"));
    file("/x/:splat", "", ".well-known/x", None);
    file("/:splat", "", "_headers", None);
    file("/x/:splat", "", "../_redirects", None);
    file("/x/:splat", "", "_headers", Some("/x/_headers"));
    file("/:splat", "", "//y//z", Some("/y/z"));
    file("/:a", "x\0y", "", None);
}

#[test]
fn files_that_are_refused() {
    for text in [
        "https://h.example/",
        "//x",
        "x",
        "",
        "/../x",
        "/.git/config",
        "/x/.env",
        "/_headers",
        "/a/../netlify.toml",
        "/a%2",
        "/a%00",
        "/a%2fb",
        "/x/*",
    ] {
        assert!(File::parse(text, &names()).is_err(), "{text}");
    }
}

#[test]
fn names_without_a_value_are_known() {
    assert_eq!(unknown_placeholders("/:a/:b/-:c/12:30/:splat?x=:d", &names()), ["b", "c", "d"]);
    assert!(unknown_placeholders("https://h.example/wiki/Talk:Main/:1", &names()).is_empty());
}

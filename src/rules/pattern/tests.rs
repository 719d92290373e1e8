use super::*;

/// The captures by name, in the order of names.
fn matched(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut names = Names::default();
    let pattern = PathPattern::parse(pattern, &mut names).unwrap();
    let mut captures = Vec::new();
    let text = |capture: &Cow<[u8]>| String::from_utf8_lossy(capture).into_owned();
    pattern.matches(path.as_bytes(), &mut captures).then(|| captures.iter().map(text).collect())
}

fn check(pattern: &str, path: &str, expected: Option<&[&str]>) {
    let found = matched(pattern, path);
    let found: Option<Vec<&str>> = found.as_ref().map(|found| found.iter().map(String::as_str).collect());
    assert_eq!(found.as_deref(), expected, "{pattern} {path}");
}

#[test]
fn exact_paths() {
    for (pattern, path, is_match) in [
        ("/", "/", true),
        ("/a", "/a", true),
        ("/a", "/a/", true),
        ("/a/", "/a", true),
        ("/a/", "/a/", true),
        ("/a", "/ab", false),
        ("/a", "/a/b", false),
        ("/a", "/A", false),
        ("/a%20b", "/a b", true),
        ("/caf%C3%A9", "/caf\u{e9}", true),
        ("/caf\u{e9}", "/caf\u{e9}", true),
        ("/a%2Ab", "/a*b", true),
        ("/a%3Ab", "/a:b", true),
        ("/a:", "/a:", true),
        ("/12:30", "/12:30", true),
        ("/a//b//", "/a/b", true),
        ("/...", "/...", true),
    ] {
        check(pattern, path, is_match.then_some(&[]));
    }
}

#[test]
fn placeholders_match_a_part_of_a_segment() {
    check("/:a", "/x", Some(&["x"]));
    check("/:a", "/", None);
    check("/:a", "/x/y", None);
    check("/:a/", "/x", Some(&["x"]));
    check("/:a/:b", "/x/y/", Some(&["x", "y"]));
    check("/blog/:year/:month", "/blog/2024/01", Some(&["2024", "01"]));
    check("/blog/:year/:month", "/blog/2024", None);
    check("/a-:x.html", "/a-b.html", Some(&["b"]));
    check("/a-:x.html", "/a-.html", None);
    check("/:x.html", "/a.html.html", Some(&["a.html"]));
    check("/:a-:b-:c", "/2024-01-02-03", Some(&["2024", "01", "02-03"]));
    check("/:a-b/c", "/x-b/c", Some(&["x"]));
    check("/:a-b/c", "/x/y-b/c", None);
    check("/:a-b", "/x-b-b", Some(&["x-b"]));
}

#[test]
fn a_splat_matches_anything() {
    check("/*", "/", Some(&[""]));
    check("/*", "/a/b/", Some(&["a/b/"]));
    check("/a/*", "/a", Some(&[""]));
    check("/a/*", "/a/", Some(&[""]));
    check("/a/*", "/a/b/c", Some(&["b/c"]));
    check("/a/*", "/ab", None);
    check("/a*", "/ab/c", Some(&["b/c"]));
    check("/a*", "/a", Some(&[""]));
    check("/*.jpg", "/a/b.jpg", Some(&["a/b"]));
    check("/*.jpg", "/.jpg", Some(&[""]));
    check("/*.jpg", "/a.jpg.png", None);
    check("/a/*/b", "/a/x/y/b", Some(&["x/y"]));
    check("/a/*/b", "/a/b", None);
    check("/a/*/b/", "/a/x/b", Some(&["x"]));
    check("/a/*/a/", "/a/a/a", Some(&["a"]));
    check("/:x/*", "/a", Some(&["a", ""]));
    check("/:x/*", "/a/b", Some(&["a", "b"]));
    check("/:x/*", "/", None);
    check("/:x/*/:y", "/a/b/c/d", Some(&["a", "b/c", "d"]));
    check("/*/:y-:z.html", "/a/b/1-2-3.html", Some(&["a/b", "1-2", "3"]));
    check("/*-:y", "/a-b-c", Some(&["a-b", "c"]));
}

#[test]
fn patterns_that_are_refused() {
    for pattern in ["", "a", "*", "/**", "/*/a/*", "/:a:b", "/:a*", "/*:a", "/:a/:a", "/a%", "/a%zz", "/%00", "/a%2fb"]
    {
        assert!(PathPattern::parse(pattern, &mut Names::default()).is_err(), "{pattern}");
    }
    assert!(PathPattern::parse(&"/a".repeat(3000), &mut Names::default()).is_err());
    assert!(PathPattern::parse(&"/:a_".repeat(100), &mut Names::default()).is_err());
}

#[test]
fn a_match_takes_no_longer_than_the_path_and_the_pattern_are_long() {
    let letters: String = ('a'..='z').map(|letter| format!(":{letter}-")).collect();
    let pattern = format!("/{letters}*-{}/x", "a".repeat(2000));
    let path = format!("/{}/x", "a-".repeat(4000));
    let mut names = Names::default();
    let pattern = PathPattern::parse(&pattern, &mut names).unwrap();
    for _ in 0..1000 {
        assert!(!pattern.matches(path.as_bytes(), &mut Vec::new()));
    }
}

#[test]
fn prefixes() {
    let parse = |pattern: &str| PathPattern::parse(pattern, &mut Names::default()).unwrap();
    assert_eq!(parse("/a/b-:c").prefix(), b"/a/b-");
    assert_eq!(parse("/a/*").prefix(), b"/a/");
    assert_eq!(parse("/a%20/").exact(), Some(&b"/a "[..]));
    assert_eq!(parse("/a/*").exact(), None);
}

use super::*;

fn check(name: &str, expected: &str) {
    assert_eq!(of(name.as_bytes()), expected, "{name}");
}

#[test]
fn types_by_extension() {
    check("index.html", "text/html");
    check("a.css", "text/css");
    check("a.js", "text/javascript");
    check("a.jpg", "image/jpeg");
    check("a.jpeg", "image/jpeg");
    check("a.png", "image/png");
    check("a.gif", "image/gif");
    check("a.swf", "application/x-shockwave-flash");
    check("a.svg", "image/svg+xml");
    check("a.woff2", "font/woff2");
    check("a.wasm", "application/wasm");
    check("a.txt", "text/plain");
}

#[test]
fn corrections_precede_the_table_of_mime_guess() {
    check("a.m4a", "audio/mp4");
    check("a.TS", "video/mp2t");
    check("a.mjs", "text/javascript");
    check("a.tar.gz", "application/gzip");
    check("a.tgz", "application/gzip");
    check("a.svgz", "image/svg+xml");
    assert!(CORRECTED.is_sorted_by_key(|(extension, _)| extension), "in order");
    for (extension, of) in CORRECTED {
        assert!(is_media_type(of), "{of}");
        assert!(extension.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{extension}");
        assert_ne!(mime_guess::from_ext(extension).first_raw(), Some(*of), "{extension} needs no correction");
    }
}

#[test]
fn svgz_is_coded_and_nothing_else_is() {
    let coding = |name: &str| super::coding(name.as_bytes(), of(name.as_bytes()));
    for name in ["a.svgz", "a.SVGZ", "dir/a.b.svgz"] {
        assert_eq!(coding(name), Coding::Gzip, "{name}");
    }
    for name in ["a.svg", "a.svg.gz", "a.tgz", "a.tar.gz", "a.gz", "a.emz", "svgz", ".svgz", "a.svgz/b", "a.svgz.br"] {
        assert_eq!(coding(name), Coding::Identity, "{name}");
    }
    assert_eq!(super::coding(b"a.svgz", "application/gzip"), Coding::Identity, "of another type by --mime");
}

#[test]
fn overrides_come_first() {
    let types = Types::new([("HTML".into(), "a/b".into()), ("x".into(), "c/d".into()), ("x".into(), "e/f".into())]);
    assert_eq!(types.of(b"a.html"), "a/b");
    assert_eq!(types.of(b"a.X"), "e/f");
    assert_eq!(types.of(b"a.css"), "text/css");
    assert_eq!(types.of(b"a"), UNKNOWN);
}

#[test]
fn mime_types_files() {
    let text = "# comment\n\ntext/html\t\thtml htm # more\ntext/none\nno-type x\napplication/wasm wasm\r\n";
    let pairs: Vec<_> = parse_mime_types(text).collect();
    let expected = [("html", "text/html"), ("htm", "text/html"), ("wasm", "application/wasm")];
    assert_eq!(pairs, expected.map(|(extension, of)| (extension.to_string(), of.to_string())));
}

#[test]
fn odd_names() {
    check("text..txt", "text/plain");
    check("PHOTO.JPG", "image/jpeg");
    check("dir.html/README", UNKNOWN);
    check("README", UNKNOWN);
    check(".html", UNKNOWN);
    check("a.", UNKNOWN);
    check("a.no-such-type", UNKNOWN);
    assert_eq!(of(b"a.\xff\xfe"), UNKNOWN);
}

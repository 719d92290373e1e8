use super::*;

fn check(name: &str, expected: bool) {
    assert_eq!(is_compressible(name.as_bytes()), expected, "{name}");
}

#[test]
fn types_that_shrink() {
    for name in [
        "a.html",
        "a.css",
        "a.js",
        "a.mjs",
        "a.json",
        "a.map",
        "a.xml",
        "a.svg",
        "a.wasm",
        "a.ttf",
        "a.otf",
        "a.eot",
        "a.ico",
        "a.bmp",
        "a.txt",
        "a.md",
        "a.csv",
        "a.rss",
        "a.atom",
        "a.xhtml",
        "a.webmanifest",
        "a.ics",
        "a.vtt",
        "a.cjs",
        "a.yaml",
        "a.toml",
        "a.sql",
        "a.ipynb",
    ] {
        check(name, true);
    }
    for name in [
        "a.jpg",
        "a.svgz",
        "a.png",
        "a.webp",
        "a.avif",
        "a.gif",
        "a.woff",
        "a.woff2",
        "a.mp4",
        "a.webm",
        "a.mp3",
        "a.ogg",
        "a.zip",
        "a.7z",
        "a.deb",
        "a.iso",
        "a.pdf",
        "a.html.gz",
        "a.html.br",
        "a.html.zst",
        "a.tar.gz",
        "a.tgz",
        "a.xz",
        "a",
        "a.ts",
        "a.tar",
    ] {
        check(name, false);
    }
}

#[test]
fn a_report_is_one_sentence_for_what_was_done_and_one_for_what_it_saves() {
    let report =
        Summary { files: 2, bytes: 4096, written: 3, bytes_by_coding: [1000, 1024, 2048], ..Summary::default() };
    let expected = "2 files: 3 variants written, 0 up to date, 0 not worth it, 0 failures. \
                    4.00 KiB became 1000 B (br), 1.00 KiB (zstd), 2.00 KiB (gzip).";
    assert_eq!(report.to_string(), expected);
}

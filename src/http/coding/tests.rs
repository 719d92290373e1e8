use super::*;

/// `expected`: the tokens in order, with spaces between them.
fn check_lines(lines: &[&[u8]], expected: &str) {
    let fields: Vec<_> = lines.iter().map(|value| httparse::Header { name: "Accept-encoding", value }).collect();
    let order: Vec<_> = acceptable(Fields(&fields)).order().map(Coding::token).collect();
    let lines: Vec<_> = lines.iter().map(|line| line.escape_ascii().to_string()).collect();
    assert_eq!(order.join(" "), expected, "{lines:?}");
}

fn check(value: &str, expected: &str) {
    check_lines(&[value.as_bytes()], expected);
}

#[test]
fn values_of_common_clients() {
    check("gzip, deflate, br, zstd", "br zstd gzip identity"); // Chrome, Firefox, Edge
    check("gzip, deflate, br", "br gzip identity"); // Safari
    check("gzip, deflate", "gzip identity"); // browsers without TLS, Python requests
    check("deflate, gzip, br, zstd", "br zstd gzip identity"); // curl --compressed
    check("identity;q=1, *;q=0", "identity"); // Chrome for audio and video
    check("identity", "identity"); // wget
    check("gzip;q=1.0,deflate;q=0.6,identity;q=0.3", "gzip identity"); // Ruby
    check("br;q=1.0, gzip;q=0.6, *;q=0.1", "br gzip zstd identity");
    check("gzip", "gzip identity"); // Go
    check("gzip,compressed,br,deflate,snappy,zstd", "br zstd gzip identity");
}

#[test]
fn a_missing_or_empty_field_selects_identity() {
    check_lines(&[], "identity");
    check("", "identity");
    check(" \t ", "identity");
    check(",, ,", "identity");
    let fields = [httparse::Header { name: "Accept", value: b"gzip" }];
    assert_eq!(acceptable(Fields(&fields)), Acceptable::IDENTITY);
}

#[test]
fn the_order_is_by_weight_and_then_by_size() {
    check("br;q=0.1, gzip;q=0.9, zstd;q=0.5", "gzip zstd br identity");
    check("gzip;q=0.501, zstd;q=0.5, br;q=0.50", "gzip br zstd identity");
    check("gzip;q=0.001", "gzip identity");
    check("identity, gzip", "gzip identity");
    check("gzip;q=0, br", "br identity");
}

#[test]
fn identity_above_a_coding_is_honoured() {
    check("identity, gzip;q=0.5", "identity gzip");
    check("identity;q=0.5, gzip;q=0.4, br;q=0.6", "br identity gzip");
    check("identity;q=0.001, gzip;q=0.001", "gzip identity");
}

#[test]
fn identity_can_be_excluded() {
    check("identity;q=0", "");
    check("*;q=0", "");
    check("gzip, identity;q=0", "gzip");
    check("gzip;q=0.5, *;q=0", "gzip");
    check("*;q=0, identity;q=0.2", "identity");
    check("gzip;q=0, br;q=0", "identity");
    check("identity;q=0, *", "br zstd gzip");
}

#[test]
fn a_star_matches_codings_that_are_not_named() {
    check("*", "br zstd gzip identity");
    check("gzip;q=0.2, *;q=0.5", "br zstd identity gzip");
    check("*;q=0.5, br;q=0", "zstd gzip identity");
    check("br;q=0, zstd;q=0, gzip;q=0.5, *", "identity gzip");
}

#[test]
fn several_lines_are_one_list() {
    check_lines(&[b"gzip;q=0.5", b"br"], "br gzip identity");
    check_lines(&[b"", b"gzip"], "gzip identity");
    check_lines(&[b"gzip", b"*;q=0"], "gzip");
}

#[test]
fn spelling() {
    check("GZip;Q=0.5 ,\tBR ; q=1.000", "br gzip identity");
    check("x-gzip", "gzip identity");
    check("X-GZIP;q=0, *;q=0.5", "br zstd identity");
    check("gzip;q=0., br;q=1.", "br identity");
    check("gzip, gzip;q=0", "identity");
    check("x-gzip;q=0.5, gzip, br;q=0.7", "br gzip identity");
}

#[test]
fn malformed_members_are_ignored() {
    for member in [
        "gzip;q=2",
        "gzip;q=1.001",
        "gzip;q=0.1234",
        "gzip;q=.5",
        "gzip;q=-1",
        "gzip;q=",
        "gzip;q",
        "gzip;q =1",
        "gzip;q= 1",
        "gzip;q=0.5;q=0.5",
        "gzip;level=9",
        "gzip;q=0x1",
        "gzip;q=0.5.",
        "gzip;q=0./",
        "gzip;q=0.:",
        "gzip;q=1e0",
        "gzip br",
        "\"gzip\"",
        "gzipp",
        "gzi",
        "br.",
        "**",
        "*/*",
        ";q=1",
        "=",
    ] {
        let (br, none) = (format!("{member}, br"), format!("br;q=0, {member}"));
        check(&br, "br identity");
        check(&none, "identity");
    }
    check("identity;q=no", "identity");
    check_lines(&[b"\xff\xfe;q=1, gzip\xe9, br"], "br identity");
    check(&"gzip;q=0.5,".repeat(10_000), "gzip identity");
}

#[test]
fn tokens_and_suffixes() {
    for (coding, token, suffix) in [
        (Coding::Brotli, "br", ".br"),
        (Coding::Zstd, "zstd", ".zst"),
        (Coding::Gzip, "gzip", ".gz"),
        (Coding::Identity, "identity", ""),
    ] {
        assert_eq!((coding.token(), coding.suffix()), (token, suffix));
        assert_eq!(Coding::BY_SIZE[rank(coding)], coding);
    }
}

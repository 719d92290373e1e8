use super::*;

/// The limit of a page in bytes.
const MAX_BYTES: usize = 2048;

/// Returns the source of a policy for an inline style sheet or script (CSP 3 §2.3.1).
pub fn source(content: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content.as_bytes());
    let mut encoded = String::new();
    for bytes in digest.as_ref().chunks(3) {
        let group = bytes.iter().fold(0, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - bytes.len()));
        let digit = |at: usize| char::from(DIGITS[(group >> (18 - 6 * at)) as usize & 63]);
        encoded.extend((0..=bytes.len()).map(digit));
        encoded.extend(std::iter::repeat_n('=', 3 - bytes.len()));
    }
    format!("'sha256-{encoded}'")
}

fn errors() -> impl Iterator<Item = Status> {
    Status::ALL.into_iter().filter(|status| status.code() >= 400)
}

#[test]
fn every_error_has_a_small_page_with_a_sentence_of_its_own() {
    let mut sentences = std::collections::HashSet::new();
    for status in errors() {
        let page = error(status);
        assert!(page.len() <= MAX_BYTES, "{} has {} bytes", status.line(), page.len());
        assert!(page.is_ascii(), "{page}");
        assert_eq!(page.matches(status.line()).count(), 2, "title and heading: {page}");
        let sentence = sentence(status);
        assert!(page.contains(&format!("<p>{sentence}</p>")), "{page}");
        assert!(sentence.ends_with('.') && sentence.matches(['.', '!']).count() == 1 + sentence.matches("1.1").count());
        assert!(sentences.insert(sentence), "{} has the sentence of another status", status.line());
    }
    assert!(sentences.len() > 10);
}

#[test]
fn the_policy_allows_the_style_sheet_and_nothing_else_in_the_page() {
    assert!(POLICY.contains(&format!("style-src {};", source(STYLE))), "the style sheet has {}", source(STYLE));
    assert!(POLICY.starts_with("default-src 'none';") && !POLICY.contains("script-src"));
    let page = error(Status::NotFound);
    assert!(page.contains(&format!("<style>{STYLE}</style>")));
    for loads in ["url(", "@import", "src=", "<link", "<script", "style=", "onload="] {
        assert!(!page.contains(loads), "{loads} in {page}");
    }
}

#[test]
fn colors_have_a_light_and_a_dark_form() {
    assert!(STYLE.contains("prefers-color-scheme:dark") && STYLE.contains("color-scheme:light dark"));
}

//! The links of a style sheet: `url()`, `src()`, `image-set()` and `@import` (CSS Syntax 3, CSS Values 4 §4.5).

use cssparser::{BasicParseError, ParseError, Parser, Token};

use super::link::Link;

/// The part of a style sheet, which decides what a string in it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Strings are text.
    Other,
    /// After `@import`, or in `url()` and `src()`: the first string is a URL.
    Url,
    /// In `image-set()`: each string is a URL.
    Images,
    /// After `@namespace`: its URL is a name, and leads nowhere.
    Namespace,
}

/// Adds the links of `text`, which begins at `line` of its file. Blocks that are nested deeper than the parser's limit of 75
/// are read as if they were not nested.
pub fn links(text: &str, line: u32, found: &mut Vec<Link>) {
    // The parser has an error of its own for the end, which is no error here.
    let _ = walk(&mut Parser::new(text), Place::Other, line, found);
}

fn walk(parser: &mut Parser, mut place: Place, line: u32, found: &mut Vec<Link>) -> Result<(), ParseError<()>> {
    loop {
        let token = match parser.next() {
            Ok(token) => token.clone(),
            Err(BasicParseError { .. }) => return Ok(()),
        };
        let mut add = |parser: &Parser, url: &str| {
            found.push(Link { reference: url.into(), line: line + parser.current_source_location().line });
        };
        let inner = match &token {
            Token::AtKeyword(name) if name.eq_ignore_ascii_case("import") => {
                place = Place::Url;
                continue;
            }
            Token::AtKeyword(name) if name.eq_ignore_ascii_case("namespace") => {
                place = Place::Namespace;
                continue;
            }
            Token::Semicolon => {
                place = Place::Other;
                continue;
            }
            Token::UnquotedUrl(url) => {
                if place != Place::Namespace {
                    add(parser, url);
                }
                place = after(place);
                continue;
            }
            Token::QuotedString(url) => {
                if matches!(place, Place::Url | Place::Images) {
                    add(parser, url);
                }
                place = after(place);
                continue;
            }
            Token::Function(name) => of_function(name, place),
            Token::CurlyBracketBlock => {
                place = Place::Other;
                Place::Other
            }
            Token::ParenthesisBlock | Token::SquareBracketBlock => Place::Other,
            _ => continue,
        };
        // It fails at the limit of nesting.
        let _: Result<(), ParseError<()>> = parser.parse_nested_block(|parser| walk(parser, inner, line, found));
        place = if inner == Place::Url { after(place) } else { place };
    }
}

/// Returns the place after a string or a URL.
fn after(place: Place) -> Place {
    if place == Place::Url { Place::Other } else { place }
}

/// Returns the place in the arguments of a function.
fn of_function(name: &str, place: Place) -> Place {
    match &*name.to_ascii_lowercase() {
        "url" | "src" if place != Place::Namespace => Place::Url,
        "image-set" | "-webkit-image-set" => Place::Images,
        _ => Place::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, u32)]) {
        let mut found = Vec::new();
        links(text, 1, &mut found);
        let found: Vec<_> = found.iter().map(|link| (&*link.reference, link.line)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn urls_and_imports_with_their_lines() {
        check(
            "@import 'a.css';\n@import url(b.css) layer(x) screen;\n@import url('c.css');",
            &[("a.css", 1), ("b.css", 2), ("c.css", 3)],
        );
        check("p { background: url( a.png ) no-repeat,\n url(\"b\\29.png\") }", &[("a.png", 1), ("b).png", 2)]);
        check("@font-face { src: url(a.woff2) format('woff2'), url(a.woff) }", &[("a.woff2", 1), ("a.woff", 1)]);
        check("@media print { @supports (a: b) { p { cursor: URL(a.cur), auto } } }", &[("a.cur", 1)]);
        check("a { b: image-set('1.png' 1x, url(2.png) type('image/png') 2x) }", &[("1.png", 1), ("2.png", 1)]);
        check("p{background:url(a.png)}q{background:url(b.png)", &[("a.png", 1), ("b.png", 1)]);
    }

    #[test]
    fn text_that_is_no_link() {
        for text in [
            "",
            "/* url(a.png) @import 'a.css'; */",
            "p::before { content: 'url(a.png)' }",
            "@charset 'utf-8';",
            "@namespace svg url(http://www.w3.org/2000/svg); @namespace 'x'; @namespace url('y');",
            "@import; 'a.css'",
            "@layer a { } 'b.css'",
            "url(a b)",
            "p { content: attr(href) 'a' }",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn deep_nesting_ends() {
        let text = format!("{}url(a.png){}", "(".repeat(1_000_000), ")".repeat(1_000_000));
        let mut found = Vec::new();
        links(&format!("{text} url(b.png)"), 1, &mut found);
        assert_eq!(found.last().unwrap().reference, "b.png");
    }
}

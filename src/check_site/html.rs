//! The links of an HTML document, by a tokenizer that follows the HTML Standard (§13.2.5), and of an SVG document, by the same:
//! what it reads as a tag is one in XML as well.
//!
//! Links that scripts make are not seen. The content of `noscript` is read as markup, as a browser without scripts does.

use std::collections::BTreeMap;

use html5gum::{DefaultEmitter, HtmlString, Spanned, StartTag, State, Token, Tokenizer};

use super::css;
use super::link::Link;

/// What a document has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Its links, in the order in which they are written.
    pub links: Vec<Link>,
    /// The URL of `<base href>`, which all links are relative to.
    pub base: Option<String>,
    /// The URL of the first `<link rel=canonical>`.
    pub canonical: Option<String>,
    is_svg: bool,
}

/// Reads the links of an SVG document: `href` and `xlink:href` of all elements, and those of its styles.
pub fn read_svg(content: &[u8]) -> Document {
    let mut document = Document { is_svg: true, ..Document::default() };
    // The tokenizer would take a section of characters as a comment. Blanks keep the numbers of lines.
    let (begin, end) = (b"<![CDATA[", b"]]>");
    let mut content = content.to_vec();
    for at in 0..content.len() {
        for mark in [&begin[..], end] {
            if content[at..].starts_with(mark) {
                content[at..at + mark.len()].fill(b' ');
            }
        }
    }
    document.read(&content);
    document
}

/// Reads the links of a document.
pub fn read(content: &[u8]) -> Document {
    let mut document = Document::default();
    document.read(content);
    document
}

/// Returns the state in which the content of an element is read, if that is not markup (HTML Standard §13.2.6).
fn state_within(element: &[u8]) -> Option<State> {
    match element {
        b"textarea" | b"title" => Some(State::RcData),
        b"script" => Some(State::ScriptData),
        b"style" | b"iframe" | b"xmp" | b"noembed" | b"noframes" => Some(State::RawText),
        b"plaintext" => Some(State::PlainText),
        _ => None,
    }
}

impl Document {
    fn read(&mut self, content: &[u8]) {
        let mut lines = Lines { content, offset: 0, line: 1 };
        let (mut is_style, mut foreign) = (false, 0_u32);
        let mut tokenizer = Tokenizer::new_with_emitter(content, DefaultEmitter::<usize>::new_with_span());
        while let Some(Ok(token)) = tokenizer.next() {
            match token {
                Token::StartTag(tag) => {
                    let line = lines.at(tag.span.start);
                    self.read_tag(&tag, line);
                    let is_foreign_root = matches!(&**tag.name, b"svg" | b"math");
                    foreign += u32::from(is_foreign_root && !tag.self_closing);
                    is_style = &**tag.name == b"style" && !tag.self_closing;
                    // In SVG and MathML, the content of these elements is markup.
                    if let Some(state) = state_within(&tag.name).filter(|_| foreign == 0 && !self.is_svg) {
                        tokenizer.set_state(state);
                    }
                }
                Token::EndTag(tag) => {
                    foreign = foreign.saturating_sub(u32::from(matches!(&**tag.name, b"svg" | b"math")));
                    is_style = false;
                }
                Token::String(text) if is_style => {
                    css::links(&String::from_utf8_lossy(&text), lines.at(text.span.start), &mut self.links);
                }
                Token::String(_) | Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
            }
        }
    }

    fn read_tag(&mut self, tag: &StartTag<usize>, line: u32) {
        let attributes = Attributes(&tag.attributes);
        if let Some(style) = attributes.get("style") {
            css::links(&style, line, &mut self.links);
        }
        let mut add = |reference: String| self.links.push(Link { reference, line });
        if self.is_svg {
            ["href", "xlink:href"].iter().filter_map(|name| attributes.get(name)).for_each(add);
            return;
        }
        match &**tag.name {
            b"link" if self.canonical.is_none() && attributes.has_word("rel", &["canonical"]) => {
                self.canonical = attributes.get("href");
                attributes.get("href").into_iter().for_each(add);
                return;
            }
            b"base" => {
                if self.base.is_none() {
                    self.base = attributes.get("href");
                }
                return;
            }
            // A hint to open a connection leads to a server, not to a page of it.
            b"link" if attributes.has_word("rel", &["preconnect", "dns-prefetch"]) => return,
            b"form" if attributes.has_word("method", &["post", "dialog"]) => return,
            b"meta" => {
                let content = attributes.get("content").filter(|_| attributes.has_word("http-equiv", &["refresh"]));
                content.and_then(|content| refresh(&content)).into_iter().for_each(add);
                return;
            }
            _ => {}
        }
        urls_of(&tag.name).iter().filter_map(|name| attributes.get(name)).for_each(&mut add);
        for name in ["srcset", "imagesrcset"] {
            let candidates = attributes.get(name).map(|candidates| srcset(&candidates)).unwrap_or_default();
            candidates.into_iter().for_each(&mut add);
        }
    }
}

/// Returns the attributes of an element that are URLs of what the browser loads or leads to.
fn urls_of(element: &[u8]) -> &'static [&'static str] {
    match element {
        b"a" | b"area" | b"link" => &["href", "xlink:href"],
        b"audio" | b"embed" | b"frame" | b"iframe" | b"img" | b"input" | b"source" | b"track" => &["src"],
        b"body" | b"table" | b"td" | b"th" => &["background"],
        b"form" => &["action"],
        b"object" => &["data"],
        b"script" => &["src", "href", "xlink:href"],
        b"video" => &["src", "poster"],
        b"feimage" | b"image" | b"use" => &["href", "xlink:href"],
        _ => &[],
    }
}

/// Returns the URL of `<meta http-equiv=refresh content="0; url=...">`.
fn refresh(content: &str) -> Option<String> {
    let (_, rest) = content.split_once([';', ','])?;
    let rest = rest.trim_start();
    let url = match rest.get(..3) {
        Some(name) if name.eq_ignore_ascii_case("url") => rest[3..].trim_start().strip_prefix('=').unwrap_or(rest),
        _ => rest,
    };
    let url = url.trim();
    let quoted = |quote: char| Some(url.strip_prefix(quote)?.split(quote).next().unwrap_or_default());
    Some(quoted('"').or_else(|| quoted('\'')).unwrap_or(url).to_string())
}

/// Returns the URLs of a set of images (HTML Standard §4.8.4.2.1): each may be followed by its width or density. A comma within
/// a URL belongs to it.
fn srcset(candidates: &str) -> Vec<String> {
    let mut urls = Vec::new();
    let mut rest = candidates;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if rest.is_empty() {
            return urls;
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (url, after) = rest.split_at(end);
        urls.push(url.trim_end_matches(',').to_string());
        rest = if url.ends_with(',') { after } else { after.split_once(',').map_or("", |(_, next)| next) };
    }
}

/// The attributes of a tag.
struct Attributes<'t>(&'t BTreeMap<HtmlString, Spanned<HtmlString, usize>>);

impl Attributes<'_> {
    fn get(&self, name: &str) -> Option<String> {
        // The tokenizer has made names lower-case.
        let value = self.0.get(&HtmlString(name.as_bytes().to_vec()))?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// Returns whether the words of an attribute include one of these.
    fn has_word(&self, name: &str, words: &[&str]) -> bool {
        let value = self.get(name).unwrap_or_default();
        value.split_ascii_whitespace().any(|found| words.iter().any(|word| found.eq_ignore_ascii_case(word)))
    }
}

/// Counts lines up to offsets that only grow.
struct Lines<'c> {
    content: &'c [u8],
    offset: usize,
    line: u32,
}

impl Lines<'_> {
    fn at(&mut self, offset: usize) -> u32 {
        if let Some(part) = self.content.get(self.offset..offset) {
            self.line += part.iter().filter(|&&b| b == b'\n').count() as u32;
            self.offset = offset;
        }
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(html: &str, expected: &[(&str, u32)]) {
        let document = read(html.as_bytes());
        let found: Vec<_> = document.links.iter().map(|link| (&*link.reference, link.line)).collect();
        assert_eq!(found, expected, "{html}");
    }

    #[test]
    fn each_element_with_a_link() {
        check(
            "<!doctype html><link rel=stylesheet href=a.css>\n<link rel=preload imagesrcset='b.png 1x'>\n\
             <a href='c?x&amp;y'>c</a><area HREF=d>\n<img src=e srcset='f 1x, g 2x'><video src=h poster=i>\n\
             <source src=j><track src=k><iframe src=l></iframe><embed src=m><object data=n>\n\
             <input type=image src=o><form action=p></form><script src=q></script><body background=r>\n\
             <svg><use xlink:href=s /><image href=t /></svg><meta http-equiv=Refresh content='0; URL=\"u\"'>",
            &[
                ("a.css", 1),
                ("b.png", 2),
                ("c?x&y", 3),
                ("d", 3),
                ("e", 4),
                ("f", 4),
                ("g", 4),
                ("h", 4),
                ("i", 4),
                ("j", 5),
                ("k", 5),
                ("l", 5),
                ("m", 5),
                ("n", 5),
                ("o", 6),
                ("p", 6),
                ("q", 6),
                ("r", 6),
                ("s", 7),
                ("t", 7),
                ("u", 7),
            ],
        );
    }

    #[test]
    fn each_element_of_an_svg_document() {
        let svg = "<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'>\n\
                   <style>/*<![CDATA[*/ p { fill: url(a.svg) } q > r { fill: url(b.svg) }\n/*]]>*/</style><title>x</title>\n\
                   <image xlink:href='c.png'/><a href='d?x&amp;y'/><linearGradient href='e.svg#f'/><use style='fill: url(g.svg)'/>\n\
                   <script href='h.js'/><!-- <a href='x'/> --></svg>";
        let found = read_svg(svg.as_bytes()).links;
        let found: Vec<_> = found.iter().map(|link| (&*link.reference, link.line)).collect();
        let expected =
            [("a.svg", 3), ("b.svg", 3), ("c.png", 5), ("d?x&y", 5), ("e.svg#f", 5), ("g.svg", 5), ("h.js", 6)];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_canonical_link_is_a_link() {
        let document = read(b"<link rel=canonical href=https://a.test/><link rel=canonical href=b>");
        assert_eq!((document.canonical.as_deref(), document.links.len()), (Some("https://a.test/"), 2));
    }

    #[test]
    fn styles_in_elements_and_attributes() {
        check(
            "<p style=\"background: url('a.png')\">\n<style>\n@import 'b.css';\n</style>",
            &[("a.png", 1), ("b.css", 3)],
        );
        check("<svg><style>p { fill: url(a.svg) }</style></svg>", &[("a.svg", 1)]);
    }

    #[test]
    fn text_that_is_no_link() {
        for html in [
            "<!-- <a href=a> -->",
            "<script>'<a href=a>'</script>",
            "<title><a href=a></title>",
            "<textarea><img src=a></textarea>",
            "&lt;a href=a&gt;",
            "<a title=href>",
            "<link rel='dns-prefetch preconnect' href=a>",
            "<form method=POST action=a>",
            "<meta name=refresh content='0; url=a'>",
            "<meta http-equiv=refresh content=5>",
            "</a href=a>",
            "<a data-href=a>",
        ] {
            check(html, &[]);
        }
    }

    #[test]
    fn markup_that_continues_after_elements_with_other_content() {
        for html in [
            "<script>'</b><!--<script>'</script></script><a href=a>",
            "<noscript><a href=a></noscript>",
            "<svg><title>x<a href=a></title></svg>",
            "<svg><script src='' /><a href=a></svg>",
            "<style></style><a href=a>",
            "<svg /><title></title><a href=a>",
        ] {
            assert!(read(html.as_bytes()).links.iter().any(|link| link.reference == "a"), "{html}");
        }
    }

    #[test]
    fn the_first_base() {
        let document = read(b"<a href=a><base target=x><base href='/b/'><base href=c>");
        assert_eq!((document.base.as_deref(), document.links.len()), (Some("/b/"), 1));
    }

    #[test]
    fn sets_of_images() {
        for (text, expected) in [
            ("a.png 1x, b.png 2x", &["a.png", "b.png"][..]),
            ("a.png", &["a.png"]),
            ("a.png,b.png 2x", &["a.png,b.png"]),
            ("a.png, b.png", &["a.png", "b.png"]),
            (" ,a.png 100w 2x ,, b.png 200w,", &["a.png", "b.png"]),
            ("data:image/png,a 1x, b 2x", &["data:image/png,a", "b"]),
            ("", &[]),
            (",", &[]),
        ] {
            assert_eq!(srcset(text), expected, "{text}");
        }
    }
}

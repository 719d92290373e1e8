//! The rules that a site carries: `_headers` and `_redirects`, in the syntax of Netlify and Cloudflare Pages. Guarantees:
//!
//! - no I/O, no clock: the caller reads the files, and passes their bytes and what a rule needs to know of a request;
//! - no panic on any file and any request; time and memory are bounded by the sizes of both;
//! - a line that is not understood, or that would break the message, is a [`Mistake`]; it never becomes a weaker rule;
//! - a [`Target`] leads to no other place than the rule names: its authority is written in the rule, its dots are resolved.

#![deny(clippy::disallowed_macros, clippy::disallowed_methods, clippy::disallowed_types)]

mod captures;
#[cfg(test)]
mod documented;
mod headers;
mod index;
mod lines;
mod pattern;
mod redirects;
mod source;
mod template;

use std::ffi::CStr;
use std::fmt;

pub use captures::placeholder;
pub use headers::{HeaderRule, HeaderRules};
pub use redirects::{Match, RedirectRule, RedirectRules, RuleRequest, Target};
pub use source::{Source, normal_host};

/// The size in bytes from which on a file is not read.
pub const MAX_BYTES: u64 = 8 << 20;

/// The number of rules, including those with mistakes, that a file may have.
pub const MAX_RULES: usize = 100_000;

/// The number of field lines that all rules of a file may have.
const MAX_FIELDS: usize = 4 * MAX_RULES;

/// The longest target of a redirect in bytes.
const MAX_TARGET_BYTES: usize = 4096;

/// The names at the top of the document root that are never served: the rules, and settings of static hosts.
pub const RESERVED: [&CStr; 5] = [c"_headers", c"_redirects", c"_worker.js", c"_routes.json", c"netlify.toml"];

/// A mistake in a rules file. The rest of the file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line of the file, from 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub reason: String,
}

/// The result of parsing a rules file.
#[derive(Debug, Clone)]
pub struct Parsed<T> {
    /// The rules without those that have mistakes.
    pub rules: T,
    /// The mistakes, in the order of lines.
    pub mistakes: Vec<Mistake>,
}

/// A file beyond the bounds. None of it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// More than [`MAX_BYTES`].
    Bytes,
    /// More than [`MAX_RULES`], or field lines of rules.
    Rules,
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TooMany::Bytes => write!(f, "the file is larger than {} MiB", MAX_BYTES >> 20),
            TooMany::Rules => write!(f, "the file has more than {MAX_RULES} rules or {MAX_FIELDS} field lines"),
        }
    }
}

/// Returns whether `path`, with or without its leading slash, is a file that is never served: one with rules, or with
/// settings of a static host. Only the top of the document root has such files.
pub fn is_reserved(path: &[u8]) -> bool {
    let name = path.strip_prefix(b"/").unwrap_or(path);
    let name = name.strip_suffix(b"/").unwrap_or(name);
    name.first().is_some_and(|&first| first == b'_' || first == b'n')
        && RESERVED.iter().any(|reserved| reserved.to_bytes() == name)
}

/// Returns whether `path`, with a leading slash, is an ACME challenge (RFC 8555 §8.3): no rule may answer it, or certificates
/// are not renewed.
pub fn is_challenge(path: &[u8]) -> bool {
    path.starts_with(b"/.well-known/acme-challenge/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_files_at_the_top_are_reserved() {
        for path in ["/_headers", "_redirects", "/_worker.js", "/_routes.json", "/netlify.toml", "/_headers/"] {
            assert!(is_reserved(path.as_bytes()), "{path}");
        }
        for path in ["/", "", "/a/_headers", "/_Headers", "/_headers.txt", "/headers", "/netlify", "/_next/static/a.js"]
        {
            assert!(!is_reserved(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn files_beyond_the_bounds_are_refused_as_a_whole() {
        let large = vec![b'#'; MAX_BYTES as usize + 1];
        assert_eq!(RedirectRules::parse(&large).unwrap_err(), TooMany::Bytes);
        assert_eq!(HeaderRules::parse(&large).unwrap_err(), TooMany::Bytes);
        assert!(RedirectRules::parse(&large[1..]).unwrap().rules.is_empty());
        let line = "x\n".repeat(MAX_RULES + 1);
        assert_eq!(RedirectRules::parse(line.as_bytes()).unwrap_err(), TooMany::Rules);
        assert_eq!(RedirectRules::parse(&line.as_bytes()[2..]).unwrap().mistakes.len(), MAX_RULES);
        assert_eq!(HeaderRules::parse(line.as_bytes()).unwrap_err(), TooMany::Rules);
        let fields = format!("/a\n{}", "X: y\n".repeat(MAX_FIELDS + 1));
        assert_eq!(HeaderRules::parse(fields.as_bytes()).unwrap_err(), TooMany::Rules);
    }

    /// A reason stays short, and so do the rules.
    #[test]
    fn an_endless_line_is_one_mistake() {
        let size = 1 << 18;
        let fill = |start: &str, unit: &str| format!("{start}{}", unit.repeat((size - start.len()) / unit.len()));
        for text in [
            fill("", "a"),
            fill("/", "a"),
            fill("", "/"),
            fill("/", "*/"),
            fill("/", ":a-"),
            fill("/", ":"),
            fill("/a /", ":a"),
            fill("/a /", "../"),
            fill("/a ", "x=y "),
            fill("/a ", "x"),
            fill("/a /b 301 ", "x "),
            fill("https://", "a."),
            fill("https://", ":a."),
            fill("/a https://", "x"),
            fill("/a https://x/", "%"),
            fill("", "\u{1f600}"),
            fill("", "\0"),
        ] {
            let parsed = RedirectRules::parse(text.as_bytes()).unwrap();
            assert!(parsed.mistakes.len() == 1 && parsed.mistakes[0].reason.len() < 500, "{:?}", &parsed.mistakes);
            let parsed =
                HeaderRules::parse(format!("/a\n{}", text.get(..size - 3).unwrap_or_default()).as_bytes()).unwrap();
            assert!(parsed.mistakes.len() <= 2 && parsed.rules.changes(None, b"/a").is_empty());
        }
        let value = fill("/a\nX: ", ":splat");
        assert_eq!(HeaderRules::parse(value.as_bytes()).unwrap().mistakes.len(), 1);
    }
}

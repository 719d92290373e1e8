//! A rule of `_headers`, and what it does to a response.

use std::borrow::Cow;

use crate::http::field_changes::FieldLine;
use crate::http::{FieldChanges, target};
use crate::rules::captures::{Captures, Names, placeholder};
use crate::rules::lines::quote;
use crate::rules::source::Source;

/// A rule of `_headers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderRule {
    /// The line of its source in the file, from 1.
    pub line: usize,
    /// Where it applies.
    pub source: Source,
    pub(super) names: Names,
    /// The fields that are removed.
    pub(super) removed: Vec<Box<str>>,
    /// The fields that are set.
    pub(super) set: Vec<(Box<str>, Box<str>)>,
    /// Whether the rule has a password for its paths (Basic-Auth).
    pub has_password: bool,
    /// Whether it has lines below it, even with mistakes.
    pub(super) has_lines: bool,
}

impl HeaderRule {
    /// Parses the source of a rule.
    pub(super) fn parse(line: usize, content: &str) -> Result<Self, String> {
        if content.contains([' ', '\t']) {
            return Err(format!(
                "{} contains a space: write it as \"%20\", and fields on lines of their own",
                quote(content)
            ));
        }
        let mut names = Names::default();
        let mut source = Source::parse(content, &mut names)?;
        // As on Cloudflare: nobody avoids a rule for a host by the other scheme.
        source.ignore_scheme();
        Ok(HeaderRule {
            line,
            source,
            names,
            removed: Vec::new(),
            set: Vec::new(),
            has_password: false,
            has_lines: false,
        })
    }

    /// Returns a rule without fields for everything that begins with `prefix`.
    pub(super) fn protecting(line: usize, prefix: &str) -> Option<Self> {
        HeaderRule::parse(line, &format!("{prefix}*")).or_else(|_| HeaderRule::parse(line, "/*")).ok()
    }

    /// Returns the names and values that the rule sets.
    pub fn set(&self) -> impl Iterator<Item = (&str, &str)> {
        self.set.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns the names that the rule removes.
    pub fn removed(&self) -> impl Iterator<Item = &str> {
        self.removed.iter().map(|name| &**name)
    }

    /// Adds what this rule does to what the rules before it do. Of one rule, fields are removed before others are set. What
    /// does not fit into `room`, in bytes, is left out.
    pub(super) fn apply(&self, captures: &Captures, changes: &mut FieldChanges, room: &mut usize) {
        let mut take = |size: usize| room.checked_sub(size).map(|rest| *room = rest).is_some();
        for name in &self.removed {
            changes.set.retain(|line| !line.name.eq_ignore_ascii_case(name));
            if !changes.removed.iter().any(|removed| removed.eq_ignore_ascii_case(name)) && take(name.len()) {
                changes.removed.push(name.to_string());
            }
        }
        for (name, value) in &self.set {
            let value = self.fill(value, captures);
            if !take(name.len() + value.len() + ": \r\n".len()) {
                continue;
            }
            if name.eq_ignore_ascii_case("Vary") {
                add_members(&value, &mut changes.vary);
                continue;
            }
            let is_single = name.eq_ignore_ascii_case("Set-Cookie");
            match changes.set.iter_mut().find(|line| line.name.eq_ignore_ascii_case(name) && !is_single) {
                Some(line) => {
                    line.value.push_str(", ");
                    line.value.push_str(&value);
                }
                None => changes.set.push(FieldLine { name: name.to_string(), value: value.into_owned() }),
            }
        }
    }

    /// Fills in placeholders, percent-encoded: what a client sends cannot begin another field.
    fn fill<'v>(&self, value: &'v str, captures: &Captures) -> Cow<'v, str> {
        if captures.is_empty() || !value.contains(':') {
            return value.into();
        }
        let (mut filled, mut rest) = (String::with_capacity(value.len()), value);
        while let Some(colon) = rest.find(':') {
            filled.push_str(&rest[..colon]);
            rest = &rest[colon..];
            let known = placeholder(rest).and_then(|(name, rest)| Some((captures.get(self.names.find(name)?)?, rest)));
            match known {
                Some((capture, after)) => {
                    target::encode(capture, &mut filled);
                    rest = after;
                }
                None => {
                    filled.push(':');
                    rest = &rest[1..];
                }
            }
        }
        filled.push_str(rest);
        filled.into()
    }
}

/// Adds members of a list that are not in it.
fn add_members(value: &str, members: &mut Vec<String>) {
    for member in value.split(',').map(str::trim).filter(|member| !member.is_empty()) {
        if !members.iter().any(|known| known.eq_ignore_ascii_case(member)) {
            members.push(member.to_string());
        }
    }
}

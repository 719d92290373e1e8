//! `_headers`: each rule is a line with a source, and lines with fields below it.

use std::borrow::Cow;

use super::captures::{Captures, Names, placeholder};
use super::index::Index;
use super::lines::{lines, quote, text};
use super::source::{Source, normal_host};
use super::{MAX_BYTES, MAX_FIELDS, MAX_RULES, Mistake, Parsed, TooMany};
use crate::http::field_changes::FieldLine;
use crate::http::{FieldChanges, Scheme, syntax, target};

/// The rules of a `_headers` file.
#[derive(Debug, Clone, Default)]
pub struct HeaderRules {
    rules: Vec<HeaderRule>,
    index: Index,
    has_hosts: bool,
}

/// A rule of `_headers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderRule {
    /// The line of its source in the file, from 1.
    pub line: usize,
    /// Where it applies.
    pub source: Source,
    names: Names,
    removed: Vec<Box<str>>,
    set: Vec<(Box<str>, Box<str>)>,
    has_password: bool,
}

/// A line below a source.
enum Line<'t> {
    Set(&'t str, &'t str),
    Remove(&'t str),
    Password,
}

impl HeaderRules {
    /// Parses a file.
    pub fn parse(file: &[u8]) -> Result<Parsed<Self>, TooMany> {
        if file.len() as u64 > MAX_BYTES {
            return Err(TooMany::Bytes);
        }
        let (mut found, mut mistakes) = (HeaderRules::default(), Vec::new());
        let (mut rule, mut sources, mut fields): (Option<Result<HeaderRule, usize>>, usize, usize) = (None, 0, 0);
        for (line, content) in lines(file) {
            let mut refuse = |reason| mistakes.push(Mistake { line, reason });
            let content = match text(content) {
                Ok(content) => content,
                Err(reason) => {
                    refuse(reason);
                    continue;
                }
            };
            if is_source(content) {
                sources += 1;
                found.finish(rule.take(), &mut mistakes);
                rule = Some(HeaderRule::parse(line, content).map_err(|reason| {
                    mistakes.push(Mistake { line, reason });
                    line
                }));
            } else {
                fields += 1;
                match (&mut rule, parse_line(content)) {
                    (None, _) => refuse("the field has no rule: write a line with a path above it".into()),
                    // One mistake for the source is enough.
                    (Some(Err(_)), _) => {}
                    (Some(Ok(rule)), Ok(line)) => rule.add(line),
                    (Some(Ok(_)), Err(reason)) => refuse(reason),
                }
            }
            if sources > MAX_RULES || fields > MAX_FIELDS || mistakes.len() > MAX_RULES {
                return Err(TooMany::Rules);
            }
        }
        found.finish(rule, &mut mistakes);
        Ok(Parsed { rules: found, mistakes })
    }

    fn finish(&mut self, rule: Option<Result<HeaderRule, usize>>, mistakes: &mut Vec<Mistake>) {
        let Some(Ok(rule)) = rule else { return };
        if rule.set.is_empty() && rule.removed.is_empty() && !rule.has_password {
            let has_reason = mistakes.last().is_some_and(|mistake| mistake.line > rule.line);
            if !has_reason {
                let reason = "the rule has no fields: write lines such as \"Name: value\" below it".into();
                mistakes.push(Mistake { line: rule.line, reason });
            }
            return;
        }
        self.index.add(self.rules.len(), &rule.source);
        self.has_hosts |= rule.source.has_host();
        self.rules.push(rule);
    }

    /// Returns whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns the rules in the order of the file.
    pub fn rules(&self) -> impl Iterator<Item = &HeaderRule> {
        self.rules.iter()
    }

    /// Whether the result of [`changes`](HeaderRules::changes) depends on the host.
    pub fn depends_on_host(&self) -> bool {
        self.has_hosts
    }

    /// Returns what the rules do to a response for `path`, which is decoded and normalized, with a leading slash, at `host`,
    /// which may have a port.
    pub fn changes(&self, host: Option<&str>, path: &[u8]) -> FieldChanges {
        let mut changes = FieldChanges::default();
        if self.rules.is_empty() {
            return changes;
        }
        let host = host.filter(|_| self.has_hosts).map(normal_host);
        let mut captures = Captures::new();
        for index in self.index.candidates(host.as_deref(), path) {
            let rule = &self.rules[index];
            if rule.source.matches(Scheme::Https, host.as_deref(), path, &mut captures) {
                rule.apply(&captures, &mut changes);
            }
        }
        changes
    }
}

impl HeaderRule {
    fn parse(line: usize, content: &str) -> Result<Self, String> {
        if content.contains([' ', '\t']) {
            return Err(format!(
                "{} contains a space: write it as \"%20\", and fields on lines of their own",
                quote(content)
            ));
        }
        let mut names = Names::default();
        let mut source = Source::parse(content, &mut names)?;
        // As Cloudflare does: a rule for a host must not be avoided by the other scheme.
        source.ignore_scheme();
        Ok(HeaderRule { line, source, names, removed: Vec::new(), set: Vec::new(), has_password: false })
    }

    fn add(&mut self, line: Line) {
        match line {
            Line::Set(name, value) => self.set.push((name.into(), value.into())),
            Line::Remove(name) => self.removed.push(name.into()),
            Line::Password => self.has_password = true,
        }
    }

    /// Adds what this rule does to what the rules before it do. Of one rule, fields are removed before others are set.
    fn apply(&self, captures: &Captures, changes: &mut FieldChanges) {
        changes.has_password |= self.has_password;
        for name in &self.removed {
            changes.set.retain(|line| !line.name.eq_ignore_ascii_case(name));
            if !changes.removed.iter().any(|removed| removed.eq_ignore_ascii_case(name)) {
                changes.removed.push(name.to_string());
            }
        }
        for (name, value) in &self.set {
            let value = self.fill(value, captures);
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

/// Whether a line begins a rule.
fn is_source(line: &str) -> bool {
    line.starts_with('/')
        || line.split([' ', '\t', '"']).next().is_some_and(|word| word.contains("://") && !word.contains(": "))
}

fn parse_line(line: &str) -> Result<Line<'_>, String> {
    if let Some(name) = line.strip_prefix('!') {
        let name = name.trim();
        check_name(name)?;
        if name.eq_ignore_ascii_case("Vary") {
            return Err("Vary cannot be removed: caches would mix up responses".into());
        }
        return Ok(Line::Remove(name));
    }
    let Some((name, value)) = line.split_once(':') else {
        return Err(format!("{} is neither a path nor a field: write \"Name: value\" or \"! Name\"", quote(line)));
    };
    let (name, value) = (name.trim(), value.trim());
    if name.eq_ignore_ascii_case("Basic-Auth") {
        return Ok(Line::Password);
    }
    check_name(name)?;
    if value.is_empty() {
        return Err(format!("the field {} has no value: write one, or \"! Name\" to remove it", quote(name)));
    }
    Ok(Line::Set(name, value))
}

/// Returns what is wrong with setting or removing a field.
fn check_name(name: &str) -> Result<(), String> {
    /// These belong to the message, or to what this server promises.
    const FORBIDDEN: [&str; 19] = [
        "Accept-Ranges",
        "Age",
        "Allow",
        "Alt-Svc",
        "Connection",
        "Content-Encoding",
        "Content-Length",
        "Content-Range",
        "Date",
        "ETag",
        "Keep-Alive",
        "Last-Modified",
        "Location",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "WWW-Authenticate",
        "Proxy",
        "TE",
    ];
    if name.is_empty() || !name.bytes().all(syntax::is_token_byte) {
        return Err(format!("{} is not a name of a field: it has letters, digits and hyphens", quote(name)));
    }
    let is_proxy = name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("Proxy-"));
    if is_proxy || FORBIDDEN.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name)) {
        return Err(format!("the server itself decides about the field {}: remove the line", quote(name)));
    }
    Ok(())
}

/// Adds members of a list that are not in it.
fn add_members(value: &str, members: &mut Vec<String>) {
    for member in value.split(',').map(str::trim).filter(|member| !member.is_empty()) {
        if !members.iter().any(|known| known.eq_ignore_ascii_case(member)) {
            members.push(member.to_string());
        }
    }
}

#[cfg(test)]
mod tests;

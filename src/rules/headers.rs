//! `_headers`: each rule is a line with a source, and lines with fields below it.

mod line;
mod rule;

use self::line::{Line, is_password, is_source, parse_line};
pub use self::rule::HeaderRule;
use super::captures::Captures;
use super::index::Index;
use super::lines::{lines, quote, text};
use super::source::normal_host;
use super::{MAX_BYTES, MAX_FIELDS, MAX_RULES, Mistake, Parsed, TooMany, is_challenge};
use crate::http::{FieldChanges, Scheme};

/// The bytes that rules may add to one response. Clients refuse longer heads, so the rest is left out.
const MAX_CHANGES_BYTES: usize = 32 << 10;

/// The rules of a `_headers` file.
#[derive(Debug, Clone, Default)]
pub struct HeaderRules {
    rules: Vec<HeaderRule>,
    index: Index,
    /// Those with a password.
    passwords: Index,
    has_hosts: bool,
    has_passwords: bool,
}

/// The rule to which the next lines belong.
enum Block {
    None,
    Rule(HeaderRule),
    /// Its source has a mistake. The text is that source.
    Refused(usize, String),
}

impl HeaderRules {
    /// Parses a file.
    pub fn parse(file: &[u8]) -> Result<Parsed<Self>, TooMany> {
        if file.len() as u64 > MAX_BYTES {
            return Err(TooMany::Bytes);
        }
        let (mut found, mut mistakes, mut block) = (HeaderRules::default(), Vec::new(), Block::None);
        let (mut sources, mut fields) = (0, 0);
        for (line, content) in lines(file) {
            if is_source(content) {
                sources += 1;
                found.end(std::mem::replace(&mut block, Block::None), &mut mistakes);
                block = text(content).and_then(|content| HeaderRule::parse(line, content)).map_or_else(
                    |reason| {
                        mistakes.push(Mistake { line, reason });
                        Block::Refused(line, String::from_utf8_lossy(content).into_owned())
                    },
                    Block::Rule,
                );
            } else {
                fields += 1;
                if let Err(reason) = found.add_line(&mut block, content) {
                    mistakes.push(Mistake { line, reason });
                }
            }
            if sources > MAX_RULES || fields > MAX_FIELDS || mistakes.len() > MAX_RULES {
                return Err(TooMany::Rules);
            }
        }
        found.end(block, &mut mistakes);
        mistakes.sort_by_key(|mistake| mistake.line);
        Ok(Parsed { rules: found, mistakes })
    }

    /// Adds a line below a source. Returns what is wrong with it.
    fn add_line(&mut self, block: &mut Block, content: &[u8]) -> Result<(), String> {
        if is_password(content) {
            return Err(self.add_password(block));
        }
        let line = text(content).and_then(parse_line);
        match block {
            Block::None => Err("the field has no rule: write a line with a path above it".into()),
            // The mistake of the source is enough.
            Block::Refused(..) => Ok(()),
            Block::Rule(rule) => {
                rule.has_lines = true;
                match line? {
                    Line::Set(name, value) => rule.set.push((name.into(), value.into())),
                    Line::Remove(name) => rule.removed.push(name.into()),
                }
                Ok(())
            }
        }
    }

    /// Nobody gets the content of the paths of this rule. If its source has a mistake, nobody gets that of paths which it may
    /// have meant.
    fn add_password(&mut self, block: &mut Block) -> String {
        let paths = match block {
            Block::None => {
                return "Basic-Auth has no rule: write a line with a path above it, or better, use --auth".into();
            }
            Block::Rule(rule) => {
                (rule.has_password, rule.has_lines) = (true, true);
                quote(rule.source.text())
            }
            Block::Refused(line, source) => {
                let prefix = line::known_prefix(source);
                let text = quote(&format!("{prefix}*"));
                if let Some(mut rule) = HeaderRule::protecting(*line, prefix) {
                    rule.has_password = true;
                    self.push(rule);
                }
                text
            }
        };
        format!(
            "Basic-Auth is not supported, as passwords of this file are clear text: requests for {paths} get 403; use --auth"
        )
    }

    /// Ends a rule.
    fn end(&mut self, block: Block, mistakes: &mut Vec<Mistake>) {
        let Block::Rule(rule) = block else { return };
        if !rule.has_lines {
            let reason = "the rule has no fields: write lines such as \"Name: value\" below it".into();
            mistakes.push(Mistake { line: rule.line, reason });
        } else if rule.has_password || !rule.set.is_empty() || !rule.removed.is_empty() {
            self.push(rule);
        }
    }

    fn push(&mut self, rule: HeaderRule) {
        self.index.add(self.rules.len(), &rule.source);
        if rule.has_password {
            self.passwords.add(self.rules.len(), &rule.source);
        }
        self.has_hosts |= rule.source.has_host();
        self.has_passwords |= rule.has_password;
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

    /// Returns whether `path` has a password in the file: nobody gets its content. This is to be asked for the path of a file
    /// as well that another path leads to. The parameters are those of [`changes`](HeaderRules::changes).
    pub fn has_password(&self, host: Option<&str>, path: &[u8]) -> bool {
        if !self.has_passwords || is_challenge(path) {
            return false;
        }
        let host = host.filter(|_| self.has_hosts).map(normal_host);
        let mut captures = Captures::new();
        let mut rules = self.passwords.candidates(host.as_deref(), path).map(|rule| &self.rules[rule]);
        rules.any(|rule| rule.source.matches(Scheme::Https, host.as_deref(), path, &mut captures))
    }

    /// Returns the rules for all hosts that match `path`, which is as in [`changes`](HeaderRules::changes).
    pub fn matching(&self, path: &[u8]) -> impl Iterator<Item = &HeaderRule> {
        let rules = self.index.candidates(None, path).map(|rule| &self.rules[rule]);
        rules.filter(move |rule| rule.source.matches(Scheme::Https, None, path, &mut Captures::new()))
    }

    /// Returns what the rules do to a response for `path`, which is decoded and normalized, with a leading slash, at `host`,
    /// which may have a port.
    pub fn changes(&self, host: Option<&str>, path: &[u8]) -> FieldChanges {
        let mut changes = FieldChanges { has_password: self.has_password(host, path), ..FieldChanges::default() };
        if self.rules.is_empty() {
            return changes;
        }
        let host = host.filter(|_| self.has_hosts).map(normal_host);
        let (mut captures, mut room) = (Captures::new(), MAX_CHANGES_BYTES);
        for index in self.index.candidates(host.as_deref(), path) {
            let rule = &self.rules[index];
            if rule.source.matches(Scheme::Https, host.as_deref(), path, &mut captures) {
                rule.apply(&captures, &mut changes, &mut room);
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests;

//! `_redirects`: each line has a source, query parameters, a target and a status.

use std::borrow::Cow;

use super::captures::{Captures, Names, placeholder};
use super::index::Index;
use super::lines::{lines, quote, text};
use super::source::{Source, normal_host};
use super::template::{File, Location};
use super::{MAX_BYTES, MAX_RULES, Mistake, Parsed, TooMany};
use crate::http::target::hex_digit;
use crate::http::{Scheme, Status};

/// The rules of a `_redirects` file.
#[derive(Debug, Clone, Default)]
pub struct RedirectRules {
    rules: Vec<RedirectRule>,
    index: Index,
    has_hosts: bool,
    has_forced: bool,
}

/// A rule of `_redirects`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectRule {
    /// The line in the file, from 1.
    pub line: usize,
    /// Where it applies.
    pub source: Source,
    /// The target as it is written.
    pub target: Box<str>,
    /// The status of the response.
    pub status: Status,
    /// Whether it applies although a file exists.
    pub is_forced: bool,
    parameters: Vec<Parameter>,
    destination: Destination,
}

/// A query parameter that a request must have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameter {
    name: Box<[u8]>,
    /// The value, or none if it is a placeholder.
    value: Option<Box<[u8]>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Destination {
    Location(Location),
    File(File),
}

/// What rules need to know of a request.
#[derive(Debug, Clone, Copy)]
pub struct RuleRequest<'r> {
    /// Whether it was sent over TLS.
    pub scheme: Scheme,
    /// The host that it names, with or without a port.
    pub host: Option<&'r str>,
    /// The path, decoded and normalized, with a leading slash.
    pub path: &'r [u8],
    /// The query as it was sent, without the `?`.
    pub query: Option<&'r str>,
}

/// A rule that matches a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match<'r> {
    /// The rule.
    pub rule: &'r RedirectRule,
    /// Where it leads to.
    pub target: Target,
}

/// Where a rule leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The value of Location of a redirect: a URI, or a path that begins with one slash. It is encoded.
    Location(String),
    /// The file that is the content of the response, which has the status of the rule: a path with a leading slash, decoded,
    /// without dot segments. It is neither hidden nor reserved.
    Path(Vec<u8>),
}

impl RedirectRules {
    /// Parses a file.
    pub fn parse(text: &[u8]) -> Result<Parsed<Self>, TooMany> {
        if text.len() as u64 > MAX_BYTES {
            return Err(TooMany::Bytes);
        }
        let (mut found, mut mistakes) = (RedirectRules::default(), Vec::new());
        for (count, (line, content)) in lines(text).enumerate() {
            if count == MAX_RULES {
                return Err(TooMany::Rules);
            }
            match RedirectRule::parse(line, content) {
                Ok(rule) => found.push(rule),
                Err(reason) => mistakes.push(Mistake { line, reason }),
            }
        }
        Ok(Parsed { rules: found, mistakes })
    }

    fn push(&mut self, rule: RedirectRule) {
        self.index.add(self.rules.len(), &rule.source);
        self.has_hosts |= rule.source.has_host();
        self.has_forced |= rule.is_forced;
        self.rules.push(rule);
    }

    /// Returns whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns the rules in the order of the file.
    pub fn rules(&self) -> impl Iterator<Item = &RedirectRule> {
        self.rules.iter()
    }

    /// Returns the first rule that matches: of those that are `forced`, which are asked before a file is looked for, or of the
    /// others, which are asked when there is none. A rule that leads to the request itself does not match.
    pub fn find(&self, request: &RuleRequest, forced: bool) -> Option<Match<'_>> {
        if self.rules.is_empty() || forced && !self.has_forced {
            return None;
        }
        let host = request.host.filter(|_| self.has_hosts).map(normal_host);
        let mut captures = Captures::new();
        for index in self.index.candidates(host.as_deref(), request.path) {
            let rule = &self.rules[index];
            if rule.is_forced != forced
                || !rule.source.matches(request.scheme, host.as_deref(), request.path, &mut captures)
                || !rule.has_parameters(request.query, &mut captures)
            {
                continue;
            }
            if let Some(target) = rule.destination.fill(request, &captures) {
                return Some(Match { rule, target });
            }
        }
        None
    }
}

impl RedirectRule {
    fn parse(line: usize, content: &[u8]) -> Result<Self, String> {
        let content = text(content)?;
        let mut words =
            content.split([' ', '\t']).filter(|word| !word.is_empty()).take_while(|word| !word.starts_with('#'));
        let mut names = Names::default();
        let source = Source::parse(words.next().unwrap_or_default(), &mut names)?;
        let mut parameters = Vec::new();
        let target = loop {
            match words.next() {
                None => return Err("the target is missing: write a path or a URI after the source".into()),
                Some(word) if is_target(word) => break word,
                Some(word) => parameters.push(Parameter::parse(word, &mut names)?),
            }
        };
        let (status, is_forced) = words.next().map_or(Ok((Status::MovedPermanently, false)), parse_status)?;
        if let Some(condition) = words.next() {
            return Err(refuse_condition(condition));
        }
        let destination = match status {
            Status::Ok | Status::NotFound | Status::Gone | Status::ServiceUnavailable => {
                Destination::File(File::parse(target, &names)?)
            }
            _ => Destination::Location(Location::parse(target, &names)?),
        };
        let is_loop = matches!(destination, Destination::Location(_))
            && parameters.is_empty()
            && source.text().replace('*', ":splat").trim_end_matches('/') == target.trim_end_matches('/');
        if is_loop {
            return Err(format!(
                "the rule redirects {} to itself, as a slash at the end does not matter: remove it",
                quote(source.text())
            ));
        }
        Ok(RedirectRule { line, source, target: target.into(), status, is_forced, parameters, destination })
    }

    /// Returns whether the query has all parameters, in any order, and adds what their placeholders matched.
    fn has_parameters(&self, query: Option<&str>, captures: &mut Captures) -> bool {
        self.parameters.iter().all(|parameter| {
            let mut pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
            let found = pairs.find_map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (*decode_form(name) == *parameter.name).then(|| decode_form(value))
            });
            match (found, &parameter.value) {
                (None, _) => false,
                (Some(found), Some(value)) => *found == **value,
                (Some(found), None) => {
                    captures.push(Cow::Owned(found));
                    true
                }
            }
        })
    }
}

impl Parameter {
    fn parse(word: &str, names: &mut Names) -> Result<Self, String> {
        let Some((name, value)) = word.split_once('=') else {
            return Err(format!(
                "{} is neither a query parameter, name=value, nor a target: write a path or a URI",
                quote(word)
            ));
        };
        let value = match placeholder(value) {
            Some((placeholder, "")) => {
                names.add(placeholder)?;
                None
            }
            _ => Some(decode_form(value).into()),
        };
        Ok(Parameter { name: decode_form(name).into(), value })
    }
}

impl Destination {
    fn fill(&self, request: &RuleRequest, captures: &Captures) -> Option<Target> {
        match self {
            Destination::Location(location) => Some(Target::Location(location.fill(captures, request.query))),
            Destination::File(file) => file.fill(captures).map(Target::Path),
        }
    }
}

/// Whether a word is a target, not a query parameter.
fn is_target(word: &str) -> bool {
    word.starts_with('/') || word.contains("://") && !word[..word.find("://").unwrap_or(0)].contains('=')
}

fn parse_status(word: &str) -> Result<(Status, bool), String> {
    const KNOWN: [Status; 9] = [
        Status::Ok,
        Status::MovedPermanently,
        Status::Found,
        Status::SeeOther,
        Status::TemporaryRedirect,
        Status::PermanentRedirect,
        Status::NotFound,
        Status::Gone,
        Status::ServiceUnavailable,
    ];
    let (digits, is_forced) = word.strip_suffix('!').map_or((word, false), |digits| (digits, true));
    let status = digits.parse().ok().and_then(|code: u16| KNOWN.into_iter().find(|status| status.code() == code));
    match status {
        Some(status) => Ok((status, is_forced)),
        None if word.contains('=') => Err(refuse_condition(word)),
        None => Err(format!(
            "{} is not a status of a rule: write 200, 301, 302, 303, 307, 308, 404, 410 or 503, with \"!\" to apply it \
             although a file exists",
            quote(word)
        )),
    }
}

fn refuse_condition(word: &str) -> String {
    let text = quote(word);
    match word.split_once('=').map(|(name, _)| name.to_ascii_lowercase()).as_deref() {
        Some("country" | "language" | "role" | "cookie" | "sign" | "signed") => {
            format!("this server does not have the condition {text}, and the rule does not hold without it")
        }
        _ => format!("nothing follows the status: remove {text}, or write \"#\" before a comment"),
    }
}

/// Decodes a name or value of a query as forms encode it. What is no escape stays.
fn decode_form(text: &str) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        let escaped = match after {
            [high, low, ..] if *first == b'%' => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        decoded.push(match escaped {
            Some((high, low)) => high << 4 | low,
            None if *first == b'+' => b' ',
            None => *first,
        });
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    decoded
}

#[cfg(test)]
mod tests;

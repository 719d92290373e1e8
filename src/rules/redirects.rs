//! `_redirects`: each line has a source, query parameters, a target and a status.

mod coverage;
mod line;
mod parameters;

use std::borrow::Cow;

use self::parameters::Parameters;
use super::captures::{Captures, Names};
use super::index::Index;
use super::lines::lines;
use super::pattern::trim_slash;
use super::source::{Source, normal_host};
use super::template::{File, Filled, Location, unknown_placeholders};
use super::{MAX_BYTES, MAX_RULES, Mistake, Parsed, TooMany, is_challenge};
use crate::http::{Scheme, Status, target};

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
    names: Names,
    parameters: Parameters,
    destination: Destination,
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

    /// Returns whether a rule may match a request for `path`. False is certain, whatever else the request has.
    pub fn may_match(&self, path: &[u8]) -> bool {
        self.has_hosts || self.candidates(None, path).next().is_some()
    }

    /// Returns the first rule that matches, in the order of the file, if it is one of those that are `forced`, which are asked
    /// for before a file is looked for, or one of the others, which are asked for when there is none. As on Netlify, no later
    /// rule is tried, so that a file decides only whether the first one applies.
    ///
    /// A rule does not match if it leads to the request itself, or to a path that is never served. No rule matches an ACME
    /// challenge: certificates would not be renewed.
    pub fn find(&self, request: &RuleRequest, forced: bool) -> Option<Match<'_>> {
        if self.rules.is_empty() || forced && !self.has_forced || is_challenge(request.path) {
            return None;
        }
        let host = request.host.filter(|_| self.has_hosts).map(normal_host);
        let mut captures = Captures::new();
        let mut matches = self.candidates(host.as_deref(), request.path).filter_map(|rule| {
            let is_match = rule.source.matches(request.scheme, host.as_deref(), request.path, &mut captures);
            let query = is_match.then(|| rule.parameters.matches(request.query, &mut captures)).flatten()?;
            let target = rule.destination.fill(request, &captures, query)?;
            Some(Match { rule, target })
        });
        matches.next().filter(|found| found.rule.is_forced == forced)
    }

    /// Returns the rules whose sources may match, in the order of the file. `host` is normalized.
    fn candidates(&self, host: Option<&str>, path: &[u8]) -> impl Iterator<Item = &RedirectRule> {
        self.index.candidates(host, path).map(|index| &self.rules[index])
    }
}

impl RedirectRule {
    /// Returns whether the response is a redirect: one of 301, 302, 303, 307 and 308.
    pub fn is_redirect(&self) -> bool {
        matches!(self.destination, Destination::Location(_))
    }

    /// Returns the names in the target that look like placeholders and are not in the source. They are sent as text.
    pub fn unknown_placeholders(&self) -> Vec<&str> {
        unknown_placeholders(&self.target, &self.names)
    }
}

impl Destination {
    fn fill(&self, request: &RuleRequest, captures: &Captures, query: Option<Cow<str>>) -> Option<Target> {
        match self {
            Destination::Location(location) => {
                let filled = location.fill(captures, query.as_deref());
                (!is_same(&filled, request)).then(|| Target::Location(filled.uri()))
            }
            Destination::File(file) => file.fill(captures).map(Target::Path),
        }
    }
}

/// Returns whether a location leads to the request itself.
fn is_same(location: &Filled, request: &RuleRequest) -> bool {
    let is_same_origin = location.origin.is_none_or(|origin| {
        let own = request.host.map(|host| origin_of(request.scheme.as_str(), host));
        own.is_some_and(|own| origin.split_once("://").is_some_and(|(scheme, host)| origin_of(scheme, host) == own))
    });
    let mut query = String::new();
    target::encode_query(request.query.unwrap_or_default(), &mut query);
    is_same_origin
        && location.query.as_deref().unwrap_or_default() == query
        && *trim_slash(&parameters::decode(&location.path, false)) == *trim_slash(request.path)
}

/// Returns scheme, host and port in one form: in lower case, without the default port.
fn origin_of(scheme: &str, authority: &str) -> (String, String, String) {
    let scheme = scheme.to_ascii_lowercase();
    let host = normal_host(authority);
    let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.contains(']')).unwrap_or_default();
    let is_default = matches!((scheme.as_str(), port), ("http", "80") | ("https", "443"));
    let port = if is_default { "" } else { port };
    (scheme, host, port.to_string())
}

#[cfg(test)]
mod tests;

//! The parser of one line of `_redirects`.

use super::parameters::Parameters;
use super::{Destination, RedirectRule};
use crate::http::Status;
use crate::rules::captures::Names;
use crate::rules::lines::{quote, text};
use crate::rules::source::Source;
use crate::rules::template::{File, Location};

/// The statuses that a rule may have.
const STATUSES: [Status; 9] = [
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

impl RedirectRule {
    /// Parses a line: a source, query parameters, a target, and perhaps a status and a comment.
    pub(super) fn parse(line: usize, content: &[u8]) -> Result<Self, String> {
        let content = text(content)?;
        let words = content.split([' ', '\t']).filter(|word| !word.is_empty());
        let mut words = words.take_while(|word| !word.starts_with('#'));
        let mut names = Names::default();
        let source = Source::parse(words.next().unwrap_or_default(), &mut names)?;
        let mut parameters = Parameters::default();
        let target = loop {
            match words.next() {
                None => return Err("the target is missing: write a path or a URI after the source".into()),
                Some(word) if is_target(word) => break word,
                Some(word) => parameters.add(word, &mut names)?,
            }
        };
        let (status, is_forced) = words.next().map_or(Ok((Status::MovedPermanently, false)), parse_status)?;
        if let Some(word) = words.next() {
            return Err(refuse(word));
        }
        let destination = match status {
            Status::Ok | Status::NotFound | Status::Gone | Status::ServiceUnavailable => {
                Destination::File(File::parse(target, &names)?)
            }
            _ => Destination::Location(Location::parse(target, &names)?),
        };
        let is_redirect = matches!(destination, Destination::Location(_));
        if is_redirect && parameters.is_empty() && is_loop(source.text(), target) {
            return Err(format!(
                "the rule redirects {} to itself, as a slash at the end does not matter: remove it",
                quote(source.text())
            ));
        }
        Ok(RedirectRule { line, source, target: target.into(), status, is_forced, names, parameters, destination })
    }
}

/// Returns whether source and target are the same but for a slash at the end.
fn is_loop(source: &str, target: &str) -> bool {
    source.replace('*', ":splat").trim_end_matches('/') == target.trim_end_matches('/')
}

/// Returns whether a word is a target, not a query parameter, whose value may be a path or a URI.
fn is_target(word: &str) -> bool {
    word.starts_with('/') || word.split_once("://").is_some_and(|(scheme, _)| !scheme.contains('='))
}

fn parse_status(word: &str) -> Result<(Status, bool), String> {
    let (digits, is_forced) = word.strip_suffix('!').map_or((word, false), |digits| (digits, true));
    let is_code = |status: &Status| status.line().split(' ').next() == Some(digits);
    match STATUSES.into_iter().find(is_code) {
        Some(status) => Ok((status, is_forced)),
        None if word.contains('=') => Err(refuse(word)),
        None => Err(format!(
            "{} is not a status of a rule: write 200, 301, 302, 303, 307, 308, 404, 410 or 503, with \"!\" to apply it \
             although a file exists",
            quote(word)
        )),
    }
}

/// What is wrong with a word after the target and the status.
fn refuse(word: &str) -> String {
    // The value may be a secret.
    let name = word.split_once('=').map(|(name, _)| name);
    match name.map(str::to_ascii_lowercase).as_deref() {
        Some("country" | "language" | "role" | "cookie" | "sign" | "signed") => format!(
            "this server does not have the condition {}, and the rule does not hold without it",
            quote(name.unwrap_or_default())
        ),
        _ => format!("nothing follows the status: remove {}, or write \"#\" before a comment", quote(word)),
    }
}

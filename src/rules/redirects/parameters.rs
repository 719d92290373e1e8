//! The query parameters of a rule.

use std::borrow::Cow;

use crate::http::target::{self, hex_digit};
use crate::rules::captures::{Captures, MAX_PLACEHOLDERS, Names, placeholder};
use crate::rules::lines::quote;

/// The query parameters that a request must have, in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters(Vec<Parameter>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameter {
    name: Box<[u8]>,
    /// The value, or none if it is a placeholder.
    value: Option<Box<[u8]>>,
}

impl Parameters {
    /// Adds one that is written as `name=value` or `name=:placeholder`.
    pub fn add(&mut self, word: &str, names: &mut Names) -> Result<(), String> {
        let Some((name, value)) = word.split_once('=') else {
            return Err(format!(
                "{} is neither a query parameter, name=value, nor a target: write a path or a URI",
                quote(word)
            ));
        };
        let name = decode(name, true);
        if self.0.iter().any(|known| *known.name == *name) {
            return Err(format!("the query parameter {} occurs twice", quote(word)));
        }
        if self.0.len() == MAX_PLACEHOLDERS {
            return Err(format!("a rule has no more than {MAX_PLACEHOLDERS} query parameters"));
        }
        let value = match placeholder(value) {
            Some((placeholder, "")) => {
                names.add(placeholder)?;
                None
            }
            _ => Some(decode(value, true).into()),
        };
        self.0.push(Parameter { name: name.into(), value });
        Ok(())
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Matches the query of a request, and adds what the placeholders matched. Returns the query without these parameters,
    /// which is passed on; none if one is missing or has another value.
    pub fn matches<'q>(&self, query: Option<&'q str>, captures: &mut Captures) -> Option<Option<Cow<'q, str>>> {
        if self.0.is_empty() {
            return Some(query.map(Cow::Borrowed));
        }
        let pairs = || query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(split);
        for parameter in &self.0 {
            let (_, value) = pairs().find(|(name, _)| *decode(name, true) == *parameter.name)?;
            let value = decode(value, true);
            match &parameter.value {
                Some(known) if **known != *value => return None,
                Some(_) => {}
                None => captures.push(Cow::Owned(value.into_owned())),
            }
        }
        let is_further = |name: &str| self.0.iter().all(|known| *known.name != *decode(name, true));
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let rest = pairs.filter(|pair| is_further(split(pair).0)).collect::<Vec<_>>().join("&");
        Some((!rest.is_empty()).then_some(Cow::Owned(rest)))
    }

    /// Returns whether each query that has the `others` has these as well.
    pub fn include(&self, others: &Parameters) -> bool {
        let is_included = |own: &Parameter| {
            let other = others.0.iter().find(|other| other.name == own.name);
            other.is_some_and(|other| own.value.is_none() || own.value == other.value)
        };
        self.0.iter().all(is_included)
    }

    /// Returns a query that matches, in which placeholders have the value `value`.
    pub fn example(&self, value: &str) -> Option<String> {
        let pair = |parameter: &Parameter| {
            let mut pair = String::new();
            target::encode_component(&parameter.name, &mut pair);
            pair.push('=');
            target::encode_component(parameter.value.as_deref().unwrap_or(value.as_bytes()), &mut pair);
            pair
        };
        (!self.0.is_empty()).then(|| self.0.iter().map(pair).collect::<Vec<_>>().join("&"))
    }
}

fn split(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
}

/// Decodes escapes, and a plus if it is a space, as in forms. What is no escape stays.
pub fn decode(text: &str, plus_is_space: bool) -> Cow<'_, [u8]> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return text.as_bytes().into();
    }
    let (mut decoded, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        let escaped = match after {
            [high, low, ..] if *first == b'%' => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        decoded.push(match escaped {
            Some((high, low)) => high << 4 | low,
            None if *first == b'+' && plus_is_space => b' ',
            None => *first,
        });
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    decoded.into()
}

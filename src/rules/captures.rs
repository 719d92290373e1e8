//! What the placeholders of a rule matched.

use std::borrow::Cow;

/// The values of placeholders in the order of their names in the rule, decoded.
pub type Captures<'r> = Vec<Cow<'r, [u8]>>;

/// The name of the splat.
pub const SPLAT: &str = "splat";

/// The number of placeholders that a rule may have.
pub const MAX_PLACEHOLDERS: usize = 32;

/// Splits off a placeholder at the beginning: a colon, a letter, and letters, digits or underscores. Returns its name, without
/// the colon, and the rest.
pub fn placeholder(text: &str) -> Option<(&str, &str)> {
    let name = text.strip_prefix(':').filter(|name| name.starts_with(|first: char| first.is_ascii_alphabetic()))?;
    let end = name.bytes().position(|byte| !byte.is_ascii_alphanumeric() && byte != b'_').unwrap_or(name.len());
    Some(name.split_at(end))
}

/// The names of a rule's placeholders, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(Vec<Box<str>>);

impl Names {
    /// Adds a name and returns its index.
    pub fn add(&mut self, name: &str) -> Result<usize, String> {
        if self.find(name).is_some() {
            return Err(format!("the placeholder \":{name}\" occurs twice: give each a name of its own"));
        }
        if self.0.len() == MAX_PLACEHOLDERS {
            return Err(format!("a rule has no more than {MAX_PLACEHOLDERS} placeholders"));
        }
        self.0.push(name.into());
        Ok(self.0.len() - 1)
    }

    /// Returns the index of a name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| **known == *name)
    }
}

//! What a check has found.

use std::fmt;

use serde_json::{Value, json};

use crate::config::FindingKind;
use crate::printable::Printable;

/// The number of findings that are kept. Further ones are counted.
const MAX_KEPT: usize = 10_000;

/// Something that is wrong. The order is that of a report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the document root.
    pub file: String,
    /// The line in it, from 1; none for the file as a whole.
    pub line: Option<u32>,
    /// What kind of finding it is.
    pub kind: FindingKind,
    /// What is wrong, and what to do, without a full stop.
    pub text: String,
    /// Further places of the same: files and lines, the first ones.
    pub others: Vec<(String, u32)>,
    /// The number of further places.
    pub more: u64,
}

impl Finding {
    /// Creates a finding in one place.
    pub fn new(kind: FindingKind, file: impl Into<String>, line: Option<u32>, text: impl Into<String>) -> Self {
        Finding { file: file.into(), line, kind, text: text.into(), others: Vec::new(), more: 0 }
    }

    /// Returns it as a JSON object.
    pub fn to_json(&self) -> Value {
        let others: Vec<_> = self.others.iter().map(|(file, line)| json!({ "file": file, "line": line })).collect();
        json!({
            "kind": self.kind.word(), "warning": self.kind.is_warning(), "file": self.file, "line": self.line, "message": self.text,
            "others": others, "more": self.more,
        })
    }
}

/// One line: the place, whether it is a warning, what is wrong, and the kind for `--ignore`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Printable(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        let warning = if self.kind.is_warning() { "warning: " } else { "" };
        write!(f, ": {warning}{}", Printable(&self.text))?;
        if let Some((file, line)) = self.others.first() {
            let places = if self.more == 1 { "place" } else { "places" };
            write!(f, "; the same in {} more {places}, such as {}:{line}", self.more, Printable(file))?;
        }
        write!(f, " [{}]", self.kind.word())
    }
}

/// The findings of a check.
#[derive(Debug, Default)]
pub struct Findings {
    ignored: Vec<FindingKind>,
    kept: Vec<Finding>,
    left_out: u64,
    warnings: u64,
}

impl Findings {
    /// Creates a list without those of these kinds.
    pub fn without(ignored: &[FindingKind]) -> Self {
        Findings { ignored: ignored.to_vec(), ..Findings::default() }
    }

    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        if self.ignored.contains(&finding.kind) {
            return;
        }
        self.warnings += u64::from(finding.kind.is_warning());
        if self.kept.len() < MAX_KEPT {
            self.kept.push(finding);
        } else {
            self.left_out += 1;
        }
    }

    /// Puts those that were kept in order.
    pub fn sort(&mut self) {
        self.kept.sort();
    }

    /// Returns those that were kept.
    pub fn kept(&self) -> &[Finding] {
        &self.kept
    }

    /// Returns the number of those that were not kept.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Returns the number of those that are warnings.
    pub fn warnings(&self) -> u64 {
        self.warnings
    }

    /// Returns the number of all.
    pub fn count(&self) -> u64 {
        self.kept.len() as u64 + self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_place_and_kind() {
        let mut finding = Finding::new(FindingKind::Link, "a\n.html", Some(3), "/b leads nowhere");
        assert_eq!(finding.to_string(), "a\\n.html:3: /b leads nowhere [link]");
        finding.others = vec![("c.html".into(), 7), ("d.html".into(), 1)];
        finding.more = 12;
        let text = "a\\n.html:3: /b leads nowhere; the same in 12 more places, such as c.html:7 [link]";
        assert_eq!(finding.to_string(), text);
    }

    #[test]
    fn findings_beyond_the_limit_are_counted() {
        let mut findings = Findings::default();
        (0..MAX_KEPT + 2).for_each(|_| findings.add(Finding::new(FindingKind::Link, "a", None, "b")));
        assert_eq!((findings.kept().len(), findings.left_out(), findings.count()), (MAX_KEPT, 2, 10_002));
    }

    #[test]
    fn findings_of_an_ignored_kind_are_left_out() {
        let mut findings = Findings::without(&[FindingKind::Link]);
        for kind in [FindingKind::Link, FindingKind::Variant] {
            findings.add(Finding::new(kind, "a", None, "b"));
        }
        assert_eq!((findings.kept()[0].kind, findings.count()), (FindingKind::Variant, 1));
    }
}

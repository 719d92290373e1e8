//! The report of a check: lines for people and compilers' readers, or one JSON object.

use std::fmt;

use serde_json::{Value, json};

use super::findings::{Finding, Findings};
use super::hashed::Hashed;

/// The result of a check.
#[derive(Debug, Default)]
pub struct Report {
    /// The number of HTML documents and style sheets.
    pub documents: u64,
    /// The number of their links within the site.
    pub links: u64,
    /// The number of precompressed variants.
    pub variants: u64,
    /// The names that are taken for ones with a hash.
    pub hashed: Hashed,
    /// What is wrong.
    pub findings: Findings,
}

impl Report {
    /// Returns whether nothing is wrong, except for warnings.
    pub fn is_clean(&self) -> bool {
        self.findings.count() == self.findings.warnings()
    }

    /// Returns the report as a JSON object.
    pub fn to_json(&self) -> Value {
        let findings: Vec<_> = self.findings.kept().iter().map(Finding::to_json).collect();
        json!({
            "findings": findings, "findings_left_out": self.findings.left_out(), "warnings": self.findings.warnings(),
            "documents": self.documents, "links": self.links, "variants": self.variants,
            "hashed": self.hashed.to_json(), "hashed_left_out": self.hashed.left_out(),
        })
    }
}

/// A line for each finding, and a summary.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in self.findings.kept() {
            writeln!(f, "{finding}")?;
        }
        if self.findings.left_out() > 0 {
            writeln!(f, "{} more findings are not listed.", self.findings.left_out())?;
        }
        let Report { documents, links, variants, hashed, findings } = self;
        write!(f, "{hashed}")?;
        let warnings = match findings.warnings() {
            0 => String::new(),
            count => format!(" ({count} of them warnings)"),
        };
        let count = findings.count();
        write!(f, "{count} findings{warnings} in {documents} documents with {links} links, and {variants} variants.")
    }
}

//! The command line of `otus-httpd check-site`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::{Pretty, parsers};

/// What to check, and how to report it.
#[derive(Debug, Clone, Args)]
pub struct CheckSite {
    /// The document root
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,

    /// Print one JSON object instead of lines
    #[arg(long)]
    pub json: bool,

    /// Kind of finding to leave out; repeatable, or separated by commas
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub ignore: Vec<FindingKind>,

    /// Host of this site, whose links are links within it; repeatable, or separated by commas. Default: the host that the home
    /// page or the sitemap names
    #[arg(long = "host", value_name = "NAME", value_delimiter = ',', value_hint = ValueHint::Hostname)]
    pub hosts: Vec<String>,

    /// The names of the files that are served for a directory, as in --index of the server
    #[arg(long, value_name = "NAME", default_value = "index.html", value_delimiter = ',', value_parser = parsers::file_name)]
    pub index: Vec<String>,

    /// The names of pages without .html, as in --pretty of the server
    #[arg(long, value_name = "HOW", default_value = "on")]
    pub pretty: Pretty,

    /// The server runs with --listing: a directory without an index is a page
    #[arg(long)]
    pub listing: bool,

    /// The server runs with --dotfiles: names that begin with a dot are served
    #[arg(long)]
    pub dotfiles: bool,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum FindingKind {
    /// A file or directory that could not be checked
    Unread,
    /// A line of _headers or _redirects that the server does not apply
    Rule,
    /// Redirects that lead back to where they began
    Loop,
    /// A redirect that leads to another redirect
    Chain,
    /// A redirect for a path that has a file, which is served instead
    Shadowed,
    /// A rule that never applies, or leads to nothing
    Impossible,
    /// A rule of _headers for paths that do not exist: a warning
    Unused,
    /// A link that leads nowhere
    Link,
    /// A relative link in an error page, which is sent for paths in every directory
    Relative,
    /// A precompressed variant that is not the file beside it
    Variant,
}

impl FindingKind {
    /// Returns whether it is a warning: the site works, and the exit status is that of a site without findings.
    pub fn is_warning(self) -> bool {
        self == FindingKind::Unused
    }

    /// Returns the word for it on the command line and in a report.
    pub fn word(self) -> &'static str {
        match self {
            FindingKind::Unread => "unread",
            FindingKind::Rule => "rule",
            FindingKind::Loop => "loop",
            FindingKind::Chain => "chain",
            FindingKind::Shadowed => "shadowed",
            FindingKind::Impossible => "impossible",
            FindingKind::Unused => "unused",
            FindingKind::Link => "link",
            FindingKind::Relative => "relative",
            FindingKind::Variant => "variant",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_command_line() {
        for kind in FindingKind::value_variants() {
            assert_eq!(kind.to_possible_value().unwrap().get_name(), kind.word());
        }
    }
}

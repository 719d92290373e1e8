//! What the server answers for a target of this site. Which file a target names is decided by the code of the server
//! ([`page_names`]); the order of rules and files is that of [`handler`](crate::handler), which a test compares.

use std::collections::HashSet;
use std::ffi::{CStr, CString};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag, fstat};

use super::hosts::split;
use super::link::Reference;
use crate::config::Pretty;
use crate::http::target::{self, Target};
use crate::http::{Refusal, Scheme, Status};
use crate::os::sys::file_type;
use crate::rules::{self, HeaderRules, Match, RedirectRules, RuleRequest};
use crate::site::errno::refuse;
use crate::site::page_names::{self, EXTENSION, Files, Found, PageNames};
use crate::site::reserved::ReservedFiles;
use crate::site::root::Root;
use crate::site::version::FileVersion;

/// The reason of an error that a rule asks for.
pub const BY_RULE: &str = "a rule says so";

/// The reason of the error of a file with rules.
const RESERVED: &str = "the server does not send rules and settings";

/// The reason of the error of a path with a password in `_headers`.
const PASSWORD: &str = "Basic-Auth in _headers keeps it from everybody; use --auth of the server";

/// The number of redirects that are followed. Browsers follow 20.
const MAX_REDIRECTS: usize = 10;

/// A site, and the options that decide what is served.
#[derive(Debug)]
pub struct ServedSite {
    disk: Disk,
    headers: HeaderRules,
    redirects: RedirectRules,
    /// The hosts of this site and those that rules name; others are elsewhere.
    hosts: HashSet<String>,
    names: PageNames,
    dotfiles: bool,
}

/// The options that decide what is served under a name.
#[derive(Debug)]
pub struct Names {
    /// The names of pages.
    pub pages: PageNames,
    /// Whether directories without an index are pages.
    pub listing: bool,
    /// Whether names that begin with a dot are served.
    pub dotfiles: bool,
    /// The hosts of the site.
    pub hosts: Vec<String>,
}

/// The files below the document root. None is opened.
#[derive(Debug)]
struct Disk {
    root: Root,
    reserved: ReservedFiles,
    listing: bool,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Visit {
    /// Whether it is sent over TLS.
    pub is_https: bool,
    /// The host, if it is one that rules name.
    pub host: Option<String>,
    /// The path and the query.
    pub target: String,
}

/// The answer to one request, and the line of the rule that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the client gets.
    pub kind: AnswerKind,
    /// The line of `_redirects`.
    pub line: Option<usize>,
}

/// The kinds of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerKind {
    /// A file, or a page that a rule shows.
    Content,
    /// A redirect to another server.
    Elsewhere,
    /// A redirect within the site.
    Redirect(Visit),
    /// An error: the status, and the reason.
    Refused(u16, String),
}

/// What a client gets that follows redirects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journey {
    /// The redirects: where they lead to, and the line of the rule.
    pub redirects: Vec<(Visit, Option<usize>)>,
    /// How it ends.
    pub end: End,
}

/// The ends of a journey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A file, or another server.
    Content,
    /// An error: the status, and the reason.
    Refused(u16, String),
    /// A redirect to a place where the client was before, or one too many.
    Loop,
}

impl Disk {
    fn entry(&self, path: &CStr) -> Result<FileStat, Errno> {
        let path = if path.is_empty() { c"." } else { path };
        let stat = fstat(self.root.locate(path)?)?;
        if matches!(file_type(&stat), SFlag::S_IFREG | SFlag::S_IFDIR) { Ok(stat) } else { Err(Errno::ENXIO) }
    }
}

impl Files for Disk {
    /// Its path.
    type File = CString;
    type Listing = ();

    fn find(&self, path: &CStr) -> Result<Option<CString>, Refusal> {
        Ok(self.has(path)?.then(|| path.into()))
    }

    fn has(&self, path: &CStr) -> Result<bool, Refusal> {
        let stat = self.entry(path).map_err(refuse)?;
        let is_file = file_type(&stat) == SFlag::S_IFREG;
        // A link may lead to a file with rules.
        if is_file && self.reserved.contains(&self.root, &FileVersion::from(&stat)) {
            return Err(Refusal::NotFound);
        }
        Ok(is_file)
    }

    fn has_listing(&self, path: &CStr) -> bool {
        self.listing && self.entry(path).is_ok()
    }

    fn listing(&self, path: &[u8]) -> Result<(), Refusal> {
        let path = CString::new([path, b"."].concat()).map_err(|_| Refusal::NotFound)?;
        if self.listing { self.entry(&path).map(|_| ()).map_err(refuse) } else { Err(Refusal::NotFound) }
    }
}

impl ServedSite {
    /// Creates a site from its parts.
    pub fn new(root: Root, headers: HeaderRules, redirects: RedirectRules, names: Names) -> Self {
        let Names { pages: names, listing, dotfiles, hosts } = names;
        let of_rules = redirects.rules().filter_map(|rule| rule.source.host().map(String::from));
        let hosts = of_rules.chain(hosts.iter().map(|host| rules::normal_host(host))).collect();
        let disk = Disk { reserved: ReservedFiles::find(&root), root, listing };
        ServedSite { disk, headers, redirects, hosts, names, dotfiles }
    }

    /// Returns what a client gets for `visit` if it follows redirects.
    pub fn follow(&self, visit: &Visit) -> Journey {
        let mut redirects: Vec<(Visit, Option<usize>)> = Vec::new();
        let mut current = visit.clone();
        loop {
            let answer = self.answer(&current);
            let end = match answer.kind {
                AnswerKind::Content | AnswerKind::Elsewhere => End::Content,
                AnswerKind::Refused(status, why) => End::Refused(status, why),
                AnswerKind::Redirect(next) => {
                    let is_known = next == *visit || redirects.iter().any(|(known, _)| *known == next);
                    redirects.push((next.clone(), answer.line));
                    if !is_known && redirects.len() <= MAX_REDIRECTS {
                        current = next;
                        continue;
                    }
                    End::Loop
                }
            };
            return Journey { redirects, end };
        }
    }

    /// Returns the answer to one request.
    pub fn answer(&self, visit: &Visit) -> Answer {
        let of_site = |kind| Answer { kind, line: None };
        let mut buffer = Vec::new();
        let decoded = match target::decode(&visit.target, &mut buffer) {
            Ok(decoded) => decoded,
            Err(refusal) => {
                let why = "it is no valid path".to_string();
                return of_site(AnswerKind::Refused(refusal.status().code(), why));
            }
        };
        let path = [b"/", decoded.path].concat();
        let host = visit.host.as_deref();
        if self.headers.has_password(host, &path) {
            return of_site(refused(&Refusal::PasswordInRules, PASSWORD));
        }
        let scheme = if visit.is_https { Scheme::Https } else { Scheme::Http };
        let request = RuleRequest { scheme, host, path: &path, query: decoded.query };
        if let Some(found) = self.redirects.find(&request, true) {
            return self.by_rule(found, visit);
        }
        let found = self.find(host, &decoded);
        let is_missing = match &found {
            Err(refusal) => *refusal == Refusal::NotFound,
            // Without an index, there is nothing at a directory.
            Ok(Found::Directory) => !self.names.serves_directory(&self.disk, decoded.path, &mut Vec::new()),
            Ok(_) => false,
        };
        if is_missing
            // No rule reveals a file with rules.
            && !rules::is_reserved(decoded.path)
            && let Some(found) = self.redirects.find(&request, false)
        {
            return self.by_rule(found, visit);
        }
        of_site(match found {
            Ok(Found::File(_) | Found::Listing(())) => AnswerKind::Content,
            Ok(Found::Directory) => AnswerKind::Redirect(visit.to_relative(&decoded.with_slash())),
            Ok(Found::Moved { location, .. }) => AnswerKind::Redirect(visit.to_relative(&location)),
            Err(refusal) => refused(&refusal, self.reason(&refusal, &decoded)),
        })
    }

    /// Returns whether the server finds something at a path, which begins with a slash and is decoded, without redirects.
    pub fn has(&self, path: &[u8]) -> bool {
        self.find_path(None, path).is_ok()
    }

    /// Returns the rule that applies to a request if there is no file.
    pub fn rule_without_file(&self, host: Option<&str>, path: &[u8]) -> Option<Match<'_>> {
        self.redirects.find(&RuleRequest { scheme: Scheme::Https, host, path, query: None }, false)
    }

    /// Returns the rules of `_headers`.
    pub fn headers(&self) -> &HeaderRules {
        &self.headers
    }

    /// Returns the rules of `_redirects`.
    pub fn redirects(&self) -> &RedirectRules {
        &self.redirects
    }

    /// Returns the target, as in [`Visit::to`], of a link with a host, if that is one of this site.
    pub fn within(&self, reference: &str) -> Option<String> {
        let (host, rest) = split(reference.trim())?;
        if !self.hosts.contains(&host) {
            return None;
        }
        let rest = if rest.starts_with('/') { rest.to_string() } else { format!("/{rest}") };
        let Reference::Target(path) = Reference::resolve(&rest, Some("/")) else { return None };
        let scheme = if reference.trim_start().get(..5).is_some_and(|s| s.eq_ignore_ascii_case("http:")) {
            "http"
        } else {
            "https"
        };
        Some(format!("{scheme}://{host}{path}"))
    }

    /// Returns the hosts of this site and those that rules name.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(String::as_str)
    }

    fn by_rule(&self, found: Match, visit: &Visit) -> Answer {
        let status = found.rule.status;
        let of_rule = |kind| Answer { kind, line: Some(found.rule.line) };
        of_rule(match found.target {
            rules::Target::Location(location) => match self.visit(&location, visit) {
                Some(next) => AnswerKind::Redirect(next),
                None => AnswerKind::Elsewhere,
            },
            rules::Target::Path(path) => {
                let mut buffer = path.clone();
                let target = match Target::new(&mut buffer, None) {
                    Ok(target) => target,
                    Err(refusal) => return of_rule(refused(&refusal, &refusal.to_string())),
                };
                let host = visit.host.as_deref();
                let found = match self.find(host, &target) {
                    Ok(Found::Directory) => self.find_path(host, &[&path[..], b"/"].concat()),
                    found => found,
                };
                match found {
                    // It is there again after maintenance.
                    Ok(_) | Err(Refusal::NotFound) if status == Status::ServiceUnavailable => AnswerKind::Content,
                    Ok(Found::File(_) | Found::Moved { .. }) if status == Status::Ok => AnswerKind::Content,
                    Ok(Found::File(_) | Found::Moved { .. }) => refused_with(status, BY_RULE),
                    Ok(Found::Directory | Found::Listing(())) | Err(Refusal::NotFound) => {
                        let status = if status == Status::Ok { Status::NotFound } else { status };
                        let why = self.reason(&Refusal::NotFound, &target);
                        refused_with(
                            status,
                            &format!("{}, to which a rule leads: {why}", String::from_utf8_lossy(&path)),
                        )
                    }
                    Err(refusal) => {
                        let why = self.reason(&refusal, &target);
                        let why = format!("{}, to which a rule leads: {why}", String::from_utf8_lossy(&path));
                        refused(&refusal, &why)
                    }
                }
            }
        })
    }

    /// Returns the request to which a Location leads, if that is to this site.
    fn visit(&self, location: &str, from: &Visit) -> Option<Visit> {
        if location.starts_with('/') {
            let target = location.split('#').next().unwrap_or_default().to_string();
            return Some(Visit { target, ..from.clone() });
        }
        self.within(location).map(Visit::to)
    }

    /// Finds what a path names, which begins with a slash and is decoded, without redirects.
    fn find_path(&self, host: Option<&str>, path: &[u8]) -> Result<Found<CString, ()>, Refusal> {
        self.find(host, &Target::new(&mut path.to_vec(), None)?)
    }

    /// Finds what a target names, without redirects.
    fn find(&self, host: Option<&str>, target: &Target) -> Result<Found<CString, ()>, Refusal> {
        if page_names::is_never_served(target, self.dotfiles) {
            return Err(Refusal::NotFound);
        }
        let found = self.names.find(&self.disk, target, &mut Vec::new())?;
        if let Found::File(page) | Found::Moved { page, .. } = &found {
            let real = self.disk.root.real_path(page, |_| true)?.unwrap_or_default();
            let has_password = |path: &[u8]| self.headers.has_password(host, &[b"/", path].concat());
            if has_password(target.path) || has_password(&real) {
                return Err(Refusal::PasswordInRules);
            }
        }
        Ok(found)
    }

    /// Returns why a target is refused.
    fn reason(&self, refusal: &Refusal, target: &Target) -> &'static str {
        match refusal {
            Refusal::NotFound if target.is_hidden && !self.dotfiles => "names that begin with a dot are not served",
            Refusal::NotFound if page_names::is_never_served(target, self.dotfiles) => RESERVED,
            Refusal::NotFound => match self.disk.entry(target.c_path) {
                Ok(stat) if file_type(&stat) == SFlag::S_IFDIR => "the directory has no index",
                Ok(_) => RESERVED,
                Err(Errno::ELOOP) => "the symbolic link leads to itself",
                _ => "no file has this name",
            },
            Refusal::OutsideRoot => "a symbolic link leads out of the document root",
            Refusal::NotAFile => "it is neither a file nor a directory",
            Refusal::Unreadable => "it may not be read",
            Refusal::PasswordInRules => PASSWORD,
            _ => "the file system fails",
        }
    }

    /// Returns the paths at which the file at `relative` is served: its own, and that of its directory or its page.
    pub fn paths_of(&self, relative: &[u8]) -> Vec<Vec<u8>> {
        let path = [b"/", relative].concat();
        let directory = self.names.index.iter().find_map(|index| path.strip_suffix(index.as_bytes()));
        let mut paths: Vec<Vec<u8>> =
            directory.filter(|path| path.ends_with(b"/")).map(Vec::from).into_iter().collect();
        if paths.is_empty() && self.names.pretty != Pretty::Off && path.ends_with(EXTENSION) {
            paths.push(path[..path.len() - EXTENSION.len()].to_vec());
        }
        paths.push(path);
        paths
    }
}

impl Visit {
    /// A link within the site: a path, over TLS and to no host that a rule names, or a URL.
    pub fn to(target: impl Into<String>) -> Self {
        let target = target.into();
        match split(&target) {
            Some((host, path)) => {
                Visit { is_https: target.starts_with("https:"), host: Some(host), target: path.to_string() }
            }
            None => Visit { is_https: true, host: None, target },
        }
    }

    /// Returns the request that a client sends for a Location that is relative to this one.
    fn to_relative(&self, location: &str) -> Self {
        let base = self.target.split('?').next();
        match Reference::resolve(location, base) {
            Reference::Target(target) => Visit { target, ..self.clone() },
            Reference::Elsewhere => self.clone(),
        }
    }
}

fn refused(refusal: &Refusal, why: &str) -> AnswerKind {
    refused_with(refusal.status(), why)
}

fn refused_with(status: Status, why: &str) -> AnswerKind {
    AnswerKind::Refused(status.code(), why.into())
}

#[cfg(test)]
mod tests;

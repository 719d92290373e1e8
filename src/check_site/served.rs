//! What the server answers for a target of this site. The names and the order are those of [`site`](crate::site) and
//! [`handler`](crate::handler).

use std::collections::HashSet;
use std::ffi::CString;

use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};

use super::link::{Reference, path_of_file};
use crate::config::Pretty;
use crate::http::{Scheme, Status, target};
use crate::os::sys::file_type;
use crate::rules::{self, Match, RedirectRules, RuleRequest, Target};
use crate::site::root::Root;

/// The extension of pages.
const EXTENSION: &[u8] = b".html";

/// The reason of an error that a rule asks for.
pub const BY_RULE: &str = "a rule says so";

/// The number of redirects that are followed. Browsers follow 20.
const MAX_REDIRECTS: usize = 10;

/// A site, and the options that decide what is served.
#[derive(Debug)]
pub struct ServedSite {
    root: Root,
    redirects: RedirectRules,
    /// The hosts that rules name: those are of this site, others are elsewhere.
    hosts: HashSet<String>,
    names: Names,
}

/// The options that decide what is served under a name.
#[derive(Debug, Clone)]
pub struct Names {
    /// The files that are served for a directory; the first that exists.
    pub index: Vec<String>,
    /// The use of names without extension.
    pub pretty: Pretty,
    /// Whether directories without an index are pages.
    pub listing: bool,
    /// Whether names that begin with a dot are served.
    pub dotfiles: bool,
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

/// What is at a path below the document root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    File,
    Directory,
}

/// What the server finds without rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A file or a listing.
    Content,
    /// What is served at another path, which is relative: that of a directory with its slash, or of a page.
    Moved(Vec<u8>),
    /// An error: the status, and the reason.
    Refused(u16, String),
}

impl ServedSite {
    /// Creates a site from its parts.
    pub fn new(root: Root, redirects: RedirectRules, names: Names) -> Self {
        let hosts = redirects.rules().filter_map(|rule| rule.source.host().map(String::from)).collect();
        ServedSite { root, redirects, hosts, names }
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
        let request = RuleRequest {
            scheme: if visit.is_https { Scheme::Https } else { Scheme::Http },
            host: visit.host.as_deref(),
            path: &path,
            query: decoded.query,
        };
        if let Some(found) = self.redirects.find(&request, true) {
            return self.by_rule(found, visit);
        }
        match self.find(decoded.path) {
            Found::Content => of_site(AnswerKind::Content),
            // Without an index, there is nothing at a directory.
            Found::Moved(directory)
                if directory.ends_with(b"/")
                    && self.find_index(&directory) == Ok(false)
                    && let Some(found) = self.redirects.find(&request, false) =>
            {
                self.by_rule(found, visit)
            }
            Found::Moved(path) => {
                let query = decoded.query.map(|query| format!("?{query}")).unwrap_or_default();
                let target = format!("{}{query}", path_of_file(&path));
                of_site(AnswerKind::Redirect(Visit { target, ..visit.clone() }))
            }
            Found::Refused(status, why) => match self.redirects.find(&request, false) {
                // No rule reveals a file with rules.
                Some(found) if status == 404 && !rules::is_reserved(decoded.path) => self.by_rule(found, visit),
                _ => of_site(AnswerKind::Refused(status, why)),
            },
        }
    }

    /// Returns the rule that applies to a request if there is no file.
    pub fn rule_without_file(&self, host: Option<&str>, path: &[u8]) -> Option<Match<'_>> {
        self.redirects.find(&RuleRequest { scheme: Scheme::Https, host, path, query: None }, false)
    }

    /// Returns the rules.
    pub fn redirects(&self) -> &RedirectRules {
        &self.redirects
    }

    /// Returns the hosts that rules name.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(String::as_str)
    }

    fn by_rule(&self, found: Match, visit: &Visit) -> Answer {
        let status = found.rule.status;
        let kind = match found.target {
            Target::Location(location) => match self.visit(&location, visit) {
                Some(next) => AnswerKind::Redirect(next),
                None => AnswerKind::Elsewhere,
            },
            Target::Path(path) => match self.find(&path[1..]) {
                Found::Content if matches!(status, Status::NotFound | Status::Gone) => {
                    AnswerKind::Refused(status.code(), BY_RULE.into())
                }
                Found::Content => AnswerKind::Content,
                // The file is looked for once, without redirects.
                Found::Moved(to) if self.find(&to) == Found::Content => AnswerKind::Content,
                Found::Moved(_) => AnswerKind::Refused(404, "a rule leads to a directory without an index".into()),
                Found::Refused(..) if status == Status::ServiceUnavailable => AnswerKind::Content,
                Found::Refused(status, why) => AnswerKind::Refused(
                    status,
                    format!("{}, to which a rule leads: {why}", String::from_utf8_lossy(&path)),
                ),
            },
        };
        Answer { kind, line: Some(found.rule.line) }
    }

    /// Returns the request to which a Location leads, if that is to this site.
    fn visit(&self, location: &str, from: &Visit) -> Option<Visit> {
        let Some((scheme, rest)) = location.split_once("://").filter(|_| !location.starts_with('/')) else {
            let target = location.split('#').next().unwrap_or_default().to_string();
            return Some(Visit { target, ..from.clone() });
        };
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let host = rules::normal_host(authority);
        let Reference::Target(target) = Reference::resolve(if rest.is_empty() { "/" } else { rest }, Some("/")) else {
            return None;
        };
        let is_https = scheme.eq_ignore_ascii_case("https");
        self.hosts.contains(&host).then_some(Visit { is_https, host: Some(host), target })
    }

    /// Finds what is served at `path`, which is decoded and relative, without rules.
    pub fn find(&self, path: &[u8]) -> Found {
        let refused = |why: &str| Found::Refused(404, why.into());
        let of_errno = |errno| {
            let (status, why) = reason(errno);
            Found::Refused(status, why.into())
        };
        if is_hidden(path) && !self.names.dotfiles {
            return refused("names that begin with a dot are not served");
        }
        if rules::is_reserved(path) {
            return refused("the server does not send rules and settings");
        }
        if matches!(path.last(), None | Some(b'/')) {
            return match self.find_index(path) {
                Ok(true) => Found::Content,
                Ok(false) => self.page(path).map_or_else(
                    || {
                        let is_directory = self.entry(path) == Ok(Entry::Directory);
                        refused(if is_directory { "the directory has no index" } else { "no file has this name" })
                    },
                    |page| Found::Moved(without_extension(&page)),
                ),
                Err(errno) => of_errno(errno),
            };
        }
        let entry = self.entry(path);
        let page = || self.page(path).is_some() && self.find_index(&[path, b"/"].concat()) != Ok(true);
        match entry {
            Ok(Entry::File) => self.pretty_name(path).map_or(Found::Content, Found::Moved),
            Ok(Entry::Directory) if page() => Found::Content,
            Ok(Entry::Directory) => Found::Moved([path, b"/"].concat()),
            Err(errno) if reason(errno).0 == 404 && page() => Found::Content,
            Err(errno) => of_errno(errno),
        }
    }

    /// Returns whether the directory at `path`, which is empty or ends with a slash, has an index or a listing.
    fn find_index(&self, path: &[u8]) -> Result<bool, Errno> {
        for index in &self.names.index {
            match self.entry(&[path, index.as_bytes()].concat()) {
                Ok(Entry::File) => return Ok(true),
                Ok(Entry::Directory) => {}
                Err(errno) if reason(errno).0 == 404 => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(self.names.listing && self.entry(&[path, b"."].concat()) == Ok(Entry::Directory))
    }

    /// Returns the path of the page that has `path`, with or without a slash at its end, as its name without extension.
    fn page(&self, path: &[u8]) -> Option<Vec<u8>> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let is_name = self.names.pretty != Pretty::Off && !path.is_empty() && !path.ends_with(EXTENSION);
        let page = [path, EXTENSION].concat();
        (is_name && self.entry(&page) == Ok(Entry::File)).then_some(page)
    }

    /// Returns the path to which that of a page is redirected.
    fn pretty_name(&self, path: &[u8]) -> Option<Vec<u8>> {
        if self.names.pretty != Pretty::Redirect || !path.ends_with(EXTENSION) {
            return None;
        }
        let (directory, name) = path.split_at(path.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1));
        if self.names.index.first().is_some_and(|index| index.as_bytes() == name) {
            return Some(directory.to_vec());
        }
        let pretty = without_extension(path);
        let is_free = name.len() > EXTENSION.len()
            && match self.entry(&pretty) {
                Ok(Entry::File) => false,
                Ok(Entry::Directory) => self.find_index(&[&*pretty, b"/"].concat()) == Ok(false),
                Err(errno) => reason(errno).0 == 404,
            };
        is_free.then_some(pretty)
    }

    /// Returns the paths at which the file at `relative` is served: its own, and that of its directory or its page.
    pub fn paths_of(&self, relative: &[u8]) -> Vec<Vec<u8>> {
        let path = [b"/", relative].concat();
        let directory = self.names.index.iter().find_map(|index| path.strip_suffix(index.as_bytes()));
        let mut paths: Vec<Vec<u8>> =
            directory.filter(|path| path.ends_with(b"/")).map(Vec::from).into_iter().collect();
        if paths.is_empty() && self.names.pretty != Pretty::Off && path.ends_with(EXTENSION) {
            paths.push(without_extension(&path));
        }
        paths.push(path);
        paths
    }

    fn entry(&self, path: &[u8]) -> Result<Entry, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let path = CString::new(path).map_err(|_| Errno::ENOENT)?;
        match file_type(&fstat(self.root.locate(&path)?)?) {
            SFlag::S_IFREG => Ok(Entry::File),
            SFlag::S_IFDIR => Ok(Entry::Directory),
            _ => Err(Errno::ENXIO),
        }
    }
}

impl Visit {
    /// A link within the site: over TLS, and to no host that a rule names.
    pub fn to(target: impl Into<String>) -> Self {
        Visit { is_https: true, host: None, target: target.into() }
    }
}

fn without_extension(path: &[u8]) -> Vec<u8> {
    path.strip_suffix(EXTENSION).unwrap_or(path).to_vec()
}

/// Returns whether a name in a path, which is decoded and relative, begins with a dot, as [`target`] decides it.
fn is_hidden(path: &[u8]) -> bool {
    target::Target { path, query: None }.is_hidden()
}

fn reason(errno: Errno) -> (u16, &'static str) {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => (404, "no file has this name"),
        Errno::ELOOP => (404, "the symbolic link leads to itself"),
        Errno::EXDEV => (403, "a symbolic link leads out of the document root"),
        Errno::ENXIO => (403, "it is neither a file nor a directory"),
        Errno::EACCES => (403, "it may not be read"),
        other => (500, other.desc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn site_with(path: &Path, redirects: &str, is_open: bool, pretty: Pretty) -> ServedSite {
        let parsed = RedirectRules::parse(redirects.as_bytes()).unwrap();
        assert_eq!(parsed.mistakes, []);
        let index = vec!["index.html".into(), "home.html".into()];
        let names = Names { index, pretty, listing: is_open, dotfiles: is_open };
        ServedSite::new(Root::open(path).unwrap(), parsed.rules, names)
    }

    fn site(path: &Path, redirects: &str, is_open: bool) -> ServedSite {
        site_with(path, redirects, is_open, Pretty::On)
    }

    /// The results agree with those of `tests/behaviour/names_of_pages.rs`.
    #[test]
    fn names_of_pages() {
        let directory = tempfile::tempdir().unwrap();
        for name in
            ["about.html", "both.html", "both/index.html", "dir.html", "dir/x", "h/home.html", "file", "file.html"]
        {
            fs::create_dir_all(directory.path().join(name).parent().unwrap()).unwrap();
            fs::write(directory.path().join(name), b"").unwrap();
        }
        let moved = |path: &str| Found::Moved(path.into());
        let missing = |found: Found| matches!(found, Found::Refused(404, _));
        let on = site(directory.path(), "", false);
        for path in ["about", "about.html", "both/", "both.html", "dir", "h/", "file", "file.html"] {
            assert_eq!(on.find(path.as_bytes()), Found::Content, "{path}");
        }
        for (path, to) in [("about/", "about"), ("both", "both/"), ("dir/", "dir"), ("h", "h/")] {
            assert_eq!(on.find(path.as_bytes()), moved(to), "{path}");
        }
        assert!(missing(on.find(b"about.html/")) && missing(on.find(b"none")));
        let off = site_with(directory.path(), "", false, Pretty::Off);
        assert!(missing(off.find(b"about")) && missing(off.find(b"dir/")));
        assert_eq!(off.find(b"about.html"), Found::Content);
        let redirect = site_with(directory.path(), "", false, Pretty::Redirect);
        for (path, to) in [("about.html", "about"), ("both/index.html", "both/"), ("dir.html", "dir")] {
            assert_eq!(redirect.find(path.as_bytes()), moved(to), "{path}");
        }
        for path in ["about", "both.html", "file.html"] {
            assert_eq!(redirect.find(path.as_bytes()), Found::Content, "{path}");
        }
    }

    /// The end of a journey, and the lines of the rules.
    fn end(site: &ServedSite, target: &str) -> (String, Vec<Option<usize>>) {
        let journey = site.follow(&Visit::to(target));
        let end = match journey.end {
            End::Content => "content".into(),
            End::Refused(status, _) => status.to_string(),
            End::Loop => "loop".into(),
        };
        (end, journey.redirects.into_iter().map(|(_, line)| line).collect())
    }

    #[test]
    fn targets_and_what_they_get() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in [
            "index.html",
            "a b.html",
            "ä.html",
            "d/index.html",
            "e/x",
            ".secret",
            ".well-known/x",
            "i/index.html/x",
            "_headers",
        ] {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), b"").unwrap();
        }
        for (link, to) in [("in", "d"), ("out", "/etc/passwd"), ("self", "self"), ("gone", "none")] {
            symlink(to, path(link)).unwrap();
        }
        let closed = site(directory.path(), "", false);
        for target in [
            "/",
            "/a b.html",
            "/a%20b.html",
            "/%C3%A4.html",
            "/ä.html",
            "/d/",
            "/d",
            "/d?q",
            "/in/",
            "/in",
            "/?q",
            "/.well-known/x",
            "/e/x?q",
            "//d//",
            "/index.html",
        ] {
            assert_eq!(end(&closed, target).0, "content", "{target}");
        }
        for (target, status) in [
            ("/none", "404"),
            ("/e/", "404"),
            ("/e", "404"),
            ("/x.css/", "404"),
            ("/.secret", "404"),
            ("/out", "403"),
            ("/self", "404"),
            ("/gone", "404"),
            ("/d/none", "404"),
            ("/index.html/x", "404"),
            ("/%zz", "400"),
            ("/d%2Findex.html", "404"),
            ("/i/", "404"),
            ("/a%00", "400"),
            ("/_headers", "404"),
        ] {
            assert_eq!(end(&closed, target).0, status, "{target}");
        }
        let open = site(directory.path(), "", true);
        for target in ["/e/", "/e", "/.secret", "/.well-known/"] {
            assert_eq!(end(&open, target).0, "content", "{target}");
        }
    }

    #[test]
    fn rules_in_the_order_of_the_server() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("empty")).unwrap();
        for name in ["index.html", "file.html", "forced.html"] {
            fs::write(directory.path().join(name), b"").unwrap();
        }
        let rules = "/file.html /none\n/forced.html /other 301!\n/other /file.html\n/a /b\n/b /a\n/app/* /index.html 200\n\
                     /app2/* /none.html 200\n/gone /file.html 410\n/away https://example.org/\n/q /file.html?x#y\n\
                     https://old.test/* https://new.test/:splat\nhttps://new.test/* https://old.test/:splat\n\
                     /host https://old.test/none\n/503 /none.html 503\n/empty/* /file.html\n/_headers /file.html";
        let site = site(directory.path(), rules, false);
        for (target, expected, lines) in [
            ("/file.html", "content", &[][..]),
            ("/forced.html", "content", &[Some(2), Some(3)]),
            ("/a", "loop", &[Some(4), Some(5)]),
            ("/app/x/y", "content", &[]),
            ("/app2/x", "404", &[]),
            ("/gone", "410", &[]),
            ("/away", "content", &[]),
            ("/q", "content", &[Some(10)]),
            ("/host", "loop", &[Some(13), Some(11), Some(12)]),
            ("/503", "content", &[]),
            ("/none", "404", &[]),
            ("/empty", "content", &[Some(15)]),
            ("/_headers", "404", &[]),
        ] {
            assert_eq!(end(&site, target), (expected.into(), lines.to_vec()), "{target}");
        }
    }
}

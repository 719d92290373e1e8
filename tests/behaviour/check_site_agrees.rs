//! What `otus-httpd check-site` says about a link is what the server answers: the same sites, options and targets for both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::{BINARY, Server, Site};

/// The page that links to all targets. No rule and no target is about it.
const LINKS: &str = "zz-links.html";

/// The number of redirects that are followed.
const MAX_REDIRECTS: usize = 10;

const FILES: &[&str] = &[
    "index.html",
    "about.html",
    "docs.html",
    "docs/intro.html",
    "docs/x/y.html",
    "guide.html",
    "guide/index.html",
    "both",
    "both.html",
    "home/home.html",
    "odd/index.html/x",
    "odd.html/x",
    "a b.html",
    "a:b.html",
    "\u{e4}.html",
    ".html",
    ".secret/index.html",
    ".secret.html",
    ".well-known/x.html",
    "_worker.js",
    "sub/_headers",
    "style.css",
    "style.css.gz",
    "private/index.html",
    "private/page.html",
    "secret.html",
];

const RULES: &str = "\
/about /docs
/forced/* /about 301!
/guide/ /style.css 301!
/old/* /docs/:splat
/app/* /index.html 200
/pretty/* /docs/intro 200
/dir/* /guide 200
/bare/* /home 200
/docs/* /about.html 302
/lost/* /none.html 200
/gone/* /about.html 410
/gone2/* /none.html 410
/missing/* /about.html 404
/shut /about 503!
/hidden/* /.secret.html 200
/rules /_redirects 200
/shown/* /private/page.html 200
/link/* /to-private 200
/round /square
/square /round
/out /outside 200
/home/ /about
/_worker.js /about
/* /about.html 404
";

const PASSWORDS: &str = "\
/private/*
  Basic-Auth: anna:secret
/secret*
  Basic-Auth: anna:secret
";

/// A site with these rules.
fn site(redirects: &str, headers: &str) -> Site {
    let site = Site::new();
    FILES.iter().for_each(|name| site.write(name, name.as_bytes()));
    for (link, to) in [
        ("to-guide", "guide"),
        ("to-about", "about.html"),
        ("to-private", "private/page.html"),
        ("to-private.html", "private/page.html"),
        ("outside", "/etc/passwd"),
        ("outside.html", "/etc/passwd"),
        ("self", "self"),
        ("gone.html", "nothing"),
        ("in/style", "../style.css"),
        ("rules.txt", "_worker.js"),
        ("rules.html", "in/../_worker.js"),
    ] {
        fs::create_dir_all(site.path(link).parent().unwrap()).unwrap();
        symlink(to, site.path(link)).unwrap();
    }
    for (name, rules) in [("_redirects", redirects), ("_headers", headers)] {
        if !rules.is_empty() {
            site.write(name, rules.as_bytes());
        }
    }
    site
}

/// Targets around the names of files and the sources of rules.
fn targets(rules: &str) -> BTreeSet<String> {
    let links = [
        "to-guide",
        "to-about",
        "to-private",
        "to-private.html",
        "outside",
        "self",
        "gone",
        "in/style",
        "rules.txt",
        "rules.html",
        "none",
    ];
    let names = FILES.iter().copied().chain(links).map(|name| name.replace(' ', "%20"));
    let sources = rules.lines().filter_map(|line| line.split(' ').next()?.strip_prefix('/'));
    let sources = sources.flat_map(|source| [source.replace("/*", ""), source.replace('*', "x/y")]);
    let mut targets = BTreeSet::new();
    for name in names.chain(sources) {
        let stem = name.strip_suffix(".html").unwrap_or(&name);
        let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
        for path in [&name, stem, directory, &format!("{directory}/index"), &format!("{stem}/none")] {
            targets.insert(format!("/{path}"));
            targets.insert(format!("/{path}/"));
        }
    }
    targets.extend(["/d%2Findex.html", "/%zz", "/a%00", "//about", "//guide//", "/%61bout"].map(String::from));
    // These are links to another server, or to a place that a browser resolves.
    targets.retain(|target| !target.starts_with("//"));
    targets
}

/// What check-site says of each target: the status, 0 for redirects without an end.
fn checked(site: &Site, arguments: &[&str], targets: &BTreeSet<String>) -> BTreeMap<String, u16> {
    let links: Vec<_> = targets.iter().map(|target| format!("<a href=\"{target}\">x</a>\n")).collect();
    site.write(LINKS, links.concat().as_bytes());
    let mut command = Command::new(BINARY);
    command.arg("check-site").args(arguments).arg(site.root()).env_remove("JOURNAL_STREAM");
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let mut statuses: BTreeMap<_, _> = targets.iter().map(|target| (target.clone(), 200)).collect();
    for line in text.lines() {
        let Some((number, text)) = line.strip_prefix(&format!("{LINKS}:")).and_then(|rest| rest.split_once(": "))
        else {
            continue;
        };
        let target = targets.iter().nth(number.parse::<usize>().unwrap() - 1).unwrap();
        let status = match text.strip_suffix(") [link]") {
            Some(text) => text[text.len() - 3..].parse().unwrap(),
            None => 0,
        };
        statuses.insert(target.clone(), status);
    }
    statuses
}

/// What a client gets that follows redirects.
fn served(server: &Server, target: &str) -> u16 {
    let mut target = target.to_string();
    for _ in 0..=MAX_REDIRECTS {
        let response = server.get(&target);
        match response.field("Location") {
            Some(location) => target = resolve(location, &target),
            // Maintenance is no dead link.
            None if response.status == 503 => return 200,
            None => return response.status,
        }
    }
    0
}

/// Resolves a Location, which is a path, as a client does.
fn resolve(location: &str, target: &str) -> String {
    let directory = if location.starts_with('/') { Path::new("/") } else { Path::new(target).parent().unwrap() };
    let directory = if target.ends_with('/') && !location.starts_with('/') { Path::new(target) } else { directory };
    let mut names: Vec<_> = directory.to_str().unwrap().split('/').filter(|name| !name.is_empty()).collect();
    for name in location.trim_start_matches('/').split('/') {
        match name {
            ".." => _ = names.pop(),
            "." | "" => {}
            name => names.push(name),
        }
    }
    let slash = if location.ends_with('/') && !names.is_empty() { "/" } else { "" };
    format!("/{}{slash}", names.join("/"))
}

#[track_caller]
fn check(redirects: &str, headers: &str, arguments: &[&str]) {
    let site = site(redirects, headers);
    let targets = targets(redirects);
    let checked = checked(&site, arguments, &targets);
    let server = Server::with(&site, arguments);
    let differences: Vec<_> = checked
        .iter()
        .map(|(target, status)| (target, *status, served(&server, target)))
        .filter(|(_, checked, served)| checked != served)
        .map(|(target, checked, served)| format!("{target}: check-site {checked}, server {served}"))
        .collect();
    assert!(targets.len() > 200, "{}", targets.len());
    assert!(differences.is_empty(), "{arguments:?}: {differences:#?}");
}

#[test]
fn each_target_of_a_site_with_and_without_rules() {
    for (redirects, headers) in [("", ""), (RULES, PASSWORDS)] {
        for arguments in [
            &[][..],
            &["--pretty=off"],
            &["--pretty=redirect"],
            &["--listing"],
            &["--dotfiles"],
            &["--index=home.html,index.html"],
            &["--listing", "--pretty=redirect", "--dotfiles"],
        ] {
            check(redirects, headers, arguments);
        }
    }
}

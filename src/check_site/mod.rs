//! `otus-httpd check-site DIR`: what is wrong with a site before it is served.
//!
//! - Nothing is written. Directories and documents are opened by descriptors, without following links
//!   ([`tree`](crate::tree)); whether a link leads to a file is looked up as the server does ([`Root`](crate::site::root::Root)).
//! - Memory is bounded: a document is read up to a limit of its size, and targets and findings up to a limit of their number.
//!   What is beyond a limit is a finding itself.
//! - HTML, SVG and CSS are parsed by tokenizers that follow the standards; nothing else uses them.

mod css;
mod documents;
mod files;
mod findings;
mod hashed;
mod hosts;
mod html;
mod link;
mod report;
mod rules;
mod served;
mod targets;
mod variants;

use self::documents::Links;
use self::findings::{Finding, Findings};
use self::hashed::Hashed;
pub use self::report::Report;
use self::served::{End, Names, ServedSite, Visit};
use self::targets::Places;
use crate::config::{CheckSite, FindingKind};
use crate::failure::{Failure, reason};
use crate::printable::Printable;
use crate::site::page_names::PageNames;
use crate::site::root::Root;
use crate::tree::{Directory, on_all_processors};

/// Checks a site. Fails only if its directory cannot be opened; all else is in the report.
pub fn run(options: &CheckSite) -> Result<Report, Failure> {
    let top = Directory::top(&options.directory).map_err(|error| {
        let (directory, why) = (options.directory.display(), reason(&error));
        Failure::new(format!("Cannot check {directory}: {why}. Name an existing directory."))
    })?;
    let mut findings = Findings::without(&options.ignore);
    let root = Root::open(&options.directory)?;
    let headers = rules::read_headers(&root, &mut findings);
    let redirects = rules::read_redirects(&root, &mut findings);
    let hosts = if options.hosts.is_empty() {
        hosts::of_site(&root, &options.index).into_iter().collect()
    } else {
        options.hosts.clone()
    };
    let site = ServedSite::new(
        root,
        headers,
        redirects,
        Names {
            pages: PageNames { index: options.index.clone(), pretty: options.pretty },
            listing: options.listing,
            dotfiles: options.dotfiles,
            hosts,
        },
    );
    rules::check_redirects(&site, &mut findings);
    let files = files::list(&top, options.dotfiles, &mut findings);
    rules::check_headers(&site, &files, &mut findings);
    rules::check_shadowed(&site, &files, &mut findings);
    let hashed = Hashed::among(&files);
    let links = documents::read(&site, &top, &files, &mut findings);
    let (documents, count) = (links.documents.len() as u64, links.count);
    check_links(&site, links, &mut findings);
    let variants = variants::check(&options.directory, &mut findings)?;
    findings.sort();
    Ok(Report { documents, links: count, variants, hashed, findings })
}

/// Looks up the target of each link.
fn check_links(site: &ServedSite, links: Links, findings: &mut Findings) {
    let Links { documents, targets, .. } = links;
    if targets.left_out > 0 {
        let text = format!("{} links are not checked: their targets are too long, or too many", targets.left_out);
        findings.add(Finding::new(FindingKind::Unread, ".", None, text));
    }
    let found = on_all_processors(&targets.into_all(), |(target, places), found: &mut Vec<Finding>| {
        let journey = site.follow(&Visit::to(target));
        let last = journey.redirects.last().map(|(to, _)| shown(&to.target));
        let text = match (journey.end, last) {
            (End::Content, _) => return,
            (End::Refused(status, why), None) => format!("{} leads nowhere: {why} ({status})", shown(target)),
            (End::Refused(status, why), Some(to)) => {
                format!("{} redirects to {to}, which leads nowhere: {why} ({status})", shown(target))
            }
            (End::Loop, _) => format!("{} redirects without an end", shown(target)),
        };
        found.push(in_places(text, places, &documents));
    });
    found.into_iter().flatten().for_each(|finding| findings.add(finding));
}

fn in_places(text: String, places: &Places, documents: &[String]) -> Finding {
    let name = |number: u32| documents.get(number as usize).cloned().unwrap_or_default();
    let mut all = places.first.iter().map(|&(number, line)| (name(number), line));
    let (file, line) = all.next().unwrap_or_default();
    let mut finding = Finding::new(FindingKind::Link, file, Some(line), text);
    finding.others = all.collect();
    finding.more = places.count.saturating_sub(1);
    finding
}

/// Returns a target as people read it: percent-decoded, if that is text.
fn shown(target: &str) -> String {
    if !target.starts_with('/') {
        return target.to_string();
    }
    let mut bytes = Vec::new();
    match crate::http::target::decode(target, &mut bytes)
        .map(|decoded| std::str::from_utf8(decoded.path).map(String::from))
    {
        Ok(Ok(path)) => Printable(format!("/{path}")).to_string(),
        _ => target.to_string(),
    }
}

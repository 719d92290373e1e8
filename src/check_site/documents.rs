//! The documents of a site, HTML, CSS and SVG: read, and their links collected.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::HumanBytes;

use super::findings::{Finding, Findings};
use super::link::{Link, Reference, path_of_file};
use super::targets::Targets;
use super::{css, html};
use crate::config::FindingKind;
use crate::failure::reason;
use crate::http::media_type;
use crate::tree::{Directory, Job, bar, on_all_processors};

use super::served::ServedSite;

/// The size of a document in bytes from which on it is not read. Its links would take several times its size in memory.
const MAX_DOCUMENT_BYTES: u64 = 16 << 20;

const CSS: &str = "text/css";
const SVG: &str = "image/svg+xml";

/// The pages that are sent for other paths than their own.
const ERROR_PAGES: [&[u8]; 4] = [b"401.html", b"403.html", b"404.html", b"50x.html"];

/// The links of all documents, by target.
#[derive(Debug, Default)]
pub struct Links {
    /// The paths of the documents, relative to the document root, in order. Places in `targets` are their numbers.
    pub documents: Vec<String>,
    /// Where the links lead.
    pub targets: Targets,
    /// The number of links within the site.
    pub count: u64,
}

/// Reads the documents among `files`. What is wrong with one is added to `findings`.
pub fn read(site: &ServedSite, top: &Directory, files: &[Job], findings: &mut Findings) -> Links {
    let jobs: Vec<_> = files.iter().filter(|job| is_document(job)).collect();
    let bar = bar(jobs.iter().map(|job| job.size).sum());
    // Their numbers are in the order of their paths, whatever the order in which they are read.
    let documents: Vec<_> = jobs.iter().map(|job| job.relative().to_string_lossy().into_owned()).collect();
    let shared = Mutex::new((Links { documents, ..Links::default() }, findings));
    let jobs: Vec<_> = (0..).zip(jobs).collect();
    on_all_processors(&jobs, |(number, job), _: &mut ()| {
        match read_document(top, job) {
            Ok(content) => collect(site, &content, job, *number, &shared),
            Err(text) => {
                let finding = Finding::new(FindingKind::Unread, job.relative().to_string_lossy(), None, text);
                lock(&shared).1.add(finding);
            }
        }
        bar.inc(job.size);
    });
    bar.finish_and_clear();
    shared.into_inner().unwrap_or_else(PoisonError::into_inner).0
}

fn is_document(job: &Job) -> bool {
    matches!(media_type::of(job.name.to_bytes()), "text/html" | "application/xhtml+xml" | CSS | SVG)
}

/// Reads the links of a document, and adds those within the site.
fn collect(site: &ServedSite, content: &[u8], job: &Job, number: u32, shared: &Mutex<(Links, &mut Findings)>) {
    let path = path_of_file(job.relative().as_os_str().as_bytes());
    let document = match media_type::of(job.name.to_bytes()) {
        CSS => {
            let mut document = html::Document::default();
            css::links(&String::from_utf8_lossy(content), 1, &mut document.links);
            document
        }
        SVG => html::read_svg(content),
        _ => html::read(content),
    };
    let base = match document.base.as_deref().map(|base| (base.trim(), Reference::resolve(base, Some(&path)))) {
        None | Some(("", _)) => Some(path.clone()),
        Some((_, Reference::Target(base))) => Some(base),
        // A base such as "#a" is the document itself.
        Some((base, Reference::Elsewhere)) => base.starts_with('#').then(|| path.clone()),
    };
    let is_error_page = document.base.is_none() && ERROR_PAGES.contains(&job.name.to_bytes());
    if is_error_page && let Some(finding) = relative_link(&document.links, job) {
        lock(shared).1.add(finding);
    }
    let resolve = |link: &Link| match Reference::resolve(&link.reference, base.as_deref()) {
        // A canonical link, for example, has the host of the site.
        Reference::Elsewhere => site.within(&link.reference).map_or(Reference::Elsewhere, Reference::Target),
        reference => reference,
    };
    let resolved: Vec<_> = document.links.iter().map(|link| (resolve(link), link.line)).collect();
    let links = &mut lock(shared).0;
    for (reference, line) in resolved {
        let Reference::Target(target) = reference else { continue };
        links.count += 1;
        // No file depends on the query.
        let path = target.split('?').next().unwrap_or_default();
        links.targets.add(path.into(), (number, line));
    }
}

/// Returns a finding about the first link of an error page that leads to another place from each directory.
fn relative_link(links: &[Link], job: &Job) -> Option<Finding> {
    let is_relative = |link: &&Link| {
        let is_within = |base| matches!(Reference::resolve(&link.reference, Some(base)), Reference::Target(_));
        is_within("/") && !link.reference.trim_start().starts_with(['/', '\\'])
    };
    let mut relative = links.iter().filter(is_relative);
    let first = relative.next()?;
    let file = job.relative().to_string_lossy().into_owned();
    let text = format!(
        "{} is relative, but this page is sent for paths in every directory: begin the link with a slash",
        first.reference.trim()
    );
    let others: Vec<_> = relative.map(|link| (file.clone(), link.line)).collect();
    let mut finding = Finding::new(FindingKind::Relative, file, Some(first.line), text);
    finding.more = others.len() as u64;
    finding.others = others.into_iter().take(2).collect();
    Some(finding)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a document as a whole. Returns what is wrong if it cannot be read.
fn read_document(top: &Directory, job: &Job) -> Result<Vec<u8>, String> {
    let cannot = |error: io::Error| format!("it cannot be read ({})", reason(&error));
    let file = top.beneath(&job.directory).and_then(|directory| directory.open(&job.name)).map_err(cannot)?;
    if !file.metadata().map_err(cannot)?.is_file() {
        return Err("it is no file any more".into());
    }
    let mut content = Vec::new();
    file.take(MAX_DOCUMENT_BYTES + 1).read_to_end(&mut content).map_err(cannot)?;
    if content.len() as u64 > MAX_DOCUMENT_BYTES {
        return Err(format!("it is larger than {}, and its links are not checked", HumanBytes(MAX_DOCUMENT_BYTES)));
    }
    Ok(content)
}

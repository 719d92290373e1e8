//! The rules of the site: mistakes, loops, chains, rules that never apply or lead to nothing, and those whose place a file takes.
//!
//! A rule is tried with a path that only it should match: its source, with a word of no site in place of each placeholder.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use super::findings::{Finding, Findings};
use super::served::{Answer, AnswerKind, BY_RULE, End, Journey, ServedSite, Visit};
use crate::config::FindingKind;
use crate::failure::reason;
use crate::http::{Scheme, Status};
use crate::rules::{HeaderRules, MAX_BYTES, Mistake, Parsed, RedirectRule, RedirectRules, TooMany};
use crate::site::root::Root;
use crate::tree::{Job, on_all_processors};

/// The names of the files.
const HEADERS: &str = "_headers";
const REDIRECTS: &str = "_redirects";

/// Words that stand for what a placeholder matches. No site has files of these names, and the two have nothing in common.
const SAMPLES: [&str; 2] = ["qz7x-sample", "k4vw-example"];

/// The limit of the time for rules, and for files whose place they could take: a request may have to try each rule if all begin in
/// the same way.
const TIME: Duration = Duration::from_secs(60);

/// The number of hosts in sources that are tried with files, and of files that are tried with each.
const MAX_HOSTS: usize = 100;
const MAX_FILES_OF_HOST: usize = 1000;

/// Reads `_redirects`. Mistakes are added to `findings`.
pub fn read_redirects(root: &Root, findings: &mut Findings) -> RedirectRules {
    read(root, REDIRECTS, RedirectRules::parse, findings).unwrap_or_default()
}

/// Reads `_headers`. Mistakes are added to `findings`.
pub fn read_headers(root: &Root, findings: &mut Findings) -> HeaderRules {
    read(root, HEADERS, HeaderRules::parse, findings).unwrap_or_default()
}

fn read<R>(
    root: &Root,
    name: &str,
    parse: impl Fn(&[u8]) -> Result<Parsed<R>, TooMany>,
    findings: &mut Findings,
) -> Option<R> {
    let mut fail = |text: String| findings.add(Finding::new(FindingKind::Rule, name, None, text));
    let path = std::ffi::CString::new(name).unwrap_or_default();
    let file = match root.open_beneath(&path) {
        Ok(file) => File::from(file),
        Err(nix::errno::Errno::ENOENT) => return None,
        Err(errno) => {
            fail(format!("it cannot be read ({}), so that its rules do not apply", errno.desc()));
            return None;
        }
    };
    let mut text = Vec::new();
    if let Err(error) = file.take(MAX_BYTES + 1).read_to_end(&mut text) {
        fail(format!("it cannot be read ({}), so that its rules do not apply", reason(&error)));
        return None;
    }
    match parse(&text) {
        Err(too_many) => {
            fail(format!("{too_many}, so that none of its rules applies"));
            None
        }
        Ok(Parsed { rules, mistakes }) => {
            for Mistake { line, reason } in mistakes {
                findings.add(finding(FindingKind::Rule, name, line, reason));
            }
            Some(rules)
        }
    }
}

/// Tries each rule of `_redirects`.
pub fn check_redirects(site: &ServedSite, findings: &mut Findings) {
    let rules: Vec<_> = site.redirects().rules().collect();
    let end = Instant::now() + TIME;
    let found = on_all_processors(&rules, |rule, (found, left_out): &mut (Vec<Finding>, u64)| {
        if Instant::now() > end {
            *left_out += 1;
        } else if let Some((kind, text)) = check_redirect(site, rule) {
            found.push(finding(kind, REDIRECTS, rule.line, text));
        }
    });
    let left_out: u64 = found.iter().map(|(_, left_out)| left_out).sum();
    if left_out > 0 {
        findings.add(took_too_long(&format!("{left_out} rules")));
    }
    found.into_iter().flat_map(|(found, _)| found).for_each(|finding| findings.add(finding));
}

fn took_too_long(what: &str) -> Finding {
    let text = format!("{what} were not checked: this took longer than {} seconds", TIME.as_secs());
    Finding::new(FindingKind::Unread, REDIRECTS, None, text)
}

/// Returns what is wrong with a rule.
fn check_redirect(site: &ServedSite, rule: &RedirectRule) -> Option<(FindingKind, String)> {
    if let Some(first) = site.redirects().shadowing(rule) {
        let text = format!("the rule in line {} matches all that this one matches, and comes first", first.line);
        return Some((FindingKind::Impossible, text));
    }
    if let [name, ..] = rule.unknown_placeholders()[..] {
        let text = format!("the target has the placeholder :{name}, and the source does not: it is sent as text");
        return Some((FindingKind::Impossible, text));
    }
    let visit = sample(rule, SAMPLES[0])?;
    let journey = site.follow(&visit);
    // Without "!", the answer may be a file's.
    if journey.redirects.first().is_some_and(|(_, line)| *line == Some(rule.line)) {
        return check_journey(site, rule, &visit, &journey);
    }
    let answer = site.answer(&visit);
    match answer.kind {
        AnswerKind::Refused(404 | 410, why)
            if answer.line == Some(rule.line) && why != BY_RULE && is_dead(site, rule) =>
        {
            Some((FindingKind::Impossible, format!("the target leads nowhere: {why}")))
        }
        _ => None,
    }
}

/// Returns what is wrong with a redirect.
fn check_journey(
    site: &ServedSite,
    rule: &RedirectRule,
    visit: &Visit,
    journey: &Journey,
) -> Option<(FindingKind, String)> {
    let lines: Vec<_> = journey.redirects.iter().skip(1).filter_map(|(_, line)| *line).collect();
    let has_fixed_target = || {
        let other = sample(rule, SAMPLES[1])?;
        let other = site.follow(&other);
        Some(other.redirects.first()?.0.target == journey.redirects.first()?.0.target)
    };
    let first = &journey.redirects.first()?.0;
    match &journey.end {
        End::Loop => {
            let through = lines.iter().filter(|line| **line != rule.line).map(|line| format!(" {line}"));
            let through: Vec<_> = through.take(3).collect();
            let through =
                if through.is_empty() { String::new() } else { format!(", with line{}", through.join(" and")) };
            Some((FindingKind::Loop, format!("the redirect leads back to itself{through}")))
        }
        End::Refused(status, why) if has_fixed_target() == Some(true) => {
            let to = journey.redirects.last().map_or(first, |(to, _)| to);
            let text = format!("the target {} leads nowhere: {why} ({status})", super::shown(&to.target));
            Some((FindingKind::Impossible, text))
        }
        _ if journey.redirects.len() > 1 && first.host == visit.host => {
            let last = &journey.redirects.last()?.0;
            let by = lines.first().map_or(String::new(), |line| format!(" (line {line})"));
            let text = match has_fixed_target() {
                Some(true) if last.host == visit.host => {
                    format!("the target redirects again{by}: write {}", super::shown(&last.target))
                }
                _ => format!("the target redirects again{by}: write where that leads to"),
            };
            (!lines.is_empty() || has_fixed_target() == Some(true)).then_some((FindingKind::Chain, text))
        }
        _ => None,
    }
}

/// Returns whether the target of a rule that shows a file is one file, whatever was requested.
fn is_dead(site: &ServedSite, rule: &RedirectRule) -> bool {
    let other = sample(rule, SAMPLES[1]);
    let why = |visit: &Visit| match site.answer(visit).kind {
        AnswerKind::Refused(_, why) => Some(why),
        _ => None,
    };
    // The reason names the file.
    other.is_some_and(|other| why(&other) == sample(rule, SAMPLES[0]).as_ref().and_then(why))
}

/// Returns a request that the source of a rule matches, with `word` for each placeholder. None if its host has one.
fn sample(rule: &RedirectRule, word: &str) -> Option<Visit> {
    let source = &rule.source;
    if source.has_host() && source.host().is_none() {
        return None;
    }
    let text = source.text();
    let path = if source.has_host() {
        let (_, rest) = text.split_once("//")?;
        rest.find('/').map_or("/", |slash| &rest[slash..])
    } else {
        text
    };
    let target = sample_path(path, word);
    Some(Visit { is_https: source.scheme() != Some(Scheme::Http), host: source.host().map(String::from), target })
}

/// Returns a path that the pattern `text` matches, with `word` for each placeholder.
fn sample_path(text: &str, word: &str) -> String {
    let (mut path, mut rest) = (String::new(), text);
    while let Some(next) = rest.chars().next() {
        if let Some((_, after)) = crate::rules::placeholder(rest) {
            path.push_str(word);
            rest = after;
            continue;
        }
        if next == '*' {
            path.push_str(word);
        } else {
            path.push(next);
        }
        rest = &rest[next.len_utf8()..];
    }
    path
}

/// Finds the rules whose place files take.
pub fn check_shadowed(site: &ServedSite, files: &[Job], findings: &mut Findings) {
    if site.redirects().is_empty() {
        return;
    }
    // By line: the first file, and the number of files.
    let mut shadowed: BTreeMap<usize, (String, u64)> = BTreeMap::new();
    let hosts: Vec<_> = site.hosts().take(MAX_HOSTS).collect();
    let end = Instant::now() + TIME;
    for (number, job) in files.iter().enumerate() {
        if Instant::now() > end {
            findings.add(took_too_long(&format!("{} files", files.len() - number)));
            break;
        }
        let relative = job.relative();
        let mut lines = Vec::new();
        for path in site.paths_of(relative.as_os_str().as_bytes()) {
            if !site.has(&path) {
                continue;
            }
            let hosts = if number < MAX_FILES_OF_HOST { &*hosts } else { &[] };
            for host in std::iter::once(None).chain(hosts.iter().map(|host| Some(*host))) {
                let Some(found) = site.rule_without_file(host, &path) else { continue };
                if !is_fallback(found.rule) && !lines.contains(&found.rule.line) {
                    lines.push(found.rule.line);
                }
            }
        }
        for line in lines {
            let entry = shadowed.entry(line).or_insert_with(|| (relative.to_string_lossy().into_owned(), 0));
            entry.1 += 1;
        }
    }
    for rule in site.redirects().rules() {
        let Some((file, count)) = shadowed.get(&rule.line) else { continue };
        let files = match count {
            1 => format!("the file {file} is"),
            2 => format!("the file {file} and another one are"),
            _ => format!("the file {file} and {} others are", count - 1),
        };
        let text = format!(
            "{files} served instead; write {}! to apply the rule always, as Cloudflare Pages does",
            rule.status.code()
        );
        findings.add(finding(FindingKind::Shadowed, REDIRECTS, rule.line, text));
    }
}

/// Finds rules of `_headers` for paths that do not exist. Those for some hosts only are not tried.
pub fn check_headers(site: &ServedSite, files: &[Job], findings: &mut Findings) {
    let mut unused = BTreeMap::new();
    for rule in site.headers().rules().filter(|rule| !rule.source.has_host()) {
        let text = rule.source.text();
        let (target, is_pattern) = (sample_path(text, SAMPLES[0]), is_pattern_text(text));
        // A pattern may be for what a rule of _redirects shows.
        match site.answer(&Visit::to(target)) {
            answer if is_pattern && answer.line.is_none() => _ = unused.insert(rule.line, text),
            Answer { kind: AnswerKind::Refused(404, why), .. } if !is_pattern => {
                let text = format!("no page has the path {text}: {why}");
                findings.add(finding(FindingKind::Impossible, HEADERS, rule.line, text));
            }
            _ => {}
        }
    }
    let end = Instant::now() + TIME;
    let of_files = files.iter().flat_map(|job| site.paths_of(job.relative().as_os_str().as_bytes()));
    let of_rules = site.redirects().rules().filter_map(|rule| Some(sample(rule, SAMPLES[0])?.target.into_bytes()));
    for path in of_files.chain(of_rules) {
        if unused.is_empty() || Instant::now() > end {
            break;
        }
        site.headers().matching(&path).for_each(|rule| _ = unused.remove(&rule.line));
    }
    if !unused.is_empty() && Instant::now() > end {
        let text = format!("{} rules were not checked: this took longer than {} seconds", unused.len(), TIME.as_secs());
        return findings.add(Finding::new(FindingKind::Unread, HEADERS, None, text));
    }
    for (line, text) in unused {
        let text = format!("no file and no source of _redirects matches {text}");
        findings.add(finding(FindingKind::Unused, HEADERS, line, text));
    }
}

/// Returns whether a rule is meant for paths without a file: a pattern that shows a page, and one for all that is not found.
fn is_fallback(rule: &RedirectRule) -> bool {
    let source = rule.source.text();
    match rule.status {
        Status::Ok => is_pattern_text(source.split_once("//").map_or(source, |(_, rest)| rest)),
        Status::NotFound => source == "/*",
        _ => false,
    }
}

fn is_pattern_text(text: &str) -> bool {
    text.contains('*')
        || (0..text.len()).any(|at| text.get(at..).is_some_and(|rest| crate::rules::placeholder(rest).is_some()))
}

fn finding(kind: FindingKind, file: &str, line: usize, text: impl Into<String>) -> Finding {
    Finding::new(kind, file, u32::try_from(line).ok(), text)
}

//! The files, functions, tests and stages that the documents in the root name must exist.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: impl AsRef<Path>) -> String {
    fs::read_to_string(top().join(&name)).unwrap_or_else(|error| panic!("{}: {error}", name.as_ref().display()))
}

/// Returns the text between backquotes, outside of code blocks.
fn quoted(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with("    ")).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

fn rust_files(directory: PathBuf, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            rust_files(path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns the names of all functions in `src` and `tests/behaviour`.
fn functions() -> HashSet<String> {
    let mut files = Vec::new();
    rust_files(top().join("src"), &mut files);
    rust_files(top().join("tests/behaviour"), &mut files);
    let name = |line: &str| Some(line.trim_start().strip_prefix("fn ")?.split(['(', '<']).next()?.to_string());
    files.iter().flat_map(|file| read(file).lines().filter_map(name).collect::<Vec<_>>()).collect()
}

#[test]
fn files_that_are_named_are_there() {
    let tops = ["src/", "tests/", "packaging/", "systemd/"];
    let mut count = 0;
    for document in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "tests/bench/README.md"] {
        for words in quoted(&read(document)) {
            let path = words.split(' ').next().unwrap();
            if tops.iter().any(|top| path.starts_with(top)) || path.ends_with(".md") {
                assert!(top().join(path).exists(), "{document} names {path}");
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count}");
}

/// A name in parentheses after a path must be in that file.
#[test]
fn names_in_the_table_of_places_are_in_their_files() {
    let text = read("CONTRIBUTING.md");
    let (_, table) = text.split_once("## Where to find").unwrap();
    let mut count = 0;
    for row in table.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| ")) {
        let place = row.split(" | ").nth(1).unwrap_or_default();
        let mut content = String::new();
        for word in quoted(place) {
            if top().join(word).exists() {
                content = if top().join(word).is_file() { read(word) } else { String::new() };
                continue;
            }
            let is_there = ["fn ", "struct ", "enum ", "pub "].iter().any(|kind| {
                let declaration = format!("{kind}{word}");
                content.match_indices(&declaration).any(|(at, _)| {
                    let next = content[at + declaration.len()..].chars().next();
                    next.is_none_or(|c| !c.is_alphanumeric() && c != '_')
                })
            });
            assert!(is_there, "{word} in {row}");
            count += 1;
        }
    }
    assert!(count > 15, "{count}");
}

#[test]
fn tests_that_the_threat_model_names_are_there() {
    let functions = functions();
    let document = read("SECURITY.md");
    let is_test =
        |word: &&str| word.matches('_').count() >= 2 && word.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    let names: Vec<_> = quoted(&document).into_iter().filter(is_test).collect();
    for name in &names {
        assert!(functions.contains(*name), "SECURITY.md names the test {name}");
    }
    assert!(names.len() > 30, "{}", names.len());
}

#[test]
fn stages_that_are_named_are_there() {
    let (document, script) = (read("CONTRIBUTING.md"), read("tests/run"));
    let list = |name: &str| script.split(&format!("{name}=(")).nth(1).unwrap().split(')').next().unwrap();
    let all: Vec<_> = ["ALL", "EXTRA"].into_iter().flat_map(|name| list(name).split(' ')).collect();
    let table = document.split("| Stage |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows = table.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.collect::<Vec<_>>(), all);
}

#[test]
fn sections_of_the_manual_that_are_named_are_there() {
    let manual = read("packaging/otus-httpd.8");
    let sections: Vec<_> = manual
        .lines()
        .filter_map(|line| line.strip_prefix(".SH "))
        .map(|name| name.trim_matches('"').replace('\\', ""))
        .collect();
    let mut count = 0;
    for document in
        ["README.md", "SECURITY.md", "CONTRIBUTING.md", "packaging/debian/postinst", "systemd/otus-httpd.service"]
    {
        let text = read(document).replace('`', "");
        for (_, rest) in text.match_indices("otus-httpd(8), ").map(|(at, found)| text.split_at(at + found.len())) {
            let name =
                rest.split(|c: char| !(c.is_ascii_uppercase() || c == ' ' || c == '-')).next().unwrap().trim_end();
            assert!(sections.iter().any(|section| section == name), "{document} names the section {name}");
            count += 1;
        }
    }
    assert!(count > 2, "{count}");
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 150, "{lines} lines");
}

/// Returns the options under each heading: the lines that `heading` and `option` know.
fn options(
    text: &str,
    heading: impl Fn(&str) -> Option<&str>,
    option: impl Fn(&str) -> Option<String>,
) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        if let Some(name) = heading(line) {
            groups.push((name.to_string(), Vec::new()));
        } else if let (Some(name), Some(group)) = (option(line), groups.last_mut()) {
            group.1.push(name);
        }
    }
    groups
}

#[test]
fn the_manual_lists_the_options_under_the_headings_of_the_help() {
    let help = Command::new(env!("CARGO_BIN_EXE_otus-httpd")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, settings) = help.split_once("\nAddress:\n").unwrap();
    let settings = format!("Address:\n{settings}");
    let long = |line: &str| {
        let name = line.strip_prefix("      --").or_else(|| line.strip_prefix("  -")?.get(3..)?.strip_prefix("--"))?;
        Some(name.split(' ').next().unwrap().to_string())
    };
    let expected = options(&settings, |line| line.strip_suffix(':').filter(|name| !name.starts_with(' ')), long);

    let manual = read("packaging/otus-httpd.8");
    let (_, list) = manual.split_once("\nPrecedence: command line").unwrap();
    let (list, _) = list.split_once("\n.SH ").unwrap();
    let unescaped = list.replace("\\%", "").replace('\\', "");
    let long = |line: &str| Some(line.split_once(" --")?.1.split(' ').next().unwrap().to_string());
    let listed = options(
        &unescaped,
        |line| line.chars().all(char::is_alphabetic).then_some(line).filter(|name| !name.is_empty()),
        long,
    );
    assert_eq!(listed, expected);
    assert!(listed.len() == 8, "{listed:?}");
}

//! The shell completions of the package: generated from the options, and kept as files so that the program need not hold
//! their generator. After a change of the options:
//!
//!     WRITE_COMPLETIONS=1 cargo test --test completions

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use otus_httpd::config::CommandLine;

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut CommandLine::command(), "otus-httpd", &mut script);
    String::from_utf8(script).unwrap()
}

fn path(shell: Shell) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("packaging/completions/otus-httpd.{shell}"))
}

#[test]
fn completions_match_the_options() {
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let script = script(shell);
        if std::env::var_os("WRITE_COMPLETIONS").is_some() {
            fs::write(path(shell), &script).unwrap();
        }
        assert!(
            fs::read_to_string(path(shell)).is_ok_and(|present| present == script),
            "{} is not up to date. Run: WRITE_COMPLETIONS=1 cargo test --test completions",
            path(shell).display()
        );
    }
}

/// Returns the completions of bash for the last of `words`.
fn offers(words: &[&str]) -> Vec<String> {
    let ask = r#"
        set -u
        eval "$1"; shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        function=$(complete -p otus-httpd) function=${function#*-F } function=${function%% *}
        "$function" otus-httpd "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash").args(["-c", ask, "bash"]).arg(script(Shell::Bash)).args(words).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect()
}

#[test]
fn bash_completes_options_tasks_and_files() {
    assert_eq!(offers(&["otus-httpd", "--work"]), ["--workers"]);
    assert_eq!(offers(&["otus-httpd", "--debug", "--max-re"]), ["--max-request-line", "--max-requests"]);
    assert_eq!(offers(&["otus-httpd", "pre"]), ["precompress"]);
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert_eq!(offers(&["otus-httpd", "--mime-types", &manifest[..manifest.len() - 2]]), [manifest]);
}

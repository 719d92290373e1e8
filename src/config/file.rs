//! The settings file: lines of NAME=value, in the format of `EnvironmentFile=` (systemd.exec(5)).

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::Chars;

use crate::failure::{self, Failure};

/// The characters that end a line. systemd accepts a lone CR as well.
const NEWLINE: [char; 2] = ['\n', '\r'];

/// The line number of a problem that concerns the whole file.
const WHOLE_FILE: usize = 0;

/// The content of a settings file, and its problems.
#[derive(Debug, Default)]
pub struct SettingsFile {
    /// Its path.
    pub path: PathBuf,
    /// Its settings, in order.
    pub settings: Vec<Setting>,
    /// Its problems, each with a line number.
    pub problems: Vec<(usize, Failure)>,
}

/// A setting: one line, or several that a quote or a backslash joins.
#[derive(Debug, PartialEq)]
pub struct Setting {
    /// The name, before the `=`.
    pub name: String,
    /// The value, without quotes and escapes.
    pub value: String,
    /// The number of its first line.
    pub line: usize,
}

impl SettingsFile {
    /// Returns the setting `name`. If there are several, the last one counts, as in systemd.
    pub fn setting_of(&self, name: impl AsRef<std::ffi::OsStr>) -> Option<&Setting> {
        self.settings.iter().rfind(|setting| *setting.name == *name.as_ref())
    }

    /// Reads the file at `path`. With a `-` before the path, as in a unit, the file may be missing.
    pub fn read(path: &Path) -> Self {
        let optional = path.as_os_str().as_bytes().strip_prefix(b"-").map(std::ffi::OsStr::from_bytes);
        let mut file = SettingsFile { path: optional.map_or(path, Path::new).to_path_buf(), ..SettingsFile::default() };
        match std::fs::read(&file.path) {
            Ok(bytes) => file.parse(&bytes),
            Err(error) if optional.is_some() && error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let (path, why) = (file.path.display(), failure::reason(&error));
                let remedy = match error.kind() {
                    ErrorKind::PermissionDenied => "give this server's user permission to read it",
                    _ => "set another path with --settings or OTUS_SETTINGS",
                };
                let sentence = format!("The settings file {path} cannot be read ({why}): {remedy}.");
                file.problems.push((WHOLE_FILE, Failure::new(sentence)));
            }
        }
        file
    }

    /// Returns the problem of reading the file, if there is one.
    pub fn into_read_error(self) -> Option<Failure> {
        self.problems.into_iter().find_map(|(line, problem)| (line == WHOLE_FILE).then_some(problem))
    }

    /// Adds a problem of a line, as a sentence with file and line number.
    pub fn add_problem(&mut self, line: usize, what: impl std::fmt::Display) {
        self.problems.push((line, Failure::new(format!("{} line {line}: {what}.", self.path.display()))));
    }

    fn parse(&mut self, bytes: &[u8]) {
        let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        if valid.len() < bytes.len() {
            let line = 1 + valid.matches('\n').count();
            return self.add_problem(line, "the line is not valid UTF-8; correct its encoding");
        }
        for (line, result) in parse(valid) {
            match result {
                Ok(setting) => self.settings.push(setting),
                Err(what) => self.add_problem(line, what),
            }
        }
    }
}

/// Parses `text` into settings and errors, each with the number of its line.
fn parse(text: &str) -> Vec<(usize, Result<Setting, &'static str>)> {
    let mut reader = Reader { rest: text.chars(), line: 1 };
    let mut found = Vec::new();
    while let Some(first) = reader.next() {
        let line = reader.line;
        match first {
            '#' | ';' => drop(reader.find(|c| NEWLINE.contains(c))),
            ' ' | '\t' | '\n' | '\r' => {}
            _ => found.push((line, reader.setting(first, line))),
        }
    }
    found
}

struct Reader<'a> {
    rest: Chars<'a>,
    line: usize,
}

impl Iterator for Reader<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }
}

impl Reader<'_> {
    fn setting(&mut self, first: char, line: usize) -> Result<Setting, &'static str> {
        let mut name = String::from(first);
        loop {
            match self.next() {
                None | Some('\n' | '\r') => return Err("there is no \"=\"; use NAME=value, or begin a comment with #"),
                Some('=') => break,
                Some(c) => name.push(c),
            }
        }
        Ok(Setting { name: name.trim_end().into(), value: self.value()?, line })
    }

    /// Reads a value: any number of quoted parts, then optionally a part without quotes.
    fn value(&mut self) -> Result<String, &'static str> {
        const OPEN: &str = "a quote is not closed";
        let mut value = String::new();
        loop {
            match self.next() {
                None | Some('\n' | '\r') => return Ok(value),
                Some(' ' | '\t') => {}
                Some('\'') => loop {
                    match self.next().ok_or(OPEN)? {
                        '\'' => break,
                        c => value.push(c),
                    }
                },
                Some('"') => loop {
                    match self.next().ok_or(OPEN)? {
                        '"' => break,
                        '\\' => match self.next().ok_or(OPEN)? {
                            '\n' => {}
                            c @ ('"' | '\\' | '`' | '$') => value.push(c),
                            c => value.extend(['\\', c]),
                        },
                        c => value.push(c),
                    }
                },
                Some(c) => return Ok(self.plain(value, c)),
            }
        }
    }

    /// Reads a part without quotes, up to the end of the line. Trailing blanks are dropped. A backslash escapes the next character.
    fn plain(&mut self, mut value: String, first: char) -> String {
        let (mut next, mut kept) = (Some(first), value.len());
        while let Some(c) = next.filter(|c| !NEWLINE.contains(c)) {
            match c {
                '\\' => value.extend(self.next().filter(|c| !NEWLINE.contains(c))),
                c => value.push(c),
            }
            if !matches!(c, ' ' | '\t') {
                kept = value.len();
            }
            next = self.next();
        }
        value.truncate(kept);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(usize, &str, &str)]) {
        let found = parse(text).into_iter().map(|(_, setting)| setting.unwrap());
        let setting =
            |&(line, name, value): &(usize, &str, &str)| Setting { name: name.into(), value: value.into(), line };
        assert_eq!(found.collect::<Vec<_>>(), expected.iter().map(setting).collect::<Vec<_>>(), "{text:?}");
    }

    fn value(text: &str, expected: &str) {
        check(&format!("A={text}\nB=b\n"), &[(1, "A", expected), (2 + text.matches('\n').count(), "B", "b")]);
    }

    #[test]
    fn lines_are_settings_comments_or_blank() {
        check("", &[]);
        check("# comment\n; comment\n\n \t\n", &[]);
        check("A=1", &[(1, "A", "1")]);
        check("#A=0\n\n A = 1 # 2 \nB=\nC=x=y\n", &[(3, "A", "1 # 2"), (4, "B", ""), (5, "C", "x=y")]);
        check("A=1\r\nB=2\r\n", &[(1, "A", "1"), (2, "B", "2")]);
        check("# a comment ends with its line \\\nA=1\n", &[(2, "A", "1")]);
    }

    #[test]
    fn quotes_and_escapes_are_those_of_systemd() {
        value("a b", "a b");
        value(" a \t", "a");
        value(r"a\ \ ", "a  ");
        value(r"a\nb\\", r"anb\");
        value("a \\\nb", "a b");
        value("a\"b'c", "a\"b'c");
        value("\"a  b \"", "a  b ");
        value("\"a\nb\"", "a\nb");
        value("\"a\\\nb\"", "ab");
        value(r#""\"\\\$\`\n""#, r#""\$`\n"#);
        value(r"'a\b$ '", r"a\b$ ");
        value("'a' \"b\" c ", "abc");
        value("''", "");
    }

    #[test]
    fn errors_have_the_number_of_their_line() {
        for (text, line) in [("A", 1), ("\n\nexport\n", 3), ("A='b\n\n", 1), ("\nA=\"b\\\"\n", 2), ("A=\"\\", 1)] {
            let found = parse(text);
            assert!(matches!(found[..], [(at, Err(_))] if at == line), "{text:?}: {found:?}");
        }
    }
}

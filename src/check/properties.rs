//! The properties of a unit as `systemctl show` prints them, in the formats of systemd 229 and later.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::failure::Failure;

/// The properties of a unit. Some have several lines.
#[derive(Debug, Default)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// Reads the properties of the unit `name`; a unit that does not exist has properties too.
    pub fn of(name: &str) -> Result<Self, Failure> {
        let fails =
            |why: String| Failure::new(format!("The properties of {name} cannot be read (systemctl show: {why})."));
        let mut command = Command::new("systemctl");
        command.args(["--no-pager", "show", "--", name]).stdin(Stdio::null());
        let output = command.output().map_err(|error| fails(error.to_string()))?;
        if !output.status.success() {
            return Err(fails(String::from_utf8_lossy(&output.stderr).trim().to_string()));
        }
        Ok(Properties::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        Properties(lines.map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// Returns the value of `name`; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Returns the values of all lines of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Returns the addresses of a socket unit: from "Listen=[::]:80 (Stream)", or "ListenStream=[::]:80" before systemd 242.
pub fn addresses(socket: &Properties) -> impl Iterator<Item = String> {
    let with_kind = socket.all("Listen").map(|line| line.rsplit_once(" (").map_or(line, |(address, _)| address));
    with_kind.chain(socket.all("ListenStream")).map(str::to_string)
}

/// Returns the arguments in a property such as ExecStart=, without the program. Blanks within an argument are lost.
pub fn arguments(command: &str) -> Vec<String> {
    let argv = command.split_once("argv[]=").map_or("", |(_, rest)| rest);
    let argv = argv.split_once(" ; ").map_or(argv, |(argv, _)| argv);
    argv.split_whitespace().skip(1).map(String::from).collect()
}

/// Returns the words of a list. A word with a blank is in quotes, or has \x20 in place of the blank (systemd 229).
pub fn words(list: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = list.chars().peekable();
    while let Some(&first) = rest.peek() {
        if first.is_whitespace() {
            rest.next();
            continue;
        }
        let mut word = Vec::new();
        let mut quote = None;
        while let Some(c) = rest.next() {
            match c {
                _ if Some(c) == quote => quote = None,
                '\\' => word.extend(escaped(&mut rest)),
                '$' if quote.is_none() && rest.peek() == Some(&'\'') => {}
                '"' | '\'' if quote.is_none() => quote = Some(c),
                c if c.is_whitespace() && quote.is_none() => break,
                c => word.extend(c.to_string().bytes()),
            }
        }
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    words
}

/// Returns a time span (systemd.time(7)), such as "1min 30s"; none if it is infinite, or not understood.
pub fn time_span(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    text.split_whitespace().map(time_value).sum()
}

/// Returns a part of a time span.
fn time_value(word: &str) -> Option<Duration> {
    let (number, unit) = word.split_at(word.find(|c: char| !c.is_ascii_digit() && c != '.')?);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        // A month is a twelfth of a year of 365.25 days.
        "month" => 2_629_800.0,
        "y" => 31_557_600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// Returns the bytes that an escape sequence stands for; \x stands for one byte of a character.
fn escaped(rest: &mut std::iter::Peekable<std::str::Chars>) -> Vec<u8> {
    match rest.next() {
        Some('n') => vec![b'\n'],
        Some('t') => vec![b'\t'],
        Some('x') => {
            let digits: String = rest.by_ref().take(2).collect();
            u8::from_str_radix(&digits, 16).into_iter().collect()
        }
        Some(c) => c.to_string().into_bytes(),
        None => vec![b'\\'],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_into_words() {
        for (list, expected) in [
            ("", &[][..]),
            ("A=b C=d", &["A=b", "C=d"]),
            ("\"A=b c\" D=", &["A=b c", "D="]),
            ("\"A=\\\"b\\\\\\$\" B=1", &["A=\"b\\$", "B=1"]),
            ("$'A=b\\nc' B=1", &["A=b\nc", "B=1"]),
            ("A=b\\x20c B=\\xc3\\xa9", &["A=b c", "B=é"]),
        ] {
            assert_eq!(words(list), expected, "{list}");
        }
    }

    #[test]
    fn time_spans_are_read() {
        for (text, seconds) in [
            ("45s", Some(45.0)),
            ("1min 30s", Some(90.0)),
            ("1h 2min 500ms", Some(3_720.5)),
            ("1.500s", Some(1.5)),
            ("0", None),
            ("infinity", None),
            ("", None),
            ("a s", None),
        ] {
            assert_eq!(time_span(text).map(|span| span.as_secs_f64()), seconds, "{text}");
        }
    }

    #[test]
    fn commands_are_split_into_arguments() {
        let command =
            "{ path=/usr/sbin/otus-httpd ; argv[]=/usr/sbin/otus-httpd --workers=3 -d ; ignore_errors=no ; pid=0 }";
        assert_eq!(arguments(command), ["--workers=3", "-d"]);
        assert_eq!(arguments("{ path=/a ; argv[]=/a ; ignore_errors=no }"), [""; 0]);
        assert_eq!(arguments(""), [""; 0]);
    }

    #[test]
    fn addresses_of_a_socket_unit_are_read() {
        let addresses = |text| addresses(&Properties::parse(text)).collect::<Vec<_>>();
        assert_eq!(
            addresses("Listen=[::]:80 (Stream)\nListen=/run/a b.sock (Stream)\nBacklog=1\n"),
            ["[::]:80", "/run/a b.sock"]
        );
        assert_eq!(addresses("ListenStream=[::]:80\nBacklog=1\n"), ["[::]:80"]);
    }
}

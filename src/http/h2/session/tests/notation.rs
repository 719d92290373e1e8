//! The notation of tests/http2/cases, which its README describes.

use super::super::super::frame::tests::raw;
use super::super::PREFACE;
use super::frame::{self, HEAD_BYTES};

/// What a client does, and what it gets.
#[derive(Debug, Default)]
pub struct Case {
    /// Where it is, and its first line.
    pub name: String,
    /// Whether it is for TLS alone, or for connections in clear alone.
    pub only_tls: bool,
    pub only_clear: bool,
    pub steps: Vec<Step>,
    /// What it may get.
    pub wants: Vec<Vec<String>>,
    preface: Preface,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Preface {
    #[default]
    WithSettings,
    Alone,
    None,
}

/// What a client does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Send(Vec<u8>),
    /// It waits for the end of a stream.
    Wait(u32),
}

const TYPES: [&str; 17] = [
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
    "",
    "",
    "",
    "",
    "",
    "",
    "PRIORITY_UPDATE",
];

const SETTINGS: [&str; 10] = [
    "",
    "HEADER_TABLE_SIZE",
    "ENABLE_PUSH",
    "MAX_CONCURRENT_STREAMS",
    "INITIAL_WINDOW_SIZE",
    "MAX_FRAME_SIZE",
    "MAX_HEADER_LIST_SIZE",
    "",
    "",
    "NO_RFC7540_PRIORITIES",
];

/// Returns the cases of a file.
pub fn cases(file: &str, text: &str, is_tls: bool) -> Vec<Case> {
    let blocks = text.split("\n\n").map(|block| block.trim_matches('\n'));
    let blocks = blocks.filter(|block| !block.is_empty() && !block.starts_with('#'));
    blocks.map(|block| case(file, block, is_tls)).collect()
}

fn case(file: &str, block: &str, is_tls: bool) -> Case {
    let (name, rest) = block.split_once('\n').unwrap_or((block, ""));
    let mut case = Case { name: format!("{file}: {name}"), ..Case::default() };
    let lines: Vec<&str> = rest.lines().collect();
    let mut steps = Vec::new();
    let mut number = 0;
    while number < lines.len() {
        let line = lines[number];
        number += 1;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "want" | "or" => case.wants.push(wanted(rest)),
            "note" => {}
            "tls" => case.only_tls = true,
            "clear" => case.only_clear = true,
            "silent" => case.preface = Preface::None,
            "preface" => case.preface = Preface::Alone,
            _ => match word.strip_suffix('x').and_then(|count| count.parse().ok()) {
                Some(count) => {
                    let block: Vec<&str> = lines[number..]
                        .iter()
                        .take_while(|line| line.starts_with("  "))
                        .map(|line| line.trim())
                        .collect();
                    number += block.len();
                    let block = if rest.is_empty() { block } else { vec![rest] };
                    steps.extend(
                        (0..count).flat_map(|turn| block.iter().flat_map(move |line| step(line, turn, is_tls))),
                    );
                }
                None => steps.extend(step(line, 0, is_tls)),
            },
        }
    }
    let mut first = if case.preface == Preface::None { Vec::new() } else { PREFACE.to_vec() };
    if case.preface == Preface::WithSettings {
        first.extend([raw(4, 0, 0, b""), raw(4, 1, 0, b"")].concat());
    }
    case.steps = [vec![Step::Send(first)], steps].concat();
    case
}

/// The expectations of a line, one for each stream.
fn wanted(line: &str) -> Vec<String> {
    let each = |part: &str| {
        let mut words: Vec<&str> = part.split(' ').collect();
        let ids =
            words.get(1).and_then(|word| word.split_once("..")).map(|(first, last)| (number(first), number(last)));
        let Some((first, last)) = ids else { return vec![part.to_string()] };
        (first..=last)
            .step_by(2)
            .map(|id| {
                let id = id.to_string();
                words.splice(1..2, []);
                let text = [&[words[0], &id], &words[1..]].concat().join(" ");
                words.insert(1, "");
                text
            })
            .collect()
    };
    line.split(", ").flat_map(each).collect()
}

fn step(line: &str, turn: u32, is_tls: bool) -> Vec<Step> {
    let tokens = tokens(line);
    let words: Vec<&str> = tokens.iter().map(String::as_str).collect();
    match words[..] {
        ["wait", ids] => match ids.split_once("..") {
            Some((first, "")) => vec![Step::Wait(number(first) + 2 * turn)],
            Some((first, last)) => (number(first)..=number(last)).step_by(2).map(Step::Wait).collect(),
            None => vec![Step::Wait(number(ids))],
        },
        ["RAW", ref payload @ ..] => vec![Step::Send(bytes(payload, turn, is_tls))],
        ["GET", id] => step(&format!("HEADERS {id} END_STREAM END_HEADERS get"), turn, is_tls),
        ["GET", id, "large"] => {
            let line = format!("HEADERS {id} END_STREAM END_HEADERS method scheme authority \":path: /large\"");
            step(&line, turn, is_tls)
        }
        ["POST", id] => step(&format!("HEADERS {id} END_HEADERS post"), turn, is_tls),
        [kind, id, ref rest @ ..] => vec![Step::Send(any_frame(kind, id, rest, turn, is_tls))],
        _ => panic!("{line}"),
    }
}

fn any_frame(kind: &str, id: &str, mut rest: &[&str], turn: u32, is_tls: bool) -> Vec<u8> {
    let kind = TYPES.iter().position(|name| *name == kind).unwrap_or_else(|| number(kind) as usize);
    let id = id.strip_suffix("..").map_or_else(|| number(id), |first| number(first) + 2 * turn);
    let (mut flags, mut length) = (0, None);
    while let [first, behind @ ..] = rest {
        match *first {
            "END_STREAM" | "ACK" => flags |= frame::END_STREAM,
            "END_HEADERS" => flags |= frame::END_HEADERS,
            "PADDED" => flags |= 0x8,
            "PRIORITY" => flags |= 0x20,
            _ => match (first.strip_prefix("LENGTH="), first.strip_prefix("0x")) {
                (Some(text), _) => length = Some(number(text)),
                (_, Some(_)) if !first.contains('=') => flags |= number(first) as u8,
                _ => break,
            },
        }
        rest = behind;
    }
    let payload = bytes(rest, turn, is_tls);
    let mut bytes = raw(kind as u8, flags, id, &payload);
    if let Some(length) = length {
        bytes[..3].copy_from_slice(&length.to_be_bytes()[1..]);
    }
    assert!(bytes.len() == HEAD_BYTES + payload.len());
    bytes
}

/// Splits a line at its blanks outside of quotes.
fn tokens(line: &str) -> Vec<String> {
    let (mut tokens, mut quote, mut escaped) = (vec![String::new()], None, false);
    for letter in line.chars() {
        match (letter, quote) {
            (' ', None) => {
                tokens.push(String::new());
                continue;
            }
            ('"' | '\'', None) => quote = Some(letter),
            (_, Some(end)) if letter == end && !escaped => quote = None,
            _ => {}
        }
        escaped = letter == '\\' && !escaped;
        tokens.last_mut().unwrap().push(letter);
    }
    tokens.retain(|token| !token.is_empty());
    tokens
}

/// The bytes of a payload.
fn bytes(tokens: &[&str], turn: u32, is_tls: bool) -> Vec<u8> {
    tokens.iter().flat_map(|token| token_bytes(token, turn, is_tls)).collect()
}

fn token_bytes(token: &str, turn: u32, is_tls: bool) -> Vec<u8> {
    if let Some((count, rest)) = token.split_once('*')
        && let Ok(count) = count.parse()
    {
        return token_bytes(rest, turn, is_tls).repeat(count);
    }
    if let Some(rest) = token.strip_prefix('"') {
        let (text, count) = rest.rsplit_once('"').unwrap();
        return field(&unescaped(text), count.strip_prefix('*').map_or(1, |count| number(count) as usize));
    }
    if let Some(text) = token.strip_prefix('\'') {
        return unescaped(text.strip_suffix('\'').unwrap());
    }
    if let Some(value) = token.strip_prefix("u32:") {
        return number(value).to_be_bytes().to_vec();
    }
    if let Some(first) = token.strip_prefix("id:") {
        return (number(first.trim_end_matches("..")) + 2 * turn).to_be_bytes().to_vec();
    }
    if let Some((name, value)) = token.split_once('=') {
        let setting = SETTINGS.iter().position(|known| *known == name).unwrap_or_else(|| number(name) as usize);
        return [&(setting as u16).to_be_bytes()[..], &number(value).to_be_bytes()].concat();
    }
    let get = ["method", "scheme", "authority", "path"];
    match token {
        "get" => bytes(&get, turn, is_tls),
        "post" => [field(b":method: POST", 1), bytes(&get[1..], turn, is_tls)].concat(),
        "method" => field(b":method: GET", 1),
        "scheme" => field(if is_tls { b":scheme: https" } else { b":scheme: http" }, 1),
        "authority" => field(b":authority: a.test", 1),
        "path" => field(b":path: /", 1),
        _ => {
            let digits = |at| u8::from_str_radix(&token[at..at + 2], 16).expect(token);
            (0..token.len()).step_by(2).map(digits).collect()
        }
    }
}

/// A literal field line without indexing, without Huffman code, and with all of its name. Its last byte is repeated.
fn field(line: &[u8], count: usize) -> Vec<u8> {
    let colon = 1 + line[1..].windows(2).position(|two| two == b": ").unwrap();
    let (name, mut value) = (&line[..colon], line[colon + 2..].to_vec());
    value.extend(value.last().copied().into_iter().cycle().take((count - 1) * value.len().min(1)));
    let string = |text: &[u8]| [length(text.len()), text.to_vec()].concat();
    [vec![0], string(name), string(&value)].concat()
}

/// An integer with a prefix of seven bits.
fn length(length: usize) -> Vec<u8> {
    match length {
        0..0x7f => vec![length as u8],
        0x7f..0xff => vec![0x7f, (length - 0x7f) as u8],
        _ => vec![0x7f, (length - 0x7f) as u8 | 0x80, ((length - 0x7f) >> 7) as u8],
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, behind)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (byte, length) = match behind.as_bytes()[0] {
            b'0' => (0, 1),
            b't' => (b'\t', 1),
            b'r' => (b'\r', 1),
            b'n' => (b'\n', 1),
            b'x' => (u8::from_str_radix(&behind[1..3], 16).unwrap(), 3),
            other => (other, 1),
        };
        bytes.push(byte);
        rest = &behind[length..];
    }
    [&bytes, rest.as_bytes()].concat()
}

fn number(text: &str) -> u32 {
    let parsed = text.strip_prefix("0x").map_or_else(|| text.parse(), |digits| u32::from_str_radix(digits, 16));
    parsed.unwrap_or_else(|_| panic!("{text} is no number"))
}

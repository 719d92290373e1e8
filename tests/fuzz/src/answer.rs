//! A strict parser of responses (RFC 9112 §4, §5, §6; RFC 9110 §14.6). It panics on any violation.

use crate::reading::Due;

/// A response.
pub struct Answer<'a> {
    pub status: u16,
    pub fields: Vec<(&'a str, &'a str)>,
    pub body: &'a [u8],
}

/// Parses the expected responses, one for each, and nothing else. `may_err`: an error response may follow.
pub fn read<'a>(mut answers: &'a [u8], due: &[Due], may_err: bool) -> Vec<Answer<'a>> {
    let ends_with_page = |answers: &[u8]| answers.ends_with(b"</html>\n");
    let mut read = Vec::new();
    for due in due {
        let is_head = due.method == "HEAD" || due.method == "HEAD, perhaps" && !ends_with_page(answers);
        let answer = take(&mut answers, is_head);
        assert!(due.statuses.contains(&answer.status), "{due:?}: {answer:?}");
        assert_eq!(answer.field("Connection"), Some(if due.is_last { "close" } else { "keep-alive" }), "{due:?}");
        read.push(answer);
    }
    if may_err && !answers.is_empty() {
        // An incomplete request may also be a HEAD: then no content follows.
        let is_head = !ends_with_page(answers);
        let answer = take(&mut answers, is_head);
        assert!(answer.status >= 400 && answer.field("Connection") == Some("close"), "{answer:?}");
    }
    assert!(answers.is_empty(), "more than {} answers: {}", due.len(), answers.escape_ascii());
    read
}

/// Removes a final response from the beginning. `is_head`: the request was a HEAD.
pub fn take<'a>(bytes: &mut &'a [u8], is_head: bool) -> Answer<'a> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("the head ends");
    let head = std::str::from_utf8(&bytes[..end]).expect("the head is text");
    *bytes = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let status = status(lines.next().unwrap_or_default());
    let mut answer = Answer { status, fields: lines.map(field).collect(), body: &[] };
    answer.check_fields();
    assert!(matches!(answer.field("Connection"), Some("keep-alive" | "close")), "{answer:?}");
    let length = answer.field("Content-Length").map(|digits| number(digits) as usize);
    match (status, length) {
        (204, Some(_)) => panic!("a 204 with Content-Length: {head}"),
        (204 | 304, _) => {}
        (_, None) => panic!("no Content-Length: {head}"),
        _ if is_head => {}
        (_, Some(length)) => {
            assert!(length <= bytes.len(), "{} of {length} bytes of content: {head}", bytes.len());
            (answer.body, *bytes) = bytes.split_at(length);
        }
    }
    answer.check_status(is_head);
    answer
}

impl std::fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} and {} bytes", self.status, self.fields, self.body.len())
    }
}

impl<'a> Answer<'a> {
    /// Returns the value of the field with this name. No response of this server has a field twice.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// Checks the fields that every response has.
    pub fn check_fields(&self) {
        for (number, (name, _)) in self.fields.iter().enumerate() {
            let is_twice = self.fields[..number].iter().any(|(before, _)| before.eq_ignore_ascii_case(name));
            assert!(!is_twice, "{name} twice: {self:?}");
        }
        assert_eq!(self.field("Server"), Some("OtusServer"), "{self:?}");
        let date = self.field("Date").expect("a Date");
        let time = httpdate::parse_http_date(date).expect("a Date that is a date");
        assert_eq!(httpdate::fmt_http_date(time), date);
        assert!(self.field("Transfer-Encoding").is_none(), "{self:?}");
        for name in ["Last-Modified", "ETag"] {
            assert!(self.field(name).is_none_or(|value| !value.is_empty()), "{self:?}");
        }
    }

    /// Checks the fields that a status requires.
    pub fn check_status(&self, is_head: bool) {
        let has = |name| self.field(name).is_some();
        match self.status {
            200 => assert!(has("Content-Type"), "{self:?}"),
            206 => {
                assert!(!is_head, "{self:?}");
                assert!(!self.parts().is_empty());
            }
            304 => assert!(has("ETag") || has("Last-Modified"), "{self:?}"),
            301 => {
                let location = self.field("Location").expect("a Location");
                let is_uri =
                    location.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&b));
                let segment = location.split('?').next().unwrap_or_default();
                let name = segment.strip_prefix("./").unwrap_or(segment).strip_suffix('/').expect("a directory");
                let is_relative = !name.contains('/') && (segment.starts_with("./") || !name.contains(':'));
                assert!(is_uri && is_relative, "{location:?}");
            }
            204 | 405 => assert_eq!(self.field("Allow"), Some("GET, HEAD, OPTIONS")),
            416 => assert!(self.field("Content-Range").is_some_and(|range| range.starts_with("bytes */")), "{self:?}"),
            400..=599 => {}
            _ => panic!("a status that is none of this server's: {self:?}"),
        }
    }

    /// Returns the parts of a 206: the start, the length of the whole, and the bytes.
    pub fn parts(&self) -> Vec<(u64, u64, &'a [u8])> {
        if let Some(range) = self.field("Content-Range") {
            let (first, length, size) = content_range(range);
            assert_eq!(length, self.body.len() as u64, "{self:?}");
            return vec![(first, size, self.body)];
        }
        let media_type = self.field("Content-Type").expect("a Content-Type");
        let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").expect("parts");
        assert!((1..=70).contains(&boundary.len()) && boundary.bytes().all(|b| b.is_ascii_alphanumeric()));
        let delimiter = format!("\r\n--{boundary}");
        let mut rest = self.body.strip_prefix(delimiter.as_bytes()).expect("a delimiter at the front");
        let mut parts = Vec::new();
        while rest != b"--\r\n" {
            let part = rest.strip_prefix(b"\r\n").expect("the end of a delimiter's line");
            let end = part.windows(4).position(|four| four == b"\r\n\r\n").expect("the head of a part");
            let head = std::str::from_utf8(&part[..end]).expect("the head of a part is text");
            let fields: Vec<_> = head.split("\r\n").map(field).collect();
            let [("Content-Type", _), ("Content-Range", range)] = fields[..] else { panic!("{head}") };
            let (first, length, size) = content_range(range);
            let (content, behind) = part[end + 4..].split_at(length as usize);
            parts.push((first, size, content));
            rest = behind.strip_prefix(delimiter.as_bytes()).expect("a delimiter behind a part");
        }
        assert!(parts.len() > 1, "a single part: {self:?}");
        parts
    }
}

fn status(line: &str) -> u16 {
    let rest = line.strip_prefix("HTTP/1.1 ").expect("a version");
    let (digits, reason) = rest.split_at(3);
    let reason = reason.strip_prefix(' ').expect("a space before the reason");
    assert!(!reason.is_empty() && reason.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{line:?}");
    number(digits) as u16
}

fn field(line: &str) -> (&str, &str) {
    let (name, value) = line.split_once(": ").expect("a name, a colon, a space and a value");
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    assert!(!name.is_empty() && name.bytes().all(is_token), "{line:?}");
    assert!(value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) && value.trim() == value, "{line:?}");
    (name, value)
}

pub fn number(digits: &str) -> u64 {
    assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{digits:?}");
    digits.parse().expect("a number")
}

/// Returns the first position, the number of bytes, and the size of the whole.
fn content_range(value: &str) -> (u64, u64, u64) {
    let (range, size) = value.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')).expect("a range of bytes");
    let (first, last) = range.split_once('-').expect("a first and a last byte");
    let (first, last, size) = (number(first), number(last), number(size));
    assert!(first <= last && last < size, "{value}");
    (first, last - first + 1, size)
}

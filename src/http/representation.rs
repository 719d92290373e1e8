//! A representation of a file, and the part of it that a request selects (RFC 9110 §8, §13, §14).

use std::time::{Duration, SystemTime};

use super::condition::{self, Selected, Verdict};
use super::content_range::ContentRange;
use super::etag::{EntityTag, Validator};
use super::multipart::{self, Multipart};
use super::range::{self, ByteRange, Selection};
use super::request::{Method, Request};
use super::{CacheControl, Coding, Field, Status, syntax};
use crate::digest::Digest;

/// The metadata of a file in its responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Representation {
    /// The size in bytes.
    pub size: u64,
    /// What the entity tag is made of.
    validator: Option<Validator>,
    /// The entity tag. None while the file may be written again without a change of its times.
    pub etag: Option<EntityTag>,
    /// Last-Modified in seconds since the epoch. None if it is not known when the file was last written.
    pub modified_s: Option<u64>,
    /// The media type with its parameters.
    pub content_type: String,
    /// The content coding of the file's bytes.
    pub coding: Coding,
    /// Whether other requests may get another coding of the same resource (RFC 9110 §12.5.5).
    pub varies: bool,
    /// Whether the server compresses it in memory.
    pub is_compressible: bool,
    /// How caches may use it.
    pub cache_control: CacheControl,
}

/// The result of a GET or HEAD request for a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 200 with the whole representation.
    Whole,
    /// 206 with this range.
    Part(ByteRange),
    /// 206 with several parts.
    Parts(Box<Multipart>),
    /// 304, with another tag than the present one if that matched.
    NotModified(Option<String>),
    /// 412.
    PreconditionFailed,
    /// 416.
    Unsatisfiable,
}

impl Outcome {
    /// Returns the status code.
    pub fn status(&self) -> Status {
        match self {
            Outcome::Whole => Status::Ok,
            Outcome::Part(_) | Outcome::Parts(_) => Status::PartialContent,
            Outcome::NotModified(_) => Status::NotModified,
            Outcome::PreconditionFailed => Status::PreconditionFailed,
            Outcome::Unsatisfiable => Status::RangeNotSatisfiable,
        }
    }

    /// Returns the field lines of a 200, 206 or 304 from `representation`; of another status, none.
    pub fn fields<'r>(&'r self, representation: &'r Representation) -> Vec<Field<'r>> {
        let (range, length, content_type) = match self {
            Outcome::Whole => (None, representation.size, representation.content_type.as_str()),
            Outcome::Part(range) => {
                let content_range = ContentRange { range: Some(*range), size: representation.size };
                (Some(Field::ContentRange(content_range)), range.length(), representation.content_type.as_str())
            }
            Outcome::Parts(multipart) => (None, multipart.length(), multipart.media_type.as_str()),
            Outcome::NotModified(None) => return representation.validator_fields().collect(),
            Outcome::NotModified(Some(tag)) => return representation.validator_fields_with(Some(tag)).collect(),
            Outcome::PreconditionFailed | Outcome::Unsatisfiable => return Vec::new(),
        };
        let content = representation.fields_of_content(length, content_type);
        range.into_iter().chain(content).chain(representation.validator_fields()).collect()
    }
}

impl Representation {
    /// Describes a file of `size` bytes. It is the only representation of its resource; [`coded`](Representation::coded)
    /// makes it one of several.
    pub fn new(
        size: u64,
        validator: Option<Validator>,
        modified_s: Option<u64>,
        media_type: &str,
        charset: Option<&str>,
    ) -> Self {
        let content_type = match charset {
            Some(charset) => format!("{media_type}; charset={charset}"),
            None => media_type.to_string(),
        };
        let (etag, coding) = (validator.map(|validator| EntityTag::new(validator, "")), Coding::Identity);
        Representation {
            size,
            validator,
            etag,
            modified_s,
            content_type,
            coding,
            varies: false,
            is_compressible: false,
            cache_control: CacheControl::Unstated,
        }
    }

    /// Returns the digest of the file's bytes, if it is known.
    pub fn digest(&self) -> Option<Digest> {
        match self.validator? {
            Validator::Content(content) | Validator::HashedLater { content, .. } => Some(content),
            Validator::Identity(_) | Validator::Time { .. } | Validator::LargeIdentity(_) => None,
        }
    }

    /// Returns the same file as one of several codings: each has an entity tag of its own (RFC 9110 §8.8.3.3).
    pub fn coded(mut self, coding: Coding) -> Self {
        if coding != Coding::Identity {
            let suffix = format!("-{}", coding.token());
            self.etag = self.validator.map(|validator| EntityTag::new(validator, &suffix));
        }
        self.coding = coding;
        self.varies = true;
        self
    }

    /// Returns the same file as one that the server compresses in memory, whether the compressed content is there or not.
    pub fn compressible(mut self) -> Self {
        self.is_compressible = true;
        self.coded(Coding::Identity)
    }

    /// Returns what the server has compressed this file to: `size` bytes with the digest `content`. Its entity tag is that of a
    /// file with these bytes.
    pub fn compressed(&self, coding: Coding, size: u64, content: Digest) -> Self {
        let validator = Some(Validator::Content(content));
        Representation { size, validator, is_compressible: false, ..self.clone() }.coded(coding)
    }

    /// Returns the same file if its bytes are stored in a coding. It remains the only representation of its resource: a
    /// client that does not accept the coding gets it as well, which RFC 9110 §12.5.3 permits where there is no other.
    pub fn stored_in(mut self, coding: Coding) -> Self {
        self.coding = coding;
        self
    }

    /// Returns the same file with what caches may do with it.
    pub fn cached(mut self, cache_control: CacheControl) -> Self {
        self.cache_control = cache_control;
        self
    }

    /// Returns whether it is a page, which browsers show by itself.
    pub fn is_page(&self) -> bool {
        ["text/html", "application/xhtml+xml"].iter().any(|page| self.content_type.starts_with(page))
    }

    /// Returns Last-Modified as a time.
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified_s.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Returns the field lines that a 304 has as well (RFC 9110 §15.4.5).
    pub fn validator_fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.validator_fields_with(self.etag.as_ref().map(EntityTag::as_str))
    }

    fn validator_fields_with<'r>(&self, etag: Option<&'r str>) -> impl Iterator<Item = Field<'r>> + use<'r> {
        let modified = self.modified().map(Field::LastModified);
        let cache_control = self.cache_control.value().map(Field::CacheControl);
        cache_control.into_iter().chain(self.vary()).chain(modified).chain(etag.map(Field::ETag))
    }

    /// Returns the field lines that describe the content of a 200.
    pub fn content_fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields_of_content(self.size, &self.content_type)
    }

    fn fields_of_content<'r>(&self, length: u64, content_type: &'r str) -> impl Iterator<Item = Field<'r>> + use<'r> {
        let coding = (self.coding != Coding::Identity).then_some(Field::ContentEncoding(self.coding));
        let fields = [Field::ContentLength(length), Field::ContentType(content_type.into()), Field::AcceptRanges];
        fields.into_iter().chain(coding).chain([Field::NoSniff])
    }

    /// Returns the field that tells caches how the representation was chosen (RFC 9110 §12.5.5).
    pub fn vary(&self) -> Option<Field<'static>> {
        self.varies.then_some(Field::Vary("Accept-Encoding"))
    }

    /// Evaluates `request`, a GET or HEAD: conditions first, then ranges (RFC 9110 §13.2.2).
    pub fn evaluate(&self, request: &Request) -> Outcome {
        let fields = request.fields;
        if !fields.0.iter().any(|line| matters(line.name)) {
            return Outcome::Whole;
        }
        let selected = Selected { etag: self.etag.as_ref(), modified_s: self.modified_s };
        match condition::evaluate(fields, &selected) {
            Verdict::NotModified => return Outcome::NotModified(None),
            Verdict::NotModifiedSince(tag) => return Outcome::NotModified(Some(tag)),
            Verdict::PreconditionFailed => return Outcome::PreconditionFailed,
            Verdict::Proceed => {}
        }
        if request.method != Method::Get || !condition::range_applies(fields, &selected) {
            return Outcome::Whole;
        }
        match range::select(fields.only("Range"), self.size) {
            Selection::Whole => Outcome::Whole,
            Selection::One(range) => Outcome::Part(range),
            Selection::Several(ranges) => {
                let boundary = multipart::boundary(self.etag.as_ref().map_or("", EntityTag::as_str));
                Outcome::Parts(Multipart::new(&ranges, self.size, &self.content_type, &boundary).into())
            }
            Selection::Unsatisfiable => Outcome::Unsatisfiable,
        }
    }
}

/// Returns whether the field with this name may be a condition, or has a range.
fn matters(name: &str) -> bool {
    match name.as_bytes() {
        [b'i' | b'I', b'f' | b'F', b'-', ..] => true,
        [b'r' | b'R', ..] => syntax::is_name(name, "Range"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Limits;
    use crate::http::h1::parse;

    fn representation() -> Representation {
        let validator = Validator::Content(Digest::of(b"content"));
        Representation::new(1_000, Some(validator), Some(784_111_777), "text/html", None)
    }

    fn plan(method: &str, fields: &str) -> Outcome {
        let head = format!("{method} / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        let mut storage = parse::storage();
        let request = parse::parse(head.as_bytes(), &mut storage, &Limits::default()).unwrap().unwrap().request;
        representation().evaluate(&request)
    }

    #[test]
    fn preconditions_come_before_ranges() {
        let etag = representation().etag.unwrap();
        let etag = etag.as_str();
        assert_eq!(plan("GET", ""), Outcome::Whole);
        assert_eq!(plan("GET", "Iffy: 1\r\nRanges: bytes=0-1\r\n"), Outcome::Whole);
        assert_eq!(plan("GET", &format!("If-None-Match: {etag}\r\nRange: bytes=0-1\r\n")), Outcome::NotModified(None));
        assert_eq!(plan("HEAD", &format!("if-none-match: W/{etag}\r\n")), Outcome::NotModified(None));
        assert_eq!(plan("GET", "If-Match: \"x\"\r\nRange: bytes=0-1\r\n"), Outcome::PreconditionFailed);
        assert_eq!(plan("GET", "Range: bytes=0-1\r\n"), Outcome::Part(ByteRange { start: 0, end: 2 }));
        assert_eq!(plan("GET", "RANGE: bytes=1000-\r\n"), Outcome::Unsatisfiable);
        assert_eq!(plan("GET", "If-Range: \"x\"\r\nRange: bytes=1000-\r\n"), Outcome::Whole);
        assert!(matches!(plan("GET", "Range: bytes=0-1,900-901\r\n"), Outcome::Parts(_)));
    }

    #[test]
    fn head_has_no_ranges() {
        assert_eq!(plan("HEAD", "Range: bytes=0-1\r\n"), Outcome::Whole);
    }

    #[test]
    fn each_coding_has_a_tag_of_its_own() {
        let tag = |coding| representation().coded(coding).etag.unwrap();
        assert_eq!(Some(tag(Coding::Identity)), representation().etag);
        assert!(tag(Coding::Brotli).as_str().ends_with("-br\""));
        assert_ne!(tag(Coding::Gzip), tag(Coding::Zstd));
    }
}

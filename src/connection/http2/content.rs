//! The content of a response, and its DATA frames (RFC 9113 §6.1).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::connection::send_queue::FileSlice;
use crate::handler::Answer;
use crate::http::Outcome;
use crate::http::h2::frame::{self, END_STREAM, FrameType, write};
use crate::site::{Content, File, Resource};

/// The most content of a frame, in bytes: with its head, it fills one TLS record.
pub const FRAME_CONTENT: usize = frame::MAX_PAYLOAD_BYTES - frame::HEAD_BYTES;

/// A part of the content that is in one place.
#[derive(Debug)]
pub enum Piece {
    /// Bytes, from the one at this position on.
    Bytes(Vec<u8>, usize),
    /// A range of a file in memory.
    Memory(Arc<Resource>, usize, usize),
    /// A slice of an open file.
    File(FileSlice),
}

impl Piece {
    /// Returns the bytes that are left.
    pub fn length(&self) -> usize {
        match self {
            Piece::Bytes(bytes, at) => bytes.len() - at,
            Piece::Memory(_, begin, end) => end - begin,
            Piece::File(slice) => (slice.end - slice.offset) as usize,
        }
    }

    /// Appends up to `length` bytes that are in memory.
    fn take(&mut self, length: usize, out: &mut Vec<u8>) {
        match self {
            Piece::Bytes(bytes, at) => {
                out.extend_from_slice(&bytes[*at..*at + length]);
                *at += length;
            }
            Piece::Memory(resource, begin, _) => {
                if let Content::Memory(content) = resource.content() {
                    out.extend_from_slice(&content[*begin..*begin + length]);
                }
                *begin += length;
            }
            Piece::File(_) => {}
        }
    }
}

/// The content of a response that is not in frames yet.
#[derive(Debug, Default)]
pub struct Pieces {
    /// The piece that is next. Most responses have no other one.
    first: Option<Piece>,
    others: VecDeque<Piece>,
}

impl Pieces {
    /// Returns the content of an answer to a GET.
    pub fn of(answer: Answer) -> Self {
        let mut pieces = Pieces::default();
        match answer {
            Answer::File { resource, outcome } => pieces.push_ranges(&resource, outcome),
            Answer::Listing { listed, .. } => pieces.push_file(&listed.file, 0, listed.file.version().size(), false),
            Answer::Response { response, .. } => pieces.push(Piece::Bytes(response.content, 0)),
        }
        pieces
    }

    /// Returns whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Returns the piece that is next.
    pub fn first(&self) -> Option<&Piece> {
        self.first.as_ref()
    }

    /// Returns whether it is of an open file.
    pub fn has_file(&self) -> bool {
        self.first.iter().chain(&self.others).any(|piece| matches!(piece, Piece::File(_)))
    }

    /// Appends a frame with up to `length` bytes of the first piece, which is in memory. Returns their number.
    pub fn put_frame(&mut self, stream: u32, length: usize, out: &mut Vec<u8>) -> usize {
        let Some(piece) = &mut self.first else { return 0 };
        let length = piece.length().min(length).min(FRAME_CONTENT);
        let is_last = length == piece.length() && self.others.is_empty();
        let flags = if is_last { END_STREAM } else { 0 };
        out.extend_from_slice(&write::head(FrameType::Data, flags, stream, length));
        piece.take(length, out);
        self.drop_empty();
        length
    }

    /// Takes up to `length` bytes of the first piece, which is of an open file, to be read. Returns the slice, and whether nothing
    /// follows it.
    pub fn take_slice(&mut self, length: usize) -> Option<(FileSlice, bool)> {
        let Some(Piece::File(slice)) = &mut self.first else { return None };
        let end = slice.end.min(slice.offset + length as u64);
        let taken = FileSlice { file: slice.file.clone(), offset: slice.offset, end, has_begun: slice.has_begun };
        (slice.offset, slice.has_begun) = (end, true);
        self.drop_empty();
        Some((taken, self.is_empty()))
    }

    /// Returns a slice that was taken and not read.
    pub fn put_back(&mut self, taken: FileSlice) {
        match &mut self.first {
            Some(Piece::File(slice)) if Arc::ptr_eq(&slice.file, &taken.file) && slice.offset == taken.end => {
                slice.offset = taken.offset;
            }
            first => {
                let second = first.replace(Piece::File(taken));
                second.into_iter().for_each(|piece| self.others.push_front(piece));
            }
        }
    }

    fn drop_empty(&mut self) {
        if self.first.as_ref().is_some_and(|piece| piece.length() == 0) {
            self.first = self.others.pop_front();
        }
    }

    fn push(&mut self, piece: Piece) {
        match self.first {
            _ if piece.length() == 0 => {}
            None => self.first = Some(piece),
            Some(_) => self.others.push_back(piece),
        }
    }

    fn push_file(&mut self, file: &Arc<File>, offset: u64, end: u64, has_begun: bool) {
        self.push(Piece::File(FileSlice { file: file.clone(), offset, end, has_begun }));
    }

    fn push_range(&mut self, resource: &Arc<Resource>, start: u64, end: u64, has_begun: bool) {
        match resource.content() {
            Content::Memory(_) => self.push(Piece::Memory(resource.clone(), start as usize, end as usize)),
            Content::Disk(file) => self.push_file(file, start, end, has_begun),
        }
    }

    fn push_ranges(&mut self, resource: &Arc<Resource>, outcome: Outcome) {
        match outcome {
            Outcome::Whole => self.push_range(resource, 0, resource.representation.size, false),
            Outcome::Part(part) => self.push_range(resource, part.start, part.end, false),
            Outcome::Parts(multipart) => {
                for part in multipart.parts {
                    self.push(Piece::Bytes(part.head.into(), 0));
                    self.push_range(resource, part.range.start, part.range.end, true);
                }
                self.push(Piece::Bytes(multipart.end.into(), 0));
            }
            Outcome::NotModified(_) | Outcome::PreconditionFailed | Outcome::Unsatisfiable => {}
        }
    }
}

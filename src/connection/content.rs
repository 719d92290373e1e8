//! The head of an answer, and its content: from memory into the output, from a file into the send queue.

use std::sync::Arc;

use super::Connection;
use super::send_queue::{FileSlice, QueuedPart};
use crate::handler::{Answer, Changed};
use crate::http::h1::encode::{self, Context};
use crate::http::range::ByteRange;
use crate::http::{FieldChanges, Outcome, Scheme};
use crate::site::File;

/// Appends the head with the changes of rules.
pub fn encode_changed_head(output: &mut Vec<u8>, answer: &Answer, context: Context, changed: &Changed, scheme: Scheme) {
    let (status, fields) = (answer.status(), || changed.fields(answer));
    if let (Some(rules), Answer::File { resource, outcome: Outcome::Whole | Outcome::NotModified(None) }) =
        (&changed.rules, answer)
        && !context.is_private
        && !changed.is_rewritten
    {
        let head = rules.head(resource, status, scheme, || fields().into_owned());
        encode::begin_changed_head(output, status, context, &rules.changes);
        output.extend_from_slice(&head);
        return;
    }
    let none = FieldChanges::default();
    let changes = changed.rules.as_ref().map_or(&none, |rules| &rules.changes);
    encode::changed_head(output, status, context, &fields(), changes, scheme);
}

/// Appends the head. For a whole file and for a 304, its fields are encoded once for all requests.
pub fn encode_head(output: &mut Vec<u8>, answer: &Answer, context: Context) {
    let encoded = match answer {
        Answer::File { resource, outcome: Outcome::Whole } if !context.is_private => resource.head(),
        Answer::File { resource, outcome: Outcome::NotModified(None) } if !context.is_private => resource.validators(),
        _ => return encode::head(output, answer.status(), context, answer.fields().iter()),
    };
    encode::begin_head(output, answer.status(), context);
    output.extend_from_slice(encoded);
}

/// Appends the content of a GET for a file in memory.
pub fn append_ranges(output: &mut Vec<u8>, content: &[u8], outcome: &Outcome) {
    let range = |range: &ByteRange| &content[range.start as usize..range.end as usize];
    match outcome {
        Outcome::Whole => output.extend_from_slice(content),
        Outcome::Part(part) => output.extend_from_slice(range(part)),
        Outcome::Parts(multipart) => {
            for part in &multipart.parts {
                output.extend_from_slice(part.head.as_bytes());
                output.extend_from_slice(range(&part.range));
            }
            output.extend_from_slice(multipart.end.as_bytes());
        }
        Outcome::NotModified(_) | Outcome::PreconditionFailed | Outcome::Unsatisfiable => {}
    }
}

/// Queues the content of a GET for a file on disk, to be sent after the head.
pub fn queue_ranges(connection: &mut Connection, file: &Arc<File>, outcome: Outcome) {
    let has_begun = matches!(outcome, Outcome::Parts(_));
    let slice = |start, end| (start < end).then(|| FileSlice { file: file.clone(), offset: start, end, has_begun });
    match outcome {
        Outcome::Whole => connection.send_queue.slice = slice(0, file.version().size()),
        Outcome::Part(part) => connection.send_queue.slice = slice(part.start, part.end),
        Outcome::Parts(multipart) => {
            let parts = multipart.parts.into_iter();
            let parts =
                parts.map(|part| QueuedPart { head: part.head.into(), slice: slice(part.range.start, part.range.end) });
            let end = QueuedPart { head: multipart.end.into(), slice: None };
            connection.send_queue.parts.extend(parts.chain([end]));
        }
        Outcome::NotModified(_) | Outcome::PreconditionFailed | Outcome::Unsatisfiable => {}
    }
}

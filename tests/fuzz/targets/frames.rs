//! Frames of a client in any order: what becomes of them does not depend on how they are cut, and is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otus_httpd::http::h2::session::{Event, PREFACE, Scratch, Session};
use otus_httpd::http::{Limits, Scheme};

/// What was sent to the client, what it has asked for, and whether the connection has failed.
type Result = (Vec<u8>, Vec<String>, bool);

fn receive(parts: &[&[u8]], answers: u8) -> Result {
    let (mut out, mut scratch, mut asked) = (Vec::new(), Scratch::default(), Vec::new());
    let mut session = Session::new(Limits::default(), Scheme::Https, &mut out);
    let mut unread = PREFACE.to_vec();
    for part in parts {
        unread.extend_from_slice(part);
        // One frame after the other, so that the answers to requests come at the same place, however it is cut.
        loop {
            let mut events = Vec::new();
            let whole = frame_length(&unread).unwrap_or(unread.len());
            let result = session.receive(&unread[..whole], 0, &mut scratch, &mut out, &mut events);
            for event in events {
                match event {
                    Event::Request { stream, body, .. } => {
                        asked.push(format!("{stream} {body:?}"));
                        if stream % 4 == 1 {
                            let bytes = session.sendable_bytes(stream).min(usize::from(answers) * 100);
                            session.take_window(stream, bytes);
                            session.end(stream, true, &mut out);
                        }
                    }
                    Event::Cancelled { stream } => {
                        asked.push(format!("{stream} cancelled"));
                        session.end(stream, false, &mut out);
                    }
                }
            }
            assert!(session.streams() <= 128);
            match result {
                Err(_) => return (out, asked, true),
                Ok(0) => break,
                Ok(used) => drop(unread.drain(..used)),
            }
        }
    }
    (out, asked, false)
}

/// The length of the preface, or of the frame at the beginning.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"PRI") {
        return Some(PREFACE.len().min(bytes.len()));
    }
    let &[high, middle, low, ..] = bytes else { return None };
    let length = 9 + u32::from_be_bytes([0, high, middle, low]) as usize;
    (length <= bytes.len()).then_some(length)
}

// The first byte says where it is cut, the second how much is answered.
fuzz_target!(|input: &[u8]| {
    let Some((&[cut, answers], frames)) = input.split_first_chunk() else { return };
    let whole = receive(&[frames], answers);
    let parts: Vec<&[u8]> = frames.chunks(usize::from(cut) + 1).collect();
    let in_parts = receive(&parts, answers);
    assert!(whole == in_parts);
    assert!(whole.0.len() < 64 * 1024 + 20 * frames.len());
});

//! The priorities that arrive before their streams (RFC 9218 §7).

use super::super::ErrorCode;
use super::super::priority::Priority;
use super::super::stream::MAX_STREAMS;
use super::{Handled, Session, fatal};

/// The limit of priorities that are kept for streams that are not open yet.
const MAX_PRIORITIES: usize = MAX_STREAMS;

impl Session {
    pub(super) fn set_priority(&mut self, id: u32, priority: Priority) -> Handled {
        if id.is_multiple_of(2) {
            return Err(fatal(ErrorCode::ProtocolError, "a priority is for a stream that a client cannot open"));
        }
        if let Some(stream) = self.streams.get(id) {
            stream.priority = Some(priority);
        } else if id > self.last_stream {
            self.priorities.retain(|(known, _)| *known != id);
            if self.priorities.len() < MAX_PRIORITIES {
                self.priorities.push((id, priority));
            }
        }
        Ok(())
    }

    /// Returns the priority that was sent before the stream was opened, and forgets those of streams that cannot be opened any more.
    pub(super) fn take_priority(&mut self, id: u32) -> Option<Priority> {
        let priority = self.priorities.iter().find(|(known, _)| *known == id).map(|(_, priority)| *priority);
        self.priorities.retain(|(known, _)| *known > id);
        priority
    }
}

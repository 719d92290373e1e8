//! Which stream sends next (RFC 9218 §10).

use super::priority::Priority;

/// One of so many turns goes to a stream of a lower urgency, so that none waits forever.
const TURNS: u32 = 16;

/// The order of the streams of a connection.
#[derive(Debug, Default)]
pub struct Scheduler {
    turns: u32,
    /// The incremental stream that has sent last.
    last_incremental: u32,
}

impl Scheduler {
    /// Returns the stream that sends next, of those that have something to send and a window for it; none if there are none.
    ///
    /// The most urgent ones come first; of them, those that are not incremental, in the order of their numbers, and then the
    /// incremental ones in turn.
    pub fn next(&mut self, streams: impl Iterator<Item = (u32, Priority)> + Clone) -> Option<u32> {
        let urgency = streams.clone().map(|(_, priority)| priority.urgency).min()?;
        let next = self.lower(streams.clone(), urgency).unwrap_or_else(|| self.of_urgency(streams, urgency));
        self.turns = self.turns.wrapping_add(1);
        Some(next)
    }

    /// Returns a less urgent stream, if it is their turn: one after the other.
    fn lower(&self, streams: impl Iterator<Item = (u32, Priority)> + Clone, urgency: u8) -> Option<u32> {
        if self.turns % TURNS != TURNS - 1 {
            return None;
        }
        let lower = streams.filter(|(_, priority)| priority.urgency > urgency);
        let count = lower.clone().count() as u32;
        let number = (self.turns / TURNS).checked_rem(count)?;
        lower.map(|(id, _)| id).nth(number as usize)
    }

    fn of_urgency(&mut self, streams: impl Iterator<Item = (u32, Priority)> + Clone, urgency: u8) -> u32 {
        let equal = streams.filter(|(_, priority)| priority.urgency == urgency);
        if let Some((id, _)) = equal.clone().filter(|(_, priority)| !priority.incremental).min_by_key(|(id, _)| *id) {
            return id;
        }
        let ids = equal.map(|(id, _)| id);
        let following = ids.clone().filter(|id| *id > self.last_incremental).min();
        let next = following.or_else(|| ids.min()).unwrap_or_default();
        self.last_incremental = next;
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first streams that send, if all have enough to send.
    fn order(streams: &[(u32, &str)], count: usize) -> Vec<u32> {
        let streams: Vec<_> = streams.iter().map(|(id, text)| (*id, Priority::parse(text.as_bytes()))).collect();
        let mut scheduler = Scheduler::default();
        (0..count).map(|_| scheduler.next(streams.iter().copied()).unwrap()).collect()
    }

    #[test]
    fn urgent_streams_come_first_and_incremental_ones_take_turns() {
        assert_eq!(order(&[(1, ""), (3, "u=1"), (5, "u=1")], 3), [3, 3, 3]);
        assert_eq!(order(&[(1, "i"), (3, "i"), (5, "i")], 5), [1, 3, 5, 1, 3]);
        assert_eq!(order(&[(1, "i"), (3, ""), (5, "i")], 3), [3, 3, 3]);
        assert_eq!(order(&[(9, "u=5"), (7, "u=5")], 2), [7, 7]);
        assert_eq!(Scheduler::default().next([].into_iter()), None);
    }

    #[test]
    fn one_turn_of_sixteen_is_for_those_that_are_less_urgent() {
        let order = order(&[(1, "u=0"), (3, "u=7"), (5, "u=3, i")], 64);
        assert_eq!(order.iter().filter(|id| **id == 1).count(), 60);
        assert_eq!([15, 31, 47, 63].map(|turn| order[turn]), [3, 5, 3, 5]);
    }
}

//! The dynamic table: the field lines that the client has added, the newest first (RFC 7541 §2.3.2, §4).

use std::collections::VecDeque;

/// What an entry takes besides its name and value, in bytes (RFC 7541 §4.1).
const ENTRY_BYTES: usize = 32;

/// A dynamic table.
#[derive(Debug)]
pub struct DynamicTable {
    /// The newest first.
    entries: VecDeque<Entry>,
    /// Names and values, the oldest first, each entry in one piece.
    bytes: Vec<u8>,
    /// The position of the first of `bytes`: positions are counted from the beginning of the connection.
    base: u32,
    /// The size as RFC 7541 §4.1 counts it.
    size: usize,
    max_size: usize,
    /// The maximum size at the beginning, which is never exceeded.
    largest_size: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    position: u32,
    name: u16,
    value: u16,
}

impl DynamicTable {
    /// Creates an empty table of at most `max_size` bytes.
    pub fn new(max_size: u16) -> Self {
        let max_size = usize::from(max_size);
        DynamicTable { entries: VecDeque::new(), bytes: Vec::new(), base: 0, size: 0, max_size, largest_size: max_size }
    }

    /// Returns name and value of an entry; 0 is the newest one.
    pub fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entries.get(index)?;
        let begin = entry.position.wrapping_sub(self.base) as usize;
        let bytes = &self.bytes[begin..begin + entry.bytes()];
        Some(bytes.split_at(usize::from(entry.name)))
    }

    /// Adds an entry, and removes the oldest ones for which there is no more room. One that is larger than the table empties it.
    pub fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + ENTRY_BYTES;
        self.shrink_to(self.max_size.saturating_sub(size));
        if size > self.max_size {
            return;
        }
        self.make_room(name.len() + value.len());
        let position = self.base.wrapping_add(self.bytes.len() as u32);
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        // Both are shorter than the table, which has at most 2^16 bytes.
        self.entries.push_front(Entry { position, name: name.len() as u16, value: value.len() as u16 });
        self.size += size;
    }

    /// Makes room for the bytes of an entry at the end: never more than the largest table takes.
    fn make_room(&mut self, bytes: usize) {
        if self.bytes.len() + bytes <= self.bytes.capacity() {
            return;
        }
        let oldest =
            self.entries.back().map_or(self.bytes.len(), |entry| entry.position.wrapping_sub(self.base) as usize);
        self.bytes.drain(..oldest);
        self.base = self.base.wrapping_add(oldest as u32);
        let needed = self.bytes.len() + bytes;
        // If the half is free now, it is worth it to have moved the rest.
        if needed > self.bytes.capacity() / 2 {
            let capacity = (2 * needed).min(self.largest_size).max(needed);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
    }

    /// Changes the maximum size, and removes the oldest entries for which there is no more room.
    pub fn resize(&mut self, max_size: usize) {
        self.max_size = max_size;
        self.shrink_to(max_size);
    }

    fn shrink_to(&mut self, size: usize) {
        while self.size > size
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.bytes() + ENTRY_BYTES;
        }
    }
}

impl Entry {
    fn bytes(self) -> usize {
        usize::from(self.name) + usize::from(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of the same kind without any care for memory.
    #[derive(Default)]
    struct Model(VecDeque<(Vec<u8>, Vec<u8>)>);

    impl Model {
        fn insert(&mut self, name: &[u8], value: &[u8], max_size: usize) {
            self.0.push_front((name.to_vec(), value.to_vec()));
            self.shrink(max_size);
        }

        fn shrink(&mut self, max_size: usize) {
            let size = |model: &Model| model.0.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>();
            while size(self) > max_size {
                self.0.pop_back();
            }
        }
    }

    #[test]
    fn entries_are_those_of_a_simple_model() {
        let (mut table, mut model, mut state, mut max_size) = (DynamicTable::new(4096), Model::default(), 7u64, 4096);
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        // Positions wrap around at 2^32.
        (table.base, table.bytes) = (u32::MAX - 500, Vec::new());
        for _ in 0..20_000 {
            if random(50) == 0 {
                max_size = random(4097) as usize;
                table.resize(max_size);
                model.shrink(max_size);
            }
            let longest = if random(20) == 0 { 5_000 } else { 60 };
            let (name, value) =
                (vec![random(256) as u8; random(longest) as usize], vec![b'v'; random(longest) as usize]);
            table.insert(&name, &value);
            model.insert(&name, &value, max_size);
            for (index, (name, value)) in model.0.iter().enumerate() {
                assert_eq!(table.get(index), Some((&name[..], &value[..])));
            }
            assert_eq!(table.get(model.0.len()), None);
            assert!(table.bytes.capacity() <= 4096);
        }
    }
}

//! The targets of all links of a site, and the first places of each.

use std::collections::HashMap;

/// The limit of the memory for targets, in bytes. Links beyond it are counted and not checked.
const MAX_BYTES: usize = 256 << 20;

/// The memory that an entry takes besides its text, in bytes.
const ENTRY_BYTES: usize = 128;

/// The length of a target in bytes that the server rejects by default (414).
const MAX_LENGTH: usize = 8 << 10;

/// The number of places that are kept of each target.
const KEPT: usize = 3;

/// A place: the number of a document, and the line.
pub type Place = (u32, u32);

/// The targets, with their places.
#[derive(Debug, Default)]
pub struct Targets {
    places: HashMap<String, Places>,
    bytes: usize,
    /// Links that were not kept.
    pub left_out: u64,
}

/// The places of a target.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Places {
    /// The first ones, in order.
    pub first: Vec<Place>,
    /// The number of all.
    pub count: u64,
}

impl Targets {
    /// Adds a link to `target`. The order in which places are added does not matter.
    pub fn add(&mut self, target: String, place: Place) {
        if let Some(places) = self.places.get_mut(&target) {
            places.add(place);
            return;
        }
        let bytes = target.len() + ENTRY_BYTES;
        if target.len() > MAX_LENGTH || self.bytes + bytes > MAX_BYTES {
            self.left_out += 1;
            return;
        }
        self.bytes += bytes;
        self.places.entry(target).or_default().add(place);
    }

    /// Returns the targets in an arbitrary order.
    pub fn into_all(self) -> Vec<(String, Places)> {
        self.places.into_iter().collect()
    }
}

impl Places {
    fn add(&mut self, place: Place) {
        self.count += 1;
        let at = self.first.partition_point(|first| *first <= place);
        if at < KEPT {
            self.first.truncate(KEPT - 1);
            self.first.insert(at, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_places_whatever_the_order() {
        let places: [Place; 6] = [(1, 1), (1, 2), (2, 1), (3, 1), (4, 1), (5, 1)];
        for rotation in 0..places.len() {
            let mut targets = Targets::default();
            let mut order = places;
            order.rotate_left(rotation);
            order.into_iter().for_each(|place| targets.add("/a".into(), place));
            let expected = Places { first: places[..3].to_vec(), count: 6 };
            assert_eq!(targets.into_all(), [("/a".to_string(), expected)]);
        }
    }

    #[test]
    fn a_target_that_no_server_takes_is_counted() {
        let mut targets = Targets::default();
        targets.add("/".repeat(MAX_LENGTH + 1), (1, 1));
        assert_eq!((targets.left_out, targets.into_all().len()), (1, 0));
    }
}

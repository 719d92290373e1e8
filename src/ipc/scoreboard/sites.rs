//! The counts of many sites, requests and bytes: those of the first sites in use by name, those of all others together.
//!
//! Each worker has a table of its own, since it may write no other memory, and the supervisor adds them by name. A compromised
//! worker can write any name: a reader checks it, and the number of names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::CLASSES;
use crate::dns_name::{self, MAX_NAME_BYTES};

/// The limit of sites that have counts of their own.
pub const MAX_SITES: usize = 1_000;

/// The index of the bytes that were sent for a site, after its requests by class.
pub const BYTES: usize = CLASSES.len();
const COUNTS: usize = BYTES + 1;

/// A name is padded with zeroes.
const NAME_WORDS: usize = (MAX_NAME_BYTES + 1).div_ceil(8);
const SLOT_WORDS: usize = NAME_WORDS + COUNTS;

/// The size of a table: the sites, then the counts of all others.
pub(super) const WORDS: usize = MAX_SITES * SLOT_WORDS + COUNTS;

/// Where a site is counted: the index of its first count in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteSlot(u32);

/// The slot of all sites that have none of their own.
const OTHER: SiteSlot = SiteSlot((MAX_SITES * SLOT_WORDS) as u32);

/// Requests of a site by [class](CLASSES), and [`BYTES`].
pub type SiteCounts = [u64; COUNTS];

/// The counts of all sites.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SiteTotals {
    /// Those of the first [`MAX_SITES`].
    pub by_name: BTreeMap<String, SiteCounts>,
    /// Those of the others.
    pub other: SiteCounts,
}

/// Returns the slot of the site `name` in a table of this process. It is taken if the site has none and one is free.
pub(super) fn slot(table: &[AtomicU64], name: &str) -> SiteSlot {
    static TAKING: Mutex<()> = Mutex::new(());
    let _taking = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let name = words(name);
    for index in 0..MAX_SITES {
        let slot = &table[index * SLOT_WORDS..][..NAME_WORDS];
        if slot[0].load(Relaxed) == 0 {
            // The first word, by which a reader knows that there is a name, is the last.
            slot.iter().zip(name).rev().for_each(|(word, value)| word.store(value, Relaxed));
            return SiteSlot::at(index);
        }
        if slot.iter().zip(name).all(|(word, value)| word.load(Relaxed) == value) {
            return SiteSlot::at(index);
        }
    }
    OTHER
}

/// Adds to a count of a site in a table of this process.
pub(super) fn add(table: &[AtomicU64], slot: SiteSlot, index: usize, count: u64) {
    table[slot.0 as usize + index].fetch_add(count, Relaxed);
}

/// Adds the counts in a table, of which `word` returns each word.
pub(super) fn read(word: impl Fn(usize) -> u64, sum: &mut SiteTotals) {
    let all = |slot: SiteSlot| -> SiteCounts { std::array::from_fn(|index| word(slot.0 as usize + index)) };
    for number in 0..MAX_SITES {
        let begin = number * SLOT_WORDS;
        if word(begin) == 0 {
            break;
        }
        let bytes: Vec<u8> = (begin..begin + NAME_WORDS).flat_map(|index| word(index).to_ne_bytes()).collect();
        let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let name = std::str::from_utf8(&bytes[..length]).ok().filter(|name| dns_name::is_name(name));
        let is_full = sum.by_name.len() >= MAX_SITES;
        let into = match name.filter(|name| !is_full || sum.by_name.contains_key(*name)) {
            Some(name) => sum.by_name.entry(name.into()).or_default(),
            None => &mut sum.other,
        };
        increase(into, all(SiteSlot::at(number)));
    }
    increase(&mut sum.other, all(OTHER));
}

/// Adds the counts of another table to one of this process.
pub(super) fn absorb(table: &[AtomicU64], word: impl Fn(usize) -> u64) {
    let mut sum = SiteTotals::default();
    read(word, &mut sum);
    let named = sum.by_name.iter().map(|(name, counts)| (slot(table, name), counts));
    for (slot, counts) in named.chain([(OTHER, &sum.other)]) {
        counts.iter().enumerate().for_each(|(index, count)| add(table, slot, index, *count));
    }
}

impl SiteSlot {
    /// Returns the slot of the site with this number in a table.
    fn at(number: usize) -> Self {
        SiteSlot((number * SLOT_WORDS + NAME_WORDS) as u32)
    }
}

/// A compromised worker may report any value.
fn increase(sum: &mut SiteCounts, by: SiteCounts) {
    sum.iter_mut().zip(by).for_each(|(sum, by)| *sum = sum.wrapping_add(by));
}

fn words(name: &str) -> [u64; NAME_WORDS] {
    let mut bytes = [0; NAME_WORDS * 8];
    bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    std::array::from_fn(|index| u64::from_ne_bytes(std::array::from_fn(|byte| bytes[index * 8 + byte])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Vec<AtomicU64> {
        (0..WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    fn requests(tables: &[&[AtomicU64]]) -> SiteTotals {
        let mut sum = SiteTotals::default();
        tables.iter().for_each(|table| read(|index| table[index].load(Relaxed), &mut sum));
        sum
    }

    #[test]
    fn the_requests_of_workers_are_added_by_name() {
        let (first, second, longest) = (table(), table(), format!("{}a", "a.".repeat(MAX_NAME_BYTES / 2)));
        for (table, name, class) in [
            (&first, "b.test", 0),
            (&first, "a.test", 0),
            (&second, "a.test", 2),
            (&first, "a.test", 0),
            (&first, &longest, 3),
        ] {
            add(table, slot(table, name), class, 1);
        }
        add(&first, slot(&first, &longest), BYTES, 7);
        let expected = [("a.test", [2, 0, 1, 0, 0]), (&longest, [0, 0, 0, 1, 7]), ("b.test", [1, 0, 0, 0, 0])];
        let expected = expected.map(|(name, counts)| (name.to_string(), counts));
        let sum = requests(&[&first, &second]);
        assert_eq!((sum.by_name, sum.other), (expected.into(), [0; 5]));
        absorb(&second, |index| first[index].load(Relaxed));
        assert_eq!(requests(&[&second]), requests(&[&first, &table_of("a.test", 2)]));
    }

    fn table_of(name: &str, class: usize) -> Vec<AtomicU64> {
        let table = table();
        add(&table, slot(&table, name), class, 1);
        table
    }

    #[test]
    fn beyond_the_limit_sites_are_counted_together() {
        let (table, mut other) = (table(), table());
        for number in 0..MAX_SITES + 5 {
            add(&table, slot(&table, &format!("{number}.test")), 1, 1);
        }
        let sum = requests(&[&table]);
        assert_eq!((sum.by_name.len(), sum.other), (MAX_SITES, [0, 5, 0, 0, 0]));
        assert_eq!(slot(&table, "0.test"), SiteSlot::at(0));
        // Those of a worker with other names, or with any bytes.
        add(&other, slot(&other, "x.test"), 0, 1);
        let sum = requests(&[&table, &other]);
        assert_eq!((sum.by_name.len(), sum.other), (MAX_SITES, [1, 5, 0, 0, 0]));
        other.iter_mut().for_each(|word| *word.get_mut() = u64::MAX);
        let sum = requests(&[&other]);
        assert!(sum.by_name.is_empty() && sum.other != [0; 5]);
    }
}

//! The order of a listing, which the query of a request selects: `?sort=size&order=desc`.

use std::cmp::Ordering;
use std::time::UNIX_EPOCH;

use super::DirEntry;
use super::natural::NaturalKey;

/// A column that a listing may be sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Column {
    /// The name, in natural order.
    #[default]
    Name,
    /// The size of files.
    Size,
    /// The modification time.
    Time,
}

/// The order of a listing. Directories come first in each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Order {
    /// The column.
    pub by: Column,
    /// Whether the largest or latest comes first.
    pub is_descending: bool,
}

impl Column {
    /// All columns, as they appear in a listing.
    pub const ALL: [Column; 3] = [Column::Name, Column::Size, Column::Time];

    /// Its name in a query.
    pub fn parameter(self) -> &'static str {
        match self {
            Column::Name => "name",
            Column::Size => "size",
            Column::Time => "time",
        }
    }

    /// The order that a reader wants first: names from A, the largest size, the latest time.
    pub fn first_order(self) -> Order {
        Order { by: self, is_descending: self != Column::Name }
    }
}

impl Order {
    /// Returns the order that `query` selects. What it does not know, it ignores: there are six orders, however many
    /// queries a client sends.
    pub fn of(query: Option<&str>) -> Self {
        let parameters = || query.unwrap_or_default().split('&').filter_map(|parameter| parameter.split_once('='));
        let value = |name| parameters().find(|(found, _)| *found == name).map(|(_, value)| value);
        let by = Column::ALL.into_iter().find(|column| value("sort") == Some(column.parameter()));
        let first = by.unwrap_or_default().first_order();
        match value("order") {
            Some("asc") => Order { is_descending: false, ..first },
            Some("desc") => Order { is_descending: true, ..first },
            _ => first,
        }
    }

    /// Returns the query that selects it.
    pub fn query(self) -> String {
        format!("?sort={}&order={}", self.by.parameter(), if self.is_descending { "desc" } else { "asc" })
    }

    /// Returns the order for a click on `column`: its reverse if it is sorted by that, otherwise the column's first.
    pub fn after_click(self, column: Column) -> Self {
        match self.by == column {
            true => Order { is_descending: !self.is_descending, ..self },
            false => column.first_order(),
        }
    }

    /// Sorts the entries, each with its position in the order of names. Entries that are equal are sorted by name.
    pub fn sort(self, entries: Vec<DirEntry>) -> Vec<(usize, DirEntry)> {
        let mut sorted: Vec<_> = by_name(entries).into_iter().enumerate().collect();
        // The sort is stable.
        sorted.sort_by(|(a_rank, a), (b_rank, b)| {
            let order = match self.by {
                Column::Name => a_rank.cmp(b_rank),
                Column::Size => size(a).cmp(&size(b)),
                Column::Time => seconds(a).cmp(&seconds(b)),
            };
            let order = if self.is_descending { order.reverse() } else { order };
            directories_first(a, b).then(order)
        });
        sorted
    }
}

/// Sorts by name: directories first.
fn by_name(mut entries: Vec<DirEntry>) -> Vec<DirEntry> {
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    // The sort is stable: names with equal keys remain sorted by their bytes.
    entries.sort_by_cached_key(|entry| (!entry.is_directory, NaturalKey::of(&entry.name)));
    entries
}

/// Compares two entries so that directories come first.
pub fn directories_first(a: &DirEntry, b: &DirEntry) -> Ordering {
    b.is_directory.cmp(&a.is_directory)
}

/// The size that the page shows: a directory has none.
fn size(entry: &DirEntry) -> u64 {
    if entry.is_directory { 0 } else { entry.size }
}

/// The time as exactly as the page has it, for its script.
fn seconds(entry: &DirEntry) -> u64 {
    entry.modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_query_selects_one_of_six_orders() {
        let check = |query: Option<&str>, by, is_descending| {
            assert_eq!(Order::of(query), Order { by, is_descending }, "{query:?}");
        };
        check(None, Column::Name, false);
        for column in Column::ALL {
            for is_descending in [false, true] {
                let order = Order { by: column, is_descending };
                check(order.query().strip_prefix('?'), column, is_descending);
            }
        }
        check(Some(""), Column::Name, false);
        check(Some("sort=size"), Column::Size, true);
        check(Some("sort=time"), Column::Time, true);
        check(Some("order=desc"), Column::Name, true);
        check(Some("order=asc&sort=time"), Column::Time, false);
        check(Some("x=1&sort=size&y&order=asc&sort=name"), Column::Size, false);
        check(Some("sort=owner&order=up"), Column::Name, false);
        check(Some("Sort=size&sort=SIZE&sort=%73ize"), Column::Name, false);
        check(Some("=&&&==sort=size"), Column::Name, false);
    }

    #[test]
    fn a_click_reverses_the_column_or_selects_another() {
        let name = Order::default();
        assert_eq!(name.after_click(Column::Name).query(), "?sort=name&order=desc");
        assert_eq!(name.after_click(Column::Size).query(), "?sort=size&order=desc");
        let size = name.after_click(Column::Size);
        assert_eq!(size.after_click(Column::Size).query(), "?sort=size&order=asc");
        assert_eq!(size.after_click(Column::Name), name);
    }

    #[test]
    fn directories_come_first_and_equal_entries_by_name() {
        let entry = |name: &str, is_directory, size, seconds: u64| DirEntry {
            name: name.into(),
            is_directory,
            size,
            modified: UNIX_EPOCH + Duration::from_millis(seconds * 1000 + size % 7),
        };
        let entries = [
            entry("b10", false, 5, 3),
            entry("B9", false, 50, 2),
            entry("a", false, 5, 2),
            entry("dir2", true, 7, 9),
            entry("dir10", true, 8, 1),
            entry("b11", false, 0, 1),
        ];
        let check = |query: &str, expected: &[&str]| {
            let sorted = Order::of(Some(query)).sort(entries.to_vec());
            let names: Vec<_> = sorted.iter().map(|(_, entry)| String::from_utf8_lossy(&entry.name)).collect();
            assert_eq!(names, expected, "{query}");
            let ranks = ["dir2", "dir10", "a", "B9", "b10", "b11"];
            assert!(sorted.iter().all(|(rank, entry)| ranks[*rank].as_bytes() == entry.name), "{sorted:?}");
        };
        check("sort=name&order=asc", &["dir2", "dir10", "a", "B9", "b10", "b11"]);
        check("sort=name&order=desc", &["dir10", "dir2", "b11", "b10", "B9", "a"]);
        check("sort=size&order=asc", &["dir2", "dir10", "b11", "a", "b10", "B9"]);
        check("sort=size&order=desc", &["dir2", "dir10", "B9", "a", "b10", "b11"]);
        check("sort=time&order=asc", &["dir10", "dir2", "b11", "a", "B9", "b10"]);
        check("sort=time&order=desc", &["dir2", "dir10", "b10", "a", "B9", "b11"]);
    }
}

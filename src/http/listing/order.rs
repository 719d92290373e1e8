//! The order of a listing, which the query of a request selects: `?sort=size&order=desc`.

use std::cmp::Ordering;

use super::{DirEntry, Listing, natural};

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

    /// Returns the entries in this order. Entries that are equal are sorted by name.
    pub fn sort(self, listing: &Listing) -> Vec<Place> {
        let mut places = by_name(listing);
        if self == Order::default() {
            return places;
        }
        places.sort_unstable_by(|a_place, b_place| {
            let (a, b) = (listing.entry(a_place.index()), listing.entry(b_place.index()));
            let order = match self.by {
                Column::Name => a_place.rank.cmp(&b_place.rank),
                Column::Size => size(a).cmp(&size(b)),
                Column::Time => a.modified_s.cmp(&b.modified_s),
            };
            let order = if self.is_descending { order.reverse() } else { order };
            directories_first(a, b).then(order).then(a_place.rank.cmp(&b_place.rank))
        });
        places
    }
}

/// The place of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The position in the order of names.
    pub rank: u32,
    /// The index of the entry in the listing.
    entry: u32,
}

impl Place {
    /// Returns the index of the entry in the listing.
    pub fn index(self) -> usize {
        self.entry as usize
    }
}

/// The entries by name: directories first. The bytes decide if nothing else does.
fn by_name(listing: &Listing) -> Vec<Place> {
    let mut places: Vec<_> = (0..listing.len() as u32).map(|entry| Place { rank: 0, entry }).collect();
    places.sort_unstable_by(|a, b| {
        let (a, b) = (listing.entry(a.index()), listing.entry(b.index()));
        directories_first(a, b).then_with(|| natural::compare(a.name, b.name)).then_with(|| a.name.cmp(b.name))
    });
    for (place, rank) in places.iter_mut().zip(0..) {
        place.rank = rank;
    }
    places
}

/// Compares two entries so that directories come first.
pub fn directories_first(a: DirEntry, b: DirEntry) -> Ordering {
    b.is_directory.cmp(&a.is_directory)
}

/// The size that the page shows: a directory has none.
fn size(entry: DirEntry) -> u64 {
    if entry.is_directory { 0 } else { entry.size }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut listing = Listing::default();
        for (name, is_directory, size, modified_s) in [
            ("b10", false, 5, 3),
            ("B9", false, 50, 2),
            ("a", false, 5, 2),
            ("dir2", true, 7, 9),
            ("dir10", true, 8, 1),
            ("b11", false, 0, 1),
        ] {
            listing.push(DirEntry { name: name.as_bytes(), is_directory, size, modified_s });
        }
        let check = |query: &str, expected: &[&str]| {
            let sorted = Order::of(Some(query)).sort(&listing);
            let name = |place: &Place| String::from_utf8_lossy(listing.entry(place.index()).name);
            let names: Vec<_> = sorted.iter().map(name).collect();
            assert_eq!(names, expected, "{query}");
            let ranks = ["dir2", "dir10", "a", "B9", "b10", "b11"];
            assert!(sorted.iter().all(|place| ranks[place.rank as usize] == name(place)), "{sorted:?}");
        };
        check("sort=name&order=asc", &["dir2", "dir10", "a", "B9", "b10", "b11"]);
        check("sort=name&order=desc", &["dir10", "dir2", "b11", "b10", "B9", "a"]);
        check("sort=size&order=asc", &["dir2", "dir10", "b11", "a", "b10", "B9"]);
        check("sort=size&order=desc", &["dir2", "dir10", "B9", "a", "b10", "b11"]);
        check("sort=time&order=asc", &["dir10", "dir2", "b11", "a", "B9", "b10"]);
        check("sort=time&order=desc", &["dir2", "dir10", "b10", "a", "B9", "b11"]);
    }
}

//! The natural order of names: `file2` before `file10`, and `b` after `A`.

use std::cmp::Ordering;

/// The key of a name in the natural order: runs of digits are numbers, letters count without their case. Names with equal
/// keys are sorted by their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NaturalKey(String);

impl NaturalKey {
    /// Returns the key of `name`.
    pub fn of(name: &[u8]) -> Self {
        NaturalKey(String::from_utf8_lossy(name).to_lowercase())
    }
}

impl Ord for NaturalKey {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl PartialOrd for NaturalKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares number by number and byte by byte. Numbers of equal value are equal, whatever zeros they begin with: only if
/// nothing else differs, the bytes decide.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    loop {
        let order = match (rest_a, rest_b) {
            ([], []) => return a.cmp(b),
            ([], _) => return Ordering::Less,
            (_, []) => return Ordering::Greater,
            ([x, ..], [y, ..]) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (number_a, number_b) = (take_number(&mut rest_a), take_number(&mut rest_b));
                // Without zeros in front, the longer number is the larger one.
                number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b))
            }
            ([x, after_a @ ..], [y, after_b @ ..]) => {
                (rest_a, rest_b) = (after_a, after_b);
                x.cmp(y)
            }
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Takes the digits at the beginning of `rest`, and returns them without the zeros in front.
fn take_number<'n>(rest: &mut &'n [u8]) -> &'n [u8] {
    let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sorted: &[&str]) {
        for (at, a) in sorted.iter().enumerate() {
            for (other, b) in sorted.iter().enumerate() {
                let order = NaturalKey::of(a.as_bytes()).cmp(&NaturalKey::of(b.as_bytes()));
                assert_eq!(order, at.cmp(&other), "{a} and {b}");
            }
        }
    }

    #[test]
    fn numbers_by_value() {
        check(&["file", "file1", "file2", "file2b", "file10", "file10.txt", "file100"]);
        check(&["1.2.9", "1.2.10", "1.10.1", "2.0"]);
        check(&["0", "00", "001", "01", "1", "2"]);
        check(&["a0b", "a1", "a01a", "a1b", "a01c"]);
        check(&["1", "18446744073709551615", "18446744073709551616", "99999999999999999999999999"]);
        check(&["-", "1", "a", "a-", "a1", "aa"]);
    }

    #[test]
    fn letters_without_their_case() {
        check(&["a", "B", "c", "README", "src", "Zebra", "Äpfel", "ärger", "б", "В", "г"]);
        assert_eq!(NaturalKey::of(b"README"), NaturalKey::of(b"readme"));
    }

    #[test]
    fn bytes_that_are_not_utf8_have_a_place() {
        assert!(NaturalKey::of(b"\xff") > NaturalKey::of(b"z"));
        assert_eq!(NaturalKey::of(b""), NaturalKey::of(b""));
    }

    /// A sort panics on, or is confused by, an order that is none.
    #[test]
    fn it_is_an_order() {
        let parts = ["", "0", "00", "1", "01", "10", "a", "A", "-"];
        let names: Vec<_> =
            parts.iter().flat_map(|a| parts.map(|b| parts.map(|c| format!("{a}{b}{c}")))).flatten().collect();
        let keys: Vec<_> = names.iter().map(|name| NaturalKey::of(name.as_bytes())).collect();
        let mut sorted = keys.clone();
        sorted.sort();
        for (at, a) in sorted.iter().enumerate() {
            for b in &sorted[at..] {
                assert!(a.cmp(b).is_le() && b.cmp(a).is_ge(), "{a:?} {b:?}");
            }
        }
    }
}

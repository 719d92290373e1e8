//! The natural order of names: `file2` before `file10`, and `b` after `A`.

use std::cmp::Ordering;

/// Compares two names in the natural order: runs of digits are numbers, letters count without their case. Bytes that are not
/// UTF-8 are U+FFFD. The bytes of names that are equal in it decide elsewhere.
///
/// It needs no memory: a sort by keys would have one of each name.
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    loop {
        let order = match (rest_a, rest_b) {
            ([], _) | (_, []) => return rest_a.len().cmp(&rest_b.len()),
            ([x, ..], [y, ..]) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (number_a, number_b) = (take_number(&mut rest_a), take_number(&mut rest_b));
                // Without zeros in front, the longer number is the larger one.
                number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b))
            }
            ([x, after_a @ ..], [y, after_b @ ..]) if x.is_ascii() && y.is_ascii() => {
                (rest_a, rest_b) = (after_a, after_b);
                x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase())
            }
            _ => take_char(&mut rest_a).to_lowercase().cmp(take_char(&mut rest_b).to_lowercase()),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Takes the character at the beginning of `rest`, which is not empty.
fn take_char(rest: &mut &[u8]) -> char {
    // No character has more bytes.
    let chunk = rest[..rest.len().min(4)].utf8_chunks().next();
    let (char, length) = chunk.map_or((None, 1), |chunk| {
        let char = chunk.valid().chars().next();
        (char, char.map_or(chunk.invalid().len(), char::len_utf8))
    });
    *rest = &rest[length..];
    char.unwrap_or(char::REPLACEMENT_CHARACTER)
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
                assert_eq!(compare(a.as_bytes(), b.as_bytes()), at.cmp(&other), "{a} and {b}");
            }
        }
    }

    #[test]
    fn numbers_by_value() {
        check(&["file", "file1", "file2", "file2b", "file10", "file10.txt", "file100"]);
        check(&["1.2.9", "1.2.10", "1.10.1", "2.0"]);
        check(&["0", "1", "2"]);
        check(&["a0b", "a1", "a01a", "a1b", "a01c"]);
        check(&["1", "18446744073709551615", "18446744073709551616", "99999999999999999999999999"]);
        check(&["-", "1", "a", "a-", "a1", "aa"]);
    }

    #[test]
    fn letters_without_their_case() {
        check(&["a", "B", "c", "README", "src", "Zebra", "Äpfel", "ärger", "б", "В", "г"]);
        check(&["a", "\u{130}", "j\u{212a}", "l", "ÿ\u{fffd}", "ÿ\u{10000}"]);
        for (a, b) in [("README", "readme"), ("\u{212a}", "k"), ("Ä1", "ä01"), ("00", "0"), ("001", "1")] {
            assert!(compare(a.as_bytes(), b.as_bytes()).is_eq(), "{a} and {b}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_have_a_place() {
        assert!(compare(b"\xff", b"z").is_gt() && compare(b"", b"").is_eq());
        // A sequence that is cut off is one U+FFFD, as in the page.
        assert!(compare(b"\xe2\x82a", "\u{fffd}a".as_bytes()).is_eq());
        assert!(compare(b"\xe2\x82", b"\xf0\x9f\x98").is_eq() && compare(b"\xff\xff", b"\xff").is_gt());
    }

    /// A sort panics on, or is confused by, an order that is none.
    #[test]
    fn it_is_an_order() {
        let parts = ["", "0", "00", "1", "01", "10", "a", "A", "-", "İ", "i", "\u{212a}"];
        let names: Vec<_> =
            parts.iter().flat_map(|a| parts.map(|b| parts.map(|c| format!("{a}{b}{c}")))).flatten().collect();
        let names: Vec<_> = names.iter().map(|name| name.as_bytes()).collect();
        let mut sorted = names.clone();
        sorted.sort_by(|a, b| compare(a, b));
        for (at, a) in sorted.iter().enumerate() {
            for b in &sorted[at..] {
                assert!(compare(a, b).is_le() && compare(b, a).is_ge(), "{a:?} {b:?}");
            }
        }
    }
}

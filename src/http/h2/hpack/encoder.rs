//! The encoder of field sections: lines of the static table, and literals that are not indexed (RFC 7541 §6.1, §6.2.2).

use super::static_table::STATIC_TABLE;
use super::{huffman, integer};

/// Appends a field line. `name` is in lower case (RFC 9113 §8.2).
pub fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let mut with_name = STATIC_TABLE.iter().zip(1..).filter(|((static_name, _), _)| *static_name == name);
    let name_index = with_name.clone().next().map(|(_, index)| index);
    match with_name.find(|((_, static_value), _)| static_value.as_bytes() == value) {
        // An empty value in the table stands for none that is worth an entry.
        Some((_, index)) if !value.is_empty() => integer::put(out, 0x80, 7, index),
        _ => {
            integer::put(out, 0, 4, name_index.unwrap_or(0));
            if name_index.is_none() {
                put_string(out, name.as_bytes());
            }
            put_string(out, value);
        }
    }
}

/// The indices of field lines and names in the static table (RFC 7541 Appendix A).
const STATUSES: [(u16, u8); 7] = [(200, 8), (204, 9), (206, 10), (304, 11), (400, 12), (404, 13), (500, 14)];
const STATUS: usize = 8;
const DATE: usize = 33;

/// Appends the status.
pub fn put_status(out: &mut Vec<u8>, code: u16) {
    match STATUSES.iter().find(|(known, _)| *known == code) {
        Some((_, index)) => out.push(0x80 | index),
        None => {
            integer::put(out, 0, 4, STATUS);
            let digits = [code / 100 % 10, code / 10 % 10, code % 10].map(|digit| b'0' + digit as u8);
            integer::put(out, 0, 7, digits.len());
            out.extend_from_slice(&digits);
        }
    }
}

/// Appends the Date field. Its value is not compressed, which would cost more than its seven bytes are worth.
pub fn put_date(out: &mut Vec<u8>, date: &str) {
    integer::put(out, 0, 4, DATE);
    integer::put(out, 0, 7, date.len());
    out.extend_from_slice(date.as_bytes());
}

/// Appends a string in the shorter of its two forms.
fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    let coded_bytes = huffman::encoded_bytes(text);
    if coded_bytes < text.len() {
        integer::put(out, 0x80, 7, coded_bytes);
        huffman::encode(text, out);
    } else {
        integer::put(out, 0, 7, text.len());
        out.extend_from_slice(text);
    }
}

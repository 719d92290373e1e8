use super::{Selection::*, *};

const SIZE: u64 = 10_000;

fn check_of(size: u64, value: &str, expected: Selection) {
    let shown: String = value.chars().take(80).collect();
    assert_eq!(select(Some(value.as_bytes()), size), expected, "{shown} of {size}");
}

fn check(value: &str, expected: Selection) {
    check_of(SIZE, value, expected);
}

fn one(start: u64, end: u64) -> Selection {
    One(ByteRange { start, end })
}

fn several(ranges: &[(u64, u64)]) -> Selection {
    Several(ranges.iter().map(|&(start, end)| ByteRange { start, end }).collect())
}

#[test]
fn one_range() {
    assert_eq!(select(None, SIZE), Whole);
    check("bytes=0-0", one(0, 1));
    check("bytes=0-499", one(0, 500));
    check("bytes=500-999", one(500, 1000));
    check("bytes=9999-9999", one(9999, 10_000));
    check("bytes=9500-", one(9500, 10_000));
    check("bytes=0-", one(0, 10_000));
    check("bytes=-500", one(9500, 10_000));
    check("bytes=-1", one(9999, 10_000));
    check("bytes=-10000", one(0, 10_000));
    check("BYTES=0-0", one(0, 1));
    check("bytes=00000000000000000000000001-0002", one(1, 3));
}

#[test]
fn a_range_beyond_the_end_is_clamped() {
    check("bytes=9000-10000", one(9000, 10_000));
    check("bytes=9000-99999", one(9000, 10_000));
    check("bytes=-10001", one(0, 10_000));
    check_of(1, "bytes=0-1", one(0, 1));
}

#[test]
fn a_range_that_begins_beyond_the_end_is_unsatisfiable() {
    check("bytes=10000-", Unsatisfiable);
    check("bytes=10000-10000", Unsatisfiable);
    check("bytes=-0", Unsatisfiable);
    check("bytes=-0, 10000-, 20000-20001", Unsatisfiable);
    check("bytes=-0, 5-6, 10000-", one(5, 7));
    check("bytes=20000-, 0-0, 5000-5001", several(&[(0, 1), (5000, 5002)]));
}

#[test]
fn numbers_beyond_64_bits_do_not_wrap() {
    let huge = "9".repeat(5000);
    check("bytes=1-18446744073709551615", one(1, 10_000));
    check("bytes=1-18446744073709551616", one(1, 10_000));
    check("bytes=1-18446744073709551617", one(1, 10_000));
    check("bytes=18446744073709551616-", Unsatisfiable);
    check("bytes=18446744073709551616-18446744073709551618", Unsatisfiable);
    check("bytes=-18446744073709551616", one(0, 10_000));
    check(&format!("bytes=0-{huge}"), one(0, 10_000));
    check(&format!("bytes=-{huge}"), one(0, 10_000));
    check(&format!("bytes={huge}-"), Unsatisfiable);
    check(&format!("bytes={huge}-1"), Whole);
    check_of(u64::MAX, "bytes=0-", one(0, u64::MAX));
    check_of(u64::MAX, "bytes=18446744073709551614-18446744073709551615", one(u64::MAX - 1, u64::MAX));
    check_of(u64::MAX, "bytes=18446744073709551615-", Unsatisfiable);
    check_of(u64::MAX, "bytes=-1,0-9", several(&[(u64::MAX - 1, u64::MAX), (0, 10)]));
    check_of(u64::MAX, "bytes=0-18446744073709551612,18446744073709551614-", one(0, u64::MAX));
}

#[test]
fn an_empty_file_is_sent_whole() {
    for value in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-"] {
        check_of(0, value, Whole);
    }
}

#[test]
fn an_unknown_unit_is_ignored() {
    for value in ["seconds=0-1", "byte=0-1", "bytes =0-1", "=0-1", "bytess=0-1", "0-1", "bytes", "bytes:0-1", ""] {
        check(value, Whole);
    }
}

#[test]
fn an_invalid_set_is_ignored_as_a_whole() {
    let bare =
        "- --1 -1- 1--2 1-2-3 5-4 a-b 0-a 0x0-1 +1-2 1-+2 -+1 1 0.0-1 * 0-1;2-3 bytes=0-1 0-1/10000 \"0-1\" １-２";
    let spaced = ["", ",", " , ", "1 - 2", "1- 2", "1 -2", "- 5", "0-1 2-3"];
    for set in bare.split(' ').chain(spaced) {
        check(&format!("bytes={set}"), Whole);
        check(&format!("bytes=0-1,{set}x,5000-5001"), Whole);
    }
    check("bytes=0-1,5-4", Whole);
    check("bytes=20000-,5-4", Whole);
    assert_eq!(select(Some(b"bytes=\xff-\xfe"), SIZE), Whole);
    assert_eq!(select(Some(b"\xff=\0"), SIZE), Whole);
}

#[test]
fn empty_members_and_white_space_between_members_are_tolerated() {
    check("bytes=,0-1", one(0, 2));
    check("bytes= 0-1 ,\t, ", one(0, 2));
    check(&format!("bytes={}0-1{}", ",".repeat(10_000), ", ".repeat(10_000)), one(0, 2));
}

#[test]
fn several_ranges_keep_the_client_s_order() {
    check("bytes=0-9,1000-1009", several(&[(0, 10), (1000, 1010)]));
    check("bytes=1000-1009,0-9", several(&[(1000, 1010), (0, 10)]));
    check("bytes=-1, 0-0, 500-599", several(&[(9999, 10_000), (0, 1), (500, 600)]));
}

#[test]
fn overlapping_and_nearby_ranges_are_merged() {
    check("bytes=0-9,10-19", one(0, 20));
    check("bytes=10-19,0-9", one(0, 20));
    check("bytes=0-9,5-14", one(0, 15));
    check("bytes=0-99,20-29", one(0, 100));
    check("bytes=0-9,0-9", one(0, 10));
    check("bytes=0-,-1", one(0, 10_000));
    check("bytes=0-9,89-99", one(0, 100));
    check("bytes=0-9,90-99", several(&[(0, 10), (90, 100)]));
    check("bytes=0-0,50-50,100-100,150-150", one(0, 151));
    // The place is that of the first of those that were joined.
    check("bytes=5000-5009,0-9,9000-9009,5010-5019", several(&[(5000, 5020), (0, 10), (9000, 9010)]));
    check("bytes=5010-5019,0-9,9000-9009,5000-5009", several(&[(5000, 5020), (0, 10), (9000, 9010)]));
}

#[test]
fn more_than_two_that_overlap_are_ignored() {
    check("bytes=0-9,5-14,500-509", several(&[(0, 15), (500, 510)]));
    check("bytes=0-9,5-14,8-20", Whole);
    check("bytes=0-,0-,0-", Whole);
    check("bytes=0-9,0-9,500-509,500-509", Whole);
    // Neighbors do not overlap, nor do those that only the gap joins.
    check("bytes=0-9,10-19,20-29", one(0, 30));
    check("bytes=0-9,50-59,20-29", one(0, 60));
}

#[test]
fn many_ranges_are_ignored() {
    let apart = |count: usize| (0..count).map(|n| format!("{0}-{0}", n * 100)).collect::<Vec<_>>().join(",");
    match select(Some(format!("bytes={}", apart(50)).as_bytes()), SIZE) {
        Several(ranges) => assert_eq!(ranges.len(), 50),
        other => panic!("{other:?}"),
    }
    check(&format!("bytes={}", apart(51)), Whole);
    check(&format!("bytes={}", apart(10_000)), Whole);
    check(&format!("bytes={}", "0-,".repeat(10_000)), Whole);
    check(&format!("bytes={}", "20000-,".repeat(51)), Whole);
    check(&format!("bytes={}", "20000-,".repeat(50)), Unsatisfiable);
    check(&format!("bytes={}0-0", "1-1,0-0,".repeat(5_000)), Whole);
}

#[test]
fn parts_that_would_be_longer_than_the_whole_are_ignored() {
    check_of(170, "bytes=0-4,165-169", Whole);
    check_of(171, "bytes=0-4,166-170", several(&[(0, 5), (166, 171)]));
    check("bytes=0-4949,5050-", Whole);
    check("bytes=0-4899,5100-", several(&[(0, 4900), (5100, 10_000)]));
}

use super::super::page_names::PageNames;
use super::super::root::Root;
use super::*;
use crate::http::listing::{Form, Order};

fn key(name: &str) -> ListingKey {
    ListingKey { root: (1, 1), directory: (1, 2), path: name.into(), form: Form::Html(Order::default()) }
}

fn is_made(action: ListingAction) -> bool {
    matches!(action, ListingAction::Make)
}

#[test]
fn one_listing_is_made_at_a_time_and_shared_for_a_second() {
    let listings = Listings::default();
    let result = || Some(Err(Refusal::Unreadable));
    assert!(is_made(listings.request(&key("a"), 10, 0)));
    for (waiter, name) in [(11, "a"), (12, "b"), (13, "c"), (14, "b"), (11, "a")] {
        assert!(matches!(listings.request(&key(name), waiter, 0), ListingAction::Wait));
    }
    // All who wait for it, and one who is to make another.
    assert_eq!(listings.finish(&key("a"), result(), 5), [11, 12]);
    assert!(matches!(listings.request(&key("a"), 11, 1_004), ListingAction::Send(Err(Refusal::Unreadable))));
    assert!(is_made(listings.request(&key("b"), 12, 1_005)));
    assert_eq!(listings.finish(&key("b"), result(), 1_005), [14, 13]);
    assert!(is_made(listings.request(&key("a"), 11, 1_006)), "it is too old");
    assert!(listings.finish(&key("a"), None, 1_006).is_empty());
}

#[test]
fn a_listing_on_a_hanging_disk_does_not_delay_others() {
    let listings = Listings::default();
    assert!(is_made(listings.request(&key("a"), 10, 0)));
    assert!(matches!(listings.request(&key("a"), 11, 0), ListingAction::Wait));
    assert!(matches!(listings.request(&key("b"), 12, 0), ListingAction::Wait));
    assert_eq!(listings.expire(STUCK_MS - 1), None);
    assert_eq!(listings.expire(STUCK_MS), Some(12));
    assert!(is_made(listings.request(&key("b"), 12, STUCK_MS)));
    assert!(matches!(listings.request(&key("a"), 11, STUCK_MS), ListingAction::Wait), "none is made twice");
    assert!(listings.finish(&key("b"), None, STUCK_MS).is_empty());
    assert_eq!(listings.finish(&key("a"), None, STUCK_MS), [11]);
}

#[test]
fn a_connection_waits_for_the_listing_that_it_requested_last() {
    let listings = Listings::default();
    assert!(is_made(listings.request(&key("a"), 10, 0)));
    assert!(matches!(listings.request(&key("a"), 11, 0), ListingAction::Wait));
    assert!(matches!(listings.request(&key("b"), 11, 0), ListingAction::Wait));
    assert!(matches!(listings.request(&key("c"), 12, 0), ListingAction::Wait));
    assert_eq!(listings.finish(&key("a"), None, 0), [11]);
    assert!(is_made(listings.request(&key("c"), 12, 0)));
    assert!(listings.finish(&key("c"), None, 0).is_empty());
}

#[test]
fn connections_wait_for_a_limited_number_of_different_listings() {
    let listings = Listings::default();
    assert!(is_made(listings.request(&key("made"), 9, 0)));
    let name = |number: usize| key(&number.to_string());
    for number in 0..MAX_AWAITED {
        assert!(matches!(listings.request(&name(number), 10 + number as RawFd, 0), ListingAction::Wait));
    }
    let rejected = |key| matches!(listings.request(&key, 1_000, 0), ListingAction::Send(Err(Refusal::Blocked(_))));
    assert!(rejected(name(MAX_AWAITED)));
    assert!(!rejected(name(1)), "it waits with the others");
    assert!(!rejected(name(2)), "it waits for another one now");
    assert!(rejected(name(MAX_AWAITED)));
    assert_eq!(listings.finish(&key("made"), None, 0), [10], "the first may make its listing");
    assert!(!rejected(name(MAX_AWAITED)));
}

#[test]
fn memory_is_bounded_and_equal_content_is_stored_once() {
    let site = tempfile::tempdir().unwrap();
    let root = Root::open(site.path()).unwrap();
    let directory = Directory::open(&root, b"", false, &Arc::new(PageNames::default())).unwrap();
    let listings = Listings::default();
    let store = |name, content: &[u8]| listings.store(&directory, &key(name), content, false);
    let first = store("a", b"content").unwrap();
    listings.finish(&key("a"), Some(Ok(first.clone())), 0);
    // It is shared no longer, and still being sent.
    listings.expire(SHARED_MS);
    assert!(Arc::ptr_eq(&store("a", b"content").unwrap().file, &first.file));
    assert!(!Arc::ptr_eq(&store("a", b"CONTENT").unwrap().file, &first.file));
    assert!(!Arc::ptr_eq(&store("b", b"content").unwrap().file, &first.file));

    let rest = listings.reserve(MAX_BYTES - 4096).unwrap();
    assert_eq!(store("b", b"content").unwrap_err(), Refusal::ListingsFull);
    drop(first);
    listings.finish(&key("b"), Some(store("b", b"content")), 0);
    assert!(store("c", b"content").is_ok(), "one that is shared and not sent makes room");
    drop(rest);
    assert!(listings.reserve(MAX_BYTES).is_ok(), "everything was released");
}

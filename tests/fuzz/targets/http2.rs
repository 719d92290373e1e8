//! Frames of a client in any order, cut and cut off anywhere, on a whole connection of HTTP/2: each stream is answered once and
//! completely, or ends as a model of RFC 9113 allows; windows are kept to; and each answer is in the access log once.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use otus_httpd_fuzz::h2::client::{self, Manner};
use otus_httpd_fuzz::h2::script;
use otus_httpd_fuzz::site::Site;
use otus_httpd_fuzz::wire::Cuts;

thread_local! {
    static SITES: RefCell<[Site; 2]> = RefCell::new(Site::logged());
}

// One byte selects the site and how it is served, one how much is cut off, six the cuts; the rest is a script.
fuzz_target!(|input: &[u8]| {
    let Some((&[choice, left_out], rest)) = input.split_first_chunk() else { return };
    let Some((cuts, script)) = Cuts::from_front(rest) else { return };
    let left_out = if choice & 0x30 == 0x30 { left_out.into() } else { 0 };
    let manner = Manner { cuts, is_small: choice & 2 != 0, has_slow_tasks: choice & 4 != 0, left_out };
    // Nearly all begin with settings.
    let mut steps = script::steps(script);
    if choice & 8 == 0 {
        steps.insert(0, script::settings());
    }
    SITES.with_borrow_mut(|sites| client::exchange(&mut sites[usize::from(choice & 1)], &steps, &manner));
});

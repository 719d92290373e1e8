//! Any bytes, cut anywhere, through a whole connection: as many answers as a second reading of the bytes counts requests,
//! each well-formed, allowed for its request and true; and after an error the end.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use otus_httpd_fuzz::site::Site;
use otus_httpd_fuzz::wire::{self, Cuts};
use otus_httpd_fuzz::{answer, reading};

thread_local! {
    static SITES: [RefCell<Site>; 2] = [RefCell::new(Site::plain()), RefCell::new(Site::narrow())];
}

// One byte chooses the site and how much room there is to send; six say how to cut; the rest is sent.
fuzz_target!(|input: &[u8]| {
    let Some((&choice, rest)) = input.split_first() else { return };
    let Some((cuts, stream)) = Cuts::from_front(rest) else { return };
    SITES.with(|sites| {
        let site = &mut sites[usize::from(choice & 1)].borrow_mut();
        let answers = wire::exchange(&mut site.server, stream, cuts, choice & 2 != 0);
        let (due, may_err) = reading::read(stream, &site.limits, site.most_requests);
        for (answer, due) in answer::read(&answers, &due, may_err).iter().zip(&due) {
            site.check(answer, due.method);
        }
    });
});

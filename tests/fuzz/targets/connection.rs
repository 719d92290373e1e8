//! Any bytes, cut anywhere, on a whole connection: there are as many responses as the model counts requests, each is
//! well-formed and correct for its request, and an error ends the connection.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use otus_httpd_fuzz::site::Site;
use otus_httpd_fuzz::wire::{self, Cuts};
use otus_httpd_fuzz::{answer, reading};

thread_local! {
    static SITES: [RefCell<Site>; 2] = [RefCell::new(Site::plain()), RefCell::new(Site::narrow())];
}

// One byte selects the site and the size of the send buffer, six the cuts; the rest is sent.
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

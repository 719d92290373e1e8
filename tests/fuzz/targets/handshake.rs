//! Any bytes, cut anywhere, on a connection for TLS: what comes before the end of the handshake. The response is one page
//! without TLS, or records of a handshake and at most one alert, and the connection ends.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use otus_httpd::tls::Server;
use otus_httpd_fuzz::site::Site;
use otus_httpd_fuzz::tls::{server, well_formed};
use otus_httpd_fuzz::wire::{self, Cuts};

thread_local! {
    static SITE: RefCell<Site> = RefCell::new(Site::plain());
    static TLS: &'static Server = server(None);
}

// Six bytes select the cuts; the rest is sent.
fuzz_target!(|input: &[u8]| {
    let Some((cuts, stream)) = Cuts::from_front(input) else { return };
    let tls = TLS.with(|tls| *tls);
    let response = SITE.with_borrow_mut(|site| {
        wire::exchange_over(|server, socket| server.accept_tls(socket, tls), &mut site.server, stream, cuts, false)
    });
    if response.first() == Some(&b'H') {
        assert!(response.starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
        assert!(matches!(stream[0], b'A'..=b'Z' | b'a'..=b'z' | b'\r' | b'\n'));
        return;
    }
    well_formed(&response);
});

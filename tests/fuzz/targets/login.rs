//! What the login process and the workers read: the frames between them, in both directions; files of users; credentials. No
//! input panics, takes long or exceeds a limit, and a frame that is read is written as the same bytes.
#![no_main]

use httparse::Header;
use libfuzzer_sys::fuzz_target;
use otus_httpd::access::Credentials;
use otus_httpd::access::credentials::{MAX_PASSWORD_BYTES, MAX_USER_BYTES};
use otus_httpd::access::users::Users;
use otus_httpd::http::Fields;
use otus_httpd::ipc::login_protocol::frame::{MAX_FRAME_BYTES, Request, Response};

fuzz_target!(|input: &[u8]| {
    frames(input);
    credentials(input);
    users(input);
});

fn frames(frame: &[u8]) {
    let (request, response) = (Request::decode(frame), Response::decode(frame));
    assert!(request.is_none() || response.is_none(), "{request:?} {response:?}");
    if let Some((number, request)) = request {
        assert!(frame.len() <= MAX_FRAME_BYTES);
        // A client has one form; others, such as an address for a client without one, are read as well.
        let again = Request::decode(&request.encode(number));
        assert_eq!(again, Some((number, request)));
    }
    if let Some((number, response)) = response {
        assert_eq!(response.encode(number), frame, "{response:?}");
    }
}

fn credentials(value: &[u8]) {
    let lines = [Header { name: "Authorization", value }];
    if let Some(credentials) = Credentials::of(Fields(&lines)) {
        let (user, password) = (credentials.user(), credentials.password());
        assert!((1..=MAX_USER_BYTES).contains(&user.len()) && !user.contains(&b':'));
        assert!(password.len() <= MAX_PASSWORD_BYTES && !password.iter().any(u8::is_ascii_control));
    }
}

/// Each line is a user or a mistake, at most. Nothing is compared: that takes as long as the line says.
fn users(text: &[u8]) {
    let (users, mistakes) = Users::parse(text);
    let lines = text.split(|byte| *byte == b'\n').count();
    assert!(users.len() + mistakes.len() <= lines);
    assert!(mistakes.iter().all(|mistake| (1..=lines).contains(&mistake.line) && !mistake.reason.is_empty()));
}

//! The frames between the key process and its clients, in both directions: what is read is written as the same bytes, it
//! is within its limits, and no frame is one of both directions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otus_httpd::ipc::key_protocol::frame::{Request, Response};
use otus_httpd::ipc::key_protocol::{MAX_CHAIN_BYTES, MAX_MESSAGE_BYTES, MAX_NAMES, MAX_TEXT_BYTES};

fuzz_target!(|frame: &[u8]| {
    let (request, response) = (Request::decode(frame), Response::decode(frame));
    assert!(request.is_none() || response.is_none(), "{request:?} {response:?}");
    if let Some((number, request)) = request {
        if let Request::Sign { message, .. } = &request {
            assert!(message.len() <= MAX_MESSAGE_BYTES);
        }
        assert_eq!(request.encode(number), frame, "{request:?}");
    }
    if let Some((number, response)) = response {
        match &response {
            Response::Certificate(certificate) => {
                check_names(&certificate.names);
                assert!(certificate.chain.iter().all(|der| der.len() <= MAX_CHAIN_BYTES));
            }
            Response::Overview(overview) => {
                check_names(&overview.names);
                check_names(&overview.faults);
            }
            _ => {}
        }
        assert_eq!(response.encode(number), frame, "{response:?}");
    }
});

fn check_names(names: &[String]) {
    assert!(names.len() <= MAX_NAMES);
    assert!(names.iter().all(|name| name.len() <= MAX_TEXT_BYTES));
}

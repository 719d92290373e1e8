//! Clients that say nothing, nonsense, or leave in the middle: an answer or a clean end, no noise, nothing leaked.

use std::io::Read;
use std::net::Shutdown;

use crate::support::{Notifications, Server, Setup, Site, get, open_descriptors, wait_until};

#[test]
fn an_empty_request_ends_cleanly() {
    let server = Server::of(&Site::new());
    for bytes in ["", "\n", "\r\n", "\r\n\r\n\n\n", "GET / HTTP/1.1", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let mut client = server.connect();
        client.send(bytes).0.shutdown(Shutdown::Write).unwrap();
        client.assert_closed();
    }
}

#[test]
fn clients_that_leave_cost_nothing_that_stays() {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; 8_000_000]);
    let systemd = Notifications::new();
    let server = Setup::new(&site, &[]).env("NOTIFY_SOCKET", systemd.path()).listen();
    server.wait_until_ready();
    server.get("/a");
    let workers = server.workers();
    wait_until("the first connection to be closed", || !status(&systemd).contains("parked 1"));
    let before = open_descriptors(&workers);

    for round in 0..50 {
        for bytes in [
            "".to_string(),
            "\n".into(),
            "\x16\x03\x01".into(),
            get("/a"),
            get("/large"),
            get("/large").repeat(5),
            "GET /".into(),
        ] {
            let mut client = server.connect();
            client.send(bytes);
            if round % 2 == 0 {
                // Some leave after a part of the answer, and with unread bytes, so that the server gets a reset.
                client.0.set_nonblocking(true).unwrap();
                let _ = client.0.read(&mut [0; 1000]);
            }
        }
    }

    let calm = "in flight 0, parked 0,";
    systemd.find("all of it over", |message| message.contains(calm));
    wait_until("descriptors as before", || open_descriptors(&workers) <= before);
    assert_eq!(server.workers(), workers, "no worker died");
    assert_eq!(server.get("/a").text(), "a");
    let noise: Vec<_> = server.log().lines().filter(|line| !line.starts_with(" INFO")).map(String::from).collect();
    assert_eq!(noise, Vec::<String>::new());
}

fn status(systemd: &Notifications) -> String {
    systemd.find("a status", |message| message.starts_with("STATUS="))
}

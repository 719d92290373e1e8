//! Clients that send nothing or garbage, or disconnect during a response: they get a response or a clean end, cause no
//! log messages, and leave no resources behind.

use std::io::Read;
use std::net::Shutdown;

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

use crate::support::{Notifications, Server, Setup, Site, get, is_open, open_descriptors, wait_until};

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
fn clients_that_disconnect_leave_no_resources_behind() {
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
                // Some disconnect after a part of the response and with unread bytes, so that the server receives a
                // reset.
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
    assert_eq!(server.warnings(), Vec::<String>::new());
}

#[test]
fn a_reset_in_the_middle_of_a_large_file_is_no_event() {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; 50_000_000]);
    let server = Server::with(&site, &["--debug"]);
    server.wait_until_ready();
    let workers = server.workers();
    for round in 0..50 {
        let mut client = server.connect();
        client.send(get("/large"));
        // At first, the server waits for a client that receives nothing; later clients receive all the time.
        let mut taken = vec![0; 1 + round * 100_000];
        client.0.read_exact(&mut taken).unwrap();
        if round % 10 == 0 {
            wait_until("the file to be on its way", || is_open(&workers, "large"));
        }
        // Without a pause before the end, close(2) sends RST instead of FIN (socket(7), SO_LINGER).
        setsockopt(&client.0, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 }).unwrap();
        drop(client);
        wait_until("the file to be closed", || !is_open(&workers, "large"));
        assert_eq!(server.get("/a").text(), "a");
    }
    assert_eq!(server.workers(), workers, "no worker died");
    let (noise, cuts): (Vec<_>, Vec<_>) = server.warnings().into_iter().partition(|line| !line.starts_with("DEBUG"));
    assert_eq!(noise, Vec::<String>::new());
    assert!(cuts.iter().any(|line| line.contains("download aborted: the client disconnected")), "{cuts:?}");
}

fn status(systemd: &Notifications) -> String {
    systemd.find("a status", |message| message.starts_with("STATUS="))
}

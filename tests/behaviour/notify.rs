//! Notifications to systemd (sd_notify(3)).

use nix::sys::signal::{Signal, kill};

use crate::support::{Client, Notifications, Server, Setup, Site, get};

fn start(site: &Site, systemd: &Notifications, arguments: &[&str]) -> Server {
    Setup::new(site, arguments).env("NOTIFY_SOCKET", systemd.path()).listen()
}

#[test]
fn ready_is_sent_once_when_all_workers_serve() {
    let site = Site::with(&[("a", b"a")]);
    let systemd = Notifications::new();
    let server = start(&site, &systemd, &["--workers=3"]);
    let is_ready = |message: &str| message.lines().any(|line| line == "READY=1");
    systemd.find("READY=1", is_ready);
    assert_eq!(server.workers().len(), 3);
    // A replaced worker causes no further READY=1.
    kill(server.workers()[0], Signal::SIGKILL).unwrap();
    server.wait_for_log("was killed by SIGKILL");
    let status = systemd.find("three workers again", |message| {
        assert!(!is_ready(message), "READY=1 again");
        message.contains("Serving: workers 3/3") && server.log().contains("was killed")
    });
    assert!(status.starts_with("STATUS="));
}

#[test]
fn the_status_line_is_true() {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; 20_000_000]);
    let systemd = Notifications::new();
    let server = start(&site, &systemd, &[]);
    let mut client = server.connect();
    (0..10).for_each(|_| assert_eq!(client.get("/a").status, 200));
    // The first status line with these requests arrives within a second or so, while they still count for the rate.
    let status = systemd.find("a status with ten requests", |message| message.contains("requests 10,"));
    let rate: f64 = status.split(" req/s").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(rate > 0.0 && rate <= 10.0, "{status}");
    let mut slow: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for client in &mut slow {
        client.send(get("/large"));
    }

    let status = systemd.find("a status with all of it", |message| {
        message.contains("requests 13,") && message.contains("in flight 3, parked 4,")
    });
    assert!(status.starts_with("STATUS=Serving: workers 2/2, "), "{status}");
    let threads: u32 = status.rsplit("threads ").next().unwrap().split(',').next().unwrap().parse().unwrap();
    assert!(threads >= 2, "{status}");
    drop(slow);
    systemd.find("the downloads over", |message| message.contains("in flight 0, parked 1,"));
}

#[test]
fn stopping_is_sent_and_the_timeout_extended_while_it_drains() {
    let site = Site::new();
    site.write("large", &vec![b'x'; 20_000_000]);
    let systemd = Notifications::new();
    let mut server = start(&site, &systemd, &[]);
    let mut client = server.connect();
    client.send(get("/large"));
    systemd.find("the download", |message| message.contains("in flight 1"));
    server.signal(Signal::SIGTERM);
    systemd.find("STOPPING=1", |message| message.contains("STOPPING=1"));
    systemd.find("the status", |message| message.starts_with("STATUS=Draining: "));
    for _ in 0..2 {
        systemd.find("more time", |message| message.contains("EXTEND_TIMEOUT_USEC="));
    }
    assert_eq!(client.response().body.len(), 20_000_000);
    assert_eq!(server.exit_status().code(), Some(0));
    // systemd shows the last status line of a service that has ended.
    let last = systemd.waiting().pop().expect("a last message");
    assert!(last.starts_with("STATUS=Stopped; requests answered: 1, version "), "{last}");
}

#[test]
fn the_watchdog_is_pinged_while_the_supervisor_runs_and_all_workers_can_be_started() {
    let site = Site::new();
    let systemd = Notifications::new();
    let server = Setup::new(&site, &[])
        .env("NOTIFY_SOCKET", systemd.path())
        .env("WATCHDOG_USEC", "4000000")
        .before("export WATCHDOG_PID=$$;")
        .listen();
    for _ in 0..3 {
        systemd.find("WATCHDOG=1", |message| message.contains("WATCHDOG=1"));
    }
    kill(server.workers()[0], Signal::SIGKILL).unwrap();
    server.wait_for_log("was killed by SIGKILL");
    systemd.waiting();
    for _ in 0..3 {
        systemd.find("WATCHDOG=1 again", |message| message.contains("WATCHDOG=1"));
    }
}

#[test]
fn without_a_watchdog_no_watchdog_message_is_sent() {
    let systemd = Notifications::new();
    let mut server = start(&Site::new(), &systemd, &[]);
    systemd.find("READY=1", |message| message.contains("READY=1"));
    server.signal(Signal::SIGTERM);
    server.exit_status();
    assert!(
        !systemd
            .find("the end", |message| {
                assert!(!message.contains("WATCHDOG"));
                message.contains("STOPPING=1")
            })
            .contains("WATCHDOG")
    );
}

//! Logins across a reload: what the new settings take away is lost at once, and failures are still counted.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::access::connect_from;
use crate::logins::{Users, basic};
use crate::support::{Client, Server, Setup, Site, get, wait_for, wait_until};

/// A download of this size keeps its worker beyond a reload.
const LARGE: usize = 20_000_000;

/// A server whose settings can be changed.
struct Reloaded {
    server: Server,
    settings: PathBuf,
    site: Site,
}

impl Reloaded {
    fn new(settings: &str) -> Self {
        let site = Site::with(&[("private/f", b"SECRET"), ("open", b"open"), ("50x.html", b"of the site")]);
        site.write("large", &vec![b'x'; LARGE]);
        let path = site.outside().join("settings");
        fs::write(&path, settings).unwrap();
        let server = Setup::new(&site, &["--workers=1"]).env("OTUS_SETTINGS", &path).listen();
        server.wait_until_ready();
        Reloaded { server, settings: path, site }
    }

    /// Reloads with these settings.
    fn reload(&self, settings: &str) {
        fs::write(&self.settings, settings).unwrap();
        let count = || self.server.log().matches("Reloaded; ").count();
        let before = count();
        self.server.signal(Signal::SIGHUP);
        wait_until("the reload", || count() > before);
    }

    fn download(&self) -> Client {
        let mut download = self.server.connect();
        download.send(get("/large"));
        assert_eq!(download.0.peek(&mut [0]).unwrap(), 1, "it is under way");
        download
    }

    /// A connection on which a part of a request for `target` has arrived.
    fn begin(&self, target: &str, fields: &str) -> Client {
        let mut client = self.server.connect();
        assert_eq!(client.get("/open").text(), "open");
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}"));
        client
    }
}

fn setting(users: &Users) -> String {
    format!("OTUS_AUTH=/private={}\n", users.path().display())
}

fn authorization(user: &str, password: &str) -> String {
    format!("Authorization: {}\r\n", basic(user, password))
}

fn log_in(client: &mut Client, user: &str, password: &str) -> u16 {
    let authorization = authorization(user, password);
    client.send(format!("GET /private/f HTTP/1.1\r\nHost: x\r\n{authorization}\r\n")).response().status
}

fn is_alive(process: Pid) -> bool {
    kill(process, None).is_ok()
}

#[test]
fn failures_are_counted_across_reloads_and_crashes() {
    let users = Users::new();
    let reloaded = Reloaded::new(&setting(&users));
    let server = &reloaded.server;
    let fail = |number: usize| log_in(&mut server.connect(), "bert", &format!("wrong {number}"));
    assert_eq!((0..5).map(fail).collect::<Vec<_>>(), [401; 5]);
    reloaded.reload(&setting(&users));
    assert_eq!((5..10).map(fail).collect::<Vec<_>>(), [401; 5]);
    for (number, round) in ["as they are", "a crash", "a reload"].into_iter().enumerate() {
        match number {
            1 => {
                let process = server.logins().unwrap();
                kill(process, Signal::SIGKILL).unwrap();
                wait_until("another login process", || server.logins().is_some_and(|next| next != process));
                wait_until("a response", || log_in(&mut server.connect(), "bert", round) != 503);
            }
            2 => reloaded.reload(&setting(&users)),
            _ => {}
        }
        // The right password is refused as well, unless another client has just used it.
        assert_eq!(log_in(&mut server.connect(), "bert", "secret"), 429, "{round}");
        let mut other = connect_from([127, 0, 0, 2], server.address);
        assert_eq!(log_in(&mut other, "anna", "pa:ss"), 200, "{round}");
    }
}

/// With the same settings, old workers complete the requests that have begun, with the login process of their time.
#[test]
fn old_workers_log_users_in_while_the_settings_are_the_same() {
    let users = Users::new();
    let reloaded = Reloaded::new(&setting(&users));
    let process = reloaded.server.logins().unwrap();
    let mut download = reloaded.download();
    let mut client = reloaded.begin("/private/f", &authorization("anna", "pa:ss"));
    for _ in 0..2 {
        reloaded.reload(&setting(&users));
    }
    assert!(is_alive(process));
    client.send("\r\n");
    assert_eq!(client.response().text(), "SECRET");
    assert_eq!(download.response().body.len(), LARGE);
    wait_until("the end of the process", || !is_alive(process));
    assert_eq!(log_in(&mut reloaded.server.connect(), "anna", "pa:ss"), 200);
}

/// Neither a request that has begun before the reload nor a login that was accepted then gets what the settings now deny.
#[test]
fn a_reload_takes_rights_away_from_connections_that_are_open() {
    let (users, others) = (Users::new(), Users::new());
    others.write("");
    let network = "OTUS_ALLOW=/private=192.0.2.0/24\n".to_string();
    let (before, anna) = (setting(&users), authorization("anna", "pa:ss"));
    for (first, next) in [
        (before.clone(), setting(&others)),
        (before.clone(), network.clone()),
        (String::new(), before.clone()),
        (String::new(), network.clone()),
        (format!("{before}OTUS_ALLOW=/=127.0.0.1\n"), format!("{before}OTUS_ALLOW=/=192.0.2.1\n")),
    ] {
        let reloaded = Reloaded::new(&first);
        let process = reloaded.server.logins();
        let mut clients: Vec<_> = (0..3).map(|_| reloaded.begin("/private/f", &anna)).collect();
        let mut seen = reloaded.server.connect();
        seen.send(format!("GET /private/f HTTP/1.1\r\nHost: x\r\n{anna}\r\n"));
        assert_eq!(seen.response().text(), "SECRET");
        seen.send("GET /private/f HTTP/1.1\r\n");
        let (mut download, mut idle) = (reloaded.download(), reloaded.server.connect());
        assert_eq!(idle.get("/open").text(), "open");
        reloaded.reload(&next);
        wait_until("the old worker to drain", || idle.is_closed());
        wait_until("the end of the process", || !process.is_some_and(is_alive));
        seen.send(format!("Host: x\r\n{anna}"));
        for client in clients.iter_mut().chain([&mut seen]) {
            let response = client.send("\r\n").response();
            assert_eq!((response.status, response.field("Connection")), (503, Some("close")), "{first} {next}");
            assert_eq!(response.field("Retry-After"), Some("1"));
            assert!(!response.text().contains("SECRET") && !response.text().contains("of the site"));
        }
        assert_eq!(download.response().body.len(), LARGE, "a response that has begun is completed");
        let status = wait_for("a response of new workers", || {
            Some(log_in(&mut reloaded.server.connect(), "anna", "pa:ss")).filter(|status| *status != 503)
        });
        assert_eq!(status == 200, next == before, "{first} {next}");
        assert!(reloaded.site.path("private/f").exists());
    }
}

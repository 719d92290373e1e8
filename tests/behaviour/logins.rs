//! Access by password (`--auth`).

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::access::{WAYS_AROUND, connect_from, guarded_site};
use crate::support::{
    BINARY, Client, Response, Server, Setup, Site, is_open, own_user, stop, ticks, wait_for, wait_until,
};

/// `anna:pa:ss` by bcrypt, `bert:secret` by SHA-crypt, `carla:pässword` by argon2id.
const ANNA: &str = "$2y$04$W6GHXOdkC2m91Wu45q7VGO2IUQE7G9aX7JAfEnODWISuDgbctAN5q";
const BERT: &str =
    "$6$rounds=1000$abcdefgh$nhYjN017qxiYztzyUpZtPnUQcnLy62KsunSLHNeLahp2EHPlAKmFFlrjEwSXGo2kgY5hR2.peKEg2VGUqIJJu1";
const CARLA: &str = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQxMjM0NTY3OA$zXm9T9nrUoR20mwpH6kHgUfuJyWjdUFV5c94Y33b1Ug";

/// A file of users, where no worker may read.
pub struct Users(TempDir);

impl Users {
    pub fn new() -> Self {
        let users = Users(tempfile::tempdir().unwrap());
        users.write(&format!("anna:{ANNA}\nbert:{BERT}\ncarla:{CARLA}\n"));
        users
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("x.users")
    }

    /// Replaces it, as an editor does.
    pub fn write(&self, text: &str) {
        fs::write(self.0.path().join("next"), text).unwrap();
        fs::rename(self.0.path().join("next"), self.path()).unwrap();
    }

    pub fn rule(&self, prefix: &str) -> String {
        format!("--auth={prefix}={}", self.path().display())
    }
}

/// Base64, for Authorization.
pub fn basic(user: &str, password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = format!("{user}:{password}").into_bytes();
    let mut text = String::from("Basic ");
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * index)) as usize % 64] as char;
            text.push(if index <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

fn send(client: &mut Client, target: &str, user: &str, password: &str, fields: &str) {
    let authorization = basic(user, password);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n{fields}\r\n"));
}

fn log_in(client: &mut Client, target: &str, user: &str, password: &str) -> Response {
    send(client, target, user, password, "");
    client.response()
}

fn status(server: &Server, target: &str, user: &str, password: &str) -> u16 {
    log_in(&mut server.connect(), target, user, password).status
}

fn site() -> Site {
    Site::with(&[("private/f", b"SECRET"), ("open", b"open"), ("index.html", b"home")])
}

#[test]
fn users_get_a_path_with_their_passwords() {
    let (site, users) = (site(), Users::new());
    let server = Server::with(&site, &[&users.rule("/private")]);
    let response = server.get("/private/f");
    assert_eq!(response.status, 401);
    assert_eq!(response.field("WWW-Authenticate"), Some("Basic realm=\"/private\", charset=\"UTF-8\""));
    assert_eq!(response.field("Cache-Control"), Some("private"));
    assert_eq!(server.get("/open").field("WWW-Authenticate"), None);
    for (user, password, expected) in [
        ("anna", "pa:ss", 200),
        ("bert", "secret", 200),
        ("carla", "p\u{e4}ssword", 200),
        ("anna", "secret", 401),
        ("Anna", "pa:ss", 401),
        ("anna", "", 401),
        ("nobody", "pa:ss", 401),
        ("", "", 401),
        ("anna", "pa:ss\n", 401),
        ("anna", ANNA, 401),
        ("anna", "pa:ss", 200),
    ] {
        let response = log_in(&mut server.connect(), "/private/f", user, password);
        assert_eq!(response.status, expected, "{user} {password}");
        assert_eq!(response.text() == "SECRET", expected == 200);
        assert_eq!(response.field("WWW-Authenticate").is_some(), expected == 401);
        let expected = if expected == 200 { "private, no-cache" } else { "private" };
        assert_eq!(response.field("Cache-Control"), Some(expected));
    }
    let right = basic("anna", "pa:ss");
    for fields in [
        format!("Authorization: {right}\r\nAuthorization: {right}"),
        format!("Authorization: {}", right.replace("Basic", "Bearer")),
        format!("Proxy-Authorization: {right}"),
        "Authorization: Basic".to_string(),
        "Authorization: Basic ????".to_string(),
    ] {
        let mut client = server.connect();
        client.send(format!("GET /private/f HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n"));
        assert_eq!(client.response().status, 401, "{fields}");
    }
    let mut client = server.connect();
    client.send(format!(
        "GET /private/f HTTP/1.1\r\nHost: x\r\nauthorization:  bAsIc {}\r\n\r\n",
        &right["Basic ".len()..]
    ));
    assert_eq!(client.response().status, 200);
}

#[test]
fn each_prefix_has_its_users() {
    let (site, outer, inner) = (site(), Users::new(), Users::new());
    site.write("private/in/f", b"IN");
    inner.write(&format!("anna:{CARLA}\n"));
    let server = Server::with(&site, &[&outer.rule("/"), &inner.rule("/private/in")]);
    for (target, password, expected) in [
        ("/open", "pa:ss", 200),
        ("/private/f", "pa:ss", 200),
        ("/private/in/f", "pa:ss", 401),
        ("/private/in/f", "p\u{e4}ssword", 200),
        ("/open", "p\u{e4}ssword", 401),
    ] {
        assert_eq!(status(&server, target, "anna", password), expected, "{target} {password}");
    }
    // The path and the file that it leads to can have different users: nobody is one of both here.
    symlink("../private/in/f", site.path("private/link")).unwrap();
    symlink("in/f", site.path("private/near")).unwrap();
    for password in ["pa:ss", "p\u{e4}ssword"] {
        assert_eq!(status(&server, "/private/near", "anna", password), 401, "{password}");
    }
}

#[test]
fn no_other_name_leads_around_a_password() {
    let (site, users) = (guarded_site(), Users::new());
    let rules = [users.rule("/private"), users.rule("/secret.html"), "--listing".into(), "--dotfiles".into()];
    let server = Server::with(&site, &rules.iter().map(String::as_str).collect::<Vec<_>>());
    let fields = [
        "",
        "Accept-Encoding: br, gzip\r\n",
        "Range: bytes=0-3\r\n",
        "If-None-Match: *\r\n",
        "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n",
        "Authorization: Basic \r\n",
        "X-Forwarded-For: 127.0.0.1\r\nRemote-User: anna\r\nX-Remote-User: anna\r\n",
    ];
    for target in WAYS_AROUND {
        for field in fields {
            let mut client = server.connect();
            client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{field}\r\n"));
            let response = client.response();
            assert_eq!(response.status, 401, "{target} {field}");
            assert!(!response.text().contains("SECRET"), "{target} {field}");
            assert_eq!((response.field("ETag"), response.field("Location")), (None, None), "{target} {field}");
            client.send(format!("HEAD {target} HTTP/1.1\r\nHost: x\r\n{field}\r\n"));
            assert_eq!(client.head().status, 401, "{target} {field}");
        }
        let mut client = server.connect();
        let response = log_in(&mut client, target, "anna", "pa:ss");
        assert!(matches!(response.status, 200 | 301 | 404), "{target}");
        assert!(response.field("Cache-Control").unwrap().starts_with("private"), "{target}");
    }
}

#[test]
fn what_users_get_is_for_no_shared_cache() {
    let (site, users) = (site(), Users::new());
    site.write("private/_astro/index.B5Sj4xZ1.js", b"hashed");
    let server = Server::with(&site, &[&users.rule("/private")]);
    let mut client = server.connect();
    let hashed = log_in(&mut client, "/private/_astro/index.B5Sj4xZ1.js", "anna", "pa:ss");
    assert_eq!(hashed.field("Cache-Control"), Some("private, max-age=31536000, immutable"));
    let response = log_in(&mut client, "/private/f", "anna", "pa:ss");
    let tag = response.field("ETag").unwrap().to_string();
    for (field, expected) in [(format!("If-None-Match: {tag}"), 304), ("Range: bytes=0-0".into(), 206)] {
        send(&mut client, "/private/f", "anna", "pa:ss", &format!("{field}\r\n"));
        let response = client.response_or_304();
        assert_eq!((response.status, response.field("Cache-Control")), (expected, Some("private, no-cache")));
    }
}

/// Within a second, a removed user gets 401, and a new one 200, also on a connection that is open.
#[test]
fn a_change_of_the_file_counts_within_a_second() {
    let (site, users) = (site(), Users::new());
    let server = Server::with(&site, &[&users.rule("/private"), "--workers=1"]);
    let mut client = server.connect();
    assert_eq!(log_in(&mut client, "/private/f", "anna", "pa:ss").status, 200);
    for round in 0..3 {
        let (line, present, absent) = match round % 2 {
            0 => (format!("carla:{CARLA}\n"), ("carla", "p\u{e4}ssword"), ("anna", "pa:ss")),
            _ => (format!("anna:{ANNA}\n"), ("anna", "pa:ss"), ("carla", "p\u{e4}ssword")),
        };
        users.write(&line);
        let begin = Instant::now();
        wait_until("the removed user to be refused", || {
            log_in(&mut client, "/private/f", absent.0, absent.1).status == 401
        });
        let slack = Duration::from_millis(500);
        assert!(begin.elapsed() < Duration::from_secs(1) + slack, "{:?}", begin.elapsed());
        wait_until("the new user", || log_in(&mut client, "/private/f", present.0, present.1).status == 200);
        assert!(begin.elapsed() < Duration::from_secs(1) + slack, "{:?}", begin.elapsed());
        assert_eq!(log_in(&mut client, "/private/f", absent.0, absent.1).status, 401);
    }
}

#[test]
fn a_password_is_compared_once() {
    let (site, users) = (site(), Users::new());
    let slow = "$6$rounds=50000$abcdefgh$";
    users.write(&format!("bert:{slow}{}\n", SLOW_HASH));
    let server = Server::with(&site, &[&users.rule("/private"), "--workers=1"]);
    let mut client = server.connect();
    assert_eq!(log_in(&mut client, "/private/f", "bert", "secret").status, 200);
    let logins = server.logins().unwrap();
    let before = ticks(logins);
    let begin = Instant::now();
    for _ in 0..300 {
        assert_eq!(log_in(&mut client, "/private/f", "bert", "secret").status, 200);
    }
    let used = ticks(logins) - before;
    assert!(used < 10, "{used} ticks for 300 requests in {:?}", begin.elapsed());
}

/// `secret` with 50,000 rounds and the salt `abcdefgh`.
const SLOW_HASH: &str = "ORT0gYWBYq124v70qhg3O4CtYTlRMDjIWAfKCu9gH79nqOFa.1aNCO.zqCbZQTo3BfWQbp76U0K.QY3ZT1FMt0";

/// While passwords are compared, other requests of the same worker are served, by however few threads.
#[test]
fn logins_that_wait_hold_no_thread() {
    let (site, users) = (site(), Users::new());
    let server = Server::with(&site, &[&users.rule("/private"), "--workers=1", "--max-threads=4"]);
    server.wait_until_ready();
    assert_eq!(status(&server, "/private/f", "anna", "pa:ss"), 200);
    let logins = server.logins().unwrap();
    stop(logins);
    let mut waiting: Vec<_> = (0..9).map(|_| server.connect()).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        send(client, "/private/f", "bert", if number % 2 == 0 { "secret" } else { "wrong" }, "");
    }
    for _ in 0..20 {
        assert_eq!(server.get("/open").text(), "open");
    }
    kill(logins, Signal::SIGCONT).unwrap();
    for (number, client) in waiting.iter_mut().enumerate() {
        assert_eq!(client.response().status, if number % 2 == 0 { 200 } else { 401 }, "{number}");
    }
}

#[test]
fn failures_of_a_client_are_counted_over_all_workers() {
    let (site, users) = (site(), Users::new());
    let server = Server::with(&site, &[&users.rule("/private"), "--workers=3"]);
    let mut remembered = server.connect();
    assert_eq!(log_in(&mut remembered, "/private/f", "anna", "pa:ss").status, 200);
    let responses: Vec<_> =
        (0..20).map(|n| log_in(&mut server.connect(), "/private/f", "bert", &format!("wrong {n}"))).collect();
    let statuses: Vec<_> = responses.iter().map(|response| response.status).collect();
    assert_eq!(statuses, [vec![401; 10], vec![429; 10]].concat());
    let retry_s: u32 = responses[19].field("Retry-After").unwrap().parse().unwrap();
    assert!((1..=30).contains(&retry_s) && responses[19].field("WWW-Authenticate").is_none());
    assert_eq!(status(&server, "/private/f", "bert", "secret"), 429, "also with the right password");
    assert_eq!(log_in(&mut remembered, "/private/f", "anna", "pa:ss").status, 200, "a login that is known");
    assert_eq!(server.get("/open").status, 200);
    let mut other = connect_from([127, 0, 0, 2], server.address);
    assert_eq!(log_in(&mut other, "/private/f", "bert", "secret").status, 200);
}

#[test]
fn beyond_a_number_of_comparisons_requests_get_503() {
    let (site, users) = (site(), Users::new());
    users.write(&format!("bert:$6$rounds=1000000$abcdefgh${}\n", SLOW_HASH));
    let server = Server::with(&site, &[&users.rule("/private"), "--workers=1"]);
    server.wait_until_ready();
    let mut clients: Vec<_> = (0..90u8).map(|number| connect_from([127, 0, 1, number + 1], server.address)).collect();
    clients.iter_mut().for_each(|client| send(client, "/private/f", "bert", "secret", ""));
    let refused = wait_for("a request that is refused", || clients.iter_mut().position(|client| !is_waiting(client)));
    let response = clients[refused].response();
    assert_eq!((response.status, response.field("Retry-After")), (503, Some("1")));
    assert_eq!(server.get("/open").status, 200);
}

/// Returns whether no response has arrived.
fn is_waiting(client: &mut Client) -> bool {
    client.0.set_nonblocking(true).unwrap();
    let result = client.0.peek(&mut [0]);
    client.0.set_nonblocking(false).unwrap();
    result.is_err()
}

#[test]
fn a_file_that_cannot_be_read_lets_nobody_in() {
    let (site, users) = (site(), Users::new());
    let text = fs::read_to_string(users.path()).unwrap();
    fs::remove_file(users.path()).unwrap();
    let server = Server::with(&site, &[&users.rule("/private")]);
    let response = log_in(&mut server.connect(), "/private/f", "anna", "pa:ss");
    assert_eq!((response.status, response.field("Retry-After")), (503, Some("1")));
    assert_eq!((server.get("/private/f").status, server.get("/open").status), (401, 200));
    server.wait_for_log(
        "cannot be read (No such file or directory): let the server's group read it (chown root:otus-httpd",
    );
    users.write(&text);
    wait_until("the file", || status(&server, "/private/f", "anna", "pa:ss") == 200);
    fs::remove_file(users.path()).unwrap();
    fs::create_dir(users.path()).unwrap();
    wait_until("the end of the login, and its reason", || {
        status(&server, "/private/f", "anna", "pa:ss") == 503 && server.log().contains("it is not a regular file")
    });
}

#[test]
fn a_mistake_is_one_record_with_the_remedy() {
    let (site, users) = (site(), Users::new());
    users.write(&format!("anna:{ANNA}\nold:$apr1$x$y\nplain:hunter2\n"));
    let server = Server::with(&site, &[&users.rule("/private")]);
    assert_eq!(status(&server, "/private/f", "anna", "pa:ss"), 200);
    assert_eq!(status(&server, "/private/f", "plain", "hunter2"), 401);
    let expected = format!(
        "{}:2 is not used: the password is hashed by MD5, which is too fast: write the line with htpasswd -B -C 10 FILE USER",
        users.path().display()
    );
    server.wait_for_log(&expected);
    assert!(server.log().contains("So are 1 others.") && !server.log().contains("hunter2"));
    assert_eq!(server.log().matches("is not used").count(), 1);
}

fn check(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(BINARY);
    let output = command.args(arguments).envs(own_user()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn a_file_that_a_worker_could_read_prevents_the_start() {
    let (site, users) = (site(), Users::new());
    let text = fs::read(users.path()).unwrap();
    site.write("private/x.users", &text);
    fs::write(site.outside().join("x.users"), &text).unwrap();
    symlink(site.path("private/x.users"), users.0.path().join("link")).unwrap();
    let root = format!("--root={}", site.root().display());
    for path in [site.path("private/x.users"), site.outside().join("x.users"), users.0.path().join("link")] {
        let rule = format!("--auth=/private={}", path.display());
        for arguments in [&["--port=0", &root, &rule][..], &["--check", &root, &rule]] {
            let (code, text) = check(arguments);
            assert!(code != 0 && text.contains("move it, such as to /etc/otus-httpd"), "{arguments:?}: {text}");
        }
    }
    assert_eq!(check(&["--check", &root, &users.rule("/private")]).0, 0);
}

#[test]
fn check_reports_files_that_cannot_be_used() {
    let (site, users) = (site(), Users::new());
    let root = format!("--root={}", site.root().display());
    users.write("plain:hunter2\n");
    let (code, text) = check(&["--check", &root, &users.rule("/private")]);
    assert!(code == 0 && text.contains("x.users:1 is not used: the password is not hashed"), "{text}");
    fs::remove_file(users.path()).unwrap();
    let (code, text) = check(&["--check", &root, &users.rule("/private")]);
    assert!(code == 1 && text.contains("cannot be read"), "{text}");
    let (code, text) = check(&["--check", &root, &users.rule("/a"), "--auth=/a/=/etc/other"]);
    assert!(code != 0 && text.contains("--auth (OTUS_AUTH) /a has two files"), "{text}");
}

/// The name of a failed login may be a password that was typed into the wrong field.
#[test]
fn the_log_names_users_that_have_logged_in() {
    let (site, users) = (site(), Users::new());
    users.write(&format!("an \"na:{ANNA}\n"));
    let server = Server::with(&site, &[&users.rule("/private"), "--access-log=stderr", "--debug"]);
    assert_eq!(status(&server, "/private/f", "hunter2", "pa:ss"), 401);
    assert_eq!(status(&server, "/private/f", "an \"na", "wrong-one"), 401);
    assert_eq!(status(&server, "/private/f", "an \"na", "pa:ss"), 200);
    server.wait_for_log("\"http_user\":\"an \\\"na\"");
    let log = server.log();
    let records: Vec<_> = log.lines().filter(|line| line.contains("\"http_status\"")).collect();
    let named: Vec<_> = records.iter().filter(|record| record.contains("http_user")).collect();
    assert!(named.len() == 1 && named[0].contains("\"http_status\":200"), "{records:?}");
    assert!(!log.contains("hunter2") && !log.contains("wrong-one") && !log.contains("pa:ss"));
    assert!(records[0].contains("the password is wrong, or there is no such user"), "{records:?}");
}

#[test]
fn the_page_of_a_401_is_the_sites_own() {
    let (site, users) = (site(), Users::new());
    site.write("401.html", b"who are you");
    site.write("404.html", b"SECRET");
    let server = Server::with(&site, &[&users.rule("/")]);
    for target in ["/private/f", "/401.html", "/missing"] {
        assert_eq!(server.get(target).text(), "who are you", "{target}");
    }
    // A target that cannot be decoded has no path.
    assert!(!server.get("/a%2Fb").text().contains("SECRET"));
    assert_eq!(log_in(&mut server.connect(), "/missing", "anna", "pa:ss").text(), "SECRET");
}

#[test]
fn challenges_need_no_password() {
    let (site, users) = (site(), Users::new());
    site.write(".well-known/acme-challenge/token", b"token");
    let server = Server::with(&site, &[&users.rule("/")]);
    assert_eq!(server.get("/.well-known/acme-challenge/token").text(), "token");
}

/// Neither the supervisor nor a worker has a hash in its memory, or the file open.
#[test]
fn only_the_login_process_has_hashes() {
    let (site, users) = (site(), Users::new());
    let server = Server::with(&site, &[&users.rule("/private")]);
    for (user, password) in [("anna", "pa:ss"), ("bert", "wrong"), ("carla", "p\u{e4}ssword")] {
        for _ in 0..4 {
            status(&server, "/private/f", user, password);
        }
    }
    let logins = server.logins().unwrap();
    // As root, the memory can be read in any case; the control is that the search finds something.
    let hash = &ANNA.as_bytes()[8..];
    if nix::unistd::geteuid().is_root() {
        assert!(has_in_memory(logins, hash));
    }
    let others: Vec<_> = server.workers().into_iter().chain([server.pid()]).collect();
    assert!(others.len() >= 3 && !is_open(&others, "x.users"));
    for process in others {
        assert!(!has_in_memory(process, hash), "{process}");
    }
}

fn has_in_memory(process: Pid, bytes: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let Ok(memory) = fs::File::open(format!("/proc/{process}/mem")) else { return false };
    let writable = maps.lines().filter(|line| line.contains(" rw"));
    writable.into_iter().any(|line| {
        let (begin, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let mut content = vec![0; (number(end) - number(begin)) as usize];
        memory.read_exact_at(&mut content, number(begin)).is_ok() && contains(&content, bytes)
    })
}

fn contains(content: &[u8], bytes: &[u8]) -> bool {
    content.windows(bytes.len()).any(|window| window == bytes)
}

#[test]
fn a_login_process_that_ends_is_replaced() {
    let (site, users) = (site(), Users::new());
    let server = Server::with(&site, &[&users.rule("/private"), "--workers=1"]);
    assert_eq!(status(&server, "/private/f", "anna", "pa:ss"), 200);
    let first = server.logins().unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    let next = wait_for("another login process", || server.logins().filter(|next| *next != first));
    wait_until("a login", || status(&server, "/private/f", "bert", "secret") == 200);
    assert_eq!(server.logins(), Some(next));
    assert!(server.log().contains("was killed by SIGKILL; starting another in 100 ms."), "{}", server.log());
    assert_eq!(server.get("/open").status, 200);
}

/// Workers of before the reload keep their login process until they end.
#[test]
fn logins_survive_a_reload() {
    let (site, users) = (site(), Users::new());
    let server = Server::with(&site, &[&users.rule("/private"), "--workers=1"]);
    let mut old = server.connect();
    assert_eq!(log_in(&mut old, "/private/f", "anna", "pa:ss").status, 200);
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
    assert_eq!(status(&server, "/private/f", "bert", "secret"), 200);
    assert_eq!(status(&server, "/private/f", "anna", "pa:ss"), 200);
    drop(old);
}

#[test]
fn without_files_of_users_there_is_no_login_process() {
    let server = Server::of(&site());
    server.wait_until_ready();
    assert_eq!(server.logins(), None);
}

/// The server's own user, not root, reads the file.
#[test]
fn a_file_that_the_user_may_not_read_is_reported() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let (site, users) = (site(), Users::new());
    for directory in [site.outside(), users.0.path()] {
        fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(users.path(), Permissions::from_mode(0o600)).unwrap();
    let server = Setup::new(&site, &[&users.rule("/private"), "--user=nobody"]).listen();
    assert_eq!(status(&server, "/private/f", "anna", "pa:ss"), 503);
    server.wait_for_log("cannot be read (Permission denied)");
    fs::set_permissions(users.path(), Permissions::from_mode(0o644)).unwrap();
    wait_until("the file", || status(&server, "/private/f", "anna", "pa:ss") == 200);
}

/// A rule is for the site of its host, under each of its names, and for no other.
#[test]
fn a_rule_of_a_host_is_for_its_site_under_each_name() {
    let (site, users) = (Site::new(), Users::new());
    for name in ["one.test", "two.test", "_default", ".releases/3"] {
        site.write(format!("{name}/private/f"), format!("SECRET of {name}").as_bytes());
    }
    symlink("one.test", site.path("alias.test")).unwrap();
    symlink(".releases/3", site.path("three.test")).unwrap();
    symlink(".releases/3", site.path("four.test")).unwrap();
    let sites = format!("--sites={}", site.root().display());
    let rules: Vec<_> =
        ["alias.test/private", "three.test/private", "unknown.test/private"].map(|prefix| users.rule(prefix)).into();
    let arguments = [&["--workers=2", &sites], &*rules.iter().map(String::as_str).collect::<Vec<_>>()].concat();
    let server = Setup::bare(&arguments).listen();
    for (host, expected) in [
        ("one.test", 401),
        ("ALIAS.test.:80", 401),
        ("alias.test", 401),
        ("two.test", 200),
        ("three.test", 401),
        ("four.test", 401),
        ("unknown.test", 401),
        ("other.test", 401),
        ("[::1]", 401),
    ] {
        let mut client = server.connect();
        let target = "/private/f";
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, expected, "{host}");
        assert_eq!(response.text().contains("SECRET"), expected == 200, "{host}");
        client.send(format!("GET http://{host}{target} HTTP/1.1\r\nHost: two.test\r\n\r\n"));
        assert_eq!(client.response().status, expected, "{host} in the target");
    }
    let mut client = server.connect();
    client.send("GET /private/f HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().status, 401);
}

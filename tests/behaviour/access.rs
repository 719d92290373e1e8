//! Access by network (`--allow`). That by password is in [`logins`](crate::logins).

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use std::os::fd::AsRawFd;

use crate::support::{BINARY, Client, DEADLINE, Server, Setup, Site, encode, own_user};

/// A client with another address of the loopback network.
pub fn connect_from(source: [u8; 4], server: SocketAddr) -> Client {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let [a, b, c, d] = source;
    bind(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0)).unwrap();
    connect(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, server.port())).unwrap();
    let stream = std::net::TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    Client(stream)
}

#[test]
fn only_clients_of_the_networks_get_a_path() {
    let site = Site::with(&[("index.html", b"home"), ("a/f", b"a"), ("a/b/f", b"b")]);
    let allow = ["--allow=/a=127.0.0.2,2001:db8::/32", "--allow=/a/b=127.0.0.3/32", "--allow=/a/b=192.0.2.0/24"];
    let server = Server::with(&site, &allow);
    for (last, statuses) in [(1, [200, 403, 403, 403]), (2, [200, 200, 403, 404]), (3, [200, 403, 200, 403])] {
        let mut client = connect_from([127, 0, 0, last], server.address);
        let targets = ["/", "/a/f", "/a/b/f", "/a/missing"];
        assert_eq!(targets.map(|target| client.get(target).status), statuses, "127.0.0.{last}");
    }
}

/// IPv4 clients of a socket for both families have such an address.
#[test]
fn a_mapped_address_is_an_ipv4_address() {
    let site = Site::with(&[("a/f", b"a"), ("b/f", b"b")]);
    let listener = TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let allow = ["--allow=/a=127.0.0.0/8", "--allow=/b=::/0"];
    let mut server = Setup::new(&site, &allow).socket(listener).start();
    server.address = ([127, 0, 0, 1], port).into();
    assert_eq!((server.get("/a/f").status, server.get("/b/f").status), (200, 403));
}

#[test]
fn loopback_is_a_network_like_others() {
    let site = Site::with(&[("a/f", b"a")]);
    let server = Server::with(&site, &["--allow=/=192.0.2.0/24"]);
    assert_eq!(server.get("/a/f").status, 403);
}

#[test]
fn a_client_without_an_address_gets_no_restricted_path() {
    let site = Site::with(&[("a/f", b"a"), ("b", b"b")]);
    let path = site.outside().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = Setup::new(&site, &["--allow=/a=0.0.0.0/0,::/0"]).socket(listener).start();
    server.wait_until_ready();
    let status = |target: &str| {
        use std::io::{Read, Write};
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response[9..12].to_string()
    };
    assert_eq!((status("/a/f"), status("/b")), ("403".into(), "200".into()));
}

/// The site of [`ways_around`].
pub fn guarded_site() -> Site {
    let page = b"SECRET page, with some text that is worth compressing: SECRET SECRET SECRET SECRET";
    let site = Site::with(&[
        ("index.html", b"home"),
        ("private/index.html", b"SECRET index"),
        ("private/f", b"SECRET file"),
        ("private/d/f", b"SECRET below"),
        ("privateer/f", b"open"),
        ("public/f", b"open"),
        ("secret.html", page),
        ("secret.txt", b"open"),
    ]);
    site.write("secret.html.gz", &encode("gzip", page));
    site.write("secret.html.br", &encode("br", page));
    symlink("../private", site.path("public/folder")).unwrap();
    symlink("../private/f", site.path("public/link")).unwrap();
    symlink(site.path("private/f"), site.path("absolute")).unwrap();
    symlink("public/link", site.path("twice")).unwrap();
    symlink("secret.html", site.path("public.html")).unwrap();
    symlink("private/f", site.path("404.html")).unwrap();
    std::fs::create_dir(site.path("indexed")).unwrap();
    symlink("../private/d/f", site.path("indexed/index.html")).unwrap();
    site
}

/// Targets that lead to what `/private` and `/secret.html` protect.
pub const WAYS_AROUND: [&str; 31] = [
    "/private",
    "/private/",
    "/private/f",
    "/private/f?x",
    "/private?",
    "/private/missing",
    "/private//f",
    "//private/f",
    "///private///",
    "/./private/f",
    "/public/../private/f",
    "/public/%2e%2e/private/f",
    "/private/./d/../f",
    "/%70rivate/f",
    "/%70%72%69%76%61%74%65",
    "http://other.example/private/f",
    "HTTPS://x/private",
    "/private/index.html",
    "/public/folder",
    "/public/folder/",
    "/public/folder/f",
    "/public/folder/d/f",
    "/public/link",
    "/absolute",
    "/twice",
    "/indexed/",
    "/indexed/index.html",
    "/secret.html",
    "/secret.html.gz",
    "/secret.html.br",
    "/public.html",
];

#[test]
fn no_other_name_leads_around_a_rule() {
    let site = guarded_site();
    let rules = ["--allow=/private=192.0.2.0/24", "--allow=/secret.html=192.0.2.0/24", "--listing", "--dotfiles"];
    let server = Server::with(&site, &rules);
    let fields = [
        "",
        "Accept-Encoding: br, gzip\r\n",
        "Range: bytes=0-3\r\n",
        "Accept: application/json\r\n",
        "If-None-Match: *\r\n",
        "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n",
        "If-Match: \"x\"\r\n",
        "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n",
        "X-Original-URL: /\r\nX-Rewrite-URL: /\r\n",
    ];
    for target in WAYS_AROUND {
        for field in fields {
            let mut client = server.connect();
            client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{field}\r\n"));
            let response = client.response();
            assert_eq!(response.status, 403, "{target} {field}");
            assert!(!response.text().contains("SECRET"), "{target} {field}");
            assert_eq!((response.field("ETag"), response.field("Location")), (None, None), "{target} {field}");
            client.send(format!("HEAD {target} HTTP/1.1\r\nHost: x\r\n{field}\r\n"));
            assert_eq!(client.head().status, 403, "{target} {field}");
        }
    }
    for target in ["/", "/privateer/f", "/public/", "/public/f", "/secret.txt", "/Private", "/private%2Ff", "/privat"] {
        let response = server.get(target);
        assert!(matches!(response.status, 200 | 404), "{target}");
        assert!(!response.text().contains("SECRET"), "{target}");
        // The page of a 404 is one of the files that only some clients get.
        let expected = if response.status == 404 { "private" } else { "no-cache" };
        assert_eq!(response.field("Cache-Control"), Some(expected), "{target}");
    }
}

/// A page is covered by the name that it has in a URL, and by that of its file.
#[test]
fn names_of_pages_lead_around_no_rule() {
    let site = Site::with(&[
        ("private.html", b"SECRET"),
        ("both.html", b"SECRET"),
        ("both/index.html", b"SECRET"),
        ("privateer.html", b"open"),
        ("a/private.html", b"open"),
    ]);
    symlink("private.html", site.path("alias.html")).unwrap();
    let users = crate::logins::Users::new();
    for pretty in ["off", "on", "redirect"] {
        for prefix in ["/private", "/private.html", "/private/"] {
            for (rule, refused) in [(format!("--allow={prefix}=192.0.2.0/24"), 403), (users.rule(prefix), 401)] {
                let server = Server::with(&site, &[&rule, &format!("--pretty={pretty}")]);
                for target in
                    ["/private", "/private.html", "/private/", "/private.html/", "/alias", "/alias.html", "/alias/"]
                {
                    let response = server.get(target);
                    let is_nothing = response.status == 404 && response.field("Location").is_none();
                    assert!(response.status == refused || is_nothing, "{prefix} {pretty} {target}: {response:?}");
                    assert!(!response.text().contains("SECRET"), "{prefix} {pretty} {target}");
                }
                let page = if pretty == "off" { "/private.html" } else { "/private" };
                assert_eq!(server.get(page).status, refused, "{prefix} {pretty}");
                for target in ["/privateer.html", "/a/private.html", "/both"] {
                    assert!(matches!(server.get(target).status, 200 | 301), "{target}");
                }
            }
        }
        for prefix in ["/both", "/both/"] {
            let rule = format!("--allow={prefix}=192.0.2.0/24");
            let server = Server::with(&site, &[&rule, &format!("--pretty={pretty}")]);
            for target in ["/both", "/both/", "/both.html", "/both/index.html", "/both/index"] {
                assert_eq!(server.get(target).status, 403, "{prefix} {pretty} {target}");
            }
        }
    }
}

/// A link that changes takes effect with the next request.
#[test]
fn the_present_target_of_a_link_counts() {
    let site = Site::with(&[("open", b"open"), ("private/f", b"SECRET")]);
    symlink("open", site.path("link")).unwrap();
    let server = Server::with(&site, &["--allow=/private=192.0.2.0/24", "--workers=1"]);
    for round in 0..20 {
        let (target, expected) = if round % 2 == 0 { ("open", 200) } else { ("private/f", 403) };
        symlink(target, site.path("next")).unwrap();
        std::fs::rename(site.path("next"), site.path("link")).unwrap();
        assert_eq!(server.get("/link").status, expected, "round {round}");
    }
}

#[test]
fn the_page_for_others_is_the_sites_own() {
    let site = Site::with(&[("private/f", b"f"), ("403.html", b"not for you")]);
    let server = Server::with(&site, &["--allow=/=192.0.2.0/24"]);
    for target in ["/private/f", "/", "/403.html"] {
        let response = server.get(target);
        assert_eq!((response.status, response.text().as_str()), (403, "not for you"), "{target}");
        assert_eq!(response.field("Cache-Control"), Some("private"));
    }
}

/// The page of an error is a file as well. A target that cannot be decoded is rejected before its path is known.
#[test]
fn an_error_page_that_is_for_others_is_not_sent() {
    let site = Site::with(&[("404.html", b"SECRET")]);
    let server = Server::with(&site, &["--allow=/=192.0.2.0/24"]);
    let response = server.get("/a%2Fb");
    assert!(response.status == 404 && !response.text().contains("SECRET"));
    let server = Server::with(&site, &["--allow=/404.html=192.0.2.0/24"]);
    let response = server.get("/missing");
    assert!(response.status == 404 && !response.text().contains("SECRET"));
}

#[test]
fn what_some_clients_get_is_for_no_shared_cache() {
    let site = Site::with(&[("private/f", b"f"), ("private/large", &[b'x'; 100_000]), ("open", b"open")]);
    let server = Server::with(&site, &["--allow=/private=127.0.0.0/8", "--listing"]);
    for (target, expected) in [
        ("/private/f", Some("private, no-cache")),
        ("/private/large", Some("private, no-cache")),
        ("/private/", Some("private, no-cache")),
        ("/private", Some("private")),
        ("/private/missing", Some("private")),
        ("/open", Some("no-cache")),
    ] {
        assert_eq!(server.get(target).field("Cache-Control"), expected, "{target}");
    }
    let tag = server.get("/private/f").field("ETag").unwrap().to_string();
    for (field, status, expected) in [
        (format!("If-None-Match: {tag}"), 304, "private, no-cache"),
        ("Range: bytes=0-0".into(), 206, "private, no-cache"),
        ("Range: bytes=9-".into(), 416, "private"),
    ] {
        let mut client = server.connect();
        client.send(format!("GET /private/f HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n"));
        let response = client.response_or_304();
        assert_eq!((response.status, response.field("Cache-Control")), (status, Some(expected)));
    }
}

#[test]
fn challenges_are_for_everybody() {
    let site = Site::with(&[(".well-known/acme-challenge/token", b"of the site"), (".well-known/other", b"other")]);
    let server = Server::with(&site, &["--allow=/=192.0.2.0/24"]);
    assert_eq!(server.get("/.well-known/acme-challenge/token").text(), "of the site");
    assert_eq!(server.get("/.well-known/acme-challenge/../other").status, 403);
    symlink("../other", site.path(".well-known/acme-challenge/link")).unwrap();
    assert_eq!(server.get("/.well-known/acme-challenge/link").status, 403);
}

#[test]
fn a_rule_that_cannot_hold_prevents_the_start() {
    let root = Site::new();
    for (value, why) in [
        ("x.test/a=::1", "--allow (OTUS_ALLOW) x.test/a is for one host"),
        ("/a=example.org", "give networks such as"),
        ("/a=192.0.2.7/24", "give 192.0.2.0/24"),
        ("a=::1", "has no slash"),
        ("/a", "give a prefix and the networks"),
    ] {
        for check in [&[][..], &["--check"]] {
            let output = std::process::Command::new(BINARY)
                .args(["--port=0", &format!("--root={}", root.root().display()), &format!("--allow={value}")])
                .args(check)
                .envs(own_user())
                .output()
                .unwrap();
            let log = String::from_utf8(output.stderr).unwrap();
            assert!(matches!(output.status.code(), Some(1 | 2)) && log.contains(why), "{value}: {log}");
        }
    }
}

/// Several rules in one setting are separated by semicolons, since commas separate networks.
#[test]
fn rules_can_be_a_setting() {
    let site = Site::with(&[("a/f", b"a"), ("b/f", b"b"), ("c", b"c")]);
    let setup = Setup::new(&site, &[]).env("OTUS_ALLOW", "/a=192.0.2.0/24,::1;/b=127.0.0.0/8");
    let server = setup.listen();
    assert_eq!(["/a/f", "/b/f", "/c"].map(|target| server.get(target).status), [403, 200, 200]);
}

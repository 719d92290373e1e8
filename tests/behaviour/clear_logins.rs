//! Passwords over plain HTTP: they are not asked for where anybody on the way could read them.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use crate::https::Certificates;
use crate::logins::{Users, basic};
use crate::support::{Client, Response, Server, Setup, Site};

fn site() -> Site {
    Site::with(&[("private/f", b"SECRET"), ("open", b"open"), ("_redirects", b"/private/old /open 302!\n")])
}

fn ask(client: &mut Client, target: &str, fields: &str) -> Response {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")).response()
}

/// The redirect is first: a browser must not ask for a password that it would send in clear, and one that it sends is not
/// compared.
#[test]
fn a_redirect_to_https_precedes_the_question_for_a_password() {
    let (site, users, certificates) = (site(), Users::new(), Certificates::new());
    let [http, https] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, tls_port) = (http.local_addr().unwrap(), https.local_addr().unwrap().port());
    let rules = [
        certificates.option(),
        "--redirect-to-https".into(),
        users.rule("/private"),
        "--allow=/private/net=192.0.2.0/24".into(),
    ];
    let setup = Setup::new(&site, &rules.iter().map(String::as_str).collect::<Vec<_>>());
    let server = setup.env("LISTEN_FDNAMES", "http:https").socket(http).socket(https).start();
    server.wait_until_ready();
    let (right, wrong) = (basic("anna", "pa:ss"), basic("anna", "wrong"));
    for fields in [String::new(), format!("Authorization: {right}\r\n"), format!("Authorization: {wrong}\r\n")] {
        for target in ["/private/f", "/private", "/private/missing", "/private/old", "/private/net/f", "/open"] {
            let response = ask(&mut Client::connect(address), target, &fields);
            let location = format!("https://localhost:{tls_port}{target}");
            assert_eq!((response.status, response.field("Location")), (301, Some(location.as_str())), "{fields}");
            assert_eq!(response.field("WWW-Authenticate"), None);
        }
    }
    // Other names cannot be redirected. This machine is trusted with a password.
    let mut client = Client::connect(address);
    client.send("GET /private/f HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(client.response().status, 401);
}

/// Gives this thread a network of its own, in which this machine has a public address as well. perl sets it (netdevice(7)).
fn enter_network() {
    unshare(CloneFlags::CLONE_NEWNET).expect("this test makes a network namespace: run it as root");
    let script = r#"use Socket; socket(S, AF_INET, SOCK_DGRAM, 0);
        my $up = pack("a16 s x22", "lo", 0x49); ioctl(S, 0x8914, $up) or die $!;
        my $address = pack("a16 a16 x8", "lo:1", pack_sockaddr_in(0, inet_aton("192.0.2.1"))); ioctl(S, 0x8916, $address) or die $!"#;
    assert!(Command::new("perl").args(["-e", script]).status().unwrap().success());
}

fn serve_in_public(site: &Site, arguments: &[&str]) -> Server {
    let listener = TcpListener::bind("192.0.2.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = Setup::new(site, arguments).socket(listener).start();
    server.address = address;
    server
}

#[test]
fn clients_at_public_addresses_are_not_asked_for_a_password_in_clear() {
    let (site, users) = (site(), Users::new());
    site.write("403.html", b"of the site");
    enter_network();
    let server = serve_in_public(&site, &[&users.rule("/private")]);
    for password in ["pa:ss", "wrong"] {
        let authorization = format!("Authorization: {}\r\n", basic("anna", password));
        for fields in [authorization.as_str(), ""] {
            for target in ["/private/f", "/private/missing", "/private/old"] {
                let response = ask(&mut server.connect(), target, fields);
                assert_eq!((response.status, response.field("WWW-Authenticate")), (403, None), "{target} {fields}");
                assert_eq!(response.field("Cache-Control"), Some("private"));
                assert!(!response.text().contains("SECRET"));
            }
        }
    }
    fs::remove_file(site.path("403.html")).unwrap();
    let page = || ask(&mut server.connect(), "/private/f", "").text();
    crate::support::wait_until("the page that names the remedy", || page().contains("begins with https://"));
    assert_eq!(ask(&mut server.connect(), "/open", "").status, 200);
    let server = serve_in_public(&site, &[&users.rule("/private"), "--auth-over-http"]);
    assert_eq!(ask(&mut server.connect(), "/private/f", "").status, 401);
    let right = format!("Authorization: {}\r\n", basic("anna", "pa:ss"));
    assert_eq!(ask(&mut server.connect(), "/private/f", &right).text(), "SECRET");
}

//! The challenges of certification authorities.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::{Server, Setup, Site};

const PATH: &str = "/.well-known/acme-challenge";

/// A site, and the argument that sets its directory of challenges, which is outside the document root.
fn site() -> (Site, String) {
    let site = Site::with(&[("index.html", b"home")]);
    let folder = site.outside().join("challenges");
    (site, format!("--acme-challenges={}", folder.display()))
}

#[test]
fn challenges_are_served_for_every_host() {
    let (site, argument) = site();
    let folder = site.outside().join("challenges");
    fs::create_dir(&folder).unwrap();
    let server = Server::with(&site, &[&argument]);
    // Written while the server runs, and confined workers can read it.
    fs::write(folder.join("To-ken_1"), "To-ken_1.thumbprint").unwrap();
    for host in ["example.org", "EXAMPLE.com:8080", "[::1]"] {
        let mut client = server.connect();
        client.send(format!("GET {PATH}/To-ken_1 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, "To-ken_1.thumbprint"), "{host}");
        assert_eq!(response.field("Content-Type"), Some("text/plain"));
        assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(response.field("Cache-Control"), Some("no-store"));
    }
    let mut client = server.connect();
    client.send(format!("HEAD {PATH}/To-ken_1 HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_eq!(client.head().field("Content-Length"), Some("19"));
    assert_eq!(client.send(format!("GET http://x{PATH}/%54o-ken_1?a HTTP/1.0\r\n\r\n")).response().status, 200);

    // It is read again for each request.
    fs::write(folder.join("To-ken_1"), "other").unwrap();
    assert_eq!(server.get(&format!("{PATH}/To-ken_1")).text(), "other");
    fs::remove_file(folder.join("To-ken_1")).unwrap();
    assert_eq!(server.get(&format!("{PATH}/To-ken_1")).status, 404);
}

#[test]
fn nothing_else_is_served_from_the_directory_of_challenges() {
    let (site, argument) = site();
    let folder = site.outside().join("challenges");
    fs::create_dir_all(folder.join("directory")).unwrap();
    for name in ["a.txt", ".hidden", "directory/token"] {
        fs::write(folder.join(name), "secret").unwrap();
    }
    fs::write(site.outside().join("secret"), "secret").unwrap();
    symlink("../secret", folder.join("link")).unwrap();
    fs::write(folder.join("private"), "secret").unwrap();
    fs::set_permissions(folder.join("private"), fs::Permissions::from_mode(0o000)).unwrap();
    let server = Server::with(&site, &[&argument, "--listing", "--dotfiles"]);
    for name in ["", "a.txt", ".hidden", "directory", "directory/", "directory/token", "link", "%2e%2e", "a%2ftoken"] {
        assert_eq!(server.get(&format!("{PATH}/{name}")).status, 404, "{name}");
    }
    assert_eq!(server.get(&format!("{PATH}/../../challenges/token")).status, 404);
    assert_eq!(server.get(PATH).status, 404);
}

#[test]
fn a_missing_directory_of_challenges_is_not_a_fault() {
    let (site, argument) = site();
    let server = Setup::new(&site, &[&argument]).listen();
    server.wait_until_ready();
    assert_eq!(server.get(&format!("{PATH}/token")).status, 404);
    assert_eq!(server.get("/").text(), "home");
    assert_eq!(server.warnings(), [""; 0]);
}

/// Sites that were set up for `certbot --webroot` with the document root continue to work.
#[test]
fn a_challenge_in_the_document_root_is_served_if_the_directory_has_none() {
    let (site, argument) = site();
    let folder = site.outside().join("challenges");
    fs::create_dir(&folder).unwrap();
    site.write(".well-known/acme-challenge/token", b"of the site");
    let server = Server::with(&site, &[&argument]);
    assert_eq!(server.get(&format!("{PATH}/token")).text(), "of the site");
    fs::write(folder.join("token"), "of the directory").unwrap();
    assert_eq!(server.get(&format!("{PATH}/token")).text(), "of the directory");
}

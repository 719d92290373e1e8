//! Directory listings.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use nix::unistd::geteuid;

use crate::support::{Client, Response, Server, Site, wait_until};

/// The field that marks an incomplete listing.
const INCOMPLETE: &str = "Listing-Incomplete";

fn ask(client: &mut Client, target: &str, accept: &str) -> Response {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n")).response()
}

fn site() -> Site {
    let site = Site::with(&[
        ("dir/<b>&\"'.txt", b"12345"),
        ("dir/sub/file", b""),
        ("dir/.hidden", b""),
        ("dir/a b", b""),
        ("indexed/index.html", b"index"),
    ]);
    fs::write(site.outside().join("secret"), "SECRET").unwrap();
    symlink("../../secret", site.path("dir/leaves")).unwrap();
    symlink("sub", site.path("dir/stays")).unwrap();
    symlink("nothing", site.path("dir/dangling")).unwrap();
    site
}

#[test]
fn without_listing_a_directory_is_404() {
    let server = Server::of(&site());
    assert_eq!(server.get("/dir/").status, 404);
}

#[test]
fn a_page_shows_what_would_be_served_and_nothing_else() {
    let site = site();
    let server = Server::with(&site, &["--listing"]);
    let mut client = server.connect();
    let response = ask(&mut client, "/dir/", "text/html,*/*;q=0.8");
    assert_eq!((response.status, response.field("Content-Type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(response.field("Vary"), Some("Accept"));
    let page = response.text();
    assert!(page.contains("&lt;b&gt;&amp;") && !page.contains("<b>"), "{page}");
    assert!(
        page.contains("href=\"sub/\"") && page.contains("href=\"stays/\"") && page.contains("href=\"a%20b\""),
        "{page}"
    );
    for hidden in [".hidden", "leaves", "dangling", "secret"] {
        assert!(!page.contains(hidden), "{hidden} in {page}");
    }
    assert_eq!(client.get("/dir").status, 301);
    assert_eq!(client.get("/indexed/").text(), "index");
    assert_eq!(client.get("/none/").status, 404);
    assert_eq!(client.get("/dir/a%20b/").status, 404);
    assert!(client.get("/").text().contains("href=\"dir/\""));
}

#[test]
fn json_is_sent_on_request() {
    let site = site();
    let server = Server::with(&site, &["--listing", "--dotfiles"]);
    let mut client = server.connect();
    let response = ask(&mut client, "/dir/", "application/json");
    assert_eq!(response.field("Content-Type"), Some("application/json"));
    let text = response.text();
    assert!(text.contains(r#""name":"<b>&\"'.txt""#) && text.contains(r#""size":5,"#), "{text}");
    assert!(text.contains(r#""name":".hidden""#), "{text}");
    let head = client.send("HEAD /dir/ HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n").head();
    assert_eq!(head.content_length(), text.len());
    assert_eq!(client.get("/dir/sub/file").status, 200);
}

/// Links that programs can follow which decode no entities, split at every colon, or do not support `./`.
#[test]
fn links_are_percent_encoded() {
    let site = Site::with(&[("a&b", b""), ("quo'te.txt", b""), ("a:b", b""), ("x;y+z=1", b""), ("sub/f", b"")]);
    let server = Server::with(&site, &["--listing"]);
    let mut client = server.connect();
    let page = client.get("/").text();
    for link in ["a%26b", "quo%27te.txt", "a%3Ab", "x%3By%2Bz%3D1", "sub/"] {
        assert!(page.contains(&format!("href=\"{link}\"")), "{link} in {page}");
        assert!(matches!(client.get(&format!("/{link}")).status, 200), "{link}");
    }
}

#[test]
fn a_truncated_listing_is_marked_and_lacks_the_last_names() {
    let site = Site::new();
    // The order differs from that of the names.
    for number in (0..10_050).rev() {
        site.write(format!("many/f{:05}", number * 7919 % 10_050), b"");
    }
    // A directory and a link to a directory are listed first.
    fs::create_dir(site.path("many/zz")).unwrap();
    symlink("zz", site.path("many/ll")).unwrap();
    let server = Server::with(&site, &["--listing"]);
    let mut client = server.connect();
    let [page, array] = ["text/html", "application/json"].map(|accept| ask(&mut client, "/many/", accept));
    assert!(page.text().contains("This list is not complete"));
    for answer in [&page, &array] {
        assert_eq!(answer.field(INCOMPLETE), Some("?1"));
        let text = answer.text();
        assert!(["ll/\"", "zz/\"", "f00000\"", "f09997\""].iter().all(|listed| text.contains(listed)));
        assert!(!text.contains("f09998\"") && !text.contains("f10049\""));
    }
    let entries =
        array.text().lines().filter(|line| line.starts_with("{\"name\":\"") && line.contains("\"mtime\":\"")).count();
    assert_eq!((entries, array.text().lines().count()), (10_000, 10_002), "nothing but entries");
    let head = client.send("HEAD /many/ HTTP/1.1\r\nHost: a\r\n\r\n").head();
    assert_eq!((head.field(INCOMPLETE), head.content_length()), (Some("?1"), page.body.len()));
    for number in 9_000..10_050 {
        fs::remove_file(site.path(format!("many/f{number:05}"))).unwrap();
    }
    // An earlier listing is shared for a second.
    wait_until("a listing that is whole", || {
        let answer = ask(&mut client, "/many/", "text/html");
        let is_complete = answer.field(INCOMPLETE).is_none();
        assert_eq!(is_complete, !answer.text().contains("not complete"));
        is_complete
    });
}

#[test]
fn a_directory_with_search_permission_only_is_listed_if_it_has_an_index() {
    let site = Site::with(&[
        ("xonly/index.html", b"index"),
        ("secret-index/index.html", b"index"),
        ("index-directory/index.html/f", b""),
        ("bare/f", b""),
        ("secret", b""),
        ("open/f", b""),
    ]);
    fs::create_dir(site.path("closed")).unwrap();
    let modes = [
        ("secret-index/index.html", 0),
        ("xonly", 0o311),
        ("secret-index", 0o311),
        ("index-directory", 0o311),
        ("bare", 0o311),
        ("closed", 0o444),
        ("secret", 0),
        ("open", 0o555),
    ];
    let set = |name: &str, mode| fs::set_permissions(site.path(name), Permissions::from_mode(mode)).unwrap();
    for directory in [site.outside().to_path_buf(), site.root()] {
        fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
    }
    modes.iter().for_each(|(name, mode)| set(name, *mode));
    // Root may read everything.
    let user: &[_] = if geteuid().is_root() { &["--user=nobody"] } else { &[] };
    let page = Server::with(&site, &[&["--listing"], user].concat()).get("/").text();
    // Otherwise another user than root could not remove them.
    modes.iter().rev().for_each(|(name, _)| set(name, 0o755));
    assert!(page.contains("href=\"xonly/\"") && page.contains("href=\"open/\""), "{page}");
    for hidden in ["bare", "closed", "secret", "index-directory"] {
        assert!(!page.contains(hidden), "{hidden} in {page}");
    }
}

/// Each dangling link is checked. The number of checks is limited, and the other entries are still listed.
#[test]
fn the_number_of_checked_names_is_bounded() {
    let site = Site::with(&[("many/z", b"z")]);
    symlink("z", site.path("many/y")).unwrap();
    for number in 0..30_000 {
        symlink("nothing", site.path(format!("many/{number:05}"))).unwrap();
    }
    let server = Server::with(&site, &["--listing"]);
    let page = server.get("/many/").text();
    assert!(page.contains("This list is not complete"));
    assert!(page.contains("href=\"z\"") && !page.contains("href=\"y\""), "{page}");
}

/// The links of a page to its entries, in their order.
fn links(page: &str) -> Vec<&str> {
    let rows = page.split("<tbody").skip(1).filter(|part| !part.starts_with(" class=\"u\""));
    rows.flat_map(|part| part.split("href=\"").skip(1)).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn names_are_in_natural_order_and_columns_sort_by_links() {
    let site =
        Site::with(&[("d/file10", b"1"), ("d/File2", b"333"), ("d/file1", b"22"), ("d/z/f", b""), ("d/dir9/f", b"")]);
    let server = Server::with(&site, &["--listing", "--workers=1"]);
    let mut client = server.connect();
    let mut check = |target: &str, expected: [&str; 5]| {
        let page = ask(&mut client, target, "text/html").text();
        assert_eq!(links(&page), expected, "{target}");
        page
    };
    check("/d/?sort=name&order=desc", ["z/", "dir9/", "file10", "File2", "file1"]);
    check("/d/?sort=size&order=asc", ["dir9/", "z/", "file10", "file1", "File2"]);
    check("/d/?other=1", ["dir9/", "z/", "file1", "File2", "file10"]);
    let mut page = check("/d/", ["dir9/", "z/", "file1", "File2", "file10"]);
    // Each heading leads to an order, and the page of that order says so.
    for (heading, sorted) in
        [("Size", "descending"), ("Size", "ascending"), ("Modified (UTC)", "descending"), ("Name", "ascending")]
    {
        let link = page
            .split(&format!("\" rel=\"nofollow\">{heading}</a>"))
            .next()
            .and_then(|before| before.rsplit('"').next());
        let target = format!("/d/{}", link.unwrap().replace("&amp;", "&"));
        page = ask(&mut client, &target, "text/html").text();
        assert!(page.contains(&format!("<th aria-sort=\"{sorted}\"><a")), "{target}: {page}");
        assert_eq!(page.matches("aria-sort=\"").count(), 1, "{page}");
    }
    let array = ask(&mut client, "/d/?sort=size&order=desc", "application/json").text();
    let names: Vec<_> = array.split("\"name\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(names, ["dir9", "z", "File2", "file1", "file10"], "programs get what they know");
}

#[test]
fn pages_of_the_server_allow_their_own_script_and_style_only() {
    let server = Server::with(&site(), &["--listing"]);
    let mut client = server.connect();
    let listing = ask(&mut client, "/dir/", "text/html");
    let policy = listing.field("Content-Security-Policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && policy.contains("; script-src 'sha256-"));
    assert!(!policy.contains("unsafe") && !policy.contains("data:") && !policy.contains("http"), "{policy}");
    let error = client.get("/none");
    let policy = error.field("Content-Security-Policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("script-src"), "{policy}");
    assert!(error.body.len() <= 2048 && error.text().contains("<h1>404 Not Found</h1>"));
    for other in [ask(&mut client, "/dir/", "application/json"), client.get("/indexed/"), client.get("/dir")] {
        assert_eq!(other.field("Content-Security-Policy"), None, "{other:?}");
    }
}

/// Which entries a page lacks, people and programs see by their own orders.
#[test]
fn a_truncated_page_has_the_first_names_in_natural_order() {
    let site = Site::new();
    for number in 1..=10_001 {
        site.write(format!("many/f{number}"), b"");
    }
    let server = Server::with(&site, &["--listing"]);
    let mut client = server.connect();
    let page = ask(&mut client, "/many/?sort=name&order=desc", "text/html").text();
    let links = links(&page);
    assert_eq!((links.len(), links[0], links[9_999]), (10_000, "f10000", "f1"));
    let array = ask(&mut client, "/many/", "application/json").text();
    assert!(array.contains("\"f10001\"") && !array.contains("\"f9999\""));
}

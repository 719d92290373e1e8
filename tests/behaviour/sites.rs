//! Many sites in one directory, by host.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{
    BINARY, Client, Response, Server, Setup, Site, is_open, open_descriptors, own_user, ticks, wait_until,
};

/// Starts two workers for the directory of sites.
fn serve(sites: &Site, arguments: &[&str]) -> Server {
    let directory = format!("--sites={}", sites.root().display());
    Setup::bare(&[&["--workers=2", &directory], arguments].concat()).listen()
}

/// A site for each of these hosts, whose page is its name.
fn sites(hosts: &[&str]) -> Site {
    let sites = Site::new();
    hosts.iter().for_each(|host| make(&sites, host));
    sites
}

fn make(sites: &Site, host: &str) {
    sites.write(format!("{host}/index.html"), host.as_bytes());
}

fn send(server: &Server, request: &str) -> Response {
    server.connect().send(request).response()
}

fn get_of(server: &Server, host: &str, target: &str) -> Response {
    send(server, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

/// The status, or the page of a 200.
fn page(server: &Server, host: &str) -> String {
    match get_of(server, host, "/") {
        response if response.status == 200 => response.text(),
        response => response.status.to_string(),
    }
}

#[test]
fn a_host_selects_its_site_whatever_its_form() {
    let sites = sites(&["a.test", "b.test", "xn--bcher-kva.test", "192.0.2.1", "Upper.test"]);
    let server = serve(&sites, &[]);
    for (host, expected) in [
        ("a.test", "a.test"),
        ("b.test", "b.test"),
        ("A.Test", "a.test"),
        ("a.test:80", "a.test"),
        ("a.test:", "a.test"),
        ("a.test.", "a.test"),
        ("A.TEST.:8080", "a.test"),
        ("xn--bcher-kva.test", "xn--bcher-kva.test"),
        ("XN--BCHER-KVA.test", "xn--bcher-kva.test"),
        ("upper.test", "Upper.test"),
        ("192.0.2.1:8080", "192.0.2.1"),
    ] {
        assert_eq!(page(&server, host), expected, "{host}");
    }
    let absolute = "GET http://B.test:80/index.html HTTP/1.1\r\nHost: a.test\r\n\r\n";
    assert_eq!(send(&server, absolute).text(), "b.test");
    let old = "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n";
    assert_eq!(send(&server, old).text(), "a.test");
}

#[test]
fn another_host_gets_421_and_a_request_without_a_host_404() {
    let sites = sites(&["a.test", ".hidden", "a.test/b.test", "file.test/.well-known"]);
    sites.write("plain.test", b"a file");
    let server = serve(&sites, &[]);
    for host in [
        "c.test",
        "sub.a.test",
        "test",
        "a.test..",
        ".hidden",
        "hidden",
        ".",
        "..",
        "a.test%2fb.test",
        "a.test%00",
        "%2e%2e",
        "_default",
        "plain.test",
        "[::1]",
        "a.test,b.test",
    ] {
        assert_eq!(page(&server, host), "421", "{host}");
    }
    // These are no host at all.
    for host in ["a.test/", "../root/a.test", "a.test/../a.test", "", "a\u{0}b", "b\u{fc}cher.test", "a b"] {
        assert_eq!(page(&server, host), "400", "{host:?}");
    }
    assert_eq!(send(&server, "GET / HTTP/1.0\r\n\r\n").status, 404);
    assert_eq!(get_of(&server, "x".repeat(255).as_str(), "/").status, 421);
}

#[test]
fn default_answers_for_all_other_hosts() {
    let sites = sites(&["a.test", "_default"]);
    let server = serve(&sites, &[]);
    for host in ["c.test", "_default", "[::1]:80", "..", &"x".repeat(255)] {
        assert_eq!(page(&server, host), "_default", "{host}");
    }
    assert_eq!(page(&server, "a.test"), "a.test");
    assert_eq!(send(&server, "GET / HTTP/1.0\r\n\r\n").text(), "_default");
    fs::rename(sites.path("_default"), sites.path("c.test")).unwrap();
    wait_until("no default", || (0..10).all(|_| page(&server, "d.test") == "421"));
    assert_eq!(page(&server, "c.test"), "_default");
}

#[test]
fn links_inside_the_directory_are_aliases_and_others_are_refused_at_the_start() {
    let sites = sites(&["a.test", ".releases/b-1", "b\u{fc}cher.test", "b\u{fc}cher.example"]);
    fs::create_dir(sites.outside().join("elsewhere")).unwrap();
    fs::write(sites.outside().join("elsewhere/index.html"), "secret").unwrap();
    for (target, link) in [
        ("a.test".into(), "www.a.test"),
        ("./www.a.test/".into(), "ftp.a.test"),
        (sites.path("a.test"), "absolute.test"),
        (".releases/b-1".into(), "b.test"),
        ("b\u{fc}cher.test".into(), "xn--bcher-kva.test"),
        ("../elsewhere".into(), "out.test"),
        (sites.outside().join("elsewhere"), "absolute-out.test"),
        ("nothing".into(), "dangling.test"),
        ("loop.test".into(), "loop.test"),
        ("/proc/self/cwd".into(), "magic.test"),
    ] {
        symlink(target, sites.path(link)).unwrap();
    }
    let server = serve(&sites, &[]);
    for (host, expected) in [
        ("www.a.test", "a.test"),
        ("ftp.a.test", "a.test"),
        ("absolute.test", "a.test"),
        ("b.test", ".releases/b-1"),
        ("xn--bcher-kva.test", "b\u{fc}cher.test"),
        ("out.test", "421"),
        ("absolute-out.test", "421"),
        ("dangling.test", "421"),
        ("loop.test", "421"),
        ("magic.test", "421"),
    ] {
        assert_eq!(page(&server, host), expected, "{host}");
    }
    let warnings = server.warnings();
    for (name, reason) in [
        ("out.test", "a link that leads out of the directory"),
        ("absolute-out.test", "a link that leads out of the directory"),
        ("dangling.test", "a link that leads nowhere"),
        ("b\u{fc}cher.example", "A-label"),
    ] {
        let is_found = |line: &&String| line.contains(&format!("/{name} is no site:")) && line.contains(reason);
        assert_eq!(warnings.iter().filter(is_found).count(), 1, "{name}: {warnings:#?}");
    }
    assert!(!warnings.iter().any(|line| line.contains("b\u{fc}cher.test")), "a link leads to it: {warnings:#?}");
}

#[test]
fn a_link_from_one_site_to_another_is_forbidden() {
    let sites = sites(&["a.test", "b.test"]);
    for (target, link) in [
        ("../b.test".into(), "x"),
        (sites.path("b.test"), "y"),
        ("../b.test/index.html".into(), "z.html"),
        ("index.html".into(), "inside.html"),
        (sites.path("a.test/index.html"), "absolute.html"),
    ] {
        symlink(target, sites.path("a.test").join(link)).unwrap();
    }
    symlink("a.test", sites.path("www.a.test")).unwrap();
    let server = serve(&sites, &[]);
    for (target, status) in
        [("/x/", 403), ("/x/index.html", 403), ("/y/", 403), ("/z.html", 403), ("/inside.html", 200)]
    {
        for host in ["a.test", "www.a.test"] {
            assert_eq!(get_of(&server, host, target).status, status, "{target}");
        }
    }
    assert_eq!(get_of(&server, "a.test", "/absolute.html").text(), "a.test");
}

#[test]
fn sites_that_are_made_renamed_and_removed_are_seen_without_a_reload() {
    let sites = sites(&["a.test"]);
    let server = serve(&sites, &[]);
    let is_everywhere = |host: &str, expected: &str| (0..10).all(|_| page(&server, host) == expected);
    assert_eq!((page(&server, "a.test"), page(&server, "b.test")), ("a.test".into(), "421".into()));
    make(&sites, "b.test");
    wait_until("a new site", || is_everywhere("b.test", "b.test"));
    fs::rename(sites.path("b.test"), sites.path("c.test")).unwrap();
    wait_until("the new name", || is_everywhere("c.test", "b.test"));
    wait_until("no old name", || is_everywhere("b.test", "421"));
    symlink("a.test", sites.path("b.test")).unwrap();
    wait_until("an alias", || is_everywhere("b.test", "a.test"));
    fs::remove_file(sites.path("b.test")).unwrap();
    symlink("c.test", sites.path("b.test")).unwrap();
    wait_until("an alias of another", || is_everywhere("b.test", "b.test"));
    fs::remove_dir_all(sites.path("c.test")).unwrap();
    wait_until("no removed site", || is_everywhere("c.test", "421"));
    fs::remove_dir_all(sites.path("a.test")).unwrap();
    wait_until("nothing", || is_everywhere("a.test", "421"));
}

#[test]
fn a_site_is_published_by_a_link_and_each_release_has_its_own_error_page() {
    let sites = sites(&[".releases/1", ".releases/2"]);
    symlink(".releases/1", sites.path("a.test")).unwrap();
    sites.write(".releases/2/404.html", b"second");
    let server = serve(&sites, &[]);
    assert_eq!(page(&server, "a.test"), ".releases/1");
    assert!(get_of(&server, "a.test", "/none").text().contains("404"));
    symlink(".releases/2", sites.path(".new")).unwrap();
    fs::rename(sites.path(".new"), sites.path("a.test")).unwrap();
    wait_until("the second release", || (0..10).all(|_| page(&server, "a.test") == ".releases/2"));
    let missing = get_of(&server, "a.test", "/none");
    assert_eq!((missing.status, missing.text().as_str()), (404, "second"));
    // A link that is switched to a directory outside is no site any more.
    fs::create_dir(sites.outside().join("elsewhere")).unwrap();
    symlink("../elsewhere", sites.path(".new")).unwrap();
    fs::rename(sites.path(".new"), sites.path("a.test")).unwrap();
    wait_until("no site", || (0..10).all(|_| page(&server, "a.test") == "421"));
    server.wait_for_log("/a.test is no site: it is a link that leads out of");
}

#[test]
fn a_directory_of_sites_that_is_missing_or_replaced_is_noticed() {
    let sites = sites(&["a.test"]);
    fs::rename(sites.root(), sites.outside().join("later")).unwrap();
    let server = serve(&sites, &[]);
    assert_eq!(get_of(&server, "a.test", "/").status, 503);
    assert!(server.log().contains("The directory of sites"), "{}", server.log());
    fs::rename(sites.outside().join("later"), sites.root()).unwrap();
    wait_until("the directory", || (0..10).all(|_| page(&server, "a.test") == "a.test"));
    fs::rename(sites.root(), sites.outside().join("old")).unwrap();
    make(&sites, "a.test/new");
    make(&sites, "b.test");
    wait_until("another directory", || (0..10).all(|_| page(&server, "b.test") == "b.test"));
    assert_eq!(page(&server, "a.test"), "404");
    fs::remove_dir_all(sites.root()).unwrap();
    wait_until("no directory", || (0..10).all(|_| page(&server, "b.test") == "503"));
    server.wait_for_log("does not exist or cannot be read");
}

#[test]
fn a_reload_and_the_log_know_the_sites() {
    let sites = sites(&["a.test"]);
    let server = serve(&sites, &["--access-log=stderr"]);
    server.wait_for_log(&format!("directory of sites: {}", sites.root().display()));
    assert_eq!(page(&server, "A.test:80"), "a.test");
    server.wait_for_log("\"http_host\":\"A.test:80\"");
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
    assert_eq!(page(&server, "a.test"), "a.test");
}

#[test]
fn a_root_beside_sites_is_a_usage_error() {
    let sites = sites(&["a.test"]);
    let directory = sites.root().display().to_string();
    let settings = sites.outside().join("settings");
    fs::write(&settings, format!("OTUS_ROOT={directory}\n")).unwrap();
    for (arguments, variables, origin) in [
        (vec![format!("--root={directory}")], vec![], "--root (command line)"),
        (vec![], vec![("OTUS_ROOT", directory.clone())], "--root (environment (OTUS_ROOT))"),
        (vec![], vec![("OTUS_SETTINGS", settings.display().to_string())], "(OTUS_ROOT)) and --sites"),
    ] {
        for check in [None, Some("--check")] {
            let mut command = Command::new(BINARY);
            command.env_remove("JOURNAL_STREAM").envs(own_user()).envs(variables.clone()).args(&arguments).args(check);
            let output = command.arg(format!("--sites={directory}")).output().unwrap();
            let log = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{log}");
            assert!(log.contains(origin) && log.contains("exclude each other: remove one of them."), "{log}");
        }
    }
}

#[test]
fn a_check_names_the_entries_that_are_no_site() {
    let sites = sites(&["a.test", "b\u{fc}cher.test", "-"]);
    symlink("/", sites.path("out.test")).unwrap();
    let check = |directory: &std::path::Path| {
        let mut command = Command::new(BINARY);
        command.env_remove("JOURNAL_STREAM").envs(own_user()).arg("--check").arg("--sites").arg(directory);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, log) = check(&sites.root());
    assert_eq!(status, Some(0), "{log}");
    for text in ["b\u{fc}cher.test is no site: requests name their host in ASCII", "out.test is no site: it is a link"]
    {
        assert!(log.contains(text), "{log}");
    }
    let (status, log) = check(&sites.path("a.test"));
    assert!(status == Some(0) && log.contains("has no site"), "{log}");
    let (status, log) = check(&sites.path("none"));
    assert!(status == Some(1) && log.contains("The directory of sites"), "{log}");
}

#[test]
fn a_check_reads_the_rules_of_each_site() {
    let sites = sites(&["a.test", "b.test", "c.test", ".releases/1"]);
    sites.write("a.test/_headers", b"/a\n  X-A: 1\n/b\n  Content-Length: 1\n".as_slice());
    sites.write("b.test/_redirects", "/a /b Country=de\n".repeat(25).as_bytes());
    sites.write(".releases/1/_redirects", b"/a https://other.test/ 200\n");
    symlink(".releases/1", sites.path("d.test")).unwrap();
    symlink("a.test", sites.path("www.a.test")).unwrap();
    fs::create_dir(sites.path("c.test/_headers")).unwrap();
    let directory = format!("--sites={}", sites.root().display());
    let check = |reload: bool| {
        let mut command = Command::new(BINARY);
        command.env_remove("JOURNAL_STREAM").envs(own_user()).args(["--check", &directory]);
        if reload {
            command.env("_OTUS_RELOAD", "1");
        }
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, log) = check(false);
    assert_eq!(status, Some(0), "other sites are served: {log}");
    for (text, count) in [
        ("/a.test/_headers, line 4: ", 1),
        ("/b.test/_redirects, line ", 20),
        ("/b.test/_redirects, line 20: ", 1),
        ("/b.test/_redirects has 5 more mistakes: \"otus-httpd check-site DIR\"", 1),
        ("/c.test/_headers cannot be used: it is a directory", 1),
        ("/d.test/_redirects, line 1: ", 1),
    ] {
        assert_eq!(log.matches(text).count(), count, "{text}: {log}");
    }
    for number in 0..200 {
        sites.write(format!("{number}.test/_redirects"), b"/a\n");
    }
    let (_, log) = check(false);
    assert!(log.contains("more sites have mistakes in the rules: \"otus-httpd check-site "), "{log}");
    assert!(log.lines().count() < 150, "{log}");
    // Before a reload, nobody reads them.
    assert_eq!(check(true), (Some(0), String::new()));
}

#[test]
fn requests_are_counted_by_site_also_over_a_reload() {
    let sites = sites(&["a.test", "b.test"]);
    symlink("a.test", sites.path("www.a.test")).unwrap();
    let [http, metrics] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, metrics_address) = (http.local_addr().unwrap(), metrics.local_addr().unwrap());
    let directory = format!("--sites={}", sites.root().display());
    let setup = Setup::bare(&["--workers=2", &directory]).env("LISTEN_FDNAMES", "http:metrics");
    let mut server = setup.socket(http).socket(metrics).start();
    server.address = address;
    let counts = || {
        let exposition = Client::connect(metrics_address).get("/metrics").text();
        let rows = exposition.lines().filter(|row| row.starts_with("otus_http_site_requests_total"));
        rows.map(|row| row.trim_start_matches("otus_http_site_requests_total").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(counts(), [""; 0]);
    for host in ["a.test", "www.a.test", "A.TEST:80", "b.test", "c.test"] {
        get_of(&server, host, "/");
    }
    get_of(&server, "b.test", "/none");
    let expected =
        ["{site=\"a.test\",code=\"2xx\"} 3", "{site=\"b.test\",code=\"2xx\"} 1", "{site=\"b.test\",code=\"4xx\"} 1"];
    assert_eq!(counts(), expected);
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
    wait_until("the counts of before", || counts() == expected);
    get_of(&server, "b.test", "/");
    assert_eq!(counts()[1], "{site=\"b.test\",code=\"2xx\"} 2");
}

/// Private memory of a process, in KiB.
/// The first sites of five are closed when the rules of the others take the memory, and opened again when they are used.
#[test]
fn rules_of_all_sites_have_a_common_limit() {
    let sites = Site::new();
    let hosts: Vec<String> = (0..5).map(|number| format!("s{number}.test")).collect();
    for host in &hosts {
        make(&sites, host);
        // A comment takes no time.
        let rules = format!("/old /new-{host} 302\n# {}\n", "x".repeat(8_000_000));
        sites.write(format!("{host}/_redirects"), rules.as_bytes());
    }
    let server = serve(&sites, &["--workers=1"]);
    let moved = |host: &str| {
        let response = get_of(&server, host, "/old");
        assert_eq!((response.status, response.field("Location")), (302, Some(&*format!("/new-{host}"))));
    };
    hosts.iter().for_each(|host| moved(host));
    let workers = server.workers();
    let is_used = |host: &String| is_open(&workers, host);
    wait_until("the first site is closed", || {
        moved(&hosts[4]);
        !is_used(&hosts[0])
    });
    let used: Vec<_> = hosts.iter().filter(|host| is_used(host)).collect();
    assert_eq!(used, hosts[1..].iter().collect::<Vec<_>>());
    moved(&hosts[0]);
    wait_until("the second site is closed", || {
        moved(&hosts[0]);
        !is_used(&hosts[1])
    });
    assert!(is_used(&hosts[0]) && is_used(&hosts[4]));
}

fn private_kib(process: nix::unistd::Pid) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let lines = rollup.lines().filter(|line| line.starts_with("Private_"));
    lines.map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()).sum()
}

/// What many sites cost is measured as processor time and memory: the clock depends on what else the machine does.
#[test]
fn ten_thousand_sites_cost_a_list_of_names_until_they_are_used() {
    let start = |count: usize| {
        let sites = sites(&["a.test"]);
        (1..count).for_each(|number| fs::create_dir(sites.path(format!("site-{number}.test"))).unwrap());
        // Other hosts lead to half of them.
        (0..count / 2).for_each(|number| {
            symlink(format!("site-{number}.test"), sites.path(format!("www.{number}.test"))).unwrap();
        });
        let server = serve(&sites, &["--workers=1"]);
        server.wait_until_ready();
        assert_eq!(page(&server, "a.test"), "a.test");
        (sites, server)
    };
    let (one, many) = (start(1), start(10_000));
    let (few_ticks, many_ticks) = (ticks(one.1.pid()), ticks(many.1.pid()));
    assert!(many_ticks < few_ticks + 100, "{many_ticks} and {few_ticks} hundredths of a second");
    let worker = many.1.workers()[0];
    let (few_kib, before_kib) = (private_kib(one.1.workers()[0]), private_kib(worker));
    assert!(before_kib < few_kib + 8 * 1024, "{before_kib} and {few_kib} KiB");
    let descriptors = open_descriptors(&[worker]);
    let mut client = many.1.connect();
    for number in 0..20_000 {
        let request = format!("GET / HTTP/1.1\r\nHost: random-{number}.test\r\n\r\n");
        assert_eq!(client.send(request).response().status, 421);
    }
    assert!(open_descriptors(&[worker]) <= descriptors + 2, "no host without a site keeps anything open");
    for number in 1..3_000 {
        let request = format!("GET / HTTP/1.1\r\nHost: site-{number}.test\r\n\r\n");
        assert_eq!(client.send(request).response().status, 404);
    }
    assert!(open_descriptors(&[worker]) <= descriptors + 1_024, "a site that is no longer used is closed");
    let after_kib = private_kib(worker);
    assert!(after_kib < before_kib + 16 * 1024, "{before_kib} KiB before, {after_kib} KiB after");
    assert_eq!(page(&many.1, "a.test"), "a.test");
    assert_eq!(page(&many.1, "www.9.test"), "404");
}

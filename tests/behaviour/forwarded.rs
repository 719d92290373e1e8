//! What trusted proxies say about their clients: X-Forwarded-For and Forwarded.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use crate::https::Certificates;
use crate::logins::{Users, basic};
use crate::support::{Client, Response, Server, Setup, Site, wait_until};

const TRUSTED: &str = "--trusted-proxies=127.0.0.0/8,10.0.0.0/8";

/// Requests /a with these fields.
fn request(fields: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n")
}

fn ask(client: &mut Client, fields: &str) -> Response {
    client.send(request(fields)).response()
}

fn start(site: &Site, arguments: &[&str]) -> Server {
    let server = Server::with(site, &[&["--access-log=stderr"], arguments].concat());
    server.wait_until_ready();
    server
}

/// The client that the record of a request has, which is recognized by its query.
fn logged(server: &Server, query: usize) -> String {
    let target = format!("\"http_target\":\"/a?{query}\"");
    let record = || server.log().lines().find(|line| line.contains(&target)).map(String::from);
    let record = crate::support::wait_for("a record", record);
    let field = |name: &str| {
        let (_, value) = record.split_once(&format!("\"{name}\":"))?;
        Some(value.split([',', '}']).next().unwrap().trim_matches('"').to_string())
    };
    let (address, port) = (field("client_address").unwrap(), field("client_port"));
    let scheme = field("http_scheme").map(|scheme| format!(" {scheme}")).unwrap_or_default();
    // The port of the connection of the test is any.
    let port = port.filter(|_| !address.starts_with("127.")).map(|port| format!(":{port}")).unwrap_or_default();
    address + &port + &scheme
}

/// A client sends some of these fields, and its proxy has appended to one of them.
#[test]
fn spoofed_fields_name_nobody() {
    let site = Site::with(&[("a", b"a")]);
    let either: &[(&str, &str)] = &[
        ("", "127.0.0.1"),
        ("X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 192.0.2.7:4711\r\n", "192.0.2.7:4711"),
        ("X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 127.0.0.1, 192.0.2.7, 10.0.0.2, ::ffff:10.0.0.1\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 198.51.100.1, unknown, 10.0.0.1\r\n", "10.0.0.1"),
        ("X-Forwarded-For: 198.51.100.1, 192.0.2.7 x\r\n", "127.0.0.1"),
        ("X-Forwarded-For: \", 192.0.2.7\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 192.0.2.7\r\nForwarded: for=198.51.100.1;proto=https\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 192.0.2.7\r\nX-Real-IP: 198.51.100.1\r\nCF-Connecting-IP: 198.51.100.1\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n", "192.0.2.7 https"),
        ("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https, http\r\n", "192.0.2.7"),
        ("Forwarded: for=198.51.100.1;proto=https, for=\"[2001:db8::7]:4711\"\r\n", "2001:db8::7:4711"),
        ("Forwarded: for=\"198.51.100.1, for=192.0.2.7;proto=https\r\n", "192.0.2.7 https"),
        ("Forwarded: for=198.51.100.1, for=_hidden;proto=https\r\n", "127.0.0.1 https"),
        ("X-Real-IP: 198.51.100.1\r\n", "127.0.0.1"),
    ];
    let forwarded: &[(&str, &str)] = &[
        ("X-Forwarded-For: 198.51.100.1\r\nForwarded: for=192.0.2.7\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\n", "127.0.0.1"),
    ];
    let real_ip: &[(&str, &str)] = &[
        ("X-Forwarded-For: 198.51.100.1\r\nX-Real-IP: 192.0.2.7\r\n", "192.0.2.7"),
        ("x-real-ip: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n", "192.0.2.7 https"),
        ("X-Forwarded-For: 198.51.100.1\r\nForwarded: for=198.51.100.1;proto=https\r\n", "127.0.0.1"),
    ];
    let nobody: &[(&str, &str)] =
        &[("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nForwarded: for=192.0.2.7\r\n", "127.0.0.1")];
    for (arguments, table) in [
        (&[TRUSTED][..], either),
        (&[TRUSTED, "--client-address-header=Forwarded"], forwarded),
        (&[TRUSTED, "--client-address-header=X-Real-IP"], real_ip),
        (&["--trusted-proxies=10.0.0.0/8"], nobody),
        (&["--client-address-header=X-Forwarded-For"], nobody),
        (&[], nobody),
    ] {
        let server = start(&site, arguments);
        let mut client = server.connect();
        for (query, (fields, expected)) in table.iter().enumerate() {
            let request = request(fields).replace("/a ", &format!("/a?{query} "));
            assert_eq!(client.send(request).response().text(), "a");
            assert_eq!(logged(&server, query), *expected, "{arguments:?} {fields}");
        }
    }
}

#[test]
fn rules_of_access_see_the_client() {
    let (site, users) = (Site::with(&[("a", b"a"), ("private", b"private")]), Users::new());
    let server = start(&site, &[TRUSTED, "--allow=/a=192.0.2.0/24", &users.rule("/private")]);
    let mut client = server.connect();
    for (fields, status) in [
        ("X-Forwarded-For: 192.0.2.7\r\n", 200),
        ("X-Forwarded-For: ::ffff:192.0.2.7\r\n", 200),
        ("X-Forwarded-For: 192.0.2.7, 198.51.100.1\r\n", 403),
        ("X-Forwarded-For: 2001:db8::7\r\n", 403),
        ("", 403),
    ] {
        assert_eq!(ask(&mut client, fields).status, status, "{fields}");
    }
    // Failures are those of the client. Over plain HTTP, a client at a public address is not asked.
    let log_in = |client: &mut Client, address: &str, proto: &str, password: &str| {
        let fields = format!("X-Forwarded-For: {address}\r\nX-Forwarded-Proto: {proto}\r\n");
        let authorization = format!("Authorization: {}\r\n", basic("bert", password));
        client.send(request(&(fields + &authorization)).replace("/a ", "/private ")).response().status
    };
    assert_eq!(log_in(&mut client, "192.0.2.7", "http", "secret"), 403);
    assert_eq!(log_in(&mut client, "192.0.2.7", "https", "secret"), 200);
    let statuses: Vec<_> =
        (0..11).map(|number| log_in(&mut client, "192.0.2.8", "https", &format!("wrong{number}"))).collect();
    assert_eq!(statuses, [vec![401; 10], vec![429]].concat());
    assert_eq!(log_in(&mut client, "192.0.2.9", "https", "wrong"), 401);
    assert_eq!(log_in(&mut client, "192.0.2.7", "https", "secret"), 200);
}

#[test]
fn redirects_and_strict_transport_security_see_the_scheme() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    certificates.add("second", &["a.test"]);
    let [clear, tls] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, port) = (clear.local_addr().unwrap(), tls.local_addr().unwrap().port());
    let options = [TRUSTED, &certificates.option(), "--redirect-to-https", "--hsts=300"];
    let setup = Setup::new(&site, &options).env("LISTEN_FDNAMES", "http:https").socket(clear).socket(tls);
    let mut server = setup.start();
    server.address = address;
    server.wait_until_ready();
    let mut client = server.connect();
    for fields in ["X-Forwarded-Proto: https\r\n", "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"] {
        let encrypted = ask(&mut client, fields);
        assert_eq!((encrypted.status, encrypted.text()), (200, "a".into()), "{fields}");
        assert_eq!(encrypted.field("Strict-Transport-Security"), Some("max-age=300"));
    }
    for fields in ["", "X-Forwarded-Proto: http\r\n", "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https,http\r\n"]
    {
        let plain = ask(&mut client, fields);
        let location = format!("https://a.test:{port}/a");
        assert_eq!((plain.status, plain.field("Location")), (301, Some(location.as_str())), "{fields}");
        assert_eq!(plain.field("Strict-Transport-Security"), None);
    }
}

#[test]
fn the_host_is_another_one_only_if_that_is_set() {
    let directory = tempfile::tempdir().unwrap();
    for host in ["a.test", "b.test"] {
        fs::create_dir(directory.path().join(host)).unwrap();
        fs::write(directory.path().join(host).join("a"), host).unwrap();
    }
    let sites = format!("--sites={}", directory.path().display());
    let start = |arguments: &[&str]| {
        let server = Setup::bare(&[&["--workers=1", &sites], arguments].concat()).listen();
        server.wait_until_ready();
        server
    };
    let forwarded = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: b.test\r\n";
    for (arguments, expected) in [
        (&[TRUSTED][..], "a.test"),
        (&[TRUSTED, "--forwarded-host"], "b.test"),
        (&["--trusted-proxies=10.0.0.1", "--forwarded-host"], "a.test"),
        (&["--forwarded-host"], "a.test"),
    ] {
        assert_eq!(ask(&mut start(arguments).connect(), forwarded).text(), expected, "{arguments:?}");
    }
    let server = start(&[TRUSTED, "--forwarded-host"]);
    let mut client = server.connect();
    for (fields, expected) in [
        ("X-Forwarded-Host: a.test, B.test:80\r\n", 200),
        ("Forwarded: for=192.0.2.7;host=b.test\r\n", 200),
        ("X-Forwarded-Host: c.test\r\n", 421),
        ("X-Forwarded-Host: b.test/\r\n", 400),
        ("X-Forwarded-Host: user@b.test\r\n", 400),
        ("X-Forwarded-Host: b.test\u{e4}\r\n", 400),
        ("Forwarded: for=192.0.2.7;host=\"b test\"\r\n", 400),
    ] {
        let response = ask(&mut client, fields);
        assert_eq!(response.status, expected, "{fields}");
        assert!(expected != 200 || response.text() == "b.test", "{fields}");
    }
}

/// Requests, and not connections: a proxy has connections of its own, for any client.
#[test]
fn requests_in_flight_of_a_named_client_are_limited() {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; 20_000_000]);
    let server = start(&site, &[TRUSTED, "--max-per-client=2"]);
    let fields = |last: u8| format!("X-Forwarded-For: 192.0.2.{last}\r\n");
    // The proxy's own connections have no limit.
    let mut connections: Vec<_> = (0..6).map(|_| server.connect()).collect();
    connections.iter_mut().for_each(|client| assert_eq!(ask(client, "").status, 200));
    connections.iter_mut().for_each(|client| assert_eq!(ask(client, &fields(7)).status, 200));
    let mut downloads: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for client in &mut downloads {
        client.send(request(&fields(7)).replace("/a ", "/large "));
        assert_eq!(client.0.peek(&mut [0]).unwrap(), 1);
    }
    let [other, ..] = &mut connections[..] else { panic!() };
    let refused = ask(other, &fields(7));
    assert_eq!((refused.status, refused.field("Retry-After")), (503, Some("1")));
    assert_eq!(refused.field("Connection"), Some("keep-alive"), "the proxy uses it for others");
    assert_eq!(ask(other, &fields(8)).text(), "a");
    assert_eq!(ask(other, "").text(), "a");
    assert_eq!(downloads[0].response().body.len(), 20_000_000);
    wait_until("the end of a download", || ask(other, &fields(7)).status == 200);
    downloads.pop();
    wait_until("the end of both", || ask(other, &fields(7)).status == 200);
    server.wait_for_log("192.0.2.7 reached --max-per-client (2)");
    assert!(server.log().contains("\"cause\":\"the client reached --max-per-client\""), "{}", server.log());
}

/// Its permissions say who may connect. Without a setting of proxies, nothing is believed.
#[test]
fn a_proxy_on_a_unix_socket_is_believed_if_fields_are_read() {
    let site = Site::with(&[("a", b"a")]);
    for (arguments, expected) in [
        (&["--client-address-header=X-Forwarded-For"][..], true),
        (&["--trusted-proxies=10.0.0.1"], true),
        (&[], false),
    ] {
        let path = site.outside().join("socket");
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let server = Setup::new(&site, &[&["--access-log=stderr"], arguments].concat()).socket(listener).start();
        server.wait_until_ready();
        let mut stream = UnixStream::connect(&path).unwrap();
        let fields = "X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\nConnection: close\r\n";
        stream.write_all(request(fields).as_bytes()).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        wait_until("a record", || server.log().contains("\"http_target\":\"/a\""));
        assert_eq!(server.log().contains("\"client_address\":\"192.0.2.7\""), expected, "{}", server.log());
    }
}

#[test]
fn the_address_of_a_proxy_header_is_the_nearest_hop() {
    let site = Site::with(&[("a", b"a")]);
    let arguments = ["--access-log=stderr", TRUSTED];
    let server = Setup::new(&site, &arguments).env("LISTEN_FDNAMES", "proxy").listen();
    server.wait_until_ready();
    for (query, (source, expected)) in
        [("10.0.0.1", "192.0.2.7"), ("198.51.100.1", "198.51.100.1:4711")].iter().enumerate()
    {
        let mut client = server.connect();
        client.send(format!("PROXY TCP4 {source} 127.0.0.1 4711 80\r\n"));
        client.send(request("X-Forwarded-For: 192.0.2.7\r\n").replace("/a ", &format!("/a?{query} "))).response();
        assert_eq!(logged(&server, query), *expected);
    }
    // A client of a unix socket of the proxy is not the proxy.
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8".to_vec();
    header.extend([0; 216]);
    let mut client = server.connect();
    client.send(&header).send(request("X-Forwarded-For: 10.9.9.9\r\n")).response();
    wait_until("a record", || server.log().contains("\"http_target\":\"/a\""));
    assert!(!server.log().contains("10.9.9.9"), "{}", server.log());
}

#[test]
fn the_same_over_http2() {
    let site = Site::with(&[("a", b"a")]);
    let arguments = [TRUSTED, "--http2=cleartext", "--allow=/a=192.0.2.0/24"];
    let server = start(&site, &arguments);
    for (query, (address, status)) in [("192.0.2.7", "200"), ("198.51.100.1", "403")].into_iter().enumerate() {
        let mut curl = Command::new("curl");
        curl.args([
            "--http2-prior-knowledge",
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code} %{http_version}",
        ]);
        curl.args([
            "--header",
            &format!("X-Forwarded-For: 192.0.2.9, {address}"),
            "--header",
            "X-Forwarded-Proto: https",
        ]);
        let output = curl.arg(format!("http://{}/a?{query}", server.address)).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{status} 2"));
        assert_eq!(logged(&server, query), format!("{address} https"));
    }
}

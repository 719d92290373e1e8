//! The server behind real proxies, with the configurations in `packaging/examples`.

use std::fs;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt};
use nix::unistd::{Pid, geteuid};
use rustls::version::TLS13;
use rustls::{ClientConnection, StreamOwned};
use tempfile::TempDir;

use crate::access::connect_from;
use crate::http2_client::Http2Client;
use crate::https::{Certificates, exchange};
use crate::support::{Server, Setup, Site, wait_for, wait_until};

/// The address of the client: another one than that of the proxy.
const CLIENT: [u8; 4] = [127, 0, 0, 2];

/// A running proxy, ended when dropped.
struct Front {
    child: Child,
    addresses: [SocketAddr; 2],
    _directory: TempDir,
}

impl Front {
    /// Starts HAProxy with the example, in which the first machine is a server with these addresses, for HTTP and for TLS.
    fn haproxy(machine: [SocketAddr; 2]) -> Self {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/examples/haproxy.cfg");
        let mut text = fs::read_to_string(example).unwrap();
        for (from, to) in [
            ("192.0.2.1:80", machine[0].to_string()),
            ("192.0.2.1:443", machine[1].to_string()),
            ("bind :80", "bind fd@3".into()),
            ("bind :443", "bind fd@4".into()),
        ] {
            assert_eq!(text.matches(&format!("{from}\n")).count(), 1, "{from}");
            text = text.replace(&format!("{from}\n"), &format!("{to}\n"));
        }
        // The name of the certificate.
        let text = text.replace("check-sni www.example.org", "check-sni localhost");
        let lines = text.lines().filter(|line| !line.contains("server b ") && !line.contains("server c "));
        Front::haproxy_with(&lines.map(|line| format!("{line}\n")).collect::<String>())
    }

    /// Starts HAProxy with a configuration that binds descriptor 3, and may bind 4.
    fn haproxy_with(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("haproxy.cfg");
        fs::write(&path, text).unwrap();
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [0, 1].map(|index: usize| listeners[index].local_addr().unwrap());
        let [web, tls] = listeners.map(|listener| Stdio::from(OwnedFd::from(listener)));
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3<&0 4<&1 </dev/null >/dev/null; exec haproxy -db -q -f \"$0\""]).arg(path);
        let child = command.stdin(web).stdout(tls).spawn().unwrap();
        Front { child, addresses, _directory: directory }
    }

    /// Starts nginx with the example, in which the first machine is a server at this address.
    fn nginx(machine: SocketAddr) -> Self {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/examples/nginx-front.conf");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut text = fs::read_to_string(example).unwrap();
        for (from, to) in [("192.0.2.1:80", machine.to_string()), ("listen 80;", format!("listen {address};"))] {
            assert_eq!(text.matches(from).count(), 1, "{from}");
            text = text.replace(from, &to);
        }
        let lines = text.lines().filter(|line| !line.contains("192.0.2.2:80") && !line.contains("192.0.2.3:80"));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let directory = tempfile::tempdir().unwrap();
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = kinds.iter().map(|kind| format!("{kind}_temp_path temporary;\n")).collect();
        // Its worker has the user of the test, whose directory this is.
        let user = if geteuid().is_root() { "user root;" } else { "" };
        let main = format!("{user} daemon off; pid pid; error_log stderr; events {{}}\n");
        let path = directory.path().join("nginx.conf");
        fs::write(&path, format!("{main}http {{ access_log off;\n{temporary}{text}}}\n")).unwrap();
        let mut command = Command::new("sh");
        // It takes over a listening socket with the address of its configuration.
        let run = "exec 3<&0 </dev/null; export NGINX='3;'; exec nginx -q -p \"$0\" -e stderr -c nginx.conf";
        command.args(["-c", run]).arg(directory.path()).stdin(Stdio::from(OwnedFd::from(listener)));
        Front { child: command.spawn().unwrap(), addresses: [address; 2], _directory: directory }
    }

    /// Starts Caddy with the example, for HTTP and for TLS, in which the first machine is a server at this address. It shares
    /// ports that are reserved for it, since this version takes over no sockets.
    fn caddy(machine: SocketAddr, certificate: &Path) -> Self {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/examples/Caddyfile");
        let mut text = fs::read_to_string(example).unwrap();
        let reserved = [(); 2].map(|()| reserve_port());
        let addresses = [&reserved[0], &reserved[1]].map(|(_, address)| *address);
        let [chain, key] = ["fullchain.pem", "privkey.pem"].map(|name| certificate.join(name).display().to_string());
        let [web, tls] = addresses.map(|address| address.port());
        for (from, to) in [
            ("192.0.2.1:80 192.0.2.2:80 192.0.2.3:80 {\n", format!("{machine} {{\n")),
            ("\nwww.example.org {\n", "\n{\nadmin off\nauto_https off\n}\n(proxy) {\n".into()),
        ] {
            assert_eq!(text.matches(from).count(), 1, "{from}");
            text = text.replace(from, &to);
        }
        text += &format!(
            "http://localhost:{web} {{\nbind 127.0.0.1\nimport proxy\n}}\n\
             https://localhost:{tls} {{\nbind 127.0.0.1\ntls {chain} {key}\nimport proxy\n}}\n"
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("Caddyfile");
        fs::write(&path, text).unwrap();
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(path).env("HOME", directory.path());
        let child = command.env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME").stderr(Stdio::null()).spawn();
        let front = Front { child: child.unwrap(), addresses, _directory: directory };
        wait_until("Caddy", || addresses.iter().all(|address| TcpStream::connect(address).is_ok()));
        front
    }
}

/// Returns a socket that does not listen, and its port: as long as it is open, only a process that shares ports can listen there.
fn reserve_port() -> (OwnedFd, SocketAddr) {
    let reserved = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&reserved, sockopt::ReusePort, &true).unwrap();
    bind(reserved.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let address: SockaddrIn = getsockname(reserved.as_raw_fd()).unwrap();
    (reserved, SocketAddrV4::from(address).into())
}

impl Drop for Front {
    fn drop(&mut self) {
        // With SIGKILL, the worker of nginx would stay.
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

#[test]
fn haproxy_names_the_client_and_passes_nothing_on_that_a_client_claims() {
    let (site, certificates) = (Site::with(&[("index.html", b"home"), ("a", b"a")]), Certificates::new());
    let [web, tls] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let machine = [web.local_addr().unwrap(), tls.local_addr().unwrap()];
    let health = "--health-path=/health";
    let options = ["--trusted-proxies=127.0.0.1", health, &certificates.option(), "--access-log=stderr"];
    let setup = Setup::new(&site, &options).env("LISTEN_FDNAMES", "http:https-proxy").socket(web).socket(tls);
    let server = setup.start();
    server.wait_until_ready();
    let front = Front::haproxy(machine);

    let record = |target: &str| {
        let field = format!("\"http_target\":\"{target}\"");
        wait_for("a record", || server.log().lines().find(|line| line.contains(&field)).map(String::from))
    };
    let claims = "X-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1;proto=https\r\nX-Forwarded-Proto: https\r\n";
    let mut client = connect_from(CLIENT, front.addresses[0]);
    client.send(format!("GET /a?web HTTP/1.1\r\nHost: localhost\r\n{claims}\r\n"));
    assert_eq!(client.response().text(), "a");
    let web = record("/a?web");
    assert!(web.contains("\"client_address\":\"127.0.0.2\"") && !web.contains("http_scheme"), "{web}");

    let connection = ClientConnection::new(certificates.client("first", &TLS13), "localhost".try_into().unwrap());
    let stream = connect_from(CLIENT, front.addresses[1]).0;
    let port = stream.local_addr().unwrap().port();
    let request = format!("GET /a?tls HTTP/1.1\r\nHost: localhost\r\n{claims}Connection: close\r\n\r\n");
    let answer = exchange(&mut StreamOwned::new(connection.unwrap(), stream), &request);
    assert!(answer.ends_with("\r\n\r\na"), "{answer}");
    let tls = record("/a?tls");
    let fields = ["\"client_address\":\"127.0.0.2\"", &format!("\"client_port\":{port},"), "\"http_scheme\":\"https\""];
    assert!(fields.iter().all(|field| tls.contains(field)), "{tls}");
    // Health checks come from the proxy itself, of both backends.
    let is_check = |line: &str| line.contains("\"http_target\":\"/health\"") && line.contains("\"http_status\":200");
    for is_tls in [false, true] {
        wait_until("a check", || {
            server.log().lines().any(|line| is_check(line) && line.contains("\"http_scheme\":\"https\"") == is_tls)
        });
    }
}

#[test]
fn haproxy_speaks_http2_in_clear_with_100_requests_at_once() {
    let site = Site::new();
    let content = |number: usize| (0..number * 3_000).map(|byte| (byte * number) as u8).collect::<Vec<_>>();
    for way in ["tcp", "unix"] {
        fs::create_dir(site.path(way)).unwrap();
        (0..20).for_each(|number| site.write(format!("{way}/{number}"), &content(number)));
    }
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let path = site.outside().join("socket");
    let options = ["--http2=cleartext", "--access-log=stderr"];
    let setup = Setup::new(&site, &options).env("LISTEN_FDNAMES", "http:http");
    let server = setup.socket(tcp).socket(UnixListener::bind(&path).unwrap()).start();
    server.wait_until_ready();
    let front = Front::haproxy_with(&format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n http-reuse always\n\
         frontend web\n bind fd@3 proto h2\n use_backend %[path,field(2,/)]\n\
         backend tcp\n server a {address} proto h2\n\
         backend unix\n server a {path} proto h2\n",
        path = path.display()
    ));
    let mut client = Http2Client::new(connect_from(CLIENT, front.addresses[0]).0, "http");
    client.begin(65_535);
    for way in ["tcp", "unix"] {
        let target = |number: usize| format!("/{way}/{}?{number}", number % 20);
        let streams: Vec<_> = (0..100).map(|number| client.request("GET", &target(number), &[])).collect();
        for (number, stream) in streams.into_iter().enumerate() {
            let answer = client.response(stream);
            assert_eq!(answer.status(), 200, "{way} {number}");
            assert!(answer.body == content(number % 20), "{way} {number}: {} bytes", answer.body.len());
        }
        let records = wait_for("100 records", || {
            let field = format!("\"http_target\":\"/{way}/");
            let records: Vec<_> = server.log().lines().filter(|line| line.contains(&field)).map(String::from).collect();
            (records.len() == 100).then_some(records)
        });
        assert!(records.iter().all(|record| record.contains("\"http_version\":\"2\"")), "{records:?}");
    }
}

#[test]
fn nginx_names_the_client_and_passes_nothing_on_that_a_client_claims() {
    let site = Site::with(&[("a", b"a")]);
    let server =
        Setup::new(&site, &["--trusted-proxies=127.0.0.1", "--forwarded-host", "--access-log=stderr"]).listen();
    server.wait_until_ready();
    let front = Front::nginx(server.address);
    let claims = "X-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1;proto=https\r\nX-Forwarded-Proto: https\r\n\
        X-Forwarded-Host: not valid\r\n";
    let mut client = connect_from(CLIENT, front.addresses[0]);
    for number in 0..2 {
        client.send(format!("GET /a?{number} HTTP/1.1\r\nHost: www.example.org\r\n{claims}\r\n"));
        assert_eq!(client.response().text(), "a");
        let target = format!("\"http_target\":\"/a?{number}\"");
        let record =
            wait_for("a record", || server.log().lines().find(|line| line.contains(&target)).map(String::from));
        for field in ["\"client_address\":\"127.0.0.2\"", "\"http_host\":\"www.example.org\"", "\"connection\":1,"] {
            assert!(record.contains(field) && !record.contains("http_scheme"), "{field} in {record}");
        }
    }
}

#[test]
fn caddy_names_the_client_and_passes_nothing_on_that_a_client_claims() {
    let (site, certificates) = (Site::with(&[("index.html", b"home"), ("a", b"a")]), Certificates::new());
    let options = ["--trusted-proxies=127.0.0.1", "--forwarded-host", "--health-path=/health", "--access-log=stderr"];
    let server = Setup::new(&site, &options).listen();
    server.wait_until_ready();
    let front = Front::caddy(server.address, &certificates.path().join("first"));
    let claims = "X-Forwarded-For: 127.0.0.1\r\nForwarded: for=192.0.2.9;proto=https;host=other\r\n\
        X-Forwarded-Proto: ftp\r\nX-Forwarded-Host: other\r\nConnection: close\r\n";
    let record = |server: &Server, target: &str| {
        let field = format!("\"http_target\":\"{target}\"");
        wait_for("a record", || server.log().lines().find(|line| line.contains(&field)).map(String::from))
    };
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{claims}\r\n");

    let mut client = connect_from(CLIENT, front.addresses[0]);
    client.send(request("/a?web"));
    assert_eq!(client.response().text(), "a");
    let web = record(&server, "/a?web");
    assert!(!web.contains("http_scheme"), "{web}");

    let connection = ClientConnection::new(certificates.client("first", &TLS13), "localhost".try_into().unwrap());
    let stream = connect_from(CLIENT, front.addresses[1]).0;
    let answer = exchange(&mut StreamOwned::new(connection.unwrap(), stream), &request("/a?tls"));
    assert!(answer.ends_with("\r\n\r\na"), "{answer}");
    let tls = record(&server, "/a?tls");
    assert!(tls.contains("\"http_scheme\":\"https\""), "{tls}");

    for record in [web, tls] {
        for field in ["\"client_address\":\"127.0.0.2\"", "\"http_host\":\"localhost\""] {
            assert!(record.contains(field), "{field} in {record}");
        }
    }
    let check = record(&server, "/health");
    assert!(check.contains("\"http_status\":200"), "{check}");

    // A server that believes the other field gets none: its client is Caddy.
    let server = Setup::new(&site, &[&options[..], &["--client-address-header=Forwarded"]].concat()).listen();
    server.wait_until_ready();
    let front = Front::caddy(server.address, &certificates.path().join("first"));
    let mut client = connect_from(CLIENT, front.addresses[0]);
    client.send(request("/a?forwarded"));
    assert_eq!(client.response().text(), "a");
    let record = record(&server, "/a?forwarded");
    assert!(record.contains("\"client_address\":\"127.0.0.1\"") && !record.contains("http_scheme"), "{record}");
}

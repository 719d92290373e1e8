//! Checks that the names lead to this server, before a certification authority does: its limits on failures are low.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use aws_lc_rs::rand;

use super::installation::{cannot, replace};
use super::say;
use crate::failure::{self, Failure};

/// The port at which certification authorities verify (RFC 8555 §8.3).
const PORT: u16 = 80;

/// The time for a connection and for a response.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest response that is read, in bytes.
const MAX_RESPONSE_BYTES: u64 = 64 * 1024;

/// A challenge of our own, which is removed at the end.
#[derive(Debug)]
struct Token {
    name: String,
    path: PathBuf,
}

impl Token {
    fn new(challenges: &Path) -> Result<Self, Failure> {
        let mut random = [0; 16];
        rand::fill(&mut random).map_err(|_| Failure::new("The kernel gave no random numbers: repeat the command."))?;
        let name = random.iter().fold("otus-".to_string(), |name, byte| format!("{name}{byte:02x}"));
        let path = challenges.join(&name);
        replace(&path, name.as_bytes(), 0o644).map_err(|error| cannot("The challenge", &path, "written", &error))?;
        Ok(Token { name, path })
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The result of a request.
#[derive(Debug)]
enum Reply {
    /// Our server has responded with the challenge.
    Own,
    /// Something else has responded, with the status line.
    Other(String),
    /// There was no response.
    None(io::Error),
}

/// Checks each name by each of its addresses. An address at which something else responds is a failure. One that does not respond
/// is named; if none does, as behind a router that does not lead back, the local address is checked instead.
pub fn check(names: &[String], challenges: &Path) -> Result<(), Failure> {
    let token = Token::new(challenges)?;
    for name in names {
        let addresses = resolve(name)?;
        // At the same time, since each may take as long as the timeouts.
        let replies = thread::scope(|scope| {
            let request = |address: &SocketAddr| {
                let (address, token) = (*address, token.name.as_str());
                (address.ip(), scope.spawn(move || get(address, name, token)))
            };
            let requests: Vec<_> = addresses.iter().map(request).collect();
            let reply = |(address, request): (IpAddr, ScopedJoinHandle<Reply>)| {
                (address, request.join().unwrap_or(Reply::None(io::ErrorKind::Other.into())))
            };
            requests.into_iter().map(reply).collect::<Vec<_>>()
        });
        judge(name, &replies, || get((Ipv4Addr::LOCALHOST, PORT).into(), name, &token.name))?.into_iter().for_each(say);
    }
    Ok(())
}

/// Returns what is to be said of a name that leads here. `local` requests the challenge at the local address.
fn judge(name: &str, replies: &[(IpAddr, Reply)], local: impl Fn() -> Reply) -> Result<Vec<String>, Failure> {
    for (address, reply) in replies {
        if let Reply::Other(status) = reply {
            let is_in_between = !address.is_loopback() && matches!(local(), Reply::Own);
            return Err(if is_in_between { in_between(name, *address, status) } else { other(name, *address, status) });
        }
    }
    if replies.iter().any(|(_, reply)| matches!(reply, Reply::Own)) {
        return Ok(silent(name, replies));
    }
    match local() {
        Reply::Own => {
            let mut lines = silent(name, replies);
            lines.push(format!("{name} could not be checked from here. The certification authority will try."));
            Ok(lines)
        }
        Reply::Other(status) => Err(other(name, Ipv4Addr::LOCALHOST.into(), &status)),
        Reply::None(error) => Err(Failure::new(format!(
            "Port {PORT} of this machine does not respond ({}): start the server, systemctl start otus-httpd.socket.",
            failure::reason(&error)
        ))),
    }
}

/// Returns a sentence for each kind of record with addresses that do not respond.
fn silent(name: &str, replies: &[(IpAddr, Reply)]) -> Vec<String> {
    let sentence = |(kind, is_v6): (&str, bool)| {
        let silent = replies.iter().filter(|(address, _)| address.is_ipv6() == is_v6);
        let silent = silent.filter_map(|(address, reply)| match reply {
            Reply::None(error) => Some(format!("{address} ({})", failure::reason(error))),
            _ => None,
        });
        let silent: Vec<_> = silent.collect();
        (!silent.is_empty()).then(|| {
            format!(
                "{name} leads to {} by {kind}, and port {PORT} there does not respond to this machine. If it does not respond to \
                 others either, open the firewall or remove that record: a certification authority, and browsers, may try it first.",
                silent.join(" and ")
            )
        })
    };
    [("IPv4 (an A record)", false), ("IPv6 (an AAAA record)", true)].into_iter().filter_map(sentence).collect()
}

fn resolve(name: &str) -> Result<Vec<SocketAddr>, Failure> {
    let addresses = (name, PORT).to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    if addresses.is_empty() {
        return Err(Failure::new(format!(
            "{name} has no address: make a DNS record (A or AAAA) that leads to this machine, then repeat the command."
        )));
    }
    Ok(addresses)
}

/// The failure if another server has the address.
fn other(name: &str, address: IpAddr, status: &str) -> Failure {
    Failure::new(format!(
        "Port {PORT} of {address}, to which {name} leads, does not serve the challenges of this server (it responds with \
         \"{status}\"): correct the DNS record, or stop the server that listens there, then repeat the command. An otus-httpd from \
         before an upgrade has to be restarted."
    ))
}

/// The failure if this server has port 80 of this machine, and something else responds at the address: another machine, or a router
/// that has a page of its own there for requests from inside.
fn in_between(name: &str, address: IpAddr, status: &str) -> Failure {
    Failure::new(format!(
        "Port {PORT} of {address}, to which {name} leads, does not serve the challenges of this server (it responds with \
         \"{status}\"), although this machine does. If {address} is another machine, correct the DNS record. If it is the router in \
         front of this machine, which responds itself to requests from inside, make {name} lead here for this machine alone, by echo \
         '127.0.0.1 {name}' >> /etc/hosts, and repeat the command: then only the certification authority checks the router."
    ))
}

/// Requests the challenge at `address`.
fn get(address: SocketAddr, host: &str, token: &str) -> Reply {
    let request = format!(
        "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: otus-httpd\r\nConnection: close\r\n\r\n"
    );
    match exchange(address, &request) {
        Ok(response) => parse(&response, token),
        Err(error) => Reply::None(error),
    }
}

fn exchange(address: SocketAddr, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let (mut response, begin) = (Vec::new(), Instant::now());
    let mut limited = stream.take(MAX_RESPONSE_BYTES);
    let mut buffer = [0; 4096];
    // A server that sends a byte now and then does not hold this command.
    while begin.elapsed() < TIMEOUT {
        match limited.read(&mut buffer)? {
            0 => break,
            length => response.extend_from_slice(&buffer[..length]),
        }
    }
    Ok(response)
}

fn parse(response: &[u8], token: &str) -> Reply {
    let text = String::from_utf8_lossy(response);
    let (head, content) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") && content == token {
        return Reply::Own;
    }
    Reply::Other(status.chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_challenge_itself_is_ours() {
        for (response, is_own) in [
            ("HTTP/1.1 200 OK\r\nServer: OtusServer\r\n\r\notus-1", true),
            ("HTTP/1.1 200 OK\r\n\r\notus-12", false),
            ("HTTP/1.1 404 Not Found\r\n\r\notus-1", false),
            ("HTTP/1.1 301 Moved Permanently\r\nLocation: x\r\n\r\n", false),
            ("", false),
        ] {
            assert_eq!(matches!(parse(response.as_bytes(), "otus-1"), Reply::Own), is_own, "{response}");
        }
    }

    fn own() -> Reply {
        Reply::Own
    }

    fn none() -> Reply {
        Reply::None(io::ErrorKind::TimedOut.into())
    }

    fn other_server() -> Reply {
        Reply::Other("HTTP/1.1 404 Not Found".into())
    }

    fn judged(replies: [(&str, Reply); 2], local: fn() -> Reply) -> Result<String, String> {
        let replies = replies.map(|(address, reply)| (address.parse().unwrap(), reply));
        judge("a.org", &replies, local).map(|lines| lines.join(" ")).map_err(|failure| failure.to_string())
    }

    const V4: &str = "192.0.2.1";
    const V6: &str = "2001:db8::1";

    #[test]
    fn one_address_with_another_server_is_a_failure() {
        assert_eq!(judged([(V4, own()), (V6, own())], none).as_deref(), Ok(""));
        let failure = judged([(V4, own()), (V6, other_server())], none).unwrap_err();
        assert!(failure.contains("2001:db8::1") && failure.contains("404 Not Found"), "{failure}");
        assert!(failure.contains("stop the server that listens there"), "{failure}");
        let failure = judged([("127.0.0.1", other_server()), (V6, own())], own).unwrap_err();
        assert!(failure.contains("stop the server that listens there"), "{failure}");
    }

    /// Such as an AAAA record of a machine that was replaced.
    #[test]
    fn an_address_that_does_not_respond_is_named_with_its_family() {
        let text = judged([(V4, own()), (V6, none())], none).unwrap();
        assert!(
            text.starts_with("a.org leads to 2001:db8::1 (timed out) by IPv6 (an AAAA record), and port 80"),
            "{text}"
        );
        assert_eq!(text.matches("a.org leads to").count(), 1);
        let text = judged([(V4, none()), ("192.0.2.2", none())], own).unwrap();
        assert!(text.starts_with("a.org leads to 192.0.2.1 (timed out) and 192.0.2.2 (timed out) by IPv4 ("), "{text}");
        assert!(text.ends_with("could not be checked from here. The certification authority will try."), "{text}");
        let text = judged([(V4, none()), (V6, none())], own).unwrap();
        assert!(text.contains("IPv4 (") && text.contains("IPv6 ("), "{text}");
        let failure = judged([(V4, none()), (V6, none())], none).unwrap_err();
        assert!(failure.contains("systemctl start otus-httpd.socket"), "{failure}");
        let failure = judged([(V4, none()), (V6, none())], other_server).unwrap_err();
        assert!(failure.contains("Port 80 of 127.0.0.1, "), "{failure}");
    }

    #[test]
    fn a_router_that_responds_itself_is_named_with_a_way_on() {
        let failure = judged([(V4, other_server()), (V6, none())], own).unwrap_err();
        assert!(failure.contains("If it is the router in front of this machine"), "{failure}");
        assert!(failure.contains("echo '127.0.0.1 a.org' >> /etc/hosts"), "{failure}");
    }

    #[test]
    fn a_challenge_is_requested_from_the_directory_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let token = Token::new(directory.path()).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let path = token.path.clone();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            let content = fs::read_to_string(path).unwrap();
            write!(stream, "HTTP/1.1 200 OK\r\n\r\n{content}").unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        assert!(matches!(get(address, "example.org", &token.name), Reply::Own));
        let request = server.join().unwrap();
        assert!(
            request.starts_with(&format!(
                "GET /.well-known/acme-challenge/{} HTTP/1.1\r\nHost: example.org\r\n",
                token.name
            ))
        );
        drop(token);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

//! Checks that the names lead to this server, before a certification authority does: its limits on failures are low.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
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

/// Checks each name. A name that leads here by none of its addresses is a failure. If no connection is possible, as behind a
/// router that does not lead back, the local address is checked instead.
pub fn check(names: &[String], challenges: &Path) -> Result<(), Failure> {
    let token = Token::new(challenges)?;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    for name in names {
        let addresses = resolve(name)?;
        let replies: Vec<_> =
            addresses.iter().map(|address| (address.ip(), get(*address, name, &token.name))).collect();
        if is_verified(name, &replies)? {
            continue;
        }
        match get(local, name, &token.name) {
            Reply::Own => say(format!(
                "{name} could not be checked: its addresses do not respond from here. The certification authority will try."
            )),
            Reply::Other(status) => return Err(other(name, local.ip(), &status)),
            Reply::None(error) => {
                return Err(Failure::new(format!(
                    "Port {PORT} of this machine does not respond ({}): start the server, systemctl start otus-httpd.socket.",
                    failure::reason(&error)
                )));
            }
        }
    }
    Ok(())
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

/// Returns whether the name was verified; false if no address responds.
fn is_verified(name: &str, replies: &[(IpAddr, Reply)]) -> Result<bool, Failure> {
    for (address, reply) in replies {
        if let Reply::Other(status) = reply {
            return Err(other(name, *address, status));
        }
    }
    Ok(replies.iter().any(|(_, reply)| matches!(reply, Reply::Own)))
}

fn other(name: &str, address: IpAddr, status: &str) -> Failure {
    Failure::new(format!(
        "Port {PORT} of {address}, to which {name} leads, does not serve the challenges of this server (it responds with \
         \"{status}\"): correct the DNS record, or stop the server that listens there, then repeat the command. An otus-httpd from \
         before an upgrade has to be restarted. If a router has responded, see otus-httpd(8), HTTPS."
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

    #[test]
    fn one_address_with_another_server_is_a_failure() {
        let (v4, v6) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let (own, none) = (|| Reply::Own, || Reply::None(io::ErrorKind::TimedOut.into()));
        let other = || Reply::Other("HTTP/1.1 404 Not Found".into());
        assert!(is_verified("a.org", &[(v4, own()), (v6, none())]).unwrap());
        assert!(!is_verified("a.org", &[(v4, none())]).unwrap());
        let failure = is_verified("a.org", &[(v4, own()), (v6, other())]).unwrap_err().to_string();
        assert!(failure.contains("2001:db8::1") && failure.contains("404 Not Found"), "{failure}");
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

//! A client that costs little, so that the server has the machine. `fetch URL CONNECTIONS REQUESTS [RATE [FIELD]]` fetches the
//! file so often, over connections that stay open and take turns, and drops the content inside the kernel; with a rate other
//! than 0, so many times a second at even intervals. FIELD is a line that each request has. `{}` in the URL is the number of
//! the request, and `{1000}` that number modulo 1000. It prints requests, bytes, seconds, and the 99th percentile of the time
//! from a request to its last byte. Anything but 200 is an error.

use std::collections::VecDeque;
use std::error::Error;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv};

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Download {
    stream: TcpStream,
    head: Vec<u8>,
    /// Bytes of content that are still to come; none while the head is not complete.
    remaining: Option<usize>,
    asked: Instant,
}

fn main() -> Outcome<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (url, connections, requests, rate, field) = match &arguments[..] {
        [url, connections, requests] => (url, connections, requests, "0", ""),
        [url, connections, requests, rate] => (url, connections, requests, &rate[..], ""),
        [url, connections, requests, rate, field] => (url, connections, requests, &rate[..], &field[..]),
        _ => return Err("usage: fetch URL CONNECTIONS REQUESTS [RATE [FIELD]]".into()),
    };
    let rate = Some(rate.parse::<u32>()?).filter(|rate| *rate > 0);
    let (address, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).ok_or("not an http URL")?;
    let field = if field.is_empty() { String::new() } else { format!("{field}\r\n") };
    let request = |number: usize| {
        format!(
            "GET /{} HTTP/1.1\r\nHost: {address}\r\n{field}\r\n",
            path.replace("{}", &number.to_string()).replace("{1000}", &(number % 1000).to_string())
        )
    };
    let (connections, requests): (usize, usize) = (connections.parse()?, requests.parse()?);

    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut downloads = Vec::new();
    for number in 0..connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
        downloads.push(Download { stream, head: Vec::new(), remaining: None, asked: Instant::now() });
    }
    let started = Instant::now();
    let due = |number: usize| rate.map_or(started, |rate| started + Duration::from_secs(1) * number as u32 / rate);
    let mut idle: VecDeque<usize> = (0..connections).collect();
    let (mut asked, mut done, mut bytes) = (0, 0, 0);
    let mut times = Vec::with_capacity(requests);
    let mut events = [EpollEvent::empty(); 64];
    let mut trash = vec![0; 1 << 20];
    while done < requests {
        while asked < requests && due(asked) <= Instant::now() {
            let Some(next) = idle.pop_front() else { break };
            downloads[next].asked = Instant::now();
            downloads[next].stream.write_all(request(asked).as_bytes())?;
            asked += 1;
        }
        // Another request is due before an answer may come: epoll's milliseconds are too long for that.
        let is_next = asked < requests && !idle.is_empty();
        if is_next {
            sleep(due(asked).saturating_duration_since(Instant::now()));
        }
        let ready = epoll.wait(&mut events, if is_next { EpollTimeout::ZERO } else { EpollTimeout::NONE })?;
        for event in &events[..ready] {
            let number = event.data() as usize;
            let Some(length) = downloads[number].go_on(&mut trash)? else { continue };
            times.push(downloads[number].asked.elapsed());
            done += 1;
            bytes += length;
            idle.push_back(number);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    times.sort_unstable();
    let p99 = times.get(done * 99 / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    println!("{done} requests, {bytes} bytes, {seconds} seconds, p99 {p99} ms");
    Ok(())
}

impl Download {
    /// Takes what is there; the length of the content when it is complete.
    fn go_on(&mut self, trash: &mut [u8]) -> Outcome<Option<usize>> {
        loop {
            let discard = if self.remaining.is_some() { MsgFlags::MSG_TRUNC } else { MsgFlags::empty() };
            let most = self.remaining.unwrap_or(4096).min(trash.len());
            let read = match recv(self.stream.as_raw_fd(), &mut trash[..most], discard | MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => return Ok(None),
                Ok(0) => return Err("the server closed a connection".into()),
                read => read?,
            };
            self.remaining = match self.remaining {
                Some(remaining) => Some(remaining - read),
                None => self.read_head(&trash[..read])?,
            };
            if self.remaining == Some(0) {
                let length = length(&self.head)?;
                self.head.clear();
                self.remaining = None;
                return Ok(Some(length));
            }
        }
    }

    fn read_head(&mut self, bytes: &[u8]) -> Outcome<Option<usize>> {
        self.head.extend(bytes);
        let Some(end) = self.head.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
        let content = self.head.len() - end - 4;
        self.head.truncate(end);
        length(&self.head)?.checked_sub(content).map(Some).ok_or_else(|| "more content than announced".into())
    }
}

fn length(head: &[u8]) -> Outcome<usize> {
    let head = std::str::from_utf8(head)?.to_ascii_lowercase();
    let field = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    match (head.starts_with("http/1.1 200 "), field) {
        (true, Some(length)) => Ok(length.trim().parse()?),
        _ => Err(format!("not the file, but:\n{head}").into()),
    }
}

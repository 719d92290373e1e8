//! The floor: what an answer costs if nothing is parsed, looked up or decided. `floor PORT WORKERS FILE` answers every
//! empty line (the end of a request) with the bytes of FILE. Each worker is a process with one epoll loop; they share
//! the listening socket, as the servers' workers do.

use std::collections::HashMap;
use std::error::Error;
use std::io::{ErrorKind, Write, stdin};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::{Command, Stdio};
use std::{env, fs};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv};

/// So many answers leave in one send, if so many requests came in one piece.
const MOST_AT_ONCE: usize = 64;
const END_OF_REQUEST: &[u8; 4] = b"\r\n\r\n";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["worker", file] => serve(&TcpListener::from(stdin().as_fd().try_clone_to_owned()?), &fs::read(file)?),
        [port, workers, file] => supervise(&format!("127.0.0.1:{port}"), workers.parse()?, file),
        _ => Err("usage: floor PORT WORKERS FILE".into()),
    }
}

/// Starts the workers and waits for them. They get the socket as their standard input.
fn supervise(address: &str, workers: usize, file: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let mut team = Vec::new();
    for _ in 0..workers {
        let socket = Stdio::from(OwnedFd::from(listener.try_clone()?));
        team.push(Command::new(env::current_exe()?).args(["worker", file]).stdin(socket).spawn()?);
    }
    for mut worker in team {
        worker.wait()?;
    }
    Ok(())
}

struct Client {
    stream: TcpStream,
    /// How much of the end of a request the last bytes were.
    matched: usize,
}

fn serve(listener: &TcpListener, answer: &[u8]) -> Result<(), Box<dyn Error>> {
    let answers = answer.repeat(MOST_AT_ONCE);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let door = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
    epoll.add(listener, EpollEvent::new(door, listener.as_raw_fd() as u64))?;
    let mut clients: HashMap<RawFd, Client> = HashMap::new();
    let mut events = [EpollEvent::empty(); 128];
    let mut buffer = [0; 16384];
    loop {
        let ready = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => 0,
            ready => ready?,
        };
        for event in &events[..ready] {
            let number = event.data() as RawFd;
            if number == listener.as_raw_fd() {
                accept(listener, &epoll, &mut clients)?;
            } else if clients.get_mut(&number).is_some_and(|client| !client.answer(&answers, answer.len(), &mut buffer))
            {
                clients.remove(&number);
            }
        }
    }
}

fn accept(listener: &TcpListener, epoll: &Epoll, clients: &mut HashMap<RawFd, Client>) -> Result<(), Box<dyn Error>> {
    loop {
        let stream = match listener.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            accepted => accepted?.0,
        };
        stream.set_nodelay(true)?;
        epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, stream.as_raw_fd() as u64))?;
        clients.insert(stream.as_raw_fd(), Client { stream, matched: 0 });
    }
}

impl Client {
    /// Reads once and answers as many requests as ended; false means that the client has gone.
    fn answer(&mut self, answers: &[u8], length: usize, buffer: &mut [u8]) -> bool {
        let read = match recv(self.stream.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(0) | Err(_) => return false,
            Ok(read) => read,
        };
        let mut due = 0;
        for &byte in &buffer[..read] {
            self.matched = match (byte == END_OF_REQUEST[self.matched], byte) {
                (true, _) => self.matched + 1,
                (false, b'\r') => 1,
                (false, _) => 0,
            };
            if self.matched == END_OF_REQUEST.len() {
                (due, self.matched) = (due + 1, 0);
            }
        }
        while due > 0 {
            let now = due.min(MOST_AT_ONCE);
            if self.stream.write_all(&answers[..now * length]).is_err() {
                return false;
            }
            due -= now;
        }
        true
    }
}

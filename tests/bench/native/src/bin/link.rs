//! A link between two TUN devices, which are standard input and standard output: `link MILLISECONDS BITS BYTES`. A packet arrives
//! after so many milliseconds and the time that it takes at so many bits a second; packets wait in a queue of so many bytes, and one
//! that finds it full is lost. Each direction is a link of its own. It ends with its devices.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write, stdin, stdout};
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, thread};

/// More than a packet can have.
const LARGEST: usize = 65_536;

#[derive(Clone, Copy)]
struct Link {
    delay: Duration,
    bits_per_second: f64,
    queue: Duration,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [milliseconds, bits, bytes] = &arguments[..] else { return Err("usage: link MILLISECONDS BITS BYTES".into()) };
    let mut link = Link {
        delay: Duration::from_millis(milliseconds.parse()?),
        bits_per_second: bits.parse()?,
        queue: Duration::ZERO,
    };
    link.queue = link.duration(bytes.parse()?);
    let one = File::from(stdin().as_fd().try_clone_to_owned()?);
    let other = File::from(stdout().as_fd().try_clone_to_owned()?);
    thread::scope(|scope| {
        let there = scope.spawn(|| link.pass(&one, &other));
        let back = scope.spawn(|| link.pass(&other, &one));
        there.join().and(back.join())
    })
    .map_err(|_| "a thread has panicked")??;
    Ok(())
}

impl Link {
    /// How long bytes take to be sent.
    fn duration(self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 * 8.0 / self.bits_per_second)
    }

    fn pass(self, mut from: &File, mut to: &File) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
        thread::scope(|scope| {
            scope.spawn(move || {
                for (arrival, packet) in receiver {
                    thread::sleep(arrival.saturating_duration_since(Instant::now()));
                    // A device that is down loses its packets.
                    let _ = to.write(&packet);
                }
            });
            let mut buffer = vec![0; LARGEST];
            let mut sent = Instant::now();
            loop {
                let length = from.read(&mut buffer)?;
                let now = Instant::now();
                sent = sent.max(now);
                if sent - now <= self.queue {
                    sent += self.duration(length);
                    let _ = sender.send((sent + self.delay, buffer[..length].to_vec()));
                }
            }
        })
    }
}

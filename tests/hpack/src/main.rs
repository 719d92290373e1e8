//! The server's codec of field sections for programs that compare it with others.
//!
//! - `loona COUNT SEED`: random lists, which loona-hpack encodes and this decodes, and the other way round;
//! - `pipe`: from standard input, in turn the length of a field section and the section; a length is four bytes, the highest first. To
//!   standard output for each: the lines as this server encodes them, preceded by their length, or a length of 2^32-1 if the section
//!   is malformed, and of 2^32-2 if a name is not ASCII. A length of 0 begins a new connection, and has no answer.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::ops::ControlFlow;

use otus_httpd::http::h2::hpack::{Decoder, TABLE_BYTES, encoder};

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn bytes(&mut self, most: u64, bytes: &[u8]) -> Vec<u8> {
        let length = if self.below(30) == 0 { self.below(20 * most) } else { self.below(most) };
        (0..length)
            .map(|_| {
                if self.below(100) == 0 {
                    self.below(256) as u8
                } else {
                    bytes[self.below(bytes.len() as u64) as usize]
                }
            })
            .collect()
    }

    /// A list with names and values that come again, and others.
    fn lines(&mut self) -> Lines {
        const NAMES: [&str; 8] = [":method", ":path", ":status", "accept", "cookie", "etag", "x-a", "x-b"];
        let count = self.below(8);
        let line = |_| {
            let letters = b"abcdefghijklmnopqrstuvwxyz-";
            let name = match self.below(4) {
                0 => [b"n", &self.bytes(12, letters)[..]].concat().to_ascii_lowercase(),
                _ => NAMES[self.below(NAMES.len() as u64) as usize].into(),
            };
            let name = name.into_iter().map(|byte| if byte.is_ascii() { byte } else { b'u' }).collect();
            let value = match self.below(4) {
                0 => [&b"GET"[..], b"/", b"200", b"", b"gzip"][self.below(5) as usize].to_vec(),
                1 => vec![b'v'; self.below(3) as usize],
                _ => self.bytes(60, b"abcdefghijklmnopqrstuvwxyz0123456789/=;. ABCDEF"),
            };
            (name, value)
        };
        (0..count).map(line).collect()
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "loona", count, seed] => loona(count.parse().expect("a number"), seed.parse().expect("a number")),
        [_, "pipe"] => pipe(&mut BufReader::new(io::stdin().lock()), &mut BufWriter::new(io::stdout().lock()))?,
        _ => panic!("loona COUNT SEED, or pipe"),
    }
    Ok(())
}

fn encoded(lines: &Lines) -> Vec<u8> {
    let mut section = Vec::new();
    for (name, value) in lines {
        encoder::put(&mut section, std::str::from_utf8(name).expect("a name of ASCII"), value);
    }
    section
}

fn decoded(decoder: &mut Decoder, section: &[u8]) -> Option<Lines> {
    let mut lines = Vec::new();
    let result = decoder.decode(section, &mut Vec::new(), |name, value| {
        lines.push((name.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    });
    result.is_ok().then_some(lines)
}

fn loona(count: u64, seed: u64) {
    let mut random = Random(seed);
    let (mut own, mut their_decoder, mut their_encoder) = connection();
    for number in 0..count {
        if number % 1_000 == 0 {
            (own, their_decoder, their_encoder) = connection();
        }
        let lines = random.lines();
        let section = their_encoder.encode(lines.iter().map(|(name, value)| (&name[..], &value[..])));
        assert_eq!(decoded(&mut own, &section).as_ref(), Some(&lines), "list {number}: {}", section.escape_ascii());
        let section = encoded(&lines);
        let theirs = their_decoder.decode(&section).map_err(|error| error.to_string());
        assert_eq!(theirs, Ok(lines), "list {number}: {}", section.escape_ascii());
    }
    println!("PASS loona-hpack: {count} random lists, encoded by either and decoded by the other");
}

fn connection<'a>() -> (Decoder, loona_hpack::Decoder<'a>, loona_hpack::Encoder<'a>) {
    (Decoder::new(TABLE_BYTES), loona_hpack::Decoder::new(), loona_hpack::Encoder::new())
}

fn pipe(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let mut decoder = Decoder::new(TABLE_BYTES);
    let mut length = [0; 4];
    while input.read_exact(&mut length).is_ok() {
        let mut section = vec![0; u32::from_be_bytes(length) as usize];
        input.read_exact(&mut section)?;
        if section.is_empty() {
            decoder = Decoder::new(TABLE_BYTES);
            continue;
        }
        match decoded(&mut decoder, &section) {
            // Names of damaged sections are any bytes, which this server sends in none of its own.
            Some(lines) if lines.iter().any(|(name, _)| !name.is_ascii()) => {
                output.write_all(&(u32::MAX - 1).to_be_bytes())?;
            }
            Some(lines) => {
                let section = encoded(&lines);
                output.write_all(&(section.len() as u32).to_be_bytes())?;
                output.write_all(&section)?;
            }
            None => output.write_all(&u32::MAX.to_be_bytes())?,
        }
    }
    output.flush()
}

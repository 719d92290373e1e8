//! Content codings, and which of them a client takes (RFC 9110 §8.4, §12.5.3).

use super::Fields;
use super::quality::{self, Choice};

/// How the bytes of a file are coded on the wire (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// As they are in the file.
    Identity,
    /// gzip.
    Gzip,
    /// Zstandard, with a window of at most 8 MiB (RFC 9659).
    Zstd,
    /// Brotli.
    Brotli,
}

impl Coding {
    /// All of them, the one that makes the smallest content first: the order among those that a client likes the same.
    pub const BY_SIZE: [Coding; 4] = [Coding::Brotli, Coding::Zstd, Coding::Gzip, Coding::Identity];

    /// The name in Content-Encoding and Accept-Encoding.
    pub fn token(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
            Coding::Brotli => "br",
        }
    }

    /// What the name of a precompressed file has after the name of the original.
    pub fn suffix(self) -> &'static str {
        match self {
            Coding::Identity => "",
            Coding::Gzip => ".gz",
            Coding::Zstd => ".zst",
            Coding::Brotli => ".br",
        }
    }

    /// The coding that a member of Accept-Encoding names, in any case. "x-gzip" is gzip (RFC 9110 §8.4.1.3).
    fn named(token: &[u8]) -> Option<Coding> {
        let is_x_gzip = token.eq_ignore_ascii_case(b"x-gzip");
        let named = |coding: &Coding| token.eq_ignore_ascii_case(coding.token().as_bytes());
        if is_x_gzip { Some(Coding::Gzip) } else { Coding::BY_SIZE.into_iter().find(named) }
    }
}

/// How much a client likes each coding: its weight in thousandths, 0 for those that it does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acceptable {
    /// In the order of [`Coding::BY_SIZE`].
    weights: [u16; 4],
}

impl Acceptable {
    /// The file as it is, and nothing else.
    const IDENTITY: Acceptable = Acceptable { weights: [0, 0, 0, MOST] };

    /// The codings to try, the most welcome first, and of those equally welcome the smallest. Whoever reaches the end
    /// without a variant has none that the client takes (406).
    pub fn order(self) -> impl Iterator<Item = Coding> {
        let mut ranks = [0, 1, 2, 3];
        ranks.sort_unstable_by_key(|&rank| (MOST - self.weights[rank], rank));
        ranks.into_iter().filter(move |&rank| self.weights[rank] > 0).map(|rank| Coding::BY_SIZE[rank])
    }
}

/// A weight of 1, in thousandths.
const MOST: u16 = 1000;

/// The smallest weight that is not 0, in thousandths.
const LEAST: u16 = 1;

/// What the Accept-Encoding lines say (RFC 9110 §12.5.3).
///
/// - Without the field a server may send any coding. Those who leave it out are mostly scripts and old clients that
///   decode nothing, so they get the file as it is, as do those who send an empty one.
/// - A file as it is remains acceptable, as the last resort, unless `identity;q=0` or `*;q=0` excludes it.
/// - `*` stands for what no other member names, identity too.
/// - A malformed member is ignored: a coding that is not sent for certain hurts nobody. Of two members for one coding
///   the lower weight counts, for the same reason.
pub fn acceptable(fields: Fields) -> Acceptable {
    if !fields.has("accept-encoding") {
        return Acceptable::IDENTITY;
    }
    let mut named = [None; 4];
    let mut others = None;
    let members = fields.all("accept-encoding").flat_map(quality::choices);
    for Choice { name, weight, .. } in members.filter(|member| !member.has_parameters) {
        let place = match Coding::named(name) {
            _ if name == b"*" => &mut others,
            Some(coding) => &mut named[rank(coding)],
            None => continue,
        };
        *place = Some(place.map_or(weight, |before: u16| before.min(weight)));
    }
    let mut weights = named.map(|weight| weight.or(others).unwrap_or(0));
    let identity = rank(Coding::Identity);
    if named[identity].or(others).is_none() {
        weights[identity] = LEAST;
    }
    Acceptable { weights }
}

/// The place of a coding in [`Coding::BY_SIZE`].
fn rank(coding: Coding) -> usize {
    match coding {
        Coding::Brotli => 0,
        Coding::Zstd => 1,
        Coding::Gzip => 2,
        Coding::Identity => 3,
    }
}

#[cfg(test)]
mod tests;

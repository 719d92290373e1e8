//! Content codings, and their negotiation (RFC 9110 §8.4, §12.5.3).

use super::Fields;
use super::quality::{self, Choice};

/// A content coding (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// No coding.
    Identity,
    /// gzip.
    Gzip,
    /// Zstandard, with a window of at most 8 MiB (RFC 9659).
    Zstd,
    /// Brotli.
    Brotli,
}

impl Coding {
    /// All codings, the smallest content first: the order among codings of equal weight.
    pub const BY_SIZE: [Coding; 4] = [Coding::Brotli, Coding::Zstd, Coding::Gzip, Coding::Identity];

    /// Returns the name in Content-Encoding and Accept-Encoding.
    pub fn token(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
            Coding::Brotli => "br",
        }
    }

    /// Returns the suffix that a variant's file name adds to the name of the original.
    pub fn suffix(self) -> &'static str {
        match self {
            Coding::Identity => "",
            Coding::Gzip => ".gz",
            Coding::Zstd => ".zst",
            Coding::Brotli => ".br",
        }
    }

    /// Returns the coding that a member of Accept-Encoding names, case-insensitively. "x-gzip" is gzip (RFC 9110 §8.4.1.3).
    fn named(token: &[u8]) -> Option<Coding> {
        let is_x_gzip = token.eq_ignore_ascii_case(b"x-gzip");
        let named = |coding: &Coding| token.eq_ignore_ascii_case(coding.token().as_bytes());
        if is_x_gzip { Some(Coding::Gzip) } else { Coding::BY_SIZE.into_iter().find(named) }
    }
}

/// The weight of each coding for a client, in thousandths; 0 for codings that it does not accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acceptable {
    /// In the order of [`Coding::BY_SIZE`].
    weights: [u16; 4],
}

impl Acceptable {
    /// Identity only.
    pub const IDENTITY: Acceptable = Acceptable { weights: [0, 0, 0, MIN_WEIGHT] };

    /// Returns the codings to try, sorted by weight, and by size if the weights are equal. If none of them is available,
    /// the response is a 406.
    pub fn order(self) -> impl Iterator<Item = Coding> {
        let mut weights = self.weights;
        std::iter::from_fn(move || {
            // The last of equal maxima is the one with the lowest rank.
            let rank = (0..weights.len()).rev().max_by_key(|&rank| weights[rank])?;
            (std::mem::take(&mut weights[rank]) > 0).then(|| Coding::BY_SIZE[rank])
        })
    }
}

/// The smallest weight that is not 0, in thousandths.
const MIN_WEIGHT: u16 = 1;

/// Parses the Accept-Encoding lines (RFC 9110 §12.5.3).
///
/// - Without the field a server may send any coding. Clients that omit it are mostly scripts and old clients without
///   decoders, so they get identity, and so do clients that send an empty field.
/// - Identity remains acceptable, with the lowest weight, unless `identity;q=0` or `*;q=0` excludes it.
/// - `*` stands for all codings that no other member names, identity included.
/// - A malformed member is ignored: not to send a coding is always safe. Of two members for one coding, the lower weight
///   applies, for the same reason.
pub fn acceptable(fields: Fields) -> Acceptable {
    let mut named = [None; 4];
    let mut others = None;
    let members = fields.all("Accept-Encoding").flat_map(quality::choices);
    for Choice { name, weight, .. } in members.filter(|member| !member.has_parameters) {
        let entry = match Coding::named(name) {
            _ if name == b"*" => &mut others,
            Some(coding) => &mut named[rank(coding)],
            None => continue,
        };
        *entry = Some(entry.map_or(weight, |before: u16| before.min(weight)));
    }
    let mut weights = named.map(|weight| weight.or(others).unwrap_or(0));
    let identity = rank(Coding::Identity);
    if named[identity].or(others).is_none() {
        weights[identity] = MIN_WEIGHT;
    }
    Acceptable { weights }
}

/// Returns the index of a coding in [`Coding::BY_SIZE`].
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

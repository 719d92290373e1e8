//! Hashes of passwords: which are accepted, and the comparison with a password. All costs are bounded.

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use sha_crypt::ShaCrypt;

/// The costs of bcrypt: 4 is its least, 14 takes about a second.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=14;

/// The bytes of a password that bcrypt uses.
const MAX_BCRYPT_BYTES: usize = 72;

/// The rounds of SHA-crypt if a line has no others, and the bounds.
const DEFAULT_ROUNDS: u32 = 5_000;
const ROUNDS: std::ops::RangeInclusive<u32> = 1_000..=1_000_000;

/// The most memory of argon2id, in KiB.
pub const MAX_ARGON2_KIB: u32 = 64 * 1024;

/// The most passes of argon2id over its memory, and lanes.
const MAX_ARGON2_PASSES: u32 = 16;
const MAX_ARGON2_LANES: u32 = 16;

/// The hash of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hash {
    kind: Kind,
    text: String,
    /// About the processor time of a comparison, in microseconds, to compare lines of different kinds.
    cost_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bcrypt,
    Argon2id,
    ShaCrypt,
}

impl Hash {
    /// Parses a hash. The error says what is wrong, and is followed by what makes a better one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<_> = text.split('$').collect();
        match fields.as_slice() {
            ["", "2y" | "2b" | "2a", ..] => Hash::bcrypt(text),
            ["", "argon2id", ..] => Hash::argon2id(text),
            ["", "5" | "6", rest @ ..] => Hash::sha_crypt(text, rest),
            ["", "apr1" | "1", ..] => Err("the password is hashed by MD5, which is too fast".into()),
            ["", "argon2i" | "argon2d", ..] => Err("of the kinds of Argon2, only argon2id is accepted".into()),
            ["", "y" | "7" | "gy" | "2x" | "sha1" | "md5", ..] => Err("the kind of the hash is not supported".into()),
            _ => Err("the password is not hashed by bcrypt, argon2id or SHA-crypt".into()),
        }
    }

    fn bcrypt(text: &str) -> Result<Self, String> {
        let parts: bcrypt::HashParts = text.parse().map_err(|_| "the hash of bcrypt is not complete")?;
        let cost = parts.get_cost();
        if !BCRYPT_COSTS.contains(&cost) {
            let (least, most) = (BCRYPT_COSTS.start(), BCRYPT_COSTS.end());
            return Err(format!("the cost of bcrypt is {cost}, and {least} to {most} are accepted"));
        }
        Ok(Hash { kind: Kind::Bcrypt, text: text.into(), cost_us: 50 << cost })
    }

    fn argon2id(text: &str) -> Result<Self, String> {
        let wrong = || "the hash of argon2id is not complete".to_string();
        let hash = PasswordHash::new(text).map_err(|_| wrong())?;
        let params = Params::try_from(&hash).map_err(|_| wrong())?;
        let (kib, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
        if hash.salt.is_none() || hash.hash.is_none() || hash.version.is_some_and(|version| version != 0x13) {
            return Err(wrong());
        }
        if kib > MAX_ARGON2_KIB || passes > MAX_ARGON2_PASSES || lanes > MAX_ARGON2_LANES {
            return Err(format!(
                "argon2id has m={kib},t={passes},p={lanes}, and up to m={MAX_ARGON2_KIB},t={MAX_ARGON2_PASSES},p={MAX_ARGON2_LANES} is \
                 accepted"
            ));
        }
        Ok(Hash { kind: Kind::Argon2id, text: text.into(), cost_us: u64::from(kib) * u64::from(passes) })
    }

    fn sha_crypt(text: &str, fields: &[&str]) -> Result<Self, String> {
        let is_word = |word: &str| word.bytes().all(|b| b.is_ascii_alphanumeric() || b"./".contains(&b));
        let (rounds, rest) = match fields {
            [rounds, rest @ ..] if rounds.starts_with("rounds=") => (rounds["rounds=".len()..].parse().ok(), rest),
            rest => (Some(DEFAULT_ROUNDS), rest),
        };
        let length = if text.starts_with("$6$") { 86 } else { 43 };
        let (Some(rounds), [salt, hash]) = (rounds, rest) else {
            return Err("the hash of SHA-crypt is not complete".into());
        };
        if !is_word(salt) || salt.len() > 16 || !is_word(hash) || hash.len() != length {
            return Err("the hash of SHA-crypt is not complete".into());
        }
        if !ROUNDS.contains(&rounds) {
            let (least, most) = (ROUNDS.start(), ROUNDS.end());
            return Err(format!("SHA-crypt has {rounds} rounds, and {least} to {most} are accepted"));
        }
        Ok(Hash { kind: Kind::ShaCrypt, text: text.into(), cost_us: u64::from(rounds / 2) })
    }

    /// Returns whether it is the hash of `password`.
    pub fn matches(&self, password: &[u8]) -> bool {
        match self.kind {
            Kind::Bcrypt => {
                // It would ignore the rest of a longer password.
                let is_match = bcrypt::verify(password, &self.text).unwrap_or(false);
                is_match && password.len() <= MAX_BCRYPT_BYTES
            }
            Kind::Argon2id => PasswordHash::new(&self.text)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
            Kind::ShaCrypt => ShaCrypt::default().verify_password(password, self.text.as_str()).is_ok(),
        }
    }

    /// Returns about the processor time of a comparison, in microseconds.
    pub fn cost_us(&self) -> u64 {
        self.cost_us
    }
}

#[cfg(test)]
mod tests;

//! What a worker remembers of logins: a digest of each with a secret key, and never a password.

use std::collections::{HashMap, HashSet};

use super::{Question, Verdict};
use crate::client_address::client_of;

/// The most accepted logins of each of two generations.
const MAX_ACCEPTED: usize = 4_096;

/// The most answers that are kept for those who wait for them.
const MAX_ANSWERS: usize = 4_096;

/// The time for which an answer other than an acceptance is kept, in milliseconds: a page with many images asks once. A change
/// of the file counts within a second.
const ANSWER_MS: u64 = 900;

/// The digest of a login with a secret key of this process.
pub type LoginDigest = [u8; 32];

/// The digests of logins.
#[derive(Debug)]
pub struct LoginMemory {
    key: [u8; 32],
    /// Accepted logins. When the young generation is full, it becomes the old one.
    young: HashSet<LoginDigest>,
    old: HashSet<LoginDigest>,
    /// The answers to questions, which end at these times.
    answers: HashMap<LoginDigest, (Verdict, u64)>,
}

impl LoginMemory {
    /// Creates an empty memory. No other process should know `key`.
    pub fn new(key: [u8; 32]) -> Self {
        LoginMemory { key, young: HashSet::new(), old: HashSet::new(), answers: HashMap::new() }
    }

    /// Returns the digest of a login: file, user and password.
    pub fn login(&self, question: &Question) -> LoginDigest {
        *self.hasher(question).finalize().as_bytes()
    }

    /// Returns the digest of a question: a login and its client, for whom the answer is.
    pub fn question(&self, question: &Question) -> LoginDigest {
        let mut hasher = self.hasher(question);
        let client = question.client.map(client_of);
        hasher.update(format!("{client:?}").as_bytes());
        *hasher.finalize().as_bytes()
    }

    fn hasher(&self, question: &Question) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&question.file.to_le_bytes());
        // With its length, no other pair has the same bytes.
        hasher.update(&question.user.len().to_le_bytes()).update(question.user);
        hasher.update(&question.password.len().to_le_bytes()).update(question.password);
        hasher
    }

    /// Returns whether a login was accepted.
    pub fn is_accepted(&mut self, login: &LoginDigest) -> bool {
        if self.young.contains(login) {
            return true;
        }
        let is_old = self.old.remove(login);
        if is_old {
            self.accept(*login);
        }
        is_old
    }

    /// Remembers an accepted login.
    pub fn accept(&mut self, login: LoginDigest) {
        if self.young.len() >= MAX_ACCEPTED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(login);
    }

    /// Forgets all logins and answers, as after a change of a file.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.answers.clear();
    }

    /// Returns the answer to a question, if it was given just now.
    pub fn answer(&self, question: &LoginDigest, now_ms: u64) -> Option<Verdict> {
        self.answers.get(question).filter(|(_, until_ms)| now_ms < *until_ms).map(|(verdict, _)| *verdict)
    }

    /// Keeps an answer for those who wait for it.
    pub fn keep_answer(&mut self, question: LoginDigest, verdict: Verdict, now_ms: u64) {
        if self.answers.len() >= MAX_ANSWERS {
            self.answers.retain(|_, (_, until_ms)| now_ms < *until_ms);
            if self.answers.len() >= MAX_ANSWERS {
                self.answers.clear();
            }
        }
        self.answers.insert(question, (verdict, now_ms + ANSWER_MS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question<'q>(file: u16, client: Option<&str>, user: &'q str, password: &'q str) -> Question<'q> {
        let client = client.map(|client| client.parse().unwrap());
        Question { file, client, user: user.as_bytes(), password: password.as_bytes() }
    }

    #[test]
    fn each_login_has_a_digest_of_its_own() {
        let memory = LoginMemory::new([1; 32]);
        let logins = [(0, "a", "bc"), (0, "ab", "c"), (1, "a", "bc"), (0, "", "abc"), (0, "abc", "")];
        let digests: HashSet<_> =
            logins.iter().map(|(file, user, password)| memory.login(&question(*file, None, user, password))).collect();
        assert_eq!(digests.len(), logins.len());
        let same = question(0, None, "a", "bc");
        assert_ne!(LoginMemory::new([2; 32]).login(&same), memory.login(&same), "another process");
        let of_client = |client| memory.question(&question(0, Some(client), "a", "bc"));
        assert_eq!(of_client("2001:db8::1"), of_client("2001:db8::2"), "one client");
        assert_ne!(of_client("192.0.2.1"), of_client("192.0.2.2"));
        assert_eq!(memory.login(&question(0, Some("192.0.2.1"), "a", "bc")), memory.login(&same));
    }

    #[test]
    fn logins_that_are_used_stay_and_their_number_is_bounded() {
        let mut memory = LoginMemory::new([1; 32]);
        let digest = |number: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            digest
        };
        for number in 0..10 * MAX_ACCEPTED {
            memory.accept(digest(number));
            assert!(memory.is_accepted(&digest(0)), "{number}");
        }
        assert!(memory.young.len() + memory.old.len() <= 2 * MAX_ACCEPTED + 1);
        assert!(!memory.is_accepted(&digest(1)));
        memory.clear();
        assert!(!memory.is_accepted(&digest(0)));
    }

    #[test]
    fn answers_are_kept_for_less_than_a_second() {
        let mut memory = LoginMemory::new([1; 32]);
        memory.keep_answer([1; 32], Verdict::Rejected, 5_000);
        assert_eq!(memory.answer(&[1; 32], 5_000 + ANSWER_MS - 1), Some(Verdict::Rejected));
        assert_eq!(memory.answer(&[1; 32], 5_000 + ANSWER_MS), None);
        for number in 0..3 * MAX_ANSWERS {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            memory.keep_answer(digest, Verdict::Rejected, 5_000);
        }
        assert!(memory.answers.len() <= MAX_ANSWERS);
    }
}

//! The file of users and the hashes of their passwords, in the format of htpasswd(1).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::credentials::MAX_USER_BYTES;
use super::password::Hash;

/// The largest file, in bytes.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// The most users.
const MAX_USERS: usize = 10_000;

/// The longest hash, in bytes.
const MAX_HASH_BYTES: usize = 512;

/// The most mistakes that are kept.
const MAX_MISTAKES: usize = 100;

/// The users of a file.
#[derive(Debug, Default, PartialEq)]
pub struct Users {
    hashes: HashMap<Box<[u8]>, Hash>,
    /// The hash that takes longest to compare.
    dearest: Option<Hash>,
}

/// A line that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong, and what makes a better line.
    pub reason: String,
}

impl Users {
    /// Parses a file. Each line is `USER:HASH`, perhaps with a comment after another colon; empty lines and lines that begin
    /// with `#` are ignored.
    pub fn parse(text: &[u8]) -> (Self, Vec<Mistake>) {
        let (mut users, mut mistakes) = (Users::default(), Vec::new());
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() || line.starts_with(b"#") {
                continue;
            }
            if let Err(reason) = users.add(line)
                && mistakes.len() < MAX_MISTAKES
            {
                mistakes.push(Mistake { line: index + 1, reason });
            }
        }
        (users, mistakes)
    }

    fn add(&mut self, line: &[u8]) -> Result<(), String> {
        let colon = line.iter().position(|&byte| byte == b':');
        let colon = colon.ok_or("it is not USER:HASH: remove it, or write it with htpasswd -B -C 10 FILE USER")?;
        let (user, hash) = (&line[..colon], &line[colon + 1..]);
        if user.is_empty() || user.len() > MAX_USER_BYTES || user.iter().any(u8::is_ascii_control) {
            return Err(format!(
                "the user name is empty, longer than {MAX_USER_BYTES} bytes, or has a control character"
            ));
        }
        let hash = hash.split(|&byte| byte == b':').next().unwrap_or_default();
        let hash = str::from_utf8(hash).ok().filter(|hash| hash.len() <= MAX_HASH_BYTES);
        let hash = hash.ok_or_else(|| "the hash is not text, or too long".to_string()).and_then(Hash::parse);
        let hash = hash
            .map_err(|why| format!("{why}: write the line with htpasswd -B -C 10 FILE USER (package apache2-utils)"))?;
        if self.hashes.len() >= MAX_USERS {
            return Err(format!("there are {MAX_USERS} users already, and no more are read"));
        }
        if self.dearest.as_ref().is_none_or(|dearest| dearest.cost_us() < hash.cost_us()) {
            self.dearest = Some(hash.clone());
        }
        match self.hashes.entry(user.into()) {
            Entry::Occupied(_) => Err("the user has an earlier line, which is used: remove one of the two".into()),
            Entry::Vacant(entry) => {
                entry.insert(hash);
                Ok(())
            }
        }
    }

    /// Returns whether `password` is that of `user`. For a user who is not in the file, this takes as long as for the hash
    /// that takes longest, so that it does not tell who is.
    pub fn verify(&self, user: &[u8], password: &[u8]) -> bool {
        match (self.hashes.get(user), &self.dearest) {
            (Some(hash), _) => hash.matches(password),
            (None, Some(dearest)) => {
                let _ = std::hint::black_box(dearest.matches(password));
                false
            }
            (None, None) => false,
        }
    }

    /// Returns the number of users.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Returns whether there are no users.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2y$04$USfggzn/x9E.IFZn7IvGJ.XL3oGUB8tcwXxh2glNuFiohlFkaAcNG";
    const SHA: &str = "$5$rdH6C7PuMeXPYcFE$W1CqEmgd.F0/cXhpsrO3bNoETZP/Y.vx2Ze6NulE6o9";

    #[test]
    fn lines_are_those_of_htpasswd() {
        let text = format!(
            "\u{feff}# users\n\nanna:{BCRYPT}\r\nb\u{e9}:{SHA}:a comment\n   \n#off:{SHA}\nspace d:{SHA}\nlast:{SHA}"
        );
        let (users, mistakes) = Users::parse(text.as_bytes());
        assert_eq!((users.len(), mistakes), (4, Vec::new()));
        let verify = |user: &str, password: &str| users.verify(user.as_bytes(), password.as_bytes());
        assert!(
            verify("anna", "p\u{e4}ssword") && verify("b\u{e9}", "p") && verify("space d", "p") && verify("last", "p")
        );
        for (user, password) in [("anna", "p"), ("Anna", "p\u{e4}ssword"), ("off", "p"), ("", ""), ("nobody", "p")] {
            assert!(!verify(user, password), "{user} {password}");
        }
        assert!(!Users::parse(b"").0.verify(b"anna", b""));
    }

    #[test]
    fn a_mistake_costs_its_line_alone() {
        let text = format!(
            "anna:{BCRYPT}\nmd5:$apr1$x$y\nnothing\n:{SHA}\nanna:{SHA}\nplain:p\nt\tab:{SHA}\n{}:{SHA}\nlong:{}\nlast:{SHA}\n",
            "u".repeat(MAX_USER_BYTES + 1),
            "h".repeat(MAX_HASH_BYTES + 1)
        );
        let (users, mistakes) = Users::parse(text.as_bytes());
        assert_eq!(users.len(), 2);
        assert_eq!(mistakes.iter().map(|mistake| mistake.line).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7, 8, 9]);
        let better = "htpasswd -B -C 10 FILE USER";
        assert!([0, 1, 4].iter().all(|index: &usize| mistakes[*index].reason.contains(better)), "{mistakes:?}");
        assert!(!mistakes.iter().any(|mistake| mistake.reason.contains("plain")), "a line may be a secret");
        assert!(users.verify(b"anna", "p\u{e4}ssword".as_bytes()), "the first line of a user holds");
    }

    #[test]
    fn an_unknown_user_costs_what_the_dearest_line_costs() {
        let (users, _) = Users::parse(format!("a:{SHA}\nb:{BCRYPT}\nc:{SHA}").as_bytes());
        let costs: Vec<_> = ["a", "b"].map(|user| users.hashes[user.as_bytes()].cost_us()).into();
        assert_eq!(users.dearest.as_ref().map(Hash::cost_us), costs.iter().max().copied());
    }

    #[test]
    fn users_and_mistakes_are_bounded() {
        let lines: String = (0..MAX_USERS + 200).map(|number| format!("u{number}:{SHA}\n")).collect();
        let (users, mistakes) = Users::parse(lines.as_bytes());
        assert_eq!((users.len(), mistakes.len()), (MAX_USERS, MAX_MISTAKES));
    }
}

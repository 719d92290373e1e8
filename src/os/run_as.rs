//! Whose rights the server has: those of whoever started it. One that root starts has those of a user for the web, and root's
//! only if it was told so.

use nix::unistd::{User, getegid, geteuid, initgroups, setgid, setuid};

use crate::failure::Failure;

/// Whom a server becomes that root starts without naming anybody: the first of these that there is.
const FOR_ROOT: [&str; 2] = ["www-data", "nobody"];

/// The user that a server is to serve as.
#[derive(Debug)]
pub struct RunAs {
    /// Whom to become; none if the server is that user already.
    other: Option<User>,
}

impl RunAs {
    /// Decides by who started the server, and whom `--user` names.
    pub fn new(named: Option<&str>) -> Result<Self, Failure> {
        let of = |name: &str| match User::from_name(name) {
            Ok(Some(user)) => Ok(user),
            _ => Err(Failure::new(format!(
                "There is no user \"{name}\" on this machine: name another with --user or OTUS_USER."
            ))),
        };
        let named = match named {
            None if geteuid().is_root() => {
                let user = FOR_ROOT.iter().find_map(|name| User::from_name(name).ok().flatten());
                Some(user.ok_or_else(|| {
                    let names = FOR_ROOT.join(" nor ");
                    Failure::new(format!("There is no user {names} to serve as: name one with --user or OTUS_USER."))
                })?)
            }
            named => named.map(of).transpose()?,
        };
        Ok(RunAs { other: decide(geteuid().as_raw(), named)? })
    }

    /// Whom the server is to become.
    pub fn other_user(&self) -> Option<&str> {
        self.other.as_ref().map(|user| user.name.as_str())
    }

    /// Becomes that user, for good: with its groups, and without a capability.
    pub fn drop_privileges(&self) -> Result<(), Failure> {
        let Some(user) = &self.other else { return Ok(()) };
        let become_it = || {
            let name = std::ffi::CString::new(user.name.as_str()).map_err(|_| nix::errno::Errno::EINVAL)?;
            initgroups(&name, user.gid)?;
            setgid(user.gid)?;
            setuid(user.uid)
        };
        become_it().map_err(|errno| {
            let (name, why) = (&user.name, errno.desc());
            Failure::new(format!(
                "Cannot become the user {name} ({why}): this needs the capabilities CAP_SETUID and CAP_SETGID; with them \
                 taken away, start the server as {name} without --user."
            ))
        })?;
        // What follows relies on it, whatever the kernel's security bits (capabilities(7)) made of the calls.
        assert!((geteuid(), getegid()) == (user.uid, user.gid) && setuid(0.into()).is_err(), "still root");
        Ok(())
    }
}

/// The user to become, if any, for a server that runs as `own`.
fn decide(own: u32, named: Option<User>) -> Result<Option<User>, Failure> {
    match named {
        Some(user) if own != user.uid.as_raw() && own != 0 => Err(Failure::new(format!(
            "Only root can become the user {} (--user, OTUS_USER): start the server as root, or leave that out; for the \
             packaged service, User= in a drop-in sets the user.",
            user.name
        ))),
        Some(user) if own != user.uid.as_raw() => Ok(Some(user)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: u32 = 0;
    const WEB: u32 = 33;

    fn user(uid: u32) -> User {
        User { uid: uid.into(), name: format!("user{uid}"), ..User::from_uid(ROOT.into()).unwrap().unwrap() }
    }

    fn check(own: u32, named: Option<u32>, expected: Result<Option<u32>, &str>) {
        match (decide(own, named.map(user)), expected) {
            (Ok(other), Ok(expected)) => assert_eq!(other.map(|user| user.uid.as_raw()), expected),
            (Err(failure), Err(words)) => assert!(failure.to_string().contains(words), "{failure}"),
            (got, expected) => panic!("{got:?}, not {expected:?}, for {own} told to be {named:?}"),
        }
    }

    #[test]
    fn root_serves_only_if_told_so() {
        check(ROOT, Some(ROOT), Ok(None));
        check(ROOT, Some(WEB), Ok(Some(WEB)));
    }

    #[test]
    fn others_stay_who_they_are() {
        check(WEB, None, Ok(None));
        check(WEB, Some(WEB), Ok(None));
        check(WEB, Some(ROOT), Err("Only root can become the user user0"));
        check(WEB, Some(34), Err("Only root can become the user user34"));
    }

    #[test]
    fn a_user_that_does_not_exist_is_named() {
        let failure = RunAs::new(Some("no-such-user")).unwrap_err().to_string();
        assert!(failure.contains("no user \"no-such-user\""), "{failure}");
        assert!(RunAs::new(Some("a\0b")).is_err());
    }
}

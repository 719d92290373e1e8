//! The user that the server runs as: the user that starts it. If root starts it, it switches to an unprivileged user,
//! unless `--user` names root.

use nix::unistd::{User, getegid, geteuid, initgroups, setgid, setuid};

use crate::failure::Failure;

/// The default users if root starts the server: the first that exists.
const FOR_ROOT: [&str; 2] = ["www-data", "nobody"];

/// The user that the server runs as.
#[derive(Debug)]
pub struct RunAs {
    /// The user to switch to; none if the server runs as that user already.
    other: Option<User>,
}

impl RunAs {
    /// Chooses the user from `--user` and from the user that has started the server.
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

    /// Returns the user to switch to.
    pub fn other_user(&self) -> Option<&str> {
        self.other.as_ref().map(|user| user.name.as_str())
    }

    /// Switches to that user permanently, with its groups and without capabilities.
    pub fn drop_privileges(&self) -> Result<(), Failure> {
        let Some(user) = &self.other else { return Ok(()) };
        let switch = || {
            let name = std::ffi::CString::new(user.name.as_str()).map_err(|_| nix::errno::Errno::EINVAL)?;
            initgroups(&name, user.gid)?;
            setgid(user.gid)?;
            setuid(user.uid)
        };
        switch().map_err(|errno| {
            let (name, why) = (&user.name, errno.desc());
            Failure::new(format!(
                "Cannot switch to the user {name} ({why}): this requires the capabilities CAP_SETUID and CAP_SETGID; grant \
                 them, or start the server as {name} without --user."
            ))
        })?;
        // The sandbox relies on this, whatever the security bits of the kernel (capabilities(7)) made of the calls.
        assert!((geteuid(), getegid()) == (user.uid, user.gid) && setuid(0.into()).is_err(), "still root");
        Ok(())
    }
}

/// Returns the user to switch to, if any, for a server that runs as `own`.
fn decide(own: u32, named: Option<User>) -> Result<Option<User>, Failure> {
    match named {
        Some(user) if own != user.uid.as_raw() && own != 0 => Err(Failure::new(format!(
            "Only root can switch to the user {} (--user, OTUS_USER): start the server as root, or remove this setting; \
             User= in a drop-in sets the user of the packaged service.",
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
    fn root_serves_only_with_user_root() {
        check(ROOT, Some(ROOT), Ok(None));
        check(ROOT, Some(WEB), Ok(Some(WEB)));
    }

    #[test]
    fn other_users_are_not_switched() {
        check(WEB, None, Ok(None));
        check(WEB, Some(WEB), Ok(None));
        check(WEB, Some(ROOT), Err("Only root can switch to the user user0"));
        check(WEB, Some(34), Err("Only root can switch to the user user34"));
    }

    #[test]
    fn a_user_that_does_not_exist_is_named() {
        let failure = RunAs::new(Some("no-such-user")).unwrap_err().to_string();
        assert!(failure.contains("no user \"no-such-user\""), "{failure}");
        assert!(RunAs::new(Some("a\0b")).is_err());
    }
}

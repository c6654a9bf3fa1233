//! The user that a process runs as.

use std::io;

use nix::unistd;

/// A user, by number: what the system's user database says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Its user id.
    pub uid: u32,
    /// The id of its own group.
    pub gid: u32,
}

impl User {
    /// The user with this name, or with this number if `name` is one. `None`: there is no such user.
    ///
    /// # Errors
    /// The system's, when the user database cannot be read.
    pub fn find(name: &str) -> io::Result<Option<Self>> {
        let found = match name.parse() {
            Ok(uid) => unistd::User::from_uid(unistd::Uid::from_raw(uid))?,
            Err(_) => unistd::User::from_name(name)?,
        };
        Ok(found.map(|user| Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let root = User { uid: 0, gid: 0 };
        assert_eq!(User::find("root").unwrap(), Some(root));
        assert_eq!(User::find("0").unwrap(), Some(root));
        for nobody in ["", "no-such-user-here", "4294967294", "a\0b"] {
            assert!(!matches!(User::find(nobody), Ok(Some(_))), "{nobody:?}");
        }
    }
}

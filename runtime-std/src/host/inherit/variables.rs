//! The variables of the convention: their names, and what they say. Nothing is touched here but the
//! environment, so every way to get them wrong can be tested.

use std::env;
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::str::FromStr;

use super::{FIRST_FD, InheritError, MAX_LISTENERS};

pub(in crate::host) const LISTEN_FDS: &str = "LISTEN_FDS";
pub(in crate::host) const LISTEN_FDNAMES: &str = "LISTEN_FDNAMES";
pub(in crate::host) const LISTEN_PID: &str = "LISTEN_PID";
pub(in crate::host) const HANDOFF_ROLE: &str = "HANDOFF_ROLE";
pub(in crate::host) const HANDOFF_SOCK_FD: &str = "HANDOFF_SOCK_FD";
pub(in crate::host) const SUCCESSOR: &str = "successor";

/// The variables as they were found.
#[derive(Debug, Default)]
pub(super) struct Variables {
    listen_fds: Option<OsString>,
    listen_fdnames: Option<OsString>,
    listen_pid: Option<OsString>,
    role: Option<OsString>,
    sock_fd: Option<OsString>,
}

/// What the variables say: a name for each listener, and where the successor channel is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) names: Vec<String>,
    pub(super) channel: Option<RawFd>,
}

impl Variables {
    /// Take them out of the environment of this process.
    pub(super) fn take() -> Self {
        Self {
            listen_fds: take_variable(LISTEN_FDS),
            listen_fdnames: take_variable(LISTEN_FDNAMES),
            listen_pid: take_variable(LISTEN_PID),
            role: take_variable(HANDOFF_ROLE),
            sock_fd: take_variable(HANDOFF_SOCK_FD),
        }
    }

    pub(super) fn parse(self, our_pid: u32) -> Result<Plan, InheritError> {
        if let Some(value) = self.listen_pid
            && number::<u32>(LISTEN_PID, value, "a process id")? != our_pid
        {
            return Ok(Plan::default());
        }
        let names = parse_names(self.listen_fds, self.listen_fdnames)?;
        let channel = parse_channel(self.role, self.sock_fd, names.len())?;
        Ok(Plan { names, channel })
    }
}

fn parse_names(
    fds: Option<OsString>,
    fdnames: Option<OsString>,
) -> Result<Vec<String>, InheritError> {
    const COUNT: &str = "the number of inherited listeners, at most 253";
    let Some(value) = fds else {
        return Ok(Vec::new());
    };
    let count: usize = number(LISTEN_FDS, value.clone(), COUNT)?;
    if count > MAX_LISTENERS {
        return Err(malformed(LISTEN_FDS, value, COUNT));
    }
    let fdnames = fdnames.unwrap_or_default();
    let Some(text) = fdnames.to_str() else {
        return Err(malformed(LISTEN_FDNAMES, fdnames, "names in UTF-8"));
    };
    let mut given = text.split(':');
    let names = (0..count)
        .map(|index| match given.next() {
            // systemd's own word for a listener without a name is "unknown".
            None | Some("" | "unknown") => index.to_string(),
            Some(name) => name.into(),
        })
        .collect();
    // An empty text still splits into one empty name.
    if !text.is_empty() && given.next().is_some() {
        return Err(malformed(
            LISTEN_FDNAMES,
            fdnames,
            "no more names than LISTEN_FDS says",
        ));
    }
    Ok(names)
}

fn parse_channel(
    role: Option<OsString>,
    sock_fd: Option<OsString>,
    listeners: usize,
) -> Result<Option<RawFd>, InheritError> {
    const EXPECTED: &str = "a descriptor after those of the listeners";
    let missing = |variable, because| Err(InheritError::Missing { variable, because });
    let value = match (role, sock_fd) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return missing(HANDOFF_ROLE, HANDOFF_SOCK_FD),
        (Some(role), _) if role != SUCCESSOR => {
            return Err(malformed(HANDOFF_ROLE, role, "\"successor\""));
        }
        (Some(_), None) => return missing(HANDOFF_SOCK_FD, HANDOFF_ROLE),
        (Some(_), Some(value)) => value,
    };
    let fd: RawFd = number(HANDOFF_SOCK_FD, value.clone(), EXPECTED)?;
    let place = fd.checked_sub(FIRST_FD).map(usize::try_from);
    if place.is_some_and(|place| place.is_ok_and(|place| place >= listeners)) {
        Ok(Some(fd))
    } else {
        Err(malformed(HANDOFF_SOCK_FD, value, EXPECTED))
    }
}

fn number<T: FromStr>(
    variable: &'static str,
    value: OsString,
    expected: &'static str,
) -> Result<T, InheritError> {
    value
        .to_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| malformed(variable, value, expected))
}

fn malformed(variable: &'static str, value: OsString, expected: &'static str) -> InheritError {
    InheritError::Malformed {
        variable,
        value,
        expected,
    }
}

#[allow(unsafe_code)]
fn take_variable(name: &str) -> Option<OsString> {
    let value = env::var_os(name)?;
    // SAFETY: std serialises its own accesses to the environment. Only a thread that reads it through
    // C could be in the way, and `Inherited::from_env` is documented to be called before there is one.
    unsafe { env::remove_var(name) };
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u32 = 4242;

    fn listeners(fds: &str, names: &str) -> Variables {
        Variables {
            listen_fds: Some(fds.into()),
            listen_fdnames: Some(names.into()),
            ..Variables::default()
        }
    }

    fn names(variables: Variables) -> Vec<String> {
        variables.parse(US).unwrap().names
    }

    fn wrong(variables: Variables) -> String {
        variables.parse(US).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_environment_gives_nothing() {
        let plan = Variables::default().parse(US).unwrap();
        assert_eq!(plan, Plan::default());
    }

    #[test]
    fn listeners_without_a_name_are_numbered() {
        assert_eq!(names(listeners("2", "web:admin")), ["web", "admin"]);
        assert_eq!(names(listeners("3", "web")), ["web", "1", "2"]);
        assert_eq!(names(listeners("3", "a::unknown")), ["a", "1", "2"]);
        assert_eq!(names(listeners("2", "same:same")), ["same", "same"]);
        assert!(names(listeners("0", "")).is_empty());
        let unnamed = Variables {
            listen_fds: Some("2".into()),
            ..Variables::default()
        };
        assert_eq!(names(unnamed), ["0", "1"]);
    }

    #[test]
    fn a_block_for_another_process_is_none_of_ours() {
        let block = || Variables {
            listen_pid: Some("1".into()),
            role: Some("nonsense".into()),
            ..listeners("nonsense", "a")
        };
        assert_eq!(block().parse(US).unwrap(), Plan::default());
        assert!(block().parse(1).is_err());
        let ours = Variables {
            listen_pid: Some("4242".into()),
            ..listeners("1", "a")
        };
        assert_eq!(names(ours), ["a"]);
        let broken = Variables {
            listen_pid: Some("me".into()),
            ..Variables::default()
        };
        assert!(wrong(broken).starts_with("LISTEN_PID is \"me\", expected"));
    }

    #[test]
    fn counts_are_checked() {
        for fds in ["abc", "", "-1", "1.5", "254", "99999999999999999999"] {
            let error = wrong(listeners(fds, ""));
            assert!(
                error.starts_with(&format!("LISTEN_FDS is {fds:?}, expected")),
                "{error}"
            );
        }
        assert_eq!(names(listeners("253", "")).len(), MAX_LISTENERS);
        assert!(wrong(listeners("1", "a:b")).starts_with("LISTEN_FDNAMES is \"a:b\""));
        assert!(wrong(listeners("0", "a")).starts_with("LISTEN_FDNAMES is \"a\""));
    }

    #[test]
    fn a_successor_has_both_variables_right() {
        let successor = |role: &str, fd: &str| Variables {
            role: Some(role.into()),
            sock_fd: Some(fd.into()),
            ..listeners("2", "a:b")
        };
        assert_eq!(
            successor("successor", "5").parse(US).unwrap().channel,
            Some(5)
        );
        assert_eq!(
            successor("successor", "9").parse(US).unwrap().channel,
            Some(9)
        );
        for fd in ["4", "3", "0", "-1", "-2147483648", "x", ""] {
            let error = wrong(successor("successor", fd));
            assert!(error.starts_with("HANDOFF_SOCK_FD is"), "{error}");
        }
        assert!(wrong(successor("other", "5")).contains("expected \"successor\""));
        let half = Variables {
            role: Some("successor".into()),
            ..Variables::default()
        };
        assert!(wrong(half).starts_with("HANDOFF_SOCK_FD is not set"));
        let other_half = Variables {
            sock_fd: Some("3".into()),
            ..Variables::default()
        };
        assert!(wrong(other_half).starts_with("HANDOFF_ROLE is not set"));
    }
}

//! Processes on Linux: `/proc` for identity, pidfds for waiting and for signals that cannot hit the
//! wrong process.

use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{self, Errno};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, test_kill_process};

use super::Look;

pub(super) fn look(pid: Pid) -> Option<Look> {
    if let Ok(line) = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) {
        return parse(&line);
    }
    // Gone, or /proc is not to be seen here. Only an existing process of another user may refuse.
    match test_kill_process(pid) {
        Ok(()) | Err(Errno::PERM) => Some(Look {
            start: 0,
            zombie: false,
        }),
        Err(_) => None,
    }
}

/// State and start time, the fields 3 and 22 of `proc_pid_stat(5)`.
fn parse(line: &str) -> Option<Look> {
    // The second field, a name in parentheses, may hold anything, spaces and parentheses too.
    let (_, fields) = line.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some(Look {
        start,
        zombie: matches!(state, "Z" | "X" | "x"),
    })
}

/// A pidfd, or `None` where the kernel or a sandbox has none for us.
pub(super) fn pidfd(pid: Pid) -> io::Result<Option<OwnedFd>> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => Ok(None),
        Err(e) => Err(e),
    }
}

pub(super) fn send(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    pidfd_send_signal(pidfd, signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_fields() {
        let tail = "S 1 2 3 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4711 9 9 9";
        for name in ["cat", "a b", ") S 1 2 (", "((", "))"] {
            let stat = format!("42 ({name}) {tail}\n");
            let look = parse(&stat).unwrap();
            assert_eq!((look.start, look.zombie), (4711, false), "{name}");
        }
        let zombie = format!("42 (x) {}", tail.replacen('S', "Z", 1));
        assert!(parse(&zombie).unwrap().zombie);
        for broken in ["", "42 (x", "42 (x)", "42 (x) S 1 2"] {
            assert_eq!(parse(broken), None);
        }
    }
}

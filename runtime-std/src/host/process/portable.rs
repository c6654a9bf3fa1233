//! Processes without `/proc` and pidfds: ps(1) for identity, and no way to watch. Slow, and never
//! used while the daemon is paused.

use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::Look;

pub(super) fn look(pid: Pid) -> Option<Look> {
    if test_kill_process(pid) == Err(Errno::SRCH) {
        return None;
    }
    let output = Command::new("ps")
        .args(["-o", "stat=", "-o", "lstart=", "-p"])
        .arg(pid.as_raw_nonzero().to_string())
        // The text of the start time is compared, so it must not depend on who asks.
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let Ok(output) = output else {
        return Some(Look {
            start: 0,
            zombie: false,
        });
    };
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn parse(line: &str) -> Option<Look> {
    let (state, started) = line.trim().split_once(' ')?;
    // FNV-1a: a number that is the same in every process and build.
    let start = started
        .trim()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    Some(Look {
        start: start.max(1),
        zombie: state.starts_with('Z'),
    })
}

#[cfg(not(target_os = "linux"))]
mod unwatched {
    use std::os::fd::{BorrowedFd, OwnedFd};

    use rustix::io::{self, Errno};
    use rustix::process::{Pid, Signal};

    pub(in super::super) fn pidfd(_pid: Pid) -> io::Result<Option<OwnedFd>> {
        Ok(None)
    }

    pub(in super::super) fn send(_pidfd: BorrowedFd<'_>, _signal: Signal) -> io::Result<()> {
        Err(Errno::NOSYS)
    }
}
#[cfg(not(target_os = "linux"))]
pub(super) use unwatched::{pidfd, send};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_start_times() {
        let first = parse("Ss   Mon Nov 24 05:37:00 2025\n").unwrap();
        let other = parse("Z+   Mon Nov 24 05:37:01 2025\n").unwrap();
        assert!(!first.zombie && other.zombie);
        assert_ne!(first.start, other.start);
        assert_eq!(
            parse("R    Mon Nov 24 05:37:00 2025").unwrap().start,
            first.start
        );
        assert_eq!(parse(""), None);
    }
}

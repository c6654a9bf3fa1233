//! A child process, to wait for. std can make its own `Child` of no pid, and a pid is all that
//! `posix_spawn` gives ([`super::spawn`]).

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// A child process of ours. It is used like std's, and like std's it is neither killed nor reaped
/// when this is dropped: it then goes on without us, and is a zombie from its end to ours.
///
/// Nobody else may reap it, neither by its pid nor with a `wait` for any child. So its pid cannot be
/// another process's before it was reaped here, and from then on it is neither signalled nor waited for.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    /// Once it is known how it ended, or that the system does not tell us.
    end: Option<Result<ExitStatus, Errno>>,
}

impl Child {
    /// The child of ours that has this pid, and that has not been reaped.
    pub(super) const fn of(pid: Pid) -> Self {
        Self { pid, end: None }
    }

    /// Its pid.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Kill it with SIGKILL. It is still to be reaped then. Does nothing if it has been.
    ///
    /// # Errors
    /// See [`signal`](Self::signal).
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Send it a signal, unless it has been reaped.
    ///
    /// # Errors
    /// The system's, above all `PermissionDenied` for a child that runs as another user.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.end {
            Some(_) => Ok(()),
            None => Ok(kill_process(self.pid, signal)?),
        }
    }

    /// Reap it, if it has ended; once the status is known, it is so every time. Does not wait.
    ///
    /// # Errors
    /// The system's, every time as well: somebody else has reaped it, or this process ignores
    /// SIGCHLD.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.reap(WaitOptions::NOHANG)
    }

    /// Wait for its end, and reap it. Blocks; otherwise as [`try_wait`](Self::try_wait).
    ///
    /// # Errors
    /// See [`try_wait`](Self::try_wait).
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.reap(WaitOptions::empty())? {
                return Ok(status);
            }
        }
    }

    fn reap(&mut self, options: WaitOptions) -> io::Result<Option<ExitStatus>> {
        if self.end.is_none() {
            self.end = match waitpid(Some(self.pid), options) {
                Ok(ended) => ended.map(|(_, status)| Ok(ExitStatus::from_raw(status.as_raw()))),
                Err(Errno::INTR) => None,
                Err(e) => Some(Err(e)),
            };
        }
        Ok(self.end.transpose()?)
    }
}

impl From<std::process::Child> for Child {
    /// A child that was started with `std::process::Command`. What is left of its pipes in `child`
    /// is closed.
    fn from(mut child: std::process::Child) -> Self {
        // It may have been reaped, and only std knows.
        let end = child.try_wait().ok().flatten();
        Self {
            pid: Pid::from_child(&child),
            end: end.map(Ok),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;
    use crate::host::Process;

    const LONG: Duration = Duration::from_mins(1);

    /// A child that ends when its standard input does.
    fn cat() -> (Child, std::process::ChildStdin) {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        (child.into(), input)
    }

    #[test]
    fn it_is_reaped_once_and_remembered() {
        let (mut child, input) = cat();
        assert_eq!(child.try_wait().unwrap(), None);
        drop(input);
        let status = child.wait().unwrap();
        assert!(status.success());
        assert_eq!(child.wait().unwrap(), status);
        assert_eq!(child.try_wait().unwrap(), Some(status));
        // Nobody is hit any more.
        child.kill().unwrap();
    }

    #[test]
    fn its_status_is_that_of_the_system() {
        let (mut child, _input) = cat();
        child.signal(Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(15));
        let exit = Command::new("sh").args(["-c", "exit 3"]).spawn().unwrap();
        assert_eq!(Child::from(exit).wait().unwrap().code(), Some(3));
    }

    #[test]
    fn one_that_another_has_reaped_is_left_alone() {
        let (mut child, input) = cat();
        drop(input);
        waitpid(Some(child.pid), WaitOptions::empty()).unwrap();
        for _ in 0..2 {
            let error = child.wait().unwrap_err();
            assert_eq!(Errno::from_io_error(&error), Some(Errno::CHILD));
        }
        child.kill().unwrap();
    }

    #[test]
    fn what_std_has_reaped_is_known() {
        let mut child = Command::new("true").spawn().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(Child::from(child).wait().unwrap(), status);
    }

    #[test]
    fn dropped_it_goes_on() {
        let (pid, input) = {
            let (child, input) = cat();
            (child.pid, input)
        };
        let process = Process::of(pid.as_raw_nonzero().get().unsigned_abs()).unwrap();
        assert!(process.is_alive());
        drop(input);
        assert!(process.wait_dead(LONG));
        assert_eq!(Process::of(process.pid), Some(process), "a zombie");
        Child::of(pid).wait().unwrap();
    }
}

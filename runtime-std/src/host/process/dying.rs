//! A process that was sent SIGKILL, until it is gone: to be waited for in one's own way.

use std::io;
use std::os::fd::BorrowedFd;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::{Child, Life, Process, Signal};

/// How long a killed process may take to be gone. A longer one is stuck in the kernel.
pub const DEATH: Duration = Duration::from_secs(5);

/// A process that was sent SIGKILL, and is to be reaped if it is a child of ours.
#[derive(Debug)]
pub struct Dying {
    life: Life,
    child: Option<Child>,
    /// When it is given up.
    until: Option<Instant>,
}

impl Dying {
    /// Kill a child of ours.
    ///
    /// # Errors
    /// The system's, with the child.
    pub fn child(child: Child) -> Result<Self, (io::Error, Child)> {
        if let Err(error) = child.kill() {
            return Err((error, child));
        }
        let pid = child.id();
        // Not reaped yet, so the pid is the child's.
        let process = Process::of(pid).unwrap_or(Process { pid, start: 0 });
        Ok(Self::of(process, Some(child)))
    }

    /// Kill a process that is not our child.
    ///
    /// # Errors
    /// See [`Process::kill`].
    pub fn stranger(process: Process) -> io::Result<Self> {
        process.kill(Signal::KILL)?;
        Ok(Self::of(process, None))
    }

    fn of(process: Process, child: Option<Child>) -> Self {
        Self {
            life: Life::of(process),
            child,
            until: Instant::now().checked_add(DEATH),
        }
    }

    /// Its pid.
    pub const fn pid(&self) -> u32 {
        self.life.process().pid
    }

    /// What to poll for its end; `None`: there is nothing to poll.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.life.fd()
    }

    /// When to look again, whatever was polled.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        self.until.into_iter().chain(self.life.ask_at(now)).min()
    }

    /// Whether there is nothing to wait for any more: it is dead, or does not die.
    pub fn is_over(&self, now: Instant) -> bool {
        self.life.is_over() || self.until.is_some_and(|until| until <= now)
    }

    /// Wait for that. Blocks, for [`DEATH`] at most.
    pub fn wait(&self) {
        let left = self.until.map_or(DEATH, |until| {
            until.saturating_duration_since(Instant::now())
        });
        self.life.process().wait_dead(left);
    }

    /// How it ended, if it was a child of ours. Does not wait.
    ///
    /// # Errors
    /// It is not known to be dead, for this reason; with the child.
    pub fn end(self) -> Result<Option<ExitStatus>, (String, Option<Child>)> {
        let pid = self.pid();
        let lives = || format!("pid {pid} does not die");
        match self.child {
            Some(mut child) => match child.try_wait() {
                Ok(Some(status)) => Ok(Some(status)),
                Ok(None) => Err((lives(), Some(child))),
                Err(error) => Err((error.to_string(), Some(child))),
            },
            None if self.life.is_over() => Ok(None),
            None => Err((lives(), None)),
        }
    }
}

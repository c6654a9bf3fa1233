//! A process that cannot be mistaken for a later one with the same pid: the pid together with the
//! time it started. The journal names processes this way, so that a restarted supervisor kills the
//! successor it means and nobody else (`C9`).
//!
//! On Linux a [`Watch`] is a pidfd: pollable, and good for processes that are not our children.
//! Elsewhere there is none, and death is found by asking now and then.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Pid;
pub use rustix::process::Signal;

use super::child::Child;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(any(test, not(target_os = "linux")))]
mod portable;
#[cfg(not(target_os = "linux"))]
use portable as system;

mod dying;
mod life;

pub use dying::{DEATH, Dying};
pub use life::Life;

/// How often a death is asked for where it cannot be watched.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// What the system knows about a pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    /// See [`Process::start`].
    start: u64,
    /// It is dead and waits for its parent to reap it.
    zombie: bool,
}

/// One process, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// When it started: clock ticks since boot on Linux, an opaque number elsewhere, 0 if unknown.
    pub start: u64,
}

/// What [`Process::watch`] found.
#[derive(Debug)]
pub enum Watching {
    /// It lives, or lived a moment ago: poll this.
    Pollable(Watch),
    /// It is dead.
    Dead,
    /// It lives, and this system cannot watch it: ask [`Process::is_alive`] now and then.
    Unsupported,
}

/// A process's death as something to poll: readable once it is dead, reaped or not.
#[derive(Debug)]
pub struct Watch {
    pidfd: OwnedFd,
}

impl From<Process> for handoff_core::op::Process {
    fn from(process: Process) -> Self {
        Self {
            pid: process.pid,
            start: process.start,
        }
    }
}

impl From<handoff_core::op::Process> for Process {
    fn from(process: handoff_core::op::Process) -> Self {
        Self {
            pid: process.pid,
            start: process.start,
        }
    }
}

impl Process {
    /// The process that has this pid now; `None` if there is none. Dead but not yet reaped counts.
    pub fn of(pid: u32) -> Option<Self> {
        let look = system::look(raw_pid(pid)?)?;
        Some(Self {
            pid,
            start: look.start,
        })
    }

    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self::of(pid).unwrap_or(Self { pid, start: 0 })
    }

    /// Whether it lives. A zombie is dead, and so is a process whose pid now belongs to another. If
    /// its start is unknown, whoever has the pid is taken for it.
    pub fn is_alive(self) -> bool {
        self.look().is_some_and(|look| !look.zombie)
    }

    /// What the system says of this process, and not of another with its pid.
    fn look(self) -> Option<Look> {
        let look = system::look(raw_pid(self.pid)?)?;
        (self.start == 0 || look.start == self.start).then_some(look)
    }

    /// Send a signal to this process and to no other; whether it was alive to get it.
    ///
    /// # Errors
    /// `Unsupported` if its start is unknown: a pid alone may be somebody else's by now. Otherwise
    /// the system's, above all `PermissionDenied`.
    pub fn kill(self, signal: Signal) -> io::Result<bool> {
        if self.start == 0 {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "pid {} is not killed: it is not known when it started, so it could be \
                     another process by now",
                    self.pid
                ),
            ));
        }
        let Some(pid) = raw_pid(self.pid) else {
            return Ok(false);
        };
        // First the handle, then the look: if the look finds our process, the handle is for it.
        let pidfd = match system::pidfd(pid) {
            Err(Errno::SRCH) => return Ok(false),
            pidfd => pidfd?,
        };
        if !self.is_alive() {
            return Ok(false);
        }
        let sent = match &pidfd {
            Some(pidfd) => system::send(pidfd.as_fd(), signal),
            None => rustix::process::kill_process(pid, signal),
        };
        match sent {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Something to poll for its death.
    ///
    /// # Errors
    /// The system's, such as being out of descriptors.
    pub fn watch(self) -> io::Result<Watching> {
        let Some(pid) = raw_pid(self.pid) else {
            return Ok(Watching::Dead);
        };
        let pidfd = match system::pidfd(pid) {
            Err(Errno::SRCH) => return Ok(Watching::Dead),
            pidfd => pidfd?,
        };
        // The same order as in `kill`, for the same reason. A zombie's pidfd is readable at once.
        Ok(match (self.look(), pidfd) {
            (None, _) => Watching::Dead,
            (Some(_), Some(pidfd)) => Watching::Pollable(Watch { pidfd }),
            (Some(look), None) if look.zombie => Watching::Dead,
            (Some(_), None) => Watching::Unsupported,
        })
    }

    /// Wait until it is dead, but no longer than `timeout`; whether it is.
    pub fn wait_dead(self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        match self.watch() {
            Ok(Watching::Pollable(watch)) => watch.wait(deadline),
            Ok(Watching::Dead) => true,
            Ok(Watching::Unsupported) | Err(_) => loop {
                if !self.is_alive() {
                    return true;
                }
                let left = remaining(deadline);
                if left.is_zero() {
                    return false;
                }
                std::thread::sleep(ASK_EVERY.min(left));
            },
        }
    }
}

impl Watch {
    /// Whether the process is dead by now, reaped or not. Does not wait.
    pub fn is_dead(&self) -> bool {
        self.wait(Some(Instant::now()))
    }

    /// Wait until the process is dead, but not past `deadline` (`None`: none); whether it is.
    fn wait(&self, deadline: Option<Instant>) -> bool {
        loop {
            let left = remaining(deadline);
            // An hour at a time keeps every platform's limit, and the loop does the rest.
            let timeout = Timespec::try_from(left.min(Duration::from_hours(1))).ok();
            let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) | Err(Errno::INTR) if left.is_zero() => return false,
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
    }
}

impl From<Watch> for OwnedFd {
    fn from(watch: Watch) -> Self {
        watch.pidfd
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Kill a child of ours with SIGKILL and reap it. `None` if it is not dead within `timeout`, which
/// takes a process stuck in the kernel; it is then still to be reaped.
///
/// # Errors
/// The system's, when the child can be neither killed nor waited for.
pub fn kill_and_reap(child: &mut Child, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    child.kill()?;
    if let Some(process) = Process::of(child.id()) {
        process.wait_dead(timeout);
    }
    child.try_wait()
}

/// Kill a child of ours together with all of its process group, which it must lead.
///
/// The child must not have been reaped: from then on its group's number may be another's.
///
/// # Errors
/// The system's, when the group cannot be killed.
pub fn kill_group(child: &Child) -> io::Result<()> {
    let Some(group) = raw_pid(child.id()) else {
        return Ok(());
    };
    match rustix::process::kill_process_group(group, Signal::KILL) {
        // Nobody is left, or, as some systems put it, nobody but a zombie.
        Ok(()) | Err(Errno::SRCH | Errno::PERM) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// [`kill_group`], and reap the child. The status is its own, if it had ended before. Otherwise as
/// [`kill_and_reap`].
///
/// # Errors
/// The system's, when the group cannot be killed.
pub fn kill_group_and_reap(child: &mut Child, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    kill_group(child)?;
    if let Some(process) = Process::of(child.id()) {
        process.wait_dead(timeout);
    }
    child.try_wait()
}

fn remaining(deadline: Option<Instant>) -> Duration {
    deadline.map_or(Duration::MAX, |at| {
        at.saturating_duration_since(Instant::now())
    })
}

fn raw_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests;

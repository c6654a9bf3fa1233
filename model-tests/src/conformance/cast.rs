//! What the kit holds of the others' processes: a hook that waits for its answer, a stand-in.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Instant;

use handoff_std::host::process::kill_and_reap;
use handoff_std::host::{Child, Process};

use super::Peer;
use super::log::{Log, PATIENCE, Stopped, read_line, readable};

/// How a hook ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Well.
    Well,
    /// Well, but the daemon is not fit to serve; for `open`.
    Ill,
    /// With an error.
    Fails,
    /// With a panic.
    Panics,
}

/// A hook that waits for its answer.
#[must_use]
pub struct Called {
    pub(super) what: String,
    pub(super) socket: UnixStream,
    pub(super) log: Log,
}

impl Called {
    /// Have it end.
    ///
    /// # Errors
    /// None: a subject may have left meanwhile.
    pub fn answer(mut self, answer: Answer) -> Result<(), Stopped> {
        let (word, how) = match answer {
            Answer::Well => ("well", "ends"),
            Answer::Ill => ("ill", "ends, and the daemon is ill"),
            Answer::Fails => ("fail", "fails"),
            Answer::Panics => ("panic", "panics"),
        };
        self.log.line(format_args!("hook      {} {how}", self.what));
        let _ = self.socket.write_all(format!("{word}\n").as_bytes());
        Ok(())
    }

    /// Have it say that it has come half of the way; for `seal`.
    ///
    /// # Errors
    /// It has left.
    pub fn progresses(&mut self) -> Result<(), Stopped> {
        self.log.line(format_args!(
            "hook      {} has come half of the way",
            self.what
        ));
        Ok(self.socket.write_all(b"progress\n")?)
    }

    /// Wait until it is asked to stop early.
    ///
    /// # Errors
    /// It is not.
    pub fn stopped(&self) -> Result<(), Stopped> {
        let (line, _) = read_line(&self.socket)?;
        self.log
            .line(format_args!("hook      {} is {line}", self.what));
        Ok(())
    }
}

/// A process in the kit's hands.
pub struct StandIn {
    pub(super) who: &'static str,
    pub(super) process: Process,
    /// Ends with it.
    pub(super) life: UnixStream,
    pub(super) fd: Option<OwnedFd>,
    /// If it is the kit's own child.
    pub(super) child: Option<Child>,
    pub(super) log: Log,
}

impl StandIn {
    /// Its pid.
    pub const fn pid(&self) -> u32 {
        self.process.pid
    }

    /// The session of a successor with its supervisor.
    ///
    /// # Errors
    /// It is no successor.
    pub fn channel(&mut self) -> Result<Peer, Stopped> {
        let fd = self.fd.take().ok_or("no channel came")?;
        let pids = (self.pid(), 0);
        Peer::new("N", "S", pids, fd.into(), self.log.clone())
    }

    /// Let a supervisor in that connects to an incumbent.
    ///
    /// # Errors
    /// None does.
    pub fn accepts(&mut self) -> Result<Peer, Stopped> {
        let fd = self.fd.as_ref().ok_or("no listener came")?;
        if !readable(fd.as_fd(), Instant::now() + PATIENCE) {
            return Err("nobody connects to the incumbent".into());
        }
        let socket = UnixListener::from(fd.try_clone()?).accept()?.0;
        self.log.line(format_args!("S -> O  (connects)"));
        Peer::new("O", "S", (self.pid(), 0), socket, self.log.clone())
    }

    /// Wait until somebody has killed it.
    ///
    /// # Errors
    /// It lives.
    pub fn is_killed(&mut self) -> Result<(), Stopped> {
        if !readable(self.life.as_fd(), Instant::now() + PATIENCE) {
            return Err(format!("{} is not killed", self.who).into());
        }
        self.log.line(format_args!("{}         is dead", self.who));
        self.reap();
        Ok(())
    }

    /// Have it end. Its sessions are the kit's, and end when the kit drops them.
    pub fn dies(mut self) {
        self.log.line(format_args!("{}         dies", self.who));
        self.reap();
    }

    fn reap(&mut self) {
        let _ = self.process.kill(rustix::process::Signal::KILL);
        if let Some(child) = &mut self.child {
            let _ = kill_and_reap(child, PATIENCE);
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.reap();
        }
    }
}

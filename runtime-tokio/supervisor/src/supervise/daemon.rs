//! A daemon process that is watched: a child of ours, or one that an earlier supervisor started.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use handoff_std::host::{Child, Process, Signal, Watch, Watching};

/// How a daemon ended.
#[derive(Debug)]
pub(super) enum End {
    /// A child of ours; it is reaped.
    Reaped(ExitStatus),
    /// A child of ours whose status the system would not tell.
    Lost(io::Error),
    /// Not our child, so nobody tells us.
    Unknown,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reaped(status) => status.fmt(f),
            Self::Lost(error) => write!(f, "exit status not known: {error}"),
            Self::Unknown => f.write_str("exit status not known: not our child"),
        }
    }
}

/// A process that is watched until it ends.
#[derive(Debug)]
pub(super) struct Daemon {
    process: Process,
    child: Option<Child>,
    since: Instant,
}

impl Daemon {
    /// A child of ours, ours to reap.
    pub(super) fn child(child: Child) -> Self {
        let pid = child.id();
        // Not reaped yet, so the pid is the child's, dead or alive.
        let process = Process::of(pid).unwrap_or(Process { pid, start: 0 });
        Self::new(process, Some(child))
    }

    /// The process that has this pid now, if there is one. It is not our child.
    pub(super) fn found(pid: u32) -> Option<Self> {
        Some(Self::new(Process::of(pid)?, None))
    }

    fn new(process: Process, child: Option<Child>) -> Self {
        Self {
            process,
            child,
            since: Instant::now(),
        }
    }

    pub(super) const fn pid(&self) -> u32 {
        self.process.pid
    }

    /// For how long it has been watched.
    pub(super) fn lived(&self) -> Duration {
        self.since.elapsed()
    }

    /// Readable once it is dead. `None`: ask [`ended`](Self::ended) now and then.
    pub(super) fn watch(&self) -> Option<Watch> {
        match self.process.watch() {
            Ok(Watching::Pollable(watch)) => Some(watch),
            // The next look at it finds out.
            Ok(Watching::Dead | Watching::Unsupported) | Err(_) => None,
        }
    }

    /// Whether it has ended, and how; a child is reaped with that. Never waits. Not to be asked
    /// again once it has said so.
    pub(super) fn ended(&mut self) -> Option<End> {
        match &mut self.child {
            Some(child) => match child.try_wait() {
                Ok(status) => status.map(End::Reaped),
                Err(error) => Some(End::Lost(error)),
            },
            None => (!self.process.is_alive()).then_some(End::Unknown),
        }
    }

    /// Sends it a signal, and no other process.
    pub(super) fn signal(&self, signal: Signal) {
        let sent = match &self.child {
            Some(child) => child.signal(signal),
            None => self.process.kill(signal).map(drop),
        };
        if let Err(error) = sent {
            tracing::warn!(pid = self.pid(), ?signal, %error, "the signal cannot be sent");
        }
    }
}

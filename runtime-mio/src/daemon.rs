//! A daemon as a child: its end is readiness, and no signal is needed for it.

use std::io;
use std::os::fd::AsRawFd;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use handoff_std::host::process::Life;
use handoff_std::host::{Child, Process};
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// A child that is watched, by its pidfd where the system has one. Register it like any source; where
/// there is no pidfd it is registered as nothing, and looked at when its [`timeout`](Self::timeout) is
/// over.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    life: Life,
}

impl Daemon {
    /// Watch this child, which has not been reaped.
    pub fn new(child: Child) -> Self {
        let pid = child.id();
        let life = Life::of(Process::of(pid).unwrap_or(Process { pid, start: 0 }));
        Self { child, life }
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How long your poll may wait before it is to be looked at; `None`: until there is an event.
    pub fn timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let at = self.life.ask_at(now)?;
        Some(at.saturating_duration_since(now))
    }

    /// Reap it, if it has ended; once the status is known, it is so every time. Does not wait.
    ///
    /// # Errors
    /// The system's.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// The child itself.
    pub fn into_child(self) -> Child {
        self.child
    }
}

impl Source for Daemon {
    fn register(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.life.fd().map_or(Ok(()), |fd| {
            registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)
        })
    }

    fn reregister(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.life.fd().map_or(Ok(()), |fd| {
            registry.reregister(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)
        })
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.life.fd().map_or(Ok(()), |fd| {
            registry.deregister(&mut SourceFd(&fd.as_raw_fd()))
        })
    }
}

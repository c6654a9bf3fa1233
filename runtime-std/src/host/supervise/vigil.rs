//! The watch over a successor on probation: it serves already, while the incumbent, sealed, could
//! still come back (`C8`). Nothing waits here; a loop or a [thread](super::WatchThread) does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::RollbackHandle;
use super::health::{HealthCheck, Runs};
use crate::host::Process;
use crate::host::process::Life;

/// A watch that is kept: [`look`](Self::look) when one of [`fds`](Self::fds) is readable, and when it
/// is [`due`](Self::due).
pub struct Vigil {
    successor: Life,
    /// `None`: without end.
    until: Option<Instant>,
    runs: Option<Runs>,
    handle: RollbackHandle,
    wake: UnixStream,
    /// How it ends, once nothing runs any more that was started for it.
    verdict: Option<Result<(), String>>,
}

impl Vigil {
    /// Watch `process` until then.
    ///
    /// # Errors
    /// The system's, such as being out of descriptors.
    pub fn new(
        process: Process,
        until: Option<Instant>,
        health: Option<HealthCheck>,
        handle: &RollbackHandle,
    ) -> io::Result<Self> {
        Ok(Self {
            successor: Life::of(process),
            until,
            runs: health.map(|check| Runs::new(check, process.pid)),
            handle: handle.clone(),
            wake: handle.wake()?,
            verdict: None,
        })
    }

    /// Look around. Says how the probation has ended, once it has and nothing is left of what was
    /// started for it.
    pub fn look(&mut self, now: Instant) -> Option<Result<(), String>> {
        if self.verdict.is_some() {
            if let Some(runs) = &mut self.runs {
                // What comes of it counts no more.
                let _ = runs.look(now);
            }
        } else {
            self.verdict = self.judge(now);
            if let (Some(_), Some(runs)) = (&self.verdict, &mut self.runs) {
                runs.stop(now);
            }
        }
        if self.is_checking() {
            return None;
        }
        let verdict = self.verdict.take()?;
        Some(self.handle.conclude(verdict))
    }

    fn judge(&mut self, now: Instant) -> Option<Result<(), String>> {
        if self.handle.is_ordered() {
            // What that means is known to whoever did it.
            return Some(Ok(()));
        }
        if self.successor.is_over() {
            let pid = self.successor.process().pid;
            return Some(Err(format!("its process, pid {pid}, is dead")));
        }
        let over = self.until.is_some_and(|until| until <= now);
        if let Some(runs) = &mut self.runs {
            let mut looked = runs.look(now);
            if !over {
                looked = looked.and_then(|()| runs.start_if_due(now));
            }
            if let Err(why) = looked {
                return Some(Err(why));
            }
        }
        // A run that is under way is waited for, however late it is.
        (over && !self.is_checking()).then_some(Ok(()))
    }

    fn is_checking(&self) -> bool {
        self.runs.as_ref().is_some_and(Runs::is_running)
    }

    /// What to poll: one of these is readable when there is something to see.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let run = self.runs.as_ref().and_then(Runs::fd);
        // A word that was heard already, or a death that was seen, would not let anybody sleep.
        let others = [Some(self.wake.as_fd()), self.successor.fd()];
        let others = others.into_iter().filter(|_| self.verdict.is_none());
        others.chain([run]).flatten()
    }

    /// When there is something to be done, whatever happens before; `None`: never.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let due = self.runs.as_ref().and_then(|runs| runs.due(now));
        let until = self.until.filter(|_| !self.is_checking());
        let ask = self.successor.ask_at(now);
        due.into_iter().chain(until).chain(ask).min()
    }
}

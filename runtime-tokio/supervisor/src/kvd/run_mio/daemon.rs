//! The daemon's part of a handoff, in turns: the same as its [hooks](crate::kvd::hooks) on threads.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handoff_mio::{
    Committed, Drain, DrainReport, Progress, Request, Retirement, Seal, SealReport, Snapshot,
};
use handoff_std::hooks::HookError;

use super::clients::Clients;
use crate::kvd::args::{FailIn, Faults, KvdArgs, PanicIn};
use crate::kvd::epoch::{Phase, Status};
use crate::kvd::hooks::fingerprint;
use crate::kvd::store::Store;

pub(super) struct Daemon {
    data_dir: PathBuf,
    /// How long a request that is half there may keep a connection open once serving stops.
    grace: Duration,
    faults: Faults,
    pub(super) status: Arc<Status>,
    pub(super) store: Store,
    pub(super) clients: Clients,
    work: Work,
    confirming: Option<(Committed, Instant)>,
    /// A drain that is never answered, as a test asked for.
    ignored: Option<Drain>,
}

/// What takes more than one turn.
enum Work {
    None,
    /// Not done before then.
    Draining(Drain, Instant),
    /// The same.
    Sealing(Seal, Instant),
}

impl Daemon {
    pub(super) fn new(args: &KvdArgs, status: Arc<Status>, store: Store, clients: Clients) -> Self {
        status.begin();
        status.set_phase(Phase::Serving);
        Self {
            data_dir: args.data_dir.clone(),
            grace: args.drain_grace(),
            faults: args.faults.clone(),
            status,
            store,
            clients,
            work: Work::None,
            confirming: None,
            ignored: None,
        }
    }

    /// Answers a request, or begins to carry it out. One that panics has failed, since it is dropped.
    pub(super) fn answer(&mut self, request: Request) -> Option<Retirement> {
        let answered = catch_unwind(AssertUnwindSafe(|| self.begin(request)));
        answered.unwrap_or_else(|_| {
            tracing::error!("a hook has panicked");
            None
        })
    }

    fn begin(&mut self, request: Request) -> Option<Retirement> {
        let now = Instant::now();
        match request {
            Request::Drain(drain) => {
                self.faults.maybe_panic(PanicIn::Drain);
                self.begin_drain(drain, now);
            }
            Request::Seal(seal) => {
                self.faults.maybe_panic(PanicIn::Seal);
                self.status.set_phase(Phase::Sealing);
                seal.progress(self.progress(0));
                self.work = Work::Sealing(seal, now + self.faults.seal_delay());
            }
            Request::Resume(resume) => {
                self.status.set_generation(resume.generation());
                self.work = Work::None;
                match self.resume() {
                    Ok(()) => resume.done(),
                    Err(error) => resume.failed(error),
                }
            }
            Request::Committed(committed) => match self.faults.log("committed") {
                Ok(()) => {
                    self.confirming = Some((committed, now + self.faults.committed_delay()));
                }
                Err(error) => committed.failed(error),
            },
            Request::Snapshot(asked) => asked.done(Snapshot {
                open_connections: u32::try_from(self.status.connections()).unwrap_or(u32::MAX),
                revisions: vec![self.store.revision()],
            }),
            Request::Retire(retirement) => return Some(retirement),
        }
        None
    }

    /// Stops accepting, so that new clients wait in the kernel's backlog for whoever serves next, and
    /// closes every connection between two requests.
    fn begin_drain(&mut self, drain: Drain, now: Instant) {
        match self.status.phase() {
            Phase::Serving => self.status.set_phase(Phase::Draining),
            phase => return drain.failed(format!("cannot drain while {phase}")),
        }
        // Half of the time at most is for clients that send slowly.
        self.clients
            .close(now + self.grace.min(drain.remaining() / 2));
        if self.faults.ignore_drain_deadline {
            self.ignored = Some(drain);
        } else {
            self.work = Work::Draining(drain, now + self.faults.drain_delay());
        }
    }

    /// A turn of what takes several.
    pub(super) fn work(&mut self) {
        let now = Instant::now();
        self.work = match std::mem::replace(&mut self.work, Work::None) {
            Work::Draining(drain, from) => self.drain(drain, from, now),
            Work::Sealing(seal, from) if from <= now => {
                match self.seal() {
                    Ok(report) => {
                        seal.progress(self.progress(1));
                        seal.done(report);
                    }
                    Err(error) => seal.failed(error),
                }
                Work::None
            }
            other => other,
        };
        if let Some((committed, _)) = self.confirming.take_if(|(_, at)| *at <= now) {
            self.status.set_committed();
            committed.done();
        }
    }

    fn drain(&mut self, drain: Drain, from: Instant, now: Instant) -> Work {
        if drain.is_cancelled() {
            drain.failed("the drain was asked to stop");
        } else if from <= now && self.clients.is_idle() {
            match self.faults.check(FailIn::Drain) {
                Ok(()) => {
                    self.store.refuse_writes();
                    self.status.set_phase(Phase::Drained);
                    drain.done(DrainReport::CLEAN);
                }
                Err(error) => drain.failed(error),
            }
        } else {
            return Work::Draining(drain, from);
        }
        Work::None
    }

    /// Closes the database. What is acknowledged is on disk already, so this is quick.
    fn seal(&mut self) -> Result<SealReport, HookError> {
        self.store.close()?;
        self.faults.check(FailIn::Seal)?;
        self.status.set_phase(Phase::Sealed);
        Ok(SealReport {
            revisions: vec![self.store.revision()],
            fingerprint: fingerprint(&self.store),
        })
    }

    fn progress(&self, sealed: u32) -> Progress {
        Progress {
            sealed,
            total: 1,
            revision: self.store.revision(),
        }
    }

    /// Opens the data again if it was closed, and serves again.
    fn resume(&mut self) -> Result<(), HookError> {
        self.faults.log("resume")?;
        self.faults.check(FailIn::Resume)?;
        if self.store.is_closed() {
            self.store = Store::open_without_writer(&self.data_dir)?;
        } else {
            self.store.accept_writes();
        }
        self.clients.open()?;
        self.status.set_phase(Phase::Serving);
        Ok(())
    }

    /// How long the loop may wait, for all that is known here.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let work = match &self.work {
            Work::None => None,
            // From then on it is the clients who are waited for.
            Work::Draining(_, from) => Some(*from).filter(|from| *from > Instant::now()),
            Work::Sealing(_, from) => Some(*from),
        };
        let confirming = self.confirming.as_ref().map(|(_, at)| *at);
        let at = work.into_iter().chain(confirming).min();
        let left = at.map(|at| at.saturating_duration_since(Instant::now()));
        left.into_iter().chain(self.clients.timeout()).min()
    }

    /// Does what there is to be done for clients.
    pub(super) fn serve(&mut self) {
        self.clients.turn(&self.store, &self.status);
    }

    /// Stops serving, for good. Requests that have arrived are answered.
    pub(super) fn begin_shutdown(&mut self) {
        self.status.set_phase(Phase::Closed);
        self.clients.close(Instant::now() + self.grace);
    }

    /// Closes the data.
    ///
    /// # Errors
    /// When it could not be closed cleanly; what was acknowledged is on disk all the same.
    pub(super) fn close(&self) -> io::Result<()> {
        self.store.close().map_err(io::Error::other)
    }
}

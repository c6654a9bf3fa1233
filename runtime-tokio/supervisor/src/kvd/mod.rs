//! `kvd`, a small durable key-value daemon that speaks RESP2 (redis-cli and redis-benchmark can
//! talk to it), made to be handed over under load.
//!
//! It serves clients on plain threads. [`Store`] keeps the data, an [`Epoch`] is one stretch of serving
//! it, and [`Kvd`] goes from epoch to epoch as the hooks in [`hooks`] say. How it is started and handed
//! over is there for either adapter with threads, in [`run_std`] and [`run_tokio`]; nothing else differs.
//! In [`run_mio`] it serves its clients on the one thread of a mio loop.

pub(crate) mod args;
mod check;
mod command;
mod connection;
mod epoch;
mod hooks;
pub(crate) mod resp;
mod run;
mod run_mio;
mod run_std;
mod run_tokio;
mod session;
mod store;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use run::run;

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use args::{FailIn, Faults, KvdArgs};
use epoch::{Epoch, Phase, Status};
use store::Store;

/// How much longer than its grace a shutdown waits for connections to be answered.
const SHUTDOWN_SLACK: Duration = Duration::from_secs(1);

/// The daemon. Clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct Kvd {
    inner: Arc<Inner>,
}

struct Inner {
    data_dir: PathBuf,
    /// How long a request that is half there may keep a connection open once serving stops.
    grace: Duration,
    faults: Faults,
    status: Arc<Status>,
    /// Held for every change of phase, and never while waiting for clients.
    life: Mutex<Life>,
}

struct Life {
    store: Arc<Store>,
    /// Kept while nothing is served too, so that clients wait in the backlog instead of being
    /// refused, and for a resume.
    listeners: Vec<Arc<TcpListener>>,
    epoch: Option<Arc<Epoch>>,
}

impl Kvd {
    /// Opens the data in `data_dir`, which must be this process's to write. Nothing is served yet.
    ///
    /// # Errors
    /// When the data cannot be opened.
    pub(crate) fn open(args: &KvdArgs, data_dir: &Path) -> anyhow::Result<Self> {
        thread::sleep(args.faults.open_delay());
        args.faults
            .check(FailIn::Open)
            .map_err(anyhow::Error::from_boxed)?;
        let store = Store::open(data_dir).context("cannot open the data")?;
        Ok(Self {
            inner: Arc::new(Inner {
                data_dir: data_dir.to_owned(),
                grace: args.drain_grace(),
                faults: args.faults.clone(),
                status: Arc::new(Status::new(
                    args.tag.clone(),
                    args.runtime,
                    args.faults.sick_after(),
                )),
                life: Mutex::new(Life {
                    store: Arc::new(store),
                    listeners: Vec::new(),
                    epoch: None,
                }),
            }),
        })
    }

    /// Serves the clients of `listener` from now on, beside those of earlier ones. Sets it
    /// non-blocking, so a successor must not call this before Begin.
    ///
    /// # Errors
    /// When the system refuses a thread or a pipe, or the daemon was shut down.
    pub(crate) fn serve_on(&self, listener: TcpListener) -> io::Result<()> {
        let mut life = lock(&self.inner.life);
        let listener = Arc::new(listener);
        match (self.inner.status.phase(), &life.epoch) {
            (Phase::Closed, _) => return Err(io::Error::other("the daemon was shut down")),
            (Phase::Serving, Some(epoch)) => epoch.accept_on(&listener)?,
            (Phase::Opened, _) => {
                life.listeners.push(listener);
                return self.inner.begin_epoch(&mut life);
            }
            // In a handoff: a resume will serve it too.
            _ => {}
        }
        life.listeners.push(listener);
        Ok(())
    }

    /// Says as which incumbent the daemon serves; INFO shows it.
    pub(crate) fn set_generation(&self, generation: u64) {
        self.inner.status.set_generation(generation);
    }

    /// Says that the process before it can no longer come back; INFO shows it.
    pub(crate) fn set_committed(&self) {
        self.inner.status.set_committed();
    }

    /// The number of committed write transactions: the revision of the daemon's one shard.
    pub(crate) fn revision(&self) -> u64 {
        lock(&self.inner.life).store.revision()
    }

    /// Stops serving and closes the data, for good. Requests that have arrived are answered. Does
    /// nothing when done before.
    ///
    /// # Errors
    /// When the data could not be closed cleanly; what was acknowledged is on disk all the same.
    pub(crate) fn shutdown(&self) -> anyhow::Result<()> {
        let (epoch, store) = {
            let mut life = lock(&self.inner.life);
            self.inner.status.set_phase(Phase::Closed);
            life.listeners.clear();
            (life.epoch.take(), Arc::clone(&life.store))
        };
        if let Some(epoch) = epoch {
            epoch.stop(Instant::now() + self.inner.grace);
            epoch.wait_idle(self.inner.grace + SHUTDOWN_SLACK);
        }
        store.close().context("cannot close the data cleanly")
    }
}

impl Inner {
    /// Serves on all listeners. On failure nothing is served and the phase stays what it was.
    fn begin_epoch(&self, life: &mut Life) -> io::Result<()> {
        let epoch = Epoch::begin(Arc::clone(&life.store), Arc::clone(&self.status))?;
        for listener in &life.listeners {
            if let Err(error) = epoch.accept_on(listener) {
                epoch.stop(Instant::now());
                return Err(error);
            }
        }
        life.epoch = Some(epoch);
        self.status.set_phase(Phase::Serving);
        Ok(())
    }
}

/// Locks `mutex`, also after a panic: nothing here is left half changed while it is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

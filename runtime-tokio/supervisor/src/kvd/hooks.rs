//! The daemon's part of a handoff: drain, seal, resume, and the word that there is no way back.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use handoff_std::hooks::{
    DrainReport, Drainable, HookContext, HookError, Progress, SealReport, Snapshot,
};

use super::args::{FailIn, PanicIn};
use super::epoch::{Epoch, Phase};
use super::store::Store;
use super::{Kvd, lock};

/// How often a waiting drain looks whether it was asked to stop.
const LOOK: Duration = Duration::from_millis(5);

impl Drainable for Kvd {
    /// Stops accepting, so that new clients wait in the kernel's backlog for whoever serves next.
    /// Executes what has arrived and closes every connection between two requests: its client
    /// connects again and waits in the backlog too. So nobody can read here any more what a
    /// successor has overwritten meanwhile.
    fn drain(&self, cx: &HookContext) -> Result<DrainReport, HookError> {
        let faults = &self.inner.faults;
        faults.maybe_panic(PanicIn::Drain);
        let (epoch, store) = self.begin_drain(cx)?;
        if faults.ignore_drain_deadline {
            loop {
                thread::park();
            }
        }
        if cx.wait_cancelled(faults.drain_delay()) {
            return Err(cancelled());
        }
        wait(cx, "connections", |time| epoch.wait_idle(time))?;
        faults.check(FailIn::Drain)?;
        self.while_draining(&epoch, || store.refuse_writes())?;
        wait(cx, "writes", |time| store.wait_idle(time))?;
        self.while_draining(&epoch, || self.inner.status.set_phase(Phase::Drained))?;
        Ok(DrainReport {
            open_connections: 0,
            accept_closed: true,
        })
    }

    /// Closes the database. What is acknowledged is on disk already, so this is quick.
    fn seal(&self, cx: &HookContext) -> Result<SealReport, HookError> {
        let faults = &self.inner.faults;
        faults.maybe_panic(PanicIn::Seal);
        let store = {
            let life = lock(&self.inner.life);
            match self.inner.status.phase() {
                Phase::Drained => self.inner.status.set_phase(Phase::Sealing),
                phase => return Err(format!("cannot seal while {phase}").into()),
            }
            Arc::clone(&life.store)
        };
        let progress = |sealed| {
            cx.progress(Progress {
                sealed,
                total: 1,
                revision: store.revision(),
            });
        };
        progress(0);
        thread::sleep(faults.seal_delay());
        store.close()?;
        faults.check(FailIn::Seal)?;
        {
            let _life = lock(&self.inner.life);
            match self.inner.status.phase() {
                Phase::Sealing => self.inner.status.set_phase(Phase::Sealed),
                phase => return Err(format!("the seal was overtaken: {phase}").into()),
            }
        }
        progress(1);
        Ok(SealReport {
            revisions: vec![store.revision()],
            fingerprint: fingerprint(&store),
        })
    }

    /// Opens the data again if it was closed, and serves on every listener again. The connections
    /// that the drain closed stay closed.
    fn resume(&self) -> Result<(), HookError> {
        self.inner.faults.log("resume")?;
        self.inner.faults.check(FailIn::Resume)?;
        let mut life = lock(&self.inner.life);
        match self.inner.status.phase() {
            Phase::Opened => return Ok(()),
            Phase::Closed => return Err("the daemon was shut down".into()),
            Phase::Serving => {
                // A successor of version 1 makes the shared listeners blocking.
                for listener in &life.listeners {
                    listener.set_nonblocking(true)?;
                }
                return Ok(());
            }
            Phase::Draining | Phase::Drained | Phase::Sealing | Phase::Sealed => {}
        }
        if life.store.is_closed() {
            life.store = Arc::new(Store::open(&self.inner.data_dir)?);
        } else {
            life.store.accept_writes();
        }
        Ok(self.inner.begin_epoch(&mut life)?)
    }

    /// INFO shows it from now on.
    fn generation(&self, generation: u64) {
        self.set_generation(generation);
    }

    /// INFO shows it from now on. The data is kept as any version of kvd keeps it, so nothing had to
    /// wait for this.
    fn committed(&self) -> Result<(), HookError> {
        self.inner.faults.log("committed")?;
        thread::sleep(self.inner.faults.committed_delay());
        self.set_committed();
        Ok(())
    }

    fn snapshot(&self) -> Snapshot {
        // A hook that is opening the store has it, and is not waited for.
        let life = self.inner.life.try_lock().ok();
        Snapshot {
            open_connections: u32::try_from(self.inner.status.connections()).unwrap_or(u32::MAX),
            revisions: life.iter().map(|life| life.store.revision()).collect(),
        }
    }
}

impl Kvd {
    /// Stops the epoch, which must be serving, and returns it with its store.
    fn begin_drain(&self, cx: &HookContext) -> Result<(Arc<Epoch>, Arc<Store>), HookError> {
        let life = lock(&self.inner.life);
        match (self.inner.status.phase(), &life.epoch) {
            (Phase::Serving, Some(epoch)) => {
                self.inner.status.set_phase(Phase::Draining);
                // Half of the time at most is for clients that send slowly.
                epoch.stop(Instant::now() + self.inner.grace.min(cx.remaining() / 2));
                Ok((Arc::clone(epoch), Arc::clone(&life.store)))
            }
            (phase, _) => Err(format!("cannot drain while {phase}").into()),
        }
    }

    /// Does `step` unless `epoch` is no longer the one being drained: a resume that did not wait
    /// for the drain may have begun another, which is not the drain's to stop.
    fn while_draining(&self, epoch: &Arc<Epoch>, step: impl FnOnce()) -> Result<(), HookError> {
        let life = lock(&self.inner.life);
        let is_ours = life
            .epoch
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, epoch));
        if !is_ours || self.inner.status.phase() != Phase::Draining {
            return Err("the drain was overtaken by a resume or a shutdown".into());
        }
        step();
        Ok(())
    }
}

/// Waits until `is_done`, which waits for the time it is given, says so.
fn wait(cx: &HookContext, what: &str, is_done: impl Fn(Duration) -> bool) -> Result<(), HookError> {
    while !is_done(LOOK.min(cx.remaining())) {
        if cx.is_cancelled() {
            return Err(cancelled());
        }
        if cx.remaining().is_zero() {
            return Err(format!("{what} were still in flight at the drain's deadline").into());
        }
    }
    Ok(())
}

fn cancelled() -> HookError {
    "the drain was asked to stop".into()
}

/// Names the sealed state: what it is, its revision and its number of keys.
pub(crate) fn fingerprint(store: &Store) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    let words = [
        *b"kvd/redb",
        store.revision().to_le_bytes(),
        store.len().to_le_bytes(),
    ];
    for (place, byte) in fingerprint.iter_mut().zip(words.as_flattened()) {
        *place = *byte;
    }
    fingerprint
}

//! A supervisor's operations, each a call. Those that wait for a death come in two halves as well,
//! for a loop that waits in its own way.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handoff_core::SupervisorOutcome;
use handoff_core::journal::{Entry, Record};
use handoff_core::op::{self, Scene};

use crate::host::control::{connect, remove_stale};
use crate::host::lock::lock_is_free;
use crate::host::process::Dying;
use crate::host::{Child, JournalFile, Process, Signal, SpawnError, SpawnSpec, Spawned, boot_id};

/// The daemon that a supervisor looks after.
#[derive(Debug, Clone)]
pub struct Household {
    /// Its control path.
    pub control: PathBuf,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// What is started when nobody serves.
    pub daemon: SpawnSpec,
    /// The listeners that every daemon is given.
    pub listeners: Vec<(String, Arc<OwnedFd>)>,
    /// Where it is written what is in flight.
    pub journal: Option<JournalFile>,
    /// Called before the journal is cleared.
    pub before_clear: Option<BeforeClear>,
}

/// What is called before the journal is cleared; the same for all clones.
#[derive(Clone)]
pub struct BeforeClear(Arc<dyn Fn() + Send + Sync>);

impl BeforeClear {
    /// This is called.
    pub fn new(call: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }
}

impl fmt::Debug for BeforeClear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BeforeClear")
    }
}

impl Household {
    /// Start the daemon afresh.
    ///
    /// # Errors
    /// [`SpawnError`]; no process is left behind.
    pub fn cold_start(&self) -> Result<Spawned, SpawnError> {
        self.daemon.cold_start(&self.borrow_listeners())
    }

    /// What the journal says was in flight, in this boot.
    pub fn journaled(&self) -> Option<Entry> {
        let journal = self.journal.as_ref()?;
        match journal.read() {
            Ok(bytes) => {
                let bytes = bytes?;
                let record = Record::decode(&bytes);
                if record.is_none() {
                    tracing::warn!(path = %journal.path().display(), "not a journal; ignored");
                }
                record
                    .filter(|record| record.boot == boot_id())
                    .map(|record| record.entry)
            }
            Err(error) => {
                tracing::warn!(path = %journal.path().display(), %error, "cannot be read");
                None
            }
        }
    }

    fn borrow_listeners(&self) -> Vec<(&str, BorrowedFd<'_>)> {
        let all = self.listeners.iter();
        all.map(|(name, fd)| (&**name, fd.as_fd())).collect()
    }
}

/// The operations of one task of a supervisor. They may run beside each other, and end when nobody
/// waits for them any more.
#[derive(Debug)]
pub struct Works {
    home: Household,
    successor: Option<SpawnSpec>,
    boot: [u8; 16],
    started: Mutex<Started>,
}

/// The processes that were started and are ours to reap.
#[derive(Debug, Default)]
struct Started {
    children: Vec<Child>,
    /// The new incumbent, once the task is over.
    stays: Option<Child>,
    /// How the successor ended, if it was not we who killed it.
    ended: Option<ExitStatus>,
    /// The task is over: what is started now is not wanted.
    over: bool,
}

impl Works {
    /// Nothing is started yet.
    pub fn new(home: Household, successor: Option<SpawnSpec>) -> Self {
        Self {
            home,
            successor,
            boot: boot_id(),
            started: Mutex::default(),
        }
    }

    /// Connect to the control path. The only one that never blocks.
    ///
    /// # Errors
    /// Whatever came of it, with the path.
    pub fn connect(&self) -> Result<(UnixStream, op::Process), String> {
        let path = self.home.control.display();
        let (stream, peer) = connect(&self.home.control).map_err(|e| format!("{path}: {e}"))?;
        Ok((stream, peer.process()))
    }

    /// Start the successor.
    ///
    /// # Errors
    /// Why it could not be started, or that the task is over; no process is left behind.
    pub fn spawn(&self) -> Result<(UnixStream, op::Process), String> {
        let spec = self.successor.as_ref();
        let spec = spec.ok_or("there is no successor to start")?;
        let spawned = spec.successor(&self.home.borrow_listeners());
        let (spawned, channel) = spawned.map_err(|e| e.to_string())?;
        Ok((channel, self.take_in(spawned)?))
    }

    /// Start the daemon afresh.
    ///
    /// # Errors
    /// Why it could not be started, or that the task is over; no process is left behind.
    pub fn cold_start(&self) -> Result<op::Process, String> {
        let spawned = self.home.cold_start().map_err(|e| e.to_string())?;
        self.take_in(spawned)
    }

    fn take_in(&self, spawned: Spawned) -> Result<op::Process, String> {
        let Spawned { child, process } = spawned;
        let mut started = self.started();
        if started.over {
            drop(started);
            if let Some(dying) = doom(child) {
                dying.wait();
                bury_quietly(dying);
            }
            return Err("it came too late".into());
        }
        started.children.push(child);
        Ok(process.into())
    }

    /// Kill a process, and reap it if it is ours. Blocks until it is dead.
    ///
    /// # Errors
    /// Why it lives on.
    pub fn kill(&self, process: Process) -> Result<(), String> {
        let dying = self.condemn(process)?;
        dying.wait();
        self.bury(dying)
    }

    /// The first half of [`kill`](Self::kill): it is killed, and not yet dead.
    ///
    /// # Errors
    /// Why it lives on.
    pub fn condemn(&self, process: Process) -> Result<Dying, String> {
        let ours = {
            let mut started = self.started();
            let at = started
                .children
                .iter()
                .position(|child| child.id() == process.pid);
            at.map(|at| started.children.swap_remove(at))
        };
        match ours {
            Some(child) => Dying::child(child).map_err(|(error, child)| {
                self.started().children.push(child);
                error.to_string()
            }),
            None => Dying::stranger(process).map_err(|e| e.to_string()),
        }
    }

    /// The second half: it is over.
    ///
    /// # Errors
    /// Why it lives on.
    pub fn bury(&self, dying: Dying) -> Result<(), String> {
        let pid = dying.pid();
        let status = dying.end().map_err(|(why, child)| {
            self.started().children.extend(child);
            why
        })?;
        if let Some(status) = status
            && status.signal() != Some(Signal::KILL.as_raw())
        {
            tracing::warn!(pid, %status, "the successor had ended by itself");
            self.started().ended = Some(status);
        }
        Ok(())
    }

    /// Write the journal.
    ///
    /// # Errors
    /// The system's, with the path.
    pub fn write_journal(&self, entry: Entry) -> Result<(), String> {
        let Some(journal) = &self.home.journal else {
            return Ok(());
        };
        let binary = self
            .successor
            .as_ref()
            .map(|spec| spec.binary.as_os_str().as_encoded_bytes());
        let record = Record::new(self.boot, entry, binary.unwrap_or_default());
        let mut room = vec![0; record.binary.len() + 96];
        let bytes = record.encode(&mut room).ok_or("the record does not fit")?;
        journal
            .write(bytes)
            .map_err(|e| format!("{}: {e}", journal.path().display()))
    }

    /// Remove the journal, after what is to be done before.
    ///
    /// # Errors
    /// The system's, with the path. It is logged.
    pub fn clear_journal(&self) -> Result<(), String> {
        if let Some(BeforeClear(call)) = &self.home.before_clear {
            call();
        }
        let Some(journal) = &self.home.journal else {
            return Ok(());
        };
        journal
            .clear()
            .map_err(|e| format!("{}: {e}", journal.path().display()))
            .inspect_err(|error| tracing::warn!(error, "the journal cannot be removed"))
    }

    /// Look who lives, and whether the lock is free.
    ///
    /// # Errors
    /// The system's, with the path.
    pub fn probe(&self, entry: Option<Entry>) -> Result<Scene, String> {
        let alive = |process: op::Process| Process::from(process).is_alive();
        let data_dir = &self.home.data_dir;
        let lock_free = lock_is_free(data_dir)
            .map_err(|e: io::Error| format!("{}: {e}", data_dir.display()))?;
        Ok(Scene {
            incumbent_alive: entry.is_some_and(|entry| alive(entry.incumbent)),
            successor_alive: entry.is_some_and(|entry| alive(entry.successor)),
            lock_free,
        })
    }

    /// The task is over, with this outcome. Every process that was started and is not the new
    /// incumbent is killed and reaped, also one whose start ends later. Returns the new incumbent's,
    /// and how the successor ended, if it did so by itself. Blocks until they are dead.
    pub fn finish(&self, outcome: SupervisorOutcome) -> (Option<Child>, Option<ExitStatus>) {
        let dismissed = self.dismiss(outcome);
        dismissed.iter().for_each(Dying::wait);
        self.conclude(outcome, dismissed)
    }

    /// The first half of [`finish`](Self::finish): those that are killed, and not yet dead.
    pub fn dismiss(&self, outcome: SupervisorOutcome) -> Vec<Dying> {
        self.condemn_all_but(match outcome {
            SupervisorOutcome::Committed { successor, .. } => Some(successor.pid),
            SupervisorOutcome::ColdStarted { process, .. } => Some(process.pid),
            SupervisorOutcome::RolledBack { .. }
            | SupervisorOutcome::Found { .. }
            | SupervisorOutcome::Answered { .. }
            | SupervisorOutcome::Failed(_) => None,
        })
    }

    /// The second half: they are over.
    pub fn conclude(
        &self,
        outcome: SupervisorOutcome,
        dismissed: Vec<Dying>,
    ) -> (Option<Child>, Option<ExitStatus>) {
        for dying in dismissed {
            bury_quietly(dying);
        }
        // What a killed successor has left beside the control path. Now, since it is no hurry.
        if !matches!(outcome, SupervisorOutcome::Committed { .. }) {
            remove_stale(&self.home.control);
        }
        let mut started = self.started();
        (started.stays.take(), started.ended)
    }

    /// The task was given up half-way: as [`finish`](Self::finish), with nobody who stays.
    pub fn abandon(&self) {
        for dying in self.condemn_all_but(None) {
            dying.wait();
            bury_quietly(dying);
        }
        remove_stale(&self.home.control);
    }

    fn condemn_all_but(&self, stays: Option<u32>) -> Vec<Dying> {
        let mut started = self.started();
        started.over = true;
        let children = std::mem::take(&mut started.children);
        let mut dying = Vec::new();
        for child in children {
            if Some(child.id()) == stays {
                started.stays = Some(child);
            } else {
                dying.extend(doom(child));
            }
        }
        dying
    }

    fn started(&self) -> MutexGuard<'_, Started> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn doom(child: Child) -> Option<Dying> {
    Dying::child(child)
        .inspect_err(|(error, child)| {
            tracing::error!(pid = child.id(), %error, "a process could not be killed");
        })
        .ok()
}

/// How it ended is of no interest any more.
fn bury_quietly(dying: Dying) {
    let pid = dying.pid();
    if let Err((error, _)) = dying.end() {
        tracing::error!(pid, error, "a process could not be killed");
    }
}

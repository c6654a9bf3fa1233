//! The thread that handoffs, recoveries and questions run on, so that the loop goes on meanwhile: it reaps,
//! heeds signals and answers other clients.
//!
//! The supervisor travels: whoever has it may use it, so there is one task at a time.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;

use anyhow::bail;
use handoff_std::core::SupervisorOutcome;
use handoff_std::core::journal::Record;
use handoff_std::host::{JournalFile, SpawnSpec, boot_id};
use handoff_std::{HandoffSpec, Report, Supervisor, SupervisorError};

use super::binary::{BinaryRecord, Candidate};
use super::kept::{self, Kept};

/// What the thread is to do.
#[derive(Debug)]
pub(super) enum Task {
    /// Find out who serves, and start the daemon if nobody does (`C9`).
    Recover,
    /// Replace the daemon.
    Handoff(Box<HandoffSpec>),
    /// Ask the daemon for the listeners that it keeps.
    AskForListeners,
}

/// What came of a task.
pub(super) enum Came {
    /// Of a recovery or a handoff.
    Report(Box<Result<Report, SupervisorError>>),
    /// Of the question.
    Listeners(Kept),
}

/// A task that has ended.
pub(super) struct Ended {
    /// Back from the thread.
    pub(super) supervisor: Box<Supervisor>,
    /// What came of it.
    pub(super) came: Came,
}

/// The thread, seen from the loop.
pub(super) struct Worker {
    tasks: Sender<(Box<Supervisor>, Task)>,
    ends: Receiver<Ended>,
    /// Readable when a task has ended.
    bell: UnixStream,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn start(
        control: PathBuf,
        journal: JournalFile,
        record: BinaryRecord,
        candidate: Candidate,
    ) -> io::Result<Self> {
        let (bell, ring) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        let (tasks, inbox) = mpsc::channel();
        let (outbox, ends) = mpsc::channel();
        let desk = Desk {
            control,
            journal,
            record,
            candidate,
        };
        thread::Builder::new()
            .name("handoff".into())
            .spawn(move || {
                for (supervisor, task) in inbox {
                    if outbox.send(desk.work(supervisor, task)).is_err() {
                        return;
                    }
                    // The loop that is told by this is gone, if it fails.
                    let _ = (&ring).write(&[1]);
                }
            })?;
        Ok(Self { tasks, ends, bell })
    }

    /// Gives the thread a task. It has none: the supervisor is proof of that.
    pub(super) fn give(&self, supervisor: Box<Supervisor>, task: Task) {
        // A thread that is gone shows when its end is asked for.
        let _ = self.tasks.send((supervisor, task));
    }

    /// A task that has ended since this was last asked.
    ///
    /// # Errors
    /// The thread is gone, and the listeners with it.
    pub(super) fn ended(&self) -> anyhow::Result<Option<Ended>> {
        let _ = (&self.bell).read(&mut [0; 16]);
        match self.ends.try_recv() {
            Ok(ended) => Ok(Some(ended)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => bail!(
                "the handoff thread has panicked; the daemon is left as it is: \
                 restart the supervisor, it will find it"
            ),
        }
    }
}

impl AsFd for Worker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// What a task needs besides the supervisor.
pub(super) struct Desk {
    pub(super) control: PathBuf,
    pub(super) journal: JournalFile,
    pub(super) record: BinaryRecord,
    pub(super) candidate: Candidate,
}

impl Desk {
    fn work(&self, mut supervisor: Box<Supervisor>, task: Task) -> Ended {
        let came = match task {
            Task::Recover => Came::Report(Box::new(self.recover(&mut supervisor))),
            Task::Handoff(spec) => {
                self.candidate.stand(&spec.successor.binary);
                Came::Report(Box::new(supervisor.handoff(&spec)))
            }
            Task::AskForListeners => Came::Listeners(kept::ask(&self.control)),
        };
        Ended { supervisor, came }
    }

    /// If the successor of an interrupted handoff turns out to serve, its binary is the current one.
    fn recover(&self, supervisor: &mut Supervisor) -> Result<Report, SupervisorError> {
        let interrupted = self.interrupted();
        let report = supervisor.recover()?;
        if let (SupervisorOutcome::Found { pid }, Some((successor, binary))) =
            (&report.outcome, interrupted)
            && *pid == successor
        {
            let daemon = SpawnSpec {
                binary,
                ..supervisor.daemon().clone()
            };
            tracing::info!(
                binary = %daemon.binary.display(),
                "the successor of a handoff that was interrupted serves"
            );
            self.record.note(&daemon.binary);
            supervisor.set_daemon(daemon);
        }
        Ok(report)
    }

    /// The successor that the journal names, and its binary. What is wrong with the journal is
    /// reported by the recovery itself.
    fn interrupted(&self) -> Option<(u32, PathBuf)> {
        let bytes = self.journal.read().ok()??;
        let record = Record::decode(&bytes).filter(|record| record.boot == boot_id())?;
        let binary = OsStr::from_bytes(record.binary);
        (!binary.is_empty()).then(|| (record.entry.successor.pid, binary.into()))
    }
}

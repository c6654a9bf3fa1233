//! What takes its time: recoveries, handoffs and questions, each as one future that has the
//! supervisor for so long, so that there is one at a time.

use std::ffi::OsStr;
use std::future::Future;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use handoff_std::core::SupervisorOutcome;
use handoff_std::core::journal::{Entry, Record};
use handoff_std::host::{JournalFile, boot_id};
use handoff_std::{HandoffSpec, Report, SpawnSpec, SupervisorError};
use handoff_tokio::Supervisor;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::Service;
use super::choice::choose;
use crate::operate::event::{HandoffEnded, What};
use crate::supervise::binary::{BinaryRecord, Candidate};
use crate::supervise::fleet::events::Teller;
use crate::supervise::fleet::turns::Turns;
use crate::supervise::kept::{self, Kept};

/// What is to be done.
#[derive(Debug)]
pub(super) enum Task {
    /// Find out who serves, and start the daemon if nobody does (`C9`). Waits for its turn no longer
    /// than this.
    Recover(Duration),
    /// Replace the daemon, if it is not called off before it is its turn.
    Handoff(Box<HandoffSpec>, oneshot::Receiver<()>),
    /// Ask the daemon for the listeners that it keeps.
    AskForListeners,
    /// Choose what the daemon of this service is started from next: this binary, if it is known already.
    Choose(Arc<Service>, Option<PathBuf>),
}

/// What came of it.
pub(super) enum Came {
    /// Of a recovery or a handoff.
    Report(Box<Result<Report, SupervisorError>>),
    /// This handoff, before it was its turn.
    CalledOff,
    /// Of the question.
    Listeners(Kept),
    /// The supervisor knows what was chosen.
    Chosen,
}

/// What a task needs besides the supervisor.
pub(super) struct Desk {
    pub(super) control: PathBuf,
    pub(super) journal: JournalFile,
    pub(super) record: BinaryRecord,
    pub(super) candidate: Candidate,
    pub(super) turns: Turns,
}

/// A task that has ended, and the supervisor back from it.
pub(super) type Ended = (Box<Supervisor>, Came);

/// A task under way.
pub(super) type Work = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// Carries it out.
pub(super) fn work(
    desk: Arc<Desk>,
    teller: Teller,
    mut supervisor: Box<Supervisor>,
    task: Task,
) -> Work {
    Box::pin(async move {
        let came = match task {
            Task::Recover(patience) => {
                let recovery = recover(&desk, &teller, &mut supervisor);
                let report = desk.turns.starts.take(patience, recovery).await;
                Came::Report(Box::new(report))
            }
            Task::Handoff(spec, called_off) => {
                desk.candidate.stand(&spec.successor.binary);
                let handoff = supervisor.handoff(&spec);
                match desk.turns.handoffs.take_unless(called_off, handoff).await {
                    Some(report) => Came::Report(Box::new(report)),
                    None => Came::CalledOff,
                }
            }
            Task::AskForListeners => Came::Listeners(ask(&desk).await),
            Task::Choose(service, current) => {
                let choice = choose(&service, desk.record.clone(), current).await;
                if let Some(error) = choice.wrong {
                    tracing::error!(%error, "the daemon cannot be started as it is");
                }
                supervisor.set_daemon(choice.daemon);
                Came::Chosen
            }
        };
        (supervisor, came)
    })
}

/// If the successor of an interrupted handoff turns out to serve, its binary is the current one.
async fn recover(
    desk: &Arc<Desk>,
    teller: &Teller,
    supervisor: &mut Supervisor,
) -> Result<Report, SupervisorError> {
    let interrupted = {
        let desk = Arc::clone(desk);
        spawn_blocking(move || interrupted(&desk)).await
    };
    let interrupted = interrupted.ok().flatten();
    let report = supervisor.recover().await?;
    if let Some((entry, binary)) = &interrupted
        && let Some(end) =
            HandoffEnded::interrupted(teller.service(), entry, binary, &report.outcome)
    {
        let id = end.ended.handoff_id.clone();
        teller.tell(id, What::HandoffEnded(Box::new(end)));
    }
    if let (SupervisorOutcome::Found { pid }, Some((entry, binary))) =
        (&report.outcome, interrupted)
        && *pid == entry.successor.pid
    {
        tracing::info!(
            binary = %binary.display(),
            "the successor of a handoff that was interrupted serves"
        );
        let daemon = SpawnSpec {
            binary,
            ..supervisor.daemon().clone()
        };
        remember(desk, daemon.clone()).await;
        supervisor.set_daemon(daemon);
    }
    // It may be another one than before, if somebody asked for that.
    if let SupervisorOutcome::ColdStarted { .. } = report.outcome {
        remember(desk, supervisor.daemon().clone()).await;
    }
    Ok(report)
}

/// The handoff that the journal names, and what it was to. What is wrong with the journal is reported by
/// the recovery itself.
fn interrupted(desk: &Desk) -> Option<(Entry, PathBuf)> {
    let bytes = desk.journal.read().ok()??;
    let record = Record::decode(&bytes).filter(|record| record.boot == boot_id())?;
    let binary = OsStr::from_bytes(record.binary);
    (!binary.is_empty()).then(|| (record.entry, binary.into()))
}

async fn remember(desk: &Arc<Desk>, daemon: SpawnSpec) {
    let desk = Arc::clone(desk);
    // It says by itself what goes wrong.
    let _ = spawn_blocking(move || desk.record.note(&daemon.binary)).await;
}

/// Asks the daemon for the listeners that it keeps.
pub(super) async fn ask(desk: &Arc<Desk>) -> Kept {
    let control = desk.control.clone();
    let asked = spawn_blocking(move || kept::ask(&control)).await;
    asked.unwrap_or_else(|error| Kept {
        listeners: Vec::new(),
        refused: Some(error.to_string()),
    })
}

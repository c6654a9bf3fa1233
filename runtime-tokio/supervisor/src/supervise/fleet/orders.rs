//! What the task of a service can be told, and what it answers.

use std::path::PathBuf;
use std::sync::Arc;

use handoff_std::core::{Cause, Reason, SupervisorOutcome};
use handoff_std::{Report, SupervisorError};
use tokio::sync::oneshot;

use crate::config::Service;
use crate::operate::protocol::{Ended, Outcome, ServiceStatus};

/// Something that a service's task is told.
pub(super) enum Order {
    /// Replace the daemon.
    Handoff(HandoffOrder),
    /// End the probation that goes on.
    Rollback(oneshot::Sender<Verdict>),
    /// Say how it is; what the daemon itself or the history would say is left out.
    Look(oneshot::Sender<ServiceStatus>),
    /// This is what the service is from now on.
    Renew(Arc<Service>),
    /// Begin nothing more.
    Wind,
    /// End the daemon, if it is not to be kept, and then yourself.
    Stop { keep: bool },
}

/// An order for a handoff.
pub(super) struct HandoffOrder {
    pub(super) binary: Wanted,
    /// Behind what is in progress, instead of being refused.
    pub(super) wait: bool,
    /// Start the daemon if it is down.
    pub(super) start: bool,
    pub(super) reply: oneshot::Sender<Verdict>,
}

/// Which binary a handoff is to.
#[derive(Clone)]
pub(super) enum Wanted {
    /// The one that runs, anew.
    Current,
    /// The one that is configured.
    Configured,
    /// This one, if it is allowed.
    Named(PathBuf),
}

/// What became of an order.
#[derive(Clone)]
pub(super) enum Verdict {
    /// Nothing was begun: why, and what to do.
    Refused(String),
    /// It has ended.
    Ended {
        /// For a client of the trigger socket.
        line: String,
        ended: Ended,
    },
}

impl Verdict {
    /// Of a handoff, or of a recovery that somebody asked for.
    pub(super) fn of(service: &str, result: &Result<Report, SupervisorError>) -> Self {
        match result {
            Err(error) => Self::Refused(error.to_string()),
            Ok(report) => match &report.outcome {
                SupervisorOutcome::Failed(cause) if is_not_begun(cause) => {
                    Self::Refused(in_words(cause))
                }
                outcome => Self::Ended {
                    line: line(outcome, report),
                    ended: Ended::of(service, report),
                },
            },
        }
    }
}

impl Ended {
    /// Of a handoff, or of a recovery that somebody asked for. One that is refused in the end has failed, for
    /// those who were told its start.
    pub(super) fn of(service: &str, report: &Report) -> Self {
        let (outcome, pid, reason) = match &report.outcome {
            SupervisorOutcome::Committed { successor, .. } => {
                (Outcome::Committed, Some(successor.pid), None)
            }
            SupervisorOutcome::ColdStarted { process, cause } => (
                // That is no handoff, and connections may have been lost on the way.
                cause.as_ref().map_or(Outcome::Started, |_| Outcome::Failed),
                Some(process.pid),
                cause.as_ref().map(ToString::to_string),
            ),
            SupervisorOutcome::Found { pid } => (Outcome::Started, Some(*pid), None),
            SupervisorOutcome::RolledBack { .. } => {
                (Outcome::RolledBack, None, report.abort_reason())
            }
            SupervisorOutcome::Failed(cause) => (Outcome::Failed, None, Some(in_words(cause))),
            other @ SupervisorOutcome::Answered { .. } => {
                (Outcome::Failed, None, Some(other.to_string()))
            }
        };
        Self {
            service: service.into(),
            outcome,
            handoff_id: report.id.map(|id| id.to_string()),
            pid,
            reason,
            without: without(&report.outcome).map(Into::into).collect(),
            took_ms: u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// The line that a client of a trigger socket gets for its handoff.
fn line(outcome: &SupervisorOutcome, report: &Report) -> String {
    match report.id {
        Some(id) => {
            let without: Vec<_> = without(outcome).collect();
            let without = match without.join(",") {
                none if none.is_empty() => none,
                some => format!(" without={some}"),
            };
            format!(
                "ok: handoff_id={id} committed={} abort_reason={}{without}",
                report.committed(),
                report.abort_reason().as_deref().unwrap_or("None"),
            )
        }
        None => format!("err: {outcome}"),
    }
}

/// Whether no daemon was asked for anything, and none was started.
fn is_not_begun(cause: &Cause) -> bool {
    matches!(cause.reason, Reason::NoIncumbent | Reason::IncumbentUnfit)
}

/// Why a handoff failed, and what to do if that is known.
fn in_words(cause: &Cause) -> String {
    if is_not_begun(cause) {
        format!("{cause}; nothing was begun: look whether the daemon is well")
    } else {
        cause.to_string()
    }
}

/// What a committed handoff made do without.
fn without(outcome: &SupervisorOutcome) -> impl Iterator<Item = &'static str> {
    let (standby, probation) = match outcome {
        SupervisorOutcome::Committed { shortfall, .. } => (shortfall.standby, shortfall.probation),
        _ => (false, false),
    };
    let standby = standby.then_some("standby");
    standby.into_iter().chain(probation.then_some("probation"))
}

//! What the task of a service can be told, and what it answers.

use std::path::PathBuf;

use handoff_std::core::SupervisorOutcome;
use handoff_std::{Report, SupervisorError};
use tokio::sync::oneshot;

use super::super::overseer::requests;
use crate::operate::protocol::{Ended, Outcome, ServiceStatus};

/// Something that a service's task is told.
pub(super) enum Order {
    /// Replace the daemon.
    Handoff(HandoffOrder),
    /// End the probation that goes on.
    Rollback(oneshot::Sender<Verdict>),
    /// Say how it is; what the daemon itself or the history would say is left out.
    Look(oneshot::Sender<ServiceStatus>),
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
        let report = match result {
            Ok(report) => report,
            Err(error) => return Self::Refused(error.to_string()),
        };
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
            other => (Outcome::Failed, None, Some(other.to_string())),
        };
        let without = requests::without(&report.outcome);
        let without = without.strip_prefix(" without=").unwrap_or_default();
        Self::Ended {
            line: requests::answer(result),
            ended: Ended {
                service: service.into(),
                outcome,
                handoff_id: report.id.map(|id| id.to_string()),
                pid,
                reason,
                without: without
                    .split(',')
                    .filter(|part| !part.is_empty())
                    .map(Into::into)
                    .collect(),
                took_ms: u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
            },
        }
    }
}

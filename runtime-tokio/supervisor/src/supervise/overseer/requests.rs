//! What clients of the trigger socket ask for, whether it can be begun, and what they are told.

use std::path::PathBuf;
use std::time::Instant;

use handoff_std::core::{Reason, SupervisorOutcome};
use handoff_std::{HandoffSpec, Report, SpawnSpec, SupervisorError};

use super::{Doing, Overseer, Stop};
use crate::supervise::trigger::Request;
use crate::supervise::worker::Task;

impl Overseer<'_> {
    /// Begins what clients ask for, or tells them why not.
    pub(super) fn serve_trigger(&mut self, now: Instant) {
        let Some(trigger) = &mut self.trigger else {
            return;
        };
        for (client, Request::Handoff(binary)) in trigger.turn(now) {
            match self.prepare(binary) {
                Ok(spec) => self.begin(Doing::Handoff(client), Task::Handoff(spec)),
                Err(refusal) => {
                    if let Some(trigger) = &mut self.trigger {
                        trigger.answer(client, &format!("err: {refusal}"), now);
                    }
                }
            }
        }
    }

    /// The handoff to this binary, or to the current one. Otherwise why it cannot be begun, and what
    /// to do.
    fn prepare(&self, binary: Option<PathBuf>) -> Result<HandoffSpec, String> {
        let current = self.accepts()?;
        let successor = SpawnSpec {
            binary: binary.unwrap_or(current.binary),
            ..current
        };
        // Found here, a mistake does not keep the supervisor busy.
        successor.check().map_err(|error| error.to_string())?;
        Ok(HandoffSpec {
            deadline: self.args.deadline(),
            drain_grace: self.args.drain_grace(),
            kill_stuck_incumbent: self.args.kill_stuck_incumbent,
            ..HandoffSpec::new(successor)
        })
    }

    /// What runs now, if a handoff can be begun; otherwise why not, and what to do.
    fn accepts(&self) -> Result<SpawnSpec, String> {
        if !matches!(self.stop, Stop::No) {
            return Err("the supervisor is ending".into());
        }
        let supervisor = match &self.doing {
            Doing::Nothing(supervisor) => supervisor,
            Doing::Handoff(_) => {
                return Err("a handoff is in progress; try again when it has ended".into());
            }
            Doing::Recovery => {
                return Err(
                    "it is not known yet who serves, or the daemon is being started; \
                            try again in a moment"
                        .into(),
                );
            }
        };
        if let Some((spec, error)) = self.missing.first() {
            return Err(format!(
                "the listener `{}` is missing: {error}; it cannot be handed over until it can be \
                 bound, at the latest when the daemon that has it is restarted",
                spec.name
            ));
        }
        if self.daemon.is_none() {
            return Err(
                "the daemon is not running and will be started again; see the log for \
                        why it ended, and try again then"
                    .into(),
            );
        }
        Ok(supervisor.daemon().clone())
    }
}

/// The line that a client gets for its handoff.
pub(super) fn answer(result: &Result<Report, SupervisorError>) -> String {
    let report = match result {
        Ok(report) => report,
        Err(error) => return format!("err: {error}"),
    };
    match (&report.outcome, report.id) {
        (SupervisorOutcome::Failed(cause), _)
            if matches!(cause.reason, Reason::NoIncumbent | Reason::IncumbentUnfit) =>
        {
            format!("err: {cause}; nothing was begun: look whether the daemon is well")
        }
        (_, Some(id)) => format!(
            "ok: handoff_id={id} committed={} abort_reason={}",
            report.committed(),
            report.abort_reason().as_deref().unwrap_or("None"),
        ),
        (outcome, None) => format!("err: {outcome}"),
    }
}

//! What clients of the trigger socket ask for, whether it can be begun, and what they are told.

use std::path::PathBuf;
use std::time::Instant;

use handoff_std::core::{Reason, SupervisorOutcome};
use handoff_std::{HandoffSpec, Report, RollbackHandle, SpawnSpec, Supervisor, SupervisorError};

use super::{Doing, Handoff, Overseer, Stop};
use crate::supervise::trigger::{ClientId, Request};
use crate::supervise::worker::Task;

impl Overseer<'_> {
    /// Begins what clients ask for, or tells them why not.
    pub(super) fn serve_trigger(&mut self, now: Instant) {
        let Some(trigger) = &mut self.trigger else {
            return;
        };
        for (client, request) in trigger.turn(now) {
            let begun = match request {
                Request::Handoff(binary) => self.hand_over(client, binary),
                Request::Rollback => self.roll_back(client),
            };
            if let (Err(refusal), Some(trigger)) = (begun, &mut self.trigger) {
                trigger.answer(client, &format!("err: {refusal}"), now);
            }
        }
    }

    /// Begins a handoff for `client`. Otherwise why not, and what to do.
    fn hand_over(&mut self, client: ClientId, binary: Option<PathBuf>) -> Result<(), String> {
        let (spec, rollback) = self.prepare(binary)?;
        let handoff = Handoff {
            client,
            rollback,
            regretful: Vec::new(),
        };
        self.begin(Doing::Handoff(handoff), Task::Handoff(Box::new(spec)));
        Ok(())
    }

    /// Ends the probation that goes on; `client` is answered when the handoff has ended. Otherwise why
    /// not, and what to do.
    fn roll_back(&mut self, client: ClientId) -> Result<(), String> {
        let Doing::Handoff(handoff) = &mut self.doing else {
            return Err(
                "no handoff is in progress; to go back to an earlier binary, hand over to it: \
                 `handoff /path/to/binary`"
                    .into(),
            );
        };
        if !handoff.rollback.rollback("an operator asked for it") {
            return Err(
                "the handoff in progress is not in its probation, and nothing else can be rolled \
                 back; try again in a moment if --probation-secs is in force"
                    .into(),
            );
        }
        tracing::info!("a client asks for a rollback");
        handoff.regretful.push(client);
        Ok(())
    }

    /// Tells everybody who waited for `handoff` what came of it.
    pub(super) fn answer(
        &mut self,
        handoff: &Handoff,
        result: &Result<Report, SupervisorError>,
        now: Instant,
    ) {
        let Some(trigger) = &mut self.trigger else {
            return;
        };
        let answer = answer(result);
        trigger.answer(handoff.client, &answer, now);
        let committed = result.as_ref().is_ok_and(Report::committed);
        let late = "err: it was too late, the handoff has been committed; to go back to the earlier \
                    binary, hand over to it: `handoff /path/to/binary`";
        for client in &handoff.regretful {
            trigger.answer(*client, if committed { late } else { &answer }, now);
        }
    }

    /// The handoff to this binary, or to the current one. Otherwise why it cannot be begun, and what
    /// to do.
    fn prepare(&self, binary: Option<PathBuf>) -> Result<(HandoffSpec, RollbackHandle), String> {
        let supervisor = self.accepts()?;
        let current = supervisor.daemon().clone();
        let successor = SpawnSpec {
            binary: binary.unwrap_or(current.binary),
            ..current
        };
        // Found here, a mistake does not keep the supervisor busy.
        successor.check().map_err(|error| error.to_string())?;
        Ok((self.args.handoff(successor), supervisor.rollback_handle()))
    }

    /// The supervisor, if a handoff can be begun; otherwise why not, and what to do.
    fn accepts(&self) -> Result<&Supervisor, String> {
        if !matches!(self.stop, Stop::No) {
            return Err("the supervisor is ending".into());
        }
        let supervisor = match &self.doing {
            Doing::Nothing(supervisor) => supervisor,
            Doing::Handoff(_) => {
                return Err("a handoff is in progress; try again when it has ended".into());
            }
            Doing::Asking => {
                let refusal = self.missing.refusal();
                return Err(refusal.unwrap_or_else(|| "try again in a moment".into()));
            }
            Doing::Recovery => {
                return Err(
                    "it is not known yet who serves, or the daemon is being started; \
                            try again in a moment"
                        .into(),
                );
            }
        };
        if let Some(refusal) = self.missing.refusal() {
            return Err(refusal);
        }
        if self.daemon.is_none() {
            return Err(
                "the daemon is not running and will be started again; see the log for \
                        why it ended, and try again then"
                    .into(),
            );
        }
        Ok(supervisor)
    }
}

/// The line that a client of a trigger socket gets for its handoff.
pub(in crate::supervise) fn answer(result: &Result<Report, SupervisorError>) -> String {
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
        (outcome, Some(id)) => format!(
            "ok: handoff_id={id} committed={} abort_reason={}{}",
            report.committed(),
            report.abort_reason().as_deref().unwrap_or("None"),
            without(outcome),
        ),
        (outcome, None) => format!("err: {outcome}"),
    }
}

/// What a committed handoff made do without.
pub(in crate::supervise) fn without(outcome: &SupervisorOutcome) -> &'static str {
    let SupervisorOutcome::Committed { shortfall, .. } = outcome else {
        return "";
    };
    match (shortfall.standby, shortfall.probation) {
        (false, false) => "",
        (true, false) => " without=standby",
        (false, true) => " without=probation",
        (true, true) => " without=standby,probation",
    }
}

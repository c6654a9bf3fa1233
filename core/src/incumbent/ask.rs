//! Beside the handoff: questions that any session may ask at any time, and the end of a probation.

use super::step::Step;
use super::{Asked, Cue, IncumbentCall, Phase, Question, Session, Trial};
use crate::cause::Reason;
use crate::handles::Handles;
use crate::machine::Room;
use crate::op::{ListenersReport, OpId, Report, SnapshotReport, Verdict};
use crate::wire::{Message, StatusPhase};

impl<B: Room, const L: usize> Step<'_, '_, B, L> {
    /// A session asks something. Returns whether it may: one question at a time.
    pub(super) fn ask(&mut self, at: usize, question: Question) -> bool {
        let Some(Session::Acknowledged { asked: None, .. }) = self.state.sessions.get(at) else {
            return false;
        };
        let (call, limit) = match question {
            Question::Listeners => (IncumbentCall::ListListeners, self.config.host_limit),
            Question::Status => (IncumbentCall::Snapshot, self.config.snapshot),
        };
        // Whoever asks the same meanwhile gets the same answer.
        let under_way = self
            .state
            .sessions
            .iter()
            .find_map(|session| match session {
                Session::Acknowledged { asked, .. } => {
                    asked.filter(|other| other.question == question)
                }
                _ => None,
            });
        let new = under_way.unwrap_or_else(|| Asked {
            op: self.out.start(call),
            until: self.now.after(limit),
            question,
        });
        if let Some(Session::Acknowledged { asked, .. }) = self.state.sessions.get_mut(at) {
            *asked = Some(new);
        }
        true
    }

    /// The end of an operation that answers a question. Returns whether it was one.
    pub(super) fn answered(&mut self, op: OpId, report: &Report<'_>) -> bool {
        let mut found = false;
        for at in 0..L {
            if let Some(question) = self.take_question(at, |asked| asked.op == op) {
                self.answer(at, question, report);
                found = true;
            }
        }
        found
    }

    /// Answers every question that has waited for too long. Returns whether there was one.
    pub(super) fn answers_late(&mut self) -> bool {
        let (now, mut found) = (self.now, false);
        for at in 0..L {
            if let Some(question) = self.take_question(at, |asked| asked.until <= now) {
                self.answer(at, question, &Report::Failed("no answer in time"));
                found = true;
            }
        }
        found
    }

    fn take_question(&mut self, at: usize, which: impl Fn(&Asked) -> bool) -> Option<Question> {
        match self.state.sessions.get_mut(at) {
            Some(Session::Acknowledged { asked, .. }) => asked
                .take_if(|asked| which(asked))
                .map(|asked| asked.question),
            _ => None,
        }
    }

    fn answer(&mut self, at: usize, question: Question, report: &Report<'_>) {
        match (question, report) {
            (Question::Status, Report::Snapshot(snapshot)) => self.send_status(at, *snapshot),
            (Question::Status, _) => self.send_status(at, SnapshotReport::default()),
            (Question::Listeners, Report::Listeners(kept)) => self.send_listeners(at, *kept),
            (Question::Listeners, Report::Failed(why)) => self.keep_listeners(at, why),
            (Question::Listeners, _) => self.keep_listeners(at, ""),
        }
    }

    fn send_status(&mut self, at: usize, snapshot: SnapshotReport<'_>) {
        let uptime = self.now.since(self.state.started).as_millis();
        let mut status = |revisions| {
            let message = Message::Status {
                phase: self.status_phase().number(),
                generation: self.state.generation,
                uptime_ms: u64::try_from(uptime).unwrap_or(u64::MAX),
                open_connections: snapshot.open_connections,
                revisions,
            };
            self.out.try_send(at, &message)
        };
        if !status(snapshot.revisions) && !snapshot.revisions.is_empty() {
            // Better an answer without them than none.
            status([].as_slice().into());
        }
    }

    fn send_listeners(&mut self, at: usize, kept: ListenersReport<'_>) {
        let names = kept.names;
        let message = Message::Listeners { names };
        let told = usize::try_from(kept.handles.count) == Ok(names.len())
            && kept.handles.count <= Handles::MAX
            && self.out.enclose(at, &message, kept.handles);
        if !told {
            self.keep_listeners(at, "they do not fit into a frame");
        }
    }

    /// The listeners cannot be handed over.
    fn keep_listeners(&mut self, at: usize, why: &str) {
        self.out.report(Reason::ListenersFailed, why);
        if let Some(Session::Acknowledged { id, .. }) = self.state.sessions.get(at).copied() {
            self.refuse(at, id, Reason::ListenersFailed);
        }
    }

    const fn status_phase(&self) -> StatusPhase {
        match self.state.phase {
            Phase::Serving if matches!(self.state.trial, Trial::On) => StatusPhase::Probation,
            Phase::Serving | Phase::Waiting => StatusPhase::Serving,
            Phase::Draining | Phase::Undraining => StatusPhase::Draining,
            Phase::Drained => StatusPhase::Drained,
            Phase::Sealing | Phase::Unsealing | Phase::Releasing | Phase::Unreleasing => {
                StatusPhase::Sealing
            }
            Phase::Sealed | Phase::Checking => StatusPhase::Sealed,
            Phase::Reclaiming
            | Phase::Watching
            | Phase::Pausing
            | Phase::Returning
            | Phase::Rebinding => StatusPhase::Reclaiming,
            Phase::Resuming | Phase::Stumbling => StatusPhase::Resuming,
            Phase::Retired | Phase::Superseded | Phase::Failed => StatusPhase::Leaving,
        }
    }

    /// The probation of this process has ended.
    pub(super) fn judged(&mut self, verdict: Verdict) {
        if self.state.trial != Trial::On {
            return;
        }
        match verdict {
            Verdict::Committed => self.confirm(),
            // The process before us loses its session when we do. It leaves when it has looked twice,
            // and it notices a supervisor that is silent after `dead_peer`.
            Verdict::Orphaned => {
                let patience = self.config.dead_peer.saturating_add(self.config.wire_slack);
                self.state.trial = Trial::Orphaned(self.now.after(patience));
            }
            Verdict::Dismissed => {
                self.trouble(Reason::Aborted, "");
                self.cue(Cue::Dismissed);
            }
        }
    }

    fn confirm(&mut self) {
        let op = self.out.start(IncumbentCall::Confirm);
        let until = self.now.after(self.config.patience);
        self.state.trial = Trial::Confirming { op, until };
    }

    /// The end of the committed hook. Returns whether it was that.
    pub(super) fn confirmed(&mut self, op: OpId, report: &Report<'_>) -> bool {
        let ours =
            matches!(self.state.trial, Trial::Confirming { op: running, .. } if running == op);
        if ours {
            self.state.trial = Trial::Over;
            if let Report::Failed(why) = report {
                self.out.report(Reason::ConfirmFailed, why);
            }
            self.cue(Cue::ConfirmDone);
        }
        ours
    }

    /// Answers the timer of the probation, if that one is due. Returns whether it was.
    pub(super) fn confirm_due(&mut self) -> bool {
        match self.state.trial {
            Trial::Orphaned(at) if at <= self.now && self.state.phase == Phase::Serving => {
                self.confirm();
                true
            }
            Trial::Confirming { op, until } if until <= self.now => {
                self.state.trial = Trial::Over;
                // It may still write, so the lock must stay.
                self.state.straggler = Some(op);
                self.trouble(Reason::HookStuck, "committed");
                self.cue(Cue::ConfirmLate);
                true
            }
            _ => false,
        }
    }
}

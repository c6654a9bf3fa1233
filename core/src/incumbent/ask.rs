//! Beside the handoff: questions that any session may ask at any time, and the end of a probation.

use super::step::Step;
use super::{Asked, Cue, IncumbentCall, IncumbentState, Inquiry, Phase, Question, Session, Trial};
use crate::cause::Reason;
use crate::handles::Handles;
use crate::machine::Room;
use crate::op::{ListenersReport, OpId, Report, SnapshotReport, Verdict};
use crate::wire::{Message, StatusPhase};

impl<B: Room, const L: usize> Step<'_, '_, B, L> {
    /// A session asks something. Returns whether it may: one question at a time.
    pub(super) fn ask(&mut self, at: usize, question: Question) -> bool {
        let Some(Session::Acknowledged { asked, .. }) = self.state.sessions.get_mut(at) else {
            return false;
        };
        if asked.is_some() {
            return false;
        }
        let (call, limit) = match question {
            Question::Listeners => (IncumbentCall::ListListeners, self.config.host_limit),
            Question::Status => (IncumbentCall::Snapshot, self.config.snapshot),
        };
        let until = self.now.after(limit);
        *asked = Some(Asked { question, until });
        // Whoever asks the same meanwhile gets the same answer, so that operations which do not end
        // cannot pile up.
        let now = self.now;
        let inquiry = self.state.inquiry(question);
        if inquiry.is_none_or(|running| running.lost_at <= now) {
            *inquiry = Some(Inquiry {
                op: self.out.start(call),
                lost_at: now.after(self.config.host_limit),
            });
        }
        true
    }

    /// The end of an operation that answers a question. Returns whether it was one.
    pub(super) fn answered(&mut self, op: OpId, report: &Report<'_>) -> bool {
        for question in [Question::Listeners, Question::Status] {
            let inquiry = self.state.inquiry(question);
            if inquiry.take_if(|running| running.op == op).is_some() {
                self.answer_all(|asked| asked.question == question, report);
                return true;
            }
        }
        false
    }

    /// Answers every question that has waited for too long. Returns whether there was one.
    pub(super) fn answers_late(&mut self) -> bool {
        let now = self.now;
        self.answer_all(
            |asked| asked.until <= now,
            &Report::Failed("no answer in time"),
        )
    }

    /// Answers these questions. Returns whether there was one.
    fn answer_all(&mut self, which: impl Fn(&Asked) -> bool, report: &Report<'_>) -> bool {
        let (mut found, mut trouble) = (false, None);
        for at in 0..L {
            let asked = match self.state.sessions.get_mut(at) {
                Some(Session::Acknowledged { asked, .. }) => asked.take_if(|asked| which(asked)),
                _ => None,
            };
            if let Some(Asked { question, .. }) = asked {
                found = true;
                trouble = self.answer(at, question, report).err().or(trouble);
            }
        }
        // Once for all of them: a turn has room for so much.
        if let Some(why) = trouble {
            self.out.report(Reason::ListenersFailed, why);
        }
        found
    }

    /// Answers one question.
    ///
    /// # Errors
    /// Why the listeners cannot be handed over.
    fn answer<'r>(
        &mut self,
        at: usize,
        question: Question,
        report: &Report<'r>,
    ) -> Result<(), &'r str> {
        let told = match (question, report) {
            (Question::Status, Report::Snapshot(snapshot)) => {
                self.send_status(at, *snapshot);
                Ok(())
            }
            (Question::Status, _) => {
                self.send_status(at, SnapshotReport::default());
                Ok(())
            }
            (Question::Listeners, Report::Listeners(kept)) => self.send_listeners(at, *kept),
            (Question::Listeners, Report::Failed(why)) => Err(*why),
            (Question::Listeners, _) => Err(""),
        };
        if told.is_err()
            && let Some(Session::Acknowledged { id, .. }) = self.state.sessions.get(at).copied()
        {
            self.refuse(at, id, Reason::ListenersFailed);
        }
        told
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

    fn send_listeners(&mut self, at: usize, kept: ListenersReport<'_>) -> Result<(), &'static str> {
        let names = kept.names;
        if usize::try_from(kept.handles.count) != Ok(names.len()) {
            return Err("not as many as there are names");
        }
        if kept.handles.count > Handles::MAX {
            return Err("more than one frame can carry");
        }
        if !self
            .out
            .enclose(at, &Message::Listeners { names }, kept.handles)
        {
            return Err("they do not fit into a frame, or the peer does not read");
        }
        Ok(())
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

impl<const L: usize> IncumbentState<L> {
    /// The operation under way that answers this question.
    const fn inquiry(&mut self, question: Question) -> &mut Option<Inquiry> {
        match question {
            Question::Listeners => &mut self.listing,
            Question::Status => &mut self.snapshot,
        }
    }
}

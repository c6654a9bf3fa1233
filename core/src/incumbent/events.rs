//! What happens to the incumbent elsewhere: operations end, and timers are due.

use super::step::Step;
use super::{Cue, Owner, Phase, Rebind, Session};
use crate::cause::{Cause, Reason};
use crate::machine::{Loss, Observation, Room};
use crate::op::{LockReport, OpId, PathOwner, Report};
use crate::text::Text;
use crate::time::Instant;
use crate::wire::Message;

impl<B: Room, const L: usize> Step<'_, '_, B, L> {
    pub(super) fn completed(&mut self, op: OpId, report: &Report<'_>) {
        if let Rebind::Running {
            op: running, again, ..
        } = self.state.rebind
            && running == op
        {
            return self.rebound(report, again);
        }
        if self.answered(op, report) || self.confirmed(op, report) {
            return;
        }
        if self.state.straggler == Some(op) {
            self.state.straggler = None;
        }
        // An operation that nobody waits for any more has ended: nothing to do.
        if self.state.op != Some(op) {
            return;
        }
        self.state.op = None;
        self.state.op_limit = None;
        let cue = match *report {
            Report::Failed(why) => self.failed(why),
            Report::Done => match self.state.phase {
                Phase::Rebinding => Cue::BindDone,
                Phase::Resuming => {
                    self.state.resume_failures = 0;
                    Cue::ResumeDone
                }
                _ => Cue::ReleaseDone,
            },
            Report::Drained(_) => Cue::DrainDone,
            Report::Sealed(seal) => {
                let sealed = self.state.owner.map(|Owner { session, id, .. }| {
                    let revisions = seal.revisions;
                    let message = Message::SealComplete {
                        id,
                        revisions,
                        fingerprint: seal.fingerprint,
                    };
                    self.out.stage(session, &message)
                });
                if sealed == Some(false) {
                    self.trouble(Reason::ReportTooLarge, "");
                    Cue::SealTooLarge
                } else {
                    Cue::SealDone
                }
            }
            Report::Lock(LockReport::Taken { generation }) => {
                self.state.generation = generation;
                Cue::LockFree
            }
            Report::Lock(LockReport::Held) => Cue::LockHeld,
            Report::Path(owner) => self.looked(owner),
            Report::Opened(_)
            | Report::Linked(_)
            | Report::Started(_)
            | Report::Scene(_)
            | Report::Listeners(_)
            | Report::Snapshot(_) => return,
        };
        self.cue(cue);
    }

    /// What a look at the control path means. It is another process's: time to leave (`C2`)? Not as long
    /// as the supervisor can kill that process for being late, nor when that may just have happened:
    /// what was seen of it is then seen once more, with a pause in between.
    fn looked(&mut self, owner: PathOwner) -> Cue {
        let before = self.state.taken_over;
        self.state.taken_over = owner == PathOwner::Theirs && self.state.former.is_none();
        match owner {
            PathOwner::Ours => Cue::PathOurs,
            PathOwner::Nobody => Cue::PathUnbound,
            PathOwner::Theirs
                if self.state.phase == Phase::Returning || before && self.state.taken_over =>
            {
                Cue::PathTheirs
            }
            PathOwner::Theirs => Cue::PathUnsure,
        }
    }

    fn failed(&mut self, why: &str) -> Cue {
        let (reason, cue) = match self.state.phase {
            Phase::Draining | Phase::Undraining => (Reason::DrainFailed, Cue::DrainFailed),
            Phase::Sealing | Phase::Unsealing => (Reason::SealFailed, Cue::SealFailed),
            Phase::Releasing | Phase::Unreleasing => (Reason::ReleaseFailed, Cue::ReleaseFailed),
            Phase::Rebinding => {
                self.state.rebind = Rebind::Due(self.now.after(self.config.host_retry));
                (Reason::BindFailed, Cue::BindFailed)
            }
            Phase::Watching | Phase::Returning => (Reason::BindFailed, Cue::PathUnbound),
            Phase::Resuming => {
                self.state.resume_failures = self.state.resume_failures.saturating_add(1);
                let spent = self.state.resume_failures >= self.config.resume_tries;
                let cue = if spent {
                    Cue::ResumeSpent
                } else {
                    Cue::ResumeFailed
                };
                (Reason::ResumeFailed, cue)
            }
            _ => (Reason::LockFailed, Cue::LockHeld),
        };
        self.trouble(reason, why);
        cue
    }

    /// The control path was bound, or not, while the daemon served.
    fn rebound(&mut self, report: &Report<'_>, again: bool) {
        self.state.rebind = Rebind::Bound;
        if let Report::Failed(why) = report {
            self.state.rebind = Rebind::Due(self.now.after(self.config.host_retry));
            let mut cause = Cause::new(Reason::BindFailed);
            cause.detail = Text::new(why);
            self.out.observe(Observation::Trouble(cause));
        } else if again {
            self.unbound();
        }
    }

    /// The control path was lost while the daemon served: it is bound again as soon as it serves.
    pub(super) fn unbound(&mut self) {
        match &mut self.state.rebind {
            Rebind::Bound => {
                self.state.rebind = Rebind::Due(self.now);
                self.cue(Cue::RebindDue);
            }
            Rebind::Running { again, .. } => *again = true,
            Rebind::Due(_) => {}
        }
    }

    pub(super) fn progress(&mut self, sealed: u32, total: u32, revision: u64) {
        if self.state.phase == Phase::Sealing
            && let Some(owner) = self.state.owner
        {
            self.out.send_if_idle(
                owner.session,
                &Message::SealProgress {
                    sealed,
                    total,
                    revision,
                },
            );
        }
    }

    /// Answers the timer that is due. Each answer clears the timer or moves it on.
    pub(super) fn due(&mut self) {
        let now = self.now;
        let past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.answers_late() || self.confirm_due() {
            return;
        }
        if let Some(at) = self.state.sessions.iter().position(
            |session| matches!(session, Session::Greeting { until, .. } if past(Some(*until))),
        ) {
            self.turn_away(at);
        } else if past(self.state.owner_due()) {
            self.owner_late();
        } else if past(self.state.op_limit) {
            if self.state.phase == Phase::Undraining {
                self.state.straggler = self.state.op;
            }
            // A release that is late may still happen, and its end is what is waited for next.
            if self.state.phase != Phase::Releasing {
                self.state.op = None;
            }
            self.state.op_limit = None;
            self.trouble(Reason::HookStuck, self.state.phase.name());
            if self.state.phase == Phase::Rebinding {
                self.state.rebind = Rebind::Due(self.now.after(self.config.host_retry));
            }
            self.cue(Cue::HookLate);
        } else if past(self.state.retry) {
            self.state.retry = None;
            self.cue(Cue::RetryDue);
        } else if past(self.state.beat) {
            self.state.beat = Some(self.now.after(self.config.heartbeat));
            if let Some(owner) = self.state.owner {
                self.heartbeat(owner.session);
            }
        } else {
            match self.state.rebind {
                Rebind::Due(_) => {
                    self.cue(Cue::RebindDue);
                }
                Rebind::Running { .. } => {
                    self.state.rebind = Rebind::Due(self.now.after(self.config.host_retry));
                }
                Rebind::Bound => {}
            }
        }
    }

    /// The owner of the handoff is silent, or has let its deadline pass.
    fn owner_late(&mut self) {
        let past = |at: Option<Instant>| at.is_some_and(|at| at <= self.now);
        let Some(owner) = self.state.owner else {
            return;
        };
        if past(owner.silent_at) || past(owner.alive_until) {
            self.trouble(Reason::SupervisorSilent, "");
            if !self.cue(Cue::OwnerSilent) {
                self.state.owner = None;
            }
            return;
        }
        if let Some(owner) = &mut self.state.owner {
            owner.check_at = None;
        }
        self.cue(Cue::DeadlinePassed);
    }

    /// Ends a session that has not acknowledged in time.
    fn turn_away(&mut self, at: usize) {
        if let Some(session) = self.state.sessions.get_mut(at) {
            *session = Session::Vacant;
        }
        self.out.observe_lost(at, Loss::Silent);
        self.out.close(at);
    }

    pub(super) fn arm_patience(&mut self) {
        let limit = match self.state.phase {
            Phase::Undraining => self.config.cancel_grace,
            Phase::Unreleasing => self.config.host_limit,
            _ => self.config.patience,
        };
        self.state.op_limit = Some(self.now.after(limit));
    }
}

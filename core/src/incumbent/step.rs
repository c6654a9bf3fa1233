//! What the rows of the incumbent's table mean.

use core::fmt::Write;
use core::time::Duration;

use super::{
    Act, Cue, Incumbent, IncumbentCall, IncumbentConfig, IncumbentOutcome, IncumbentState, Owner,
    Phase, Rebind, Session, Trial,
};
use crate::cause::{Cause, Reason};
use crate::machine::{Event, Observation, Out, Room};
use crate::op::Report;
use crate::table;
use crate::text::Text;
use crate::time::Instant;
use crate::wire::Message;

impl<const L: usize> IncumbentState<L> {
    pub(super) fn owns(&self, at: usize) -> bool {
        self.owner.is_some_and(|owner| owner.session == at)
    }

    /// When the owner's silence, or its deadline, is something to act on.
    pub(super) fn owner_due(&self) -> Option<Instant> {
        let owner = self.owner?;
        let due = [owner.silent_at, owner.alive_until, owner.check_at];
        due.into_iter().flatten().min()
    }

    /// Whether one of the daemon's hooks runs, so that heartbeats are ours to send.
    pub(super) const fn in_hook(&self) -> bool {
        matches!(
            self.phase,
            Phase::Waiting | Phase::Draining | Phase::Sealing | Phase::Releasing
        )
    }
}

pub(super) struct Step<'s, 'm, B, const L: usize> {
    pub(super) config: &'s IncumbentConfig,
    pub(super) state: &'s mut IncumbentState<L>,
    pub(super) now: Instant,
    pub(super) event: Event<'s>,
    pub(super) out: &'s mut Out<'m, Incumbent, B, L>,
}

impl<B: Room, const L: usize> Step<'_, '_, B, L> {
    pub(super) fn start(&mut self) {
        self.out.observe(Observation::Phase(self.state.phase));
        self.state.started = self.now;
        self.state.generation = self.config.generation;
        if self.config.on_probation {
            self.state.trial = Trial::On;
        }
        if !self.config.bound {
            self.unbound();
        }
    }

    /// Runs the row for `cue`, if there is one.
    pub(super) fn cue(&mut self, cue: Cue) -> bool {
        let Some(row) = table::find(IncumbentConfig::table(self.config), &self.state.phase, &cue)
        else {
            return false;
        };
        #[cfg(feature = "trace")]
        super::TAKEN.mark(super::INCUMBENT, row);
        if let Some(to) = row.to {
            self.state.phase = to;
            self.state.retry = None;
            self.state.beat = None;
            self.out.observe(Observation::Phase(to));
        }
        for act in row.act {
            self.act(*act);
        }
        true
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::TakeOwner => self.take_owner(),
            Act::Disown => {
                self.state.taken_over = false;
                self.state.former = None;
                if let Some(owner) = self.state.owner.take()
                    && let Some(Session::Acknowledged { given_up, .. }) =
                        self.state.sessions.get_mut(owner.session)
                {
                    *given_up = true;
                    self.state.former = Some(owner.session);
                }
            }
            Act::ArmBeat => self.state.beat = Some(self.now.after(self.config.heartbeat)),
            Act::StartDrain => {
                let until = self.state.owner.map_or(self.now, |owner| owner.drain_until);
                self.start_hook(IncumbentCall::Drain(until));
            }
            Act::StartSeal => {
                if let Some(owner) = &mut self.state.owner {
                    owner.silent_at = Some(owner.deadline.after(self.config.wire_slack));
                }
                let until = self.state.owner.map_or(self.now, |owner| owner.deadline);
                self.start_hook(IncumbentCall::Seal(until));
            }
            Act::CancelHook => {
                if let Some(op) = self.state.op {
                    self.out.cancel(op);
                }
            }
            // Heartbeats go on as in the hook before: the supervisor still waits for the same answer.
            Act::StartRelease => {
                self.start_hook(IncumbentCall::ReleaseLock);
                self.state.op_limit = Some(self.now.after(self.config.host_limit));
            }
            Act::StartLock => self.start_op(IncumbentCall::TryLock, self.config.host_limit),
            Act::StartInspect => self.start_op(IncumbentCall::InspectPath, self.config.host_limit),
            Act::StartResume => self.start_op(IncumbentCall::Resume, self.config.patience),
            Act::StartBind => self.start_bind(),
            Act::TellDrained => {
                if let Event::Completed(_, Report::Drained(report)) = self.event {
                    let accept_closed = report.accept_closed;
                    let open_connections = report.open_connections;
                    self.tell(&Message::Drained {
                        open_connections,
                        accept_closed,
                    });
                    self.owners_turn();
                }
            }
            // Staged where the cue was told apart, since only there it is known whether it fits.
            Act::StageSeal => {}
            Act::ReleaseSeal => {
                if let Some(owner) = self.state.owner {
                    self.out.release(owner.session);
                    self.owners_turn();
                    self.arm_check();
                }
            }
            Act::Unstage => {
                if let Some(owner) = self.state.owner {
                    self.out.unstage(owner.session);
                }
            }
            Act::TellSealFailed => {
                let error = self.words();
                if let Some(Owner { id, .. }) = self.state.owner {
                    let error = error.as_str();
                    self.tell(&Message::SealFailed {
                        id,
                        error,
                        partial_state: "",
                    });
                }
            }
            Act::AbortOwner => self.abort_owner(),
            Act::ArmPatience => self.arm_patience(),
            Act::ArmCheck => {
                let next = self.now.after(self.config.dead_peer);
                if let Some(owner) = &mut self.state.owner {
                    owner.check_at = Some(next);
                }
            }
            Act::ArmRetry => {
                let pause = match self.state.phase {
                    Phase::Stumbling => self.config.host_retry,
                    _ => self.config.lock_retry,
                };
                self.state.retry = Some(self.now.after(pause));
            }
            Act::Leave => {
                if let Some(owner) = self.state.owner {
                    self.out.finish(IncumbentOutcome::Committed(owner.id));
                }
            }
            Act::LeaveSuperseded => self.out.finish(IncumbentOutcome::Superseded),
            Act::FailStop => {
                let cause = self.cause();
                self.out.finish(IncumbentOutcome::Failed(cause));
            }
        }
    }

    fn take_owner(&mut self) {
        let Event::Message(session, message, _) = self.event else {
            return;
        };
        let Message::PrepareHandoff {
            id,
            deadline_ms,
            drain_grace_ms,
            ..
        } = *message
        else {
            return;
        };
        let announced = Duration::from_millis(deadline_ms);
        let deadline = self.now.after(announced.min(self.config.longest_deadline));
        let drain_until = deadline.min(self.now.after(Duration::from_millis(drain_grace_ms)));
        self.state.owner = Some(Owner {
            session,
            id,
            deadline,
            drain_until,
            silent_at: Some(deadline.after(self.config.wire_slack)),
            alive_until: None,
            check_at: None,
        });
        self.owner_lives(session);
    }

    /// Something was heard on this session. If its supervisor owns the handoff and speaks version 2, it
    /// sends heartbeats throughout, and is dead when it does not.
    pub(super) fn owner_lives(&mut self, session: usize) {
        let heartbeats = self.out.version(session).is_some_and(|spoken| spoken >= 2);
        let turn = self.config.dead_peer.saturating_add(self.config.wire_slack);
        if let Some(owner) = &mut self.state.owner
            && owner.session == session
            && heartbeats
        {
            owner.alive_until = Some(self.now.after(turn));
        }
    }

    fn abort_owner(&mut self) {
        let reason = self.words();
        if let Some(Owner { id, .. }) = self.state.owner {
            self.tell(&Message::Abort {
                id,
                reason: reason.as_str(),
            });
        }
    }

    /// The supervisor has to act now, so its silence is short.
    fn owners_turn(&mut self) {
        let turn = self.config.dead_peer.saturating_add(self.config.wire_slack);
        let until = self.now.after(turn);
        if let Some(owner) = &mut self.state.owner {
            let end = owner.deadline.after(self.config.wire_slack);
            let heartbeats = owner.alive_until.is_some();
            owner.silent_at = Some(if heartbeats { end } else { end.min(until) });
        }
    }

    /// Sealed. A supervisor of version 2 may watch the successor for as long as it likes. But if nobody
    /// has taken the lock by the deadline, nobody will.
    fn arm_check(&mut self) {
        if let Some(owner) = &mut self.state.owner
            && owner.alive_until.is_some()
        {
            owner.check_at = owner.silent_at.take();
        }
    }

    fn start_hook(&mut self, call: IncumbentCall) {
        self.state.op = Some(self.out.start(call));
        self.state.beat = Some(self.now.after(self.config.heartbeat));
    }

    fn start_op(&mut self, call: IncumbentCall, limit: Duration) {
        self.state.op = Some(self.out.start(call));
        self.state.op_limit = Some(self.now.after(limit));
    }

    fn start_bind(&mut self) {
        let op = self.out.start(IncumbentCall::BindPath);
        let limit = self.now.after(self.config.host_limit);
        if self.state.phase == Phase::Rebinding {
            self.state.rebind = Rebind::Bound;
            self.state.op = Some(op);
            self.state.op_limit = Some(limit);
        } else {
            self.state.rebind = Rebind::Running {
                op,
                until: limit,
                again: false,
            };
        }
    }

    /// Sends to the owner.
    fn tell(&mut self, message: &Message<'_>) {
        if let Some(owner) = self.state.owner {
            self.out.send(owner.session, message);
        }
    }

    fn cause(&self) -> Cause {
        Cause {
            reason: self.state.cause,
            detail: self.out.detail(),
        }
    }

    fn words(&self) -> Text {
        let mut text = Text::default();
        let _ = write!(text, "{}", self.cause());
        text
    }

    pub(super) fn trouble(&mut self, reason: Reason, words: &str) {
        self.state.cause = reason;
        self.out.explain(words);
        let cause = self.cause();
        self.out.observe(Observation::Trouble(cause));
    }
}

//! What the rows of the successor's table mean.

use core::fmt::Write;
use core::time::Duration;

use super::{
    Act, Cue, Phase, Successor, SuccessorCall, SuccessorConfig, SuccessorOutcome, SuccessorState,
    Why,
};
use crate::cause::{Cause, Reason};
use crate::machine::{Loss, Observation, Out, Room};
use crate::op::{LockReport, OpId, Report, Verdict};
use crate::table;
use crate::text::Text;
use crate::time::Instant;
use crate::violation::Violation;
use crate::wire::{HandoffId, Message, Side};

/// The index of the one link.
pub(super) const PEER: usize = 0;

pub(super) struct Step<'s, 'm, B> {
    pub(super) config: &'s SuccessorConfig,
    pub(super) state: &'s mut SuccessorState,
    pub(super) now: Instant,
    pub(super) out: &'s mut Out<'m, Successor, B, 1>,
}

impl<B: Room> Step<'_, '_, B> {
    /// Runs the row for `cue`, if there is one.
    pub(super) fn cue(&mut self, cue: Cue) -> bool {
        let Some(row) = table::find(SuccessorConfig::table(self.config), &self.state.phase, &cue)
        else {
            return false;
        };
        #[cfg(feature = "trace")]
        super::TAKEN.mark(super::SUCCESSOR, row);
        if let Some(to) = row.to {
            self.state.phase = to;
            self.state.timer = None;
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
            Act::StartStage => self.start(SuccessorCall::StagePath, self.config.host_limit),
            Act::StartLock => self.start(SuccessorCall::TryLock, self.config.host_limit),
            Act::StartPublish => self.start(SuccessorCall::PublishPath, self.config.host_limit),
            Act::StartWarmUp => {
                self.start(SuccessorCall::WarmUp, self.config.warmup);
                if self.speaks_v2() {
                    self.state.beat = Some(self.now.after(self.config.heartbeat));
                }
            }
            Act::SendStandby => {
                if let Some(id) = self.state.id
                    && self.speaks_v2()
                {
                    self.out.send(PEER, &Message::Standby { id });
                }
            }
            Act::StartServe => {
                let SuccessorState {
                    generation,
                    published,
                    ..
                } = *self.state;
                self.out.start(SuccessorCall::Serve(generation, published));
            }
            Act::StartOpen => {
                self.start(SuccessorCall::Open, self.config.patience);
                // Before HelloAck (`C3`) there is no version for it to speak.
                if self.out.version(PEER).is_some() {
                    self.state.beat = Some(self.now.after(self.config.heartbeat));
                }
            }
            Act::CancelHook => {
                if let Some(op) = self.state.op {
                    self.out.cancel(op);
                }
            }
            Act::SendHello => {
                let hello = self
                    .config
                    .identity
                    .hello(Side::Successor, self.config.versions);
                self.out.send(PEER, &hello);
            }
            // Sent where the cue was told apart, since only there it is known whether it fits.
            Act::SendReady => self.out.release(PEER),
            Act::AbortPeer => {
                if let Some(id) = self.state.id {
                    let mut reason: Text = Text::default();
                    let _ = write!(reason, "{}", self.cause());
                    self.out.send(
                        PEER,
                        &Message::Abort {
                            id,
                            reason: reason.as_str(),
                        },
                    );
                }
            }
            Act::ArmHello => self.arm(self.config.hello, Why::HelloAck),
            Act::ArmBegin => self.arm(self.config.begin, Why::Begin),
            Act::ArmGrace => self.state.grace = self.now.after(self.config.lock_grace),
            Act::ArmRetry => self.arm(self.config.lock_retry, Why::Retry),
            Act::ArmWrite => {
                self.arm(self.config.wire_slack, Why::Write);
                self.written();
            }
            Act::Settle => self.settle(),
            Act::Fail => {
                let cause = self.cause();
                self.out.finish(SuccessorOutcome::Failed(cause));
            }
        }
    }

    fn settle(&mut self) {
        let SuccessorState {
            generation,
            published,
            committed,
            ..
        } = *self.state;
        let verdict = if committed {
            Verdict::Committed
        } else {
            Verdict::Orphaned
        };
        self.out.finish(SuccessorOutcome::Serving {
            generation,
            published,
            verdict,
        });
    }

    fn speaks_v2(&self) -> bool {
        self.out.version(PEER).is_some_and(|version| version >= 2)
    }

    fn start(&mut self, call: SuccessorCall, limit: Duration) {
        self.state.op = Some(self.out.start(call));
        self.arm(limit, Why::Operation);
    }

    fn arm(&mut self, limit: Duration, why: Why) {
        self.state.timer = Some((self.now.after(limit), why));
    }

    fn cause(&self) -> Cause {
        Cause {
            reason: self.state.cause,
            detail: self.out.detail(),
        }
    }

    fn trouble(&mut self, reason: Reason, words: &str) {
        self.state.cause = reason;
        self.out.explain(words);
        let cause = self.cause();
        self.out.observe(Observation::Trouble(cause));
    }

    pub(super) fn written(&mut self) {
        if self.out.is_flushed(PEER) {
            self.cue(Cue::Written);
        }
    }

    pub(super) fn lost(&mut self, loss: Loss) {
        if matches!(
            self.state.phase,
            Phase::Staging | Phase::Greeting | Phase::Warming | Phase::Standing
        ) {
            let mut words: Text = Text::default();
            let _ = write!(words, "{loss}");
            self.trouble(Reason::SessionLost, words.as_str());
        }
        self.cue(Cue::Lost);
    }

    pub(super) fn message(&mut self, message: &Message<'_>) -> Result<(), Violation> {
        let allowed = match (*message, self.state.id) {
            (Message::Heartbeat { .. }, _) => true,
            (Message::HelloAck { version, id }, None) => self.acknowledged(version, id)?,
            (message, Some(expected)) => {
                if let Some(found) = message.id().filter(|found| *found != expected) {
                    return Err(Violation::WrongId { expected, found });
                }
                match message {
                    // Version 2 waits for Standby.
                    Message::Begin { .. } => {
                        let early = self.state.phase == Phase::Warming && self.speaks_v2();
                        !early && self.cue(Cue::Begin)
                    }
                    Message::Commit { .. } if self.speaks_v2() => {
                        let awaited = matches!(
                            self.state.phase,
                            Phase::Announcing | Phase::Publishing | Phase::Probation
                        );
                        self.state.committed |= awaited;
                        awaited && self.cue(Cue::Commit)
                    }
                    Message::Abort { reason, .. } => {
                        if self.state.phase != Phase::Parting {
                            self.trouble(Reason::Aborted, reason);
                        }
                        self.cue(Cue::Abort)
                    }
                    _ => false,
                }
            }
            _ => false,
        };
        if allowed {
            return Ok(());
        }
        Err(Violation::Unexpected {
            kind: message.kind(),
            state: self.state.phase.name(),
        })
    }

    fn acknowledged(&mut self, version: u16, id: HandoffId) -> Result<bool, Violation> {
        self.config.versions.admit(version)?;
        self.out.negotiated(PEER, version);
        self.state.id = Some(id);
        Ok(self.cue(Cue::Acknowledged))
    }

    pub(super) fn completed(&mut self, op: OpId, report: &Report<'_>) {
        // An operation that nobody waits for any more has ended: nothing to do.
        if self.state.op != Some(op) {
            return;
        }
        self.state.op = None;
        let cue = match *report {
            Report::Failed(why) => self.failed(why),
            Report::Done => match self.state.phase {
                Phase::Publishing => self.published(true),
                Phase::Warming => Cue::WarmUpDone,
                _ => Cue::StageDone,
            },
            Report::Lock(LockReport::Taken { generation }) => {
                self.state.generation = generation;
                Cue::LockFree
            }
            Report::Lock(LockReport::Held) => self.held(Reason::LockHeld, ""),
            Report::Opened(open) => {
                let ready = self.state.id.map(|id| {
                    self.out.stage(
                        PEER,
                        &Message::Ready {
                            id,
                            listening_on: open.listening_on,
                            healthz_ok: open.healthy,
                            revisions: open.revisions,
                        },
                    )
                });
                let alone = self.out.is_lost(PEER);
                if !open.healthy {
                    self.trouble(Reason::Unhealthy, "");
                    Cue::OpenUnhealthy
                } else if ready == Some(false) && !alone {
                    self.trouble(Reason::ReportTooLarge, "");
                    Cue::OpenTooLarge
                } else {
                    Cue::OpenDone
                }
            }
            _ => return,
        };
        self.cue(cue);
    }

    fn failed(&mut self, why: &str) -> Cue {
        match self.state.phase {
            Phase::Staging | Phase::StagingAlone => {
                self.trouble(Reason::BindFailed, why);
                Cue::StageFailed
            }
            Phase::Opening => {
                self.trouble(Reason::OpenFailed, why);
                Cue::OpenFailed
            }
            Phase::Warming => {
                self.trouble(Reason::WarmUpFailed, why);
                Cue::WarmUpFailed
            }
            Phase::Publishing => {
                self.trouble(Reason::BindFailed, why);
                self.published(false)
            }
            _ => self.held(Reason::LockFailed, why),
        }
    }

    /// The control socket is in place, or cannot be. Is there anything to wait for? With version 1 it is
    /// the end of the session: until then the supervisor may still change its mind.
    fn published(&mut self, published: bool) -> Cue {
        self.state.published = published;
        if self.state.committed || self.out.is_lost(PEER) {
            Cue::PublishSettled
        } else {
            Cue::PublishDone
        }
    }

    /// The lock was not to be had: once more, or never?
    fn held(&mut self, reason: Reason, why: &str) -> Cue {
        if self.now < self.state.grace {
            return Cue::LockHeld;
        }
        self.trouble(reason, why);
        Cue::LockSpent
    }

    /// Answers the timer that is due. Each answer clears the timer or moves it on.
    pub(super) fn due(&mut self) {
        match self.state.timer {
            Some((at, why)) if at <= self.now => {
                self.state.timer = None;
                self.late(why);
            }
            _ => {
                self.state.beat = Some(self.now.after(self.config.heartbeat));
                self.out.send_if_idle(
                    PEER,
                    &Message::Heartbeat {
                        ts_ms: self.now.as_millis(),
                    },
                );
            }
        }
    }

    fn late(&mut self, why: Why) {
        let cue = match why {
            Why::HelloAck => Cue::HelloLate,
            Why::Begin => Cue::BeginLate,
            Why::Retry => Cue::RetryDue,
            Why::Write => Cue::WriteLate,
            Why::Operation | Why::Heartbeat => {
                self.state.op = None;
                match self.state.phase {
                    Phase::Opening => {
                        self.trouble(Reason::HookStuck, "open");
                        Cue::OpenLate
                    }
                    Phase::Warming => {
                        self.trouble(Reason::HookStuck, "warm-up");
                        Cue::WarmUpLate
                    }
                    _ => self.failed("the operation did not end"),
                }
            }
        };
        if matches!(why, Why::HelloAck | Why::Begin) {
            self.trouble(Reason::SupervisorSilent, "");
        }
        self.cue(cue);
    }
}

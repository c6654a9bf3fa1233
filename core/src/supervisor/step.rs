//! What the rows of the supervisor's table mean.

use core::fmt::Write;
use core::time::Duration;

use super::{
    Act, Cue, Phase, Question, Supervisor, SupervisorCall, SupervisorConfig, SupervisorOutcome,
    SupervisorState, Task, Why,
};
use crate::cause::{Cause, Reason};
use crate::journal::{Entry, Stage};
use crate::machine::{Observation, Out, Room};
use crate::table;
use crate::text::Text;
use crate::time::Instant;
use crate::wire::{HandoffId, Message};

/// The index of the incumbent's link.
pub(super) const INCUMBENT: usize = 0;
/// The index of the successor's link.
pub(super) const SUCCESSOR: usize = 1;

pub(super) struct Step<'s, 'm, B> {
    pub(super) config: &'s SupervisorConfig,
    pub(super) state: &'s mut SupervisorState,
    pub(super) now: Instant,
    pub(super) out: &'s mut Out<'m, Supervisor, B, 2>,
}

impl<B: Room> Step<'_, '_, B> {
    /// Runs the row for `cue`, if there is one.
    pub(super) fn cue(&mut self, cue: Cue) -> bool {
        let Some(row) = table::find(
            SupervisorConfig::table(self.config),
            &self.state.phase,
            &cue,
        ) else {
            return false;
        };
        #[cfg(feature = "trace")]
        super::TAKEN.mark(super::SUPERVISOR, row);
        if let Some(to) = row.to {
            self.state.phase = to;
            self.state.timer = None;
            self.state.alive_until = None;
            self.out.observe(Observation::Phase(to));
        }
        for act in row.act {
            self.act(*act);
        }
        true
    }

    #[expect(clippy::too_many_lines, reason = "a line or two for each act")]
    fn act(&mut self, act: Act) {
        let config = self.config;
        let id = self.id();
        match act {
            Act::StartConnect => self.start(SupervisorCall::Connect),
            Act::StartSpawn => self.start(SupervisorCall::Spawn),
            Act::StartProbe => self.start(SupervisorCall::Probe(self.entry_found())),
            Act::StartColdStart => self.start(SupervisorCall::ColdStart),
            Act::KillSuccessor => self.start(SupervisorCall::Kill(self.state.successor)),
            Act::KillIncumbent => self.start(SupervisorCall::Kill(self.state.incumbent)),
            Act::AskKill => {
                let successor = self.entry_found().map(|entry| entry.successor);
                self.start(SupervisorCall::Kill(successor.unwrap_or_default()));
            }
            Act::JournalPrepared => {
                self.start(SupervisorCall::WriteJournal(self.entry(Stage::Prepared)));
            }
            Act::JournalBegun => {
                let call = SupervisorCall::WriteJournal(self.entry(Stage::Begun));
                self.state.journal = Some(self.out.start(call));
            }
            Act::ClearJournal => {
                self.out.start(SupervisorCall::ClearJournal);
            }

            // The version was chosen where the Hello was judged.
            Act::AckIncumbent => {
                self.acknowledge(INCUMBENT);
                if self.speaks_v2(INCUMBENT) {
                    self.state.beat = Some(self.now.after(config.heartbeat));
                }
            }
            Act::AckSuccessor => self.acknowledge(SUCCESSOR),
            Act::SendPrepare => self.send_prepare(id),
            Act::SendSealRequest => self.out.send(INCUMBENT, &Message::SealRequest { id }),
            Act::SendBegin => {
                // A successor that takes over without a SealComplete gets a budget of its own.
                if self.state.incumbent_lost || self.state.deadline <= self.now {
                    self.set_deadline();
                }
                self.state.stage = Some(Stage::Begun);
                self.out.send(SUCCESSOR, &Message::Begin { id });
            }
            Act::SendCommit => self.out.send(INCUMBENT, &Message::Commit { id }),
            Act::TellSuccessor => {
                if self.speaks_v2(SUCCESSOR) {
                    self.out.send(SUCCESSOR, &Message::Commit { id });
                }
            }
            Act::SendQuestion => {
                if let Task::Ask(_, question) = config.task {
                    let message = match question {
                        Question::Listeners => Message::ListenersRequest,
                        Question::Status => Message::StatusRequest,
                    };
                    self.out.send(INCUMBENT, &message);
                }
            }
            Act::SendAbort => {
                self.send_abort(id);
                // Once is enough.
                self.state.stage = None;
            }
            Act::SendUndo => match self.state.stage {
                None => {}
                Some(Stage::Prepared) => self.send_abort(id),
                Some(Stage::Begun) => {
                    self.out.send(INCUMBENT, &Message::ResumeAfterAbort { id });
                }
            },
            Act::CloseIncumbent => {
                self.state.beat = None;
                self.out.close(INCUMBENT);
            }
            Act::StartAdopt => self.start(SupervisorCall::AdoptListeners(self.state.handles)),
            Act::StartProbation => {
                let until = self.now.after(config.probation);
                self.start(SupervisorCall::WatchProbation(self.state.successor, until));
                let limit = config.probation.saturating_add(config.host_limit);
                self.arm(limit, Why::Operation);
            }
            Act::CancelProbation => {
                if let Some(op) = self.state.op.take() {
                    self.out.cancel(op);
                }
            }

            Act::ArmMeet | Act::ArmWelcome => self.arm(config.hello, Why::Hello),
            Act::ArmAnswer => self.arm(config.hello, Why::Answer),
            Act::ArmWarmUp => {
                self.arm(
                    config.warmup.saturating_add(config.wire_slack),
                    Why::Standby,
                );
                self.expect_life();
            }
            // A successor of version 2 closes the link when it has taken Commit in.
            Act::ArmTold => {
                if self.speaks_v2(SUCCESSOR) && !self.out.is_lost(SUCCESSOR) {
                    self.arm(config.wire_slack, Why::Write);
                } else {
                    self.cue(Cue::Told);
                }
            }
            Act::ArmCommit => self.arm(config.commit_delay, Why::Commit),
            Act::ArmRetry => self.arm(config.connect_retry, Why::Retry),
            Act::ArmWrite => {
                self.arm(config.wire_slack, Why::Write);
                self.written();
            }
            Act::ArmDrain => {
                self.set_deadline();
                let grace = config.drain_grace.min(config.deadline);
                self.arm(grace.saturating_add(config.wire_slack), Why::Drained);
                self.expect_life();
            }
            Act::ArmSeal => {
                self.state.timer = Some((self.state.deadline, Why::SealComplete));
                self.expect_life();
            }
            Act::ArmReady => {
                self.state.timer = Some((self.state.deadline, Why::Ready));
                self.expect_life();
            }
            Act::Extend => {
                let recovering = matches!(config.task, Task::Recover(_));
                let patience = match self.state.phase {
                    Phase::Calling | Phase::Evicting if recovering => config.settle,
                    _ => config.connect,
                };
                self.state.patience = self.now.after(patience);
            }

            Act::Succeed => {
                let (successor, shortfall) = (self.state.successor, self.state.shortfall);
                self.out.finish(SupervisorOutcome::Committed {
                    id,
                    successor,
                    shortfall,
                });
            }
            Act::RolledBack => {
                let cause = self.cause().unwrap_or(Reason::SuccessorLost.into());
                self.out.finish(SupervisorOutcome::RolledBack { id, cause });
            }
            Act::Started => {
                let (process, cause) = (self.state.incumbent, self.cause());
                self.out
                    .finish(SupervisorOutcome::ColdStarted { process, cause });
            }
            Act::Found => {
                let pid = self.state.answered.unwrap_or_default();
                self.out.finish(SupervisorOutcome::Found { pid });
            }
            Act::Answered => {
                let pid = self.state.answered.unwrap_or_default();
                self.out.finish(SupervisorOutcome::Answered { pid });
            }
            Act::Fail => {
                let cause = self.cause().unwrap_or(Reason::NoIncumbent.into());
                self.out.finish(SupervisorOutcome::Failed(cause));
            }
        }
    }

    pub(super) fn id(&self) -> HandoffId {
        match self.config.task {
            Task::Handoff(id) | Task::Ask(id, _) => id,
            Task::Recover(entry) => entry.map_or(HandoffId::from_bytes([0; 16]), |entry| entry.id),
        }
    }

    pub(super) fn entry_found(&self) -> Option<Entry> {
        match self.config.task {
            Task::Handoff(_) | Task::Ask(..) => None,
            Task::Recover(entry) => entry,
        }
    }

    fn entry(&self, stage: Stage) -> Entry {
        let SupervisorState {
            incumbent,
            successor,
            ..
        } = *self.state;
        Entry {
            id: self.id(),
            stage,
            incumbent,
            successor,
        }
    }

    fn acknowledge(&mut self, at: usize) {
        if let Some(version) = self.out.version(at) {
            let id = self.id();
            self.out.send(at, &Message::HelloAck { version, id });
        }
    }

    /// Whether the link speaks version 2.
    pub(super) fn speaks_v2(&self, at: usize) -> bool {
        self.out.version(at).is_some_and(|version| version >= 2)
    }

    fn send_prepare(&mut self, id: HandoffId) {
        self.state.stage = Some(Stage::Prepared);
        let message = Message::PrepareHandoff {
            id,
            successor_pid: self.state.successor.pid,
            deadline_ms: millis(self.config.deadline),
            drain_grace_ms: millis(self.config.drain_grace),
        };
        self.out.send(INCUMBENT, &message);
    }

    fn send_abort(&mut self, id: HandoffId) {
        let mut reason: Text = Text::default();
        if let Some(cause) = self.cause() {
            let _ = write!(reason, "{cause}");
        }
        self.out.send(
            INCUMBENT,
            &Message::Abort {
                id,
                reason: reason.as_str(),
            },
        );
    }

    fn start(&mut self, call: SupervisorCall) {
        self.state.op = Some(self.out.start(call));
        self.arm(self.config.host_limit, Why::Operation);
    }

    fn arm(&mut self, limit: Duration, why: Why) {
        self.state.timer = Some((self.now.after(limit), why));
    }

    fn set_deadline(&mut self) {
        let limit = self.config.deadline.saturating_add(self.config.wire_slack);
        self.state.deadline = self.now.after(limit);
    }

    /// The peer that the phase depends on must be heard from within the dead-peer time.
    pub(super) fn expect_life(&mut self) {
        self.state.alive_until = Some(self.now.after(self.config.dead_peer));
    }

    pub(super) fn cause(&self) -> Option<Cause> {
        self.state.cause.map(|reason| Cause {
            reason,
            detail: self.out.detail(),
        })
    }

    /// Keeps why the handoff does not go the planned way; once it is being undone, the reason stands.
    pub(super) fn trouble(&mut self, reason: Reason, words: &str) {
        let undoing = matches!(
            self.state.phase,
            Phase::Killing | Phase::Undoing | Phase::Confirming | Phase::ConfirmPause
        );
        if undoing && self.state.cause.is_some() {
            let detail = Text::new(words);
            return self
                .out
                .observe(Observation::Trouble(Cause { reason, detail }));
        }
        self.state.cause = Some(reason);
        self.out.explain(words);
        if let Some(cause) = self.cause() {
            self.out.observe(Observation::Trouble(cause));
        }
    }

    pub(super) fn written(&mut self) {
        if self.out.is_flushed(INCUMBENT)
            && matches!(self.state.phase, Phase::Committing | Phase::Undoing)
        {
            self.cue(Cue::Written);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

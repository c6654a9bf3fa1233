//! What the peers say to the supervisor, and what it means that one is lost: which cue each is.

use core::fmt::Write;

use super::step::{INCUMBENT, SUCCESSOR, Step};
use super::{Cue, Phase, Question, Task};
use crate::cause::Reason;
use crate::handles::Handles;
use crate::machine::{Loss, Room};
use crate::op::Process;
use crate::text::Text;
use crate::violation::Violation;
use crate::wire::{Hello, Message, Side};

impl<B: Room> Step<'_, '_, B> {
    pub(super) fn heard(&mut self, at: usize) {
        let awaited = match self.state.phase {
            Phase::Draining | Phase::Sealing => INCUMBENT,
            Phase::Warming | Phase::Opening => SUCCESSOR,
            _ => return,
        };
        if at == awaited {
            self.expect_life();
        }
    }

    pub(super) fn lost(&mut self, at: usize, loss: Loss) {
        let mut words: Text = Text::default();
        let _ = write!(words, "{loss}");
        let cue = if at == INCUMBENT {
            let spent = self.state.phase == Phase::Meeting && self.now >= self.state.patience;
            self.state.beat = None;
            if !matches!(
                self.state.phase,
                Phase::Meeting | Phase::Asking | Phase::Greeting
            ) {
                self.state.incumbent_lost = true;
            }
            // One whose session we ended has not left by that.
            let ended_by_us =
                self.state.phase == Phase::Committing && !matches!(loss, Loss::Closed);
            if ended_by_us {
                Cue::IncumbentUnfit
            } else if spent {
                Cue::IncumbentLostSpent
            } else {
                Cue::IncumbentLost
            }
        } else {
            match self.state.phase {
                Phase::Informing => Cue::Told,
                Phase::Probation if !self.speaks_v2(SUCCESSOR) => Cue::SuccessorLeft,
                _ => Cue::SuccessorLost,
            }
        };
        match (self.state.phase, cue) {
            (Phase::Committing | Phase::Informing | Phase::Undoing | Phase::Adopting, _)
            | (_, Cue::SuccessorLeft) => {}
            (Phase::Meeting | Phase::Asking | Phase::Greeting, _) => {
                let unfit = matches!(loss, Loss::Violation(_));
                let reason = if unfit {
                    Reason::IncumbentUnfit
                } else {
                    Reason::NoIncumbent
                };
                self.trouble(reason, words.as_str());
                if unfit {
                    self.cue(Cue::IncumbentUnfit);
                    return;
                }
            }
            (_, Cue::IncumbentLost) => self.trouble(Reason::IncumbentLost, words.as_str()),
            _ => self.trouble(Reason::SuccessorLost, words.as_str()),
        }
        self.cue(cue);
    }

    pub(super) fn message(
        &mut self,
        at: usize,
        message: &Message<'_>,
        handles: Handles,
    ) -> Result<(), Violation> {
        let expected = self.id();
        if let Some(found) = message.id().filter(|found| *found != expected) {
            return Err(Violation::WrongId { expected, found });
        }
        let allowed = match *message {
            Message::Heartbeat { .. } => true,
            Message::Hello(hello) => self.hello(at, &hello)?,
            Message::Drained { .. } if at == INCUMBENT => self.cue(Cue::Drained),
            Message::SealProgress { .. } => at == INCUMBENT,
            Message::SealComplete { .. } if at == INCUMBENT => self.cue(Cue::SealComplete),
            Message::SealFailed { error, .. } if at == INCUMBENT => {
                self.trouble(Reason::SealFailed, error);
                self.cue(Cue::SealFailed)
            }
            Message::Abort { reason, .. } if at == INCUMBENT => {
                if matches!(
                    self.state.phase,
                    Phase::Draining | Phase::Sealing | Phase::Answering
                ) {
                    self.trouble(Reason::IncumbentRefused, reason);
                }
                self.cue(Cue::IncumbentAbort)
            }
            Message::Abort { reason, .. } => {
                if !matches!(self.state.phase, Phase::Committing | Phase::Informing) {
                    self.trouble(Reason::SuccessorFailed, reason);
                }
                self.cue(Cue::SuccessorAbort)
            }
            Message::Standby { .. } if at == SUCCESSOR => self.cue(Cue::Standby),
            Message::Ready { healthz_ok, .. } if at == SUCCESSOR => self.ready(healthz_ok),
            Message::Listeners { .. } if at == INCUMBENT => {
                self.state.handles = handles;
                self.asks(Question::Listeners) && self.cue(Cue::Listeners)
            }
            Message::Status { .. } if at == INCUMBENT => {
                self.asks(Question::Status) && self.cue(Cue::Status)
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

    fn ready(&mut self, healthy: bool) -> bool {
        if !healthy {
            self.trouble(Reason::Unhealthy, "");
            return self.cue(Cue::ReadyUnhealthy);
        }
        if self.state.incumbent_lost {
            return self.cue(Cue::ReadyAlone);
        }
        if self.config.probation.is_zero() {
            // One of version 1 may have changed the data already so that an incumbent could not read it.
            let both = self.speaks_v2(INCUMBENT) && self.speaks_v2(SUCCESSOR);
            let soon = both && !self.config.commit_delay.is_zero();
            return self.cue(if soon { Cue::ReadySoon } else { Cue::Ready });
        }
        if self.speaks_v2(INCUMBENT) {
            return self.cue(Cue::ReadyProbation);
        }
        if self.state.phase == Phase::Opening {
            self.state.shortfall.probation = true;
            self.out.report(Reason::NoProbation, "");
        }
        self.cue(Cue::Ready)
    }

    /// Whether this is what the machine is there to ask.
    fn asks(&self, question: Question) -> bool {
        matches!(self.config.task, Task::Ask(_, asked) if asked == question)
    }

    fn hello(&mut self, at: usize, hello: &Hello<'_>) -> Result<bool, Violation> {
        let (side, phases): (Side, &[Phase]) = match at {
            INCUMBENT => (
                Side::Incumbent,
                &[Phase::Meeting, Phase::Asking, Phase::Greeting],
            ),
            _ => (Side::Successor, &[Phase::Welcoming]),
        };
        if !phases.contains(&self.state.phase) {
            return Ok(false);
        }
        if hello.side != side {
            return Err(Violation::WrongSide(hello.side));
        }
        let version = self.config.versions.negotiate(hello.versions)?;
        if at == SUCCESSOR {
            let expected = self.state.successor.pid;
            if hello.pid != expected {
                return Err(Violation::WrongPid {
                    expected,
                    found: hello.pid,
                });
            }
            self.out.negotiated(SUCCESSOR, version);
            if version >= 2 {
                return Ok(self.cue(Cue::SuccessorHello));
            }
            self.state.shortfall.standby = true;
            self.out.report(Reason::NoStandby, "");
            return Ok(self.cue(Cue::SuccessorOld));
        }
        if self.state.phase == Phase::Greeting {
            self.state.answered = Some(hello.pid);
            self.out.negotiated(INCUMBENT, version);
            if version >= 2 {
                return Ok(self.cue(Cue::IncumbentHello));
            }
            self.trouble(Reason::NeedsVersion2, "");
            return Ok(self.cue(Cue::IncumbentOld));
        }
        if self.state.phase == Phase::Asking {
            self.state.answered = Some(hello.pid);
            return Ok(self.cue(Cue::IncumbentHello));
        }
        if self.config.retired == Some(hello.pid) {
            let spent = self.now >= self.state.patience;
            self.trouble(Reason::NoIncumbent, "the retired process still answers");
            return Ok(self.cue(if spent {
                Cue::IncumbentLostSpent
            } else {
                Cue::HelloRetired
            }));
        }
        if self.state.incumbent.pid != hello.pid {
            self.state.incumbent = Process {
                pid: hello.pid,
                start: 0,
            };
        }
        self.out.negotiated(INCUMBENT, version);
        Ok(self.cue(Cue::IncumbentHello))
    }
}

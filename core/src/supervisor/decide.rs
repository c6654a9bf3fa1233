//! What events mean to the supervisor: which cue each of them is.

use core::fmt::Write;

use super::step::{INCUMBENT, SUCCESSOR, Step};
use super::{Cue, Phase, Question, Task, Why};
use crate::cause::Reason;
use crate::handles::Handles;
use crate::machine::{Loss, Room};
use crate::op::{LinkReport, OpId, Process, Report, Scene};
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
            if spent {
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
            return self.cue(Cue::Ready);
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

    pub(super) fn completed(&mut self, op: OpId, report: &Report<'_>) {
        if self.state.journal == Some(op) {
            self.state.journal = None;
            if let Report::Failed(why) = *report {
                self.journal_failed(why);
            }
            return;
        }
        // An operation that nobody waits for any more has ended. A link it made is not wanted.
        if self.state.op != Some(op) {
            if let Report::Linked(LinkReport { link, .. }) = *report {
                self.out.discard(link);
            }
            return;
        }
        self.state.op = None;
        let cue = match *report {
            Report::Failed(why) => self.failed(why),
            Report::Done => match self.state.phase {
                Phase::Journaling => self.journaled(),
                Phase::Probation => Cue::ProbationPassed,
                Phase::Adopting => Cue::AdoptDone,
                Phase::KillingIncumbent => {
                    self.state.incumbent_lost = true;
                    Cue::KillAlone
                }
                _ if self.state.incumbent_lost => Cue::KillAlone,
                _ => Cue::KillDone,
            },
            Report::Linked(LinkReport { link, process }) => {
                if self.state.phase == Phase::Spawning {
                    self.out.open(SUCCESSOR, link);
                    self.state.successor = process;
                    Cue::SpawnDone
                } else {
                    self.out.open(INCUMBENT, link);
                    self.state.incumbent = process;
                    Cue::ConnectDone
                }
            }
            Report::Started(process) => {
                self.state.incumbent = process;
                Cue::ColdDone
            }
            Report::Scene(scene) => self.judge(scene),
            _ => return,
        };
        self.cue(cue);
    }

    const fn journaled(&self) -> Cue {
        if self.state.incumbent_lost {
            Cue::JournalAlone
        } else {
            Cue::JournalDone
        }
    }

    /// A journal that cannot be written is reported, and stops nothing.
    fn journal_failed(&mut self, why: &str) {
        self.out.report(Reason::JournalFailed, why);
    }

    fn failed(&mut self, why: &str) -> Cue {
        match self.state.phase {
            Phase::Journaling => {
                self.journal_failed(why);
                self.journaled()
            }
            Phase::Spawning => {
                self.trouble(Reason::SpawnFailed, why);
                if self.state.incumbent_lost {
                    Cue::SpawnAlone
                } else {
                    Cue::SpawnFailed
                }
            }
            Phase::Probation => {
                self.trouble(Reason::ProbationFailed, why);
                Cue::ProbationFailed
            }
            Phase::Adopting => {
                self.trouble(Reason::ListenersFailed, why);
                Cue::AdoptFailed
            }
            Phase::Reaching => {
                self.trouble(Reason::NoIncumbent, why);
                Cue::ConnectFailed
            }
            Phase::ColdStarting => {
                self.trouble(Reason::ColdStartFailed, why);
                Cue::ColdFailed
            }
            Phase::Killing | Phase::KillingIncumbent | Phase::Evicting => {
                self.out.report(Reason::KillFailed, why);
                if self.state.incumbent_lost {
                    Cue::KillAlone
                } else {
                    Cue::KillFailed
                }
            }
            // Nobody could be asked who lives, so nothing is known.
            Phase::Probing => self.judge(Scene::default()),
            Phase::Connecting | Phase::Confirming if self.now >= self.state.patience => {
                if self.state.phase == Phase::Connecting {
                    self.trouble(Reason::NoIncumbent, why);
                }
                Cue::ConnectSpent
            }
            _ => Cue::ConnectFailed,
        }
    }

    /// Has the scene settled (`C9`)?
    fn judge(&mut self, scene: Scene) -> Cue {
        let successor = self.entry_found().map(|entry| entry.successor.pid);
        let late = self.now >= self.state.patience;
        match self.state.answered.take() {
            Some(pid) if !scene.successor_alive || successor == Some(pid) => {
                self.state.answered = Some(pid);
                Cue::Settled
            }
            _ if scene.successor_alive && late => Cue::UnsettledLate,
            _ if scene.successor_alive => Cue::Unsettled,
            _ if !scene.incumbent_alive && scene.lock_free => Cue::Vacant,
            _ if late => {
                self.trouble(Reason::Unsettled, "");
                Cue::Occupied
            }
            _ => Cue::Unsettled,
        }
    }

    /// Answers the timer that is due. Each answer clears the timer or moves it on.
    pub(super) fn due(&mut self) {
        match self.state.timer {
            Some((at, why)) if at <= self.now => {
                self.state.timer = None;
                self.late(why);
            }
            _ if self.state.beat.is_some_and(|at| at <= self.now) => {
                self.state.beat = Some(self.now.after(self.config.heartbeat));
                let ts_ms = self.now.as_millis();
                self.out
                    .send_if_idle(INCUMBENT, &Message::Heartbeat { ts_ms });
            }
            _ => {
                self.state.alive_until = None;
                let at = if matches!(self.state.phase, Phase::Warming | Phase::Opening) {
                    SUCCESSOR
                } else {
                    INCUMBENT
                };
                self.out.observe_lost(at, Loss::Silent);
                self.out.close(at);
                self.lost(at, Loss::Silent);
            }
        }
    }

    fn late(&mut self, why: Why) {
        let cue = match why {
            Why::Hello => match self.state.phase {
                Phase::Welcoming => {
                    self.trouble(Reason::SuccessorLate, "no Hello");
                    Cue::SuccessorLate
                }
                Phase::Meeting if self.now >= self.state.patience => {
                    self.trouble(Reason::NoIncumbent, "no Hello");
                    Cue::IncumbentLostSpent
                }
                Phase::Greeting => {
                    self.trouble(Reason::NoIncumbent, "no Hello");
                    Cue::IncumbentLate
                }
                _ => Cue::IncumbentLate,
            },
            Why::Drained | Why::SealComplete => {
                let what = if why == Why::Drained { "drain" } else { "seal" };
                self.trouble(Reason::IncumbentStuck, what);
                if self.config.kill_stuck_incumbent {
                    Cue::IncumbentStuck
                } else {
                    Cue::IncumbentLate
                }
            }
            Why::Ready => {
                self.trouble(Reason::SuccessorLate, "no Ready");
                Cue::SuccessorLate
            }
            Why::Standby => {
                self.trouble(Reason::SuccessorLate, "no Standby");
                Cue::SuccessorLate
            }
            Why::Answer => {
                self.trouble(Reason::IncumbentStuck, "no answer");
                Cue::IncumbentLate
            }
            Why::Write => Cue::WriteLate,
            Why::Retry => Cue::RetryDue,
            Why::Operation | Why::Life | Why::Heartbeat => {
                self.state.op = None;
                self.failed("the operation did not end")
            }
        };
        self.cue(cue);
    }
}

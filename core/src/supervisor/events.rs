//! What happens to the supervisor elsewhere: operations end, and timers are due.

use super::step::{INCUMBENT, SUCCESSOR, Step};
use super::{Cue, Phase, Why};
use crate::cause::Reason;
use crate::machine::{Loss, Room};
use crate::op::{LinkReport, OpId, Report, Scene};
use crate::wire::Message;

impl<B: Room> Step<'_, '_, B> {
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
                    self.killed_incumbent()
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

    /// The incumbent is dead. Is the successor still there to take over?
    fn killed_incumbent(&self) -> Cue {
        if self.out.is_lost(SUCCESSOR) {
            Cue::KillBoth
        } else {
            Cue::KillAlone
        }
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
                if !self.state.incumbent_lost {
                    Cue::KillFailed
                } else if self.state.phase == Phase::KillingIncumbent {
                    self.killed_incumbent()
                } else {
                    Cue::KillAlone
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
            Why::Commit => Cue::CommitDue,
            Why::Operation | Why::Life | Why::Heartbeat => {
                self.state.op = None;
                self.failed("the operation did not end")
            }
        };
        self.cue(cue);
    }
}

//! Signals at a phase or at a moment, and an operator who wants the successor back.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use handoff_core::supervisor::Phase;
use handoff_std::Process;
use handoff_std::host::Signal;

use super::case::{Case, Fault, Place, Victim};
use super::play::{Play, RECOVERY};
use super::world::wait_until;

/// How long a hook takes that is the place of a fault, in milliseconds.
const SLOW: &str = "200";
/// The same of the committed hook, which is to be seen before the fault.
const COMMITTED: &str = "500";
/// The same when the next handoff is to begin meanwhile.
const STILL_COMMITTED: &str = "1900";
/// A probation that is the place of a fault, in milliseconds.
const PROBATION: &str = "250";
/// One of which the end is a moment.
const SHORT_PROBATION: &str = "60";
/// How long after a phase was entered its middle is.
const MIDDLE: Duration = Duration::from_millis(80);
/// How long a process is frozen that must not be taken for dead.
const HICCUP: Duration = Duration::from_millis(250);
/// How long a process is frozen that thaws again, and how long the others may take to come to terms with
/// a loss. Longer than the (scaled) time after which a silent peer counts as dead.
const FREEZE: Duration = Duration::from_millis(1500);

/// Begins a handoff in which there is something to be struck at this place.
fn order(place: Place) -> Vec<&'static str> {
    let mut order = vec!["handoff", "new"];
    let mut arguments = Vec::new();
    match place {
        Place::Entry(Phase::Warming) | Place::Middle(Phase::Warming) => {
            arguments.extend(["--warmup-ms", SLOW]);
        }
        Place::Entry(Phase::Probation | Phase::Committing | Phase::Informing)
        | Place::Middle(Phase::Probation) => order.extend(["--probation-ms", PROBATION]),
        Place::Moment(Phase::Probation, _) => order.extend(["--probation-ms", SHORT_PROBATION]),
        Place::Moment(..) => {}
        Place::Hook => arguments.extend(["--committed-delay-ms", COMMITTED]),
        _ => arguments.extend(["--open-delay-ms", SLOW]),
    }
    order.push("--");
    order.extend(arguments);
    order
}

/// Thaws a process after a while. Whether it is alive still is the protocol's business.
fn thaw(process: Process, after: Duration) -> JoinHandle<io::Result<bool>> {
    thread::spawn(move || {
        thread::sleep(after);
        process.kill(Signal::CONT)
    })
}

impl Case {
    /// What the daemon is told that is handed over in the row, if not the one that is started afresh
    /// will do.
    pub(super) fn first_handoff(&self) -> Option<Vec<&'static str>> {
        match self {
            // Its hooks are quick.
            Self::Fault(_, _, Place::Moment(..)) => Some(Vec::new()),
            _ if self.struck_at() == Some(Place::Waiting) => {
                Some(vec!["--committed-delay-ms", STILL_COMMITTED])
            }
            Self::Hook(hook) => hook.of_incumbent(),
            _ => None,
        }
    }
}

impl Play<'_> {
    /// Does what the row is about, up to the end of the handoff. Returns when the fault happened.
    pub(super) fn fault(&mut self) -> anyhow::Result<Instant> {
        match self.case {
            Case::Fault(fault, victim, Place::Moment(phase, moment)) => {
                self.strike_at(fault, victim, phase, moment)
            }
            Case::Fault(fault, victim, place) | Case::OldFault(_, fault, victim, place) => {
                self.strike(fault, victim, place)
            }
            Case::TwoKills(victims, place) => self.kill_two(victims, place),
            Case::KillBeside(fault, frozen, place) => self.kill_beside(fault, frozen, place),
            Case::Rollback(place) => self.roll_back(place),
            _ => self.trouble(),
        }
    }

    fn strike(&mut self, fault: Fault, victim: Victim, place: Place) -> anyhow::Result<Instant> {
        self.come_to(place)?;
        let process = self.process(victim)?;
        self.get_into(place)?;
        let at = Instant::now();
        let signal = match fault {
            Fault::Kill | Fault::KillUnattended => Signal::KILL,
            Fault::Hiccup | Fault::Freeze | Fault::FreezeForGood => Signal::STOP,
        };
        let frozen = match fault {
            Fault::Hiccup => HICCUP,
            _ => FREEZE,
        };
        ensure!(process.kill(signal)?, "the {victim} was dead already");
        match (fault, victim) {
            (Fault::Kill, Victim::Supervisor) => self.restart_supervisor()?,
            (Fault::KillUnattended, _) => {
                thread::sleep(FREEZE);
                self.await_write()?;
                self.restart_supervisor()?;
            }
            (Fault::FreezeForGood, _) => {
                thread::sleep(FREEZE);
                self.await_write()?;
                process.kill(Signal::KILL)?;
                self.restart_supervisor()?;
            }
            (Fault::Hiccup | Fault::Freeze, Victim::Supervisor) => {
                thread::sleep(frozen);
                process.kill(Signal::CONT)?;
                self.go_on(place)?;
            }
            (Fault::Hiccup | Fault::Freeze, _) => {
                let thaw = thaw(process, frozen);
                self.go_on(place)?;
                thaw.join().ok().context("the thaw failed")??;
            }
            (Fault::Kill, _) => {
                ensure!(process.wait_dead(RECOVERY), "the {victim} does not die");
                self.go_on(place)?;
            }
        }
        ensure!(
            fault != Fault::Hiccup || ["", "committed"].contains(&&*self.findings.outcome),
            "slow was taken for dead"
        );
        Ok(at)
    }

    fn kill_two(&mut self, victims: [Victim; 2], place: Place) -> anyhow::Result<Instant> {
        self.come_to(place)?;
        let [first, second] = victims;
        let processes = [self.process(first)?, self.process(second)?];
        self.get_into(place)?;
        let at = Instant::now();
        for process in processes {
            ensure!(process.kill(Signal::KILL)?, "{process:?} was dead already");
        }
        for process in processes {
            ensure!(process.wait_dead(RECOVERY), "{process:?} does not die");
        }
        if victims.contains(&Victim::Supervisor) {
            self.restart_supervisor()?;
        } else {
            self.go_on(place)?;
        }
        Ok(at)
    }

    /// Kills the supervisor while a daemon is frozen. The next supervisor finds it so.
    fn kill_beside(
        &mut self,
        fault: Fault,
        frozen: Victim,
        place: Place,
    ) -> anyhow::Result<Instant> {
        self.come_to(place)?;
        let process = self.process(frozen)?;
        self.get_into(place)?;
        let at = Instant::now();
        ensure!(process.kill(Signal::STOP)?, "the {frozen} was dead already");
        self.supervisor.process.kill(Signal::KILL)?;
        let thaw = (fault != Fault::FreezeForGood).then(|| thaw(process, FREEZE));
        self.restart_supervisor()?;
        self.settle()?;
        if let Some(thaw) = thaw {
            thaw.join().ok().context("the thaw failed")??;
        }
        Ok(at)
    }

    /// Strikes at a moment that nobody waits for: the supervisor goes on meanwhile.
    fn strike_at(
        &mut self,
        fault: Fault,
        victim: Victim,
        phase: Phase,
        moment: Duration,
    ) -> anyhow::Result<Instant> {
        self.supervisor
            .order(&order(Place::Moment(phase, moment)))?;
        self.supervisor.reach(phase)?;
        let entered = Instant::now();
        let process = self.process(victim)?;
        let at = Instant::now();
        // A probation does not wait for anybody to go on.
        let from = if phase == Phase::Probation {
            entered
        } else {
            at
        };
        let striking = thread::spawn(move || {
            thread::sleep((from + moment).saturating_duration_since(Instant::now()));
            // A process that has ended by then is not hit, and the handoff is one like others.
            if fault == Fault::Kill {
                return process.kill(Signal::KILL);
            }
            process.kill(Signal::STOP)?;
            thread::sleep(FREEZE);
            process.kill(Signal::CONT)
        });
        self.supervisor.go()?;
        let ended = self.supervisor.finish();
        striking.join().ok().context("the signal failed")??;
        if (fault, victim) == (Fault::Kill, Victim::Supervisor) {
            self.restart_supervisor()?;
        } else {
            self.note(&ended?);
        }
        Ok(at)
    }

    /// An operator asks for the successor to be sent back. During the probation it is; at any other
    /// time nothing happens.
    fn roll_back(&mut self, place: Place) -> anyhow::Result<Instant> {
        self.come_to(place)?;
        self.get_into(place)?;
        let at = Instant::now();
        let in_time = self.supervisor.roll_back()?;
        let on_probation = matches!(
            place,
            Place::Entry(Phase::Probation) | Place::Middle(Phase::Probation)
        );
        ensure!(
            in_time == on_probation,
            "the operator was told that it is {in_time}"
        );
        self.go_on(place)?;
        if on_probation {
            self.check_rolled_back()?;
        } else {
            let outcome = &*self.findings.outcome;
            ensure!(["", "committed"].contains(&outcome), "undone: {outcome}");
        }
        Ok(at)
    }

    /// The incumbent serves as before.
    pub(super) fn check_rolled_back(&self) -> anyhow::Result<()> {
        let outcome = &*self.findings.outcome;
        ensure!(
            outcome.starts_with("rolled back") || outcome.starts_with("refused"),
            "not rolled back, but {outcome}"
        );
        let server = self.world.server()?;
        ensure!(server == self.incumbent, "pid {} serves", server.pid);
        Ok(())
    }

    /// Begins a handoff and comes to where a phase is entered.
    fn come_to(&mut self, place: Place) -> anyhow::Result<()> {
        let mut order = order(place);
        if self.case.old() == Some(Victim::Successor) {
            order.push("--version-1");
        }
        match place {
            Place::Idle | Place::Moment(..) => Ok(()),
            Place::Waiting => {
                self.supervisor.order(&order)?;
                self.supervisor.reach(Phase::Draining)
            }
            Place::Entry(phase) | Place::Middle(phase) => {
                self.supervisor.order(&order)?;
                self.supervisor.reach(phase)
            }
            Place::Hook | Place::After => {
                let ended = self.supervisor.perform(&order)?;
                ensure!(ended.kind == "committed", "no handoff: {}", ended.text());
                Ok(())
            }
        }
    }

    /// Gets from where a phase is entered to the middle of it, if that is the place; or into the hook.
    fn get_into(&mut self, place: Place) -> anyhow::Result<()> {
        match place {
            Place::Middle(_) => {
                self.supervisor.go()?;
                thread::sleep(MIDDLE);
            }
            Place::Waiting => {
                self.supervisor.go()?;
                thread::sleep(MIDDLE);
                ensure!(!self.world.is_committed(), "the hook has ended already");
            }
            Place::Hook => {
                let hook = (self.process(Victim::Successor)?.pid, "committed".to_owned());
                let begun = wait_until(|| {
                    let hooks = self.world.hooks();
                    hooks.is_ok_and(|hooks| hooks.contains(&hook))
                });
                ensure!(begun, "the committed hook is not called");
            }
            _ => {}
        }
        Ok(())
    }

    /// Goes on with a handoff that a fault interrupted, to its end.
    fn go_on(&mut self, place: Place) -> anyhow::Result<()> {
        match place {
            Place::Idle | Place::Hook | Place::After | Place::Moment(..) => return Ok(()),
            Place::Entry(_) => self.supervisor.go()?,
            Place::Middle(_) | Place::Waiting => {}
        }
        let ended = self.supervisor.finish()?;
        self.note(&ended);
        Ok(())
    }

    pub(super) fn process(&self, victim: Victim) -> anyhow::Result<Process> {
        match victim {
            Victim::Supervisor => Ok(self.supervisor.process),
            Victim::Incumbent => Ok(self.incumbent),
            Victim::Successor => self.world.daemon("new"),
        }
    }
}

//! The steps of the demo, one after the other.

use std::thread;
use std::time::Duration;

use anyhow::Context;
use handoff_std::core::supervisor::Phase;

use super::phases::Phases;
use super::play::{Plan, Play};
use super::remote::Remote;
use super::report::Outcome;
use super::talk::{Ending, FIRST, Order};

/// How long every successor warms up, in milliseconds.
const WARM_UP: &str = "1000";
/// How long a slow successor takes to open its data, in milliseconds.
const SLOW_OPEN: &str = "1500";
/// How long after Begin its supervisor is killed.
const KILL_AFTER: Duration = Duration::from_millis(200);
/// How long a successor is well that turns bad, in milliseconds.
const WELL_FOR: &str = "500";
/// How long it would be on probation, in milliseconds. Far more than it takes to find out.
const LONG_PROBATION: u64 = 10_000;
/// How long a successor is on probation that stays well, in milliseconds.
const PROBATION: u64 = 500;

const START: Plan = Plan {
    name: "start of A",
    tag: FIRST,
    wanted: &[Outcome::Started],
    has_probation: false,
};

const RESTART: Plan = Plan {
    name: "the supervisor is killed between two handoffs, and started again",
    tag: FIRST,
    wanted: &[Outcome::Adopted],
    has_probation: false,
};

const GOOD: Plan = Plan {
    name: "handoff from A to B, by the supervisor that was started again",
    tag: "B",
    wanted: &[Outcome::Committed],
    has_probation: false,
};

const BROKEN: Plan = Plan {
    name: "handoff from B to C, which cannot open the data",
    tag: "C",
    wanted: &[Outcome::RolledBack],
    has_probation: false,
};

const TURNS_BAD: Plan = Plan {
    name: "handoff from B to D, which serves, and turns bad on probation",
    tag: "D",
    wanted: &[Outcome::RolledBack],
    has_probation: true,
};

const ORPHANED: Plan = Plan {
    name: "handoff from B to E, whose supervisor is killed while E opens the data slowly",
    tag: "E",
    wanted: &[Outcome::TakenOver, Outcome::Reclaimed],
    has_probation: false,
};

const LAST: Plan = Plan {
    name: "handoff to F, which stays well on probation, by the supervisor that was started again",
    tag: "F",
    wanted: &[Outcome::Committed],
    has_probation: true,
};

impl Play {
    /// Performs all steps.
    ///
    /// # Errors
    /// When one ended so that there is no sense in going on.
    pub(super) fn steps(&mut self) -> anyhow::Result<()> {
        let Self { addr, lead, .. } = *self;
        self.say(&format!(
            "clients connect to {addr}, a daemon on {}; so may you: redis-cli -p {} info",
            self.runtime.name(),
            addr.port()
        ))?;
        self.step(START, Duration::ZERO, |play, phases| {
            play.carry_out(&Order::LookAround, phases)
        })?;
        self.step(RESTART, lead, Self::restart)?;
        self.step(GOOD, lead, |play, phases| {
            play.carry_out(&order(GOOD.tag, &[], 0), phases)
        })?;
        self.step(BROKEN, lead, |play, phases| {
            play.carry_out(&order(BROKEN.tag, &["--fail", "open"], 0), phases)
        })?;
        self.step(TURNS_BAD, lead, Self::turn_bad)?;
        self.step(ORPHANED, lead, Self::orphan)?;
        self.step(LAST, lead, |play, phases| {
            play.carry_out(&order(LAST.tag, &[], PROBATION), phases)
        })?;
        self.say("looking for every acknowledged write")
    }

    fn turn_bad(&mut self, phases: &mut Phases) -> anyhow::Result<Ending> {
        let faults = ["--sick-after-ms", WELL_FOR];
        self.begin(&order(TURNS_BAD.tag, &faults, LONG_PROBATION))?;
        self.supervisor()?.reach(Phase::Probation, phases)?;
        self.say("    D serves on probation, and is asked again and again how it is")?;
        self.supervisor()?.ending(phases)
    }

    fn orphan(&mut self, phases: &mut Phases) -> anyhow::Result<Ending> {
        self.begin(&order(ORPHANED.tag, &["--open-delay-ms", SLOW_OPEN], 0))?;
        self.supervisor()?.reach(Phase::Opening, phases)?;
        thread::sleep(KILL_AFTER);
        self.restart(phases)
    }

    /// Kills the supervisor and starts another one by the same command line.
    fn restart(&mut self, phases: &mut Phases) -> anyhow::Result<Ending> {
        let killed = self.supervisor.take().context("there is no supervisor")?;
        let pid = killed.pid();
        killed.kill(phases)?;
        let started = Remote::start(&self.household, self.listen, self.runtime)?;
        self.say(&format!(
            "    the supervisor, pid {pid}, is killed; pid {} is started by the same command line",
            started.pid()
        ))?;
        self.say(&format!("      {}", started.command_line()))?;
        self.supervisor = Some(started);
        self.carry_out(&Order::LookAround, phases)
    }

    fn carry_out(&mut self, order: &Order, phases: &mut Phases) -> anyhow::Result<Ending> {
        self.begin(order)?;
        self.supervisor()?.ending(phases)
    }

    fn begin(&mut self, order: &Order) -> anyhow::Result<()> {
        self.supervisor()?.order(order)
    }

    fn supervisor(&mut self) -> anyhow::Result<&mut Remote> {
        self.supervisor.as_mut().context("there is no supervisor")
    }
}

/// To hand over to this version, which warms up, and commits these faults.
fn order(tag: &str, faults: &[&str], probation_ms: u64) -> Order {
    Order::HandOver {
        tag: tag.to_owned(),
        faults: ["--warmup-ms", WARM_UP]
            .iter()
            .chain(faults)
            .map(ToString::to_string)
            .collect(),
        probation_ms,
    }
}

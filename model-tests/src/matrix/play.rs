//! One row, played: a daemon under load, a handoff, the fault, and what came of it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use handoff_std::Process;
use handoff_supervisor::load::{Acked, Load, LoadConfig};

use super::case::{Case, Place};
use super::remote::{Ended, Remote};
use super::world::{World, check_descriptors, descriptors};

/// How long the load runs before a handoff.
const LEAD: Duration = Duration::from_millis(150);
/// How soon after the fault somebody has to serve.
pub(super) const RECOVERY: Duration = Duration::from_secs(15);

/// What came of a row.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// How the handoff with the fault ended, and what was found afterwards.
    pub outcome: String,
    /// The longest time without an acknowledged write, from the fault on.
    pub pause: Option<Duration>,
    /// Acknowledged writes.
    pub acknowledged: u64,
    /// Acknowledged writes that were not found, or not found again, in the end.
    pub lost: Option<u64>,
    /// How the handoff after that ended.
    pub next: String,
}

/// A row under way.
pub(super) struct Play<'a> {
    pub(super) case: Case,
    pub(super) world: World,
    pub(super) supervisor: Remote,
    /// `None` while nobody is to be connected.
    load: Option<Load>,
    /// The daemon at the beginning.
    pub(super) incumbent: Process,
    /// How many descriptors it had open without clients.
    pub(super) descriptors: usize,
    pub(super) findings: &'a mut Findings,
}

/// Plays a row with processes of this binary.
///
/// # Errors
/// Says what is not as it should be.
pub(super) fn play(case: Case, binary: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let world = World::new(binary)?;
    let mut supervisor = match case {
        Case::FullDisk => world.supervisor_on_small_disk()?,
        _ => world.supervisor()?,
    };
    let ended = supervisor.perform(&["recover"])?;
    ensure!(ended.kind == "started afresh", "no start: {}", ended.text());
    if let Case::Fault(_, _, Place::Moment(_)) = case {
        // To an incumbent whose hooks are quick.
        let ended = supervisor.perform(&["handoff", "quick"])?;
        ensure!(ended.kind == "committed", "no handoff: {}", ended.text());
    }
    let incumbent = world.server()?;
    let descriptors = descriptors(incumbent)?;
    let load = Some(load(&world, "first")?);
    let mut play = Play {
        case,
        world,
        supervisor,
        load,
        incumbent,
        descriptors,
        findings,
    };
    play.await_write()?;
    thread::sleep(LEAD);

    let fault = play.fault()?;
    play.settle()?;
    play.await_write()?;
    let pause = play.load()?.write_pause(fault, Instant::now());
    play.findings.pause = Some(pause);
    ensure!(pause <= RECOVERY, "nobody served for {pause:?}");
    let first = play.end_load()?;
    if play.world.server()? == play.incumbent {
        // No clients are left; whatever the fault opened has to be closed again.
        check_descriptors(play.incumbent, play.descriptors)?;
    }
    play.conclude(&first)
}

fn load(world: &World, prefix: &str) -> anyhow::Result<Load> {
    let config = LoadConfig {
        persistent: 2,
        churn: 1,
        key_prefix: prefix.into(),
        think_time: Duration::from_millis(5),
        ..LoadConfig::default()
    };
    Ok(Load::start(world.address()?, &config)?)
}

impl Play<'_> {
    /// A killed supervisor is started again, as a service manager would.
    pub(super) fn restart_supervisor(&mut self) -> anyhow::Result<()> {
        ensure!(
            self.supervisor.process.wait_dead(RECOVERY),
            "the supervisor does not die"
        );
        self.supervisor = self.world.supervisor()?;
        Ok(())
    }

    /// Looks around until somebody is found or started.
    fn settle(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + RECOVERY;
        loop {
            let ended = self.supervisor.perform(&["recover"])?;
            self.note(&ended);
            if ["found", "started afresh"].contains(&ended.kind.as_str()) {
                return Ok(());
            }
            ensure!(Instant::now() < until, "no recovery: {}", ended.text());
        }
    }

    fn load(&self) -> anyhow::Result<&Load> {
        self.load.as_ref().context("there is no load")
    }

    /// Ends the load, and says what it got acknowledged.
    fn end_load(&mut self) -> anyhow::Result<Acked> {
        let load = self.load.take().context("there is no load")?;
        let counters = load.counters();
        let acked = load.stop();
        ensure!(
            counters.refused == 0,
            "{} connections were refused",
            counters.refused
        );
        ensure!(
            counters.lost == 0,
            "{} reads missed what was acknowledged",
            counters.lost
        );
        Ok(acked)
    }

    /// Waits until a write is acknowledged.
    pub(super) fn await_write(&self) -> anyhow::Result<()> {
        let load = self.load()?;
        let before = load.counters().writes;
        let until = Instant::now() + RECOVERY;
        while load.counters().writes == before {
            if Instant::now() >= until {
                let failure = load.last_failure().unwrap_or_default();
                bail!("no write was acknowledged for {RECOVERY:?}: {failure}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Adds to the outcome.
    pub(super) fn note(&mut self, ended: &Ended) {
        let outcome = &mut self.findings.outcome;
        if !outcome.is_empty() {
            outcome.push_str("; ");
        }
        outcome.push_str(&ended.text());
    }

    /// The next handoff works, nothing is lost and nothing is left.
    fn conclude(mut self, first: &Acked) -> anyhow::Result<()> {
        self.load = Some(load(&self.world, "second")?);
        self.await_write()?;
        thread::sleep(LEAD);
        let ended = self.supervisor.perform(&["handoff", "next"])?;
        self.findings.next = ended.text();
        ensure!(ended.kind == "committed", "the next handoff did not work");
        self.await_write()?;
        let second = self.end_load()?;

        let next = self.world.server()?;
        let before = descriptors(next)?;
        let supervisor = descriptors(self.supervisor.process)?;
        let ended = self.supervisor.perform(&["handoff", "last"])?;
        ensure!(
            ended.kind == "committed",
            "the last handoff: {}",
            ended.text()
        );
        let last = self.world.server()?;
        check_descriptors(last, before)?;
        check_descriptors(self.supervisor.process, supervisor)?;

        self.findings.acknowledged = first.count() + second.count();
        let mut missing = 0;
        let mut examples = Vec::new();
        for acked in [first, &second] {
            let verified = acked.verify(self.world.address()?)?;
            missing += verified.lost;
            examples.extend(verified.examples);
        }
        self.findings.lost = Some(missing);
        ensure!(missing == 0, "lost: {}", examples.join(" "));
        self.world.check_leftovers(&[self.supervisor.process, last])
    }
}

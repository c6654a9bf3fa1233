//! One row, played: a daemon under load, a handoff, the fault, and what came of it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use handoff_std::Process;
use handoff_supervisor::load::{Acked, Load, LoadConfig};

use super::case::{Case, Place, Runtime};
use super::remote::{Ended, Remote};
use super::world::{World, descriptors, wait_until};

/// How long the load runs before a handoff.
const LEAD: Duration = Duration::from_millis(150);
/// How soon after the fault somebody has to serve.
pub(super) const RECOVERY: Duration = Duration::from_secs(15);
/// The pause between two looks around.
const PAUSE: Duration = Duration::from_millis(20);

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
    pub(super) supervisor: Remote,
    /// `None` while nobody is to be connected.
    load: Option<Load>,
    /// After the processes that it would kill, and what they serve.
    pub(super) world: World,
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
pub(super) fn play(
    case: Case,
    runtime: Runtime,
    binary: &Path,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let mut world = World::new(case, runtime, binary)?;
    let mut supervisor = world.supervisor()?;
    let ended = supervisor.perform(&["recover"])?;
    ensure!(ended.kind == "started afresh", "no start: {}", ended.text());
    if let Some(arguments) = case.first_handoff() {
        let order: Vec<_> = ["handoff", "first", "--"]
            .into_iter()
            .chain(arguments)
            .collect();
        let ended = supervisor.perform(&order)?;
        ensure!(ended.kind == "committed", "no handoff: {}", ended.text());
        if case.struck_at() != Some(Place::Waiting) {
            // A drain would wait for the hook.
            world.check_committed()?;
        }
    }
    let incumbent = world.server()?;
    let mut play = Play {
        case,
        supervisor,
        load: None,
        incumbent,
        descriptors: descriptors(incumbent)?,
        world,
        findings,
    };
    play.begin_load("first")?;

    let fault = play.fault()?;
    play.settle()?;
    play.await_write()?;
    let pause = play.load()?.write_pause(fault, Instant::now());
    play.findings.pause = Some(pause);
    ensure!(pause <= RECOVERY, "nobody served for {pause:?}");
    let first = play.end_load()?;
    play.check_scene()?;
    play.conclude(&first)
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
    pub(super) fn settle(&mut self) -> anyhow::Result<()> {
        if self.findings.outcome.starts_with("rolled back") {
            // The incumbent has been told, and comes back in a moment. A supervisor that looks around
            // before, and has no handoff in flight, starts a daemon: the lock decides which one stays.
            wait_until(|| self.world.answers());
        }
        let until = Instant::now() + RECOVERY;
        loop {
            let ended = self.supervisor.perform(&["recover"])?;
            if ["found", "started afresh"].contains(&ended.kind.as_str()) {
                self.note(&ended);
                return Ok(());
            }
            if Instant::now() >= until {
                bail!("no recovery: {}", ended.text());
            }
            thread::sleep(PAUSE);
        }
    }

    /// Lets clients in, and waits until they are served.
    pub(super) fn begin_load(&mut self, prefix: &str) -> anyhow::Result<()> {
        let config = LoadConfig {
            persistent: 2,
            churn: 1,
            key_prefix: prefix.into(),
            think_time: Duration::from_millis(5),
            ..LoadConfig::default()
        };
        self.load = Some(Load::start(self.world.address(), &config)?);
        self.await_write()?;
        thread::sleep(LEAD);
        Ok(())
    }

    fn load(&self) -> anyhow::Result<&Load> {
        self.load.as_ref().context("there is no load")
    }

    /// Ends the load, and says what it got acknowledged.
    pub(super) fn end_load(&mut self) -> anyhow::Result<Acked> {
        let load = self.load.take().context("there is no load")?;
        let counters = load.counters();
        let acked = load.stop();
        ensure!(
            counters.refused == 0 || self.case.closes_listener(),
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
}

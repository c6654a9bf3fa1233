//! What the demo tells in the end, as text and as JSON.

use std::fmt;
use std::time::Duration;

use handoff_std::core::supervisor::Phase;
use serde::Serialize;

use super::phases::{Phases, millis};
use super::play::Ended;
use super::window::Seen;
use crate::kvd::args::Runtime;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Outcome {
    /// The daemon was started.
    #[serde(rename = "started")]
    Started,
    /// The daemon that was there goes on, and nothing was done to it.
    #[serde(rename = "adopted")]
    Adopted,
    /// The successor serves.
    #[serde(rename = "committed")]
    Committed,
    /// The incumbent went on.
    #[serde(rename = "rolled back")]
    RolledBack,
    /// The successor serves, though the supervisor died.
    #[serde(rename = "taken over")]
    TakenOver,
    /// The incumbent came back by itself, since the supervisor died.
    #[serde(rename = "reclaimed")]
    Reclaimed,
    /// Anything else.
    #[serde(rename = "failed")]
    Failed,
}

impl Outcome {
    /// Whether it is that of a handoff.
    const fn is_handoff(self) -> bool {
        !matches!(self, Self::Started | Self::Adopted)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Started => "started",
            Self::Adopted => "adopted",
            Self::Committed => "committed",
            Self::RolledBack => "rolled back",
            Self::TakenOver => "taken over",
            Self::Reclaimed => "reclaimed",
            Self::Failed => "failed",
        })
    }
}

/// What is told of a step.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    name: &'static str,
    outcome: Outcome,
    /// Why a handoff was given up, or a step failed.
    cause: Option<String>,
    /// Who serves after it.
    version: Option<String>,
    pid: Option<u32>,
    generation: Option<u64>,
    /// The supervisor that was started in this step and got the listener back from the daemon.
    restarted_supervisor: Option<u32>,
    /// From the order to the end.
    took_ms: f64,
    /// How long the successor warmed up, while the incumbent still served.
    warmup_ms: Option<f64>,
    /// The longest time without an acknowledged write, around the step.
    write_pause_ms: f64,
    /// The same just before it.
    calm_pause_ms: Option<f64>,
    /// How long connecting took.
    connect_ms: ConnectMillis,
    refused: u64,
    failed: u64,
    retried: u64,
    /// Reads under load that did not find what had been acknowledged.
    missed: u64,
    acknowledged: u64,
    /// Of these, while the successor warmed up.
    acknowledged_in_warmup: Option<u64>,
    /// Of these, by a successor on probation.
    acknowledged_on_probation: Option<u64>,
    /// Of the acknowledged, those that were not there right after the step, or at the end.
    lost: u64,
    /// Milliseconds in each of the supervisor's phases, in their order.
    phases: Phases,
}

/// How long connects took, in milliseconds.
#[derive(Debug, Serialize)]
struct ConnectMillis {
    count: usize,
    p50: f64,
    p99: f64,
    max: f64,
}

impl Step {
    /// A step, what clients saw of it, and how many acknowledged writes are lost.
    pub(super) fn new(ended: Ended, seen: &Seen, lost: u64) -> Self {
        let (version, pid, generation) = match ended.server {
            Some(server) => (
                Some(server.version),
                Some(server.pid),
                Some(server.generation),
            ),
            None => (None, None, None),
        };
        let warm_up = ended.phases.first(Phase::Warming);
        Self {
            name: ended.plan.name,
            outcome: ended.outcome,
            cause: ended.cause,
            version,
            pid,
            generation,
            restarted_supervisor: ended.restarted,
            took_ms: millis(ended.took),
            warmup_ms: warm_up.map(|warm_up| millis(warm_up.length())),
            write_pause_ms: millis(seen.write_pause),
            calm_pause_ms: seen.calm_pause.map(millis),
            connect_ms: ConnectMillis {
                count: seen.connects.count,
                p50: millis(seen.connects.p50),
                p99: millis(seen.connects.p99),
                max: millis(seen.connects.max),
            },
            refused: seen.counters.refused,
            failed: seen.counters.failed,
            retried: seen.counters.retried,
            missed: seen.counters.lost,
            acknowledged: seen.acked.count(),
            acknowledged_in_warmup: seen.in_warm_up,
            acknowledged_on_probation: seen.on_probation,
            lost,
            phases: ended.phases,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.outcome)?;
        if let Some(cause) = &self.cause {
            write!(f, " ({cause})")?;
        }
        writeln!(f)?;
        if let (Some(version), Some(pid), Some(generation)) =
            (&self.version, self.pid, self.generation)
        {
            writeln!(
                f,
                "    serving      {version}, pid {pid}, generation {generation}"
            )?;
        }
        if let Some(pid) = self.restarted_supervisor {
            writeln!(
                f,
                "    supervisor   pid {pid}, has the listener back from the daemon, which is not its child"
            )?;
        }
        if let (Some(warm_up), Some(writes)) = (self.warmup_ms, self.acknowledged_in_warmup) {
            writeln!(
                f,
                "    warm-up      {warm_up:.1} ms, no part of the pause: {writes} writes acknowledged meanwhile"
            )?;
        }
        write!(f, "    write pause  {:.1} ms", self.write_pause_ms)?;
        if let Some(calm) = self.calm_pause_ms {
            write!(f, " (just before, with nothing going on: {calm:.1} ms)")?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "    clients      {} refused, {} failed, {} sent again, slowest connect {:.1} ms",
            self.refused, self.failed, self.retried, self.connect_ms.max
        )?;
        write!(f, "    writes       {} acknowledged", self.acknowledged)?;
        if let Some(writes) = self.acknowledged_on_probation {
            write!(f, " ({writes} by the successor on probation)")?;
        }
        writeln!(f, ", {} lost", self.lost)?;
        writeln!(f, "    timeline     {:.1} ms in all", self.took_ms)?;
        for (phase, time) in self.phases.times() {
            writeln!(f, "      {phase:<14}{:>8.1} ms", millis(time))?;
        }
        Ok(())
    }
}

/// The whole demo.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// What the daemon is built on.
    runtime: Runtime,
    /// Whether all went as it should.
    ok: bool,
    /// What did not.
    problems: Vec<String>,
    seconds: f64,
    acknowledged: u64,
    lost: u64,
    refused: u64,
    failed: u64,
    /// How many of the steps are handoffs, whatever came of them.
    handoffs: usize,
    /// In the order in which they were performed; the first is the start of the daemon.
    steps: Vec<Step>,
}

impl Report {
    /// All steps, and what went wrong beside what clients saw.
    pub(super) fn new(
        runtime: Runtime,
        steps: Vec<Step>,
        mut problems: Vec<String>,
        took: Duration,
    ) -> Self {
        for step in &steps {
            let bad = [
                (step.refused, "connections refused"),
                (step.failed, "requests failed"),
                (step.missed, "reads that did not find an acknowledged write"),
                (step.lost, "acknowledged writes lost"),
            ];
            let bad = bad.iter().filter(|(count, _)| *count > 0);
            problems.extend(bad.map(|(count, what)| format!("{}: {count} {what}", step.name)));
        }
        let sum = |of: fn(&Step) -> u64| steps.iter().map(of).sum();
        Self {
            runtime,
            ok: problems.is_empty(),
            problems,
            seconds: millis(took) / 1000.0,
            acknowledged: sum(|step| step.acknowledged),
            lost: sum(|step| step.lost),
            refused: sum(|step| step.refused),
            failed: sum(|step| step.failed),
            handoffs: steps
                .iter()
                .filter(|step| step.outcome.is_handoff())
                .count(),
            steps,
        }
    }

    /// What went wrong.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "{}. {step}", number + 1)?;
        }
        writeln!(
            f,
            "In all {} handoffs in {:.1} s: {} writes acknowledged, {} lost; {} connections refused, \
             {} requests failed.\nEach write was looked for right after its step, on the version that \
             served then, and again at the end.",
            self.handoffs, self.seconds, self.acknowledged, self.lost, self.refused, self.failed
        )
    }
}

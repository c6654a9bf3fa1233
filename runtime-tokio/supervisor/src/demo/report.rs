//! What the demo tells in the end, as text and as JSON.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::remote::Phases;
use super::window::{Seen, Server};

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Outcome {
    /// The daemon was started.
    #[serde(rename = "started")]
    Started,
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

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Started => "started",
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
    /// From the order to the end.
    took_ms: f64,
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
    lost: u64,
    #[serde(serialize_with = "as_map")]
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

/// What a step came to, before the load around it has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// What was tried.
    pub(super) name: &'static str,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// Why a handoff was given up, or a step failed.
    pub(super) cause: Option<String>,
    /// Who serves now.
    pub(super) server: Option<Server>,
    /// From the order to the end.
    pub(super) took: Duration,
    /// What the supervisor spent it with.
    pub(super) phases: Phases,
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
        Self {
            name: ended.name,
            outcome: ended.outcome,
            cause: ended.cause,
            version,
            pid,
            generation,
            took_ms: millis(ended.took),
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
        writeln!(
            f,
            "    writes       {} acknowledged, {} lost",
            self.acknowledged, self.lost
        )?;
        writeln!(f, "    timeline     {:.1} ms in all", self.took_ms)?;
        for (phase, time) in &self.phases.0 {
            writeln!(f, "      {phase:<14}{:>8.1} ms", millis(*time))?;
        }
        Ok(())
    }
}

/// The whole demo.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether all went as it should.
    ok: bool,
    /// What did not.
    problems: Vec<String>,
    seconds: f64,
    acknowledged: u64,
    lost: u64,
    refused: u64,
    failed: u64,
    /// The first step: the daemon's start.
    start: Option<Step>,
    handoffs: Vec<Step>,
}

impl Report {
    /// All steps, the start first, and what went wrong beside what clients saw.
    pub(super) fn new(steps: Vec<Step>, mut problems: Vec<String>, took: Duration) -> Self {
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
            ok: problems.is_empty(),
            problems,
            seconds: millis(took) / 1000.0,
            acknowledged: sum(|step| step.acknowledged),
            lost: sum(|step| step.lost),
            refused: sum(|step| step.refused),
            failed: sum(|step| step.failed),
            handoffs: Vec::new(),
            start: None,
        }
        .with_steps(steps)
    }

    fn with_steps(self, steps: Vec<Step>) -> Self {
        let mut steps = steps.into_iter();
        Self {
            start: steps.next(),
            handoffs: steps.collect(),
            ..self
        }
    }

    /// What went wrong.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.start.iter().chain(&self.handoffs).enumerate() {
            writeln!(f, "{}. {step}", number + 1)?;
        }
        writeln!(
            f,
            "In all {} handoffs in {:.1} s: {} writes acknowledged, {} lost; {} connections refused, \
             {} requests failed.",
            self.handoffs.len(),
            self.seconds,
            self.acknowledged,
            self.lost,
            self.refused,
            self.failed
        )
    }
}

/// Milliseconds to the microsecond.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn as_map<S: Serializer>(phases: &Phases, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(phases.0.iter().map(|(phase, time)| (phase, millis(*time))))
}

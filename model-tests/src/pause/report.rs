//! What a run came to: figures for each contender, as JSON and as a table.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;

use super::trace::Calls;
use crate::machine::Machine;

use super::{Conditions, Contender, Round, Trouble};

/// A median, and what it lies between.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Half of all are not above it.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of these times in nanoseconds, in milliseconds; `None` of none.
    pub fn ms(nanos: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut all: Vec<_> = nanos.into_iter().map(ms).collect();
        all.sort_unstable_by(f64::total_cmp);
        let upper = all.get(all.len() / 2)?;
        let lower = all.get((all.len() - 1) / 2)?;
        Some(Self {
            median: f64::midpoint(*lower, *upper),
            min: *all.first()?,
            max: *all.last()?,
        })
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a pause is far from 2^53 nanoseconds"
)]
fn ms(nanos: u64) -> f64 {
    (nanos / 1_000) as f64 / 1e3
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.min, self.max)
    }
}

/// What was measured of one contender.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Handoffs.
    pub rounds: usize,
    /// The library's share of the pause.
    pub own_share_ms: Spread,
    /// From the last acknowledged write before to the first after.
    pub write_pause_ms: Spread,
    /// The whole handoff.
    pub handoff_ms: Spread,
    /// What the daemon did in the pause itself, medians: drain, seal, open, the flush of the first writes.
    pub daemon_ms: [f64; 4],
    /// Where the library's share is, medians: up to the drain, from there to the seal, to the opening, to the
    /// first writes, and until a client had the first answer.
    pub between_ms: [f64; 5],
    /// Flushes in the pause but for the daemon's own; `None` where they could not be traced.
    pub fsyncs_in_pause: Option<u64>,
    /// System calls in the pause, but for those of clients and of the thread that serves them.
    pub calls_in_pause: Option<u64>,
    /// Frames of the protocol in the pause.
    pub frames_in_pause: Option<usize>,
    /// What clients saw, over all rounds.
    #[serde(flatten)]
    pub trouble: Trouble,
}

impl Figures {
    /// From these rounds, and the calls of one that was traced. `None` without rounds.
    pub fn new(rounds: &[Round], traced: Option<&Calls>) -> Option<Self> {
        let all = |of: fn(&Round) -> u64| Spread::ms(rounds.iter().map(of));
        let mut daemon_ms = [0.0; 4];
        for (at, median) in daemon_ms.iter_mut().enumerate() {
            let times = rounds.iter().filter_map(|round| round.daemon.get(at));
            *median = Spread::ms(times.copied())?.median;
        }
        let mut between_ms = [0.0; 5];
        for (at, median) in between_ms.iter_mut().enumerate() {
            let times = rounds.iter().filter_map(|round| round.between.get(at));
            *median = Spread::ms(times.copied())?.median;
        }
        let mut trouble = Trouble::default();
        for round in rounds {
            trouble.refused += round.trouble.refused;
            trouble.failed += round.trouble.failed;
            trouble.unanswered += round.trouble.unanswered;
            trouble.closed += round.trouble.closed;
            trouble.lost += round.trouble.lost;
        }
        Some(Self {
            rounds: rounds.len(),
            own_share_ms: all(|round| round.own_share)?,
            write_pause_ms: all(|round| round.pause)?,
            handoff_ms: all(|round| round.handoff)?,
            daemon_ms,
            between_ms,
            fsyncs_in_pause: traced.map(|calls| calls.flushes),
            calls_in_pause: traced.map(Calls::total),
            frames_in_pause: traced.map(|calls| calls.frames.len()),
            trouble,
        })
    }
}

/// Everything under the same conditions.
#[derive(Debug, Clone, Serialize)]
pub struct Scenario {
    /// The conditions, in words.
    pub name: String,
    /// The conditions.
    #[serde(flatten)]
    pub conditions: Conditions,
    /// What was measured.
    #[serde(flatten)]
    pub figures: BTreeMap<Contender, Figures>,
}

/// Where rounds are played, and how.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// Where.
    #[serde(flatten)]
    pub machine: Machine,
    /// Whether all processes of a round run in the real-time class, and so before others.
    pub real_time: bool,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = if self.real_time {
            "in the real-time class (chrt -f 10)"
        } else {
            "like any other process, so times are longer and spread more"
        };
        write!(f, "{}\nall of a round runs {class}", self.machine)
    }
}

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where it was measured, and how.
    pub machine: Setting,
    /// The figures under ordinary conditions.
    #[serde(flatten)]
    pub figures: BTreeMap<Contender, Figures>,
    /// Those, and the figures under others.
    pub scenarios: Vec<Scenario>,
}

impl Report {
    /// All scenarios; the first is the ordinary one.
    pub fn new(machine: Setting, scenarios: Vec<Scenario>) -> Self {
        let first = scenarios.first();
        Self {
            machine,
            figures: first.map(|first| first.figures.clone()).unwrap_or_default(),
            scenarios,
        }
    }

    /// As a table in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| | | own share, ms | write pause, ms | handoff, ms | drain + seal + open + first flush, ms \
             | flushes | calls | frames | refused | failed | unanswered | closed | lost |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for scenario in &self.scenarios {
            for (contender, figures) in &scenario.figures {
                let [drain, seal, open, first] = figures.daemon_ms;
                let Trouble {
                    refused,
                    failed,
                    unanswered,
                    closed,
                    lost,
                } = figures.trouble;
                // Writing to a string does not fail.
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} | {} | {drain:.2} + {seal:.2} + {open:.2} + {first:.2} | {} | {} | {} \
                     | {refused} | {failed} | {unanswered} | {closed} | {lost} |",
                    scenario.name,
                    contender.name(),
                    figures.own_share_ms,
                    figures.write_pause_ms,
                    figures.handoff_ms,
                    number(figures.fsyncs_in_pause),
                    number(figures.calls_in_pause),
                    number(figures.frames_in_pause),
                );
            }
        }
        text
    }
}

fn number(count: Option<impl ToString>) -> String {
    count.map_or_else(|| "–".into(), |count| count.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_has_as_many_above_as_below() {
        let spread = |nanos: &[u64]| Spread::ms(nanos.iter().copied());
        assert_eq!(spread(&[]), None);
        let of_three = spread(&[3_000_000, 1_000_000, 2_000_000]).unwrap();
        assert!((of_three.median - 2.0).abs() < 1e-9);
        let of_two = spread(&[2_000_000, 1_000_000]).unwrap();
        assert!((of_two.median - 1.5).abs() < 1e-9);
        assert_eq!(of_two.to_string(), "1.50 (1.00 to 2.00)");
    }
}

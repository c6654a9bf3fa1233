//! What a run came to, as JSON and as tables in Markdown.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::machine::Machine;

/// Times in milliseconds: how they are spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Whole {
    /// Half of all are not above it.
    pub p50: f64,
    /// Ninety-nine of a hundred are not above it.
    pub p99: f64,
    /// The most.
    pub max: f64,
}

impl Whole {
    /// Of these times in microseconds; all zero if there are none.
    pub(super) fn of(micros: impl IntoIterator<Item = u64>) -> Self {
        let mut all: Vec<_> = micros.into_iter().collect();
        all.sort_unstable();
        // The least of which so many percent of all are not above it.
        let percent = |percent: usize| {
            let rank = (all.len() * percent).div_ceil(100).max(1);
            all.get(rank - 1).copied().map_or(0.0, ms)
        };
        Self {
            p50: percent(50),
            p99: percent(99),
            max: percent(100),
        }
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a time is far from 2^53 microseconds"
)]
fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} / {:.2} / {:.2}", self.p50, self.p99, self.max)
    }
}

/// Handoffs of all services, one way or another, several rounds of them.
#[derive(Debug, Clone, Serialize)]
pub struct Way {
    /// How many at a time, in words.
    pub name: String,
    /// The load average of the last minute at the end.
    pub load: String,
    /// How often all services were handed over.
    pub rounds: usize,
    /// One round: from the first command to the last answer.
    pub total_ms: Whole,
    /// The same for each service.
    pub per_service_ms: Whole,
    /// From `PrepareHandoff` to `Ready`.
    pub pause_ms: Whole,
    /// A whole handoff.
    pub handoff_ms: Whole,
    /// From a daemon's last answer to the first of the next, as clients noticed it.
    pub seen_ms: Whole,
    /// The supervisor's processor time for a handoff.
    pub own_cpu_us: u64,
    /// That of the services for a handoff: of a daemon from its start to its end.
    pub services_cpu_us: u64,
    /// The most threads of the supervisor.
    pub threads: usize,
    /// The most descriptors of the supervisor.
    pub descriptors: usize,
}

/// What was measured at one size.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// How many services.
    pub services: usize,
    /// The load average of the last minute at the start.
    pub load: String,
    /// From the supervisor's start until all services run.
    pub start_ms: u64,
    /// From SIGTERM until the supervisor and all services have ended.
    pub end_ms: u64,
    /// The answer to a `status` of all services.
    pub status_ms: u64,
    /// The most threads of the supervisor meanwhile.
    pub status_threads: usize,
    /// Its memory before the first handoff.
    pub rss_kib: u64,
    /// The same, with its share alone of what is shared.
    pub pss_kib: u64,
    /// Its memory after the last handoff.
    pub rss_used_kib: u64,
    /// The most memory that it ever had.
    pub peak_kib: u64,
    /// Its descriptors before the first handoff.
    pub descriptors: usize,
    /// And after the last.
    pub descriptors_used: usize,
    /// Its threads before the first handoff.
    pub threads: usize,
    /// How often it wakes in ten seconds in which nothing is asked of it.
    pub idle_wakes_per_10_s: f64,
    /// How often its log says that the history is not whole.
    pub history_gaps: usize,
    /// Handoffs.
    pub ways: Vec<Way>,
}

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// The sizes, in the order in which they were asked for.
    pub sizes: Vec<Figures>,
}

impl Report {
    /// As two tables in Markdown: the supervisor, and the handoffs.
    pub fn tables(&self) -> String {
        let mut text = String::from(
            "| services | load | start, ms | end, ms | status of all, ms (threads) | RSS, KiB | PSS, KiB \
             | RSS after, KiB | peak, KiB | descriptors | after | threads | wakes in 10 s |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for size in &self.sizes {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} ({}) | {} | {} | {} | {} | {} | {} | {} | {:.1} |",
                size.services,
                size.load,
                size.start_ms,
                size.end_ms,
                size.status_ms,
                size.status_threads,
                size.rss_kib,
                size.pss_kib,
                size.rss_used_kib,
                size.peak_kib,
                size.descriptors,
                size.descriptors_used,
                size.threads,
                size.idle_wakes_per_10_s,
            );
        }
        text.push_str(
            "\nTimes in ms: median / 99 of 100 / most.\n\n\
             | services | handed over | load | rounds | all, ms (median) | per service, ms (median) | pause \
             | seen by clients | handoff | supervisor's CPU per handoff, µs | the service's, µs | threads \
             | descriptors |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for size in &self.sizes {
            for way in &size.ways {
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} | {:.0} | {:.2} | {} | {} | {} | {} | {} | {} | {} |",
                    size.services,
                    way.name,
                    way.load,
                    way.rounds,
                    way.total_ms.p50,
                    way.per_service_ms.p50,
                    way.pause_ms,
                    way.seen_ms,
                    way.handoff_ms,
                    way.own_cpu_us,
                    way.services_cpu_us,
                    way.threads,
                    way.descriptors,
                );
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        assert_eq!(Whole::of([]), Whole::default());
        let one = Whole::of([2_000]);
        assert_eq!(one.to_string(), "2.00 / 2.00 / 2.00");
        let many = Whole::of((1..=200).rev().map(|at| at * 1_000));
        assert_eq!(many.to_string(), "100.00 / 198.00 / 200.00");
    }
}

//! What happens to the services, in numbers, for Prometheus: its text on an address of its own.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | the numbers, and what makes them change |
//! | [`page`] | the address, and what is answered there |
//!
//! The names of the handoffs' numbers are those that the published version 1 has given them, so that a
//! dashboard of its users goes on working. Each number has the label `service`.

mod page;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};
use tokio::sync::broadcast::error::RecvError;

use super::events::{Events, Hub};
use crate::operate::event::{Event, HandoffEnded, What, Why};
use crate::operate::protocol::Outcome;
use page::Page;

/// Upper ends, in seconds. A pause takes milliseconds if all goes well, and minutes at most.
const BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0,
];
const SERVICE: &str = "service";

/// Counts what happens from now on to the services that are [listed](Metrics::list), and shows it at this
/// address for as long as the runtime lasts.
///
/// # Errors
/// The address cannot be had.
pub(super) async fn open(address: SocketAddr, hub: &Hub) -> anyhow::Result<Metrics> {
    let metrics = Metrics::new()?;
    let page = Page::bind(address, metrics.clone()).await?;
    let address = page.address()?;
    tracing::info!("metrics on http://{address}{}", page::PATH);
    tokio::spawn(metrics.clone().follow(hub.milestones()));
    tokio::spawn(page.serve());
    Ok(metrics)
}

/// The numbers of all services. All clones are the same numbers.
#[derive(Clone)]
pub(super) struct Metrics {
    /// The services that have numbers.
    listed: Arc<Mutex<BTreeSet<String>>>,
    registry: Registry,
    handoffs: IntCounterVec,
    failures: IntCounterVec,
    rolled_back: IntCounterVec,
    seal_failures: IntCounterVec,
    duration: HistogramVec,
    drain: HistogramVec,
    seal: HistogramVec,
    begin_to_ready: HistogramVec,
    pause: HistogramVec,
    last: GaugeVec,
    up: IntGaugeVec,
    starts: IntCounterVec,
}

impl Metrics {
    /// For no service yet.
    ///
    /// # Errors
    /// A name is not one. They are all written here, so this does not come up.
    fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let count = |name, help| -> prometheus::Result<IntCounterVec> {
            let count = IntCounterVec::new(Opts::new(name, help), &[SERVICE])?;
            registry.register(Box::new(count.clone()))?;
            Ok(count)
        };
        let time = |name, help| -> prometheus::Result<HistogramVec> {
            let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
            let time = HistogramVec::new(options, &[SERVICE])?;
            registry.register(Box::new(time.clone()))?;
            Ok(time)
        };
        let last = GaugeVec::new(
            Opts::new(
                "handoff_last_committed_timestamp_seconds",
                "When a handoff was last committed; zero if none was.",
            ),
            &[SERVICE],
        )?;
        registry.register(Box::new(last.clone()))?;
        let up = IntGaugeVec::new(
            Opts::new(
                "handoff_daemon_up",
                "Whether a daemon is known to live: 1 or 0.",
            ),
            &[SERVICE],
        )?;
        registry.register(Box::new(up.clone()))?;
        Ok(Self {
            listed: Arc::default(),
            handoffs: count("handoff_handoffs_total", "Handoffs that have ended.")?,
            failures: count(
                "handoff_failures_total",
                "Handoffs that were not committed, whatever became of them.",
            )?,
            rolled_back: count(
                "handoff_rolled_back_total",
                "Handoffs after which the daemon serves that served before.",
            )?,
            seal_failures: count(
                "handoff_seal_failures_total",
                "Handoffs that failed since the incumbent could not seal its data.",
            )?,
            duration: time(
                "handoff_duration_seconds",
                "All of a handoff, with its warm-up and its probation.",
            )?,
            drain: time(
                "handoff_drain_seconds",
                "How long the incumbent took to drain.",
            )?,
            seal: time(
                "handoff_seal_seconds",
                "How long the incumbent took to seal its data.",
            )?,
            begin_to_ready: time(
                "handoff_begin_to_ready_seconds",
                "How long the successor took to open the data.",
            )?,
            pause: time(
                "handoff_pause_seconds",
                "From the drain to the successor's Ready: as long as no write is taken, at most.",
            )?,
            starts: count(
                "handoff_daemon_starts_total",
                "Daemons that were started by no handoff.",
            )?,
            registry: registry.clone(),
            last,
            up,
        })
    }

    /// There are these services from now on. The numbers of those that are new are there at once: one
    /// that comes into being with its first event would hide that event from a rate. Those of the
    /// services that are gone are gone as well.
    pub(super) fn list<'a>(&self, services: impl Iterator<Item = &'a str>) {
        let services: BTreeSet<String> = services.map(Into::into).collect();
        let mut listed = self.listed();
        for new in services.difference(&*listed) {
            self.begin(new);
        }
        for gone in listed.difference(&services) {
            self.remove(gone);
        }
        *listed = services;
    }

    fn listed(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> [&IntCounterVec; 5] {
        [
            &self.handoffs,
            &self.failures,
            &self.rolled_back,
            &self.seal_failures,
            &self.starts,
        ]
    }

    fn times(&self) -> [&HistogramVec; 5] {
        [
            &self.duration,
            &self.drain,
            &self.seal,
            &self.begin_to_ready,
            &self.pause,
        ]
    }

    fn begin(&self, service: &str) {
        for count in self.counts() {
            count.with_label_values(&[service]);
        }
        for time in self.times() {
            time.with_label_values(&[service]);
        }
        self.last.with_label_values(&[service]);
        self.up.with_label_values(&[service]);
    }

    /// All of them are there, since they were begun together.
    fn remove(&self, service: &str) {
        for count in self.counts() {
            let _ = count.remove_label_values(&[service]);
        }
        for time in self.times() {
            let _ = time.remove_label_values(&[service]);
        }
        let _ = self.last.remove_label_values(&[service]);
        let _ = self.up.remove_label_values(&[service]);
    }

    /// Takes in what happens, until nothing does any more.
    async fn follow(self, mut events: Events) {
        loop {
            match events.recv().await {
                Ok(event) => self.take_in(&event),
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "the metrics do not count some events");
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn take_in(&self, event: &Event) {
        // What happens to a service on its way out would bring its numbers back.
        let listed = self.listed();
        if !listed.contains(&event.service) {
            return;
        }
        let service = [event.service.as_str()];
        match &event.what {
            What::DaemonStarted { .. } => {
                self.starts.with_label_values(&service).inc();
                self.up.with_label_values(&service).set(1);
            }
            What::DaemonFound { .. } => self.up.with_label_values(&service).set(1),
            What::DaemonEnded { why, .. } if *why != Why::Replaced => {
                self.up.with_label_values(&service).set(0);
            }
            What::HandoffEnded(handoff) => self.ended(service, event.at, handoff),
            _ => {}
        }
    }

    fn ended(&self, service: [&str; 1], at: SystemTime, handoff: &HandoffEnded) {
        self.handoffs.with_label_values(&service).inc();
        if handoff.ended.outcome == Outcome::Committed {
            let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            self.last
                .with_label_values(&service)
                .set(since.as_secs_f64());
        } else {
            self.failures.with_label_values(&service).inc();
        }
        if handoff.ended.outcome == Outcome::RolledBack {
            self.rolled_back.with_label_values(&service).inc();
        }
        if handoff.seal_failed {
            self.seal_failures.with_label_values(&service).inc();
        }
        if handoff.to.is_some() {
            self.up.with_label_values(&service).set(1);
        }
        let durations = &handoff.durations;
        for (time, took) in [
            (&self.duration, durations.whole_us),
            (&self.drain, durations.drain_us),
            (&self.seal, durations.seal_us),
            (&self.begin_to_ready, durations.begin_to_ready_us),
            (&self.pause, durations.pause_us),
        ] {
            if let Some(took) = took {
                let took = std::time::Duration::from_micros(took);
                time.with_label_values(&service).observe(took.as_secs_f64());
            }
        }
    }

    /// All of them, in Prometheus' text.
    fn text(&self) -> String {
        // It fails for a family without a metric only, and there is none.
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::event::{Durations, Side};
    use crate::operate::protocol::Ended;

    const REFERENCE: &str = include_str!("../../../CONFIG.md");

    fn metrics(services: &[&str]) -> Metrics {
        let metrics = Metrics::new().unwrap();
        metrics.list(services.iter().copied());
        metrics
    }

    fn event(what: What) -> Event {
        Event {
            at: UNIX_EPOCH + std::time::Duration::from_millis(1500),
            service: "kv".into(),
            handoff_id: None,
            what,
        }
    }

    fn ended(outcome: Outcome, seal_failed: bool, seal_us: Option<u64>) -> Event {
        event(What::HandoffEnded(Box::new(HandoffEnded {
            ended: Ended {
                service: "kv".into(),
                outcome,
                handoff_id: None,
                pid: None,
                reason: None,
                without: Vec::new(),
                took_ms: 0,
            },
            binary: String::new(),
            from: None,
            to: (outcome == Outcome::Committed).then_some(Side {
                pid: 1,
                build: None,
                version: None,
            }),
            durations: Durations {
                whole_us: Some(2_000_000),
                seal_us,
                ..Durations::default()
            },
            seal_failed,
            phases: Vec::new(),
        })))
    }

    fn assert_says(metrics: &Metrics, line: &str) {
        let text = metrics.text();
        assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
    }

    #[test]
    fn every_number_is_there_before_anything_has_happened() {
        let metrics = metrics(&["kv", "web"]);
        for service in ["kv", "web"] {
            assert_says(
                &metrics,
                &format!("handoff_failures_total{{service=\"{service}\"}} 0"),
            );
            assert_says(
                &metrics,
                &format!("handoff_pause_seconds_count{{service=\"{service}\"}} 0"),
            );
        }
    }

    #[test]
    fn an_end_counts_by_its_outcome_and_a_time_if_it_was_reached() {
        let metrics = metrics(&["kv"]);
        metrics.take_in(&ended(Outcome::Committed, false, Some(1_500)));
        metrics.take_in(&ended(Outcome::RolledBack, true, None));
        metrics.take_in(&ended(Outcome::Failed, false, None));
        for line in [
            "handoff_handoffs_total{service=\"kv\"} 3",
            "handoff_failures_total{service=\"kv\"} 2",
            "handoff_rolled_back_total{service=\"kv\"} 1",
            "handoff_seal_failures_total{service=\"kv\"} 1",
            "handoff_duration_seconds_count{service=\"kv\"} 3",
            "handoff_duration_seconds_sum{service=\"kv\"} 6",
            "handoff_seal_seconds_bucket{service=\"kv\",le=\"0.001\"} 0",
            "handoff_seal_seconds_bucket{service=\"kv\",le=\"0.0025\"} 1",
            "handoff_seal_seconds_count{service=\"kv\"} 1",
            "handoff_last_committed_timestamp_seconds{service=\"kv\"} 1.5",
        ] {
            assert_says(&metrics, line);
        }
    }

    #[test]
    fn a_daemon_is_up_until_it_ends_without_having_been_replaced() {
        let metrics = metrics(&["kv"]);
        let ended = |why| {
            event(What::DaemonEnded {
                pid: 1,
                how: String::new(),
                why,
            })
        };
        let up = |value| format!("handoff_daemon_up{{service=\"kv\"}} {value}");
        assert_says(&metrics, &up(0));
        metrics.take_in(&event(What::DaemonStarted {
            pid: 1,
            binary: String::new(),
        }));
        metrics.take_in(&ended(Why::Replaced));
        assert_says(&metrics, &up(1));
        metrics.take_in(&ended(Why::ByItself));
        assert_says(&metrics, &up(0));
        assert_says(&metrics, "handoff_daemon_starts_total{service=\"kv\"} 1");
    }

    #[test]
    fn a_service_that_is_gone_has_no_numbers_and_gets_none() {
        let metrics = metrics(&["kv", "web"]);
        metrics.take_in(&ended(Outcome::Committed, false, Some(1)));
        metrics.list(["web", "new"].into_iter());
        metrics.take_in(&ended(Outcome::Committed, false, Some(1)));
        let text = metrics.text();
        assert!(!text.contains("\"kv\""), "{text}");
        assert_says(&metrics, "handoff_handoffs_total{service=\"web\"} 0");
        assert_says(&metrics, "handoff_handoffs_total{service=\"new\"} 0");
        // Back again, it begins anew.
        metrics.list(["kv"].into_iter());
        assert_says(&metrics, "handoff_handoffs_total{service=\"kv\"} 0");
    }

    #[test]
    fn the_reference_has_every_number_and_no_other() {
        let metrics = metrics(&["kv"]);
        let mut families: Vec<_> = metrics
            .registry
            .gather()
            .iter()
            .map(|family| family.name().to_owned())
            .collect();
        families.sort();
        let mut described: Vec<_> = REFERENCE
            .lines()
            .filter_map(|line| line.strip_prefix("- `handoff_")?.split_once('`'))
            .map(|(name, _)| format!("handoff_{name}"))
            .collect();
        described.sort();
        assert_eq!(families, described);
    }
}

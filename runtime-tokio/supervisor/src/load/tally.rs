//! What a load has seen: counts, and when it happened.

use std::collections::VecDeque;
use std::ops::Sub;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Acknowledged writes whose time is remembered: the newest ones, minutes of them.
const ACKS_KEPT: usize = 1 << 20;
/// Connects whose duration is remembered: the newest ones.
const CONNECTS_KEPT: usize = 1 << 18;

/// How many of what happened. Subtract an earlier one for what happened since.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Writes acknowledged.
    pub writes: u64,
    /// Reads that found what had been acknowledged.
    pub reads: u64,
    /// Connects that were refused, each tried again.
    pub refused: u64,
    /// Requests given up: an error reply, a malformed one, or none within the limit.
    pub failed: u64,
    /// Requests sent again on a new connection, since theirs was closed before the reply.
    pub retried: u64,
    /// Reads that did not find what had been acknowledged.
    pub lost: u64,
    /// Connections made.
    pub connects: u64,
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            writes: self.writes.saturating_sub(earlier.writes),
            reads: self.reads.saturating_sub(earlier.reads),
            refused: self.refused.saturating_sub(earlier.refused),
            failed: self.failed.saturating_sub(earlier.failed),
            retried: self.retried.saturating_sub(earlier.retried),
            lost: self.lost.saturating_sub(earlier.lost),
            connects: self.connects.saturating_sub(earlier.connects),
        }
    }
}

/// How long connecting took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// Connects looked at.
    pub count: usize,
    /// Half were no slower.
    pub p50: Duration,
    /// 99 of 100 were no slower.
    pub p99: Duration,
    /// None was slower.
    pub max: Duration,
}

/// What all workers write into.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counters: Mutex<Counters>,
    acks: Mutex<Recent<Instant>>,
    connects: Mutex<Recent<(Instant, Duration)>>,
    last_failure: Mutex<Option<String>>,
}

impl Tally {
    /// Changes the counters.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut lock(&self.counters));
    }

    /// The counters now.
    pub(crate) fn counters(&self) -> Counters {
        *lock(&self.counters)
    }

    /// A write was acknowledged just now.
    pub(crate) fn write_acked(&self) {
        // The time is taken under the lock, so that times rise.
        let mut acks = lock(&self.acks);
        acks.push(Instant::now(), ACKS_KEPT);
        drop(acks);
        self.count(|counters| counters.writes += 1);
    }

    /// A connection was made just now, and it took so long.
    pub(crate) fn connected(&self, took: Duration) {
        lock(&self.connects).push((Instant::now(), took), CONNECTS_KEPT);
        self.count(|counters| counters.connects += 1);
    }

    /// A request was given up.
    pub(crate) fn failed(&self, why: String) {
        *lock(&self.last_failure) = Some(why);
        self.count(|counters| counters.failed += 1);
    }

    /// Why the last request that was given up was, if any was.
    pub(crate) fn last_failure(&self) -> Option<String> {
        lock(&self.last_failure).clone()
    }

    /// The longest time between `from` and `to` in which no write was acknowledged.
    pub(crate) fn write_pause(&self, from: Instant, to: Instant) -> Duration {
        let acks = lock(&self.acks);
        // Nothing is known about what was forgotten.
        let from = match (acks.forgot, acks.items.front()) {
            (true, Some(oldest)) => from.max(*oldest),
            _ => from,
        };
        let first = acks.items.partition_point(|at| *at < from);
        let in_window = acks.items.iter().skip(first).take_while(|at| **at <= to);
        let mut last = from;
        let mut longest = Duration::ZERO;
        for at in in_window.chain([&to]) {
            longest = longest.max(at.saturating_duration_since(last));
            last = *at;
        }
        longest
    }

    /// How many writes were acknowledged between `from` and `to`, of those that are remembered.
    pub(crate) fn writes_between(&self, from: Instant, to: Instant) -> u64 {
        let acks = lock(&self.acks);
        let up_to = |at: Instant| acks.items.partition_point(|ack| *ack < at);
        up_to(to).saturating_sub(up_to(from)) as u64
    }

    /// How long the connects between `from` and `to` took.
    pub(crate) fn connect_latency(&self, from: Instant, to: Instant) -> Latency {
        let connects = lock(&self.connects);
        let in_window = connects
            .items
            .iter()
            .filter(|(at, _)| (from..=to).contains(at));
        let mut took: Vec<_> = in_window.map(|(_, took)| *took).collect();
        drop(connects);
        took.sort_unstable();
        let at = |percent: usize| {
            let index = (took.len() * percent).div_ceil(100).saturating_sub(1);
            took.get(index).copied().unwrap_or_default()
        };
        Latency {
            count: took.len(),
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

/// The newest items.
#[derive(Debug)]
struct Recent<T> {
    items: VecDeque<T>,
    /// Whether older ones were dropped.
    forgot: bool,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            forgot: false,
        }
    }
}

impl<T> Recent<T> {
    fn push(&mut self, item: T, keep: usize) {
        if self.items.len() >= keep {
            self.items.pop_front();
            self.forgot = true;
        }
        self.items.push_back(item);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn tally(acks: &[u32], forgot: bool) -> (Tally, Instant) {
        let start = Instant::now();
        let items = acks.iter().map(|ms| start + MS * *ms).collect();
        let tally = Tally {
            acks: Mutex::new(Recent { items, forgot }),
            ..Tally::default()
        };
        (tally, start)
    }

    #[test]
    fn the_pause_is_the_longest_gap_in_the_window() {
        let (tally, start) = tally(&[10, 12, 30, 31, 60], false);
        let pause = |from: u32, to: u32| tally.write_pause(start + MS * from, start + MS * to);
        assert_eq!(pause(10, 31), MS * 18);
        assert_eq!(pause(0, 100), MS * 40);
        assert_eq!(pause(13, 20), MS * 7);
        assert_eq!(pause(31, 55), MS * 24);
        assert_eq!(pause(5, 5), Duration::ZERO);
    }

    #[test]
    fn writes_are_counted_from_the_start_to_before_the_end() {
        let (tally, start) = tally(&[10, 12, 30, 31, 60], false);
        let writes = |from: u32, to: u32| tally.writes_between(start + MS * from, start + MS * to);
        assert_eq!(writes(12, 31), 2);
        assert_eq!(writes(0, 61), 5);
        assert_eq!(writes(13, 30), 0);
        assert_eq!(writes(61, 12), 0);
    }

    #[test]
    fn what_was_forgotten_is_no_pause() {
        let (tally, start) = tally(&[50, 52], true);
        assert_eq!(tally.write_pause(start, start + MS * 53), MS * 2);
    }

    #[test]
    fn only_the_newest_are_kept() {
        let mut recent = Recent::default();
        for item in 0..5 {
            recent.push(item, 3);
        }
        assert_eq!(recent.items, [2, 3, 4]);
        assert!(recent.forgot);
    }

    #[test]
    fn latency_is_taken_from_the_window() {
        let tally = Tally::default();
        let from = Instant::now();
        for ms in 1..=100 {
            tally.connected(MS * ms);
        }
        let to = Instant::now();
        let latency = tally.connect_latency(from, to);
        let expected = Latency {
            count: 100,
            p50: MS * 50,
            p99: MS * 99,
            max: MS * 100,
        };
        assert_eq!(latency, expected);
        assert_eq!(tally.connect_latency(to + MS, to + MS), Latency::default());
        assert_eq!(tally.counters().connects, 100);
    }
}

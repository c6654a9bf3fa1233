//! The phases that a supervisor goes through in one step of the demo.

use std::time::{Duration, Instant};

use handoff_std::core::supervisor::Phase;
use serde::{Serialize, Serializer};

/// From one moment to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// Its start.
    pub(super) from: Instant,
    /// Its end.
    pub(super) to: Instant,
}

impl Span {
    /// How long it is.
    pub(super) fn length(self) -> Duration {
        self.to.saturating_duration_since(self.from)
    }
}

/// The phases that a supervisor went through, in order, and when.
#[derive(Debug, Clone, Default)]
pub(super) struct Phases {
    visits: Vec<(String, Span)>,
    /// The phase it is in, and since when.
    current: Option<(String, Instant)>,
}

impl Phases {
    /// This phase was entered, and the one before it left.
    pub(super) fn enter(&mut self, phase: String, at: Instant) {
        self.leave(at);
        // That the task has ended is a phase too, in which no time is spent.
        if phase != Phase::Done.name() {
            self.current = Some((phase, at));
        }
    }

    /// The phase that was entered last has been left, if it was not yet.
    pub(super) fn leave(&mut self, at: Instant) {
        if let Some((phase, from)) = self.current.take() {
            self.visits.push((phase, Span { from, to: at }));
        }
    }

    /// When it was in this phase, if it was; the first time.
    pub(super) fn first(&self, phase: Phase) -> Option<Span> {
        let mut visits = self.visits.iter();
        visits.find_map(|(name, span)| (name == phase.name()).then_some(*span))
    }

    /// How long it was in each phase; one that was entered again counts once, with all its times.
    pub(super) fn times(&self) -> Vec<(&str, Duration)> {
        let mut times: Vec<(&str, Duration)> = Vec::new();
        for (phase, span) in &self.visits {
            match times.iter_mut().find(|(known, _)| known == phase) {
                Some((_, sum)) => *sum += span.length(),
                None => times.push((phase, span.length())),
            }
        }
        times
    }
}

/// As a map from phases to milliseconds.
impl Serialize for Phases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let times = self.times();
        serializer.collect_map(times.iter().map(|(phase, time)| (phase, millis(*time))))
    }
}

/// Milliseconds to the microsecond.
pub(super) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_added_up_by_phase_and_end_when_the_supervisor_does() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut phases = Phases::default();
        phases.enter("Probing".into(), at(0));
        phases.enter("Settling".into(), at(2));
        phases.enter("Probing".into(), at(5));
        phases.enter("Done".into(), at(9));
        phases.leave(at(20));
        let ms = Duration::from_millis;
        assert_eq!(phases.times(), [("Probing", ms(6)), ("Settling", ms(3))]);
        assert_eq!(phases.first(Phase::Probing).unwrap().length(), ms(2));
        assert!(phases.first(Phase::Opening).is_none());
    }
}

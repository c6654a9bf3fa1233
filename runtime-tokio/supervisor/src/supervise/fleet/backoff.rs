//! How long to wait before a daemon that ended is started again.

use std::time::Duration;

use crate::config::Restart;

/// Pauses that double.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    first: Duration,
    longest: Duration,
    /// A daemon that lived this long was well.
    well: Duration,
}

impl Backoff {
    pub(super) const fn new(restart: &Restart) -> Self {
        Self {
            next: restart.backoff,
            first: restart.backoff,
            longest: restart.backoff_max,
            well: restart.reset_after,
        }
    }

    /// A daemon has ended that lived for so long.
    pub(super) fn ended(&mut self, lived: Duration) {
        if lived >= self.well {
            self.next = self.first;
        }
    }

    /// The pause before the next try.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_its_limit_and_starts_anew_after_a_good_life() {
        let mut backoff = Backoff::new(&Restart::default());
        let pauses: Vec<_> = (0..9)
            .map(|_| {
                backoff.ended(Duration::ZERO);
                backoff.pause().as_millis()
            })
            .collect();
        let expected = [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000];
        assert_eq!(pauses, expected);
        backoff.ended(Restart::default().reset_after);
        assert_eq!(
            (backoff.pause(), backoff.pause()),
            (Duration::from_millis(100), Duration::from_millis(200))
        );
    }
}

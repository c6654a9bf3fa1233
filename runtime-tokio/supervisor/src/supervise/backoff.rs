//! How long to wait before a daemon that ended is started again.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(10);
/// A daemon that lived this long was well.
const WELL: Duration = Duration::from_secs(10);

/// Pauses that double.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// A daemon has ended that lived for so long.
    pub(super) fn ended(&mut self, lived: Duration) {
        if lived >= WELL {
            self.next = FIRST;
        }
    }

    /// The pause before the next try.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_its_limit_and_starts_anew_after_a_good_life() {
        let mut backoff = Backoff::new();
        let pauses: Vec<_> = (0..9)
            .map(|_| {
                backoff.ended(Duration::ZERO);
                backoff.pause().as_millis()
            })
            .collect();
        let expected = [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000];
        assert_eq!(pauses, expected);
        backoff.ended(WELL);
        assert_eq!((backoff.pause(), backoff.pause()), (FIRST, 2 * FIRST));
    }
}

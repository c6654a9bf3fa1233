//! The clock an adapter drives its core with: monotonic, in nanoseconds, starting at the Unix time
//! of its creation. So a reading is good for deadlines and still means something in a log.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A monotonic clock whose readings start at the Unix time of its creation. Steps of the system's
/// clock after that do not move it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    now: fn() -> Instant,
    started: Instant,
    unix_nanos: u64,
}

impl Clock {
    /// A clock that starts now.
    pub fn new() -> Self {
        Self::of(Instant::now)
    }

    /// A clock that starts now and goes as `now` says: for a runtime whose time can be stopped in
    /// tests.
    pub fn of(now: fn() -> Instant) -> Self {
        // A system clock before 1970 is broken, and a clock that starts at zero serves as well.
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            now,
            started: now(),
            unix_nanos: u64::try_from(since_epoch.as_nanos()).unwrap_or(0),
        }
    }

    /// Nanoseconds since the Unix epoch, as this clock counts them. Never goes back.
    pub fn now_nanos(&self) -> u64 {
        let elapsed = (self.now)().saturating_duration_since(self.started);
        let elapsed = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.unix_nanos.saturating_add(elapsed)
    }

    /// The moment at which this clock reads `nanos`; `None` when that is too far away.
    pub fn instant(&self, nanos: u64) -> Option<Instant> {
        self.started
            .checked_add(Duration::from_nanos(nanos.saturating_sub(self.unix_nanos)))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_unix_time_and_never_goes_back() {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let clock = Clock::new();
        let first = clock.now_nanos();
        assert!(u128::from(first) >= before.as_nanos());
        assert!(clock.now_nanos() >= first);
        // A copy is the same clock, not a new one.
        let copy = clock;
        assert!(copy.now_nanos() >= first);
    }
}

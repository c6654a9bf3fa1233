//! Time as the machines see it: a number that the adapter hands in.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment: nanoseconds since an epoch that the adapter picks. Arithmetic saturates.
///
/// The core never reads a clock. An adapter that wants the heartbeats' time stamps to be right
/// picks the Unix epoch (Unix time when the process started, plus monotonic time since).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Instant(u64);

impl Instant {
    /// The moment `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The moment `by` later, or the last representable one.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let end = Instant::from_nanos(u64::MAX);
        assert_eq!(end.after(Duration::MAX), end);
        assert_eq!(Instant::from_nanos(0).since(end), Duration::ZERO);
        assert_eq!(Instant::from_nanos(2_500_000).as_nanos(), 2_500_000);
        assert_eq!(Instant::from_nanos(2_500_000).as_millis(), 2);
    }
}

//! Which protocol versions a side speaks, and the one that two sides settle on.

use core::fmt;

use serde::{Deserialize, Serialize};

/// The protocol versions that one side speaks, both ends included. Each side says its own in Hello.
///
/// A range whose `min` is above its `max` holds no version and has none in common with any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VersionRange {
    /// The lowest version.
    pub min: u16,
    /// The highest version.
    pub max: u16,
}

impl VersionRange {
    /// Version 1 alone.
    pub const V1: Self = Self { min: 1, max: 1 };

    /// All that this build speaks.
    pub const SUPPORTED: Self = Self { min: 1, max: 2 };

    /// The highest version in both ranges.
    pub fn highest_common(self, other: Self) -> Option<u16> {
        let lowest = self.min.max(other.min);
        let highest = self.max.min(other.max);
        // An inverted range also fails this: `lowest` is then above its own `max`.
        (lowest <= highest).then_some(highest)
    }

    /// The version that a session with a side that speaks `theirs` goes on with.
    ///
    /// # Errors
    /// [`NoCommonVersion`] ends the session.
    pub fn negotiate(self, theirs: Self) -> Result<u16, NoCommonVersion> {
        let ours = self;
        ours.highest_common(theirs)
            .ok_or(NoCommonVersion { ours, theirs })
    }

    /// Whether the `version` that the other side chose is one of ours.
    ///
    /// # Errors
    /// [`NoCommonVersion`] ends the session.
    pub fn admit(self, version: u16) -> Result<u16, NoCommonVersion> {
        self.negotiate(Self {
            min: version,
            max: version,
        })
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.min, self.max)
    }
}

/// Two sides that speak no version in common; the session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error(
    "no protocol version in common: ours {ours}, theirs {theirs}; upgrade the side that is behind"
)]
pub struct NoCommonVersion {
    /// What our side speaks.
    pub ours: VersionRange,
    /// What the peer said in its Hello.
    pub theirs: VersionRange,
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    fn common(a: (u16, u16), b: (u16, u16)) -> Option<u16> {
        let range = |(min, max)| VersionRange { min, max };
        let found = range(a).highest_common(range(b));
        assert_eq!(found, range(b).highest_common(range(a)), "{a:?} {b:?}");
        found
    }

    #[test]
    fn the_highest_version_in_both_ranges() {
        assert_eq!(common((1, 1), (1, 1)), Some(1));
        assert_eq!(common((1, 2), (1, 1)), Some(1));
        assert_eq!(common((1, 5), (2, 3)), Some(3));
        assert_eq!(common((1, 1), (0, u16::MAX)), Some(1));
        assert_eq!(common((1, 1), (2, 3)), None);
    }

    #[test]
    fn an_inverted_range_has_nothing_in_common() {
        assert_eq!(common((2, 1), (1, 2)), None);
        assert_eq!(common((u16::MAX, 0), (0, u16::MAX)), None);
        assert_eq!(common((2, 1), (2, 1)), None);
    }

    #[test]
    fn the_error_has_both_ranges() {
        let error = NoCommonVersion {
            ours: VersionRange::V1,
            theirs: VersionRange { min: 2, max: 3 },
        };
        let text = error.to_string();
        assert!(text.contains("1..=1") && text.contains("2..=3"), "{text}");
    }
}

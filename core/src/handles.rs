//! Descriptors that travel with a frame, as the core sees them: numbers, and nothing more.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A run of descriptors that belong together: the handles `first`, `first + 1` and so on, `count` of
/// them. The adapter owns the descriptors and picks the numbers; the core only passes them on.
///
/// Descriptors come with [`Input::Bytes`](crate::Input::Bytes) and go with
/// [`Action::Send`](crate::Action::Send).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Handles {
    /// The number of the first one.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

impl Handles {
    /// The most that one frame can carry: what Linux sends with one call (`SCM_MAX_FD`).
    pub const MAX: u32 = 253;

    /// No descriptors.
    pub const NONE: Self = Self { first: 0, count: 0 };

    /// Descriptors came for which the adapter had no room, and are gone. It ends the link they came on.
    pub const TRUNCATED: Self = Self {
        first: 0,
        count: u32::MAX,
    };

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The number of each; none for [`TRUNCATED`](Self::TRUNCATED).
    pub const fn numbers(self) -> core::ops::Range<u32> {
        if self.count == Self::TRUNCATED.count {
            return 0..0;
        }
        self.first..self.first.saturating_add(self.count)
    }
}

impl fmt::Display for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TRUNCATED => f.write_str("more descriptors than there is room for"),
            Self { count: 1, .. } => f.write_str("1 descriptor"),
            Self { count, .. } => write!(f, "{count} descriptors"),
        }
    }
}

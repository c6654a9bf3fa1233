//! How a world is set up.

use super::Mutation;

/// How a world is set up.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Setup {
    /// How many faults may happen, all in all.
    pub faults: u8,
    /// Whether S may be frozen, and thaw at any time or never.
    pub freezes: bool,
    /// Whether the daemons may be frozen, too. States with a frozen daemon are held to safety alone.
    pub freeze_daemons: bool,
    /// Whether hooks, health checks and other operations may fail; each failure is a fault.
    pub failures: bool,
    /// Whether a killed S may be started again, at any time or never. It has lost its listeners.
    pub restart: bool,
    /// Kill an incumbent that misses its deadline (`C10`).
    pub kill_stuck: bool,
    /// An operation or a hook may be stalled, and end at any time later or never; a fault.
    pub stalls: bool,
    /// Somebody may remove the control path; a fault. Whoever bound it notices.
    pub unlinks: bool,
    /// A further process asks the incumbent how it is, once and at any time.
    pub asks: bool,
    /// How many handoffs S performs, one after the other.
    pub handoffs: u8,
    /// How long a successor serves on probation, in seconds; 0: there is none. The announced deadline
    /// of a handoff passes after 7.
    pub probation: u8,
    /// S speaks version 1 alone.
    pub old_supervisor: bool,
    /// The incumbent of the beginning speaks version 1 alone, and so does one that is started afresh.
    pub old_incumbent: bool,
    /// Successors speak version 1 alone.
    pub old_successor: bool,
    /// The incumbent of the beginning is of the published version: it speaks version 1, and behaves in
    /// a crash as that one does.
    pub v1_incumbent: bool,
    /// Successors are, until they serve.
    pub v1_successor: bool,
    /// Rules that are switched off, to see that they are missed.
    pub mutations: &'static [Mutation],
}

impl Setup {
    /// One handoff, without probation, and nothing goes wrong.
    pub const DEFAULT: Self = Self {
        faults: 0,
        freezes: false,
        freeze_daemons: false,
        failures: false,
        restart: false,
        kill_stuck: false,
        stalls: false,
        unlinks: false,
        asks: false,
        handoffs: 1,
        probation: 0,
        old_supervisor: false,
        old_incumbent: false,
        old_successor: false,
        v1_incumbent: false,
        v1_successor: false,
        mutations: &[],
    };
}

impl Default for Setup {
    fn default() -> Self {
        Self::DEFAULT
    }
}

//! The operations of a supervisor, with their tickets and without.

use serde::{Deserialize, Serialize};

use crate::handles::Handles;
use crate::journal::Entry;
use crate::op::{
    AdoptListeners, ClearJournal, ColdStart, Connect, Kill, Probe, Process, Spawn, Ticket,
    WatchProbation, WriteJournal,
};
use crate::time::Instant;

/// What a supervisor asks of its adapter.
#[derive(Debug, PartialEq, Eq)]
pub enum SupervisorOp {
    /// Connect to the control path, once, without waiting. The link is open from the completion on.
    Connect(Ticket<Connect>),
    /// Start the successor with its channel. The link is open from the completion on.
    Spawn(Ticket<Spawn>),
    /// Kill this process; done when it is dead and, if it is our child, reaped. It must still be
    /// the one that is meant.
    Kill {
        /// To report its end with.
        ticket: Ticket<Kill>,
        /// Whom.
        process: Process,
    },
    /// Write the journal; nothing waits for the disk.
    WriteJournal {
        /// To report its end with.
        ticket: Ticket<WriteJournal>,
        /// What it is to say.
        entry: Entry,
    },
    /// Remove the journal.
    ClearJournal(Ticket<ClearJournal>),
    /// Start the daemon with nobody to take over from.
    ColdStart(Ticket<ColdStart>),
    /// Look whether these processes live and whether the writer lock is free.
    Probe {
        /// To report its end with.
        ticket: Ticket<Probe>,
        /// The journal's entry, if there is one.
        entry: Option<Entry>,
    },
    /// Watch the successor: done when it is `until` and all is well, failed as soon as its process is
    /// dead, a health check fails or an operator wants it back. Stop when it is cancelled.
    WatchProbation {
        /// To report its end with.
        ticket: Ticket<WatchProbation>,
        /// The successor.
        process: Process,
        /// The end of its probation.
        until: Instant,
    },
    /// Take these descriptors from the link that they came on. Their names were in the message
    /// ([`Turn::message`](crate::Turn::message)) of this turn.
    AdoptListeners {
        /// To report its end with.
        ticket: Ticket<AdoptListeners>,
        /// Which ones.
        handles: Handles,
    },
}

/// A [`SupervisorOp`] without its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SupervisorCall {
    /// See [`SupervisorOp::Connect`].
    Connect,
    /// See [`SupervisorOp::Spawn`].
    Spawn,
    /// See [`SupervisorOp::Kill`].
    Kill(Process),
    /// See [`SupervisorOp::WriteJournal`].
    WriteJournal(Entry),
    /// See [`SupervisorOp::ClearJournal`].
    ClearJournal,
    /// See [`SupervisorOp::ColdStart`].
    ColdStart,
    /// See [`SupervisorOp::Probe`].
    Probe(Option<Entry>),
    /// See [`SupervisorOp::WatchProbation`].
    WatchProbation(Process, Instant),
    /// See [`SupervisorOp::AdoptListeners`].
    AdoptListeners(Handles),
}

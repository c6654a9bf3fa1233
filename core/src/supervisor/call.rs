//! The operations of a supervisor, with their tickets and without.

use crate::journal::Entry;
use crate::op::{
    ClearJournal, ColdStart, Connect, Kill, Probe, Process, Spawn, Ticket, WriteJournal,
};

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
}

/// A [`SupervisorOp`] without its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
}

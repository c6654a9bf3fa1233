//! Rules of the protocol that are switched off on purpose, to see that they are missed; and what a
//! process of the published version 1 does differently in a crash.
//!
//! Most of them are rows put in front of those of a machine's own table: the first row that fits is
//! taken. A row without acts that stays where it is lets its cue pass by.

use handoff_core::incumbent::{INCUMBENT, IncumbentRow};
use handoff_core::successor::{SUCCESSOR, SuccessorRow};
use handoff_core::supervisor::{SUPERVISOR, SupervisorRow};
use handoff_core::table::Row;

use super::broken::{self, incumbent_rows, successor_rows, supervisor_rows};

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// An incumbent that cannot go on, or is told not to, forgets the handoff and stays closed.
    C1,
    /// A sealed incumbent leaves when it loses its session, or is told to come back.
    C2,
    /// An incumbent tries for the lock once more, and then leaves.
    C2GivesUp,
    /// An incumbent that tries for the lock leaves as soon as it sees another's control path.
    C2LeavesAtOnce,
    /// An incumbent that got the lock back does not look whose the control path is.
    C2LeavesPath,
    /// A successor leaves when it loses its session before Begin.
    C3,
    /// A successor that finds the lock held fails at once.
    C4,
    /// A successor leaves when it loses its session after Begin.
    C5,
    /// A supervisor that loses the incumbent before `SealComplete` kills the successor.
    C6,
    /// A supervisor that gives up before Begin neither kills the successor nor tells the incumbent.
    C7,
    /// A supervisor before Begin waits on, whatever happens to the successor.
    C7Waits,
    /// A supervisor after Begin waits on, whatever happens to the successor.
    C8,
    /// A supervisor tells the incumbent to come back without having killed the successor.
    C8Spares,
    /// A supervisor commits a successor that said it is not healthy.
    C8CommitsUnhealthy,
    /// A supervisor that was restarted deletes the journal and does nothing.
    C9,
    /// A supervisor that was restarted never kills an unsettled successor.
    C9Spares,
    /// A supervisor waits on when the incumbent ignores its deadline.
    C10,
    /// An incumbent waits for a silent supervisor without end.
    C11,
    /// A successor fails when its session is lost while it opens, and an incumbent gives up after it
    /// has tried for the lock once more: the outage of section 12.1.
    Impatient,
    /// A supervisor does not wait for Standby before it has the incumbent drained.
    NoStandbyWait,
    /// A supervisor waits on, whatever happens to a successor on probation.
    C8Probation,
    /// A supervisor that loses the incumbent during a probation kills the successor.
    C6Probation,
    /// A supervisor says Commit to the successor before the probation.
    CommitsEarly,
    /// A supervisor says Commit to the successor as soon as that to the incumbent is written.
    CommitsAtOnce,
    /// A sealed incumbent does not look for the lock when the deadline has passed.
    Checking,
    /// An incumbent does not mind a supervisor of version 2 that is silent, as long as the deadline has
    /// not passed.
    C11Silence,
    /// A supervisor sends no heartbeats.
    SilentSupervisor,
    /// A successor whose supervisor is gone is confirmed at once.
    OrphanedAtOnce,
    /// An incumbent does not keep the listeners for others.
    DropsListeners,
    /// A supervisor that was started again does not ask for the listeners.
    NeverAsks,
    /// An incumbent that resumes does not open the data again.
    StaleResume,
    /// Deadlines are looked at before what was received.
    TimeoutsFirst,
    /// A seal that failed is taken for one that worked.
    FailedSealCounts,
    /// A supervisor without a task does not watch the daemon.
    Unwatched,
    /// A process that takes the lock is not held up by the process that has it.
    OpenLock,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 35] = [
        Self::C1,
        Self::C2,
        Self::C2GivesUp,
        Self::C2LeavesAtOnce,
        Self::C2LeavesPath,
        Self::C3,
        Self::C4,
        Self::C5,
        Self::C6,
        Self::C7,
        Self::C7Waits,
        Self::C8,
        Self::C8Spares,
        Self::C8CommitsUnhealthy,
        Self::C9,
        Self::C9Spares,
        Self::C10,
        Self::C11,
        Self::Impatient,
        Self::NoStandbyWait,
        Self::C8Probation,
        Self::C6Probation,
        Self::CommitsEarly,
        Self::CommitsAtOnce,
        Self::Checking,
        Self::C11Silence,
        Self::SilentSupervisor,
        Self::OrphanedAtOnce,
        Self::DropsListeners,
        Self::NeverAsks,
        Self::StaleResume,
        Self::TimeoutsFirst,
        Self::FailedSealCounts,
        Self::Unwatched,
        Self::OpenLock,
    ];
}

/// The tables that the machines of one version run on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    pub(crate) incumbent: &'static [IncumbentRow],
    pub(crate) successor: &'static [SuccessorRow],
    pub(crate) supervisor: &'static [SupervisorRow],
}

impl Tables {
    /// Our own, with some rules switched off.
    pub(crate) fn ours(mutations: &[Mutation]) -> Self {
        let (mut old, mut new, mut boss) = (Vec::new(), Vec::new(), Vec::new());
        for mutation in mutations {
            old.extend_from_slice(incumbent_rows(*mutation));
            new.extend_from_slice(successor_rows(*mutation));
            boss.extend_from_slice(supervisor_rows(*mutation));
        }
        Self {
            incumbent: in_front(old, INCUMBENT),
            successor: in_front(new, SUCCESSOR),
            supervisor: in_front(boss, SUPERVISOR),
        }
    }

    /// Those of the published version: its incumbent gives up (see `World::gives_up`) without a look at
    /// the control path, its successor fails when its session is lost before Begin (later: see
    /// `World::cannot_say_ready`).
    pub(crate) fn published() -> Self {
        let mut old = vec![broken::BLIND];
        old.extend_from_slice(incumbent_rows(Mutation::C2LeavesPath));
        Self {
            incumbent: in_front(old, INCUMBENT),
            successor: in_front(successor_rows(Mutation::C3).to_vec(), SUCCESSOR),
            supervisor: SUPERVISOR,
        }
    }
}

/// The rows in front of a table. A table that differs lives as long as the process, as the real ones do.
fn in_front<P: Copy, C: Copy, A: Copy>(
    mut rows: Vec<Row<P, C, A>>,
    table: &'static [Row<P, C, A>],
) -> &'static [Row<P, C, A>] {
    if rows.is_empty() {
        return table;
    }
    rows.extend_from_slice(table);
    rows.leak()
}

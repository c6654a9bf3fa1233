//! What the host reports: fit for the operation, or anything.

use handoff_core::op::{
    Completion, DrainReport, LinkReport, ListenersReport, LockReport, OpenReport, PathOwner,
    Report, Scene, SealReport, SnapshotReport, Ticket, Verdict,
};
use handoff_core::record::decode_input;
use handoff_core::supervisor::Phase;
use handoff_core::wire::{Names, Revisions};
use handoff_core::{
    Handles, Incumbent, IncumbentOp, Input, LinkId, Role, Successor, SuccessorOp, SuccessorOutcome,
    Supervisor, SupervisorOp, SupervisorOutcome, SupervisorState,
};

use crate::subject::{NEW, OLD};

const FEW: &[u64] = &[1, 300];
/// Revisions that fit into no frame of the subject's links.
const MANY: &[u64] = &[u64::MAX; 150];

/// A role whose operations can be named and ended.
pub(crate) trait Host<const L: usize>: Role<L> {
    /// The operation's number and name.
    fn ticket(op: &Self::Op) -> (u32, &'static str);
    /// Ends the operation in one of the ways that it can end; a new link gets this name.
    fn end(op: Self::Op, how: u8, link: LinkId) -> Completion<'static>;
    /// Whether descriptors may come in now.
    fn awaits_handles(_: &Self::State) -> bool {
        false
    }
    /// The descriptors that the operation takes over.
    fn adopts(_: &Self::Op) -> Option<Handles> {
        None
    }
    /// Checks an outcome against how often each operation was started.
    fn check(_: &Self::Outcome, _: impl Fn(&str) -> usize) {}
}

/// Ends an operation of which there is nothing to report.
fn plain<K>(ticket: Ticket<K>, how: u8) -> Completion<'static>
where
    K: for<'b> handoff_core::op::Operation<Done<'b> = ()>,
{
    match how % 4 {
        0 => ticket.failed("for a reason"),
        _ => ticket.done(()),
    }
}

const fn lock(how: u8) -> LockReport {
    if how % 4 == 1 {
        LockReport::Held
    } else {
        LockReport::Taken { generation: 3 }
    }
}

fn link(how: u8, link: LinkId) -> LinkReport {
    let process = if how.is_multiple_of(2) { OLD } else { NEW };
    LinkReport { link, process }
}

const fn scene(how: u8) -> Scene {
    Scene {
        incumbent_alive: how & 1 == 1,
        successor_alive: how & 2 == 2,
        lock_free: how & 4 == 4,
    }
}

fn seal(revisions: &'static [u64]) -> SealReport<'static> {
    SealReport {
        revisions: Revisions::from(revisions),
        fingerprint: [9; 32],
    }
}

fn open(healthy: bool, revisions: &'static [u64]) -> OpenReport<'static> {
    OpenReport {
        listening_on: Names::from(&["http"][..]),
        healthy,
        revisions: Revisions::from(revisions),
    }
}

const NAMES: &[&str] = &["http", "admin"];

/// As many descriptors as names, or not.
fn listeners(how: u8) -> ListenersReport<'static> {
    let (names, count) = match how % 8 {
        0 => (2, 1),
        1 => (0, 1),
        2 => (1, Handles::TRUNCATED.count),
        3 => (0, 0),
        4 => (1, 1),
        _ => (2, 2),
    };
    let first = u32::from(how);
    ListenersReport {
        names: Names::from(&NAMES[..names]),
        handles: Handles { first, count },
    }
}

fn snapshot(how: u8) -> SnapshotReport<'static> {
    SnapshotReport {
        open_connections: u32::from(how),
        revisions: Revisions::from(if how % 4 == 1 { MANY } else { FEW }),
    }
}

macro_rules! number_and_name {
    ($($ticket:expr),*) => { ($($ticket.id().number(), $ticket.name()),*) };
}

impl Host<8> for Incumbent {
    fn ticket(op: &IncumbentOp) -> (u32, &'static str) {
        match op {
            IncumbentOp::Drain { ticket, .. } => number_and_name!(ticket),
            IncumbentOp::Seal { ticket, .. } => number_and_name!(ticket),
            IncumbentOp::Resume(ticket) => number_and_name!(ticket),
            IncumbentOp::ReleaseLock(ticket) => number_and_name!(ticket),
            IncumbentOp::TryLock(ticket) => number_and_name!(ticket),
            IncumbentOp::InspectPath(ticket) => number_and_name!(ticket),
            IncumbentOp::BindPath(ticket) => number_and_name!(ticket),
            IncumbentOp::Confirm(ticket) => number_and_name!(ticket),
            IncumbentOp::ListListeners(ticket) => number_and_name!(ticket),
            IncumbentOp::Snapshot(ticket) => number_and_name!(ticket),
        }
    }

    fn end(op: IncumbentOp, how: u8, _: LinkId) -> Completion<'static> {
        match op {
            IncumbentOp::Drain { ticket, .. } if how.is_multiple_of(4) => ticket.failed("drain"),
            IncumbentOp::Drain { ticket, .. } => ticket.done(DrainReport {
                open_connections: u32::from(how),
                accept_closed: how & 1 == 1,
            }),
            IncumbentOp::Seal { ticket, .. } => match how % 4 {
                0 => ticket.failed("seal"),
                1 => ticket.done(seal(MANY)),
                _ => ticket.done(seal(FEW)),
            },
            IncumbentOp::Resume(ticket) => plain(ticket, how),
            IncumbentOp::ReleaseLock(ticket) => plain(ticket, how),
            IncumbentOp::TryLock(ticket) if how.is_multiple_of(4) => ticket.failed("lock"),
            IncumbentOp::TryLock(ticket) => ticket.done(lock(how)),
            IncumbentOp::InspectPath(ticket) => match how % 4 {
                0 => ticket.failed("path"),
                1 => ticket.done(PathOwner::Nobody),
                2 => ticket.done(PathOwner::Theirs),
                _ => ticket.done(PathOwner::Ours),
            },
            IncumbentOp::BindPath(ticket) => plain(ticket, how),
            IncumbentOp::Confirm(ticket) => plain(ticket, how),
            IncumbentOp::ListListeners(ticket) if how % 16 == 15 => ticket.failed("listeners"),
            IncumbentOp::ListListeners(ticket) => ticket.done(listeners(how)),
            IncumbentOp::Snapshot(ticket) if how.is_multiple_of(4) => ticket.failed("snapshot"),
            IncumbentOp::Snapshot(ticket) => ticket.done(snapshot(how)),
        }
    }
}

impl Host<1> for Successor {
    fn ticket(op: &SuccessorOp) -> (u32, &'static str) {
        match op {
            SuccessorOp::StagePath(ticket) => number_and_name!(ticket),
            SuccessorOp::WarmUp(ticket) => number_and_name!(ticket),
            SuccessorOp::TryLock(ticket) => number_and_name!(ticket),
            SuccessorOp::Open(ticket) => number_and_name!(ticket),
            SuccessorOp::PublishPath(ticket) => number_and_name!(ticket),
            SuccessorOp::Serve { ticket, .. } => number_and_name!(ticket),
        }
    }

    fn end(op: SuccessorOp, how: u8, _: LinkId) -> Completion<'static> {
        match op {
            SuccessorOp::StagePath(ticket) => plain(ticket, how),
            SuccessorOp::WarmUp(ticket) => plain(ticket, how),
            SuccessorOp::TryLock(ticket) if how.is_multiple_of(4) => ticket.failed("lock"),
            SuccessorOp::TryLock(ticket) => ticket.done(lock(how)),
            SuccessorOp::Open(ticket) => match how % 5 {
                0 => ticket.failed("open"),
                1 => ticket.done(open(true, MANY)),
                2 => ticket.done(open(false, FEW)),
                _ => ticket.done(open(true, FEW)),
            },
            SuccessorOp::PublishPath(ticket) => plain(ticket, how),
            SuccessorOp::Serve { ticket, .. } => plain(ticket, how),
        }
    }

    /// Who serves has opened the data, and has been told to serve, once.
    fn check(outcome: &SuccessorOutcome, times: impl Fn(&str) -> usize) {
        if let SuccessorOutcome::Serving { verdict, .. } = *outcome {
            assert_ne!(verdict, Verdict::Dismissed);
            assert_eq!((times("Open"), times("Serve")), (1, 1));
        }
    }
}

impl Host<2> for Supervisor {
    fn ticket(op: &SupervisorOp) -> (u32, &'static str) {
        match op {
            SupervisorOp::Connect(ticket) => number_and_name!(ticket),
            SupervisorOp::Spawn(ticket) => number_and_name!(ticket),
            SupervisorOp::Kill { ticket, .. } => number_and_name!(ticket),
            SupervisorOp::WriteJournal { ticket, .. } => number_and_name!(ticket),
            SupervisorOp::ClearJournal(ticket) => number_and_name!(ticket),
            SupervisorOp::ColdStart(ticket) => number_and_name!(ticket),
            SupervisorOp::Probe { ticket, .. } => number_and_name!(ticket),
            SupervisorOp::WatchProbation { ticket, .. } => number_and_name!(ticket),
            SupervisorOp::AdoptListeners { ticket, .. } => number_and_name!(ticket),
        }
    }

    fn end(op: SupervisorOp, how: u8, new: LinkId) -> Completion<'static> {
        let fails = how.is_multiple_of(4);
        match op {
            SupervisorOp::Connect(ticket) if fails => ticket.failed("connect"),
            SupervisorOp::Connect(ticket) => ticket.done(link(how, new)),
            SupervisorOp::Spawn(ticket) if fails => ticket.failed("spawn"),
            SupervisorOp::Spawn(ticket) => ticket.done(link(how, new)),
            SupervisorOp::Kill { ticket, .. } => plain(ticket, how),
            SupervisorOp::WriteJournal { ticket, .. } => plain(ticket, how),
            SupervisorOp::ClearJournal(ticket) => plain(ticket, how),
            SupervisorOp::ColdStart(ticket) if fails => ticket.failed("start"),
            SupervisorOp::ColdStart(ticket) => ticket.done(NEW),
            SupervisorOp::Probe { ticket, .. } if how % 9 == 8 => ticket.failed("probe"),
            SupervisorOp::Probe { ticket, .. } => ticket.done(scene(how)),
            SupervisorOp::WatchProbation { ticket, .. } => plain(ticket, how),
            SupervisorOp::AdoptListeners { ticket, .. } => plain(ticket, how),
        }
    }

    fn awaits_handles(state: &SupervisorState) -> bool {
        state.phase() == Phase::Answering
    }

    fn adopts(op: &SupervisorOp) -> Option<Handles> {
        match op {
            SupervisorOp::AdoptListeners { handles, .. } => Some(*handles),
            _ => None,
        }
    }

    /// A handoff starts one successor; a question has nothing to do with any handoff.
    fn check(outcome: &SupervisorOutcome, times: impl Fn(&str) -> usize) {
        match outcome {
            SupervisorOutcome::Committed { .. } => assert_eq!(times("Spawn"), 1),
            SupervisorOutcome::Answered { .. } => {
                for other in ["Spawn", "Kill", "WriteJournal", "ClearJournal", "ColdStart"] {
                    assert_eq!(times(other), 0, "{other}");
                }
            }
            _ => {}
        }
    }
}

/// Any report.
pub(crate) fn report(how: u8, new: LinkId) -> Report<'static> {
    let reports = [
        Report::Failed("for a reason"),
        Report::Done,
        Report::Drained(DrainReport::default()),
        Report::Sealed(seal(FEW)),
        Report::Sealed(seal(MANY)),
        Report::Lock(lock(0)),
        Report::Lock(lock(1)),
        Report::Path(PathOwner::Ours),
        Report::Path(PathOwner::Theirs),
        Report::Path(PathOwner::Nobody),
        Report::Opened(open(true, FEW)),
        Report::Opened(open(false, FEW)),
        Report::Opened(open(true, MANY)),
        Report::Linked(link(0, new)),
        Report::Linked(link(1, new)),
        // A name that is in use.
        Report::Linked(link(0, LinkId(0))),
        Report::Started(NEW),
        Report::Scene(scene(how >> 5)),
        Report::Listeners(listeners(how >> 4)),
        Report::Snapshot(snapshot(how)),
    ];
    reports[usize::from(how) % reports.len()]
}

/// Hands the end of any operation to `use_it`. Tickets make only reports of their own kind; a record
/// can hold any.
pub(crate) fn oddly<T>(op: u32, report: &Report<'_>, use_it: impl FnOnce(Input<'_>) -> T) -> T {
    let mut room = [0; 2048];
    let record = postcard::to_slice(&(0_u64, 5_u32, op, report), &mut room).expect("room");
    let (_, input, _) = decode_input(record).expect("a record");
    use_it(input)
}

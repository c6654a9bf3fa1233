//! What the host reports and what peers say: fit for the operation, or anything.

use handoff_core::op::{
    Completion, DrainReport, LinkReport, LockReport, OpenReport, PathOwner, Report, Scene,
    SealReport, Ticket,
};
use handoff_core::record::decode_input;
use handoff_core::wire::{HandoffId, Hello, Message, Names, Revisions, Side, VersionRange};
use handoff_core::{
    Incumbent, IncumbentOp, Input, LinkId, Role, Successor, SuccessorOp, Supervisor, SupervisorOp,
};

use crate::ID;
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
        }
    }
}

impl Host<1> for Successor {
    fn ticket(op: &SuccessorOp) -> (u32, &'static str) {
        match op {
            SuccessorOp::StagePath(ticket) => number_and_name!(ticket),
            SuccessorOp::TryLock(ticket) => number_and_name!(ticket),
            SuccessorOp::Open(ticket) => number_and_name!(ticket),
            SuccessorOp::PublishPath(ticket) => number_and_name!(ticket),
        }
    }

    fn end(op: SuccessorOp, how: u8, _: LinkId) -> Completion<'static> {
        match op {
            SuccessorOp::StagePath(ticket) => plain(ticket, how),
            SuccessorOp::TryLock(ticket) if how.is_multiple_of(4) => ticket.failed("lock"),
            SuccessorOp::TryLock(ticket) => ticket.done(lock(how)),
            SuccessorOp::Open(ticket) => match how % 5 {
                0 => ticket.failed("open"),
                1 => ticket.done(open(true, MANY)),
                2 => ticket.done(open(false, FEW)),
                _ => ticket.done(open(true, FEW)),
            },
            SuccessorOp::PublishPath(ticket) => plain(ticket, how),
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

fn hello(side: Side, pid: u32, versions: VersionRange) -> Message<'static> {
    Message::Hello(Hello {
        side,
        pid,
        build_id: b"build",
        versions,
        capabilities: 0,
    })
}

/// Any message, most of them with the right id.
pub(crate) fn message(what: u8) -> Message<'static> {
    let id = ID;
    let reason = "any";
    let revisions = Revisions::from(FEW);
    let (one, two) = (VersionRange::V1, VersionRange { min: 2, max: 2 });
    let prepare = |deadline_ms, drain_grace_ms| Message::PrepareHandoff {
        id,
        successor_pid: NEW.pid,
        deadline_ms,
        drain_grace_ms,
    };
    let ready = |healthz_ok| Message::Ready {
        id,
        listening_on: Names::from(&["http"][..]),
        healthz_ok,
        revisions,
    };
    let messages = [
        hello(Side::Incumbent, OLD.pid, one),
        hello(Side::Successor, NEW.pid, one),
        Message::HelloAck { version: 1, id },
        prepare(30_000, 10_000),
        Message::Drained {
            open_connections: 0,
            accept_closed: true,
        },
        Message::SealRequest { id },
        Message::SealProgress {
            sealed: 1,
            total: 2,
            revision: 3,
        },
        Message::SealComplete {
            id,
            revisions,
            fingerprint: [0; 32],
        },
        Message::SealFailed {
            id,
            error: reason,
            partial_state: "",
        },
        Message::Begin { id },
        ready(true),
        Message::Commit { id },
        Message::Abort { id, reason },
        Message::ResumeAfterAbort { id },
        Message::Heartbeat { ts_ms: 0 },
        ready(false),
        prepare(0, 0),
        prepare(u64::MAX, u64::MAX),
        hello(Side::Incumbent, OLD.pid, two),
        Message::HelloAck { version: 2, id },
        Message::Commit {
            id: HandoffId::from_bytes([3; 16]),
        },
    ];
    messages[usize::from(what) % messages.len()]
}

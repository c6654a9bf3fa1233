//! What can happen to a machine: anything at all, and the way it is meant to go.

use std::time::Duration;

use handoff_core::Handles;
use handoff_core::op::{
    DrainReport, LinkReport, ListenersReport, LockReport, OpenReport, PathOwner, Report, Scene,
    SealReport, SnapshotReport, Verdict,
};
use handoff_core::wire::{HandoffId, Hello, Message, Names, Revisions, Side, VersionRange};
use handoff_core::{Input, LinkId};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::world::{ID, NEW, OLD};

/// Which of the open links.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Any(Index),
    Nth(usize),
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    Opened,
    Bytes(Which, Vec<u8>, Handles),
    /// In the version of the link, unless it is to be another.
    Said(Which, Message<'static>, Handles, Option<u16>),
    Wrote(Which, Index),
    WroteAll(Which),
    Closed(Which),
    /// The operation started so many before the last ends with this report.
    Ended(u32, Report<'static>),
    /// The same, with a new link.
    Linked(u32, bool),
    Host(Input<'static>),
    /// The driver sleeps exactly until the deadline.
    Slept,
    Passed(Duration),
    EarlyDeadline,
}

pub(super) fn happening() -> impl Strategy<Value = Happening> {
    let which = || any::<Index>().prop_map(Which::Any);
    let progress = Input::Progress {
        sealed: 1,
        total: 1,
        revision: 1,
    };
    let host = vec![
        progress,
        Input::Unbound,
        Input::Probation(Verdict::Committed),
        Input::Probation(Verdict::Orphaned),
        Input::Probation(Verdict::Dismissed),
    ];
    prop_oneof![
        2 => Just(Happening::Opened),
        1 => (which(), prop::collection::vec(any::<u8>(), 0..40), handles(Handles::NONE))
            .prop_map(|(link, bytes, handles)| Happening::Bytes(link, bytes, handles)),
        8 => (which(), said(), prop_oneof![20 => Just(None), 1 => (0_u16..4).prop_map(Some)])
            .prop_map(|(link, (what, handles), version)| {
                Happening::Said(link, what, handles, version)
            }),
        4 => (which(), any::<Index>()).prop_map(|(link, count)| Happening::Wrote(link, count)),
        2 => which().prop_map(Happening::WroteAll),
        1 => which().prop_map(Happening::Closed),
        8 => (0_u32..4, select(reports())).prop_map(|(back, what)| Happening::Ended(back, what)),
        1 => (0_u32..4, any::<bool>()).prop_map(|(back, new)| Happening::Linked(back, new)),
        2 => select(host).prop_map(Happening::Host),
        4 => Just(Happening::Slept),
        1 => (0_u64..70_000).prop_map(|millis| Happening::Passed(Duration::from_millis(millis))),
        1 => Just(Happening::EarlyDeadline),
    ]
}

/// Mostly these, and now and then others.
fn handles(usual: Handles) -> impl Strategy<Value = Handles> {
    prop_oneof![
        12 => Just(usual),
        1 => Just(Handles::TRUNCATED),
        1 => (0_u32..4).prop_map(|count| Handles { first: 70, count }),
    ]
}

fn said() -> impl Strategy<Value = (Message<'static>, Handles)> {
    select(messages()).prop_flat_map(|what| (Just(what), handles(belonging(&what))))
}

pub(super) fn belonging(message: &Message<'_>) -> Handles {
    match u32::try_from(message.descriptors()) {
        Ok(count) if count > 0 => Handles { first: 40, count },
        _ => Handles::NONE,
    }
}

pub(super) fn hello(side: Side, pid: u32, versions: VersionRange) -> Message<'static> {
    Message::Hello(Hello {
        side,
        pid,
        build_id: &[],
        versions,
        capabilities: 0,
    })
}

fn prepare() -> Message<'static> {
    Message::PrepareHandoff {
        id: ID,
        successor_pid: 1,
        deadline_ms: 30_000,
        drain_grace_ms: 10_000,
    }
}

fn seal_complete() -> Message<'static> {
    Message::SealComplete {
        id: ID,
        revisions: Revisions::from(&[1, 2][..]),
        fingerprint: [0; 32],
    }
}

fn ready() -> Message<'static> {
    Message::Ready {
        id: ID,
        listening_on: Names::default(),
        healthz_ok: true,
        revisions: Revisions::from(&[1, 2][..]),
    }
}

const DRAINED: Message<'_> = Message::Drained {
    open_connections: 0,
    accept_closed: true,
};

const ACK: Message<'_> = Message::HelloAck { version: 2, id: ID };

fn listeners() -> Message<'static> {
    Message::Listeners {
        names: Names::from(&["http", "admin"][..]),
    }
}

/// All messages, most of them with the right id.
pub(super) fn messages() -> Vec<Message<'static>> {
    let id = ID;
    let reason = "any";
    vec![
        hello(Side::Incumbent, OLD.pid, VersionRange::V1),
        hello(Side::Incumbent, OLD.pid, VersionRange::SUPPORTED),
        hello(Side::Successor, NEW.pid, VersionRange::V1),
        hello(Side::Successor, NEW.pid, VersionRange::SUPPORTED),
        Message::HelloAck { version: 1, id },
        ACK,
        prepare(),
        DRAINED,
        Message::SealRequest { id },
        Message::SealProgress {
            sealed: 1,
            total: 2,
            revision: 3,
        },
        seal_complete(),
        Message::SealFailed {
            id,
            error: reason,
            partial_state: "",
        },
        Message::Begin { id },
        ready(),
        Message::Commit { id },
        Message::Abort { id, reason },
        Message::ResumeAfterAbort { id },
        Message::Heartbeat { ts_ms: 0 },
        Message::Standby { id },
        Message::ListenersRequest,
        listeners(),
        Message::Listeners {
            names: Names::default(),
        },
        Message::StatusRequest,
        Message::Status {
            phase: 3,
            generation: 1,
            uptime_ms: 2,
            open_connections: 3,
            revisions: Revisions::from(&[1, 2][..]),
        },
        Message::Commit {
            id: HandoffId::from_bytes([3; 16]),
        },
    ]
}

/// Fits into no frame.
const REVISIONS: &[u64] = &[u64::MAX; 150];

fn seal(revisions: &'static [u64]) -> Report<'static> {
    Report::Sealed(SealReport {
        revisions: Revisions::from(revisions),
        fingerprint: [1; 32],
    })
}

fn open(healthy: bool, revisions: &'static [u64]) -> Report<'static> {
    Report::Opened(OpenReport {
        listening_on: Names::default(),
        healthy,
        revisions: Revisions::from(revisions),
    })
}

fn kept(names: &'static [&'static str], count: u32) -> Report<'static> {
    Report::Listeners(ListenersReport {
        names: Names::from(names),
        handles: Handles { first: 50, count },
    })
}

fn snapshot(revisions: &'static [u64]) -> Report<'static> {
    Report::Snapshot(SnapshotReport {
        open_connections: 1,
        revisions: Revisions::from(revisions),
    })
}

const TAKEN: Report<'_> = Report::Lock(LockReport::Taken { generation: 1 });

/// All reports, fit or not for the operation, but for new links.
fn reports() -> Vec<Report<'static>> {
    let scene = Scene {
        incumbent_alive: false,
        successor_alive: true,
        lock_free: true,
    };
    vec![
        Report::Failed("for a reason"),
        Report::Done,
        Report::Done,
        Report::Drained(DrainReport::default()),
        seal(&[7]),
        seal(REVISIONS),
        TAKEN,
        Report::Lock(LockReport::Held),
        Report::Path(PathOwner::Ours),
        Report::Path(PathOwner::Theirs),
        Report::Path(PathOwner::Nobody),
        open(true, &[7]),
        open(false, &[7]),
        open(true, REVISIONS),
        Report::Started(NEW),
        Report::Scene(scene),
        Report::Scene(Scene::default()),
        kept(&["http", "admin"], 2),
        kept(&["http", "admin"], 1),
        kept(&["a name that is long"; 30], 30),
        snapshot(&[7]),
        snapshot(REVISIONS),
    ]
}

pub(super) fn linked(link: LinkId, new: bool) -> Report<'static> {
    let process = if new { NEW } else { OLD };
    Report::Linked(LinkReport { link, process })
}

fn say(link: usize, message: Message<'static>) -> Happening {
    let handles = belonging(&message);
    Happening::Said(Which::Nth(link), message, handles, None)
}

/// What happens to an incumbent until it has sealed, with a question on the way.
pub(super) fn incumbents_way() -> Vec<Happening> {
    let end = |report| Happening::Ended(0, report);
    vec![
        Happening::Opened,
        Happening::WroteAll(Which::Nth(0)),
        say(0, ACK),
        say(0, prepare()),
        end(Report::Drained(DrainReport::default())),
        Happening::WroteAll(Which::Nth(0)),
        say(0, Message::SealRequest { id: ID }),
        say(0, Message::ListenersRequest),
        Happening::Ended(1, seal(&[7])),
        Happening::Ended(1, kept(&["http", "admin"], 2)),
        Happening::WroteAll(Which::Nth(0)),
        end(Report::Done),
        Happening::WroteAll(Which::Nth(0)),
    ]
}

/// What happens to a successor until it serves on probation.
pub(super) fn successors_way() -> Vec<Happening> {
    let end = |report| Happening::Ended(0, report);
    vec![
        end(Report::Done),
        Happening::WroteAll(Which::Nth(0)),
        say(0, ACK),
        end(Report::Done),
        Happening::WroteAll(Which::Nth(0)),
        say(0, Message::Begin { id: ID }),
        end(TAKEN),
        end(open(true, &[7])),
        Happening::WroteAll(Which::Nth(0)),
        end(Report::Done),
    ]
}

/// What happens to a supervisor until the successor is on probation, or until it has its answer.
pub(super) fn supervisors_way() -> Vec<Happening> {
    let end = |report| Happening::Ended(0, report);
    vec![
        Happening::Linked(0, false),
        say(0, hello(Side::Incumbent, OLD.pid, VersionRange::SUPPORTED)),
        Happening::WroteAll(Which::Nth(0)),
        say(0, listeners()),
        Happening::Linked(0, true),
        say(1, hello(Side::Successor, NEW.pid, VersionRange::SUPPORTED)),
        Happening::WroteAll(Which::Nth(1)),
        say(1, Message::Standby { id: ID }),
        end(Report::Done),
        Happening::WroteAll(Which::Nth(0)),
        say(0, DRAINED),
        Happening::WroteAll(Which::Nth(0)),
        say(0, seal_complete()),
        Happening::WroteAll(Which::Nth(1)),
        say(1, ready()),
        Happening::WroteAll(Which::Nth(0)),
    ]
}

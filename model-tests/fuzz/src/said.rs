//! What peers say: messages by number.

use handoff_core::wire::{HandoffId, Hello, Message, Names, Revisions, Side, VersionRange};

use crate::ID;
use crate::subject::{NEW, OLD};

const FEW: &[u64] = &[1, 300];

fn hello(side: Side, pid: u32, versions: VersionRange) -> Message<'static> {
    Message::Hello(Hello {
        side,
        pid,
        build_id: b"build",
        versions,
        capabilities: 0,
    })
}

/// Any message, most of them with the right id. Seeds name them by their place here.
pub(crate) fn message(what: u8) -> Message<'static> {
    let id = ID;
    let reason = "any";
    let revisions = Revisions::from(FEW);
    let (one, two) = (VersionRange::V1, VersionRange { min: 2, max: 2 });
    let listeners = |names: &'static [&'static str]| Message::Listeners {
        names: Names::from(names),
    };
    let status = |phase, revisions: Revisions<'static>| Message::Status {
        phase,
        generation: 3,
        uptime_ms: 4,
        open_connections: 5,
        revisions,
    };
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
        hello(Side::Incumbent, OLD.pid, VersionRange::SUPPORTED),
        hello(Side::Successor, NEW.pid, VersionRange::SUPPORTED),
        Message::Standby { id },
        Message::ListenersRequest,
        listeners(&[]),
        listeners(&["http"]),
        listeners(&["http", "admin"]),
        Message::StatusRequest,
        status(0, revisions),
        status(u8::MAX, Revisions::default()),
    ];
    messages[usize::from(what) % messages.len()]
}

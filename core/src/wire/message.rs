//! The messages of versions 1 and 2, as values.
//!
//! The variants of [`Message`] and [`MessageKind`] stand in the order of their numbers, and the
//! fields of each in the order of the wire: both orders are the encoding, so neither may change.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::{HandoffId, Names, Revisions, VersionRange};

/// The role that a peer says it has in its Hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The running daemon.
    Incumbent,
    /// The process that is to take over.
    Successor,
}

/// A peer's first message: who it is and what it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hello<'a> {
    /// The role of the sender.
    pub side: Side,
    /// The process id of the sender, as it sees itself.
    pub pid: u32,
    /// Which build it is; for people, no meaning is attached to the bytes.
    pub build_id: &'a [u8],
    /// The protocol versions that it speaks.
    pub versions: VersionRange,
    /// Reserved for feature bits; 0 so far.
    pub capabilities: u64,
}

/// One message. Texts and lists are borrowed: from the sender's memory, or from the frame that the
/// message was decoded from.
///
/// S is the supervisor, O the incumbent, N the successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Message<'a> {
    /// O→S, N→S: the first message on a link.
    Hello(Hello<'a>),
    /// S→O, S→N: the answer to Hello.
    HelloAck {
        /// The version that the session goes on with.
        version: u16,
        /// The handoff that this session belongs to.
        id: HandoffId,
    },
    /// S→O: drain.
    PrepareHandoff {
        /// The handoff.
        id: HandoffId,
        /// The process id of the successor.
        successor_pid: u32,
        /// How long the whole handoff may still take, in milliseconds from receipt.
        deadline_ms: u64,
        /// How long drain may take, in milliseconds from receipt.
        drain_grace_ms: u64,
    },
    /// O→S: drain is done.
    Drained {
        /// Connections that are still open.
        open_connections: u32,
        /// Whether the daemon stopped accepting.
        accept_closed: bool,
    },
    /// S→O: seal the state and release the writer lock.
    SealRequest {
        /// The handoff.
        id: HandoffId,
    },
    /// O→S: how far the seal has got; informative.
    SealProgress {
        /// Shards sealed so far.
        sealed: u32,
        /// Shards in all.
        total: u32,
        /// The latest revision sealed.
        revision: u64,
    },
    /// O→S: the state is sealed and the writer lock released.
    SealComplete {
        /// The handoff.
        id: HandoffId,
        /// The last revision of each shard.
        revisions: Revisions<'a>,
        /// A fingerprint of the data directory, of the daemon's own making; informative.
        fingerprint: [u8; 32],
    },
    /// O→S: the seal failed; the incumbent keeps the lock.
    SealFailed {
        /// The handoff.
        id: HandoffId,
        /// What went wrong.
        error: &'a str,
        /// How far it had got.
        partial_state: &'a str,
    },
    /// S→N: take the lock and open the state.
    Begin {
        /// The handoff.
        id: HandoffId,
    },
    /// N→S: the state is open, the control path is ready to be taken over.
    Ready {
        /// The handoff.
        id: HandoffId,
        /// The listeners it serves.
        listening_on: Names<'a>,
        /// Whether its own health check passed; `false` is a successor that failed (`C8`).
        healthz_ok: bool,
        /// The revision of each shard as it found it.
        revisions: Revisions<'a>,
    },
    /// S→O: the successor serves; exit. With version 2 then S→N: the incumbent will not come back, so
    /// the data may be changed for good.
    Commit {
        /// The handoff.
        id: HandoffId,
    },
    /// S→O, S→N, and O→S and N→S as a refusal or a farewell: the handoff is given up.
    Abort {
        /// The handoff.
        id: HandoffId,
        /// Why, for people.
        reason: &'a str,
    },
    /// S→O: the successor is gone; reclaim the lock and serve again (`C2`).
    ResumeAfterAbort {
        /// The handoff.
        id: HandoffId,
    },
    /// Any direction: alive, and still at it.
    Heartbeat {
        /// The sender's clock, in Unix milliseconds; informative.
        ts_ms: u64,
    },
    /// N→S, version 2: all that needs neither the lock nor the data is done.
    Standby {
        /// The handoff.
        id: HandoffId,
    },
    /// Keeps number 15 free, which is reserved. There is no value of it.
    #[doc(hidden)]
    Reserved15(Never),
    /// S→O, version 2: hand over a copy of every listener.
    ListenersRequest,
    /// O→S, version 2: the listeners. Their descriptors come with the first byte of the frame, in the
    /// order of the names.
    Listeners {
        /// A name for each descriptor.
        names: Names<'a>,
    },
    /// S→O, version 2: how are you?
    StatusRequest,
    /// O→S, version 2: the answer, at once, whatever the daemon is at.
    Status {
        /// What the daemon is at: a [`StatusPhase`] by its number.
        phase: u8,
        /// The generation under which the writer lock is or was held last.
        generation: u64,
        /// How long the daemon has served, in milliseconds.
        uptime_ms: u64,
        /// Connections that are open.
        open_connections: u32,
        /// The last revision of each shard.
        revisions: Revisions<'a>,
    },
}

/// A type without values.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Never {}

impl Message<'_> {
    /// How many descriptors belong to it.
    pub const fn descriptors(&self) -> usize {
        match self {
            Self::Listeners { names } => names.len(),
            _ => 0,
        }
    }

    /// Which message it is.
    pub const fn kind(&self) -> MessageKind {
        match self {
            Self::Hello(_) => MessageKind::Hello,
            Self::HelloAck { .. } => MessageKind::HelloAck,
            Self::PrepareHandoff { .. } => MessageKind::PrepareHandoff,
            Self::Drained { .. } => MessageKind::Drained,
            Self::SealRequest { .. } => MessageKind::SealRequest,
            Self::SealProgress { .. } => MessageKind::SealProgress,
            Self::SealComplete { .. } => MessageKind::SealComplete,
            Self::SealFailed { .. } => MessageKind::SealFailed,
            Self::Begin { .. } => MessageKind::Begin,
            Self::Ready { .. } => MessageKind::Ready,
            Self::Commit { .. } => MessageKind::Commit,
            Self::Abort { .. } => MessageKind::Abort,
            Self::ResumeAfterAbort { .. } => MessageKind::ResumeAfterAbort,
            Self::Heartbeat { .. } => MessageKind::Heartbeat,
            Self::Standby { .. } => MessageKind::Standby,
            Self::Reserved15(never) => match *never {},
            Self::ListenersRequest => MessageKind::ListenersRequest,
            Self::Listeners { .. } => MessageKind::Listeners,
            Self::StatusRequest => MessageKind::StatusRequest,
            Self::Status { .. } => MessageKind::Status,
        }
    }

    /// The handoff it speaks of, for the messages that name one.
    pub const fn id(&self) -> Option<HandoffId> {
        match *self {
            Self::HelloAck { id, .. }
            | Self::PrepareHandoff { id, .. }
            | Self::SealRequest { id }
            | Self::SealComplete { id, .. }
            | Self::SealFailed { id, .. }
            | Self::Begin { id }
            | Self::Ready { id, .. }
            | Self::Commit { id }
            | Self::Abort { id, .. }
            | Self::ResumeAfterAbort { id }
            | Self::Standby { id } => Some(id),
            Self::Reserved15(never) => match never {},
            Self::Hello(_)
            | Self::Drained { .. }
            | Self::SealProgress { .. }
            | Self::Heartbeat { .. }
            | Self::ListenersRequest
            | Self::Listeners { .. }
            | Self::StatusRequest
            | Self::Status { .. } => None,
        }
    }
}

/// Which message one is, without its fields. Its `Display` is the protocol's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the message of that name")]
pub enum MessageKind {
    Hello = 0,
    HelloAck = 1,
    PrepareHandoff = 2,
    Drained = 3,
    SealRequest = 4,
    SealProgress = 5,
    SealComplete = 6,
    SealFailed = 7,
    Begin = 8,
    Ready = 9,
    Commit = 10,
    Abort = 11,
    ResumeAfterAbort = 12,
    Heartbeat = 13,
    Standby = 14,
    ListenersRequest = 16,
    Listeners = 17,
    StatusRequest = 18,
    Status = 19,
}

impl MessageKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 19] = [
        Self::Hello,
        Self::HelloAck,
        Self::PrepareHandoff,
        Self::Drained,
        Self::SealRequest,
        Self::SealProgress,
        Self::SealComplete,
        Self::SealFailed,
        Self::Begin,
        Self::Ready,
        Self::Commit,
        Self::Abort,
        Self::ResumeAfterAbort,
        Self::Heartbeat,
        Self::Standby,
        Self::ListenersRequest,
        Self::Listeners,
        Self::StatusRequest,
        Self::Status,
    ];

    /// The number that stands for it on the wire.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The lowest protocol version that has it.
    pub const fn since(self) -> u16 {
        if self as u32 > Self::Heartbeat as u32 {
            2
        } else {
            1
        }
    }

    /// The kind that this number stands for on a link of protocol version `version`, if any.
    pub fn from_number(version: u16, number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.number() == number && kind.since() <= version.max(1))
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variants carry the protocol's own names.
        fmt::Debug::fmt(self, f)
    }
}

/// What a daemon is at, as [`Message::Status`] says it. The numbers are the wire's; a later version may
/// add to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatusPhase {
    /// It serves.
    Serving = 0,
    /// It drains.
    Draining = 1,
    /// It has drained, and waits for the supervisor.
    Drained = 2,
    /// It seals, or releases the writer lock.
    Sealing = 3,
    /// It has sealed and released the lock, and waits for the outcome.
    Sealed = 4,
    /// The handoff was given up; it waits for the lock, or takes the control path back.
    Reclaiming = 5,
    /// It is about to serve again.
    Resuming = 6,
    /// It serves as a successor that may still be sent away.
    Probation = 7,
    /// It is about to leave the process.
    Leaving = 8,
}

impl StatusPhase {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Serving,
        Self::Draining,
        Self::Drained,
        Self::Sealing,
        Self::Sealed,
        Self::Reclaiming,
        Self::Resuming,
        Self::Probation,
        Self::Leaving,
    ];

    /// The number that stands for it on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The phase with this number, if this version knows it.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for StatusPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Sealing => "sealing",
            Self::Sealed => "sealed",
            Self::Reclaiming => "reclaiming",
            Self::Resuming => "resuming",
            Self::Probation => "on probation",
            Self::Leaving => "leaving",
        })
    }
}

//! What goes into a machine, and what the caller may do wrong in handing it in.

use serde::{Deserialize, Serialize};

use crate::handles::Handles;
use crate::link::LinkId;
use crate::op::{Completion, OpId, Verdict};

/// What happened, told to a machine.
///
/// The order of the variants, and that of their fields, is the encoding of a [record](crate::record).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Input<'b> {
    /// The first input of every machine.
    Start,
    /// A connection to the control path was accepted. The adapter has checked the peer's uid.
    Opened {
        /// The adapter's name for it, new for every connection.
        link: LinkId,
        /// The pid of the process at its other end, as the kernel says; 0 when unknown. No process
        /// may crowd out another with its connections.
        peer: u32,
    },
    /// Bytes arrived. At most one frame of them is taken: see [`Turn::consumed`](super::Turn::consumed).
    Bytes {
        /// On which link.
        link: LinkId,
        /// Any chunk of what the peer sent, in order.
        #[serde(serialize_with = "crate::record::bytes")]
        bytes: &'b [u8],
        /// The descriptors that came with them. They count with the last of the bytes: while that one is
        /// not taken they are not either, and are handed in again with the rest. Once it is taken,
        /// [`Turn::kept`](super::Turn::kept) says whether they are wanted.
        handles: Handles,
    },
    /// Bytes that a `Send` lent were written, and with the first of them the descriptors that it
    /// lent. A count of 0 says: the link takes bytes again.
    Wrote {
        /// On which link.
        link: LinkId,
        /// How many of them.
        count: usize,
    },
    /// The peer closed the link, or it broke. Bytes that came before must have been handed in.
    Closed {
        /// Which link.
        link: LinkId,
    },
    /// An operation ended; made by its [`Ticket`](crate::op::Ticket).
    Completed(Completion<'b>),
    /// The seal hook has come this far.
    Progress {
        /// Shards sealed.
        sealed: u32,
        /// Shards there are.
        total: u32,
        /// The last revision sealed.
        revision: u64,
    },
    /// The control path no longer leads to a listener of this process that works: bind it again.
    Unbound,
    /// Every open link was read until nothing was left, and the clock stands at or after the
    /// deadline of the last [`Wait`](super::Wait). Bytes come before timeouts: a reply that has arrived counts,
    /// however late it is looked at.
    Deadline,
    /// The probation of this process, which began as a successor, has ended: what its successor's
    /// machine said at its end.
    Probation(Verdict),
}

/// The caller broke a rule of this interface. The machine is as it was before the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Misuse {
    /// The last turn still has steps; [`Machine::turn`](super::Machine::turn) gives them.
    #[error("the last turn was not drained")]
    TurnNotDrained,
    /// The first input must be [`Input::Start`], and only the first.
    #[error("Start must be the first input, and only the first")]
    StartOnce,
    /// A link's name was used before.
    #[error("link {} is already open", .0.0)]
    LinkInUse(LinkId),
    /// This role does not accept connections.
    #[error("this role does not accept connections")]
    NotAServer,
    /// More bytes were reported written than were lent.
    #[error("more bytes reported written on link {} than were lent", .0.0)]
    WroteTooMuch(LinkId),
    /// A completion of an operation that this machine never started.
    #[error("operation {} was never started by this machine", .0.number())]
    UnknownOperation(OpId),
}

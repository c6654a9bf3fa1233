//! Host operations: what a machine asks its adapter to do, and the answers.
//!
//! A machine starts an operation by handing out a [`Ticket`] of the operation's own type. The ticket
//! cannot be copied; [`Ticket::done`] and [`Ticket::failed`] turn it into the [`Completion`] that
//! goes back in, and type-check what is reported. A ticket that is dropped is noticed by time: each
//! machine bounds its wait for every operation.

use core::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::handles::Handles;
use crate::wire::{Names, Revisions};

/// Names one started operation within one machine. Never used twice.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct OpId(pub(crate) u32);

impl OpId {
    /// The number, for logs and for an adapter's own bookkeeping.
    pub const fn number(self) -> u32 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// A kind of operation: what its success reports.
pub trait Operation {
    /// The operation's name, for logs.
    const NAME: &'static str;
    /// What [`Ticket::done`] takes.
    type Done<'b>;
    /// Wraps it for the machine.
    fn report(done: Self::Done<'_>) -> Report<'_>;
}

/// The right to report the end of one operation, once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an operation whose ticket is dropped ends by its machine's time limit"]
pub struct Ticket<K> {
    id: OpId,
    kind: PhantomData<fn() -> K>,
}

impl<K: Operation> Ticket<K> {
    pub(crate) const fn new(id: OpId) -> Self {
        Self {
            id,
            kind: PhantomData,
        }
    }

    /// Which operation this is; [`Action::Cancel`](crate::Action::Cancel) names it so.
    pub const fn id(&self) -> OpId {
        self.id
    }

    /// The operation's name.
    pub const fn name(&self) -> &'static str {
        K::NAME
    }

    /// The operation was done, and this came of it.
    pub fn done(self, done: K::Done<'_>) -> Completion<'_> {
        Completion {
            op: self.id,
            report: K::report(done),
        }
    }

    /// The operation failed (a hook that panicked has failed, too). `why` is kept for the outcome,
    /// as far as it fits.
    pub const fn failed(self, why: &str) -> Completion<'_> {
        Completion {
            op: self.id,
            report: Report::Failed(why),
        }
    }
}

/// The end of one operation, made by its [`Ticket`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Completion<'b> {
    pub(crate) op: OpId,
    pub(crate) report: Report<'b>,
}

impl<'b> Completion<'b> {
    /// Which operation ended.
    pub const fn op(&self) -> OpId {
        self.op
    }

    /// How.
    pub const fn report(&self) -> Report<'b> {
        self.report
    }
}

/// How an operation ended. The order of the variants is their encoding in a
/// [record](crate::record).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Report<'b> {
    /// It did not work; the text says why.
    Failed(&'b str),
    /// It worked, and there is nothing more to say.
    Done,
    /// [`Drain`] worked.
    Drained(DrainReport),
    /// [`Seal`] worked.
    Sealed(SealReport<'b>),
    /// [`TryLock`] was answered.
    Lock(LockReport),
    /// [`InspectPath`] was answered.
    Path(PathOwner),
    /// [`Open`] worked.
    Opened(OpenReport<'b>),
    /// [`Connect`] or [`Spawn`] worked.
    Linked(LinkReport),
    /// [`ColdStart`] worked.
    Started(Process),
    /// [`Probe`] was answered.
    Scene(Scene),
    /// [`ListListeners`] was answered.
    Listeners(ListenersReport<'b>),
    /// [`Snapshot`] was answered.
    Snapshot(SnapshotReport<'b>),
}

/// What a drain reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DrainReport {
    /// Connections still open, for reading.
    pub open_connections: u32,
    /// Whether the daemon has stopped accepting.
    pub accept_closed: bool,
}

/// What a seal reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SealReport<'b> {
    /// The last revision of each shard.
    pub revisions: Revisions<'b>,
    /// A fingerprint of the sealed data, in the daemon's own terms.
    pub fingerprint: [u8; 32],
}

/// What one try at the writer lock found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LockReport {
    /// The lock is ours, with this generation (fencing token).
    Taken {
        /// One more than the last holder's.
        generation: u64,
    },
    /// Another process holds it.
    Held,
}

/// Whose socket the control path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PathOwner {
    /// The listener that this process bound.
    Ours,
    /// Another process's.
    Theirs,
    /// Nothing is there.
    Nobody,
}

/// What opening the sealed state reports; becomes the Ready message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OpenReport<'b> {
    /// Names or addresses served.
    pub listening_on: Names<'b>,
    /// Whether the daemon finds itself fit to serve. `false` is a failed handoff (`C8`).
    pub healthy: bool,
    /// The revision of each shard that was opened.
    pub revisions: Revisions<'b>,
}

/// A process, told apart from later ones with the same pid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// Its start time in the system's own unit; 0 when unknown.
    pub start: u64,
}

/// A link that an operation opened, and the process at its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LinkReport {
    /// The adapter's name for the new link; see [`LinkId`](crate::LinkId).
    pub link: crate::LinkId,
    /// Who is there, as the kernel says.
    pub process: Process,
}

/// What a restarted supervisor finds when it looks around (`C9`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scene {
    /// The journal's incumbent is alive (same pid and start time, not a zombie).
    pub incumbent_alive: bool,
    /// The journal's successor is alive.
    pub successor_alive: bool,
    /// Nobody holds the writer lock.
    pub lock_free: bool,
}

/// The listeners that an incumbent keeps for a supervisor that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ListenersReport<'b> {
    /// A name for each.
    pub names: Names<'b>,
    /// Their descriptors, in the same order. They stay the adapter's own, and have to be there for as
    /// long as the session that asked.
    pub handles: Handles,
}

/// What a daemon says about itself at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SnapshotReport<'b> {
    /// Connections that are open.
    pub open_connections: u32,
    /// The last revision of each shard.
    pub revisions: Revisions<'b>,
}

/// How a successor's probation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Commit: the incumbent before it will not come back.
    Committed,
    /// The supervisor has ended the session without a word: it is gone, or speaks version 1 and cannot say
    /// it. The incumbent before it leaves by itself, soon (`C2`).
    Orphaned,
    /// Abort: the process is to leave.
    Dismissed,
}

macro_rules! operations {
    ($lt:lifetime: $($(#[$doc:meta])* $kind:ident($done:ty) => $report:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $kind {}

        impl Operation for $kind {
            const NAME: &'static str = stringify!($kind);
            type Done<$lt> = $done;
            fn report<$lt>(done: Self::Done<$lt>) -> Report<$lt> {
                ($report)(done)
            }
        }
    )*};
}

operations! { 'b:
    /// Run the daemon's drain hook.
    Drain(DrainReport) => Report::Drained;
    /// Run the daemon's seal hook.
    Seal(SealReport<'b>) => Report::Sealed;
    /// Run the daemon's resume hook.
    Resume(()) => |()| Report::Done;
    /// Release the writer lock.
    ReleaseLock(()) => |()| Report::Done;
    /// Try to take the writer lock, once, without waiting.
    TryLock(LockReport) => Report::Lock;
    /// See whose socket the control path leads to.
    InspectPath(PathOwner) => Report::Path;
    /// Bind a control socket under a temporary name and rename it into place. It must fail when the
    /// writer lock is not ours by then: a bind that comes too late would take the path from a
    /// successor.
    BindPath(()) => |()| Report::Done;
    /// Bind a control socket under a temporary name, and leave it there.
    StagePath(()) => |()| Report::Done;
    /// Rename the staged control socket into place. It must fail when the writer lock is not ours by then.
    PublishPath(()) => |()| Report::Done;
    /// Let the daemon get ready as far as it can without the lock and the data.
    WarmUp(()) => |()| Report::Done;
    /// Let the daemon serve, as the incumbent.
    Serve(()) => |()| Report::Done;
    /// Run the daemon's committed hook: changes that an older version could not read are allowed.
    Confirm(()) => |()| Report::Done;
    /// Name the listeners that are kept for a supervisor that comes back.
    ListListeners(ListenersReport<'b>) => Report::Listeners;
    /// Ask the daemon how it is, without waiting for a hook.
    Snapshot(SnapshotReport<'b>) => Report::Snapshot;
    /// Open the sealed state and get ready to serve.
    Open(OpenReport<'b>) => Report::Opened;
    /// Connect to the control path.
    Connect(LinkReport) => Report::Linked;
    /// Start the successor, with its channel as a new link.
    Spawn(LinkReport) => Report::Linked;
    /// Kill a process; done when it is dead and, if it is our child, reaped.
    Kill(()) => |()| Report::Done;
    /// Write the journal.
    WriteJournal(()) => |()| Report::Done;
    /// Remove the journal.
    ClearJournal(()) => |()| Report::Done;
    /// Start the daemon afresh, with nobody to take over from.
    ColdStart(Process) => Report::Started;
    /// Look whether the journal's processes live and whether the writer lock is free.
    Probe(Scene) => Report::Scene;
    /// Watch a successor for as long as its probation lasts.
    WatchProbation(()) => |()| Report::Done;
    /// Take the descriptors that came with a message.
    AdoptListeners(()) => |()| Report::Done;
}

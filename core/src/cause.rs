//! Why a handoff did not go the planned way: a reason that can be matched on, and words.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::text::Text;

/// A reason and, where somebody gave one, an explanation in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cause {
    /// What happened.
    pub reason: Reason,
    /// What the failed hook, the host or the peer said about it; empty when nobody said anything.
    pub detail: Text,
}

impl Cause {
    /// A reason without further words.
    pub fn new(reason: Reason) -> Self {
        Self {
            reason,
            detail: Text::default(),
        }
    }
}

impl From<Reason> for Cause {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.as_str().is_empty() {
            write!(f, "{}", self.reason)
        } else {
            write!(f, "{}: {}", self.reason, self.detail)
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $item:ident = $words:literal,)*) => {
        /// What kept a handoff from going the planned way.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $item,)* }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$item => $words,)* })
            }
        }
    };
}

reasons! {
    /// A PrepareHandoff came while another session owns a handoff, or while one is being undone.
    Busy = "another handoff is in progress",
    /// A PrepareHandoff came while a hook that was given up still runs.
    HookRunning = "a hook that was given up has not come back, and may still write",
    /// A message of a handoff that has been given up.
    GivenUp = "this handoff has been given up",
    /// The drain hook failed (`C1`).
    DrainFailed = "drain failed",
    /// The seal hook failed (`C1`).
    SealFailed = "seal failed",
    /// The writer lock could not be released (`C1`).
    ReleaseFailed = "the writer lock could not be released",
    /// What the seal reported does not fit into a message.
    ReportTooLarge = "the seal report does not fit into a frame",
    /// The supervisor said nothing for too long (`C11`).
    SupervisorSilent = "the supervisor has been silent for too long",
    /// The session with the peer ended.
    SessionLost = "session lost",
    /// The peer gave the handoff up.
    Aborted = "aborted by the peer",
    /// The resume hook failed every time it was tried.
    ResumeFailed = "resume failed",
    /// A hook did not come back.
    HookStuck = "a hook did not return",
    /// The control socket could not be bound.
    BindFailed = "the control socket cannot be bound",
    /// The writer lock stayed with another process (`C3`, `C4`).
    LockHeld = "the writer lock is held by another process",
    /// The writer lock cannot be taken for another reason.
    LockFailed = "the writer lock cannot be taken",
    /// The daemon could not warm up.
    WarmUpFailed = "warm-up failed",
    /// A PrepareHandoff came while the handoff before it is not committed yet.
    OnProbation = "the handoff before this one is not committed yet",
    /// The listeners that are kept cannot be handed over.
    ListenersFailed = "the listeners cannot be handed over",
    /// The committed hook failed. The daemon serves on.
    ConfirmFailed = "the committed hook failed",
    /// The successor failed while on probation, or was sent back by an operator (`C8`).
    ProbationFailed = "the successor did not pass its probation",
    /// There is no probation, since the incumbent could not come back with version 1.
    NoProbation = "no probation: with version 1 the incumbent could not come back",
    /// There is no warm standby, since version 1 is spoken with the successor.
    NoStandby = "no warm standby: with version 1 the successor cannot say when it is warm",
    /// What was asked needs version 2.
    NeedsVersion2 = "the incumbent speaks version 1, which has no answer to this",
    /// The open hook failed.
    OpenFailed = "open failed",
    /// The successor says that it is not fit to serve (`C8`).
    Unhealthy = "the successor reports that it is not healthy",
    /// Nobody answers on the control path.
    NoIncumbent = "no incumbent answers on the control path",
    /// Who answers on the control path cannot take part.
    IncumbentUnfit = "the incumbent cannot take part",
    /// The incumbent's session ended, or it fell silent (`C6`).
    IncumbentLost = "the incumbent was lost",
    /// The incumbent answered with Abort.
    IncumbentRefused = "the incumbent gave the handoff up",
    /// The incumbent did not keep its drain or seal deadline (`C10`).
    IncumbentStuck = "the incumbent missed its deadline",
    /// The successor could not be started.
    SpawnFailed = "the successor could not be started",
    /// The successor's session ended, or it fell silent (`C7`, `C8`).
    SuccessorLost = "the successor was lost",
    /// The successor did not say Hello or Ready in time (`C7`, `C8`).
    SuccessorLate = "the successor was late",
    /// The successor said Abort.
    SuccessorFailed = "the successor gave up",
    /// The journal could not be written. The handoff goes on.
    JournalFailed = "the journal cannot be written",
    /// The successor could not be killed in time.
    KillFailed = "a process could not be killed",
    /// Nobody serves, and the daemon could not be started afresh.
    ColdStartFailed = "the daemon could not be started",
    /// After a restart the supervisor found processes that stayed unsettled (`C9`).
    Unsettled = "an incumbent is alive or the writer lock is held, but nobody answers",
}

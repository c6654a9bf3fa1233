//! What the host knows of the writer lock, of a probation and of the course of a handoff, and what must
//! hold for them.

use handoff_core::LinkId;
use handoff_core::op::{LockReport, Report, Verdict};
use handoff_core::wire::{MessageKind, Side};

/// What the host knows of the writer lock.
pub(crate) struct Lock {
    /// This process holds it, and has not been asked to release it.
    ours: bool,
    /// The number of the last seal, and whether it is done.
    seal: Option<(u32, bool)>,
}

impl Lock {
    pub(crate) const fn new(ours: bool) -> Self {
        Self { ours, seal: None }
    }

    /// What an operation needs when it is started.
    pub(crate) fn started(&mut self, name: &str, op: u32) {
        match name {
            "Seal" => self.seal = Some((op, false)),
            "ReleaseLock" => {
                let sealed = self.seal.take();
                assert!(
                    sealed.is_some_and(|(_, done)| done),
                    "released before a seal"
                );
                self.ours = false;
            }
            "Resume" | "Open" | "Serve" | "Confirm" => {
                assert!(self.ours, "{name} without the lock");
            }
            _ => {}
        }
    }

    pub(crate) fn ended(&mut self, name: &str, op: u32, report: &Report<'_>) {
        match (name, report) {
            ("Seal", Report::Sealed(_)) if self.seal == Some((op, false)) => {
                self.seal = Some((op, true));
            }
            ("ReleaseLock", Report::Failed(_))
            | ("TryLock", Report::Lock(LockReport::Taken { .. })) => self.ours = true,
            _ => {}
        }
    }
}

/// Where the probation of this process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    /// There is none, or the committed hook has been started.
    Over,
    On,
    Judged(Verdict),
}

impl Trial {
    /// No handoff begins on probation; the committed hook runs once, after it, and not for one who is
    /// dismissed.
    pub(crate) fn started(&mut self, name: &str) {
        match name {
            "Drain" => assert_ne!(*self, Self::On, "drained on probation"),
            "Confirm" => {
                assert!(
                    matches!(self, Self::Judged(Verdict::Committed | Verdict::Orphaned)),
                    "confirmed while {self:?}"
                );
                *self = Self::Over;
            }
            _ => {}
        }
    }

    pub(crate) fn judge(&mut self, verdict: Verdict) {
        if *self == Self::On {
            *self = Self::Judged(verdict);
        }
    }

    /// Whether the process has to leave.
    pub(crate) fn is_dismissed(self) -> bool {
        self == Self::Judged(Verdict::Dismissed)
    }
}

/// How far a supervisor has come, and what it may say by then.
pub(crate) struct Course {
    /// A probation was asked for.
    probation: bool,
    /// The links whose peers have said Hello.
    incumbent: Option<LinkId>,
    successor: Option<LinkId>,
    standby: bool,
    passed: bool,
}

impl Course {
    pub(crate) const fn new(probation: bool) -> Self {
        Self {
            probation,
            incumbent: None,
            successor: None,
            standby: false,
            passed: false,
        }
    }

    pub(crate) fn greeted(&mut self, link: LinkId, side: Side) {
        match side {
            Side::Incumbent => self.incumbent = Some(link),
            Side::Successor => self.successor = Some(link),
        }
    }

    pub(crate) fn heard(&mut self, kind: MessageKind) {
        self.standby |= kind == MessageKind::Standby;
    }

    pub(crate) fn ended(&mut self, name: &str, report: &Report<'_>) {
        self.passed |= name == "WatchProbation" && *report == Report::Done;
    }

    /// A successor of version 2 is waited for before anything is asked of anybody; an incumbent of version
    /// 2 stays until the probation has passed.
    pub(crate) fn said(&self, link: LinkId, kind: MessageKind, speaks_v2: impl Fn(LinkId) -> bool) {
        match kind {
            MessageKind::PrepareHandoff | MessageKind::SealRequest | MessageKind::Begin => {
                let early = !self.standby && self.successor.is_some_and(speaks_v2);
                assert!(!early, "{kind} before Standby");
            }
            MessageKind::Commit if self.probation && self.incumbent == Some(link) => {
                assert!(self.passed || !speaks_v2(link), "Commit too early");
            }
            _ => {}
        }
    }
}

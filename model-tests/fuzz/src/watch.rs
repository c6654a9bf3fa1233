//! What the host knows of the writer lock and of a probation, and what must hold for them.

use handoff_core::op::{LockReport, Report, Verdict};

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

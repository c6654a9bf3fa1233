//! What the protocol promises, asked of one state.

use super::{Body, Life, World};

impl World {
    /// The promise that this state breaks, whatever happens next.
    pub fn broken(&self) -> Option<String> {
        for (at, process) in self.processes.iter().enumerate() {
            // Promises 1, 2 and 5: a daemon that may write holds the lock. Since one process at most
            // holds it, nobody opens the state while another still may write to it.
            if process.writer && self.lock != Some(at) {
                let holder = self.lock.map_or("nobody", |at| self.processes[at].name);
                return Some(format!(
                    "{} may write, but the lock is held by {holder}",
                    process.name
                ));
            }
        }
        self.failed.clone()
    }

    /// Whether the daemon serves, and can be handed over.
    pub fn serves(&self) -> bool {
        self.processes.iter().enumerate().any(|(at, process)| {
            process.life == Life::Running
                && process.serving
                && self.path == Some(at)
                && matches!(&process.body, Body::Incumbent(machine)
                    if machine.state().phase() == handoff_core::incumbent::Phase::Serving)
        })
    }

    /// Whether a daemon is in that way alive. As long as one is frozen nothing is promised but safety:
    /// it may hold the lock.
    pub(crate) fn daemon(&self, life: Life) -> bool {
        self.processes
            .iter()
            .any(|process| process.name != "S" && process.life == life)
    }

    /// Whether there is nothing to wish for, or nothing that anybody could do about it.
    pub fn is_well(&self) -> bool {
        self.serves() || self.daemon(Life::Frozen)
    }

    /// Promise 4, of a state in which nothing is left to happen.
    pub fn failed(&self) -> Option<String> {
        if self.is_well() {
            return None;
        }
        let supervised = self
            .processes
            .iter()
            .any(|process| process.name == "S" && process.life == Life::Running);
        // Without a supervisor nobody starts the daemon again, so two faults may take them all.
        if self.faults > 1 && !supervised && !self.daemon(Life::Running) {
            return None;
        }
        Some("nobody serves, or the control path leads nowhere".to_owned())
    }
}

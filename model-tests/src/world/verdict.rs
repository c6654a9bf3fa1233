//! What the protocol promises, asked of one state.

use handoff_core::incumbent::Phase;

use super::{Body, Life, Process, World};

impl World {
    /// How many faults there were.
    pub fn faults(&self) -> u8 {
        self.faults
    }

    /// The most actions that one turn of a machine had on the way here.
    pub fn most_actions(&self) -> usize {
        self.actions
    }

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
        let undoes = |at| {
            let mut phases = [Phase::Undraining, Phase::Unsealing, Phase::Reclaiming].into_iter();
            phases.any(|phase| self.is_incumbent(at, phase))
        };
        if self.brisk && (0..self.processes.len()).any(undoes) {
            return Some("a handoff that nothing keeps up is given up".to_owned());
        }
        self.failed.clone()
    }

    /// Whether the daemon serves, and can be handed over.
    pub fn serves(&self) -> bool {
        self.processes.iter().enumerate().any(|(at, process)| {
            process.life == Life::Running
                && process.serving
                && self.path == Some(at)
                && self.is_incumbent(at, Phase::Serving)
        })
    }

    /// Whether a daemon is in that way alive. As long as one is frozen nothing is promised but safety:
    /// it may hold the lock.
    pub(crate) fn daemon(&self, life: Life) -> bool {
        self.processes
            .iter()
            .any(|process| process.is_daemon() && process.life == life)
    }

    /// Whether there is nothing to wish for, or nothing that anybody could do about it.
    pub fn is_well(&self) -> bool {
        self.serves() && self.equipped() && self.rests() || self.daemon(Life::Frozen)
    }

    /// Whether there is nothing to wait for: all is well, or it is a process of the published version that
    /// keeps it from being so.
    pub fn is_settled(&self) -> bool {
        self.is_well() || self.is_the_published_versions_fault()
    }

    /// Whether no supervisor that could go on is at work.
    fn rests(&self) -> bool {
        let works = |process: &Process| {
            let able = process.is_supervisor() && process.life == Life::Running;
            able && !process.is_stuck() && !matches!(process.body, Body::Idle)
        };
        !self.processes.iter().any(works)
    }

    /// Whether every supervisor that could do something about it has the listeners, so that it can hand
    /// over. Who speaks version 1 can neither ask for them nor say what they are.
    fn equipped(&self) -> bool {
        let server = self.path.filter(|at| self.processes[*at].old);
        self.processes.iter().all(|process| {
            let able = process.is_supervisor() && process.life == Life::Running;
            let excused = process.old || process.is_stuck() || server.is_some();
            !able || process.listeners || excused
        })
    }

    /// Promises 4 and 7, of a state in which nothing is left to happen.
    pub fn failed(&self) -> Option<String> {
        let waits = |process: &Process| {
            let asker = !process.is_daemon() && process.life == Life::Running;
            asker && !matches!(process.body, Body::Idle)
        };
        if self.processes.iter().any(waits) {
            return Some("a supervisor waits without end".to_owned());
        }
        if self.is_well() || self.is_excused() {
            return None;
        }
        if self.serves() {
            return Some("a supervisor has not got the listeners".to_owned());
        }
        Some("nobody serves, or the control path leads nowhere".to_owned())
    }

    /// Whether nobody serves, and none of our rules could have prevented it.
    pub fn is_excused(&self) -> bool {
        if self.is_well() {
            return false;
        }
        // Without a supervisor nobody starts the daemon again, so two faults may take them all, and no
        // more is promised of three. A supervisor whose operation does not end is as good as frozen.
        let able = |process: &Process| {
            let stuck = process.is_supervisor() && process.is_stuck();
            process.life == Life::Running && !stuck && process.name != "Q"
        };
        let running = self.processes.iter().any(able);
        let deserted = self.deserted && self.faults == 2;
        let taken = self.faults > 1 && !running && !deserted;
        taken || self.is_the_published_versions_fault()
    }

    /// Whether an incumbent of the published version lives, and waits without end for a supervisor that
    /// is frozen, or serves where nobody can reach its control path.
    fn is_the_published_versions_fault(&self) -> bool {
        self.processes.iter().enumerate().any(|(at, process)| {
            let waits = [Phase::Drained, Phase::Sealed]
                .iter()
                .any(|phase| self.is_incumbent(at, *phase));
            let unreachable = process.serving && self.path != Some(at);
            process.published && process.life == Life::Running && (waits || unreachable)
        })
    }
}

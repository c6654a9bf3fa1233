//! Promises that a single state does not show, kept account of as things happen: what a daemon has
//! opened is the data as it is, nobody comes back behind a process that was told so, and nobody waits for a
//! warm-up while writes are refused.

use handoff_core::successor::Phase;

use super::{Body, Call, Life, Mutation, Process, World};

impl World {
    fn breaks(&mut self, what: String) {
        self.failed.get_or_insert(what);
    }

    /// A daemon from here on may write, and is up to date: it serves from the beginning, or was started afresh.
    pub(crate) fn begin_service(&mut self, at: usize) {
        self.processes[at].writer = true;
        self.processes[at].current = true;
        self.acknowledges(at);
    }

    /// A daemon opens the data, or its writer again.
    pub(crate) fn opens(&mut self, at: usize, call: Call) {
        self.processes[at].writer = true;
        if call == Call::Open || !self.without(Mutation::StaleResume) {
            self.processes[at].current = true;
        }
        let process = &self.processes[at];
        if process.outlived {
            let name = process.name;
            self.breaks(format!(
                "{name} comes back, though a later process was told that it will not"
            ));
        }
    }

    /// A daemon serves from here on, and acknowledges a write: what others have opened is out of date.
    pub(crate) fn acknowledges(&mut self, at: usize) {
        self.processes[at].serving = true;
        if !self.processes[at].current {
            let name = self.processes[at].name;
            self.breaks(format!(
                "{name} serves without what was acknowledged before"
            ));
        }
        for (other, process) in self.processes.iter_mut().enumerate() {
            process.current &= other == at;
        }
    }

    /// A daemon refuses writes from here on.
    pub(crate) fn stops(&mut self, at: usize) {
        self.processes[at].serving = false;
        // A supervisor and a successor of version 2 wait for the warm-up first.
        let driven = |process: &Process| {
            let conn = process.channel.map(|conn| &self.conns[conn]);
            conn.is_some_and(|conn| conn.open[0] && self.is_handing_over(conn.ends[0]))
        };
        let cold = |process: &Process| {
            let Body::Successor(machine) = &process.body else {
                return false;
            };
            let warming = [Phase::Greeting, Phase::Warming].contains(&machine.state().phase());
            warming && !process.old && driven(process)
        };
        if !self.setup.old_supervisor && self.processes.iter().any(cold) {
            self.breaks("writes are refused while the successor still warms up".to_owned());
        }
    }

    /// The one thing that no timer can know is how long a process stays frozen: a successor whose session has
    /// ended counts on its supervisor being gone, and not on one that kills it when it thaws. One whose kill
    /// hangs is as good as frozen.
    pub(crate) fn misleads(&mut self) {
        let frozen = |process: &Process| {
            let asleep = process.life == Life::Frozen || process.is_stuck();
            process.is_supervisor() && asleep
        };
        if self.processes.iter().any(frozen) {
            for process in &mut self.processes {
                process.misled |= process.orphaned;
            }
        }
    }

    /// A daemon's committed hook is run.
    pub(crate) fn confirms(&mut self, at: usize) {
        let runs = |process: &Process| {
            process
                .pending
                .iter()
                .any(|op| op.call == Call::Confirm && !op.stalled)
        };
        if self.processes.iter().any(runs) {
            self.breaks("two committed hooks run at once".to_owned());
        }
        if self.processes[at].misled {
            return;
        }
        for process in &mut self.processes[..at] {
            process.outlived |= !process.was_frozen;
        }
    }
}

//! How machines are set up when their process starts, or becomes something else.

use std::sync::Arc;
use std::time::Duration;

use handoff_core::wire::VersionRange;
use handoff_core::{
    Identity, IncumbentConfig, IncumbentMachine, Input, SuccessorConfig, SuccessorMachine,
    SupervisorConfig, SupervisorMachine, Task,
};

use super::{Body, Mutation, SESSIONS, World};

/// Times are whole seconds and few, so that few different sums of them exist.
const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// For what is not to be bounded.
const NEVER: Duration = Duration::MAX;

impl World {
    /// The process has an incumbent's machine from here on, beside that of the successor it began as,
    /// if it is on probation.
    pub(crate) fn become_incumbent(&mut self, at: usize, bound: bool, on_probation: bool) {
        let waits = self.processes[at].published || self.without(Mutation::C11);
        let config = IncumbentConfig {
            identity: self.identity(at),
            versions: self.versions(at),
            bound,
            on_probation,
            hello: seconds(2),
            heartbeat: seconds(2),
            wire_slack: if waits { NEVER } else { seconds(1) },
            dead_peer: if self.without(Mutation::C11Silence) {
                NEVER
            } else {
                seconds(4)
            },
            longest_deadline: seconds(60),
            cancel_grace: seconds(2),
            patience: seconds(8),
            host_limit: seconds(8),
            snapshot: seconds(1),
            lock_retry: seconds(1),
            host_retry: seconds(1),
            resume_tries: 2,
            table: self.tables(at).incumbent,
            ..IncumbentConfig::default()
        };
        let process = &mut self.processes[at];
        process.body = Body::Incumbent(Arc::new(IncumbentMachine::new(config)));
        process.due = None;
        process.slots = [None; SESSIONS + 1];
        self.input(at, Input::Start);
    }

    pub(crate) fn become_successor(&mut self, at: usize, conn: usize) {
        let config = SuccessorConfig {
            identity: self.identity(at),
            versions: self.versions(at),
            hello: seconds(2),
            warmup: seconds(8),
            begin: seconds(12),
            heartbeat: seconds(2),
            lock_grace: seconds(2),
            lock_retry: seconds(1),
            wire_slack: seconds(1),
            patience: seconds(8),
            host_limit: seconds(8),
            table: self.tables(at).successor,
        };
        let process = &mut self.processes[at];
        process.body = Body::Successor(Arc::new(SuccessorMachine::new(config)));
        process.channel = Some(conn);
        self.input(at, Input::Start);
    }

    pub(crate) fn become_supervisor(&mut self, at: usize, task: Task) {
        let config = SupervisorConfig {
            versions: self.versions(at),
            deadline: seconds(6),
            drain_grace: seconds(3),
            probation: seconds(self.setup.probation.into()),
            warmup: seconds(5),
            kill_stuck_incumbent: self.setup.kill_stuck,
            hello: seconds(2),
            connect: seconds(2),
            connect_retry: seconds(1),
            heartbeat: if self.without(Mutation::SilentSupervisor) {
                NEVER
            } else {
                seconds(2)
            },
            dead_peer: seconds(4),
            wire_slack: seconds(1),
            settle: seconds(4),
            host_limit: seconds(8),
            retired: self.processes[at].retired,
            table: self.tables(at).supervisor,
            ..SupervisorConfig::new(task)
        };
        let process = &mut self.processes[at];
        process.body = Body::Supervisor(Arc::new(SupervisorMachine::new(config)));
        process.slots = [None; SESSIONS + 1];
        self.input(at, Input::Start);
    }

    fn versions(&self, at: usize) -> VersionRange {
        if self.processes[at].old {
            VersionRange::V1
        } else {
            VersionRange::SUPPORTED
        }
    }

    fn identity(&self, at: usize) -> Identity {
        Identity {
            pid: self.processes[at].pid,
            ..Identity::default()
        }
    }
}

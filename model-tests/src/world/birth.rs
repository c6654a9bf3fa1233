//! How machines are set up when their process starts, or becomes something else.

use std::sync::Arc;
use std::time::Duration;

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
    pub(crate) fn become_incumbent(&mut self, at: usize, bound: bool) {
        let waits = self.processes[at].published || self.without(Mutation::C11);
        let config = IncumbentConfig {
            identity: self.identity(at),
            bound,
            hello: seconds(2),
            heartbeat: seconds(2),
            wire_slack: if waits { NEVER } else { seconds(1) },
            dead_peer: seconds(4),
            longest_deadline: seconds(60),
            cancel_grace: seconds(2),
            patience: seconds(8),
            host_limit: seconds(8),
            lock_retry: seconds(1),
            host_retry: seconds(1),
            resume_tries: 2,
            table: self.tables(at).incumbent,
            ..IncumbentConfig::default()
        };
        let process = &mut self.processes[at];
        process.body = Body::Incumbent(Arc::new(IncumbentMachine::new(config)));
        process.pending.clear();
        process.slots = [None; SESSIONS + 1];
        process.writer = true;
        process.serving = true;
        self.input(at, Input::Start);
    }

    pub(crate) fn become_successor(&mut self, at: usize, conn: usize) {
        let config = SuccessorConfig {
            identity: self.identity(at),
            hello: seconds(2),
            begin: seconds(12),
            heartbeat: seconds(2),
            lock_grace: seconds(2),
            lock_retry: seconds(1),
            wire_slack: seconds(1),
            patience: seconds(8),
            host_limit: seconds(8),
            table: self.tables(at).successor,
            ..SuccessorConfig::default()
        };
        let process = &mut self.processes[at];
        process.body = Body::Successor(Arc::new(SuccessorMachine::new(config)));
        process.slots[0] = Some(conn);
        self.input(at, Input::Start);
    }

    pub(crate) fn become_supervisor(&mut self, at: usize, task: Task) {
        let config = SupervisorConfig {
            deadline: seconds(6),
            drain_grace: seconds(3),
            kill_stuck_incumbent: self.setup.kill_stuck,
            hello: seconds(2),
            connect: seconds(2),
            connect_retry: seconds(1),
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

    fn identity(&self, at: usize) -> Identity {
        Identity {
            pid: self.processes[at].pid,
            ..Identity::default()
        }
    }
}

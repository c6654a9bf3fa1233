//! A supervisor without a task: it watches the daemon, looks around when that has died, asks for the
//! listeners as long as it lacks them, and begins the next handoff. And a process that only asks.

use std::time::Duration;

use handoff_core::supervisor::Question;
use handoff_core::wire::HandoffId;
use handoff_core::{Reason, SupervisorOutcome, Task};

use super::{Body, Instant, Life, Mutation, Process, SESSIONS, World};

/// How long a supervisor waits before it tries again what has failed.
const PAUSE: Duration = Duration::from_secs(1);

impl Process {
    /// Whether it is no supervisor, and nobody who only asks.
    pub(crate) fn is_daemon(&self) -> bool {
        !matches!(self.name, "S" | "Q")
    }

    pub(crate) fn is_supervisor(&self) -> bool {
        self.name == "S"
    }

    /// Whether an operation of it does not end: a supervisor is as good as frozen then.
    pub(crate) fn is_stuck(&self) -> bool {
        self.pending.iter().any(|op| op.stalled)
    }
}

impl World {
    /// A supervisor begins the next handoff.
    pub(crate) fn hand_over(&mut self, at: usize) {
        self.brisk = self.is_calm();
        self.begun += 1;
        let id = HandoffId::from_bytes([self.begun; 16]);
        self.become_supervisor(at, Task::Handoff(id));
    }

    /// Whether a handoff that begins now has nothing to be afraid of.
    fn is_calm(&self) -> bool {
        let undisturbed = |process: &&Process| match process.life {
            Life::Dead => true,
            Life::Running => process.pending.is_empty() && process.due.is_none(),
            Life::Dying | Life::Frozen => false,
        };
        let daemons = self.processes.iter().enumerate();
        let daemons = daemons.filter(|(at, process)| process.is_daemon() && self.lives(*at));
        let talk = |conn: &super::Conn| conn.open.contains(&true);
        self.serves()
            && !self.conns.iter().any(talk)
            && daemons.count() == 1
            && self.processes.iter().filter(undisturbed).count() == self.processes.len()
    }

    /// Whether the process has neither a machine nor an operation left.
    pub(crate) fn idle(&self, at: usize) -> bool {
        let process = &self.processes[at];
        matches!(process.body, Body::Idle) && process.pending.is_empty()
    }

    /// Whether a supervisor may begin another handoff.
    pub(crate) fn can_hand_over(&self, at: usize) -> bool {
        let process = &self.processes[at];
        process.is_supervisor()
            && self.idle(at)
            && process.watch.is_some()
            && process.listeners
            && self.begun < self.setup.handoffs
            && !self.has_to_look(at)
    }

    fn has_paused(&self, at: usize) -> bool {
        let pause = self.processes[at].pause;
        pause.is_none_or(|until| until <= self.now)
    }

    /// Whether a supervisor looks around now: its daemon is gone, or what has failed may work by now.
    pub(crate) fn has_to_look(&self, at: usize) -> bool {
        let process = &self.processes[at];
        if !process.is_supervisor() || !self.idle(at) || self.without(Mutation::Unwatched) {
            return false;
        }
        let gone = |pid| {
            self.by_pid(pid)
                .is_none_or(|at| self.processes[at].life == Life::Dead)
        };
        process.watch.is_some_and(gone)
            || process.retry && self.lock.is_none() && self.has_paused(at)
    }

    /// Whether a supervisor asks for the listeners now. Whoever answers is asked, also one that it did not
    /// start.
    pub(crate) fn has_to_ask(&self, at: usize) -> bool {
        let process = &self.processes[at];
        process.is_supervisor()
            && self.idle(at)
            && !process.listeners
            && !process.old
            && !process.vain
            && self.has_paused(at)
            && !self.has_to_look(at)
            && !self.without(Mutation::NeverAsks)
    }

    pub(crate) fn look(&mut self, at: usize) {
        let entry = self.journal;
        let process = &mut self.processes[at];
        process.watch = None;
        process.retry = false;
        process.pause = None;
        process.vain = false;
        self.become_supervisor(at, Task::Recover(entry));
    }

    pub(crate) fn ask(&mut self, at: usize, question: Question) {
        self.processes[at].pause = None;
        let id = HandoffId::from_bytes([0xaa; 16]);
        self.become_supervisor(at, Task::Ask(id, question));
    }

    /// Whether a process can listen: it has the sockets, or nobody has.
    pub(crate) fn can_listen(&self, at: usize) -> bool {
        let has = |(at, process): (usize, &Process)| process.listeners && self.lives(at);
        self.processes[at].listeners || !self.processes.iter().enumerate().any(has)
    }

    fn task(&self, at: usize) -> Option<Task> {
        match &self.processes[at].body {
            Body::Supervisor(machine) => Some(machine.config().task),
            _ => None,
        }
    }

    /// Whether a supervisor is at a handoff.
    pub(crate) fn is_handing_over(&self, at: usize) -> bool {
        matches!(self.task(at), Some(Task::Handoff(_)))
    }

    /// A supervisor's machine has ended.
    pub(crate) fn task_ended(&mut self, at: usize, outcome: &SupervisorOutcome) {
        let asked = matches!(self.task(at), Some(Task::Ask(..)));
        let handoff = self.is_handing_over(at);
        for slot in 0..=SESSIONS {
            if let Some(conn) = self.processes[at].slots[slot].take() {
                self.close_end(conn, at);
            }
        }
        if self.processes[at].name == "Q" {
            self.exit(at);
            self.processes[at].life = Life::Dead;
            return;
        }
        let committed = matches!(outcome, SupervisorOutcome::Committed { .. });
        if handoff && std::mem::take(&mut self.brisk) && !committed {
            let what = format!("a handoff that nothing kept up was not committed: {outcome}");
            self.failed.get_or_insert(what);
        }
        let process = &mut self.processes[at];
        process.body = Body::Idle;
        process.due = None;
        let watch = match outcome {
            SupervisorOutcome::Committed { successor, .. } => Some(successor.pid),
            SupervisorOutcome::ColdStarted { process, .. } => Some(process.pid),
            SupervisorOutcome::Found { pid } | SupervisorOutcome::Answered { pid } => Some(*pid),
            SupervisorOutcome::RolledBack { .. } | SupervisorOutcome::Failed(_) => process.watch,
        };
        if watch != process.watch {
            process.retired = process.watch;
        }
        process.watch = watch;
        if let SupervisorOutcome::Failed(cause) = outcome {
            process.pause = Some(self.now.after(PAUSE));
            process.vain |= cause.reason == Reason::NeedsVersion2;
            process.retry |= !asked;
            if self.faults == 0 {
                self.failed
                    .get_or_insert_with(|| "a task failed though nobody died".to_owned());
            }
        }
    }

    /// Until when supervisors that have nothing else to do pause.
    pub(crate) fn pauses(&self) -> impl Iterator<Item = Instant> {
        let pausing = |(at, process): (usize, &Process)| {
            let waits = process.life == Life::Running && self.idle(at);
            process
                .pause
                .filter(|_| waits && (process.retry || !process.listeners))
        };
        self.processes.iter().enumerate().filter_map(pausing)
    }
}

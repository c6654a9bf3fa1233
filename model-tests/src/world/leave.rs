//! How processes end, and whether they were right to.
//!
//! Promise 4 excuses that nobody serves when two kills took every process that could. So the world
//! keeps account of daemons that are lost in another way: the last one that leaves of its own accord
//! though it could have served, or that a supervisor kills because the other one is gone.

use std::time::Duration;

use handoff_core::SupervisorOutcome;
use handoff_core::incumbent::Phase;
use handoff_core::op::Verdict;

use super::{Body, Call, Life, Pending, SESSIONS, World};

/// How a machine ended, as far as its process has to know.
pub(crate) enum End {
    /// Told to, after a handoff.
    Commit,
    /// Of its own accord.
    Leave,
    /// For good: its hooks have failed too often.
    GiveUp,
    /// The machine of a successor has: the daemon serves.
    Settled(Verdict),
    /// That of a supervisor has.
    Task(SupervisorOutcome),
}

/// How long an incumbent of the published version tries for the lock.
const PUBLISHED_PATIENCE: Duration = Duration::from_secs(2);

impl World {
    pub(crate) fn end(&mut self, at: usize, end: &End) {
        match end {
            End::Commit => self.exit(at),
            End::Leave => {
                // Left while a hook of its own still runs: that hook has exceeded all patience, and that
                // is a fault of the daemon, beside those that were asked for.
                let hook = |op: &Pending| op.call.is_hook();
                let stuck = self.processes[at].pending.iter().any(hook);
                self.faults += u8::from(stuck);
                let process = &self.processes[at];
                let stalled = process.pending.iter().any(|op| op.stalled || op.held_up);
                let right = stuck || stalled || process.parting || process.published;
                self.exit(at);
                self.deserted |=
                    !right && !self.daemon(Life::Running) && !self.daemon(Life::Frozen);
            }
            End::GiveUp => {
                // Only a hook that fails again and again, or never returns, makes an incumbent do this:
                // a fault of the daemon, beside those that were asked for.
                self.faults += 1;
                self.exit(at);
            }
            End::Settled(verdict) => self.judge(at, *verdict),
            End::Task(outcome) => self.task_ended(at, outcome),
        }
    }

    /// The process is gone: its sockets are closed at once, its lock file a moment later.
    pub(crate) fn exit(&mut self, at: usize) {
        let process = &mut self.processes[at];
        process.life = Life::Dying;
        process.body = Body::Idle;
        process.trial = None;
        process.due = None;
        process.trial_due = None;
        process.channel = None;
        process.listeners = false;
        process.pending.clear();
        process.slots = [None; SESSIONS + 1];
        process.writer = false;
        process.serving = false;
        process.staged = false;
        process.unbound = false;
        for conn in 0..self.conns.len() {
            self.close_end(conn, at);
        }
    }

    /// Whether a supervisor that has just seen the end of one daemon kills the last that is left.
    pub(crate) fn is_rash(&self, call: Call, saw_end: bool) -> bool {
        let alive = self.processes.iter().enumerate();
        let mut alive = alive.filter(|(at, process)| process.is_daemon() && self.lives(*at));
        let (last, more) = (alive.next(), alive.next());
        saw_end
            && more.is_none()
            && last.is_some_and(|(_, process)| call == Call::Kill(process.pid))
    }

    /// An incumbent of the published version starts to count when it tries for the lock.
    pub(crate) fn measure_patience(&mut self, at: usize) {
        if self.processes[at].published && self.is_incumbent(at, Phase::Reclaiming) {
            let until = self.now.after(PUBLISHED_PATIENCE);
            self.processes[at].patience.get_or_insert(until);
        }
    }

    /// Whether an incumbent of the published version stops trying for the lock.
    pub(crate) fn gives_up(&self, at: usize) -> bool {
        let spent = self.processes[at]
            .patience
            .is_some_and(|until| until <= self.now);
        spent && self.is_incumbent(at, Phase::Pausing)
    }

    /// Whether a successor has still something to write before it leaves.
    pub(crate) fn is_parting(&self, at: usize) -> bool {
        matches!(&self.processes[at].body, Body::Successor(machine)
            if machine.state().phase() == handoff_core::successor::Phase::Parting)
    }

    /// Whether a successor of the published version has opened the data for nobody: it fails when Ready
    /// cannot be written.
    pub(crate) fn cannot_say_ready(&self, at: usize) -> bool {
        let channel = |conn: &super::Conn| conn.ends[1] == at && conn.open[0];
        self.processes[at].published && !self.conns.iter().any(channel)
    }

    pub(crate) fn is_incumbent(&self, at: usize, phase: Phase) -> bool {
        matches!(&self.processes[at].body, Body::Incumbent(machine)
            if machine.state().phase() == phase)
    }
}

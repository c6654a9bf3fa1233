//! Everything that can happen next.

use handoff_core::incumbent::Phase;
use handoff_core::{Input, Successor, Task};

use super::process::link_name;
use super::{Body, Call, Life, Mutation, Result, World};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// A process reads the next frame of a connection, or accepts it, or sees its end.
    Read(u8, u8),
    /// An operation takes effect and comes to its n-th prospect.
    Effect(u8, u8, u8),
    /// The end of an operation is reported.
    Report(u8, u8),
    /// A process looks at the clock.
    Clock(u8),
    /// A dying process lets go of its lock file.
    Reap(u8),
    /// A supervisor without a task looks around.
    Look(u8),
    /// A supervisor without a task begins the next handoff.
    HandOver(u8),
    /// Time passes, up to the next deadline.
    Tick,
    /// S is started again.
    Restart,
    /// An operation is stalled.
    Stall(u8, u8),
    /// A process is killed.
    Kill(u8),
    /// A process is stopped.
    Freeze(u8),
    /// It goes on.
    Thaw(u8),
}

impl Move {
    /// Faults, and what may as well never happen: an end is good or bad without them.
    pub const fn is_optional(self) -> bool {
        matches!(
            self,
            Self::Stall(..) | Self::Kill(_) | Self::Freeze(_) | Self::Thaw(_)
        )
    }
}

fn small(at: usize) -> u8 {
    u8::try_from(at).expect("worlds are small")
}

impl World {
    /// Everything that can happen next.
    pub fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        // Whether something is left to do that takes no time.
        let mut quick = false;
        for (at, process) in self.processes.iter().enumerate() {
            match process.life {
                Life::Dead | Life::Frozen => continue,
                Life::Dying => {
                    moves.push(Move::Reap(small(at)));
                    quick = true;
                    continue;
                }
                Life::Running => {}
            }
            let readable: Vec<_> = (0..self.conns.len())
                .filter(|conn| self.readable(at, *conn))
                .map(|conn| Move::Read(small(at), small(conn)))
                .collect();
            let unread = !readable.is_empty();
            moves.extend(readable);
            quick |= unread;
            for (op, pending) in process.pending.iter().enumerate() {
                if let Some(result) = pending.result {
                    if self.reportable(pending.call, result) {
                        moves.push(Move::Report(small(at), small(op)));
                        quick = true;
                    }
                    continue;
                }
                let prospects = self.prospects(at, pending.call);
                moves.extend(
                    (0..prospects.len()).map(|n| Move::Effect(small(at), small(op), small(n))),
                );
                quick |= !pending.call.is_hook() && !pending.stalled;
            }
            // Bytes come before timeouts.
            let first = self.setup.mutation == Some(Mutation::TimeoutsFirst);
            if process.due.is_some_and(|due| due <= self.now) && (first || !unread) {
                moves.push(Move::Clock(small(at)));
                quick = true;
            }
            let idle = process.name == "S" && self.idle(at);
            if idle && process.watch.is_some() && self.begun < self.setup.handoffs {
                moves.push(Move::HandOver(small(at)));
            }
            if self.has_to_look(at) {
                moves.push(Move::Look(small(at)));
                quick = true;
            }
        }
        if !quick && self.next_due().is_some() {
            moves.push(Move::Tick);
        }
        self.faulty_moves(&mut moves);
        moves
    }

    fn faulty_moves(&self, moves: &mut Vec<Move>) {
        let supervisors = || {
            let named = |at: &usize| self.processes[*at].name == "S";
            (0..self.processes.len()).filter(named)
        };
        if self.setup.restart && supervisors().all(|at| self.processes[at].life == Life::Dead) {
            moves.push(Move::Restart);
        }
        for (at, process) in self.processes.iter().enumerate() {
            if process.life == Life::Frozen {
                moves.push(Move::Thaw(small(at)));
            }
            if self.faults >= self.setup.faults || !self.lives(at) {
                continue;
            }
            moves.push(Move::Kill(small(at)));
            for (op, pending) in process.pending.iter().enumerate() {
                let quick = !pending.call.is_hook() && pending.result.is_none();
                if self.setup.stalls && quick && !pending.stalled {
                    moves.push(Move::Stall(small(at), small(op)));
                }
            }
            let may_freeze = if process.name == "S" {
                self.setup.freezes
            } else {
                self.setup.freeze_daemons
            };
            if may_freeze && process.life == Life::Running {
                moves.push(Move::Freeze(small(at)));
            }
        }
    }

    fn readable(&self, at: usize, conn: usize) -> bool {
        let conn = &self.conns[conn];
        let Some(end) = (0..2).find(|end| conn.ends[*end] == at && conn.open[*end]) else {
            return false;
        };
        if !conn.known[end] {
            // Only an incumbent accepts; a link that an operation made is known by its report.
            return end == 0 && matches!(self.processes[at].body, Body::Incumbent(_));
        }
        !conn.unread[end].is_empty() || !conn.open[1 - end]
    }

    /// Whether the process has neither a machine nor an operation left.
    fn idle(&self, at: usize) -> bool {
        let process = &self.processes[at];
        matches!(process.body, Body::Idle) && process.pending.is_empty()
    }

    fn has_to_look(&self, at: usize) -> bool {
        let process = &self.processes[at];
        if process.name != "S" || !self.idle(at) || self.setup.mutation == Some(Mutation::Unwatched)
        {
            return false;
        }
        let gone = |pid| {
            self.by_pid(pid)
                .is_none_or(|at| self.processes[at].life == Life::Dead)
        };
        process.watch.is_some_and(gone) || process.retry && self.lock.is_none()
    }

    fn next_due(&self) -> Option<handoff_core::Instant> {
        // Time passes for the frozen, too; what is due meanwhile they find when they thaw.
        self.processes
            .iter()
            .filter_map(|process| process.due)
            .filter(|due| *due > self.now && due.as_nanos() < u64::MAX)
            .min()
    }

    /// Makes it happen.
    pub fn apply(&mut self, step: Move) {
        if self.story.is_some() {
            let words = self.describe(step);
            self.note(|| words);
        }
        match step {
            Move::Read(at, conn) => self.read(usize::from(at), usize::from(conn)),
            Move::Effect(at, op, prospect) => {
                let (at, op) = (usize::from(at), usize::from(op));
                let call = self.processes[at].pending[op].call;
                let result = self.prospects(at, call)[usize::from(prospect)];
                self.faults += u8::from(prospect > 0);
                let mut acts = result;
                if self.setup.mutation == Some(Mutation::FailedSealCounts) && call == Call::Seal {
                    acts = Result::Sealed;
                }
                self.effect(at, call, result);
                let pending = self.processes[at].pending.get_mut(op);
                pending.expect("its own effect does not end it").result = Some(acts);
                if call.is_hook() {
                    self.finish(at, op);
                }
            }
            Move::Report(at, op) => self.finish(usize::from(at), usize::from(op)),
            Move::Clock(at) => {
                let at = usize::from(at);
                if self.gives_up(at) {
                    self.exit(at);
                } else {
                    self.input(at, Input::Deadline);
                }
            }
            Move::Reap(at) => {
                let at = usize::from(at);
                self.processes[at].life = Life::Dead;
                if self.lock == Some(at) {
                    self.lock = None;
                }
            }
            Move::Look(at) => {
                let entry = self.journal;
                let at = usize::from(at);
                self.processes[at].watch = None;
                self.processes[at].retry = false;
                self.become_supervisor(at, Task::Recover(entry));
            }
            Move::HandOver(at) => self.hand_over(usize::from(at)),
            Move::Tick => self.now = self.next_due().unwrap_or(self.now).max(self.now),
            Move::Restart => {
                let at = self.spawn("S", Body::Idle);
                let entry = self.journal;
                self.become_supervisor(at, Task::Recover(entry));
            }
            Move::Stall(at, op) => {
                self.faults += 1;
                let pending = &mut self.processes[usize::from(at)].pending;
                pending[usize::from(op)].stalled = true;
            }
            Move::Kill(at) => {
                self.faults += 1;
                self.exit(usize::from(at));
            }
            Move::Freeze(at) => {
                self.faults += 1;
                self.processes[usize::from(at)].life = Life::Frozen;
            }
            Move::Thaw(at) => self.processes[usize::from(at)].life = Life::Running,
        }
    }

    fn finish(&mut self, at: usize, op: usize) {
        let pending = self.processes[at].pending.remove(op);
        let result = pending.result.expect("it took effect");
        if result == Result::Theirs && self.leaves_at_once(at) {
            return self.exit(at);
        }
        self.report(at, pending.op, pending.call, result);
    }

    fn read(&mut self, at: usize, conn: usize) {
        let end = usize::from(self.conns[conn].ends[0] != at);
        if !self.conns[conn].known[end] {
            return self.accept(at, conn);
        }
        let link = match &self.processes[at].body {
            Body::Successor(_) => Successor::CHANNEL,
            _ => link_name(conn),
        };
        if let Some(frame) = self.conns[conn].unread[end].pop_front() {
            let bytes = &frame.bytes[..];
            return self.input(at, Input::Bytes { link, bytes });
        }
        if self.impatient(at) {
            return;
        }
        self.input(at, Input::Closed { link });
    }

    /// The mutated incumbent leaves instead of trying for the lock again.
    fn gives_up(&self, at: usize) -> bool {
        self.setup.mutation == Some(Mutation::Impatient) && self.is_incumbent(at, Phase::Pausing)
    }

    fn leaves_at_once(&self, at: usize) -> bool {
        self.setup.mutation == Some(Mutation::LeavesAtOnce)
            && self.is_incumbent(at, Phase::Watching)
    }

    fn is_incumbent(&self, at: usize, phase: Phase) -> bool {
        matches!(&self.processes[at].body, Body::Incumbent(machine)
            if machine.state().phase() == phase)
    }

    fn describe(&self, step: Move) -> String {
        let name = |at: u8| {
            let process = &self.processes[usize::from(at)];
            format!("{}{}", process.name, process.pid - super::PIDS)
        };
        match step {
            Move::Read(at, conn) => {
                let conn = &self.conns[usize::from(conn)];
                let end = usize::from(conn.ends[0] != usize::from(at));
                match conn.unread[end].front() {
                    _ if !conn.known[end] => format!("{} accepts", name(at)),
                    Some(frame) => format!("{} reads {}", name(at), frame.kind),
                    None => format!("{} sees the end of a connection", name(at)),
                }
            }
            Move::Effect(at, op, prospect) => {
                let call = self.processes[usize::from(at)].pending[usize::from(op)].call;
                let result = self.prospects(usize::from(at), call)[usize::from(prospect)];
                format!("{}: {call:?} comes to {result:?}", name(at))
            }
            Move::Report(at, op) => {
                let pending = self.processes[usize::from(at)].pending[usize::from(op)];
                format!("{}: {:?} is reported", name(at), pending.call)
            }
            Move::Clock(at) => format!("{} looks at the clock", name(at)),
            Move::Reap(at) => format!("{} is gone, and its lock", name(at)),
            Move::Look(at) => format!("{} looks around", name(at)),
            Move::HandOver(at) => format!("{} begins another handoff", name(at)),
            Move::Tick => {
                let by = self.next_due().unwrap_or(self.now).since(self.now);
                format!("{} s pass", by.as_secs())
            }
            Move::Restart => "S is started again".to_owned(),
            Move::Stall(at, op) => {
                let call = self.processes[usize::from(at)].pending[usize::from(op)].call;
                format!("{}: {call:?} is STALLED", name(at))
            }
            Move::Kill(at) => format!("{} is KILLED", name(at)),
            Move::Freeze(at) => format!("{} is FROZEN", name(at)),
            Move::Thaw(at) => format!("{} THAWS", name(at)),
        }
    }
}

//! Everything that can happen next.

use handoff_core::supervisor::Question;
use handoff_core::{Input, Task};

use super::leave::End;
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
    /// A supervisor without its listeners asks for them.
    Ask(u8),
    /// A further process asks the incumbent how it is.
    Inquire,
    /// Time passes, up to the next deadline.
    Tick,
    /// S is started again.
    Restart,
    /// Somebody removes the control path.
    Unlink,
    /// Its owner notices.
    Notice(u8),
    /// An operation is stalled.
    Stall(u8, u8),
    /// A process is killed.
    Kill(u8),
    /// A process is stopped.
    Freeze(u8),
    /// It goes on.
    Thaw(u8),
}

fn small(at: usize) -> u8 {
    u8::try_from(at).expect("worlds are small")
}

impl World {
    /// Faults, and what may as well never happen: an end is good or bad without them.
    pub fn is_optional(&self, step: Move) -> bool {
        match step {
            Move::Effect(at, op, n) => {
                let pending = &self.processes[usize::from(at)].pending[usize::from(op)];
                let fault = || self.prospects(usize::from(at), pending.call)[usize::from(n)].1;
                pending.stalled || fault()
            }
            Move::Restart
            | Move::Inquire
            | Move::Unlink
            | Move::Stall(..)
            | Move::Kill(_)
            | Move::Freeze(_)
            | Move::Thaw(_) => true,
            _ => false,
        }
    }

    /// Whether nothing is left to happen but what may as well not.
    pub fn is_end(&self) -> bool {
        self.moves().iter().all(|step| self.is_optional(*step))
    }

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
                let due = prospects.iter().any(|(_, fault)| !fault);
                quick |= due && !pending.call.is_hook() && !pending.stalled;
            }
            // Bytes come before timeouts.
            let first = self.without(Mutation::TimeoutsFirst);
            let due = [process.due, process.trial_due];
            if due.iter().flatten().any(|due| *due <= self.now) && (first || !unread) {
                moves.push(Move::Clock(small(at)));
                quick = true;
            }
            if self.can_hand_over(at) {
                moves.push(Move::HandOver(small(at)));
            }
            if process.unbound && matches!(process.body, Body::Incumbent(_)) {
                moves.push(Move::Notice(small(at)));
                quick = true;
            }
            if self.has_to_look(at) {
                moves.push(Move::Look(small(at)));
                quick = true;
            }
            if self.has_to_ask(at) {
                moves.push(Move::Ask(small(at)));
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
            let named = |at: &usize| self.processes[*at].is_supervisor();
            (0..self.processes.len()).filter(named)
        };
        if self.setup.restart && supervisors().all(|at| self.processes[at].life == Life::Dead) {
            moves.push(Move::Restart);
        }
        if self.setup.unlinks && self.path.is_some() && self.faults < self.setup.faults {
            moves.push(Move::Unlink);
        }
        let asked = |process: &super::Process| process.name == "Q";
        if self.setup.asks && !self.processes.iter().any(asked) {
            moves.push(Move::Inquire);
        }
        for (at, process) in self.processes.iter().enumerate() {
            if asked(process) {
                continue;
            }
            if process.life == Life::Frozen {
                moves.push(Move::Thaw(small(at)));
            }
            if self.faults >= self.setup.faults || !self.lives(at) {
                continue;
            }
            moves.push(Move::Kill(small(at)));
            for (op, pending) in process.pending.iter().enumerate() {
                if self.setup.stalls && pending.result.is_none() && !pending.stalled {
                    moves.push(Move::Stall(small(at), small(op)));
                }
            }
            let may_freeze = if process.is_supervisor() {
                self.setup.freezes
            } else {
                self.setup.freeze_daemons
            };
            if may_freeze && process.life == Life::Running {
                moves.push(Move::Freeze(small(at)));
            }
        }
    }

    pub(crate) fn next_due(&self) -> Option<handoff_core::Instant> {
        // Time passes for the frozen, too; what is due meanwhile they find when they thaw.
        self.processes
            .iter()
            .flat_map(|process| [process.due, process.trial_due])
            .flatten()
            .chain(self.pauses())
            .chain(self.watches())
            .filter(|due| *due > self.now && due.as_nanos() < u64::MAX)
            .min()
    }

    /// When probations end.
    fn watches(&self) -> impl Iterator<Item = handoff_core::Instant> {
        let pending = self.processes.iter().flat_map(|process| &process.pending);
        pending.filter_map(|op| match op.call {
            Call::WatchProbation(_, until) if op.result.is_none() => Some(until),
            _ => None,
        })
    }

    /// Makes it happen.
    pub fn apply(&mut self, step: Move) {
        let faults = self.faults;
        self.happens(step);
        self.beat();
        self.brisk &= faults == self.faults;
    }

    fn happens(&mut self, step: Move) {
        self.note(|world| world.describe(step));
        match step {
            Move::Read(at, conn) => self.read(usize::from(at), usize::from(conn)),
            Move::Effect(at, op, prospect) => {
                let (at, op) = (usize::from(at), usize::from(op));
                let call = self.processes[at].pending[op].call;
                let (result, fault) = self.prospects(at, call)[usize::from(prospect)];
                self.faults += u8::from(fault);
                let mut acts = result;
                if self.without(Mutation::FailedSealCounts) && call == Call::Seal {
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
                let process = &self.processes[at];
                if self.gives_up(at) {
                    self.end(at, &End::Leave);
                } else if process.due.is_some_and(|due| due <= self.now) {
                    self.input(at, Input::Deadline);
                } else {
                    self.successor_input(at, Input::Deadline);
                }
            }
            Move::Reap(at) => {
                let at = usize::from(at);
                self.processes[at].life = Life::Dead;
                if self.lock == Some(at) {
                    self.lock = None;
                }
            }
            Move::Look(at) => self.look(usize::from(at)),
            Move::Ask(at) => self.ask(usize::from(at), Question::Listeners),
            Move::Inquire => {
                let at = self.spawn("Q", Body::Idle);
                self.ask(at, Question::Status);
            }
            Move::HandOver(at) => self.hand_over(usize::from(at)),
            Move::Tick => {
                let mut pending = self.processes.iter().flat_map(|process| &process.pending);
                // A hook that takes its time may exceed what others have.
                self.brisk &= !pending.any(|op| op.call.is_hook());
                self.now = self.next_due().unwrap_or(self.now).max(self.now);
            }
            Move::Restart => {
                let at = self.spawn("S", Body::Idle);
                let entry = self.journal;
                self.become_supervisor(at, Task::Recover(entry));
            }
            Move::Unlink => {
                self.faults += 1;
                if let Some(owner) = self.path.take().filter(|owner| self.lives(*owner)) {
                    self.processes[owner].unbound = true;
                }
            }
            Move::Notice(at) => {
                self.processes[usize::from(at)].unbound = false;
                self.input(usize::from(at), Input::Unbound);
            }
            Move::Stall(at, op) => {
                self.faults += 1;
                let pending = &mut self.processes[usize::from(at)].pending;
                pending[usize::from(op)].stalled = true;
                self.misleads();
            }
            Move::Kill(at) => {
                self.faults += 1;
                self.exit(usize::from(at));
            }
            Move::Freeze(at) => {
                self.faults += 1;
                let process = &mut self.processes[usize::from(at)];
                process.life = Life::Frozen;
                process.was_frozen = true;
                for pending in &mut process.pending {
                    pending.held_up = true;
                }
                self.misleads();
            }
            Move::Thaw(at) => self.processes[usize::from(at)].life = Life::Running,
        }
    }

    fn finish(&mut self, at: usize, op: usize) {
        let pending = self.processes[at].pending.remove(op);
        let result = pending.result.expect("it took effect");
        if pending.call == Call::Open && self.cannot_say_ready(at) {
            return self.end(at, &End::Leave);
        }
        // A process that decides to leave on what it hears now may do so: its own part failed or took too long, or it has
        // seen that another lives, and it cannot know that that one dies in this very moment.
        self.processes[at].parting |= match result {
            Result::Failed | Result::Opened { healthy: false } => true,
            Result::Held | Result::Theirs if self.processes[at].met => true,
            _ => pending.stalled || pending.held_up,
        };
        self.report(at, &pending, result);
        self.processes[at].parting &= self.is_parting(at);
    }
}

//! A fingerprint of a world in which equal behaviour looks equal.
//!
//! Moments count relative to now, and those that have passed are all alike. Pids and links are
//! numbered by the place of what they name among what still exists, operations by their place among
//! those that are under way. Everything that a machine could tell apart is in it.
//!
//! The machines' states hide their numbers, so the hasher tells the kinds of numbers apart by their
//! ranges: see `PIDS`, `LINKS` and `EPOCH`.

use std::hash::{Hash, Hasher};

use super::{Body, EPOCH, LINKS, Life, PIDS, Process, Result, World};

struct Canon<'w> {
    world: &'w World,
    /// The operations under way in the process that is being hashed.
    process: Option<&'w Process>,
    sum: u128,
}

/// A number for what does not exist any more.
const GONE: u64 = 0xdead;

impl<'w> Canon<'w> {
    fn mix(&mut self, value: u64) {
        // An odd multiplier with its bits well spread, and a fold of the upper half: every bit of
        // the value reaches every bit of the sum within two rounds.
        const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        self.sum = (self.sum ^ u128::from(value)).wrapping_mul(SPREAD);
        self.sum ^= self.sum >> 67;
    }

    fn pid(&self, pid: u32) -> u64 {
        self.world
            .by_pid(pid)
            .map_or(GONE, |at| self.world.place(at))
    }

    fn process(&mut self, at: Option<usize>) {
        let place = at.map_or(GONE + 1, |at| self.world.place(at));
        self.mix(place);
    }

    fn conn(&mut self, at: Option<usize>) {
        let place = at.map_or(GONE + 1, |at| self.world.conn_place(at));
        self.mix(place);
    }

    fn process_in_full(&mut self, process: &'w Process) {
        self.process = Some(process);
        process.name.hash(self);
        process.life.hash(self);
        (
            process.writer,
            process.serving,
            process.staged,
            process.unbound,
            process.published,
            process.met,
            process.parting,
        )
            .hash(self);
        (
            process.listeners,
            process.current,
            process.outlived,
            (process.orphaned, process.misled),
            process.was_frozen,
            process.old,
        )
            .hash(self);
        (process.watch, process.retired, process.retry).hash(self);
        (process.pause, process.vain).hash(self);
        (process.due, process.trial_due).hash(self);
        self.conn(process.channel);
        process.patience.hash(self);
        for slot in process.slots {
            self.conn(slot);
        }
        self.write_usize(process.pending.len());
        for pending in &process.pending {
            pending.call.hash(self);
            (
                pending.successor,
                pending.stalled,
                pending.held_up,
                pending.rash,
            )
                .hash(self);
            match pending.result {
                Some(Result::Linked { conn, pid }) => {
                    self.conn(Some(conn));
                    pid.hash(self);
                }
                other => other.hash(self),
            }
        }
        if let Some(machine) = &process.trial {
            machine.state().hash(self);
        }
        match &process.body {
            Body::Incumbent(machine) => {
                self.write_u8(0);
                machine.state().hash(self);
            }
            Body::Successor(machine) => {
                self.write_u8(1);
                machine.state().hash(self);
            }
            Body::Supervisor(machine) => {
                self.write_u8(2);
                machine.config().task.hash(self);
                machine.state().hash(self);
            }
            Body::Idle => self.write_u8(3),
        }
        self.process = None;
    }
}

impl Hasher for Canon<'_> {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        let value = match value {
            LINKS.. => unreachable!("links are hashed by their connection"),
            PIDS.. => self.pid(value),
            _ => self
                .process
                .and_then(|process| process.pending.iter().position(|op| op.op == value))
                .map_or(GONE, |at| at as u64),
        };
        self.mix(value);
    }

    fn write_u64(&mut self, value: u64) {
        let now = self.world.now.as_nanos();
        let value = match value {
            u64::MAX => value,
            EPOCH.. => EPOCH + value.saturating_sub(now),
            _ => value,
        };
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.mix(value.cast_unsigned() as u64);
    }
}

impl World {
    /// The place of a process among those that are not dead.
    fn place(&self, at: usize) -> u64 {
        let alive = |process: &&Process| process.life != Life::Dead;
        if self.processes[at].life == Life::Dead {
            return GONE;
        }
        self.processes[..at].iter().filter(alive).count() as u64
    }

    fn conn_lives(&self, at: usize) -> bool {
        self.conns[at].open.contains(&true)
    }

    fn conn_place(&self, at: usize) -> u64 {
        (0..at).filter(|at| self.conn_lives(*at)).count() as u64
    }

    /// The fingerprint.
    pub fn fingerprint(&self) -> u128 {
        let mut canon = Canon {
            world: self,
            process: None,
            sum: 0x1234_5678_9abc_def0_0fed_cba9_8765_4321,
        };
        canon.process(self.lock);
        canon.process(self.path);
        self.journal.hash(&mut canon);
        canon.write_u8(self.faults);
        canon.write_u8(self.begun);
        (self.deserted, self.brisk).hash(&mut canon);
        for process in &self.processes {
            if process.life != Life::Dead {
                canon.process_in_full(process);
            }
        }
        for at in (0..self.conns.len()).filter(|at| self.conn_lives(*at)) {
            let conn = &self.conns[at];
            for end in 0..2 {
                canon.process(Some(conn.ends[end]));
                (conn.open[end], conn.known[end]).hash(&mut canon);
                canon.write_usize(conn.unread[end].len());
                for frame in &conn.unread[end] {
                    frame.kind.hash(&mut canon);
                    frame.id.hash(&mut canon);
                    canon.write_u8(u8::from(!frame.handles.is_empty()));
                    // Of what a frame says beside its kind only this is ever looked at.
                    if frame.kind == handoff_core::wire::MessageKind::Ready {
                        frame.bytes.hash(&mut canon);
                    }
                }
            }
        }
        canon.sum
    }
}

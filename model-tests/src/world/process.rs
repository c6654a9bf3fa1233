//! The adapter of each process: hands inputs to its machine, and does what the machine says.

use std::collections::VecDeque;
use std::sync::Arc;

use handoff_core::op::{
    DrainReport, LinkReport, LockReport, OpenReport, PathOwner, Process as Named, Report,
    SealReport,
};
use handoff_core::record::decode_input;
use handoff_core::wire::{MessageKind, Names, Revisions, decode};
use handoff_core::{
    IncumbentOutcome, Input, LinkId, Successor, SuccessorOutcome, SupervisorOutcome,
};

use super::leave::End;
use super::story::call_name;
use super::turn::{Asked, incumbent_call, successor_call, supervisor_call, turn};
use super::{Body, Call, Conn, Event, Frame, LINKS, Pending, Result, SESSIONS, World};

impl World {
    /// Gives an input to the machine of a process, and does what it says.
    pub(crate) fn input(&mut self, at: usize, input: Input<'_>) {
        let (now, tell) = (self.now, self.story.is_some());
        let saw_end = matches!(input, Input::Closed { .. });
        let process = &mut self.processes[at];
        let (asked, end) = match &mut process.body {
            Body::Incumbent(machine) => {
                let machine = Arc::make_mut(machine);
                let turned = turn(machine, now, input, incumbent_call, tell);
                let end = turned.end.map_err(|outcome| {
                    (
                        outcome.to_string(),
                        match outcome {
                            IncumbentOutcome::Committed(_) => End::Commit,
                            IncumbentOutcome::Superseded => End::Leave,
                            IncumbentOutcome::Failed(_) => End::GiveUp,
                        },
                    )
                });
                (turned.asked, end)
            }
            Body::Successor(machine) => {
                let machine = Arc::make_mut(machine);
                let turned = turn(machine, now, input, successor_call, tell);
                let end = turned.end.map_err(|outcome| {
                    (
                        outcome.to_string(),
                        match outcome {
                            SuccessorOutcome::Serving { published, .. } => End::Serve { published },
                            SuccessorOutcome::Failed(_) => End::Leave,
                        },
                    )
                });
                (turned.asked, end)
            }
            Body::Supervisor(machine) => {
                let machine = Arc::make_mut(machine);
                let turned = turn(machine, now, input, supervisor_call, tell);
                let watch = process.watch;
                let idle = |watch, retry| End::Idle { watch, retry };
                let end = turned.end.map_err(|outcome| {
                    (
                        outcome.to_string(),
                        match outcome {
                            SupervisorOutcome::Committed { successor, .. } => {
                                idle(Some(successor.pid), false)
                            }
                            SupervisorOutcome::RolledBack { .. } => idle(watch, false),
                            SupervisorOutcome::ColdStarted { process, .. } => {
                                idle(Some(process.pid), false)
                            }
                            SupervisorOutcome::Found { pid } => idle(Some(pid), false),
                            SupervisorOutcome::Failed(_) => idle(watch, true),
                        },
                    )
                });
                (turned.asked, end)
            }
            Body::Idle => return,
        };
        if let Ok(due) = end {
            process.due = due;
        }
        self.actions = self.actions.max(asked.len());
        let mut wrote = Vec::new();
        for ask in asked {
            match ask {
                Asked::Send(link, bytes) => {
                    if self.transmit(at, link, &bytes) {
                        wrote.push((link, bytes.len()));
                    }
                }
                Asked::Start(op, call) => {
                    self.note(|world| Event::Started(world.called(at), call_name(call)));
                    self.begin(at, op, call, saw_end);
                }
                Asked::Cancel(op) => {
                    self.note(|world| {
                        Event::Seen(world.called(at), format!("cancels operation {op}"))
                    });
                }
                Asked::Close(link) => self.close(at, link),
                Asked::Seen(seen) => {
                    if let Some(seen) = seen {
                        self.note(|world| Event::Seen(world.called(at), seen));
                    }
                }
            }
        }
        match end {
            Ok(_) => {
                self.measure_patience(at);
                for (link, count) in wrote {
                    self.input(at, Input::Wrote { link, count });
                }
            }
            Err((words, end)) => {
                self.note(|world| Event::Ended(world.called(at), words));
                self.end(at, &end);
            }
        }
    }

    fn begin(&mut self, at: usize, op: u32, call: Call, saw_end: bool) {
        let rash = self.is_rash(call, saw_end);
        let process = &mut self.processes[at];
        match call {
            Call::Drain => process.serving = false,
            Call::Resume | Call::Open => process.writer = true,
            _ => {}
        }
        process.pending.push(Pending {
            op,
            call,
            result: None,
            stalled: false,
            held_up: false,
            rash,
        });
    }

    pub(crate) fn slot_of(&self, at: usize, link: LinkId) -> Option<usize> {
        let process = &self.processes[at];
        if matches!(process.body, Body::Successor(_)) {
            return (link == Successor::CHANNEL).then_some(0);
        }
        process
            .slots
            .iter()
            .position(|slot| slot.is_some_and(|conn| link_name(conn) == link))
    }

    pub(crate) fn close(&mut self, at: usize, link: LinkId) {
        if let Some(slot) = self.slot_of(at, link)
            && let Some(conn) = self.processes[at].slots[slot].take()
        {
            self.close_end(conn, at);
        }
    }

    pub(crate) fn close_end(&mut self, conn: usize, at: usize) {
        let conn = &mut self.conns[conn];
        for end in 0..2 {
            if conn.ends[end] == at {
                conn.open[end] = false;
                conn.unread[end].clear();
            }
        }
    }

    /// Puts bytes on a link; false when nobody is at its other end.
    fn transmit(&mut self, at: usize, link: LinkId, bytes: &[u8]) -> bool {
        let Some(conn) = self
            .slot_of(at, link)
            .and_then(|slot| self.processes[at].slots[slot])
        else {
            return false;
        };
        let Conn {
            ends, open, unread, ..
        } = &mut self.conns[conn];
        let other = usize::from(ends[0] == at);
        if !open[other] {
            return false;
        }
        let mut rest = bytes;
        let mut messages = Vec::new();
        while let Some((header, body)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_le_bytes(*header)).expect("small");
            let message = decode(1, &body[2..length]).expect("machines send what can be read");
            messages.push(message);
            // A second heartbeat right after one that is still unread says nothing new; without this
            // the world of a frozen process would grow without end.
            let beats = |frame: &Frame| frame.kind == MessageKind::Heartbeat;
            if !(message.kind() == MessageKind::Heartbeat
                && unread[other].back().is_some_and(beats))
            {
                unread[other].push_back(Frame {
                    kind: message.kind(),
                    id: message.id(),
                    bytes: rest[..length + 4].into(),
                });
            }
            rest = &body[length..];
        }
        let to = ends[other];
        for message in messages {
            self.note(|world| Event::Sent {
                from: world.called(at),
                to: world.called(to),
                kind: message.kind().to_string(),
                message: format!("{message:?}"),
            });
        }
        true
    }

    /// A new connection; its ends are known to their machines later.
    pub(crate) fn connect(&mut self, ends: [usize; 2], known: [bool; 2]) -> usize {
        self.conns.push(Conn {
            ends,
            open: [true; 2],
            known,
            unread: [VecDeque::new(), VecDeque::new()],
        });
        self.conns.len() - 1
    }

    /// What a process that has accepted a connection tells its machine.
    pub(crate) fn accept(&mut self, at: usize, conn: usize) {
        self.conns[conn].known[0] = true;
        // Beyond the last slot it waits until the machine has made room for it, or closed it.
        let slots = &mut self.processes[at].slots;
        let free = slots.iter().position(Option::is_none).unwrap_or(SESSIONS);
        slots[free] = Some(conn);
        let link = link_name(conn);
        self.input(at, Input::Opened { link, peer: 1 });
        let slots = &mut self.processes[at].slots;
        if let Some(late) = slots[SESSIONS].take()
            && let Some(free) = slots.iter_mut().find(|slot| slot.is_none())
        {
            *free = Some(late);
        }
    }

    /// Reports the end of an operation to the machine that started it.
    pub(crate) fn report(&mut self, at: usize, op: u32, call: Call, result: Result) {
        let mut taken = SESSIONS;
        if let Result::Linked { conn, .. } = result {
            let (end, slot) = match call {
                Call::Spawn => (0, 1),
                _ => (1, 0),
            };
            if matches!(self.processes[at].body, Body::Supervisor(_)) {
                self.conns[conn].known[end] = true;
                // Beside the others until the machine has taken it, or closed it.
                self.processes[at].slots[SESSIONS] = Some(conn);
                taken = slot;
            } else {
                self.close_end(conn, at);
            }
        }
        let names = ["main"];
        let revisions = [3];
        let report = match result {
            Result::Failed => Report::Failed("failed"),
            Result::Done => Report::Done,
            Result::Drained => Report::Drained(DrainReport::default()),
            Result::Sealed => Report::Sealed(SealReport {
                revisions: Revisions::from(&revisions[..]),
                fingerprint: [0; 32],
            }),
            Result::Taken(generation) => Report::Lock(LockReport::Taken { generation }),
            Result::Held => Report::Lock(LockReport::Held),
            Result::Ours => Report::Path(PathOwner::Ours),
            Result::Theirs => Report::Path(PathOwner::Theirs),
            Result::Nobody => Report::Path(PathOwner::Nobody),
            Result::Opened { healthy } => Report::Opened(OpenReport {
                listening_on: Names::from(&names[..]),
                healthy,
                revisions: Revisions::from(&revisions[..]),
            }),
            Result::Linked { conn, pid } => Report::Linked(LinkReport {
                link: link_name(conn),
                process: named(pid),
            }),
            Result::Started(pid) => Report::Started(named(pid)),
            Result::Scene(scene) => Report::Scene(scene),
        };
        // A ticket cannot be copied as a world is; a recorded completion can.
        let mut room = [0; 256];
        let bytes = postcard::to_slice(&(self.now, 5_u32, op, report), &mut room).expect("short");
        let (_, input, _) = decode_input(bytes).expect("the format of a record");
        self.input(at, input);
        let slots = &mut self.processes[at].slots;
        if let Some(conn) = slots[SESSIONS].take() {
            slots[taken] = Some(conn);
        }
    }
}

/// The name of a connection at the machines that hold it by a number.
pub(crate) fn link_name(conn: usize) -> LinkId {
    LinkId(LINKS + u32::try_from(conn).expect("few connections"))
}

/// A process as operations report it.
pub(crate) const fn named(pid: u32) -> Named {
    Named { pid, start: 1 }
}

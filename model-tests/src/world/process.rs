//! The adapter of each process: hands inputs to its machines, and does what they say.
//!
//! A process has one machine, with one exception: a successor that serves has that of an incumbent, which
//! answers the control path, and goes on with its own until the probation has ended.

use std::sync::Arc;

use handoff_core::op::Verdict;
use handoff_core::{IncumbentOutcome, Input, LinkId, Successor, SuccessorOutcome};

use super::leave::End;
use super::story::call_name;
use super::turn::{Asked, Turned, incumbent_call, successor_call, supervisor_call, turn};
use super::{Body, Call, Event, Mutation, Pending, World};

/// What a machine asked for, and how it ended if it did: in words, and for its process.
type Turn = Turned<(String, End)>;

impl World {
    /// Gives an input to the machine of a process, and does what it says.
    pub(crate) fn input(&mut self, at: usize, input: Input<'_>) {
        let (now, tell) = (self.now, self.story.is_some());
        let process = &mut self.processes[at];
        let turned = match &mut process.body {
            Body::Incumbent(machine) => {
                let machine = Arc::make_mut(machine);
                turn(machine, now, input, incumbent_call, tell).ends(|outcome| match outcome {
                    IncumbentOutcome::Committed(_) => End::Commit,
                    IncumbentOutcome::Superseded => End::Leave,
                    IncumbentOutcome::Failed(_) => End::GiveUp,
                })
            }
            Body::Successor(machine) => {
                let machine = Arc::make_mut(machine);
                turn(machine, now, input, successor_call, tell).ends(settled)
            }
            Body::Supervisor(machine) => {
                let machine = Arc::make_mut(machine);
                turn(machine, now, input, supervisor_call, tell).ends(End::Task)
            }
            Body::Idle => return,
        };
        if let Ok(due) = turned.end {
            process.due = due;
        }
        self.perform(at, &input, turned);
    }

    /// Gives an input to the machine of the successor that a process began as.
    pub(crate) fn successor_input(&mut self, at: usize, input: Input<'_>) {
        let (now, tell) = (self.now, self.story.is_some());
        let process = &mut self.processes[at];
        let Some(machine) = &mut process.trial else {
            if matches!(process.body, Body::Successor(_)) {
                self.input(at, input);
            }
            return;
        };
        let machine = Arc::make_mut(machine);
        let turned = turn(machine, now, input, successor_call, tell).ends(settled);
        if let Ok(due) = turned.end {
            process.trial_due = due;
        }
        self.perform(at, &input, turned);
    }

    /// What came on a link, for the machine that has it.
    pub(crate) fn link_input(&mut self, at: usize, link: LinkId, input: Input<'_>) {
        if link == Successor::CHANNEL {
            self.successor_input(at, input);
        } else {
            self.input(at, input);
        }
    }

    /// Does what a machine asked for.
    fn perform(&mut self, at: usize, input: &Input<'_>, turned: Turn) {
        let saw_end = matches!(input, Input::Closed { .. });
        let Turned { asked, end } = turned;
        self.actions = self.actions.max(asked.len());
        let mut wrote = Vec::new();
        for ask in asked {
            match ask {
                Asked::Send(link, bytes, handles) => {
                    if self.transmit(at, link, &bytes, handles) {
                        wrote.push((link, bytes.len()));
                    }
                }
                Asked::Start(op, call) => {
                    self.note(|world| Event::Started(world.called(at), call_name(call)));
                    self.begin(at, op, call, saw_end);
                }
                Asked::Cancel(op) => self.cancel(at, op),
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
                    self.link_input(at, link, Input::Wrote { link, count });
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
        match call {
            Call::Serve(published) => return self.take_over(at, published),
            Call::Drain => self.stops(at),
            Call::Resume | Call::Open => self.opens(at, call),
            Call::Confirm => self.confirms(at),
            _ => {}
        }
        let process = &mut self.processes[at];
        let successor = matches!(process.body, Body::Successor(_));
        process.pending.push(Pending {
            op,
            call,
            successor,
            result: None,
            stalled: false,
            held_up: false,
            rash,
        });
    }

    /// A successor serves, as the incumbent: nothing waits for the report of that. Its own machine goes on
    /// beside the new one.
    fn take_over(&mut self, at: usize, published: bool) {
        let process = &mut self.processes[at];
        let Body::Successor(machine) = std::mem::replace(&mut process.body, Body::Idle) else {
            unreachable!("only a successor's machine says Serve");
        };
        process.trial = Some(machine);
        process.trial_due = process.due;
        // The published version has no hook for the end of a probation, and ends the session here.
        let theirs = std::mem::take(&mut process.published);
        self.acknowledges(at);
        self.become_incumbent(at, published, !theirs);
        if theirs {
            self.close(at, Successor::CHANNEL);
            self.processes[at].trial = None;
        }
    }

    /// The machine of a successor has ended, and the daemon serves.
    pub(crate) fn judge(&mut self, at: usize, verdict: Verdict) {
        self.close(at, Successor::CHANNEL);
        self.processes[at].trial = None;
        self.processes[at].trial_due = None;
        let verdict = match verdict {
            Verdict::Orphaned if self.without(Mutation::OrphanedAtOnce) => Verdict::Committed,
            other => other,
        };
        self.processes[at].orphaned = verdict == Verdict::Orphaned;
        self.misleads();
        self.input(at, Input::Probation(verdict));
    }

    /// Hooks are asked to stop early, and take the time they take; a watch ends at once.
    fn cancel(&mut self, at: usize, op: u32) {
        self.note(|world| Event::Seen(world.called(at), format!("cancels operation {op}")));
        let watches = |op: &Pending| matches!(op.call, Call::WatchProbation(..));
        let pending = &mut self.processes[at].pending;
        pending.retain(|pending| pending.op != op || !watches(pending));
    }
}

fn settled(outcome: SuccessorOutcome) -> End {
    match outcome {
        SuccessorOutcome::Serving { verdict, .. } => End::Settled(verdict),
        SuccessorOutcome::Failed(_) => End::Leave,
    }
}

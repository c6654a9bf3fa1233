//! Three machines joined by byte queues, and a host that answers every operation at once. Time
//! passes only when nothing else happens.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::VecDeque;

use handoff_core::op::{
    Completion, DrainReport, LinkReport, LockReport, OpenReport, PathOwner, Process, Scene,
    SealReport,
};
use handoff_core::record::encode_input;
use handoff_core::wire::{HandoffId, Names, Revisions};
use handoff_core::{
    Action, Identity, Incumbent, IncumbentConfig, IncumbentOp, Inline, Input, Instant, LinkId,
    Machine, Role, Step, Successor, SuccessorConfig, SuccessorOp, Supervisor, SupervisorConfig,
    SupervisorOp, Task, Wait,
};

pub(crate) const ID: HandoffId = HandoffId::from_bytes([7; 16]);
pub(crate) const OLD: Process = Process { pid: 100, start: 1 };
pub(crate) const NEW: Process = Process { pid: 200, start: 2 };

/// The one link of incumbent and successor, and the supervisor's to the incumbent.
const FIRST: LinkId = LinkId(0);
/// The supervisor's link to the successor.
const SECOND: LinkId = LinkId(1);

pub(crate) fn identity(process: Process) -> Identity {
    Identity {
        pid: process.pid,
        ..Identity::default()
    }
}

pub(crate) fn incumbent_config() -> IncumbentConfig {
    IncumbentConfig {
        identity: identity(OLD),
        ..IncumbentConfig::default()
    }
}

pub(crate) fn successor_config() -> SuccessorConfig {
    SuccessorConfig {
        identity: identity(NEW),
        ..SuccessorConfig::default()
    }
}

pub(crate) fn supervisor_config() -> SupervisorConfig {
    SupervisorConfig::new(Task::Handoff(ID))
}

/// What went into a machine and what came out, for a replay.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) inputs: Vec<u8>,
    pub(crate) steps: Vec<String>,
}

/// One machine with its adapter.
pub(crate) struct Node<R: Role<L>, const L: usize> {
    machine: Machine<R, Inline, L>,
    started: bool,
    /// Bytes on their way to the peer, by the number of the link.
    sent: [VecDeque<u8>; 2],
    ops: VecDeque<R::Op>,
    wait: Option<Wait<R::Why>>,
    pub(crate) outcome: Option<R::Outcome>,
    pub(crate) trace: Option<Trace>,
}

impl<R: Role<L>, const L: usize> Node<R, L> {
    fn new(config: R::Config) -> Self {
        Self {
            machine: Machine::new(config),
            started: false,
            sent: [VecDeque::with_capacity(1024), VecDeque::with_capacity(1024)],
            ops: VecDeque::with_capacity(8),
            wait: None,
            outcome: None,
            trace: None,
        }
    }

    /// Hands one input in, does what comes out, and returns how many bytes were taken.
    fn feed(&mut self, now: Instant, input: Input<'_>) -> usize {
        self.started = true;
        if let Some(trace) = &mut self.trace {
            let mut room = [0; 2048];
            let used = encode_input(now, &input, &mut room).expect("room enough");
            trace.inputs.extend(&room[..used]);
        }
        let mut written = [0; 2];
        let mut turn = self.machine.handle(now, input).expect("a legal input");
        let consumed = turn.consumed();
        loop {
            let step = turn.next();
            if let Some(trace) = &mut self.trace {
                trace.steps.push(format!("{step:?}"));
            }
            match step {
                Step::Do(Action::Send { link, bytes }) => {
                    let at = usize::try_from(link.0).expect("a small number");
                    self.sent[at].extend(bytes);
                    written[at] += bytes.len();
                }
                Step::Do(Action::Start(op)) => self.ops.push_back(op),
                Step::Do(Action::Cancel(_) | Action::Close { .. } | Action::Observe(_)) => {}
                Step::Wait(wait) => {
                    self.wait = Some(wait);
                    break;
                }
                Step::Done(outcome) => {
                    self.outcome = Some(outcome);
                    break;
                }
            }
        }
        for (link, count) in [FIRST, SECOND].into_iter().zip(written) {
            if count > 0 {
                self.feed(now, Input::Wrote { link, count });
            }
        }
        consumed
    }

    /// Hands in what the peer sent, at most `chunk` bytes at once. Returns whether there was any.
    fn receive(
        &mut self,
        now: Instant,
        link: LinkId,
        from: &mut VecDeque<u8>,
        chunk: usize,
    ) -> bool {
        let count = from.len().min(chunk);
        if count == 0 || !self.started {
            return false;
        }
        let bytes = &from.make_contiguous()[..count];
        let consumed = self.feed(now, Input::Bytes { link, bytes });
        from.drain(..consumed);
        true
    }

    fn deadline(&self) -> Option<Instant> {
        self.wait
            .filter(|_| self.outcome.is_none())
            .and_then(|wait| wait.deadline)
    }
}

/// Supervisor, incumbent, successor, and what they share.
pub(crate) struct World {
    pub(crate) supervisor: Node<Supervisor, 2>,
    pub(crate) incumbent: Node<Incumbent, 8>,
    pub(crate) successor: Node<Successor, 1>,
    pub(crate) now: Instant,
    /// Who holds the writer lock.
    pub(crate) lock: Option<Process>,
    /// Whose socket the control path leads to.
    pub(crate) path: Process,
    /// The hooks that ran, and the operations that are seen from outside, in order.
    pub(crate) log: Vec<&'static str>,
    /// The most bytes that are handed in at once.
    chunk: usize,
}

impl World {
    /// A world before a handoff.
    pub(crate) fn new(chunk: usize) -> Self {
        Self {
            supervisor: Node::new(supervisor_config()),
            incumbent: Node::new(incumbent_config()),
            successor: Node::new(successor_config()),
            now: Instant::from_nanos(1_000_000_000),
            lock: Some(OLD),
            path: OLD,
            log: Vec::with_capacity(32),
            chunk,
        }
    }

    /// The same, with every input and step recorded.
    pub(crate) fn recording(chunk: usize) -> Self {
        let mut world = Self::new(chunk);
        world.supervisor.trace = Some(Trace::default());
        world.incumbent.trace = Some(Trace::default());
        world.successor.trace = Some(Trace::default());
        world
    }

    /// Runs until all three have ended.
    pub(crate) fn run(&mut self) {
        self.incumbent.feed(self.now, Input::Start);
        self.supervisor.feed(self.now, Input::Start);
        for _ in 0..100_000 {
            if self.supervisor.outcome.is_some()
                && self.incumbent.outcome.is_some()
                && self.successor.outcome.is_some()
            {
                return;
            }
            if !self.operate() && !self.carry() {
                self.pass_time();
            }
        }
        panic!("the handoff does not end: {:?}", self.log);
    }

    /// Ends one operation, if one was started.
    fn operate(&mut self) -> bool {
        let now = self.now;
        if let Some(op) = self.supervisor.ops.pop_front() {
            let done = self.supervise(op);
            self.supervisor.feed(now, Input::Completed(done));
        } else if let Some(op) = self.incumbent.ops.pop_front() {
            let done = self.serve(op);
            self.incumbent.feed(now, Input::Completed(done));
        } else if let Some(op) = self.successor.ops.pop_front() {
            let done = self.succeed(op);
            self.successor.feed(now, Input::Completed(done));
        } else {
            return false;
        }
        true
    }

    /// Carries some bytes over one link, if there are any.
    fn carry(&mut self) -> bool {
        let Self {
            supervisor: s,
            incumbent: o,
            successor: n,
            now,
            chunk,
            ..
        } = self;
        let (now, chunk) = (*now, *chunk);
        s.receive(now, FIRST, &mut o.sent[0], chunk)
            || o.receive(now, FIRST, &mut s.sent[0], chunk)
            || s.receive(now, SECOND, &mut n.sent[0], chunk)
            || n.receive(now, FIRST, &mut s.sent[1], chunk)
    }

    fn pass_time(&mut self) {
        let due = [
            self.supervisor.deadline(),
            self.incumbent.deadline(),
            self.successor.deadline(),
        ];
        let next = due.into_iter().flatten().min().expect("nothing is due");
        self.now = next;
        if due[0] == Some(next) {
            self.supervisor.feed(next, Input::Deadline);
        } else if due[1] == Some(next) {
            self.incumbent.feed(next, Input::Deadline);
        } else {
            self.successor.feed(next, Input::Deadline);
        }
    }

    fn supervise(&mut self, op: SupervisorOp) -> Completion<'static> {
        match op {
            SupervisorOp::Connect(ticket) => {
                let link = FIRST;
                self.incumbent
                    .feed(self.now, Input::Opened { link, peer: 1 });
                ticket.done(LinkReport { link, process: OLD })
            }
            SupervisorOp::Spawn(ticket) => {
                self.successor.feed(self.now, Input::Start);
                ticket.done(LinkReport {
                    link: SECOND,
                    process: NEW,
                })
            }
            SupervisorOp::Kill { ticket, .. } => ticket.done(()),
            SupervisorOp::WriteJournal { ticket, .. } => ticket.done(()),
            SupervisorOp::ClearJournal(ticket) => ticket.done(()),
            SupervisorOp::ColdStart(ticket) => ticket.done(NEW),
            SupervisorOp::Probe { ticket, .. } => ticket.done(Scene::default()),
        }
    }

    fn serve(&mut self, op: IncumbentOp) -> Completion<'static> {
        match op {
            IncumbentOp::Drain { ticket, .. } => {
                self.log.push("drain");
                ticket.done(DrainReport {
                    open_connections: 0,
                    accept_closed: true,
                })
            }
            IncumbentOp::Seal { ticket, .. } => {
                self.log.push("seal");
                ticket.done(SealReport {
                    revisions: Revisions::from(&[1, 300][..]),
                    fingerprint: [9; 32],
                })
            }
            IncumbentOp::Resume(ticket) => {
                self.log.push("resume");
                ticket.done(())
            }
            IncumbentOp::ReleaseLock(ticket) => {
                self.log.push("release");
                self.lock = None;
                ticket.done(())
            }
            IncumbentOp::TryLock(ticket) => ticket.done(self.try_lock(OLD)),
            IncumbentOp::InspectPath(ticket) => ticket.done(if self.path == OLD {
                PathOwner::Ours
            } else {
                PathOwner::Theirs
            }),
            IncumbentOp::BindPath(ticket) => {
                self.path = OLD;
                ticket.done(())
            }
        }
    }

    fn succeed(&mut self, op: SuccessorOp) -> Completion<'static> {
        match op {
            SuccessorOp::StagePath(ticket) => ticket.done(()),
            SuccessorOp::TryLock(ticket) => ticket.done(self.try_lock(NEW)),
            SuccessorOp::Open(ticket) => {
                self.log.push("open");
                ticket.done(OpenReport {
                    listening_on: Names::from(&["http"][..]),
                    healthy: true,
                    revisions: Revisions::from(&[1, 300][..]),
                })
            }
            SuccessorOp::PublishPath(ticket) => {
                self.log.push("publish");
                self.path = NEW;
                ticket.done(())
            }
        }
    }

    fn try_lock(&mut self, who: Process) -> LockReport {
        if self.lock.is_some_and(|holder| holder != who) {
            return LockReport::Held;
        }
        self.log.push("lock");
        self.lock = Some(who);
        LockReport::Taken { generation: 2 }
    }
}

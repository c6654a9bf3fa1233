//! Machines joined by byte queues, and a host that answers every operation at once. Time passes only
//! when nothing else happens. Descriptors are numbers; a queue hands them over as a socket does.
#![allow(dead_code, reason = "each test binary uses its part")]

mod host;
mod node;

use std::time::Duration;

use handoff_core::op::{LinkReport, Process, Ticket, WatchProbation};
use handoff_core::supervisor::Question;
use handoff_core::wire::{HandoffId, VersionRange};
use handoff_core::{
    Handles, Identity, Incumbent, IncumbentConfig, IncumbentOp, Input, Instant, LinkId, Successor,
    SuccessorConfig, SuccessorOutcome, Supervisor, SupervisorConfig, SupervisorOp, Task,
};

pub(crate) use self::node::{Node, Trace};

pub(crate) const ID: HandoffId = HandoffId::from_bytes([7; 16]);
/// Of the session that asks something.
const ASKING: HandoffId = HandoffId::from_bytes([6; 16]);
pub(crate) const OLD: Process = Process { pid: 100, start: 1 };
pub(crate) const NEW: Process = Process { pid: 200, start: 2 };

/// The one link of incumbent and successor, and the supervisor's to the incumbent.
const FIRST: LinkId = LinkId(0);
/// The supervisor's link to the successor, and the incumbent's to whoever asks something.
const SECOND: LinkId = LinkId(1);

/// The listeners that the incumbent keeps.
const NAMES: &[&str] = &["http", "admin"];
pub(crate) const KEPT: Handles = Handles {
    first: 30,
    count: 2,
};

/// What happens in a handoff of version 2, in this order.
pub(crate) const HANDED_OVER: &[&str] = &[
    "warm up",
    "drain",
    "seal",
    "release",
    "lock",
    "open",
    "publish",
    "serve",
    "committed",
];

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

/// Who asks the incumbent something.
pub(crate) type Asker = Node<Supervisor, 2>;

/// What differs from a handoff with all defaults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) supervisor: VersionRange,
    pub(crate) incumbent: VersionRange,
    pub(crate) successor: VersionRange,
    pub(crate) probation: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            supervisor: VersionRange::SUPPORTED,
            incumbent: VersionRange::SUPPORTED,
            successor: VersionRange::SUPPORTED,
            probation: Duration::ZERO,
        }
    }
}

/// Supervisor, incumbent, successor, and what they share.
pub(crate) struct World {
    pub(crate) supervisor: Node<Supervisor, 2>,
    pub(crate) incumbent: Node<Incumbent, 8>,
    pub(crate) successor: Node<Successor, 1>,
    /// The successor's process as the incumbent that it has become.
    pub(crate) heir: Node<Incumbent, 8>,
    pub(crate) now: Instant,
    /// Who holds the writer lock.
    pub(crate) lock: Option<Process>,
    /// Whose socket the control path leads to.
    pub(crate) path: Process,
    /// The hooks that ran, and the operations that are seen from outside, in order.
    pub(crate) log: Vec<&'static str>,
    /// The successor on probation is watched until then.
    watch: Option<(Ticket<WatchProbation>, Instant)>,
    /// The most bytes that are handed in at once.
    chunk: usize,
}

impl World {
    /// A world before a handoff.
    pub(crate) fn new(chunk: usize) -> Self {
        Self::with(chunk, Setup::default())
    }

    pub(crate) fn with(chunk: usize, setup: Setup) -> Self {
        let supervisor = SupervisorConfig {
            versions: setup.supervisor,
            probation: setup.probation,
            ..supervisor_config()
        };
        let incumbent = IncumbentConfig {
            versions: setup.incumbent,
            ..incumbent_config()
        };
        let successor = SuccessorConfig {
            versions: setup.successor,
            ..successor_config()
        };
        let heir = IncumbentConfig {
            identity: identity(NEW),
            versions: setup.successor,
            on_probation: true,
            generation: 2,
            ..IncumbentConfig::default()
        };
        Self {
            supervisor: Node::new(supervisor),
            incumbent: Node::new(incumbent),
            successor: Node::new(successor),
            heir: Node::new(heir),
            now: Instant::from_nanos(1_000_000_000),
            lock: Some(OLD),
            path: OLD,
            log: Vec::with_capacity(32),
            watch: None,
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
        self.start();
        while self.step() {}
    }

    pub(crate) fn start(&mut self) {
        self.incumbent.feed(self.now, Input::Start);
        self.supervisor.feed(self.now, Input::Start);
    }

    /// Lets one thing happen. Returns whether there was any, before all three have ended.
    pub(crate) fn step(&mut self) -> bool {
        if self.operate() || self.carry() {
            return true;
        }
        let ended = self.supervisor.outcome.is_some()
            && self.incumbent.outcome.is_some()
            && self.successor.outcome.is_some();
        if !ended {
            self.pass_time();
        }
        !ended
    }

    /// Somebody who is going to ask the incumbent this.
    pub(crate) fn asker(question: Question) -> Asker {
        Node::new(SupervisorConfig::new(Task::Ask(ASKING, question)))
    }

    /// Lets it ask the old incumbent, whatever that is at, and waits for the answer alone.
    pub(crate) fn ask(&mut self, asker: &mut Asker) {
        let (now, chunk) = (self.now, self.chunk);
        asker.feed(now, Input::Start);
        while asker.outcome.is_none() {
            if let Some(op) = asker.ops.pop_front() {
                let done = match op {
                    SupervisorOp::Connect(ticket) => {
                        let (link, peer) = (SECOND, 2);
                        self.incumbent.feed(now, Input::Opened { link, peer });
                        let (link, process) = (FIRST, OLD);
                        ticket.done(LinkReport { link, process })
                    }
                    SupervisorOp::AdoptListeners { ticket, handles } => {
                        assert_eq!(handles, asker.kept);
                        ticket.done(())
                    }
                    other => panic!("{other:?}"),
                };
                asker.feed(now, Input::Completed(done));
            } else if let Some(op) = self.incumbent.ops.pop_front() {
                let done = self.serve(op);
                self.incumbent.feed(now, Input::Completed(done));
            } else {
                let o = &mut self.incumbent;
                let went = o.receive(now, SECOND, &mut asker.sent[0], chunk)
                    || asker.receive(now, FIRST, &mut o.sent[1], chunk);
                assert!(went, "no answer");
            }
        }
        let link = SECOND;
        self.incumbent.feed(now, Input::Closed { link });
    }

    /// Ends one operation, if one was started.
    fn operate(&mut self) -> bool {
        let now = self.now;
        if let Some(op) = self.supervisor.ops.pop_front() {
            if let Some(done) = self.supervise(op) {
                self.supervisor.feed(now, Input::Completed(done));
            }
        } else if let Some(op) = self.incumbent.ops.pop_front() {
            let done = self.serve(op);
            self.incumbent.feed(now, Input::Completed(done));
        } else if let Some(op) = self.successor.ops.pop_front() {
            let done = self.succeed(op);
            self.successor.feed(now, Input::Completed(done));
        } else if let Some(op) = self.heir.ops.pop_front() {
            let IncumbentOp::Confirm(ticket) = op else {
                panic!("{op:?}");
            };
            self.log.push("committed");
            self.heir.feed(now, Input::Completed(ticket.done(())));
        } else {
            return false;
        }
        true
    }

    /// Carries some bytes over one link, or its end, if there are any.
    fn carry(&mut self) -> bool {
        let Self {
            supervisor: s,
            incumbent: o,
            successor: n,
            heir,
            now,
            chunk,
            ..
        } = self;
        let (now, chunk) = (*now, *chunk);
        if s.receive(now, FIRST, &mut o.sent[0], chunk)
            || o.receive(now, FIRST, &mut s.sent[0], chunk)
            || s.receive(now, SECOND, &mut n.sent[0], chunk)
            || n.receive(now, FIRST, &mut s.sent[1], chunk)
        {
            return true;
        }
        if n.hangs_up() {
            s.feed(now, Input::Closed { link: SECOND });
            if let Some(SuccessorOutcome::Serving { verdict, .. }) = n.outcome {
                heir.feed(now, Input::Probation(verdict));
            }
        } else if s.hangs_up() {
            let link = FIRST;
            o.feed(now, Input::Closed { link });
            n.feed(now, Input::Closed { link });
        } else if o.hangs_up() {
            s.feed(now, Input::Closed { link: FIRST });
        } else {
            return false;
        }
        true
    }

    fn pass_time(&mut self) {
        let watch = self.watch.as_ref().map(|(_, until)| *until);
        let due = [
            self.supervisor.deadline(),
            self.incumbent.deadline(),
            self.successor.deadline(),
            watch,
        ];
        let next = due.into_iter().flatten().min().expect("something is due");
        self.now = next;
        if let Some((ticket, _)) = self.watch.take_if(|(_, until)| *until <= next) {
            let done = Input::Completed(ticket.done(()));
            self.supervisor.feed(next, done);
        } else if due[0] == Some(next) {
            self.supervisor.feed(next, Input::Deadline);
        } else if due[1] == Some(next) {
            self.incumbent.feed(next, Input::Deadline);
        } else {
            self.successor.feed(next, Input::Deadline);
        }
    }
}

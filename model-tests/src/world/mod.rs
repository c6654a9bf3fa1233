//! A simulated operating system: processes, the writer lock, the control path, byte channels, a clock.
//!
//! The machines in it are the real ones. The world does for them what a kernel and a thin adapter do,
//! and decides nothing: whatever could happen next is a [`Move`], and the explorer tries them all.
//!
//! | here | stands for |
//! |---|---|
//! | `Process` | a process with a machine in it; killed, frozen, or at work. A successor that serves has two for a while: that of an incumbent beside its own |
//! | `lock` | the writer lock L; the kernel frees it when its holder is gone |
//! | `path` | the control path P; who bound it last. A dead owner refuses connections |
//! | `listeners` | who has the listening sockets: inherited at birth, kept until death. A supervisor that is started again has none |
//! | `Conn` | a stream between two processes; what was sent before a death is still delivered |
//! | `Pending` | an operation that a machine started: first it takes effect, then it is reported, so that a process can die in between |
//! | `now` | the clock. It moves only when nothing that takes no time is left to do: hooks may be slow, everything else is quick |
//!
//! Some habits belong to every adapter and are modelled too: a supervisor that has no task left watches
//! the daemon and looks around when it dies, and asks for the listeners as long as it lacks them (`watch`);
//! a daemon that is started afresh takes the lock first.

mod birth;
mod broken;
mod canon;
mod host;
mod leave;
mod links;
mod moves;
mod process;
mod promises;
mod report;
mod rules;
mod setup;
mod story;
mod turn;
mod verdict;
mod watch;

use std::collections::VecDeque;
use std::sync::Arc;

use handoff_core::journal::Entry;
use handoff_core::op::Scene;
use handoff_core::wire::{HandoffId, MessageKind};
use handoff_core::{
    Handles, IncumbentMachine, Inline, Instant, SuccessorMachine, SupervisorMachine,
};

pub use moves::Move;
pub use rules::Mutation;
pub use setup::Setup;
pub use story::Event;

use rules::Tables;

/// The least memory that links can do with, so that states stay small.
pub(crate) type Room = Inline<512, 512>;

/// Sessions of an incumbent.
pub(crate) const SESSIONS: usize = 3;

/// The machine in a process, or the one that decides what it is.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Incumbent(Arc<IncumbentMachine<Room, SESSIONS>>),
    Successor(Arc<SuccessorMachine<Room>>),
    Supervisor(Arc<SupervisorMachine<Room>>),
    /// A supervisor without a task, or a process that is gone.
    Idle,
}

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    Running,
    Frozen,
    /// Its sockets are closed, its lock file is not.
    Dying,
    Dead,
}

/// What an operation asks of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Drain,
    Seal,
    Resume,
    Release,
    TryLock,
    Inspect,
    Bind,
    Stage,
    WarmUp,
    Open,
    Publish,
    /// Whether the control path leads to it already.
    Serve(bool),
    Confirm,
    ListListeners,
    Snapshot,
    Connect,
    Spawn,
    Kill(u32),
    WriteJournal(Entry),
    ClearJournal,
    ColdStart,
    Probe(Option<Entry>),
    /// Whom, and how long.
    WatchProbation(u32, Instant),
    AdoptListeners,
}

impl Call {
    /// Whether it is the daemon's own code, which takes the time it takes.
    const fn is_hook(self) -> bool {
        matches!(
            self,
            Self::Drain | Self::Seal | Self::Resume | Self::Open | Self::WarmUp | Self::Confirm
        )
    }
}

/// What came of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Result {
    Failed,
    Done,
    Drained,
    Sealed,
    Taken,
    Held,
    Ours,
    Theirs,
    Nobody,
    Opened { healthy: bool },
    Linked { conn: usize, pid: u32 },
    Started(u32),
    Scene(Scene),
    Listeners,
    Snapshot,
}

/// An operation that was started and is not reported yet.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Pending {
    pub(crate) op: u32,
    pub(crate) call: Call,
    /// The machine of the successor that the process began as started it.
    pub(crate) successor: bool,
    /// Set once it has taken effect.
    pub(crate) result: Option<Result>,
    /// It takes as long as it likes, and may never end.
    pub(crate) stalled: bool,
    /// Its process was frozen meanwhile, and may not see its end in time.
    pub(crate) held_up: bool,
    /// It kills the last daemon that lives, because the other one is gone.
    pub(crate) rash: bool,
}

/// A process.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Process {
    pub(crate) name: &'static str,
    pub(crate) pid: u32,
    pub(crate) life: Life,
    pub(crate) body: Body,
    /// The deadline of the machine's last wait.
    pub(crate) due: Option<Instant>,
    /// A successor's machine that goes on beside that of the incumbent, as long as the probation lasts.
    pub(crate) trial: Option<Arc<SuccessorMachine<Room>>>,
    /// The deadline of its last wait.
    pub(crate) trial_due: Option<Instant>,
    /// A successor's connection to its supervisor.
    pub(crate) channel: Option<usize>,
    pub(crate) pending: Vec<Pending>,
    /// The connection at each of the machine's links, and one that is about to get there.
    pub(crate) slots: [Option<usize>; SESSIONS + 1],
    /// The daemon's writer is open: it may write.
    pub(crate) writer: bool,
    /// The daemon takes and acknowledges writes.
    pub(crate) serving: bool,
    /// Its control path was removed, and its machine does not know yet.
    pub(crate) unbound: bool,
    /// A control socket is bound under a temporary name.
    pub(crate) staged: bool,
    /// It has the listening sockets.
    pub(crate) listeners: bool,
    /// What it has opened, or has in memory, is the data as it is now.
    pub(crate) current: bool,
    /// A later process was told that this one will not come back.
    pub(crate) outlived: bool,
    /// It has the last word on itself from nobody: its supervisor was gone, or could not say it.
    pub(crate) orphaned: bool,
    /// And that supervisor was frozen by then.
    pub(crate) misled: bool,
    /// It was frozen once, so that its end may be later than anybody can know.
    pub(crate) was_frozen: bool,
    /// It speaks version 1 alone.
    pub(crate) old: bool,
    /// For a supervisor without a task: the daemon it watches.
    pub(crate) watch: Option<u32>,
    /// For a supervisor: the daemon that it watched before.
    pub(crate) retired: Option<u32>,
    /// For a supervisor: its last task failed, so it tries again when the scene has changed.
    pub(crate) retry: bool,
    /// For a supervisor: when it may try again what has failed.
    pub(crate) pause: Option<Instant>,
    /// For a supervisor: who serves cannot hand the listeners over.
    pub(crate) vain: bool,
    /// It has found the lock, or the control path, in the hands of another process that lived.
    pub(crate) met: bool,
    /// It is on its way out, and was right to decide so.
    pub(crate) parting: bool,
    /// It behaves in a crash as the published version does.
    pub(crate) published: bool,
    /// When an incumbent of the published version stops trying for the lock.
    pub(crate) patience: Option<Instant>,
}

/// A whole frame on its way.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: MessageKind,
    pub(crate) id: Option<HandoffId>,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) handles: Handles,
}

/// A connection. End 0 belongs to the process that serves, or to the supervisor of a channel.
#[derive(Clone, Debug)]
pub(crate) struct Conn {
    pub(crate) ends: [usize; 2],
    pub(crate) open: [bool; 2],
    /// Whether the machine at that end knows of it yet.
    pub(crate) known: [bool; 2],
    /// What each end has still to read.
    pub(crate) unread: [VecDeque<Frame>; 2],
}

/// The whole of it.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) setup: Setup,
    ours: Tables,
    theirs: Tables,
    pub(crate) now: Instant,
    pub(crate) processes: Vec<Process>,
    pub(crate) conns: Vec<Conn>,
    /// Who holds the lock.
    pub(crate) lock: Option<usize>,
    /// Who bound the control path last.
    pub(crate) path: Option<usize>,
    pub(crate) journal: Option<Entry>,
    pub(crate) faults: u8,
    /// Handoffs that were begun.
    pub(crate) begun: u8,
    /// The handoff under way began when all was well, and nothing has kept it up since.
    pub(crate) brisk: bool,
    /// Heartbeats on their way: which connection, and which end of it is to read it.
    pub(crate) beats: Vec<(usize, usize, Arc<[u8]>)>,
    /// A promise that was broken on the way here.
    pub(crate) failed: Option<String>,
    /// The daemon was left with nobody to run it, and not by a fault.
    pub(crate) deserted: bool,
    /// The most actions that one turn of a machine had, so far.
    pub(crate) actions: usize,
    /// What happened, when somebody wants to know.
    pub(crate) story: Option<Vec<Event>>,
}

/// Numbers of pids start here, so that no other number in a state looks like one.
pub(crate) const PIDS: u32 = 1_000_000;
/// The same for links.
pub(crate) const LINKS: u32 = 2_000_000;
/// The clock starts here, so that no other number in a state looks like a moment.
pub(crate) const EPOCH: u64 = 1 << 60;

/// The supervisor and the incumbent of the beginning.
pub(crate) const SUPERVISOR: usize = 0;
pub(crate) const INCUMBENT: usize = 1;

impl World {
    /// An incumbent that serves, and a supervisor that is about to hand it over.
    pub fn new(setup: Setup) -> Self {
        let mut world = Self {
            setup,
            ours: Tables::ours(setup.mutations),
            theirs: Tables::published(),
            now: Instant::from_nanos(EPOCH),
            processes: Vec::new(),
            conns: Vec::new(),
            lock: Some(INCUMBENT),
            path: Some(INCUMBENT),
            journal: None,
            faults: 0,
            begun: 0,
            brisk: false,
            beats: Vec::new(),
            failed: None,
            deserted: false,
            actions: 0,
            story: None,
        };
        world.spawn("S", Body::Idle);
        world.spawn("O", Body::Idle);
        world.processes[INCUMBENT].published = setup.v1_incumbent;
        world.processes[INCUMBENT].old = setup.old_incumbent || setup.v1_incumbent;
        world.processes[SUPERVISOR].watch = Some(world.processes[INCUMBENT].pid);
        for process in &mut world.processes {
            process.listeners = true;
        }
        world.begin_service(INCUMBENT);
        world.become_incumbent(INCUMBENT, true, false);
        world.hand_over(SUPERVISOR);
        world
    }

    /// The tables that the machine in a process runs on.
    pub(crate) fn tables(&self, at: usize) -> Tables {
        if self.processes[at].published {
            self.theirs
        } else {
            self.ours
        }
    }

    /// Whether a rule is switched off.
    pub(crate) fn without(&self, mutation: Mutation) -> bool {
        self.setup.mutations.contains(&mutation)
    }

    pub(crate) fn spawn(&mut self, name: &'static str, body: Body) -> usize {
        let at = self.processes.len();
        let pid = PIDS + u32::try_from(at).expect("few processes");
        let old = match name {
            "S" => self.setup.old_supervisor,
            "N" => self.setup.old_successor || self.setup.v1_successor,
            "C" => self.setup.old_incumbent,
            _ => false,
        };
        self.processes.push(Process {
            name,
            pid,
            life: Life::Running,
            body,
            due: None,
            trial: None,
            trial_due: None,
            channel: None,
            pending: Vec::new(),
            slots: [None; SESSIONS + 1],
            writer: false,
            serving: false,
            unbound: false,
            staged: false,
            listeners: false,
            current: false,
            outlived: false,
            orphaned: false,
            misled: false,
            was_frozen: false,
            old,
            watch: None,
            retired: None,
            retry: false,
            pause: None,
            vain: false,
            met: false,
            parting: false,
            published: false,
            patience: None,
        });
        at
    }

    pub(crate) fn by_pid(&self, pid: u32) -> Option<usize> {
        self.processes.iter().position(|process| process.pid == pid)
    }

    /// Whether the process exists, at work or frozen.
    pub(crate) fn lives(&self, at: usize) -> bool {
        matches!(self.processes[at].life, Life::Running | Life::Frozen)
    }

    pub(crate) fn pid_lives(&self, pid: u32) -> bool {
        self.by_pid(pid).is_some_and(|at| self.lives(at))
    }
}

//! What holds for every role, whatever happens: arbitrary bytes, inputs, completions and times.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use handoff_core::journal::{Entry, Stage};
use handoff_core::op::{
    DrainReport, LinkReport, LockReport, OpenReport, PathOwner, Report, Scene, SealReport,
};
use handoff_core::record::decode_input;
use handoff_core::wire::{HandoffId, Hello, Message, Names, Revisions, Side, VersionRange};
use handoff_core::{
    Action, Handles, Incumbent, IncumbentConfig, Inline, Input, Instant, LinkId,
    MAX_ACTIONS_PER_TURN, Machine, Observation, Role, Step, Successor, Supervisor,
    SupervisorConfig, Task,
};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::allowed::Tabled;
use crate::bench::{Bench, finish, frame, frame_of};
use crate::world::{ID, NEW, OLD, incumbent_config, successor_config, supervisor_config};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Happening {
    Opened,
    Bytes(Index, Vec<u8>),
    Said(Index, Index),
    Wrote(Index, Index),
    Closed(Index),
    /// The operation started so many before the last ends with this report.
    Ended(u32, Index),
    Progress,
    Unbound,
    /// The driver sleeps exactly until the deadline.
    Slept,
    /// So many milliseconds pass.
    Passed(u64),
    EarlyDeadline,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => Just(Happening::Opened),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(link, bytes)| Happening::Bytes(link, bytes)),
        8 => (any::<Index>(), any::<Index>()).prop_map(|(link, what)| Happening::Said(link, what)),
        4 => (any::<Index>(), any::<Index>())
            .prop_map(|(link, count)| Happening::Wrote(link, count)),
        1 => any::<Index>().prop_map(Happening::Closed),
        8 => (0_u32..4, any::<Index>()).prop_map(|(back, what)| Happening::Ended(back, what)),
        1 => Just(Happening::Progress),
        1 => Just(Happening::Unbound),
        4 => Just(Happening::Slept),
        1 => (0_u64..70_000).prop_map(Happening::Passed),
        1 => Just(Happening::EarlyDeadline),
    ]
}

fn hello(side: Side, pid: u32) -> Message<'static> {
    Message::Hello(Hello {
        side,
        pid,
        build_id: &[],
        versions: VersionRange::V1,
        capabilities: 0,
    })
}

/// All messages, most of them with the right id.
fn message(which: Index) -> Message<'static> {
    let id = ID;
    let reason = "any";
    let revisions = Revisions::from(&[1, 2][..]);
    let messages = [
        hello(Side::Incumbent, OLD.pid),
        hello(Side::Successor, NEW.pid),
        Message::HelloAck { version: 1, id },
        Message::HelloAck { version: 1, id },
        Message::PrepareHandoff {
            id,
            successor_pid: 1,
            deadline_ms: 30_000,
            drain_grace_ms: 10_000,
        },
        Message::Drained {
            open_connections: 0,
            accept_closed: true,
        },
        Message::SealRequest { id },
        Message::SealProgress {
            sealed: 1,
            total: 2,
            revision: 3,
        },
        Message::SealComplete {
            id,
            revisions,
            fingerprint: [0; 32],
        },
        Message::SealFailed {
            id,
            error: reason,
            partial_state: "",
        },
        Message::Begin { id },
        Message::Ready {
            id,
            listening_on: Names::default(),
            healthz_ok: true,
            revisions,
        },
        Message::Commit { id },
        Message::Abort { id, reason },
        Message::ResumeAfterAbort { id },
        Message::Heartbeat { ts_ms: 0 },
        Message::Commit {
            id: HandoffId::from_bytes([3; 16]),
        },
    ];
    *which.get(&messages)
}

/// All reports, fit or not for the operation; one of them fits into no frame.
fn report(which: Index, link: LinkId) -> Report<'static> {
    const REVISIONS: &[u64] = &[u64::MAX; 150];
    let seal = |revisions: &'static [u64]| SealReport {
        revisions: Revisions::from(revisions),
        fingerprint: [1; 32],
    };
    let open = |healthy, revisions: &'static [u64]| OpenReport {
        listening_on: Names::default(),
        healthy,
        revisions: Revisions::from(revisions),
    };
    let scene = Scene {
        incumbent_alive: false,
        successor_alive: true,
        lock_free: true,
    };
    let reports = [
        Report::Failed("for a reason"),
        Report::Done,
        Report::Done,
        Report::Drained(DrainReport::default()),
        Report::Sealed(seal(&[7])),
        Report::Sealed(seal(REVISIONS)),
        Report::Lock(LockReport::Taken { generation: 1 }),
        Report::Lock(LockReport::Held),
        Report::Path(PathOwner::Ours),
        Report::Path(PathOwner::Theirs),
        Report::Path(PathOwner::Nobody),
        Report::Opened(open(true, &[7])),
        Report::Opened(open(false, &[7])),
        Report::Opened(open(true, REVISIONS)),
        Report::Linked(LinkReport { link, process: NEW }),
        Report::Linked(LinkReport { link, process: OLD }),
        Report::Started(NEW),
        Report::Scene(scene),
        Report::Scene(Scene::default()),
    ];
    *which.get(&reports)
}

/// A machine to which anything happens, and what must hold for it.
struct Subject<R: Tabled<L>, const L: usize> {
    phase: Option<R::Phase>,
    machine: Machine<R, Inline<512, 512>, L>,
    now: Instant,
    deadline: Option<Instant>,
    started: u32,
    names: u32,
    open: Vec<LinkId>,
    closed: HashSet<LinkId>,
    lent: HashMap<LinkId, usize>,
}

impl<R: Tabled<L>, const L: usize> Subject<R, L> {
    fn new(config: R::Config, open: &[LinkId]) -> Self {
        let mut subject = Self {
            phase: None,
            machine: Machine::new(config),
            now: Instant::from_nanos(1),
            deadline: None,
            started: 0,
            names: 100,
            open: open.to_vec(),
            closed: HashSet::new(),
            lent: HashMap::new(),
        };
        subject.input(Input::Start);
        subject
    }

    /// Hands one input in; returns how many bytes were taken. Misuse is allowed and changes nothing.
    fn input(&mut self, input: Input<'_>) -> usize {
        let before = *self.machine.state();
        let mut turn = match self.machine.handle(self.now, input) {
            Ok(turn) => turn,
            Err(misuse) => {
                assert_eq!(*self.machine.state(), before, "{misuse}");
                return usize::MAX;
            }
        };
        let consumed = turn.consumed();
        for steps in 0.. {
            assert!(steps <= MAX_ACTIONS_PER_TURN, "{input:?}");
            match turn.next() {
                Step::Do(Action::Send { link, bytes, .. }) => {
                    assert!(!bytes.is_empty() && !self.closed.contains(&link));
                    self.lent.insert(link, bytes.len());
                }
                Step::Do(Action::Close { link }) => {
                    assert!(self.closed.insert(link), "{link:?} is closed twice");
                    self.open.retain(|open| *open != link);
                }
                Step::Do(Action::Start(op)) => {
                    let phase = self.phase.expect("a machine that has started");
                    assert!(R::starts(&op, phase), "{op:?} in {phase}");
                    self.started += 1;
                }
                Step::Do(Action::Observe(Observation::Phase(to))) => {
                    if let Some(from) = self.phase.replace(to) {
                        assert!(R::leads(from, to), "from {from} to {to}");
                    }
                }
                Step::Do(Action::Cancel(_) | Action::Observe(_)) => {}
                Step::Wait(wait) => {
                    self.deadline = wait.deadline;
                    break;
                }
                Step::Done(_) => {
                    self.deadline = None;
                    break;
                }
            }
        }
        if input == Input::Deadline {
            assert!(self.deadline.is_none_or(|next| next > self.now));
        }
        consumed
    }

    fn link(&self, which: Index) -> LinkId {
        if self.open.is_empty() {
            LinkId(9)
        } else {
            *which.get(&self.open)
        }
    }

    fn bytes(&mut self, link: LinkId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let handles = Handles::NONE;
            let consumed = self.input(Input::Bytes {
                link,
                bytes,
                handles,
            });
            assert!(consumed > 0 && consumed <= bytes.len());
            bytes = &bytes[consumed..];
        }
    }

    fn happens(&mut self, what: Happening) {
        self.names += 1;
        let fresh = LinkId(self.names);
        match what {
            Happening::Opened => {
                if R::SERVES {
                    self.open.push(fresh);
                }
                self.input(Input::Opened {
                    link: fresh,
                    peer: 1,
                });
            }
            Happening::Bytes(link, bytes) => self.bytes(self.link(link), &bytes),
            Happening::Said(link, what) => self.bytes(self.link(link), &frame(&message(what))),
            Happening::Wrote(link, count) => {
                let link = self.link(link);
                let lent = self.lent.remove(&link).unwrap_or_default();
                let count = count.index(lent + 1);
                self.input(Input::Wrote { link, count });
            }
            Happening::Closed(link) => {
                let link = self.link(link);
                self.input(Input::Closed { link });
            }
            Happening::Ended(back, what) => {
                let op = self.started.saturating_sub(back);
                let report = report(what, fresh);
                if matches!(report, Report::Linked(_)) {
                    self.open.push(fresh);
                }
                // A ticket would only make a report of its own kind; a record can hold any.
                let mut room = [0; 2048];
                let record = postcard::to_slice(&(0_u64, 5_u32, op, report), &mut room);
                let (_, input, _) = decode_input(record.expect("room")).expect("a record");
                self.input(input);
            }
            Happening::Progress => {
                self.input(Input::Progress {
                    sealed: 1,
                    total: 1,
                    revision: 1,
                });
            }
            Happening::Unbound => {
                self.input(Input::Unbound);
            }
            Happening::Slept => {
                if let Some(deadline) = self.deadline {
                    self.now = deadline.max(self.now);
                    self.input(Input::Deadline);
                }
            }
            Happening::Passed(millis) => {
                self.now = self.now.after(Duration::from_millis(millis));
                self.input(Input::Deadline);
            }
            Happening::EarlyDeadline => {
                self.input(Input::Deadline);
            }
        }
    }
}

fn recovery() -> SupervisorConfig {
    SupervisorConfig::new(Task::Recover(Some(Entry {
        id: ID,
        stage: Stage::Begun,
        incumbent: OLD,
        successor: NEW,
    })))
}

/// Feeds `stream` to link 1 of what `make` makes, chopped at `cuts`, and compares what is done with
/// the same stream in one piece.
fn chopping_changes_nothing<R: Role<L>, const L: usize>(
    make: impl Fn() -> Bench<R, L>,
    link: u32,
    stream: &[u8],
    cuts: &[usize],
) {
    let (mut whole, mut chopped) = (make(), make());
    let expected = whole.bytes(link, stream);
    let mut acts = Vec::new();
    let mut rest = stream;
    for cut in cuts {
        let (front, back) = rest.split_at(rest.len().min(*cut));
        acts.extend(chopped.bytes(link, front));
        rest = back;
    }
    acts.extend(chopped.bytes(link, rest));
    assert_eq!(acts, expected);
    assert_eq!(chopped.seen, whole.seen);
    assert_eq!(chopped.sent, whole.sent);
    assert_eq!(chopped.wait, whole.wait);
    assert_eq!(chopped.machine.state(), whole.machine.state());
}

fn met_incumbent() -> Bench<Incumbent, 8> {
    let mut o = Bench::new(incumbent_config());
    o.input(Input::Opened {
        link: LinkId(1),
        peer: 1,
    });
    o
}

fn met_successor() -> Bench<Successor, 1> {
    let mut n = Bench::new(successor_config());
    finish!(n, handoff_core::SuccessorOp::StagePath(ticket) => ticket.done(()));
    n
}

fn met_supervisor() -> Bench<Supervisor, 2> {
    let mut s = Bench::new(supervisor_config());
    let report = LinkReport {
        link: LinkId(1),
        process: OLD,
    };
    finish!(s, handoff_core::SupervisorOp::Connect(ticket) => ticket.done(report));
    s
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_incumbent_survives_whatever_happens(
        bound in any::<bool>(),
        happenings in prop::collection::vec(happening(), 0..120),
    ) {
        let config = IncumbentConfig { bound, ..incumbent_config() };
        let mut subject = Subject::<Incumbent, 8>::new(config, &[]);
        for what in happenings {
            subject.happens(what);
        }
    }

    #[test]
    fn a_successor_survives_whatever_happens(
        happenings in prop::collection::vec(happening(), 0..120),
    ) {
        let open = [Successor::CHANNEL];
        let mut subject = Subject::<Successor, 1>::new(successor_config(), &open);
        for what in happenings {
            subject.happens(what);
        }
    }

    #[test]
    fn a_supervisor_survives_whatever_happens(
        recover in any::<bool>(),
        kill_stuck_incumbent in any::<bool>(),
        happenings in prop::collection::vec(happening(), 0..120),
    ) {
        let config = if recover { recovery() } else { supervisor_config() };
        let config = SupervisorConfig { kill_stuck_incumbent, ..config };
        let mut subject = Subject::<Supervisor, 2>::new(config, &[]);
        for what in happenings {
            subject.happens(what);
        }
    }

    #[test]
    fn chopping_the_bytes_of_a_peer_changes_nothing(
        whats in prop::collection::vec(any::<Index>(), 0..8),
        garbage in prop::collection::vec(any::<u8>(), 0..12),
        cuts in prop::collection::vec(0_usize..60, 0..30),
    ) {
        let frames: Vec<u8> = whats.into_iter().flat_map(|what| frame(&message(what))).collect();
        let ack = frame(&Message::HelloAck { version: 1, id: ID });
        let peer = frame_of(7, &hello(Side::Incumbent, OLD.pid));
        let after = |first: &[u8]| [first, &frames[..], &garbage[..]].concat();
        chopping_changes_nothing(met_incumbent, 1, &after(&ack), &cuts);
        chopping_changes_nothing(met_successor, 0, &after(&ack), &cuts);
        chopping_changes_nothing(met_supervisor, 1, &after(&peer), &cuts);
    }
}

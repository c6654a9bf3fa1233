//! What a peer gets, against a reference that knows no bytes: however its link takes them, the peer
//! reads exactly the messages that were sent, in order, whole, and what was kept back only once it
//! was released.

use handoff_core::op::{Completion, DrainReport, SealReport};
use handoff_core::wire::{
    FrameReader, Hello, Message, Revisions, Side, VersionRange, decode, encode,
};
use handoff_core::{
    Action, Handles, Incumbent, IncumbentOp, Inline, Input, Instant, LinkId, Machine, Step,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::world::{ID, OLD, incumbent_config};

const LINK: LinkId = LinkId(1);
const NOW: Instant = Instant::from_nanos(5_000_000_000);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
    Drained,
    Sealing,
    /// SealComplete is written, and kept back.
    Releasing,
    Sealed,
    /// The handoff was given up.
    Undone,
}

#[derive(Clone, Debug)]
enum Transition {
    Beat,
    Prepare,
    Drain(bool),
    SealRequest,
    Progress,
    Seal(bool),
    Release(bool),
    Abort,
    Garbage,
    /// The link takes all that was lent.
    TookAll,
    /// The link takes less than that.
    TookPart(Index),
}

/// The reference: which messages are sent, and how many of them the link has been lent and has taken.
#[derive(Clone, Debug)]
struct Outbox {
    phase: Phase,
    closing: bool,
    sent: Vec<String>,
    lent: usize,
    taken: usize,
}

impl Outbox {
    fn is_idle(&self) -> bool {
        self.taken == self.sent.len()
    }

    fn send(&mut self, text: String) {
        let idle = self.is_idle();
        self.sent.push(text);
        if idle {
            self.lent = self.sent.len();
        }
    }

    fn send_if_idle(&mut self, text: String) {
        if self.is_idle() {
            self.send(text);
        }
    }

    fn undo(&mut self, last_word: Option<&str>) {
        self.phase = Phase::Undone;
        if let Some(word) = last_word {
            self.send(word.into());
        }
    }

    /// What the peer, the daemon and the link may do now without breaking a rule (but for garbage).
    fn allowed(&self, transition: &Transition) -> bool {
        let heard = !self.closing;
        match transition {
            // What comes when the link is being closed, or is gone, is passed over.
            Transition::Beat => true,
            Transition::Abort | Transition::Garbage => heard,
            Transition::Prepare => heard && matches!(self.phase, Phase::Serving | Phase::Undone),
            Transition::SealRequest => {
                heard && matches!(self.phase, Phase::Drained | Phase::Undone)
            }
            Transition::Drain(_) => self.phase == Phase::Draining,
            Transition::Progress | Transition::Seal(_) => self.phase == Phase::Sealing,
            Transition::Release(_) => self.phase == Phase::Releasing,
            Transition::TookAll | Transition::TookPart(_) => self.lent > self.taken,
        }
    }
}

impl ReferenceStateMachine for Outbox {
    type State = Self;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Self> {
        let hello = Message::Hello(Hello {
            side: Side::Incumbent,
            pid: OLD.pid,
            build_id: &[],
            versions: VersionRange::SUPPORTED,
            capabilities: 0,
        });
        Just(Self {
            phase: Phase::Serving,
            closing: false,
            sent: vec![text(&hello)],
            lent: 1,
            taken: 0,
        })
        .boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Transition> {
        let steady = [
            Transition::Beat,
            Transition::Prepare,
            Transition::Drain(true),
            Transition::SealRequest,
            Transition::Progress,
            Transition::Seal(true),
            Transition::Release(true),
            Transition::TookAll,
        ];
        let rare = [
            Transition::Drain(false),
            Transition::Seal(false),
            Transition::Release(false),
            Transition::Abort,
            Transition::Garbage,
        ];
        let mut choices: Vec<_> = steady
            .iter()
            .cycle()
            .take(32)
            .chain(&rare)
            .cloned()
            .collect();
        choices.retain(|choice| state.allowed(choice));
        let part = any::<Index>().prop_map(Transition::TookPart);
        prop_oneof![3 => select(choices), 1 => part].boxed()
    }

    fn preconditions(state: &Self, transition: &Transition) -> bool {
        state.allowed(transition)
    }

    fn apply(mut state: Self, transition: &Transition) -> Self {
        match transition {
            Transition::Beat if state.closing => {}
            // While a hook runs, heartbeats are not answered: a timer of our own sends them.
            Transition::Beat => {
                if !matches!(
                    state.phase,
                    Phase::Draining | Phase::Sealing | Phase::Releasing
                ) {
                    state.send_if_idle(text(&Message::Heartbeat { ts_ms: 5000 }));
                }
            }
            Transition::Prepare if state.phase == Phase::Serving => state.phase = Phase::Draining,
            Transition::SealRequest if state.phase == Phase::Drained => {
                state.phase = Phase::Sealing;
            }
            Transition::Prepare | Transition::SealRequest => state.send("Abort".into()),
            Transition::Drain(true) => {
                state.phase = Phase::Drained;
                state.send(text(&Message::Drained {
                    open_connections: 4,
                    accept_closed: true,
                }));
            }
            Transition::Drain(false) => state.undo(Some("Abort")),
            Transition::Progress => state.send_if_idle(text(&Message::SealProgress {
                sealed: 1,
                total: 2,
                revision: 3,
            })),
            Transition::Seal(true) => state.phase = Phase::Releasing,
            Transition::Release(true) => {
                state.phase = Phase::Sealed;
                state.send(text(&Message::SealComplete {
                    id: ID,
                    revisions: Revisions::from(&[1, 300][..]),
                    fingerprint: [9; 32],
                }));
            }
            Transition::Seal(false) | Transition::Release(false) => {
                state.undo(Some("SealFailed"));
            }
            Transition::Abort if state.phase == Phase::Serving => {}
            Transition::Abort => state.undo(None),
            Transition::Garbage => {
                state.undo(None);
                state.closing = true;
            }
            Transition::TookAll => {
                state.taken = state.lent;
                state.lent = state.sent.len();
            }
            Transition::TookPart(_) => state.lent = state.sent.len(),
        }
        state
    }
}

/// A message in words; of one that carries words of its own, the kind.
fn text(message: &Message<'_>) -> String {
    match message {
        Message::Abort { .. } | Message::SealFailed { .. } => message.kind().to_string(),
        _ => format!("{message:?}"),
    }
}

/// The machine, and the peer that reads what its link takes.
struct Link {
    machine: Machine<Incumbent, Inline<512, 2048>, 2>,
    op: Option<IncumbentOp>,
    lent: Vec<u8>,
    taken: Vec<u8>,
    closed: bool,
}

impl Link {
    fn input(&mut self, input: Input<'_>) {
        let mut turn = self.machine.handle(NOW, input).expect("a legal input");
        while let Step::Do(action) = turn.next() {
            match action {
                Action::Send {
                    link,
                    bytes,
                    handles,
                } => {
                    assert_eq!((link, handles), (LINK, Handles::NONE));
                    assert!(self.lent.is_empty(), "lent twice");
                    self.lent = bytes.to_vec();
                }
                Action::Start(op) => self.op = Some(op),
                Action::Close { link } => {
                    assert_eq!(link, LINK);
                    self.closed = true;
                }
                Action::Cancel(_) | Action::Observe(_) => {}
            }
        }
    }

    fn hear(&mut self, message: &Message<'_>) {
        let mut room = [0; 128];
        let len = encode(1, message, &mut room).expect("room enough");
        self.input(Input::Bytes {
            link: LINK,
            bytes: &room[..len],
            handles: Handles::NONE,
        });
    }

    fn ends(&mut self, end: impl FnOnce(IncumbentOp) -> Completion<'static>) {
        let op = self.op.take().expect("an operation runs");
        self.input(Input::Completed(end(op)));
    }

    fn takes(&mut self, count: usize) {
        let lent = std::mem::take(&mut self.lent);
        self.taken.extend(&lent[..count]);
        self.input(Input::Wrote { link: LINK, count });
    }

    /// The messages that the peer has whole.
    fn read(&self) -> Vec<String> {
        let (mut reader, mut room) = (FrameReader::new(), [0; 512]);
        let (mut rest, mut found) = (&self.taken[..], Vec::new());
        while !rest.is_empty() {
            let pushed = reader.push(&mut room, rest).expect("frames");
            rest = &rest[pushed.consumed..];
            if let Some(frame) = reader.frame(&room) {
                found.push(text(&decode(1, frame.payload).expect("messages")));
                reader.clear();
            }
        }
        found
    }
}

struct Peer;

impl StateMachineTest for Peer {
    type SystemUnderTest = Link;
    type Reference = Outbox;

    fn init_test(_: &Outbox) -> Link {
        let mut link = Link {
            machine: Machine::new(incumbent_config()),
            op: None,
            lent: Vec::new(),
            taken: Vec::new(),
            closed: false,
        };
        link.input(Input::Start);
        link.input(Input::Opened {
            link: LINK,
            peer: 1,
        });
        link.hear(&Message::HelloAck { version: 1, id: ID });
        link
    }

    fn apply(mut link: Link, _: &Outbox, transition: Transition) -> Link {
        match transition {
            Transition::Beat => link.hear(&Message::Heartbeat { ts_ms: 1 }),
            Transition::Prepare => link.hear(&Message::PrepareHandoff {
                id: ID,
                successor_pid: 1,
                deadline_ms: 30_000,
                drain_grace_ms: 10_000,
            }),
            Transition::SealRequest => link.hear(&Message::SealRequest { id: ID }),
            Transition::Abort => link.hear(&Message::Abort {
                id: ID,
                reason: "any",
            }),
            Transition::Garbage => link.input(Input::Bytes {
                link: LINK,
                bytes: &[0; 8],
                handles: Handles::NONE,
            }),
            Transition::Drain(well) => link.ends(|op| match op {
                IncumbentOp::Drain { ticket, .. } if well => ticket.done(DrainReport {
                    open_connections: 4,
                    accept_closed: true,
                }),
                IncumbentOp::Drain { ticket, .. } => ticket.failed("any"),
                _ => panic!("{op:?}"),
            }),
            Transition::Progress => link.input(Input::Progress {
                sealed: 1,
                total: 2,
                revision: 3,
            }),
            Transition::Seal(well) => link.ends(|op| match op {
                IncumbentOp::Seal { ticket, .. } if well => ticket.done(SealReport {
                    revisions: Revisions::from(&[1, 300][..]),
                    fingerprint: [9; 32],
                }),
                IncumbentOp::Seal { ticket, .. } => ticket.failed("any"),
                _ => panic!("{op:?}"),
            }),
            Transition::Release(well) => link.ends(|op| match op {
                IncumbentOp::ReleaseLock(ticket) if well => ticket.done(()),
                IncumbentOp::ReleaseLock(ticket) => ticket.failed("any"),
                _ => panic!("{op:?}"),
            }),
            Transition::TookAll => link.takes(link.lent.len()),
            Transition::TookPart(part) => link.takes(part.index(link.lent.len())),
        }
        link
    }

    fn check_invariants(link: &Link, reference: &Outbox) {
        let read = link.read();
        assert!(read.len() >= reference.taken, "{read:?}");
        assert_eq!(read[..], reference.sent[..read.len()]);
        assert_eq!(!link.lent.is_empty(), reference.lent > reference.taken);
        assert_eq!(link.closed, reference.closing && reference.is_idle());
    }

    fn teardown(mut link: Link, reference: Outbox) {
        while !link.lent.is_empty() {
            link.takes(link.lent.len());
        }
        assert_eq!(link.read(), reference.sent);
        assert_eq!(link.closed, reference.closing);
    }
}

prop_state_machine! {
    #[test]
    fn a_peer_gets_what_is_sent_in_order_and_whole(sequential 1..40 => Peer);
}

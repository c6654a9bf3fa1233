//! What a peer gets, against a reference that knows no bytes: however its link takes them, the peer
//! reads exactly the messages that were sent, in order, whole, each with its descriptors, and what was
//! kept back only once it was released.

mod reference;

use handoff_core::op::{Completion, DrainReport, ListenersReport, SealReport, SnapshotReport};
use handoff_core::wire::{FrameReader, Message, Names, Revisions, decode, encode};
use handoff_core::{
    Action, Handles, Incumbent, IncumbentOp, Inline, Input, Instant, LinkId, Machine, Step,
};
use proptest_state_machine::{StateMachineTest, prop_state_machine};

use self::reference::{Outbox, Transition, text};
use crate::world::{ID, KEPT, incumbent_config};

const LINK: LinkId = LinkId(1);
const NOW: Instant = Instant::from_nanos(5_000_000_000);
const NAMES: &[&str] = &["http", "admin"];

/// The machine, and the peer that reads what its link takes.
struct Link {
    machine: Machine<Incumbent, Inline<512, 2048>, 2>,
    op: Option<IncumbentOp>,
    /// The operation that is to answer a question.
    inquiry: Option<IncumbentOp>,
    lent: Vec<u8>,
    enclosed: Handles,
    taken: Vec<u8>,
    /// Where in what was taken descriptors came.
    handles: Vec<usize>,
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
                    assert_eq!(link, LINK);
                    assert!(self.lent.is_empty(), "lent twice");
                    assert!(handles == Handles::NONE || handles == KEPT);
                    self.lent = bytes.to_vec();
                    self.enclosed = handles;
                }
                Action::Start(op @ (IncumbentOp::ListListeners(_) | IncumbentOp::Snapshot(_))) => {
                    self.inquiry = Some(op);
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
        let version = match message {
            Message::HelloAck { .. } => 1,
            _ => 2,
        };
        let len = encode(version, message, &mut room).expect("room enough");
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
        if count > 0 && !self.enclosed.is_empty() {
            self.handles.push(self.taken.len());
        }
        self.taken.extend(&lent[..count]);
        self.input(Input::Wrote { link: LINK, count });
    }

    fn answers(&mut self) {
        let done = match self.inquiry.take().expect("a question is open") {
            IncumbentOp::ListListeners(ticket) => ticket.done(ListenersReport {
                names: Names::from(NAMES),
                handles: KEPT,
            }),
            IncumbentOp::Snapshot(ticket) => ticket.done(SnapshotReport::default()),
            other => panic!("{other:?}"),
        };
        self.input(Input::Completed(done));
    }

    /// The messages that the peer has whole. With each that has any its descriptors have come, and with
    /// no other.
    fn read(&self) -> Vec<String> {
        let (mut reader, mut room) = (FrameReader::new(), [0; 512]);
        let (mut rest, mut found) = (&self.taken[..], Vec::new());
        let mut enclosed = 0;
        while !rest.is_empty() {
            let start = self.taken.len() - rest.len();
            let pushed = reader.push(&mut room, rest).expect("frames");
            rest = &rest[pushed.consumed..];
            if let Some(frame) = reader.frame(&room) {
                let message = decode(frame.version, frame.payload).expect("messages");
                let came = self.handles.contains(&start);
                assert_eq!(message.descriptors() > 0, came, "{message:?}");
                enclosed += usize::from(came);
                found.push(text(&message));
                reader.clear();
            } else {
                enclosed += usize::from(self.handles.contains(&start));
            }
        }
        assert_eq!(enclosed, self.handles.len(), "{:?}", self.handles);
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
            inquiry: None,
            lent: Vec::new(),
            enclosed: Handles::NONE,
            taken: Vec::new(),
            handles: Vec::new(),
            closed: false,
        };
        link.input(Input::Start);
        link.input(Input::Opened {
            link: LINK,
            peer: 1,
        });
        link.hear(&Message::HelloAck { version: 2, id: ID });
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
            Transition::TookPart(part) => {
                let most = link.lent.len() - 1;
                link.takes(most.min(part.index(most.max(1)) + 1));
            }
            Transition::TookNone => link.takes(0),
            Transition::Ask(true) => link.hear(&Message::ListenersRequest),
            Transition::Ask(false) => link.hear(&Message::StatusRequest),
            Transition::Answer => link.answers(),
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

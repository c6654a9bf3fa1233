//! Taking descriptors: which are kept, and which end their link.

use handoff_core::op::LinkReport;
use handoff_core::supervisor::Question;
use handoff_core::wire::{Hello, Message, Names, Side, VersionRange};
use handoff_core::{
    Handles, Incumbent, Input, LinkId, Successor, Supervisor, SupervisorConfig, SupervisorOp, Task,
};

use super::{BEAT, ONE, TWO, listeners};
use crate::bench::{Bench, finish, frame_of};
use crate::world::{ID, OLD, incumbent_config, successor_config, supervisor_config};

fn hello() -> Message<'static> {
    Message::Hello(Hello {
        side: Side::Incumbent,
        pid: OLD.pid,
        build_id: &[],
        versions: VersionRange::SUPPORTED,
        capabilities: 0,
    })
}

type Sup = Bench<Supervisor, 2>;

/// A supervisor that has connected, and has not been greeted.
fn greeting(config: SupervisorConfig) -> Sup {
    let mut s = Sup::new(config);
    let report = LinkReport {
        link: ONE,
        process: OLD,
    };
    finish!(s, SupervisorOp::Connect(ticket) => ticket.done(report));
    s
}

/// A supervisor that has asked this.
fn asking(question: Question) -> Sup {
    let mut s = greeting(SupervisorConfig::new(Task::Ask(ID, question)));
    let question = match question {
        Question::Listeners => "ListenersRequest",
        Question::Status => "StatusRequest",
    };
    let expected = ["send 1 HelloAck".into(), format!("send 1 {question}")];
    assert_eq!(s.hear(1, &hello()), expected);
    s
}

/// One reading: what is done, how many bytes are taken, whether the descriptors are kept.
fn reads(s: &mut Sup, bytes: &[u8], handles: Handles) -> (Vec<String>, usize, bool) {
    let (link, input) = (ONE, bytes);
    let input = Input::Bytes {
        link,
        bytes: input,
        handles,
    };
    let (acts, consumed) = s.offer(input).expect("a legal input");
    (acts, consumed, s.kept)
}

fn adopted(s: &Sup) -> Handles {
    match s.ops.last() {
        Some(SupervisorOp::AdoptListeners { handles, .. }) => *handles,
        other => panic!("{other:?}"),
    }
}

fn refused(acts: &[String], s: &Sup) {
    assert_eq!(acts[0], "close 1", "{acts:?}");
    assert!(
        s.has_seen("with a frame to which another number of them belongs"),
        "{:?}",
        s.seen
    );
}

#[test]
fn those_that_come_with_their_frame_are_kept_until_they_are_adopted() {
    let mut s = asking(Question::Listeners);
    let frame = frame_of(2, &listeners());
    let (acts, consumed, kept) = reads(&mut s, &frame, TWO);
    assert_eq!((consumed, kept), (frame.len(), true));
    assert_eq!(acts, ["start AdoptListeners"]);
    assert_eq!(adopted(&s), TWO);
    let acts = finish!(s, SupervisorOp::AdoptListeners { ticket, .. } => ticket.done(()));
    assert_eq!(acts, ["close 1", "done"]);
    assert_eq!(s.end(), "pid 100 has answered");
}

#[test]
fn a_frame_that_comes_in_pieces_keeps_those_of_its_first() {
    let frame = frame_of(2, &listeners());
    for cut in 1..frame.len() {
        let mut s = asking(Question::Listeners);
        let (first, rest) = frame.split_at(cut);
        assert_eq!(reads(&mut s, first, TWO), (Vec::new(), cut, true));
        let (acts, consumed, kept) = reads(&mut s, rest, Handles::NONE);
        assert_eq!((consumed, kept), (rest.len(), false), "kept before");
        assert_eq!(acts, ["start AdoptListeners"]);
        assert_eq!(adopted(&s), TWO);
    }
}

#[test]
fn with_bytes_glued_before_their_frame_they_count_when_the_last_byte_is_taken() {
    let beat = frame_of(2, &BEAT);
    let frame = frame_of(2, &listeners());
    // The frame may be whole or not: what was sent with the descriptors may be read in parts.
    for end in 1..=frame.len() {
        let mut s = asking(Question::Listeners);
        let glued = [&beat, &frame[..end]].concat();
        assert_eq!(
            reads(&mut s, &glued, TWO),
            (Vec::new(), beat.len(), false),
            "not yet"
        );
        let (_, consumed, kept) = reads(&mut s, &glued[beat.len()..], TWO);
        assert_eq!((consumed, kept), (end, true));
        if end < frame.len() {
            reads(&mut s, &frame[end..], Handles::NONE);
        }
        assert_eq!(adopted(&s), TWO);
    }
}

#[test]
fn after_half_a_frame_without_any_the_next_frame_has_its_own() {
    let mut s = asking(Question::Listeners);
    let beat = frame_of(2, &BEAT);
    let (first, rest) = beat.split_at(3);
    reads(&mut s, first, Handles::NONE);
    let glued = [rest, &frame_of(2, &listeners())[..]].concat();
    let (_, consumed, kept) = reads(&mut s, &glued, TWO);
    assert_eq!((consumed, kept), (rest.len(), false));
    let (acts, _, kept) = reads(&mut s, &glued[consumed..], TWO);
    assert!(kept);
    assert_eq!(acts, ["start AdoptListeners"]);
}

#[test]
fn those_that_come_in_the_middle_of_a_frame_end_the_link() {
    let frame = frame_of(2, &listeners());
    for before in [Handles::NONE, TWO] {
        let mut s = asking(Question::Listeners);
        reads(&mut s, &frame[..5], before);
        let (acts, consumed, kept) = reads(&mut s, &frame[5..], TWO);
        assert_eq!((consumed, kept), (frame.len() - 5, false));
        refused(&acts, &s);
    }
}

#[test]
fn a_number_of_them_that_is_not_the_messages_ends_the_link() {
    for handles in [0, 1, 3].map(|count| Handles { first: 9, count }) {
        let mut s = asking(Question::Listeners);
        let (acts, _, kept) = reads(&mut s, &frame_of(2, &listeners()), handles);
        assert!(!kept);
        refused(&acts, &s);
    }
    let none = Message::Listeners {
        names: Names::default(),
    };
    for message in [BEAT, none] {
        let mut s = asking(Question::Listeners);
        let (acts, _, kept) = reads(&mut s, &frame_of(2, &message), TWO);
        assert!(!kept);
        refused(&acts, &s);
    }
}

#[test]
fn those_that_did_not_fit_end_the_link_at_once() {
    for end in [1, 6, frame_of(2, &listeners()).len()] {
        let mut s = asking(Question::Listeners);
        let part = &frame_of(2, &listeners())[..end];
        let (acts, consumed, kept) = reads(&mut s, part, Handles::TRUNCATED);
        assert_eq!((consumed, kept), (end, false));
        refused(&acts, &s);
        assert!(s.has_seen("more descriptors than there is room for"));
    }
}

#[test]
fn those_of_a_message_that_is_not_allowed_are_not_kept() {
    let mut s = asking(Question::Status);
    let (acts, _, kept) = reads(&mut s, &frame_of(2, &listeners()), TWO);
    assert_eq!((acts[0].as_str(), kept), ("close 1", false));
    assert!(s.has_seen("Listeners is not allowed while Answering"));
    // Nor of one that cannot be decoded.
    let mut s = asking(Question::Listeners);
    let mut frame = frame_of(2, &listeners());
    frame[6] = 99;
    let (acts, _, kept) = reads(&mut s, &frame, TWO);
    assert_eq!((acts[0].as_str(), kept), ("close 1", false));
}

#[test]
fn none_are_kept_of_a_link_that_is_gone_nor_without_bytes_nor_after_the_end() {
    let mut s = asking(Question::Listeners);
    assert_eq!(reads(&mut s, &[], TWO), (Vec::new(), 0, false));
    let link = LinkId(77);
    let bytes = &frame_of(2, &listeners())[..];
    let input = Input::Bytes {
        link,
        bytes,
        handles: TWO,
    };
    let (acts, consumed) = s.offer(input).expect("legal");
    assert_eq!((acts.len(), consumed, s.kept), (0, bytes.len(), false));
    s.lose(1);
    assert!(s.outcome.is_some());
    let (acts, consumed, kept) = reads(&mut s, bytes, TWO);
    assert_eq!((acts.len(), consumed, kept), (0, bytes.len(), false));
}

#[test]
fn a_supervisor_takes_none_before_it_has_asked_and_none_after() {
    for config in [
        SupervisorConfig::new(Task::Ask(ID, Question::Listeners)),
        supervisor_config(),
        SupervisorConfig::new(Task::Recover(None)),
    ] {
        let mut s = greeting(config);
        let (acts, _, kept) = reads(&mut s, &frame_of(1, &hello()), TWO);
        assert!(!kept);
        refused(&acts, &s);
    }
    let mut s = asking(Question::Listeners);
    reads(&mut s, &frame_of(2, &listeners()), TWO);
    let (acts, _, kept) = reads(&mut s, &frame_of(2, &BEAT), TWO);
    assert!(!kept);
    refused(&acts, &s);
    assert!(s.outcome.is_none(), "the first are being adopted");
}

#[test]
fn neither_incumbent_nor_successor_takes_any() {
    let ack = Message::HelloAck { version: 2, id: ID };
    let mut o = Bench::<Incumbent, 8>::new(incumbent_config());
    o.input(Input::Opened { link: ONE, peer: 1 });
    assert_eq!(o.hear_with(1, &ack, TWO), ["close 1"]);
    assert!(!o.kept);
    assert!(o.has_seen("2 descriptors with a frame"), "{:?}", o.seen);

    let mut n = Bench::<Successor, 1>::new(successor_config());
    finish!(n, handoff_core::SuccessorOp::StagePath(ticket) => ticket.done(()));
    assert_eq!(n.hear_with(0, &ack, TWO), ["close 0", "start TryLock"]);
    assert!(!n.kept);
}

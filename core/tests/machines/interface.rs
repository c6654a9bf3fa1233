//! The rules of the interface itself: misuse, partial writes, closing, deadlines.

use std::time::Duration;

use handoff_core::op::LinkReport;
use handoff_core::wire::Message;
use handoff_core::{
    Action, Incumbent, Inline, Input, Instant, LinkId, Machine, Misuse, Step, Successor,
    SupervisorOp,
};

use crate::bench::{Bench, frame};
use crate::world::{ID, OLD, incumbent_config, successor_config, supervisor_config};

const ONE: LinkId = LinkId(1);

fn old() -> Bench<Incumbent, 8> {
    let mut o = Bench::new(incumbent_config());
    o.takes = false;
    o
}

/// The bytes that the machine lends in answer to an input.
fn lent(o: &mut Bench<Incumbent, 8>, input: Input<'_>) -> Option<Vec<u8>> {
    let mut turn = o.machine.handle(o.now, input).expect("a legal input");
    let mut lent = None;
    while let Step::Do(action) = turn.next() {
        if let Action::Send { bytes, .. } = action {
            assert!(lent.is_none(), "lent once a turn");
            lent = Some(bytes.to_vec());
        }
    }
    lent
}

fn wrote(count: usize) -> Input<'static> {
    Input::Wrote { link: ONE, count }
}

#[test]
fn misuse_is_named_and_leaves_the_machine_as_it_was() {
    let mut o = old();
    o.input(Input::Opened { link: ONE, peer: 1 });
    let before = *o.machine.state();
    let mut supervisor = Bench::<handoff_core::Supervisor, 2>::new(supervisor_config());
    let Some(SupervisorOp::Connect(foreign)) = supervisor.ops.pop() else {
        panic!("{:?}", supervisor.ops);
    };
    let foreign = foreign.done(LinkReport {
        link: ONE,
        process: OLD,
    });
    let id = foreign.op();
    for (input, misuse) in [
        (Input::Start, Misuse::StartOnce),
        (Input::Opened { link: ONE, peer: 1 }, Misuse::LinkInUse(ONE)),
        (wrote(5000), Misuse::WroteTooMuch(ONE)),
        (Input::Completed(foreign), Misuse::UnknownOperation(id)),
    ] {
        assert_eq!(o.offer(input), Err(misuse));
        assert_eq!(*o.machine.state(), before, "{misuse}");
    }

    let mut n = Bench::<Successor, 1>::new(successor_config());
    let not_a_server = n.offer(Input::Opened { link: ONE, peer: 1 });
    assert_eq!(not_a_server, Err(Misuse::NotAServer));
    let mut fresh = Machine::<Successor, Inline, 1>::new(successor_config());
    let early = fresh.handle(Instant::default(), Input::Deadline).err();
    assert_eq!(early, Some(Misuse::StartOnce));
}

#[test]
fn a_turn_that_was_not_drained_is_refused_and_can_be_taken_up_again() {
    let mut machine = Machine::<Incumbent, Inline, 8>::new(incumbent_config());
    let now = Instant::default();
    let _ = machine.handle(now, Input::Start).expect("legal");
    let again = machine.handle(now, Input::Deadline).err();
    assert_eq!(again, Some(Misuse::TurnNotDrained));
    while let Step::Do(_) = machine.turn().next() {}
    assert!(machine.handle(now, Input::Deadline).is_ok());
}

#[test]
fn what_is_not_written_is_lent_again() {
    let mut o = old();
    let hello = lent(&mut o, Input::Opened { link: ONE, peer: 1 }).expect("a Hello");
    assert_eq!(lent(&mut o, wrote(4)).as_deref(), Some(&hello[4..]));
    // The link was full; later it takes bytes again.
    assert_eq!(lent(&mut o, wrote(0)).as_deref(), Some(&hello[4..]));
    assert_eq!(lent(&mut o, wrote(hello.len() - 4)), None);
    assert_eq!(lent(&mut o, wrote(0)), None);
}

#[test]
fn what_is_said_meanwhile_follows_when_the_link_takes_bytes_again() {
    let mut o = old();
    let hello = lent(&mut o, Input::Opened { link: ONE, peer: 1 }).expect("a Hello");
    let ack = frame(&Message::HelloAck { version: 1, id: ID });
    let prepare = frame(&Message::PrepareHandoff {
        id: ID,
        successor_pid: 1,
        deadline_ms: 1000,
        drain_grace_ms: 1000,
    });
    for bytes in [&ack, &prepare] {
        assert_eq!(lent(&mut o, Input::Bytes { link: ONE, bytes }), None);
    }
    // Too late for its deadline: Abort gathers behind the Hello.
    o.now = o.now.after(Duration::from_secs(2));
    assert_eq!(lent(&mut o, Input::Deadline), None);
    let rest = lent(&mut o, wrote(3)).expect("two messages");
    assert!(rest.starts_with(&hello[3..]) && rest.len() > hello.len() + 20);
    assert_eq!(lent(&mut o, wrote(rest.len())), None);
}

#[test]
fn one_frame_is_taken_per_turn() {
    let mut o = old();
    o.input(Input::Opened { link: ONE, peer: 1 });
    let ack = frame(&Message::HelloAck { version: 1, id: ID });
    let both = [&ack[..], &frame(&Message::Heartbeat { ts_ms: 1 })].concat();
    let (_, consumed) = o
        .offer(Input::Bytes {
            link: ONE,
            bytes: &both,
        })
        .expect("legal");
    assert_eq!(consumed, ack.len());
}

#[test]
fn bytes_of_a_link_that_is_gone_are_swallowed() {
    let mut o = old();
    let bytes = &[1; 9];
    let (acts, consumed) = o.offer(Input::Bytes { link: ONE, bytes }).expect("legal");
    assert_eq!((acts.len(), consumed), (0, 9));
    assert!(o.input(Input::Closed { link: ONE }).is_empty());
    assert!(o.input(wrote(0)).is_empty());
}

#[test]
fn a_link_is_closed_once_what_is_owed_is_written_or_after_a_second() {
    let mut o = old();
    let hello = lent(&mut o, Input::Opened { link: ONE, peer: 1 }).expect("a Hello");
    assert!(
        o.bytes(1, &[0; 8]).is_empty(),
        "a violation; the Hello is owed"
    );
    assert_eq!(o.waits_for(), ("to close".into(), Duration::from_secs(1)));
    assert_eq!(o.input(wrote(hello.len())), ["close 1"]);

    let mut o = old();
    o.input(Input::Opened { link: ONE, peer: 1 });
    o.bytes(1, &[0; 8]);
    assert_eq!(o.sleep(), ["close 1"]);
    assert_eq!(o.wait.and_then(|wait| wait.deadline), None);
}

#[test]
fn a_deadline_that_comes_early_does_nothing() {
    let mut o = old();
    o.input(Input::Opened { link: ONE, peer: 1 });
    let before = o.wait;
    assert!(o.input(Input::Deadline).is_empty());
    assert_eq!(o.wait, before);
}

#[test]
fn a_clock_that_goes_backwards_stands_still() {
    let mut o = old();
    o.input(Input::Opened { link: ONE, peer: 1 });
    let due = o.wait.and_then(|wait| wait.deadline);
    o.now = Instant::default();
    o.input(Input::Opened {
        link: LinkId(2),
        peer: 1,
    });
    assert_eq!(o.wait.and_then(|wait| wait.deadline), due);
}

#[test]
fn a_message_is_shown_unless_it_breaks_the_protocol() {
    let mut o = old();
    o.input(Input::Opened { link: ONE, peer: 1 });
    let ack = Message::HelloAck { version: 1, id: ID };
    for (message, allowed) in [(ack, true), (Message::Begin { id: ID }, false)] {
        let bytes = frame(&message);
        let link = ONE;
        let input = Input::Bytes {
            link,
            bytes: &bytes,
        };
        let mut turn = o.machine.handle(o.now, input).expect("a legal input");
        assert_eq!(turn.message(), allowed.then_some(message));
        while let Step::Do(_) = turn.next() {}
    }
}

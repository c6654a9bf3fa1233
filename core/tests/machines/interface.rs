//! The rules of the interface itself: misuse, partial writes, closing, deadlines.

use std::time::Duration;

use handoff_core::op::{LinkReport, Report};
use handoff_core::record::decode_input;
use handoff_core::wire::{Hello, Message, Side, VersionRange};
use handoff_core::{
    Action, Handles, Incumbent, IncumbentConfig, Inline, Input, Instant, LinkId, Machine, Misuse,
    Step, Successor, SuccessorOp, Supervisor, SupervisorOp,
};

use crate::bench::{Bench, finish, frame, frame_of};
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

fn read(link: LinkId, bytes: &[u8]) -> Input<'_> {
    Input::Bytes {
        link,
        bytes,
        handles: Handles::NONE,
    }
}

fn wrote(count: usize) -> Input<'static> {
    Input::Wrote { link: ONE, count }
}

#[test]
fn misuse_is_named_and_leaves_the_machine_as_it_was() {
    let mut o = old();
    o.input(Input::Opened { link: ONE, peer: 1 });
    let before = *o.machine.state();
    let mut supervisor = Bench::<Supervisor, 2>::new(supervisor_config());
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
        assert_eq!(lent(&mut o, read(ONE, bytes)), None);
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
    let (_, consumed) = o.offer(read(ONE, &both)).expect("legal");
    assert_eq!(consumed, ack.len());
}

#[test]
fn bytes_of_a_link_that_is_gone_are_swallowed() {
    let mut o = old();
    let bytes = &[1; 9];
    let (acts, consumed) = o.offer(read(ONE, bytes)).expect("legal");
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
        let input = read(link, &bytes);
        let mut turn = o.machine.handle(o.now, input).expect("a legal input");
        assert_eq!(turn.message(), allowed.then_some(message));
        while let Step::Do(_) = turn.next() {}
    }
}

#[test]
fn a_link_that_always_owes_something_never_runs_out_of_room() {
    let mut o = old();
    let mut owed = lent(&mut o, Input::Opened { link: ONE, peer: 1 }).expect("a Hello");
    o.bytes(1, &frame(&Message::HelloAck { version: 1, id: ID }));
    let prepare = frame(&Message::PrepareHandoff {
        id: ID,
        successor_pid: 1,
        deadline_ms: 30_000,
        drain_grace_ms: 1000,
    });
    let abort = frame(&Message::Abort { id: ID, reason: "" });
    o.bytes(1, &prepare);
    o.bytes(1, &abort);
    // Each is refused, and the peer is always one byte behind.
    for _ in 0..100 {
        let input = read(ONE, &prepare);
        assert_eq!(lent(&mut o, input), None);
        let rest = lent(&mut o, wrote(owed.len() - 1)).expect("a byte and an answer");
        assert_eq!(rest.first(), owed.last());
        owed = rest;
    }
    assert!(!o.has_seen("lost"));
}

#[test]
fn the_message_of_an_input_can_be_looked_at() {
    let mut o = old();
    o.input(Input::Opened { link: ONE, peer: 1 });
    let message = Message::HelloAck { version: 1, id: ID };
    let bytes = frame(&message);
    let (first, rest) = bytes.split_at(7);
    for (bytes, expected) in [(first, None), (rest, Some(message))] {
        let input = read(ONE, bytes);
        let mut turn = o.machine.handle(o.now, input).expect("legal");
        assert_eq!(turn.message(), expected);
        while let Step::Do(_) = turn.next() {}
    }
    let turn = o.machine.handle(o.now, Input::Deadline).expect("legal");
    assert_eq!(turn.message(), None, "an input without bytes");
}

#[test]
fn a_frame_of_another_version_than_the_agreed_one_ends_the_session() {
    let mut o = Bench::<Incumbent, 8>::new(incumbent_config());
    o.input(Input::Opened { link: ONE, peer: 1 });
    let ack = Message::HelloAck { version: 1, id: ID };
    assert!(o.bytes(1, &frame_of(9, &ack)).is_empty(), "agreed by this");
    let beat = Message::Heartbeat { ts_ms: 1 };
    assert_eq!(o.bytes(1, &frame_of(1, &beat)), ["send 1 Heartbeat"]);
    assert_eq!(o.bytes(1, &frame_of(2, &beat)), ["close 1"]);
    assert!(o.has_seen("a frame of version 2 on a session of version 1"));
}

#[test]
fn a_turn_ends_with_the_earlier_of_two_waits_and_prefers_the_one_with_a_name() {
    let mut o = Bench::<Incumbent, 8>::new(IncumbentConfig {
        hello: Duration::from_secs(1),
        ..incumbent_config()
    });
    o.takes = false;
    o.input(Input::Opened { link: ONE, peer: 1 });
    o.bytes(1, &[0; 8]);
    let link = LinkId(2);
    o.input(Input::Opened { link, peer: 1 });
    assert_eq!(o.waits_for(), ("HelloAck".into(), Duration::from_secs(1)));
    o.now = o.now.after(Duration::from_millis(500));
    let link = LinkId(3);
    o.input(Input::Opened { link, peer: 1 });
    o.lose(2);
    assert_eq!(
        o.waits_for(),
        ("to close".into(), Duration::from_millis(500))
    );
}

/// A supervisor that waits for the incumbent's Hello, on link 1.
fn meeting() -> Bench<Supervisor, 2> {
    let mut s = Bench::new(supervisor_config());
    let report = LinkReport {
        link: ONE,
        process: OLD,
    };
    finish!(s, SupervisorOp::Connect(ticket) => ticket.done(report));
    s
}

fn hello(min: u16, max: u16) -> Message<'static> {
    Message::Hello(Hello {
        side: Side::Incumbent,
        pid: OLD.pid,
        build_id: &[],
        versions: VersionRange { min, max },
        capabilities: 0,
    })
}

// In version 2 a byte too many would be a violation. Hello and HelloAck are of version 1, always.
#[test]
fn a_message_is_shown_by_the_version_it_was_read_with() {
    let longer = |message| {
        let mut bytes = frame(&message);
        bytes[0] += 1;
        bytes.push(0);
        bytes
    };
    let message = hello(1, 2);
    let bytes = longer(message);
    let mut s = meeting();
    let mut turn = s.machine.handle(s.now, read(ONE, &bytes)).expect("legal");
    assert_eq!(turn.message(), Some(message));
    while let Step::Do(_) = turn.next() {}
    drop(turn);
    let beat = longer(Message::Heartbeat { ts_ms: 1 });
    let bytes = [&beat[..4], &[2, 0], &beat[6..]].concat();
    let mut turn = s.machine.handle(s.now, read(ONE, &bytes)).expect("legal");
    assert_eq!(turn.message(), None, "now the link speaks version 2");
    while let Step::Do(_) = turn.next() {}

    let message = Message::HelloAck { version: 2, id: ID };
    let bytes = longer(message);
    let mut o = old();
    o.input(Input::Opened { link: ONE, peer: 1 });
    let mut turn = o.machine.handle(o.now, read(ONE, &bytes)).expect("legal");
    assert_eq!(turn.message(), Some(message));
    while let Step::Do(_) = turn.next() {}
}

#[test]
fn what_a_link_owes_can_be_waited_for() {
    let mut s = meeting();
    s.takes = false;
    assert_eq!(s.hear(1, &hello(1, 3)), ["send 1 HelloAck", "start Spawn"]);
    let acts = finish!(s, SupervisorOp::Spawn(ticket) => ticket.failed("no"));
    assert!(acts.is_empty(), "the HelloAck is not yet written");
    assert_eq!(s.input(wrote(0)), ["send 1 HelloAck"]);
    let all = 4 + 2 + 1 + 1 + 17;
    assert_eq!(s.input(wrote(all)), ["start ClearJournal", "done"]);
}

#[test]
fn the_highest_common_version_is_acknowledged_and_spoken() {
    let mut s = meeting();
    assert_eq!(s.hear(1, &hello(2, 3)), ["send 1 HelloAck", "start Spawn"]);
    assert!(s.sent.iter().any(|text| text.contains("version: 2")));
    assert_eq!(
        s.bytes(1, &frame_of(2, &Message::Heartbeat { ts_ms: 1 })),
        Vec::<String>::new()
    );
}

#[test]
fn an_operation_tells_its_name_and_number_and_a_completion_what_it_says() {
    let mut n = Bench::<Successor, 1>::new(successor_config());
    let Some(SuccessorOp::StagePath(ticket)) = n.ops.pop() else {
        panic!("{:?}", n.ops);
    };
    assert_eq!((ticket.name(), ticket.id().number()), ("StagePath", 1));
    let id = ticket.id();
    let done = ticket.done(());
    assert_eq!((done.op(), done.report()), (id, Report::Done));
    n.input(Input::Completed(done));
    n.lose(0);
    let Some(SuccessorOp::TryLock(ticket)) = n.ops.pop() else {
        panic!("{:?}", n.ops);
    };
    assert_eq!((ticket.name(), ticket.id().number()), ("TryLock", 2));
    let failed = ticket.failed("no");
    assert_eq!(failed.report(), Report::Failed("no"));
    assert_eq!(failed.op().number(), 2);
}

#[test]
fn no_operation_has_the_number_zero() {
    let mut n = Bench::<Successor, 1>::new(successor_config());
    let record = [0, 5, 0, 1];
    let (_, input, _) = decode_input(&record).expect("a record");
    assert!(matches!(n.offer(input), Err(Misuse::UnknownOperation(op)) if op.number() == 0));
}

#[test]
fn a_machine_prints_its_state_and_a_clone_goes_on_alike() {
    let mut o = Bench::<Incumbent, 8>::new(incumbent_config());
    o.input(Input::Opened { link: ONE, peer: 1 });
    assert!(format!("{:?}", o.machine).contains("phase: Serving"));
    assert_eq!(o.machine.config().hello, Duration::from_secs(5));
    let mut twin = o.machine.clone();
    let input = Input::Closed { link: ONE };
    let mut turn = twin.handle(o.now, input).expect("legal");
    while let Step::Do(_) = turn.next() {}
    assert_ne!(twin.state(), o.machine.state());
    o.input(input);
    assert_eq!(twin.state(), o.machine.state());
}

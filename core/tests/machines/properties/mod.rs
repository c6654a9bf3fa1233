//! What holds for every role, whatever happens: arbitrary bytes, descriptors, inputs, completions and
//! times. Half of the machines are first taken some way along the road that is meant.

mod happening;
mod subject;

use std::time::Duration;

use handoff_core::journal::{Entry, Stage};
use handoff_core::op::LinkReport;
use handoff_core::supervisor::Question;
use handoff_core::wire::{Message, Side, VersionRange};
use handoff_core::{
    Incumbent, IncumbentConfig, Input, LinkId, Role, Successor, Supervisor, SupervisorConfig, Task,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use self::happening::{
    Happening, happening, hello, incumbents_way, messages, successors_way, supervisors_way,
};
use self::subject::Subject;
use crate::bench::{Bench, finish, frame_of};
use crate::world::{ID, NEW, OLD, incumbent_config, successor_config, supervisor_config};

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

/// First some steps of the way that is meant, then anything.
fn happenings(way: Vec<Happening>) -> impl Strategy<Value = Vec<Happening>> {
    let lead = prop_oneof![Just(0), 0..=way.len()];
    let anything = prop::collection::vec(happening(), 0..120);
    (lead, anything).prop_map(move |(lead, anything)| [&way[..lead], &anything].concat())
}

fn tasks() -> Vec<SupervisorConfig> {
    vec![
        supervisor_config(),
        SupervisorConfig {
            probation: Duration::from_secs(20),
            ..supervisor_config()
        },
        recovery(),
        SupervisorConfig::new(Task::Ask(ID, Question::Listeners)),
        SupervisorConfig::new(Task::Ask(ID, Question::Status)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_incumbent_survives_whatever_happens(
        bound in any::<bool>(),
        on_probation in prop::bool::weighted(0.2),
        happenings in happenings(incumbents_way()),
        cut in any::<usize>(),
    ) {
        let config = IncumbentConfig { bound, on_probation, ..incumbent_config() };
        let mut subject = Subject::<Incumbent, 8>::new(config, &[]);
        for what in happenings {
            subject.happens(what);
        }
        subject.replays(cut);
    }

    #[test]
    fn a_successor_survives_whatever_happens(
        happenings in happenings(successors_way()),
        cut in any::<usize>(),
    ) {
        let open = [Successor::CHANNEL];
        let mut subject = Subject::<Successor, 1>::new(successor_config(), &open);
        for what in happenings {
            subject.happens(what);
        }
        subject.replays(cut);
    }

    #[test]
    fn a_supervisor_survives_whatever_happens(
        config in select(tasks()),
        kill_stuck_incumbent in any::<bool>(),
        happenings in happenings(supervisors_way()),
        cut in any::<usize>(),
    ) {
        let config = SupervisorConfig { kill_stuck_incumbent, ..config };
        let mut subject = Subject::<Supervisor, 2>::new(config, &[]);
        for what in happenings {
            subject.happens(what);
        }
        subject.replays(cut);
    }

    #[test]
    fn chopping_the_bytes_of_a_peer_changes_nothing(
        version in 1_u16..=2,
        whats in prop::collection::vec(any::<Index>(), 0..8),
        garbage in prop::collection::vec(any::<u8>(), 0..12),
        cuts in prop::collection::vec(0_usize..60, 0..30),
    ) {
        let messages = messages();
        let frames: Vec<u8> = whats
            .into_iter()
            .flat_map(|what| frame_of(version, what.get(&messages)))
            .collect();
        let ack = frame_of(1, &Message::HelloAck { version, id: ID });
        let versions = VersionRange { min: 1, max: version };
        let peer = frame_of(7, &hello(Side::Incumbent, OLD.pid, versions));
        let after = |first: &[u8]| [first, &frames[..], &garbage[..]].concat();
        chopping_changes_nothing(met_incumbent, 1, &after(&ack), &cuts);
        chopping_changes_nothing(met_successor, 0, &after(&ack), &cuts);
        chopping_changes_nothing(met_supervisor, 1, &after(&peer), &cuts);
    }
}

//! No check is vacuous: with a rule switched off the explorer finds the failure, in seconds. Where it
//! finds none, another rule covers the one that is off; the tests say which.

use handoff_core::wire::{HandoffId, Message, MessageKind, decode, encode};
use handoff_core::{
    Action, Handles, IncumbentConfig, IncumbentMachine, Inline, Input, Instant, LinkId, Step,
};
use handoff_model_tests::explore::{Found, Violation, explore};
use handoff_model_tests::world::{Mutation, Setup};

const NOBODY: &str = "nobody serves, or the control path leads nowhere";
const WAITS: &str = "a supervisor waits without end";
const CAUGHT: &str = "all cannot come to be well again without a further fault";

fn without(mutations: &'static [Mutation], setup: Setup) -> Found {
    let found = explore(Setup { mutations, ..setup }, 1_000_000);
    assert!(!found.cut, "{mutations:?} has more states than expected");
    found
}

fn missed_without(mutations: &'static [Mutation], setup: Setup) -> Violation {
    let violation = without(mutations, setup).violation;
    violation.unwrap_or_else(|| panic!("{mutations:?} is not found"))
}

fn harmless_without(mutations: &'static [Mutation], setup: Setup) {
    let violation = without(mutations, setup).violation;
    assert!(violation.is_none(), "{mutations:?}: {violation:#?}");
}

fn kills(faults: u8) -> Setup {
    Setup {
        faults,
        ..Setup::default()
    }
}

/// One fault of almost any kind.
fn one_fault() -> Setup {
    Setup {
        freezes: true,
        failures: true,
        ..kills(1)
    }
}

fn says(violation: &Violation, line: &str) -> bool {
    violation.story.iter().any(|told| told.contains(line))
}

fn asserts(violation: &Violation, what: &str, lines: &[&str]) {
    assert_eq!(violation.what, what, "{violation:#?}");
    for line in lines {
        assert!(says(violation, line), "not {line}: {violation:#?}");
    }
}

#[test]
fn c1_an_incumbent_that_does_not_resume_stays_closed() {
    let violation = missed_without(&[Mutation::C1], kills(1));
    asserts(&violation, NOBODY, &["N2 is KILLED", "O1 reads Abort"]);
}

#[test]
fn c2_an_incumbent_that_does_not_reclaim() {
    let violation = missed_without(&[Mutation::C2], kills(1));
    asserts(&violation, NOBODY, &["S0 is KILLED", "O1 is gone"]);
}

#[test]
fn c2_an_incumbent_that_gives_up() {
    let violation = missed_without(&[Mutation::C2GivesUp], kills(1));
    asserts(&violation, NOBODY, &["S0 is KILLED", "O1 is gone"]);
}

#[test]
fn c2_an_incumbent_that_leaves_at_once() {
    let violation = missed_without(&[Mutation::C2LeavesAtOnce], kills(1));
    let lines = ["Kill(2) comes to Done", "S0 is KILLED", "O1 is gone"];
    asserts(&violation, NOBODY, &lines);
}

#[test]
fn c2_an_incumbent_that_does_not_take_the_path_back() {
    let violation = missed_without(&[Mutation::C2LeavesPath], kills(1));
    asserts(&violation, NOBODY, &["N2: Publish comes to Done"]);
}

#[test]
fn c3_a_successor_that_leaves_before_begin() {
    let violation = missed_without(&[Mutation::C3], kills(2));
    let lines = ["S0 is KILLED", "O1 is KILLED", "N2 ends"];
    asserts(&violation, NOBODY, &lines);
}

#[test]
fn c4_a_successor_that_does_not_wait_for_a_dying_process() {
    let violation = missed_without(&[Mutation::C4], kills(2));
    let lines = ["O1 is KILLED", "N2: TryLock comes to Held", "N2 ends"];
    asserts(&violation, NOBODY, &lines);
}

#[test]
fn c5_a_successor_that_fails_with_its_session() {
    let violation = missed_without(&[Mutation::C5], kills(2));
    let lines = ["O1 is KILLED", "S0 is KILLED", "N2 ends"];
    asserts(&violation, NOBODY, &lines);
}

/// As long as S lives it covers this one: it starts the daemon afresh (`C8`).
#[test]
fn c6_a_supervisor_that_kills_the_last_daemon() {
    let violation = missed_without(&[Mutation::C6], kills(2));
    let lines = ["O1 is KILLED", "Kill(2) comes to Done", "S0 is KILLED"];
    asserts(&violation, NOBODY, &lines);
    harmless_without(&[Mutation::C6], one_fault());
}

#[test]
fn c7_a_supervisor_that_waits_for_a_dead_successor() {
    let violation = missed_without(&[Mutation::C7Waits], kills(1));
    asserts(&violation, WAITS, &["N2 is gone, and its lock"]);
}

/// When S neither kills N nor tells O, but ends: O undoes what it did when its session ends (`C1`), and
/// N finds that O lives (`C3`).
#[test]
fn c7_in_silence_is_covered_by_c1_and_c3() {
    harmless_without(&[Mutation::C7], one_fault());
    harmless_without(&[Mutation::C7], kills(2));
}

#[test]
fn c8_a_supervisor_that_waits_for_a_dead_successor() {
    let violation = missed_without(&[Mutation::C8], kills(1));
    asserts(&violation, WAITS, &["Begin"]);
}

/// When S tells O to come back while N lives, the lock decides: O waits (`C2`), N serves on (`C5`).
/// When S commits an N that is not healthy, it watches it leave, and starts the daemon afresh (`C9`).
#[test]
fn c8_half_kept_is_covered_by_the_lock_and_by_c9() {
    for mutations in [&[Mutation::C8Spares], &[Mutation::C8CommitsUnhealthy]] {
        harmless_without(mutations, one_fault());
        harmless_without(mutations, kills(2));
    }
}

#[test]
fn c9_a_restarted_supervisor_that_does_nothing() {
    let setup = Setup {
        restart: true,
        ..kills(2)
    };
    let violation = missed_without(&[Mutation::C9], setup);
    assert_eq!(violation.what, CAUGHT, "{violation:#?}");
}

/// A successor that hangs in its open ends by its own patience, too.
#[test]
fn c9_without_eviction_is_covered_by_the_patience_of_the_successor() {
    let setup = Setup {
        restart: true,
        ..one_fault()
    };
    harmless_without(&[Mutation::C9Spares], setup);
}

/// An incumbent that exceeds the deadline undoes the handoff by itself (`C11`); and where it does not,
/// the successor's own limit for Begin passes (`C3`), so that S sees it leave (`C7`). Only when S takes no
/// notice of that either does it wait for a drain that hangs.
#[test]
fn c10_is_covered_by_c11_and_c3() {
    harmless_without(&[Mutation::C10], one_fault());
    harmless_without(&[Mutation::C10], kills(2));
    harmless_without(&[Mutation::C10, Mutation::C11], one_stall());
    let all = &[Mutation::C10, Mutation::C11, Mutation::C7Waits];
    missed_without(all, one_stall());
}

fn one_stall() -> Setup {
    Setup {
        stalls: true,
        ..kills(1)
    }
}

fn probation(setup: Setup) -> Setup {
    Setup {
        probation: 8,
        ..setup
    }
}

/// Nothing goes wrong: what is broken is that the pause has the warm-up in it.
#[test]
fn standby_a_supervisor_that_does_not_wait_for_it() {
    let violation = missed_without(&[Mutation::NoStandbyWait], kills(0));
    let what = "writes are refused while the successor still warms up";
    assert_eq!(violation.what, what, "{violation:#?}");
}

#[test]
fn c8_a_supervisor_that_lets_a_probation_fail() {
    let violation = missed_without(&[Mutation::C8Probation], probation(kills(1)));
    asserts(&violation, CAUGHT, &["N2 is KILLED"]);
}

/// As long as S lives it covers this one, too.
#[test]
fn c6_a_supervisor_that_kills_the_last_daemon_on_probation() {
    let violation = missed_without(&[Mutation::C6Probation], probation(kills(2)));
    let lines = ["O1 is KILLED", "Kill(2) comes to Done", "S0 is KILLED"];
    asserts(&violation, NOBODY, &lines);
    harmless_without(&[Mutation::C6Probation], probation(one_fault()));
}

const OUTLIVED: &str = "O comes back, though a later process was told that it will not";

/// The successor has then nothing left to wait for, and ends its session.
#[test]
fn commit_to_the_successor_before_its_probation() {
    let violation = missed_without(&[Mutation::CommitsEarly], probation(kills(0)));
    let what = "a handoff that nothing kept up was not committed";
    assert!(violation.what.starts_with(what), "{violation:#?}");
}

/// The incumbent may be trying for the lock when Commit is written (`C11`), and get it.
#[test]
fn commit_to_the_successor_before_the_incumbent_has_left() {
    let violation = missed_without(&[Mutation::CommitsAtOnce], probation(kills(1)));
    asserts(&violation, OUTLIVED, &["N2 starts Confirm", "N2 is KILLED"]);
    // Without a probation Commit waits a moment, in which such an incumbent has its answer.
    harmless_without(&[Mutation::CommitsAtOnce], kills(1));
}

#[test]
fn a_successor_that_is_confirmed_as_soon_as_its_supervisor_is_gone() {
    let violation = missed_without(&[Mutation::OrphanedAtOnce], probation(kills(2)));
    let lines = ["S0 is KILLED", "N2 starts Confirm", "N2 is KILLED"];
    asserts(&violation, OUTLIVED, &lines);
}

/// A second handoff during a probation takes a second supervisor, and the world has one: it says Commit
/// before it begins another, and when it dies the probation ends. So the machine is asked.
#[test]
fn a_handoff_during_a_probation_is_refused() {
    assert_eq!(prepare(true), Some(MessageKind::Abort));
    assert_eq!(prepare(false), None);
}

/// What an incumbent says to `PrepareHandoff`.
fn prepare(on_probation: bool) -> Option<MessageKind> {
    let mut machine = IncumbentMachine::<Inline<512, 512>, 1>::new(IncumbentConfig {
        on_probation,
        ..IncumbentConfig::default()
    });
    let (link, id) = (LinkId(1), HandoffId::from_bytes([1; 16]));
    let mut said = None;
    let mut give = |input: Input<'_>| {
        let now = Instant::from_nanos(1);
        let mut written = Vec::new();
        let mut turn = machine.handle(now, input).expect("a good input");
        while let Step::Do(action) = turn.next() {
            if let Action::Send { bytes, .. } = action {
                written.push(bytes.len());
                let message = decode(2, &bytes[6..]).expect("a whole message");
                said = Some(message.kind()).filter(|kind| *kind != MessageKind::Hello);
            }
        }
        for count in written {
            let wrote = Input::Wrote { link, count };
            let turn = machine.handle(now, wrote).expect("as many were lent");
            drop(turn);
        }
    };
    give(Input::Start);
    give(Input::Opened { link, peer: 1 });
    let prepare = Message::PrepareHandoff {
        id,
        successor_pid: 2,
        deadline_ms: 1000,
        drain_grace_ms: 1000,
    };
    for message in [Message::HelloAck { version: 2, id }, prepare] {
        let mut room = [0; 128];
        let len = encode(2, &message, &mut room).expect("a short message");
        give(Input::Bytes {
            link,
            bytes: &room[..len],
            handles: Handles::NONE,
        });
    }
    said
}

#[test]
fn an_incumbent_that_resumes_with_old_data() {
    let violation = missed_without(&[Mutation::StaleResume], probation(kills(1)));
    let what = "O serves without what was acknowledged before";
    asserts(&violation, what, &["N2 starts Serve", "N2 is KILLED"]);
}

/// The next handoff takes a supervisor that has the listeners.
#[test]
fn listeners_that_nobody_keeps_or_nobody_asks_for() {
    let setup = Setup {
        restart: true,
        ..kills(1)
    };
    let violation = missed_without(&[Mutation::DropsListeners], setup);
    asserts(&violation, CAUGHT, &["S0 is KILLED", "S is started again"]);
    let violation = missed_without(&[Mutation::NeverAsks], setup);
    let what = "a supervisor has not got the listeners";
    asserts(&violation, what, &["S0 is KILLED", "S is started again"]);
}

/// A supervisor that lives ends everything that it begins, so that it says Abort before the incumbent has to
/// look for itself. What looking buys is time, where an operation of the supervisor hangs.
#[test]
fn c11_without_a_look_at_the_lock_is_covered_by_the_supervisor() {
    for setup in [one_fault(), one_stall(), kills(2)] {
        harmless_without(&[Mutation::Checking], probation(setup));
    }
}

/// The deadline alone has the incumbent look for the lock once. The next look, too, is as far away as the
/// silence that it bears.
#[test]
fn c11_an_incumbent_that_does_not_mind_silence() {
    let setup = Setup {
        freezes: true,
        ..kills(1)
    };
    let violation = missed_without(&[Mutation::C11Silence], setup);
    asserts(&violation, NOBODY, &["S0 is FROZEN"]);
}

/// A supervisor without heartbeats counts as dead during a probation.
#[test]
fn c11_a_supervisor_that_sends_no_heartbeats() {
    let violation = missed_without(&[Mutation::SilentSupervisor], probation(kills(0)));
    assert_eq!(
        violation.what,
        "a handoff that nothing keeps up is given up"
    );
}

#[test]
fn c11_an_incumbent_that_waits_for_a_frozen_supervisor() {
    let setup = Setup {
        freezes: true,
        ..kills(1)
    };
    let violation = missed_without(&[Mutation::C11], setup);
    asserts(&violation, NOBODY, &["S0 is FROZEN"]);
}

/// Section 12.1: S is killed after Begin, N fails on its lost session and O gives up.
#[test]
fn impatience_on_both_sides_leaves_nobody() {
    let violation = missed_without(&[Mutation::Impatient], kills(1));
    let lines = ["S0 is KILLED", "N2 is gone", "O1 is gone"];
    asserts(&violation, NOBODY, &lines);
}

#[test]
fn a_failed_seal_that_counts_lets_go_of_the_lock_of_a_writer() {
    let setup = Setup {
        failures: true,
        ..kills(1)
    };
    let violation = missed_without(&[Mutation::FailedSealCounts], setup);
    let what = "O may write, but the lock is held by nobody";
    assert_eq!(violation.what, what);
}

#[test]
fn an_unwatched_daemon_stays_dead() {
    missed_without(&[Mutation::Unwatched], kills(1));
}

#[test]
fn two_writers_are_seen() {
    let violation = missed_without(&[Mutation::OpenLock], kills(1));
    assert_eq!(violation.what, "O may write, but the lock is held by N");
}

/// Bytes before timeouts: without it a successor that has said Ready is killed. Since O stays as long
/// as that can happen, it costs a handoff and nothing else.
#[test]
fn timeouts_before_bytes_do_not_cost_the_service() {
    harmless_without(&[Mutation::TimeoutsFirst], one_fault());
}

//! What goes wrong in a handoff, and who serves then.

use std::time::Duration;

use handoff_mio::core::supervisor::Phase;
use handoff_mio::core::{Reason, SupervisorOutcome};
use handoff_mio::{HandoffSpec, HealthCheck, Process, Report, SupervisorEvent};
use handoff_std::host::Signal;

use crate::daemon::{
    DIES_ON_PROBATION, DROPS_ITS_DRAIN, GIVES_UP_OPENING, GIVES_UP_WARMING, HANGS_IN_DRAIN,
    HANGS_OPENING, HANGS_WARMING, NOTHING, SUPERVISOR_OF, UNHEALTHY, is_at, spec,
};
use crate::household::{Household, household};

fn reason(report: &Report) -> Reason {
    match report.outcome {
        SupervisorOutcome::RolledBack { cause, .. } => cause.reason,
        outcome => panic!("{outcome}"),
    }
}

// C7, C8.
#[test]
fn a_successor_that_fails_leaves_the_incumbent_serving() {
    let mut house = household();
    let faults = [GIVES_UP_WARMING, GIVES_UP_OPENING, UNHEALTHY];
    for (visits, fault) in faults.into_iter().enumerate() {
        let report = house.hand_over(&house.spec(fault));
        reason(&report);
        if fault != UNHEALTHY {
            let why = report.abort_reason().unwrap();
            assert!(why.contains("as the test wants it"), "{why}");
        }
        house.assert_unchanged(visits as u64);
    }
    house.replace(NOTHING);
    assert_eq!(house.visit(), 4);
}

// C1, C10: the drain is asked to stop, and the next handoff works.
#[test]
fn a_drain_that_hangs_is_called_off() {
    let mut house = Household::new(HANGS_IN_DRAIN);
    let spec = HandoffSpec {
        drain_grace: Duration::from_millis(50),
        ..house.spec(NOTHING)
    };
    reason(&house.hand_over(&spec));
    house.assert_unchanged(0);
    house.replace(NOTHING);
}

// C1: a request that is dropped has failed.
#[test]
fn a_drain_that_is_dropped_has_failed() {
    let mut house = Household::new(DROPS_ITS_DRAIN);
    let report = house.hand_over(&house.spec(NOTHING));
    let why = report.abort_reason().unwrap();
    assert!(why.contains("gave no answer"), "{why}");
    house.assert_unchanged(0);
    house.replace(NOTHING);
}

// C8: the incumbent comes back, whatever ends the probation.
#[test]
fn a_probation_that_is_failed() {
    let mut house = household();
    let long = |fault| HandoffSpec {
        probation: Duration::from_mins(5),
        ..house.spec(fault)
    };
    let fails = HandoffSpec {
        health: Some(HealthCheck::command("false", [""; 0])),
        ..long(NOTHING)
    };
    let hangs = HandoffSpec {
        health: Some(HealthCheck {
            timeout: Duration::from_millis(50),
            ..HealthCheck::command("sleep", ["600"])
        }),
        ..long(NOTHING)
    };
    let specs = [long(DIES_ON_PROBATION), fails, hangs];
    for (visits, spec) in specs.iter().enumerate() {
        let why = reason(&house.hand_over(spec));
        // A death is seen by its session or by its pidfd, whichever is looked at first.
        let died = visits == 0 && why == Reason::SuccessorLost;
        assert!(died || why == Reason::ProbationFailed, "{why:?}");
        house.assert_unchanged(visits as u64);
    }
}

#[test]
fn a_successor_on_probation_that_is_sent_back() {
    let mut house = household();
    let spec = HandoffSpec {
        probation: Duration::from_mins(5),
        // Runs when it ends, and is not left behind.
        health: Some(HealthCheck::command("sleep", ["600"])),
        ..house.spec(NOTHING)
    };
    let handle = house.supervisor.rollback_handle();
    let operator = std::thread::spawn(move || {
        while !handle.rollback("as the operator wants it") {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let report = house.hand_over(&spec);
    operator.join().unwrap();
    let why = report.abort_reason().unwrap();
    assert!(why.contains("as the operator wants it"), "{why}");
    house.assert_unchanged(0);
}

#[test]
fn a_probation_that_is_passed() {
    let mut house = household();
    let spec = HandoffSpec {
        probation: Duration::from_millis(50),
        health: Some(HealthCheck::command("true", [""; 0])),
        ..house.spec(NOTHING)
    };
    let report = house.hand_over(&spec);
    house.assert_committed(report);
    assert_eq!(house.visit(), 1);
}

// C6: the incumbent dies in the middle of a handoff.
#[test]
fn an_incumbent_that_is_killed_in_drain() {
    let mut house = Household::new(HANGS_IN_DRAIN);
    let incumbent = Process::of(house.daemon.as_ref().unwrap().id()).unwrap();
    house.observe(move |event| {
        if *event == SupervisorEvent::Phase(Phase::Draining) {
            assert!(incumbent.kill(Signal::KILL).unwrap());
        }
    });
    let mut report = house.hand_over(&house.spec(NOTHING));
    assert!(report.committed(), "{}", report.outcome);
    let old = std::mem::replace(&mut house.daemon, report.child.take()).unwrap();
    house.wait_for(old);
    assert_eq!(house.visit(), 1);
    house.assert_only_daemon();
}

/// A supervisor is killed when its successor, which has this fault, is at this.
fn kill_a_supervisor(house: &mut Household, fault: &str, at: &str) {
    let dir = house.dir.path();
    let fault = format!("{SUPERVISOR_OF}{fault}");
    let child = spec(dir, &fault).helper().unwrap().child;
    while !is_at(dir, at) {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    house.wait_for(child);
}

// C3, C1: killed before Begin, it leaves the incumbent as it was.
#[test]
fn a_supervisor_that_is_killed_while_the_successor_warms_up() {
    let mut house = household();
    kill_a_supervisor(&mut house, HANGS_WARMING, "warming");
    house.assert_unchanged(0);
    house.replace(NOTHING);
}

// C5, C9: killed after Begin, it leaves a successor that has the lock. One that never opens its data
// is killed by the next supervisor, so that the incumbent comes back.
#[test]
fn a_supervisor_that_is_killed_while_the_successor_opens() {
    let mut house = household();
    kill_a_supervisor(&mut house, HANGS_OPENING, "opening");
    assert_found(&mut house);
    house.replace(NOTHING);
}

// A handoff that was dropped, with another supervisor in its place.
#[test]
fn a_supervisor_that_is_dropped_undoes_what_it_was_at() {
    let mut house = household();
    let spec = house.spec(HANGS_OPENING);
    house.supervisor.handoff(&spec).unwrap();
    while !is_at(house.dir.path(), "opening") {
        assert!(house.turn().is_none());
    }
    house.restart_supervisor();
    assert_found(&mut house);
    house.replace(NOTHING);
}

fn assert_found(house: &mut Household) {
    let found = house.recover();
    let daemon = house.daemon.as_ref().unwrap().id();
    assert_eq!(found.outcome, SupervisorOutcome::Found { pid: daemon });
    house.assert_unchanged(0);
}

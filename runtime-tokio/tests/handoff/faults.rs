//! What goes wrong in a handoff, and who serves then.

use std::time::Duration;

use handoff_tokio::core::{Reason, SupervisorOutcome};
use handoff_tokio::{HandoffSpec, HealthCheck, Process, Report, SupervisorEvent, wait};

use crate::daemon::{
    DIES_ON_PROBATION, GIVES_UP_OPENING, GIVES_UP_WARMING, HANGS_IN_DRAIN, HANGS_OPENING,
    HANGS_WARMING, MANY_THREADS, NOTHING, ONE_THREAD, SUPERVISOR, UNHEALTHY, spec,
};
use crate::household::Household;

fn reason(report: &Report) -> Reason {
    match report.outcome {
        SupervisorOutcome::RolledBack { cause, .. } => cause.reason,
        outcome => panic!("{outcome}"),
    }
}

// C7, C8.
#[tokio::test]
async fn a_successor_that_fails_leaves_the_incumbent_serving() {
    let mut house = Household::new(ONE_THREAD, NOTHING).await;
    let faults = [GIVES_UP_WARMING, GIVES_UP_OPENING, UNHEALTHY];
    for (visits, fault) in faults.into_iter().enumerate() {
        let spec = house.spec(MANY_THREADS, fault);
        let report = house.supervisor.handoff(&spec).await.unwrap();
        reason(&report);
        if fault != UNHEALTHY {
            let why = report.abort_reason().unwrap();
            assert!(why.contains("as the test wants it"), "{why}");
        }
        house.assert_unchanged(visits as u64).await;
    }
    house.replace(ONE_THREAD).await;
    assert_eq!(house.visit().await, 4);
}

// C1, C10: the drain is asked to stop, and the next handoff works.
#[tokio::test]
async fn a_drain_that_hangs_is_called_off() {
    let mut house = Household::new(ONE_THREAD, HANGS_IN_DRAIN).await;
    let spec = HandoffSpec {
        drain_grace: Duration::from_millis(50),
        ..house.spec(ONE_THREAD, NOTHING)
    };
    let report = house.supervisor.handoff(&spec).await.unwrap();
    reason(&report);
    house.assert_unchanged(0).await;
    house.replace(MANY_THREADS).await;
}

// C8: the incumbent comes back, whatever ends the probation.
#[tokio::test]
async fn a_probation_that_is_failed() {
    let mut house = Household::new(ONE_THREAD, NOTHING).await;
    let long = |fault| HandoffSpec {
        probation: Duration::from_mins(5),
        ..house.spec(MANY_THREADS, fault)
    };

    let (dies, checked, sent_back) = (
        long(DIES_ON_PROBATION),
        HandoffSpec {
            health: Some(HealthCheck::command("false", [""; 0])),
            ..long(NOTHING)
        },
        long(NOTHING),
    );
    for (visits, spec) in [dies, checked].into_iter().enumerate() {
        let report = house.supervisor.handoff(&spec).await.unwrap();
        reason(&report);
        house.assert_unchanged(visits as u64).await;
    }

    let handle = house.supervisor.rollback_handle();
    let dir = house.dir.path().join("count");
    let operator = tokio::spawn(async move {
        while !handle.rollback("as the operator wants it") {
            tokio::task::yield_now().await;
        }
        dir
    });
    let report = house.supervisor.handoff(&sent_back).await.unwrap();
    let why = report.abort_reason().unwrap();
    assert!(why.contains("as the operator wants it"), "{why}");
    operator.await.unwrap();
    house.assert_unchanged(2).await;
}

#[tokio::test]
async fn a_probation_that_is_passed() {
    let mut house = Household::new(ONE_THREAD, NOTHING).await;
    let spec = HandoffSpec {
        probation: Duration::from_millis(50),
        health: Some(HealthCheck::command("true", [""; 0])),
        ..house.spec(MANY_THREADS, NOTHING)
    };
    let mut report = house.supervisor.handoff(&spec).await.unwrap();
    assert!(report.committed(), "{}", report.outcome);
    let mut old = std::mem::replace(&mut house.daemon, report.child.take()).unwrap();
    assert!(wait(&mut old).await.unwrap().success());
    assert_eq!(house.visit().await, 1);
}

// C6: the incumbent dies in the middle of a handoff.
#[tokio::test]
async fn an_incumbent_that_is_killed_in_drain() {
    let mut house = Household::new(ONE_THREAD, HANGS_IN_DRAIN).await;
    let incumbent = Process::of(house.daemon.as_ref().unwrap().id()).unwrap();
    let spec = house.spec(MANY_THREADS, NOTHING);
    house.supervisor = std::mem::replace(
        &mut house.supervisor,
        handoff_tokio::Supervisor::new("/nowhere", "/nowhere", spec.successor.clone()).unwrap(),
    )
    .with_observer(move |event| {
        use handoff_tokio::core::supervisor::Phase;
        if *event == SupervisorEvent::Phase(Phase::Draining) {
            assert!(incumbent.kill(handoff_std::host::Signal::KILL).unwrap());
        }
    });
    let mut report = house.supervisor.handoff(&spec).await.unwrap();
    assert!(report.committed(), "{}", report.outcome);
    let mut old = std::mem::replace(&mut house.daemon, report.child.take()).unwrap();
    wait(&mut old).await.unwrap();
    assert_eq!(house.visit().await, 1);
    house.assert_only_daemon().await;
}

/// A supervisor is killed when its successor, which has this fault, is at this.
async fn kill_a_supervisor(house: &Household, fault: &str, reached: impl Fn(&str) -> bool) {
    let dir = house.dir.path();
    let killed = spec(dir, SUPERVISOR, fault).helper().unwrap();
    while !std::fs::read_to_string(dir.join("at")).is_ok_and(|at| reached(&at)) {
        tokio::task::yield_now().await;
    }
    let mut child = killed.child;
    child.kill().unwrap();
    wait(&mut child).await.unwrap();
}

// C3, C1: killed before Begin, it leaves the incumbent as it was.
#[tokio::test]
async fn a_supervisor_that_is_killed_while_the_successor_warms_up() {
    let mut house = Household::new(ONE_THREAD, NOTHING).await;
    kill_a_supervisor(&house, HANGS_WARMING, |at| at == "warming").await;
    house.assert_unchanged(0).await;
    house.replace(MANY_THREADS).await;
}

// C5, C9: killed after Begin, it leaves a successor that has the lock. One that never opens its data
// is killed by the next supervisor, so that the incumbent comes back.
#[tokio::test]
async fn a_supervisor_that_is_killed_while_the_successor_opens() {
    let mut house = Household::new(ONE_THREAD, NOTHING).await;
    kill_a_supervisor(&house, HANGS_OPENING, |at| at == "opening").await;
    let found = house.supervisor.recover().await.unwrap();
    let daemon = house.daemon.as_ref().unwrap().id();
    assert_eq!(found.outcome, SupervisorOutcome::Found { pid: daemon });
    house.assert_unchanged(0).await;
    house.replace(MANY_THREADS).await;
}

// A handoff that was dropped, with another supervisor in its place.
#[tokio::test]
async fn a_supervisor_that_comes_back_finds_out_who_serves() {
    let mut house = Household::new(ONE_THREAD, NOTHING).await;
    let spec = house.spec(ONE_THREAD, HANGS_OPENING);
    {
        let handoff = house.supervisor.handoff(&spec);
        let at = house.dir.path().join("at");
        tokio::select! {
            _ = handoff => panic!("it cannot end"),
            () = async {
                while !std::fs::read_to_string(&at).is_ok_and(|at| at == "opening") {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
    }
    house.restart_supervisor();
    let found = house.supervisor.recover().await.unwrap();
    let daemon = house.daemon.as_ref().unwrap().id();
    assert_eq!(found.outcome, SupervisorOutcome::Found { pid: daemon });
    house.assert_unchanged(0).await;
    house.replace(MANY_THREADS).await;
}

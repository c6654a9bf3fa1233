//! `C9`: what a restarted supervisor does.

use std::time::Duration;

use handoff_core::journal::{Entry, Stage};
use handoff_core::op::Scene;
use handoff_core::wire::Side;
use handoff_core::{SupervisorConfig, SupervisorOp, Task};

use super::{O, Sup, connect, hello, kill_ends, no_connection};
use crate::bench::finish;
use crate::world::{ID, NEW, OLD};

fn recovering() -> (Sup, Entry) {
    let entry = Entry {
        id: ID,
        stage: Stage::Begun,
        incumbent: OLD,
        successor: NEW,
    };
    (
        Sup::new(SupervisorConfig::new(Task::Recover(Some(entry)))),
        entry,
    )
}

fn probe(s: &mut Sup, scene: Scene) -> Vec<String> {
    finish!(s, SupervisorOp::Probe { ticket, .. } => ticket.done(scene))
}

#[test]
fn c9_whoever_answers_alone_is_the_incumbent() {
    for process in [OLD, NEW] {
        let (mut s, entry) = recovering();
        connect(&mut s, O);
        let acts = s.hear(O, &hello(Side::Incumbent, process.pid));
        assert!(acts.contains(&"start Probe".into()), "{acts:?}");
        let scene = Scene {
            incumbent_alive: process == entry.incumbent,
            successor_alive: process == entry.successor,
            lock_free: false,
        };
        assert_eq!(probe(&mut s, scene), ["start ClearJournal", "done"]);
        assert_eq!(s.end(), format!("pid {} serves", process.pid));
    }
}

#[test]
fn c9_a_successor_unsettled_at_the_deadline_is_killed_and_the_scene_looked_at_again() {
    let (mut s, _) = recovering();
    let scene = Scene {
        incumbent_alive: true,
        successor_alive: true,
        lock_free: false,
    };
    let start = s.now;
    loop {
        assert_eq!(no_connection(&mut s), ["start Probe"]);
        let acts = probe(&mut s, scene);
        if !acts.is_empty() {
            assert_eq!(acts, ["start Kill"]);
            break;
        }
        assert_eq!(s.sleep(), ["start Connect"]);
    }
    assert!(s.now.since(start) >= Duration::from_secs(30));
    assert_eq!(kill_ends(&mut s, NEW), ["start Connect"]);
    connect(&mut s, 7);
    s.hear(7, &hello(Side::Incumbent, OLD.pid));
    let scene = Scene {
        successor_alive: false,
        ..scene
    };
    assert_eq!(probe(&mut s, scene), ["start ClearJournal", "done"]);
    assert_eq!(s.end(), "pid 100 serves");
}

#[test]
fn c9_with_nobody_alive_and_the_lock_free_the_daemon_is_started_afresh() {
    let (mut s, _) = recovering();
    no_connection(&mut s);
    let scene = Scene {
        lock_free: true,
        ..Scene::default()
    };
    assert_eq!(probe(&mut s, scene), ["start ColdStart"]);
    finish!(s, SupervisorOp::ColdStart(ticket) => ticket.done(NEW));
    assert_eq!(s.end(), "started as pid 200");
}

#[test]
fn c9_an_incumbent_that_answers_while_the_successor_lives_is_not_yet_the_one() {
    let (mut s, _) = recovering();
    connect(&mut s, O);
    s.hear(O, &hello(Side::Incumbent, OLD.pid));
    let scene = Scene {
        incumbent_alive: true,
        successor_alive: true,
        lock_free: false,
    };
    assert!(probe(&mut s, scene).is_empty());
    assert_eq!(s.sleep(), ["start Connect"]);
}

#[test]
fn c9_the_daemon_is_not_started_afresh_while_anyone_lives_or_holds_the_lock() {
    for (incumbent_alive, successor_alive, lock_free) in [
        (true, false, true),
        (false, true, true),
        (false, false, false),
    ] {
        let (mut s, _) = recovering();
        no_connection(&mut s);
        let scene = Scene {
            incumbent_alive,
            successor_alive,
            lock_free,
        };
        assert!(probe(&mut s, scene).is_empty(), "{scene:?}");
        assert_eq!(s.sleep(), ["start Connect"]);
    }
}

#[test]
fn c9_an_incumbent_that_lives_and_never_answers_is_a_failure_at_the_deadline() {
    let (mut s, _) = recovering();
    s.now = s.now.after(Duration::from_secs(30));
    no_connection(&mut s);
    let scene = Scene {
        incumbent_alive: true,
        ..Scene::default()
    };
    assert_eq!(probe(&mut s, scene), ["done"]);
    assert!(s.end().contains("nobody answers"), "{}", s.end());
}

#[test]
fn c9_a_scene_that_cannot_be_looked_at_is_unsettled() {
    let (mut s, _) = recovering();
    no_connection(&mut s);
    let acts = finish!(s, SupervisorOp::Probe { ticket, .. } => ticket.failed("no /proc"));
    assert!(acts.is_empty());
    assert_eq!(s.sleep(), ["start Connect"]);
}

#[test]
fn c9_a_successor_that_cannot_be_killed_is_looked_at_again() {
    let (mut s, _) = recovering();
    s.now = s.now.after(Duration::from_secs(30));
    no_connection(&mut s);
    let scene = Scene {
        successor_alive: true,
        ..Scene::default()
    };
    assert_eq!(probe(&mut s, scene), ["start Kill"]);
    let acts = finish!(s, SupervisorOp::Kill { ticket, .. } => ticket.failed("no"));
    assert_eq!(acts, ["start Connect"]);
    assert!(s.has_seen("a process could not be killed"));
}

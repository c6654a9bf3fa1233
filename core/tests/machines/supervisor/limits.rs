//! Who may say what to the supervisor and when, and how long it waits for whom.

use std::time::Duration;

use handoff_core::op::{LinkReport, Process};
use handoff_core::wire::{HandoffId, Message, Side};
use handoff_core::{LinkId, SupervisorConfig, SupervisorOp};

use super::{
    BEAT, DRAINED, N, O, Sup, abort, connect, draining, draining_with, hello, journal_ends,
    kill_ends, meeting_with, no_connection, opening, ready, seal_complete, sealing, spawn,
    spawning_with, welcoming,
};
use crate::bench::finish;
use crate::world::{ID, NEW, OLD, supervisor_config};

const SEAL_FAILED: Message<'_> = Message::SealFailed {
    id: ID,
    error: "disk full",
    partial_state: "",
};

/// The peer keeps saying that it lives, until something is done; how long that took.
fn beats_until_late(s: &mut Sup, link: u32) -> (Duration, Vec<String>) {
    let start = s.now;
    loop {
        assert!(s.hear(link, &BEAT).is_empty());
        let acts = s.pass(Duration::from_secs(1));
        if !acts.is_empty() {
            return (s.now.since(start), acts);
        }
    }
}

fn config(deadline: u64) -> SupervisorConfig {
    SupervisorConfig {
        deadline: Duration::from_secs(deadline),
        ..supervisor_config()
    }
}

#[test]
fn what_only_the_incumbent_may_say_ends_the_session_of_a_successor() {
    for message in [DRAINED, seal_complete(), SEAL_FAILED] {
        let make = if message == DRAINED {
            draining
        } else {
            sealing
        };
        let mut s = make();
        assert_eq!(s.hear(N, &message), ["close 2", "start Kill"]);
        assert!(s.has_seen("is not allowed"), "{message:?}");
    }
    let progress = Message::SealProgress {
        sealed: 1,
        total: 2,
        revision: 3,
    };
    let mut s = sealing();
    assert!(s.hear(O, &progress).is_empty());
    assert_eq!(s.hear(N, &progress), ["close 2", "start Kill"]);
}

#[test]
fn what_only_the_successor_may_say_ends_the_session_of_an_incumbent() {
    let mut s = opening();
    assert_eq!(s.hear(O, &ready(true)), ["close 1"]);
    assert!(s.has_seen("Ready is not allowed while Opening"));
}

#[test]
fn what_is_said_too_early_or_twice_ends_the_session() {
    for early in [ready(true), ready(false), hello(Side::Successor, NEW.pid)] {
        let mut s = draining();
        assert_eq!(s.hear(N, &early), ["close 2", "start Kill"], "{early:?}");
    }
    let mut s = draining();
    let again = s.hear(O, &hello(Side::Incumbent, OLD.pid));
    assert_eq!(again, ["close 1", "send 2 Begin", "start WriteJournal"]);
    assert!(s.has_seen("the incumbent was lost"));
}

#[test]
fn a_message_of_another_handoff_ends_the_session() {
    let id = HandoffId::from_bytes([9; 16]);
    let mut s = opening();
    let acts = s.hear(N, &Message::Abort { id, reason: "" });
    assert_eq!(acts, ["close 2", "start Kill"]);
    assert!(s.has_seen("instead of"));
}

#[test]
fn prepare_announces_the_times_of_the_configuration() {
    let s = draining();
    let prepare = s.sent.last().expect("PrepareHandoff");
    for part in ["200", "deadline_ms: 300000", "drain_grace_ms: 60000"] {
        assert!(prepare.contains(part), "{prepare}");
    }
}

#[test]
fn the_journal_names_the_incumbent_that_said_hello() {
    for (pid, start) in [(OLD.pid, OLD.start), (555, 0)] {
        let mut s = meeting_with(supervisor_config());
        s.hear(O, &hello(Side::Incumbent, pid));
        spawn(&mut s);
        s.hear(N, &hello(Side::Successor, NEW.pid));
        let Some(SupervisorOp::WriteJournal { entry, .. }) = s.ops.last() else {
            panic!("{:?}", s.ops);
        };
        assert_eq!(entry.incumbent, Process { pid, start });
        assert_eq!(entry.successor, NEW);
    }
}

#[test]
fn an_incumbent_lost_before_its_hello_is_tried_again_for_five_seconds() {
    let mut s = meeting_with(supervisor_config());
    assert_eq!(s.lose(O), ["close 1"]);
    assert_eq!(s.sleep(), ["start Connect"]);
    connect(&mut s, 3);
    s.now = s.now.after(Duration::from_secs(5));
    assert_eq!(s.lose(3), ["close 3", "done"]);
    assert!(s.end().contains("no incumbent answers"), "{}", s.end());
}

#[test]
fn an_incumbent_that_does_not_say_hello_is_tried_again_for_five_seconds() {
    let mut s = meeting_with(SupervisorConfig {
        hello: Duration::from_secs(3),
        ..supervisor_config()
    });
    assert_eq!(s.sleep(), ["close 1"]);
    assert_eq!(s.sleep(), ["start Connect"]);
    connect(&mut s, 3);
    assert_eq!(s.sleep(), ["close 3", "done"]);
    assert!(s.end().contains("no Hello"), "{}", s.end());
}

#[test]
fn a_retired_process_that_goes_on_answering_is_a_failure_after_five_seconds() {
    let mut s = meeting_with(SupervisorConfig {
        retired: Some(OLD.pid),
        ..supervisor_config()
    });
    s.now = s.now.after(Duration::from_secs(5));
    let acts = s.hear(O, &hello(Side::Incumbent, OLD.pid));
    assert_eq!(acts, ["close 1", "done"]);
    assert!(s.end().contains("the retired process"), "{}", s.end());
}

#[test]
fn a_link_lost_before_the_incumbent_was_met_does_not_count_as_the_incumbents_end() {
    let mut s = meeting_with(supervisor_config());
    s.lose(O);
    s.sleep();
    connect(&mut s, 3);
    s.hear(3, &hello(Side::Incumbent, OLD.pid));
    spawn(&mut s);
    s.hear(N, &hello(Side::Successor, NEW.pid));
    assert_eq!(journal_ends(&mut s), ["send 3 PrepareHandoff"]);
    assert_eq!(s.lose(N), ["close 2", "start Kill"]);
    let undone = kill_ends(&mut s, NEW);
    assert_eq!(undone, ["send 3 Abort", "start ClearJournal", "done"]);
    assert!(s.end().contains("the successor was lost"), "{}", s.end());
}

#[test]
fn what_happens_to_anyone_after_commit_is_no_trouble() {
    for happens in [
        (|s| s.lose(O)) as fn(&mut Sup) -> Vec<String>,
        |s| s.lose(N),
        |s| s.hear(N, &abort()),
    ] {
        let mut s = opening();
        s.takes = false;
        s.seen.clear();
        s.hear(N, &ready(true));
        happens(&mut s);
        assert!(!s.has_seen("trouble"), "{:?}", s.seen);
    }
}

#[test]
fn a_successor_that_gives_up_is_quoted() {
    let mut s = opening();
    assert_eq!(s.hear(N, &abort()), ["start Kill"]);
    assert!(s.has_seen("the successor gave up: it did not work"));
}

#[test]
fn an_incumbent_that_gives_up_is_quoted_and_after_begin_not_heeded() {
    let mut s = draining();
    assert_eq!(s.hear(O, &abort()), ["start Kill"]);
    assert!(s.has_seen("the incumbent gave the handoff up: it did not work"));
    let mut s = opening();
    assert!(s.hear(O, &abort()).is_empty());
    assert!(!s.has_seen("gave"), "{:?}", s.seen);
}

#[test]
fn c6_a_successor_that_takes_over_without_a_seal_gets_a_budget_of_its_own() {
    let mut s = draining_with(config(50));
    s.hear(O, &DRAINED);
    beats(&mut s, O, 40);
    s.lose(O);
    let (budget, acts) = beats_until_late(&mut s, N);
    assert_eq!(acts, ["start Kill"]);
    assert_eq!(budget, Duration::from_secs(51));
}

#[test]
fn a_successor_has_what_the_incumbent_left_of_the_budget() {
    let mut s = draining_with(config(50));
    s.hear(O, &DRAINED);
    beats(&mut s, O, 40);
    s.hear(O, &seal_complete());
    let (budget, acts) = beats_until_late(&mut s, N);
    assert_eq!(acts, ["start Kill"]);
    assert_eq!(budget, Duration::from_secs(11));
}

/// The peer is alive for so many seconds.
fn beats(s: &mut Sup, link: u32, seconds: u32) {
    for _ in 0..seconds {
        assert!(s.pass(Duration::from_secs(1)).is_empty());
        assert!(s.hear(link, &BEAT).is_empty());
    }
}

#[test]
fn c10_a_seal_that_misses_its_deadline_is_called_a_seal() {
    let mut s = sealing();
    let (_, acts) = beats_until_late(&mut s, O);
    assert_eq!(acts, ["send 1 Abort", "start Kill"]);
    assert!(s.has_seen("missed its deadline: seal"));
}

#[test]
fn c10_an_incumbent_that_was_killed_is_not_asked_to_come_back() {
    let mut s = draining_with(SupervisorConfig {
        kill_stuck_incumbent: true,
        ..supervisor_config()
    });
    beats_until_late(&mut s, O);
    kill_ends(&mut s, OLD);
    assert_eq!(s.lose(N), ["close 2", "start Kill"]);
    assert_eq!(kill_ends(&mut s, NEW), ["start Connect"]);
}

#[test]
fn c7_a_successor_that_cannot_be_started_while_the_incumbent_dies_leads_to_a_fresh_start() {
    let mut s = spawning_with(supervisor_config());
    assert_eq!(s.lose(O), ["close 1"]);
    let acts = finish!(s, SupervisorOp::Spawn(ticket) => ticket.failed("no such file"));
    assert_eq!(acts, ["start Connect"]);
}

#[test]
fn c8_before_a_fresh_start_the_incumbent_is_looked_for_for_five_seconds() {
    let mut s = opening();
    s.lose(O);
    s.lose(N);
    kill_ends(&mut s, NEW);
    let start = s.now;
    while no_connection(&mut s).is_empty() {
        assert_eq!(s.sleep(), ["start Connect"]);
    }
    assert_eq!(s.now.since(start), Duration::from_secs(5));
    let acts = finish!(s, SupervisorOp::ColdStart(ticket) => ticket.failed("no binary"));
    assert_eq!(acts, ["start ClearJournal", "done"]);
    assert_eq!(
        s.end(),
        "failed: the daemon could not be started: no binary"
    );
    assert!(!s.has_seen("no incumbent answers"), "that is not the cause");
}

#[test]
fn c8_a_successor_that_cannot_be_killed_is_reported_and_the_incumbent_told_all_the_same() {
    let mut s = opening();
    s.lose(N);
    let acts = finish!(s, SupervisorOp::Kill { ticket, .. } => ticket.failed("stuck in I/O"));
    assert_eq!(
        acts,
        ["send 1 ResumeAfterAbort", "start ClearJournal", "done"]
    );
    assert!(s.has_seen("a process could not be killed: stuck in I/O"));
    let mut s = opening();
    s.lose(O);
    s.lose(N);
    let acts = finish!(s, SupervisorOp::Kill { ticket, .. } => ticket.failed("stuck in I/O"));
    assert_eq!(acts, ["start Connect"]);
}

#[test]
fn a_later_trouble_is_the_cause_until_the_handoff_is_being_undone() {
    let mut s = meeting_with(supervisor_config());
    s.lose(O);
    s.sleep();
    connect(&mut s, 3);
    s.hear(3, &hello(Side::Incumbent, OLD.pid));
    finish!(s, SupervisorOp::Spawn(ticket) => ticket.failed("no such file"));
    assert!(s.end().contains("no such file"), "{}", s.end());

    let mut s = welcoming();
    s.hear(N, &abort());
    assert!(s.lose(O).iter().any(|act| act == "close 1"));
    assert!(s.has_seen("the incumbent was lost"));
    kill_ends(&mut s, NEW);
    connect(&mut s, 4);
    assert!(s.end().contains("it did not work"), "{}", s.end());
}

#[test]
fn nobody_to_connect_to_is_explained_in_the_hosts_words() {
    let mut s = Sup::new(supervisor_config());
    s.now = s.now.after(Duration::from_secs(5));
    assert_eq!(no_connection(&mut s), ["done"]);
    assert!(s.end().contains("refused"), "{}", s.end());
}

#[test]
fn a_name_that_is_in_use_does_not_become_a_second_link() {
    let mut s = spawning_with(supervisor_config());
    let report = LinkReport {
        link: LinkId(O),
        process: NEW,
    };
    finish!(s, SupervisorOp::Spawn(ticket) => ticket.done(report));
    assert_eq!(s.lose(O), ["close 1"]);
    assert!(s.lose(O).is_empty(), "there was one");
}

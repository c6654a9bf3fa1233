//! A question to the incumbent, and all the ways in which it ends.

use std::time::Duration;

use handoff_core::supervisor::Question;
use handoff_core::wire::{HandoffId, Message, Names, Revisions, Side, VersionRange};
use handoff_core::{Handles, SupervisorConfig, SupervisorOp, Task};

use super::{O, STANDBY, Sup, V1, V2, abort, connect, hello_of, no_connection};
use crate::bench::finish;
use crate::world::{ID, OLD};

const KEPT: Handles = Handles { first: 9, count: 1 };

fn reaching(question: Question) -> Sup {
    Sup::new(SupervisorConfig::new(Task::Ask(ID, question)))
}

fn greeting(question: Question) -> Sup {
    let mut s = reaching(question);
    assert!(connect(&mut s, O).is_empty());
    s
}

fn says_hello(s: &mut Sup, versions: VersionRange) -> Vec<String> {
    s.hear(O, &hello_of(versions, Side::Incumbent, OLD.pid))
}

fn answering(question: Question) -> Sup {
    let mut s = greeting(question);
    let asked = match question {
        Question::Listeners => "send 1 ListenersRequest",
        Question::Status => "send 1 StatusRequest",
    };
    assert_eq!(says_hello(&mut s, V2), ["send 1 HelloAck", asked]);
    s
}

fn adopting() -> Sup {
    let mut s = answering(Question::Listeners);
    let acts = s.hear_with(O, &listeners(), KEPT);
    assert_eq!(acts, ["start AdoptListeners"]);
    s
}

fn listeners() -> Message<'static> {
    Message::Listeners {
        names: Names::from(&["http"][..]),
    }
}

fn status() -> Message<'static> {
    Message::Status {
        phase: 4,
        generation: 7,
        uptime_ms: 1000,
        open_connections: 3,
        revisions: Revisions::from(&[1][..]),
    }
}

const BOTH: [Question; 2] = [Question::Listeners, Question::Status];

#[test]
fn a_status_is_the_answer_by_itself() {
    let mut s = answering(Question::Status);
    assert_eq!(s.hear(O, &status()), ["close 1", "done"]);
    assert_eq!(s.end(), "pid 100 has answered");
}

#[test]
fn listeners_are_adopted_before_the_link_is_closed() {
    let mut s = adopting();
    let acts = finish!(s, SupervisorOp::AdoptListeners { ticket, handles } => {
        assert_eq!(handles, KEPT);
        ticket.done(())
    });
    assert_eq!(acts, ["close 1", "done"]);
    assert_eq!(s.end(), "pid 100 has answered");
}

#[test]
fn listeners_that_cannot_be_adopted_are_none() {
    let mut s = adopting();
    let acts =
        finish!(s, SupervisorOp::AdoptListeners { ticket, .. } => ticket.failed("not a socket"));
    assert_eq!(acts, ["close 1", "done"]);
    assert_eq!(
        s.end(),
        "failed: the listeners cannot be handed over: not a socket"
    );
    let mut s = adopting();
    s.ops.clear();
    let mut acts = s.pass(Duration::from_secs(30));
    acts.retain(|act| act != "send 1 Heartbeat");
    assert_eq!(acts, ["close 1", "done"]);
}

#[test]
fn what_happens_to_the_incumbent_after_its_answer_does_not_matter() {
    for happens in [
        (|s| s.lose(O)) as fn(&mut Sup) -> Vec<String>,
        |s| s.hear(O, &abort()),
        |s| s.hear_with(O, &listeners(), KEPT),
    ] {
        let mut s = adopting();
        happens(&mut s);
        assert_eq!(s.outcome, None);
        assert!(!s.has_seen("trouble"), "{:?}", s.seen);
        finish!(s, SupervisorOp::AdoptListeners { ticket, .. } => ticket.done(()));
        assert_eq!(s.end(), "pid 100 has answered");
    }
}

#[test]
fn nobody_to_connect_to_is_said_at_once() {
    for question in BOTH {
        let mut s = reaching(question);
        assert_eq!(no_connection(&mut s), ["done"]);
        assert_eq!(
            s.end(),
            "failed: no incumbent answers on the control path: refused"
        );
        let mut s = reaching(question);
        s.ops.clear();
        assert_eq!(s.sleep(), ["done"]);
    }
}

#[test]
fn an_incumbent_of_version_1_cannot_answer() {
    for question in BOTH {
        let mut s = greeting(question);
        assert_eq!(says_hello(&mut s, V1), ["close 1", "done"]);
        assert_eq!(
            s.end(),
            "failed: the incumbent speaks version 1, which has no answer to this"
        );
    }
}

#[test]
fn an_incumbent_that_says_no_hello_or_a_wrong_one_is_said_to_be_that() {
    let mut s = greeting(Question::Status);
    assert_eq!(s.waits_for(), ("Hello".into(), Duration::from_secs(5)));
    assert_eq!(s.sleep(), ["close 1", "done"]);
    assert!(s.end().ends_with("control path: no Hello"), "{}", s.end());

    let mut s = greeting(Question::Status);
    assert_eq!(s.lose(O), ["close 1", "done"]);
    assert!(s.end().contains("closed by the peer"), "{}", s.end());

    for wrong in [
        hello_of(V2, Side::Successor, OLD.pid),
        hello_of(VersionRange { min: 3, max: 4 }, Side::Incumbent, OLD.pid),
        status(),
    ] {
        let mut s = greeting(Question::Status);
        assert_eq!(s.hear(O, &wrong), ["close 1", "done"]);
        assert!(s.end().contains("cannot take part"), "{}", s.end());
    }
}

#[test]
fn an_incumbent_that_refuses_is_quoted() {
    let mut s = answering(Question::Listeners);
    assert_eq!(s.hear(O, &abort()), ["close 1", "done"]);
    assert!(s.end().contains("it did not work"), "{}", s.end());
}

#[test]
fn an_incumbent_that_does_not_answer_or_is_lost_ends_the_task() {
    for question in BOTH {
        let mut s = answering(question);
        let mut acts = s.pass(Duration::from_secs(5));
        acts.retain(|act| act != "send 1 Heartbeat");
        assert_eq!(acts, ["close 1", "done"]);
        assert!(s.end().contains("no answer"), "{}", s.end());

        let mut s = answering(question);
        assert_eq!(s.lose(O), ["close 1", "done"]);
        assert!(s.end().contains("the incumbent was lost"), "{}", s.end());
    }
}

#[test]
fn an_answer_to_another_question_is_a_violation() {
    let mut s = answering(Question::Listeners);
    assert_eq!(s.hear(O, &status()), ["close 1", "done"]);
    assert!(s.has_seen("Status is not allowed while Answering"));
    let mut s = answering(Question::Status);
    assert_eq!(s.hear_with(O, &listeners(), KEPT), ["close 1", "done"]);
    assert!(!s.kept);
    let mut s = answering(Question::Status);
    let id = HandoffId::from_bytes([9; 16]);
    let acts = s.hear(O, &Message::Abort { id, reason: "" });
    assert_eq!(acts, ["close 1", "done"]);
    let mut s = answering(Question::Status);
    assert_eq!(s.hear(O, &STANDBY), ["close 1", "done"]);
}

#[test]
fn no_answer_is_taken_in_a_handoff() {
    for message in [status(), listeners()] {
        let mut s = super::opening_of(crate::world::supervisor_config(), V2, V2);
        assert_eq!(s.hear(O, &message), ["close 1"]);
    }
}

#[test]
fn the_daemon_is_neither_drained_nor_anything_started() {
    let mut s = answering(Question::Status);
    s.hear(O, &status());
    assert!(s.ops.is_empty());
    assert_eq!(s.sent.len(), 2, "{:?}", s.sent);
}

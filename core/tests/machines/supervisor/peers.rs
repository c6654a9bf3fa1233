//! Whom the supervisor takes part with, and how it finds the incumbent.

use std::time::Duration;

use handoff_core::op::LinkReport;
use handoff_core::wire::{Hello, Message, Side, VersionRange};
use handoff_core::{Input, LinkId, SupervisorConfig, SupervisorOp};

use super::{N, O, Sup, abort, draining, hello, kill_ends, meeting_with, no_connection, welcoming};
use crate::world::{NEW, OLD, supervisor_config};

#[test]
fn an_incumbent_that_refuses_ends_the_handoff_with_its_reason() {
    let mut s = draining();
    assert_eq!(s.hear(O, &abort()), ["start Kill"]);
    kill_ends(&mut s, NEW);
    assert!(s.end().contains("it did not work"), "{}", s.end());
}

#[test]
fn a_successor_that_is_not_the_spawned_process_is_refused() {
    let mut s = welcoming();
    let acts = s.hear(N, &hello(Side::Successor, 999));
    assert_eq!(acts, ["close 2", "start Kill"]);
    assert!(s.has_seen("says it is pid 999, but pid 200 was started"));
}

#[test]
fn a_peer_in_the_wrong_role_is_refused() {
    let mut s = welcoming();
    let acts = s.hear(N, &hello(Side::Incumbent, NEW.pid));
    assert_eq!(acts, ["close 2", "start Kill"]);
    let mut s = meeting_with(supervisor_config());
    let acts = s.hear(O, &hello(Side::Successor, OLD.pid));
    assert_eq!(acts, ["close 1", "done"]);
}

#[test]
fn an_incumbent_without_a_version_in_common_ends_the_task_with_both_ranges() {
    let mut s = meeting_with(supervisor_config());
    let versions = VersionRange { min: 3, max: 4 };
    let stranger = Message::Hello(Hello {
        side: Side::Incumbent,
        pid: OLD.pid,
        build_id: b"",
        versions,
        capabilities: 0,
    });
    assert_eq!(s.hear(O, &stranger), ["close 1", "done"]);
    assert!(s.end().contains("ours 1..=2, theirs 3..=4"), "{}", s.end());
}

#[test]
fn a_hello_of_the_process_just_retired_is_tried_again() {
    let mut s = meeting_with(SupervisorConfig {
        retired: Some(OLD.pid),
        ..supervisor_config()
    });
    assert_eq!(s.hear(O, &hello(Side::Incumbent, OLD.pid)), ["close 1"]);
    assert_eq!(s.sleep(), ["start Connect"]);
}

#[test]
fn nobody_on_the_control_path_is_a_failure_after_five_seconds() {
    let mut s = Sup::new(supervisor_config());
    let start = s.now;
    let mut acts = no_connection(&mut s);
    while acts.is_empty() {
        assert_eq!(s.sleep(), ["start Connect"]);
        acts = no_connection(&mut s);
    }
    assert_eq!(acts, ["done"]);
    assert_eq!(s.now.since(start), Duration::from_secs(5));
    assert!(s.end().contains("no incumbent answers"), "{}", s.end());
}

#[test]
fn a_link_that_is_no_longer_wanted_is_closed() {
    let mut s = Sup::new(SupervisorConfig {
        host_limit: Duration::from_secs(1),
        ..supervisor_config()
    });
    let Some(SupervisorOp::Connect(late)) = s.ops.pop() else {
        panic!("{:?}", s.ops);
    };
    assert_eq!(s.pass(Duration::from_millis(1010)), ["start Connect"]);
    let report = LinkReport {
        link: LinkId(40),
        process: OLD,
    };
    let acts = s.input(Input::Completed(late.done(report)));
    assert_eq!(acts, ["close 40"]);
}

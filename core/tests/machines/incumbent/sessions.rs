//! The rules of sessions: what is announced, life signs, refusals, violations, the limit.

use std::time::Duration;

use handoff_core::wire::Message;
use handoff_core::{IncumbentOp, Input, LinkId};

use super::{
    ABORT, ACK, COMMIT, OTHER, Old, PREPARE, SEAL, acknowledged, comes_back, drain_ends, drained,
    draining, opened, releasing, seal_ends, sealed, sealing, serving, unexpected,
};
use crate::bench::{finish, frame_of};
use crate::world::ID;

#[test]
fn a_hook_is_given_the_announced_deadline_and_the_grace_at_the_most() {
    let o = draining();
    let [IncumbentOp::Drain { deadline, .. }] = &o.ops[..] else {
        panic!("{:?}", o.ops);
    };
    assert_eq!(*deadline, o.now.after(Duration::from_secs(20)));
    let o = sealing();
    let [IncumbentOp::Seal { deadline, .. }] = &o.ops[..] else {
        panic!("{:?}", o.ops);
    };
    assert_eq!(*deadline, o.now.after(Duration::from_mins(1)));
}

#[test]
fn an_announced_deadline_without_end_is_cut() {
    let mut o = acknowledged();
    let prepare = Message::PrepareHandoff {
        id: ID,
        successor_pid: 1,
        deadline_ms: u64::MAX,
        drain_grace_ms: u64::MAX,
    };
    assert_eq!(o.hear(1, &prepare), ["start Drain"]);
    let [IncumbentOp::Drain { deadline, .. }] = &o.ops[..] else {
        panic!("{:?}", o.ops);
    };
    assert_eq!(*deadline, o.now.after(Duration::from_mins(10)));
}

#[test]
fn heartbeats_are_sent_while_a_hook_runs_and_answered_between_hooks() {
    const BEAT: Message<'_> = Message::Heartbeat { ts_ms: 1 };
    let mut o = acknowledged();
    assert_eq!(o.hear(1, &BEAT), ["send 1 Heartbeat"]);
    o.hear(1, &PREPARE);
    assert_eq!(o.waits_for(), ("Heartbeat".into(), Duration::from_secs(2)));
    for _ in 0..5 {
        assert_eq!(o.sleep(), ["send 1 Heartbeat"]);
    }
    assert!(o.hear(1, &BEAT).is_empty(), "its own are under way");
    drain_ends(&mut o);
    assert_eq!(o.hear(1, &BEAT), ["send 1 Heartbeat"]);
    assert_eq!(o.waits_for().0, "Owner", "none of its own between hooks");
}

#[test]
fn heartbeats_do_not_pile_up_before_a_peer_that_does_not_read() {
    let mut o = draining();
    o.takes = false;
    assert_eq!(o.sleep(), ["send 1 Heartbeat"]);
    assert!(o.pass(Duration::from_secs(50)).is_empty());
}

#[test]
fn a_peer_that_asks_and_never_reads_the_answers_is_given_up_at_once() {
    let mut o = draining();
    opened(&mut o, 2);
    o.hear(2, &ACK);
    o.takes = false;
    assert_eq!(o.hear(2, &PREPARE), ["send 2 Abort"]);
    let mut acts = Vec::new();
    for _ in 0..100 {
        acts.extend(o.hear(2, &PREPARE));
    }
    assert_eq!(acts, ["close 2"]);
    assert!(o.has_seen("lost 2: the peer does not read"));
    assert_eq!(drain_ends(&mut o), ["send 1 Drained"]);
}

#[test]
fn seal_progress_reaches_the_supervisor() {
    let mut o = sealing();
    let progress = Input::Progress {
        sealed: 3,
        total: 9,
        revision: 77,
    };
    assert_eq!(o.input(progress), ["send 1 SealProgress"]);
    seal_ends(&mut o);
    assert!(o.input(progress).is_empty(), "too late to matter");
}

#[test]
fn a_second_handoff_is_refused_and_does_not_disturb_the_first() {
    let mut o = draining();
    opened(&mut o, 2);
    o.hear(2, &ACK);
    assert_eq!(o.hear(2, &PREPARE), ["send 2 Abort"]);
    assert!(
        o.sent
            .last()
            .is_some_and(|text| text.contains("in progress (the incumbent is Draining)"))
    );
    assert!(
        o.hear(2, &ABORT).is_empty(),
        "it is not its handoff to abort"
    );
    assert_eq!(o.lose(2), ["close 2"]);
    assert_eq!(drain_ends(&mut o), ["send 1 Drained"]);
}

#[test]
fn a_second_seal_request_ends_the_session_and_runs_no_hook_again() {
    let mut o = sealed();
    assert_eq!(o.hear(1, &SEAL), ["close 1", "start TryLock"]);
    assert!(unexpected(&o, "SealRequest"));
}

#[test]
fn a_wrong_id_ends_the_session_and_the_incumbent_resumes() {
    let mut o = drained();
    assert_eq!(
        o.hear(1, &Message::SealRequest { id: OTHER }),
        ["close 1", "start Resume"]
    );
    assert!(o.has_seen(&format!("handoff id {OTHER} instead of {ID}")));
    comes_back(&mut o);
}

#[test]
fn what_is_not_allowed_ends_the_session_and_nothing_else() {
    let mut o = serving();
    opened(&mut o, 1);
    assert_eq!(o.hear(1, &PREPARE), ["close 1"], "before HelloAck");
    assert!(unexpected(&o, "PrepareHandoff"));
    let mut o = acknowledged();
    assert_eq!(o.hear(1, &COMMIT), ["close 1"], "of no handoff");
    assert!(unexpected(&o, "Commit"));
    let mut o = acknowledged();
    assert_eq!(o.bytes(1, &[0xff; 64]), ["close 1"]);
    assert!(o.has_seen("a frame says it has 4294967295 bytes"));
    assert_eq!(opened(&mut o, 3), ["send 3 Hello"]);
}

#[test]
fn a_version_that_we_do_not_speak_ends_the_session_with_both_in_the_reason() {
    let mut o = serving();
    opened(&mut o, 1);
    let ack = Message::HelloAck { version: 3, id: ID };
    assert_eq!(o.hear(1, &ack), ["close 1"]);
    assert!(o.has_seen("ours 1..=2, theirs 3..=3"), "{:?}", o.seen);
    let mut o = acknowledged();
    assert_eq!(o.bytes(1, &frame_of(2, &PREPARE)), ["close 1"]);
    assert!(o.has_seen("version 2 on a session of version 1"));
}

#[test]
fn a_connection_that_says_nothing_is_closed_after_five_seconds() {
    let mut o = serving();
    opened(&mut o, 1);
    assert_eq!(o.waits_for(), ("HelloAck".into(), Duration::from_secs(5)));
    assert!(o.bytes(1, &[24, 0]).is_empty(), "half a length is nothing");
    assert_eq!(o.sleep(), ["close 1"]);
    assert!(o.has_seen("lost 1: nothing heard in time"));
}

#[test]
fn a_ninth_connection_drives_out_the_oldest_unacknowledged_one() {
    let mut o = acknowledged();
    for link in 2..=8 {
        o.now = o.now.after(Duration::from_millis(1));
        assert_eq!(opened(&mut o, link).len(), 1);
    }
    assert_eq!(opened(&mut o, 9), ["close 2", "send 9 Hello"]);
    assert!(o.has_seen("lost 2: too many connections"));
    assert_eq!(o.hear(1, &PREPARE), ["start Drain"]);
}

#[test]
fn among_acknowledged_connections_the_quietest_goes_but_never_the_owner() {
    let mut o = draining();
    for link in 2..=8 {
        o.now = o.now.after(Duration::from_millis(1));
        opened(&mut o, link);
        o.hear(link, &ACK);
    }
    o.now = o.now.after(Duration::from_millis(1));
    o.hear(2, &Message::Heartbeat { ts_ms: 0 });
    assert_eq!(opened(&mut o, 9), ["close 3", "send 9 Hello"]);
    assert_eq!(drain_ends(&mut o), ["send 1 Drained"]);
}

#[test]
fn no_process_crowds_out_another() {
    let mut o = acknowledged();
    for link in 2..=40 {
        o.now = o.now.after(Duration::from_millis(1));
        o.input(Input::Opened {
            link: LinkId(link),
            peer: 666,
        });
        o.hear(link, &ACK);
    }
    assert_eq!(
        o.hear(1, &PREPARE),
        ["start Drain"],
        "the quietest is still there"
    );
}

#[test]
fn all_sessions_late_at_once_fit_into_one_turn() {
    let mut o = releasing();
    let late = o.now.after(Duration::from_secs(100));
    for link in 2..=8 {
        opened(&mut o, link);
    }
    o.now = late;
    let acts = o.input(Input::Deadline);
    assert_eq!(
        acts.iter().filter(|act| act.starts_with("close")).count(),
        7
    );
    assert!(acts.contains(&"send 1 Abort".into()), "{acts:?}");
}

#[test]
fn the_unfinished_frame_of_a_link_is_not_the_next_links() {
    let mut o = serving();
    opened(&mut o, 1);
    o.bytes(1, &[24, 0, 0]);
    o.lose(1);
    opened(&mut o, 2);
    assert!(o.hear(2, &ACK).is_empty());
    assert_eq!(o.hear(2, &PREPARE), ["start Drain"]);
}

#[test]
fn only_the_owner_may_ask_for_the_seal_or_commit() {
    for (make, message) in [(drained as fn() -> Old, SEAL), (sealed, COMMIT)] {
        let mut o = make();
        opened(&mut o, 2);
        o.hear(2, &ACK);
        assert_eq!(o.hear(2, &message), ["close 2"]);
        assert!(o.has_seen("is not allowed"));
        assert_eq!(o.outcome, None);
    }
}

#[test]
fn of_two_processes_with_as_many_connections_the_newcomer_gives_way_to_itself() {
    for acknowledges in [false, true] {
        for (newcomer, leaves) in [(1, "close 1"), (2, "close 5")] {
            let mut o = serving();
            for (link, peer) in (1..=8).zip([1, 1, 1, 1, 2, 2, 2, 2]) {
                o.now = o.now.after(Duration::from_millis(1));
                let link = LinkId(link);
                o.input(Input::Opened { link, peer });
                if acknowledges {
                    o.hear(link.0, &ACK);
                }
            }
            let acts = o.input(Input::Opened {
                link: LinkId(9),
                peer: newcomer,
            });
            assert_eq!(acts, [leaves, "send 9 Hello"]);
        }
    }
}

#[test]
fn a_second_prepare_of_the_owner_ends_its_session() {
    let mut o = drained();
    assert_eq!(o.hear(1, &PREPARE), ["close 1", "start Resume"]);
    assert!(unexpected(&o, "PrepareHandoff"));
}

#[test]
fn a_handoff_that_was_given_up_does_not_begin_again() {
    let mut o = drained();
    assert_eq!(o.hear(1, &ABORT), ["start Resume"]);
    for _ in 0..2 {
        assert_eq!(o.hear(1, &PREPARE), ["send 1 Abort"]);
        let abort = o.sent.last().expect("Abort");
        assert!(abort.contains("has been given up"), "{abort}");
        if o.ops.iter().any(|op| matches!(op, IncumbentOp::Resume(_))) {
            finish!(o, IncumbentOp::Resume(ticket) => ticket.done(()));
        }
    }
    assert!(o.has_seen("Serving"));
}

//! The worst turns: as much as can happen to all sessions at once fits into one.

use std::time::Duration;

use handoff_core::op::SnapshotReport;
use handoff_core::wire::Message;
use handoff_core::{Action, IncumbentOp, Input, LinkId, Step};

use super::Old;
use super::version_2::{acknowledge, draining, releasing, sealed, sealing};
use crate::bench::finish;

/// All eight sessions wait for their listeners and have so little room that a word more is too much.
fn crowded(make: fn() -> Old) -> Old {
    let mut o = make();
    for link in 2..=8 {
        acknowledge(&mut o, link);
    }
    o.takes = false;
    for link in 1..=8 {
        // Answers that are not read fill the room, up to less than an Abort.
        loop {
            let before = owed(&mut o, link);
            o.hear(link, &Message::StatusRequest);
            let report = SnapshotReport::default();
            finish!(o, IncumbentOp::Snapshot(ticket) => ticket.done(report));
            if owed(&mut o, link) == before {
                break;
            }
        }
    }
    o
}

/// How many bytes a link has been lent.
fn owed(o: &mut Old, link: u32) -> usize {
    let input = Input::Wrote {
        link: LinkId(link),
        count: 0,
    };
    let mut turn = o.machine.handle(o.now, input).expect("a legal input");
    let mut owed = 0;
    while let Step::Do(action) = turn.next() {
        if let Action::Send { bytes, .. } = action {
            owed = bytes.len();
        }
    }
    owed
}

#[test]
fn all_sessions_that_ask_in_vain_and_do_not_read_end_in_one_turn() {
    for make in [draining as fn() -> Old, sealing, releasing, sealed] {
        for fails in [false, true] {
            let mut o = crowded(make);
            for link in 1..=8 {
                o.hear(link, &Message::ListenersRequest);
            }
            let acts = if fails {
                finish!(o, IncumbentOp::ListListeners(ticket) => ticket.failed("EMFILE"))
            } else {
                // So late that everything else is due, too.
                o.now = o.now.after(Duration::from_hours(1));
                o.input(Input::Deadline)
            };
            let closed = acts.iter().filter(|act| act.starts_with("close")).count();
            assert_eq!(closed, 8, "{acts:?}");
            assert!(o.has_seen("the listeners cannot be handed over"));
        }
    }
}

#[test]
fn all_sessions_are_answered_in_one_turn() {
    let mut o = sealed();
    for link in 2..=8 {
        acknowledge(&mut o, link);
    }
    for link in 1..=8 {
        o.hear(link, &Message::ListenersRequest);
    }
    o.now = o.now.after(Duration::from_hours(1));
    let acts = o.input(Input::Deadline);
    for link in 1..=8 {
        assert!(acts.contains(&format!("send {link} Abort")), "{acts:?}");
    }
}

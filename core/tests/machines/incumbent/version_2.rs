//! A handoff with a supervisor of version 2, up to each of its phases.

use handoff_core::wire::Message;

use super::{
    Old, PREPARE, SEAL, drain_ends, opened, path_answers, release_ends, seal_ends, serving,
};
use crate::world::ID;

pub(super) const ACK: Message<'_> = Message::HelloAck { version: 2, id: ID };
pub(super) const BEAT: Message<'_> = Message::Heartbeat { ts_ms: 1 };

/// Opens and acknowledges this session.
pub(super) fn acknowledge(o: &mut Old, link: u32) {
    assert_eq!(opened(o, link), [format!("send {link} Hello")]);
    assert!(o.hear(link, &ACK).is_empty());
}

pub(super) fn acknowledged() -> Old {
    let mut o = serving();
    acknowledge(&mut o, 1);
    o
}

pub(super) fn draining() -> Old {
    let mut o = acknowledged();
    assert_eq!(o.hear(1, &PREPARE), ["start Drain"]);
    o
}

pub(super) fn drained() -> Old {
    let mut o = draining();
    assert_eq!(drain_ends(&mut o), ["send 1 Drained"]);
    o
}

pub(super) fn sealing() -> Old {
    let mut o = drained();
    assert_eq!(o.hear(1, &SEAL), ["start Seal"]);
    o
}

pub(super) fn releasing() -> Old {
    let mut o = sealing();
    assert_eq!(seal_ends(&mut o), ["start ReleaseLock"]);
    o
}

pub(super) fn sealed() -> Old {
    let mut o = releasing();
    assert_eq!(release_ends(&mut o), ["send 1 SealComplete"]);
    o
}

/// The path leads to this process, which has the lock: it resumes.
pub(super) fn returns(o: &mut Old) {
    use handoff_core::op::PathOwner;
    assert_eq!(path_answers(o, PathOwner::Ours), ["start Resume"]);
    super::comes_back(o);
}

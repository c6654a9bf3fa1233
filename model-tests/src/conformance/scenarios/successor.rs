//! The adapter is the successor; the kit is its supervisor and the incumbent before it.

use std::time::Duration;

use handoff_core::wire::StatusPhase::{Probation, Serving};

use super::super::Peer;
use super::super::cast::Answer::{Fails, Ill, Well};
use super::super::{Stage, Stopped};
use super::{ABORT, BEAT, BEGIN, COMMIT, ID, SHORT, Scenario, Script, Subject};
use super::{handed_over, usual};
use crate::conformance::Times;

scenarios! { Subject::Successor;
    "successor-takes-over" "5, 8: warm up, stand by, take the lock, open, serve on probation; after Commit it is an incumbent like any other" usual => takes_over;
    "successor-takes-over-v1" "5: with a supervisor of version 1, which does not wait for the warm-up; when nobody can come back any more, it is told" soon_alone => takes_over_v1;
    "successor-aborted-warming" "C7: the handoff is given up while it warms up" usual => aborted_warming;
    "successor-aborted-standing" "C7: the handoff is given up while it stands by" usual => aborted_standing;
    "successor-warm-up-fails" "C7: it says so, and leaves" usual => warm_up_fails;
    "successor-orphaned-lock-held" "C3: the supervisor is gone before Begin, and the incumbent lives: leave" short_grace => orphaned_lock_held;
    "successor-orphaned-lock-free" "C3: the supervisor is gone before Begin, and so is the incumbent: go on" soon_alone => orphaned_lock_free;
    "successor-begun-lock-held" "C4: the lock stays with another: fail" short_grace => begun_lock_held;
    "successor-begun-lock-late" "C4: the lock is free a moment later" long_grace => begun_lock_late;
    "successor-orphaned-opening" "C5: the supervisor is gone, but the lock is held: go on" soon_alone => orphaned_opening;
    "successor-open-fails" "C8: it says so, and leaves" usual => open_fails;
    "successor-ill" "C8: a daemon that is not healthy does not serve" usual => ill;
    "successor-aborted-opening" "C8: the handoff is given up while it opens the data" usual => aborted_opening;
    "successor-dismissed" "8, C8: sent away from its probation, it leaves, which frees the lock" usual => dismissed;
    "successor-split-frames" "4: frames come in any pieces, and several at once" usual => split_frames;
    "successor-hostile" "5, C3: what is no message ends the session; the lock decides" short_grace => hostile;
    "successor-heartbeats" "5: Heartbeat while a hook runs; one that comes is taken in silence" |times| times.successor.heartbeat = SHORT => heartbeats;
    "successor-unacknowledged" "C3: no HelloAck comes" unacknowledged_soon => unacknowledged;
    "successor-path-blocked" "3: a control path that cannot be bound is found before anything is touched" usual => path_blocked;
}

fn short_grace(times: &mut Times) {
    times.successor.lock_grace = SHORT;
}

fn long_grace(times: &mut Times) {
    times.successor.lock_grace = Duration::from_mins(1);
}

/// Nobody can come back a moment after the supervisor is gone.
fn soon_alone(times: &mut Times) {
    times.incumbent.dead_peer = SHORT;
    times.incumbent.wire_slack = SHORT;
}

fn unacknowledged_soon(times: &mut Times) {
    times.successor.hello = SHORT;
    times.successor.lock_grace = SHORT;
}

/// The incumbent has the lock, and the successor says Hello.
fn meet(stage: &mut Stage, version: u16) -> Result<Peer, Stopped> {
    stage.takes_lock("O")?;
    let mut supervisor = stage.successor()?;
    supervisor.greets(version, ID)?;
    Ok(supervisor)
}

fn standing(stage: &mut Stage) -> Result<Peer, Stopped> {
    let mut supervisor = meet(stage, 2)?;
    stage.hook(Well)?;
    supervisor.hears()?;
    Ok(supervisor)
}

fn begun(stage: &mut Stage) -> Result<Peer, Stopped> {
    let mut supervisor = standing(stage)?;
    stage.gives_lock("O");
    supervisor.says(&BEGIN)?;
    Ok(supervisor)
}

/// It serves without a supervisor, and is told when nobody can come back any more.
fn alone(stage: &mut Stage) -> Script {
    stage.hook(Well)?;
    stage.is(Serving)?;
    stage.lock()
}

fn takes_over(stage: &mut Stage) -> Script {
    let mut supervisor = begun(stage)?;
    let open = stage.called()?;
    stage.lock()?;
    open.answer(Well)?;
    supervisor.hears()?;
    stage.is(Probation)?;
    supervisor.says(&COMMIT)?;
    supervisor.closes()?;
    stage.hook(Well)?;
    handed_over(stage)
}

fn takes_over_v1(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 1)?;
    let warm_up = stage.called()?;
    stage.gives_lock("O");
    supervisor.says(&BEGIN)?;
    warm_up.answer(Well)?;
    stage.hook(Well)?;
    supervisor.hears()?;
    stage.is(Probation)?;
    supervisor.goes();
    alone(stage)
}

fn aborted_warming(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    let warm_up = stage.called()?;
    supervisor.says(&ABORT)?;
    supervisor.closes()?;
    warm_up.answer(Well)?;
    stage.leaves()
}

fn aborted_standing(stage: &mut Stage) -> Script {
    let mut supervisor = standing(stage)?;
    supervisor.says(&ABORT)?;
    supervisor.closes()?;
    stage.leaves()?;
    stage.path()
}

fn warm_up_fails(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    stage.hook(Fails)?;
    supervisor.hears()?;
    supervisor.closes()?;
    stage.leaves()
}

fn orphaned_lock_held(stage: &mut Stage) -> Script {
    standing(stage)?.goes();
    stage.leaves()?;
    stage.path()
}

fn orphaned_lock_free(stage: &mut Stage) -> Script {
    let supervisor = standing(stage)?;
    stage.gives_lock("O");
    supervisor.goes();
    stage.hook(Well)?;
    alone(stage)
}

fn begun_lock_held(stage: &mut Stage) -> Script {
    let mut supervisor = standing(stage)?;
    supervisor.says(&BEGIN)?;
    supervisor.hears()?;
    supervisor.closes()?;
    stage.leaves()
}

fn begun_lock_late(stage: &mut Stage) -> Script {
    let mut supervisor = standing(stage)?;
    supervisor.says(&BEGIN)?;
    stage.gives_lock("O");
    stage.hook(Well)?;
    supervisor.hears()?;
    stage.is(Probation)
}

fn orphaned_opening(stage: &mut Stage) -> Script {
    let supervisor = begun(stage)?;
    let open = stage.called()?;
    supervisor.goes();
    open.answer(Well)?;
    alone(stage)
}

fn open_fails(stage: &mut Stage) -> Script {
    let mut supervisor = begun(stage)?;
    stage.hook(Fails)?;
    supervisor.hears()?;
    supervisor.closes()?;
    stage.leaves()?;
    stage.path()
}

fn ill(stage: &mut Stage) -> Script {
    let mut supervisor = begun(stage)?;
    stage.hook(Ill)?;
    supervisor.hears()?;
    supervisor.closes()?;
    stage.leaves()?;
    stage.path()
}

fn aborted_opening(stage: &mut Stage) -> Script {
    let mut supervisor = begun(stage)?;
    let open = stage.called()?;
    supervisor.says(&ABORT)?;
    supervisor.closes()?;
    open.answer(Well)?;
    stage.leaves()?;
    stage.path()
}

fn dismissed(stage: &mut Stage) -> Script {
    let mut supervisor = begun(stage)?;
    stage.hook(Well)?;
    supervisor.hears()?;
    stage.is(Probation)?;
    supervisor.says(&ABORT)?;
    supervisor.closes()?;
    stage.leaves()?;
    stage.takes_lock("O")
}

fn split_frames(stage: &mut Stage) -> Script {
    stage.takes_lock("O")?;
    let mut supervisor = stage.successor()?;
    supervisor.slowly();
    supervisor.greets(2, ID)?;
    stage.hook(Well)?;
    supervisor.hears()?;
    stage.gives_lock("O");
    supervisor.say(&[BEAT, BEGIN, BEAT])?;
    stage.hook(Well)?;
    supervisor.hears()?;
    supervisor.at_once();
    supervisor.say(&[BEAT, COMMIT])?;
    stage.hook(Well)?;
    stage.is(Serving)
}

fn hostile(stage: &mut Stage) -> Script {
    stage.takes_lock("O")?;
    let mut supervisor = stage.successor()?;
    supervisor.hears()?;
    supervisor.babbles("a frame of 4 GiB", &[0xff; 8])?;
    supervisor.closes()?;
    stage.leaves()
}

fn heartbeats(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    let warm_up = stage.called()?;
    supervisor.hears_heartbeat()?;
    supervisor.says(&BEAT)?;
    warm_up.answer(Well)?;
    supervisor.hears()?;
    stage.gives_lock("O");
    supervisor.says(&BEGIN)?;
    let open = stage.called()?;
    supervisor.hears_heartbeat()?;
    open.answer(Well)?;
    supervisor.hears()
}

fn unacknowledged(stage: &mut Stage) -> Script {
    stage.takes_lock("O")?;
    let mut supervisor = stage.successor()?;
    supervisor.hears()?;
    supervisor.closes()?;
    stage.leaves()
}

fn path_blocked(stage: &mut Stage) -> Script {
    stage.blocks_path()?;
    let mut supervisor = stage.successor()?;
    supervisor.closes()?;
    stage.leaves()
}

//! The adapter is the incumbent; the kit is its supervisor, its successor and strangers.

use std::time::Duration;

use handoff_core::wire::{Message, StatusPhase};

use super::super::Peer;
use super::super::cast::Answer::{Fails, Panics, Well};
use super::super::{Stage, Stopped};
use super::{
    ABORT, BEAT, COMMIT, ID, OTHER, PREPARE, SEAL, SHORT, Scenario, Script, Subject, UNDO, drained,
    handed_over, known, sealed, usual,
};

scenarios! { Subject::Incumbent;
    "incumbent-commits" "5: drain, seal, release, and leave on Commit" usual => commits;
    "incumbent-commits-v1" "5, 8: the same with a supervisor of version 1" usual => commits_v1;
    "incumbent-rolled-back" "C2: the successor is dead; take the lock again, serve, and be handed over the next time" usual => rolled_back;
    "incumbent-aborted-in-drain" "C1: drain is asked to stop at once, and resume follows" usual => aborted_in_drain;
    "incumbent-orphaned-in-drain" "C1: the supervisor is gone while drain runs" usual => orphaned_in_drain;
    "incumbent-orphaned-drained" "C1: the supervisor is gone when the incumbent has drained" usual => orphaned_drained;
    "incumbent-orphaned-in-seal" "C1: a seal in progress is let finish, then undone; the lock stays" usual => orphaned_in_seal;
    "incumbent-superseded" "C2: the supervisor is gone, the successor has the lock: wait; it has the path as well: leave" usual => superseded;
    "incumbent-reclaims" "C2: the supervisor is gone, and so is the successor, which had lock and path: take both back" usual => reclaims;
    "incumbent-drain-fails" "C1: a hook that fails is a handoff that fails" usual => drain_fails;
    "incumbent-seal-panics" "C1: a hook that panics has failed; the lock stays" usual => seal_panics;
    "incumbent-resume-fails" "8: resume is tried again" |times| times.incumbent.host_retry = SHORT => resume_fails;
    "incumbent-resume-spent" "8: a daemon that cannot be brought back leaves" |times| times.incumbent.host_retry = SHORT => resume_spent;
    "incumbent-split-frames" "4: frames come in any pieces, and several at once" usual => split_frames;
    "incumbent-slow-peer" "5: half a frame from one peer holds up nobody else" usual => slow_peer;
    "incumbent-hostile-frame" "5, 6: a frame that is too large ends its session, and only that" usual => hostile_frame;
    "incumbent-hostile-order" "5: a message that is not allowed ends the session; who had drained resumes" usual => hostile_order;
    "incumbent-wrong-id" "5: a message of another handoff ends the session" usual => wrong_id;
    "incumbent-busy" "5: a second handoff is refused, and the first goes on" usual => busy;
    "incumbent-crowd" "5: beyond the session limit the oldest unacknowledged connection goes" usual => crowd;
    "incumbent-unacknowledged" "5: a connection whose HelloAck does not come is closed" |times| times.incumbent.hello = SHORT => unacknowledged;
    "incumbent-heartbeats" "5: Heartbeat while a hook runs, and in answer to one between hooks" |times| times.incumbent.heartbeat = SHORT => heartbeats;
    "incumbent-silent-supervisor" "C11: a supervisor of version 2 that is silent is frozen" |times| times.incumbent.dead_peer = SHORT => silent_supervisor;
    "incumbent-deadline-v1" "C11: with version 1 the announced deadline and the wire slack have passed" |times| times.incumbent.wire_slack = SHORT => deadline_v1;
    "incumbent-frozen" "7: bytes come before timeouts: what has arrived in time counts, however late it is read" |times| times.incumbent.hello = FROZEN => frozen;
    "incumbent-progress" "5: SealProgress while the seal hook runs" usual => progress;
    "incumbent-flooded" "5: a peer that reads late is owed all of it, and gets it in order" usual => flooded;
    "incumbent-crowd-of-one" "5: one process does not crowd out another with its connections" usual => crowd_of_one;
    "incumbent-hostile-descriptor" "4: a descriptor where none belongs ends the session, and is closed" usual => hostile_descriptor;
    "incumbent-asked" "8: status and listeners, also while a hook runs for another session" usual => asked;
}

/// The incumbent has started, and its supervisor is known.
fn meet(stage: &mut Stage, version: u16) -> Result<Peer, Stopped> {
    stage.incumbent()?;
    known(stage, "S", version)
}

fn commits(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    stage.lock()?;
    sealed(stage, &mut supervisor)?;
    supervisor.says(&COMMIT)?;
    supervisor.closes()?;
    stage.leaves()
}

fn commits_v1(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 1)?;
    sealed(stage, &mut supervisor)?;
    supervisor.says(&COMMIT)?;
    supervisor.closes()?;
    stage.leaves()
}

fn rolled_back(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    sealed(stage, &mut supervisor)?;
    stage.takes_lock("N")?;
    stage.gives_lock("N");
    supervisor.says(&UNDO)?;
    stage.hook(Well)?;
    stage.lock()?;
    handed_over(stage)
}

fn aborted_in_drain(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    supervisor.says(&PREPARE)?;
    let drain = stage.called()?;
    supervisor.says(&ABORT)?;
    drain.stopped()?;
    drain.answer(Well)?;
    stage.hook(Well)?;
    stage.lock()?;
    handed_over(stage)
}

fn orphaned_in_drain(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    supervisor.says(&PREPARE)?;
    let drain = stage.called()?;
    supervisor.goes();
    drain.stopped()?;
    drain.answer(Well)?;
    stage.hook(Well)?;
    handed_over(stage)
}

fn orphaned_drained(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 1)?;
    drained(stage, &mut supervisor)?;
    supervisor.goes();
    stage.hook(Well)?;
    handed_over(stage)
}

fn orphaned_in_seal(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    drained(stage, &mut supervisor)?;
    supervisor.says(&SEAL)?;
    let seal = stage.called()?;
    supervisor.is_missed()?;
    known(stage, "T", 2)?.goes();
    seal.answer(Well)?;
    stage.hook(Well)?;
    stage.lock()?;
    handed_over(stage)
}

fn superseded(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    sealed(stage, &mut supervisor)?;
    stage.takes_lock("N")?;
    supervisor.is_missed()?;
    known(stage, "T", 2)?.goes();
    stage.takes_path("N")?;
    stage.leaves()?;
    stage.path()
}

fn reclaims(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    sealed(stage, &mut supervisor)?;
    stage.takes_lock("N")?;
    stage.takes_path("N")?;
    stage.gives_lock("N");
    supervisor.says(&UNDO)?;
    stage.hook(Well)?;
    stage.lock()?;
    handed_over(stage)
}

fn drain_fails(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    supervisor.says(&PREPARE)?;
    stage.hook(Fails)?;
    supervisor.hears()?;
    stage.hook(Well)?;
    stage.lock()?;
    handed_over(stage)
}

fn seal_panics(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    drained(stage, &mut supervisor)?;
    supervisor.says(&SEAL)?;
    stage.hook(Panics)?;
    supervisor.hears()?;
    stage.hook(Well)?;
    stage.lock()?;
    handed_over(stage)
}

fn resume_fails(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    drained(stage, &mut supervisor)?;
    supervisor.says(&ABORT)?;
    stage.hook(Fails)?;
    stage.hook(Panics)?;
    stage.hook(Well)?;
    handed_over(stage)
}

fn resume_spent(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    drained(stage, &mut supervisor)?;
    supervisor.says(&ABORT)?;
    for _ in 0..3 {
        stage.hook(Fails)?;
    }
    stage.leaves()
}

fn split_frames(stage: &mut Stage) -> Script {
    stage.incumbent()?;
    let mut supervisor = stage.connect("S", "O")?;
    supervisor.slowly();
    supervisor.greets(2, ID)?;
    supervisor.say(&[BEAT, PREPARE, BEAT])?;
    stage.hook(Well)?;
    supervisor.hears()?;
    supervisor.says(&SEAL)?;
    stage.hook(Well)?;
    supervisor.hears()?;
    supervisor.at_once();
    supervisor.say(&[BEAT, COMMIT])?;
    supervisor.closes()?;
    stage.leaves()
}

fn slow_peer(stage: &mut Stage) -> Script {
    stage.incumbent()?;
    let mut slow = stage.connect("X", "O")?;
    slow.hears()?;
    slow.babbles("half a frame", &[20, 0, 0, 0, 1, 0, 1])?;
    handed_over(stage)
}

fn hostile_frame(stage: &mut Stage) -> Script {
    stage.incumbent()?;
    for (what, bytes) in [
        ("a frame of 4 GiB", &[0xff; 8][..]),
        ("a frame that is too short", &[1, 0, 0, 0, 1]),
        ("no message", &[3, 0, 0, 0, 1, 0, 99]),
    ] {
        let mut hostile = stage.connect("X", "O")?;
        hostile.hears()?;
        hostile.babbles(what, bytes)?;
        hostile.closes()?;
    }
    handed_over(stage)
}

fn hostile_order(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    drained(stage, &mut supervisor)?;
    supervisor.says(&COMMIT)?;
    supervisor.closes()?;
    stage.hook(Well)?;
    handed_over(stage)
}

fn wrong_id(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    drained(stage, &mut supervisor)?;
    supervisor.says(&Message::SealRequest { id: OTHER })?;
    supervisor.closes()?;
    stage.hook(Well)?;
    handed_over(stage)
}

fn busy(stage: &mut Stage) -> Script {
    let mut first = meet(stage, 2)?;
    drained(stage, &mut first)?;
    let mut second = known(stage, "T", 2)?;
    second.says(&PREPARE)?;
    second.hears()?;
    first.says(&SEAL)?;
    stage.hook(Well)?;
    first.hears()?;
    first.says(&COMMIT)?;
    first.closes()?;
    stage.leaves()
}

fn crowd(stage: &mut Stage) -> Script {
    stage.incumbent()?;
    let mut crowd = Vec::new();
    for _ in 0..8 {
        let mut one = stage.connect("X", "O")?;
        one.hears()?;
        crowd.push(one);
    }
    let mut supervisor = known(stage, "S", 2)?;
    crowd.remove(0).closes()?;
    sealed(stage, &mut supervisor)?;
    supervisor.says(&COMMIT)?;
    supervisor.closes()?;
    stage.leaves()
}

fn unacknowledged(stage: &mut Stage) -> Script {
    stage.incumbent()?;
    let mut stranger = stage.connect("X", "O")?;
    stranger.hears()?;
    stranger.closes()
}

fn heartbeats(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    supervisor.says(&PREPARE)?;
    let drain = stage.called()?;
    supervisor.hears_heartbeat()?;
    drain.answer(Well)?;
    supervisor.hears()?;
    supervisor.says(&BEAT)?;
    supervisor.hears_heartbeat()?;
    supervisor.says(&SEAL)?;
    stage.hook(Well)?;
    supervisor.hears()?;
    supervisor.says(&COMMIT)?;
    stage.leaves()
}

fn silent_supervisor(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    supervisor.says(&PREPARE)?;
    let drain = stage.called()?;
    drain.stopped()?;
    supervisor.hears()?;
    drain.answer(Well)?;
    stage.hook(Well)?;
    // It wakes up, and is told.
    supervisor.says(&SEAL)?;
    supervisor.hears()?;
    stage.lock()
}

fn deadline_v1(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 1)?;
    supervisor.says(&Message::PrepareHandoff {
        id: ID,
        successor_pid: 1,
        deadline_ms: 100,
        drain_grace_ms: 100,
    })?;
    let drain = stage.called()?;
    drain.stopped()?;
    supervisor.hears()?;
    drain.answer(Well)?;
    stage.hook(Well)?;
    stage.lock()
}

/// How long a subject is frozen; it is caught in half of that.
const FROZEN: Duration = Duration::from_millis(400);

fn frozen(stage: &mut Stage) -> Script {
    stage.incumbent()?;
    let mut supervisor = stage.connect_and_freeze("S", "O", FROZEN / 2)?;
    supervisor.says(&Message::HelloAck { version: 2, id: ID })?;
    stage.thaws("O", FROZEN)?;
    sealed(stage, &mut supervisor)?;
    supervisor.says(&COMMIT)?;
    supervisor.closes()?;
    stage.leaves()
}

fn progress(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    drained(stage, &mut supervisor)?;
    supervisor.says(&SEAL)?;
    let mut seal = stage.called()?;
    seal.progresses()?;
    supervisor.hears()?;
    seal.answer(Well)?;
    supervisor.hears()?;
    supervisor.says(&COMMIT)?;
    supervisor.closes()?;
    stage.leaves()
}

fn flooded(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    drained(stage, &mut supervisor)?;
    // More than a socket takes at once, and less than a link may owe.
    known(stage, "T", 2)?.floods(&PREPARE, 6000)?;
    supervisor.says(&SEAL)?;
    stage.hook(Well)?;
    supervisor.hears()?;
    supervisor.says(&COMMIT)?;
    supervisor.closes()?;
    stage.leaves()
}

fn crowd_of_one(stage: &mut Stage) -> Script {
    stage.incumbent()?;
    // There is an incumbent to connect to.
    stage.is(StatusPhase::Serving)?;
    let mut supervisor = stage.connect_from_elsewhere("S", "O")?;
    let mut crowd = Vec::new();
    for _ in 0..8 {
        let mut one = stage.connect("X", "O")?;
        one.hears()?;
        crowd.push(one);
    }
    crowd.remove(0).closes()?;
    supervisor.greets(2, ID)?;
    sealed(stage, &mut supervisor)?;
    supervisor.says(&COMMIT)?;
    supervisor.closes()?;
    stage.leaves()
}

fn hostile_descriptor(stage: &mut Stage) -> Script {
    stage.incumbent()?;
    let mut hostile = stage.connect("X", "O")?;
    hostile.hears()?;
    hostile.smuggles(&Message::HelloAck { version: 2, id: ID })?;
    handed_over(stage)
}

fn asked(stage: &mut Stage) -> Script {
    let mut supervisor = meet(stage, 2)?;
    supervisor.says(&PREPARE)?;
    let drain = stage.called()?;
    let mut asker = known(stage, "A", 2)?;
    asker.says(&Message::StatusRequest)?;
    asker.hears()?;
    asker.says(&Message::ListenersRequest)?;
    asker.hears()?;
    asker.listeners();
    asker.goes();
    drain.answer(Well)?;
    supervisor.hears()?;
    supervisor.says(&SEAL)?;
    stage.hook(Well)?;
    supervisor.hears()?;
    supervisor.says(&COMMIT)?;
    stage.leaves()
}

//! The adapter is the supervisor; the kit is the incumbent and the successor, with stand-ins for their processes.

use std::time::Duration;

use handoff_core::Task;
use handoff_core::wire::{Message, Revisions, Side, VersionRange};

use super::super::Peer;
use super::super::{Stage, StandIn, Stopped};
use super::{BEAT, SHORT, Scenario, Script, Subject, usual};
use crate::conformance::Times;

scenarios! { Subject::Supervisor;
    "supervisor-commits" "5: nothing is asked of the incumbent before the successor is warm; Commit to both" usual => commits;
    "supervisor-commits-v1" "4, 8: version 1 on both sides: nobody hears a message of version 2" usual => commits_v1;
    "supervisor-probation" "8: Commit comes when the probation is over" |times| times.supervisor.probation = SHORT => commits;
    "supervisor-probation-lost" "C8: the successor dies on probation: the incumbent comes back" long_probation => probation_lost;
    "supervisor-warming-lost" "C7: the successor dies while it warms up: the incumbent was not even asked" usual => warming_lost;
    "supervisor-warming-late" "C7: the successor is not warm in time: it is killed" |times| times.supervisor.warmup = SHORT => warming_late;
    "supervisor-refused" "C7: the incumbent gives up in drain: the successor is killed" usual => refused;
    "supervisor-seal-failed" "C7: the seal fails: the successor is killed" usual => seal_failed;
    "supervisor-drain-late" "C10: the incumbent misses its deadline: Abort, and the successor is killed" late_drain => drain_late;
    "supervisor-drain-stuck" "C10: with kill_stuck_incumbent the incumbent is killed, and the successor begins" stuck_drain => drain_stuck;
    "supervisor-incumbent-lost" "C6: the incumbent dies in drain: Begin, and the successor finds out" usual => incumbent_lost;
    "supervisor-successor-lost" "C8: the successor dies after Begin: ResumeAfterAbort" usual => successor_lost;
    "supervisor-successor-late" "C8: the successor is late with Ready: it is killed first" late_ready => successor_late;
    "supervisor-successor-ill" "C8: a successor that is not healthy is killed" usual => successor_ill;
    "supervisor-both-lost" "C8: nobody is left: the daemon is started afresh" |times| times.supervisor.connect = SHORT => both_lost;
    "supervisor-split-frames" "4: frames come in any pieces, and several at once" usual => split_frames;
    "supervisor-hostile-incumbent" "5, C6: what is no message ends the session" usual => hostile_incumbent;
    "supervisor-hostile-successor" "5, C7: a message out of order ends the session" usual => hostile_successor;
    "supervisor-heartbeats" "C11: an incumbent of version 2 is sent Heartbeat" |times| times.supervisor.heartbeat = SHORT => heartbeats;
    "supervisor-nobody" "6: nobody answers on the control path" |times| times.supervisor.connect = SHORT => nobody;
    "supervisor-recovers" "C9: somebody serves" recovery => recovers;
    "supervisor-recovers-evicts" "C9: a successor that does not settle is killed; nobody is left, so the daemon is started" eviction => evicts;
    "supervisor-recovers-afresh" "C9: nobody is alive and the lock is free: the daemon is started" recovery => afresh;
}

fn long_probation(times: &mut Times) {
    times.supervisor.probation = Duration::from_mins(5);
}

fn late_drain(times: &mut Times) {
    times.supervisor.drain_grace = SHORT;
    times.supervisor.wire_slack = SHORT;
}

fn stuck_drain(times: &mut Times) {
    late_drain(times);
    times.supervisor.kill_stuck_incumbent = true;
}

/// Long enough for the kit to get to Begin.
fn late_ready(times: &mut Times) {
    times.supervisor.deadline = Duration::from_millis(1500);
    times.supervisor.wire_slack = SHORT;
}

fn recovery(times: &mut Times) {
    times.supervisor.task = Task::Recover(None);
}

fn eviction(times: &mut Times) {
    recovery(times);
    times.supervisor.settle = SHORT;
    times.supervisor.connect = SHORT;
    times.supervisor.hello = SHORT;
}

/// The incumbent, the successor, and their sessions.
struct Cast {
    old: StandIn,
    new: StandIn,
    o: Peer,
    n: Peer,
}

const BOTH: VersionRange = VersionRange::SUPPORTED;

const DRAINED: Message<'static> = Message::Drained {
    open_connections: 0,
    accept_closed: true,
};

fn standby(stage: &Stage) -> Message<'static> {
    Message::Standby { id: stage.id() }
}

fn abort(stage: &Stage) -> Message<'static> {
    let (id, reason) = (stage.id(), "as the kit wants it");
    Message::Abort { id, reason }
}

fn seal_complete(stage: &Stage) -> Message<'static> {
    Message::SealComplete {
        id: stage.id(),
        revisions: Revisions::default(),
        fingerprint: [0; 32],
    }
}

fn ready(stage: &Stage, healthz_ok: bool) -> Message<'static> {
    Message::Ready {
        id: stage.id(),
        listening_on: handoff_core::wire::Names::default(),
        healthz_ok,
        revisions: Revisions::default(),
    }
}

/// Both are known; the incumbent has the lock.
fn met(stage: &mut Stage, versions: VersionRange) -> Result<Cast, Stopped> {
    let mut old = stage.stand_in_incumbent()?;
    stage.takes_lock("O")?;
    stage.supervisor()?;
    let mut o = old.accepts()?;
    o.hello(Side::Incumbent, versions)?;
    o.hears()?;
    let mut new = stage.spawned()?;
    let mut n = new.channel()?;
    n.hello(Side::Successor, versions)?;
    n.hears()?;
    Ok(Cast { old, new, o, n })
}

fn draining(stage: &mut Stage) -> Result<Cast, Stopped> {
    let mut cast = met(stage, BOTH)?;
    cast.n.says(&standby(stage))?;
    cast.o.hears()?;
    Ok(cast)
}

fn begun(stage: &mut Stage) -> Result<Cast, Stopped> {
    let mut cast = draining(stage)?;
    stage.journal();
    sealed(stage, &mut cast)?;
    Ok(cast)
}

fn sealed(stage: &mut Stage, Cast { o, n, .. }: &mut Cast) -> Script {
    o.says(&DRAINED)?;
    o.hears()?;
    stage.gives_lock("O");
    o.says(&seal_complete(stage))?;
    n.hears()
}

/// The successor serves, and both are told.
fn committed(stage: &mut Stage, cast: Cast) -> Script {
    let Cast {
        old,
        new: _new,
        mut o,
        mut n,
    } = cast;
    n.says(&ready(stage, true))?;
    o.hears()?;
    drop(old);
    o.goes();
    n.closes()?;
    stage.leaves()?;
    stage.journal();
    Ok(())
}

/// The successor is killed, and the incumbent is told.
fn rolled_back(stage: &mut Stage, mut cast: Cast) -> Script {
    cast.new.is_killed()?;
    cast.n.closes()?;
    cast.o.closes()?;
    stage.leaves()?;
    stage.journal();
    Ok(())
}

fn commits(stage: &mut Stage) -> Script {
    let cast = begun(stage)?;
    committed(stage, cast)
}

fn commits_v1(stage: &mut Stage) -> Script {
    let mut cast = met(stage, VersionRange::V1)?;
    cast.o.hears()?;
    sealed(stage, &mut cast)?;
    committed(stage, cast)
}

fn probation_lost(stage: &mut Stage) -> Script {
    let mut cast = begun(stage)?;
    cast.n.says(&ready(stage, true))?;
    // In the kernel's order: a process is not dead before its sockets are closed. Its watch would see the death first.
    cast.n.goes();
    cast.new.dies();
    cast.o.closes()?;
    stage.leaves()
}

fn warming_lost(stage: &mut Stage) -> Script {
    let mut cast = met(stage, BOTH)?;
    cast.new.dies();
    cast.n.goes();
    cast.o.closes()?;
    stage.leaves()
}

fn warming_late(stage: &mut Stage) -> Script {
    let cast = met(stage, BOTH)?;
    rolled_back(stage, cast)
}

fn refused(stage: &mut Stage) -> Script {
    let mut cast = draining(stage)?;
    cast.o.says(&abort(stage))?;
    rolled_back(stage, cast)
}

fn seal_failed(stage: &mut Stage) -> Script {
    let mut cast = draining(stage)?;
    cast.o.says(&DRAINED)?;
    cast.o.hears()?;
    cast.o.says(&Message::SealFailed {
        id: stage.id(),
        error: "as the kit wants it",
        partial_state: "",
    })?;
    rolled_back(stage, cast)
}

fn drain_late(stage: &mut Stage) -> Script {
    let cast = draining(stage)?;
    rolled_back(stage, cast)
}

fn drain_stuck(stage: &mut Stage) -> Script {
    let mut cast = draining(stage)?;
    cast.old.is_killed()?;
    stage.gives_lock("O");
    cast.n.hears()?;
    cast.n.says(&ready(stage, true))?;
    cast.n.closes()?;
    stage.leaves()
}

fn incumbent_lost(stage: &mut Stage) -> Script {
    let mut cast = draining(stage)?;
    cast.old.dies();
    stage.gives_lock("O");
    cast.o.goes();
    cast.n.hears()?;
    cast.n.says(&ready(stage, true))?;
    cast.n.closes()?;
    stage.leaves()
}

fn successor_lost(stage: &mut Stage) -> Script {
    let mut cast = begun(stage)?;
    cast.new.dies();
    cast.n.goes();
    cast.o.closes()?;
    stage.leaves()
}

fn successor_late(stage: &mut Stage) -> Script {
    let cast = begun(stage)?;
    rolled_back(stage, cast)
}

fn successor_ill(stage: &mut Stage) -> Script {
    let mut cast = begun(stage)?;
    cast.n.says(&ready(stage, false))?;
    rolled_back(stage, cast)
}

fn both_lost(stage: &mut Stage) -> Script {
    let Cast { old, new, o, n } = begun(stage)?;
    old.dies();
    // A supervisor that hears of both at once may take the other one first, and then it is a rollback.
    o.is_missed()?;
    new.dies();
    n.goes();
    stage.started_afresh()?;
    stage.leaves()
}

fn split_frames(stage: &mut Stage) -> Script {
    let mut old = stage.stand_in_incumbent()?;
    stage.supervisor()?;
    let mut o = old.accepts()?;
    o.slowly();
    o.hello(Side::Incumbent, BOTH)?;
    o.hears()?;
    let mut new = stage.spawned()?;
    let mut n = new.channel()?;
    n.slowly();
    n.hello(Side::Successor, BOTH)?;
    n.hears()?;
    n.say(&[BEAT, standby(stage), BEAT])?;
    o.hears()?;
    o.say(&[BEAT, DRAINED, BEAT])?;
    o.hears()?;
    o.say(&[BEAT, seal_complete(stage)])?;
    n.hears()?;
    n.say(&[BEAT, ready(stage, true)])?;
    o.hears()?;
    o.goes();
    n.closes()?;
    stage.leaves()
}

fn hostile_incumbent(stage: &mut Stage) -> Script {
    let mut cast = draining(stage)?;
    cast.o.babbles("a frame of 4 GiB", &[0xff; 8])?;
    cast.o.closes()?;
    stage.gives_lock("O");
    cast.n.hears()?;
    cast.n.says(&ready(stage, true))?;
    cast.n.closes()?;
    stage.leaves()
}

fn hostile_successor(stage: &mut Stage) -> Script {
    let mut cast = met(stage, BOTH)?;
    cast.n.says(&ready(stage, true))?;
    rolled_back(stage, cast)
}

fn heartbeats(stage: &mut Stage) -> Script {
    let mut cast = draining(stage)?;
    cast.o.hears_heartbeat()?;
    sealed(stage, &mut cast)?;
    cast.o.hears_heartbeat()?;
    committed(stage, cast)
}

fn nobody(stage: &mut Stage) -> Script {
    stage.supervisor()?;
    stage.leaves()
}

fn recovers(stage: &mut Stage) -> Script {
    let mut old = stage.stand_in_incumbent()?;
    stage.takes_lock("O")?;
    stage.supervisor()?;
    let mut o = old.accepts()?;
    o.hello(Side::Incumbent, BOTH)?;
    o.closes()?;
    stage.leaves()
}

fn evicts(stage: &mut Stage) -> Script {
    // It stands in for a successor that has the lock and hangs; it has no control path yet.
    let mut new = stage.stand_in_incumbent()?;
    stage.takes_lock("N")?;
    stage.journaled(new.pid(), new.pid())?;
    stage.supervisor()?;
    new.is_killed()?;
    stage.gives_lock("N");
    stage.started_afresh()?;
    stage.leaves()
}

fn afresh(stage: &mut Stage) -> Script {
    stage.supervisor()?;
    stage.started_afresh()?;
    stage.leaves()?;
    stage.journal();
    Ok(())
}

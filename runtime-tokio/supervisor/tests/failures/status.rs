//! Questions are answered at once, whatever the daemon is at; and whoever asks in a bad way does not
//! disturb it.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use handoff_std::SpawnSpec;
use handoff_std::ask::{self, DaemonPhase, DaemonStatus};
use handoff_std::core::wire::{Message, StatusPhase};

use crate::common::daemon::REVISIONS;
use crate::common::wire::Peer;
use crate::common::{
    PATIENCE, World, committed, counts, ms, quick, rolled_back, stand_in, wait_until,
};

fn daemon(world: &World, flags: &str) -> SpawnSpec {
    world.stand_in(stand_in::DAEMON, &[(stand_in::FLAGS, flags)])
}

fn status(world: &World) -> DaemonStatus {
    ask::status(world.control()).unwrap()
}

fn assert_phase(status: &DaemonStatus, phase: StatusPhase) {
    assert_eq!(status.phase, DaemonPhase::Known(phase));
}

// Section 5: the hook is blocked until the questions have been answered, so no answer waits for it.
fn answered_in_a_hook(hook: &str, phase: StatusPhase) {
    let world = World::new();
    let old = world.start(&daemon(&world, &format!("hold-{hook}")));
    let mut supervisor = world.supervisor();
    thread::scope(|scope| {
        let spec = quick(world.kvd(&[]));
        let handoff = scope.spawn(|| world.handoff(&mut supervisor, &{ spec }));
        world.wait_event(&format!("{hook} waits"));
        for _ in 0..3 {
            let status = status(&world);
            assert_phase(&status, phase);
            assert_eq!((status.pid, status.open_connections), (old.pid, 7));
            assert_eq!(status.revisions, REVISIONS);
            assert_eq!(ask::listeners(world.control()).unwrap().len(), 1);
        }
        world.go(hook);
        world.assert_serves(committed(&handoff.join().unwrap()));
    });
    assert!(old.wait_dead(PATIENCE));
}

#[test]
fn a_question_waits_for_the_drain_hook() {
    answered_in_a_hook("drain", StatusPhase::Draining);
}

#[test]
fn a_question_waits_for_the_seal_hook() {
    answered_in_a_hook("seal", StatusPhase::Sealing);
}

// Section 8: a snapshot that hangs is not waited for, and keeps nothing else from working: neither the
// way back from a handoff, nor the next one.
#[test]
fn a_snapshot_that_hangs_closes_the_daemon() {
    let world = World::new();
    let old = world.start(&daemon(&world, "hold-snapshot"));
    for _ in 0..3 {
        let status = status(&world);
        assert_phase(&status, StatusPhase::Serving);
        assert_eq!((status.pid, status.generation), (old.pid, 1));
        assert_eq!(status.open_connections, 0);
        assert!(status.revisions.is_empty());
    }
    assert_eq!(world.told("snapshot waits"), 1, "asked once");
    let mut supervisor = world.supervisor();
    for _ in 0..2 {
        let spec = quick(daemon(&world, "fail-open"));
        rolled_back(&world.handoff(&mut supervisor, &spec));
        world.assert_serves(old.pid);
        let serving = || status(&world).phase == DaemonPhase::Known(StatusPhase::Serving);
        assert!(wait_until(PATIENCE, serving), "{}", status(&world).phase);
    }
    world.assert_next_handoff_works();
    assert!(old.wait_dead(PATIENCE));
}

/// Asks without end, until told to stop. The answers are read, or left.
fn nag(world: &World, id: u8, reads: bool, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let control = world.control();
        // Nobody may be there for a moment, or nobody who has room for one more.
        let Some(mut peer) = Peer::try_speaking(2, &control, id) else {
            thread::sleep(ms(1));
            continue;
        };
        while !stop.load(Ordering::Relaxed) && peer.try_send(&Message::StatusRequest).is_ok() {
            if reads {
                match peer.answer() {
                    Some(answer) => assert!(matches!(answer.message(), Message::Status { .. })),
                    None => break,
                }
            } else {
                // Until the question before is answered, or an answer can be sent no more.
                thread::sleep(ms(2));
            }
        }
    }
}

// Section 6: neither costs anybody else anything.
#[test]
fn peers_that_ask_without_end_block_a_handoff() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for id in 0..4 {
            let (world, stop) = (&world, &stop);
            scope.spawn(move || nag(world, id, id % 2 == 0, stop));
        }
        let mut supervisor = world.supervisor();
        let spec = quick(world.kvd(&["--fail", "open"]));
        let failed = world.handoff(&mut supervisor, &spec);
        world.assert_serves(old.pid);
        let report = world.handoff(&mut supervisor, &quick(world.kvd(&[])));
        stop.store(true, Ordering::Relaxed);
        rolled_back(&failed);
        world.assert_serves(committed(&report));
    });
    assert!(old.wait_dead(PATIENCE));
    let descriptors = |pid| {
        assert!(wait_until(PATIENCE, || counts::is_settled(pid)));
        counts::descriptors(pid)
    };
    let asked = descriptors(world.holder().unwrap());
    let left_alone = descriptors(world.assert_next_handoff_works().pid);
    assert_eq!(asked, left_alone);
}

// Section 6: its own answers are all that it loses, and the daemon keeps no more of them than there is
// room for.
#[test]
fn a_peer_that_never_reads_is_answered_without_end() {
    let world = World::new();
    let old = world.start(&daemon(&world, ""));
    let memory = || {
        let text = std::fs::read_to_string(format!("/proc/{}/status", old.pid)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line
            .unwrap()
            .trim()
            .strip_suffix(" kB")
            .unwrap()
            .parse()
            .unwrap();
        kib
    };
    let mut peer = Peer::speaking(2, &world.control(), 1);
    // More than one question at a time is against the protocol, so each follows an answer that another
    // session got meanwhile.
    peer.stream.set_nonblocking(true).unwrap();
    let before = memory();
    let frame = peer.frame(&Message::StatusRequest);
    let mut refused = 0;
    for _ in 0..3000 {
        match peer.stream.write(&frame) {
            Ok(_) => {}
            Err(_) => refused += 1,
        }
        assert_phase(&status(&world), StatusPhase::Serving);
        if refused > 3 {
            break;
        }
    }
    assert!(
        memory() < before + 8 * 1024,
        "from {before} to {} KiB",
        memory()
    );
    world.assert_serves(old.pid);
    world.assert_next_handoff_works();
}

// Section 5: the second comes before the first is answered. The session ends, and no other.
#[test]
fn two_questions_at_once_end_more_than_their_session() {
    let world = World::new();
    let old = world.start(&daemon(&world, "hold-snapshot"));
    let mut bystander = Peer::speaking(2, &world.control(), 1);
    let mut peer = Peer::speaking(2, &world.control(), 2);
    let one = peer.frame(&Message::StatusRequest);
    let both = [&*one, &*one].concat();
    peer.stream.write_all(&both).unwrap();
    assert!(peer.answer().is_none(), "the session ends");
    bystander.send(&Message::StatusRequest);
    let answer = bystander.answer().unwrap();
    assert!(matches!(answer.message(), Message::Status { .. }));
    world.assert_serves(old.pid);
    world.assert_next_handoff_works();
}

// A question that its version does not know ends the session, too.
#[test]
fn a_question_in_version_1_ends_more_than_its_session() {
    let world = World::new();
    let old = world.start(&daemon(&world, ""));
    let mut peer = Peer::speaking(2, &world.control(), 1);
    let mut frame = peer.frame(&Message::StatusRequest);
    peer.send(&Message::StatusRequest);
    assert!(peer.answer().is_some());
    let mut older = Peer::speaking(1, &world.control(), 2);
    frame[4] = 1;
    older.stream.write_all(&frame).unwrap();
    assert!(older.answer().is_none(), "the session ends");
    peer.send(&Message::StatusRequest);
    assert!(peer.answer().is_some());
    world.assert_serves(old.pid);
    world.assert_next_handoff_works();
}

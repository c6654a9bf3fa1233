//! The incumbent dies, its hooks fail or hang, or its control socket is in trouble.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use handoff_std::core::supervisor::Phase;
use handoff_std::core::wire::{Hello, Message, Side, VersionRange};
use handoff_std::{DataDirLock, Process};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::common::wire::{self, Peer};
use crate::common::{
    PATIENCE, World, client, committed, kill, later, ms, on_phase, quick, rolled_back, stand_in,
    wait_until,
};

// C6: the successor is healthy, and the incumbent is dead.
#[test]
fn an_incumbent_killed_in_its_hooks_leaves_nobody_serving() {
    for (phase, delay) in [
        (Phase::Draining, "--drain-delay-ms"),
        (Phase::Sealing, "--seal-delay-ms"),
    ] {
        let world = World::new();
        let old = world.start(&world.kvd(&[delay, "600000"]));
        client::set(world.address(), "kept", "1").unwrap();
        let mut supervisor = on_phase(world.supervisor(), phase, move || {
            later(ms(100), move || kill(old));
        });
        let report = world.handoff(&mut supervisor, &quick(world.kvd(&[])));
        world.assert_serves(committed(&report));
        assert_eq!(client::get(world.address(), "kept").as_deref(), Ok("1"));
        world.assert_next_handoff_works();
    }
}

// C6: the lock is free, but nobody has said so. The incumbent here is this test.
#[test]
fn an_incumbent_dead_between_release_and_seal_complete_leaves_nobody_serving() {
    let world = World::new();
    fs::create_dir_all(world.path("p")).unwrap();
    let lock = DataDirLock::acquire(&world.data()).unwrap();
    let listener = UnixListener::bind(world.control()).unwrap();
    let incumbent = thread::spawn(move || {
        let mut peer = Peer::new(listener.accept().unwrap().0, 0);
        peer.send(&Message::Hello(Hello {
            side: Side::Incumbent,
            pid: std::process::id(),
            build_id: b"",
            versions: VersionRange::V1,
            capabilities: 0,
        }));
        for answer in [
            None,
            Some(Message::Drained {
                open_connections: 0,
                accept_closed: true,
            }),
        ] {
            peer.answer().unwrap();
            if let Some(answer) = answer {
                peer.send(&answer);
            }
        }
        // HelloAck and PrepareHandoff were those; this is SealRequest.
        let asked = peer.answer().unwrap();
        assert!(matches!(asked.message(), Message::SealRequest { .. }));
        lock.release();
    });
    let report = world.handoff(&mut world.supervisor(), &quick(world.kvd(&[])));
    incumbent.join().unwrap();
    world.assert_serves(committed(&report));
    world.assert_next_handoff_works();
}

// C1: drain fails after it stopped accepting, or panics before it did anything; so does seal.
#[test]
fn a_hook_that_fails_or_panics_closes_the_daemon_or_frees_the_lock() {
    for (fault, hook) in [
        ("--fail", "drain"),
        ("--fail", "seal"),
        ("--panic", "drain"),
        ("--panic", "seal"),
    ] {
        let world = World::new();
        let old = world.start(&world.kvd(&[fault, hook]));
        client::set(world.address(), "kept", "1").unwrap();
        let report = world.handoff(&mut world.supervisor(), &quick(world.kvd(&[])));
        let why = rolled_back(&report);
        assert!(why.contains(&format!("{hook} failed")), "{why}");
        world.assert_serves(old.pid);
        assert_eq!(client::get(world.address(), "kept").as_deref(), Ok("1"));
        assert_second_daemon_is_refused(&world, old);
    }
}

/// A second daemon on the same directory says who holds the lock, and ends.
fn assert_second_daemon_is_refused(world: &World, holder: Process) {
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_handoff"))
        .args(["kvd", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(world.data())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert!(!status.success());
    assert!(
        said.contains(&format!("is held by pid {}", holder.pid)),
        "{said}"
    );
}

// Promise 5: no descriptors are left, so the control socket cannot be accepted from.
#[test]
fn a_daemon_out_of_descriptors_gives_up_its_lock_or_its_control_path() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let pid = Pid::from_raw(i32::try_from(old.pid).unwrap());
    let limits = getrlimit(Resource::Nofile);
    let open = fs::read_dir(format!("/proc/{}/fd", old.pid))
        .unwrap()
        .count() as u64;
    let tight = Rlimit {
        current: Some(open),
        ..limits
    };
    prlimit(pid, Resource::Nofile, tight).unwrap();
    let peers: Vec<_> = (0..20)
        .map(|_| std::os::unix::net::UnixStream::connect(world.control()).unwrap())
        .collect();
    thread::sleep(ms(300));
    assert!(old.is_alive());
    assert_second_daemon_is_refused(&world, old);
    drop(peers);
    // The descriptor kept for bad times is enough for a look.
    assert!(wait_until(PATIENCE, || wire::who_answers(&world.control())
        == Some(old.pid)));
    prlimit(pid, Resource::Nofile, limits).unwrap();
    world.assert_serves(old.pid);
    world.assert_next_handoff_works();
}

// Section 6: Abort and ResumeAfterAbort are acted on while drain runs.
#[test]
fn an_aborted_drain_goes_on_to_its_end() {
    let world = World::new();
    let old = world.start(&world.kvd(&["--drain-delay-ms", "600000"]));
    for (number, resume) in [(1, false), (2, true)] {
        let mut peer = Peer::preparing(&world.control(), number, ms(60_000));
        assert!(wait_until(PATIENCE, || {
            client::set_within(world.address(), "k", "v", ms(50)).is_err()
        }));
        let (id, begun) = (peer.id, Instant::now());
        peer.send(&if resume {
            Message::ResumeAfterAbort { id }
        } else {
            Message::Abort { id, reason: "" }
        });
        world.assert_serves(old.pid);
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}

// Section 6: a message that the state does not allow ends the session, in the hook and after it.
#[test]
fn a_second_seal_request_seals_twice() {
    for flags in ["", "slow-seal"] {
        let world = World::new();
        let daemon = world.stand_in(stand_in::DAEMON, &[(stand_in::FLAGS, flags)]);
        let old = world.start(&daemon);
        let mut peer = Peer::preparing(&world.control(), 1, ms(60_000));
        peer.seal();
        if flags.is_empty() {
            let sealed = peer.answer().unwrap();
            assert!(matches!(sealed.message(), Message::SealComplete { .. }));
        }
        peer.send(&Message::SealRequest { id: peer.id });
        assert!(peer.answer().is_none(), "the session ends");
        world.assert_serves(old.pid);
        assert_eq!(world.told("seal hook"), 1, "{:?}", world.events());
    }
}

// C10: killed and replaced, if that is what the supervisor was told.
#[test]
fn an_incumbent_stuck_in_drain_keeps_a_supervisor_that_may_kill_it_waiting() {
    let world = World::new();
    let old = world.start(&world.kvd(&["--ignore-drain-deadline"]));
    let mut spec = quick(world.kvd(&[]));
    spec.drain_grace = ms(100);
    spec.kill_stuck_incumbent = true;
    let report = world.handoff(&mut world.supervisor(), &spec);
    world.assert_serves(committed(&report));
    assert!(!old.is_alive());
    world.assert_next_handoff_works();
}

// C10, C1: rolled back, and a drain that does not come back does not keep the daemon closed.
#[test]
fn an_incumbent_stuck_in_drain_stays_closed() {
    let world = World::new();
    let old = world.start(&world.kvd(&["--ignore-drain-deadline"]));
    let mut spec = quick(world.kvd(&[]));
    spec.drain_grace = ms(100);
    let report = world.handoff(&mut world.supervisor(), &spec);
    let why = rolled_back(&report);
    assert!(why.contains("deadline"), "{why}");
    world.assert_serves(old.pid);
}

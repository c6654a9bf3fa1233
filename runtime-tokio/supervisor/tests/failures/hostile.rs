//! Peers of our own user that hang, drip, lie and crowd on the control path.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use handoff_std::core::supervisor::Phase;
use handoff_std::core::wire::{MAX_FRAME_LEN, Message};

use crate::common::wire::Peer;
use crate::common::{
    PATIENCE, World, client, committed, ms, on_phase, quick, rolled_back, stand_in,
};

/// The first bytes of a frame of so many bytes.
fn header(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_le_bytes()
}

/// Sends a byte of an endless frame now and then, until told to stop or cut off.
fn drip(mut stream: UnixStream, stop: &Arc<AtomicBool>) {
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        let mut going = stream.write_all(&header(MAX_FRAME_LEN)).is_ok();
        while going && !stop.load(Ordering::Relaxed) {
            thread::sleep(ms(20));
            going = stream.write_all(&[0]).is_ok();
        }
    });
}

fn connect(control: &Path) -> UnixStream {
    UnixStream::connect(control).unwrap()
}

// Section 6: several sessions at a time, and the oldest idle ones go first.
#[test]
fn stalled_dripping_and_crowding_peers_block_a_handoff() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let control = world.control();
    let stop = Arc::new(AtomicBool::new(false));

    let silent: Vec<_> = (0..100).map(|_| connect(&control)).collect();
    let hanging: Vec<_> = (1..10).map(|id| Peer::acknowledged(&control, id)).collect();
    drip(connect(&control), &stop);
    for id in 20..24 {
        drip(Peer::acknowledged(&control, id).stream, &stop);
    }
    let mut liars = Vec::new();
    for bytes in [
        &[0xff; 4096][..],
        &header(0),
        &header(MAX_FRAME_LEN + 1),
        b"\x02\0\0\0\x09\0",
    ] {
        let mut liar = connect(&control);
        liar.write_all(bytes).unwrap();
        liars.push(liar);
    }

    let report = world.handoff(&mut world.supervisor(), &quick(world.kvd(&[])));
    world.assert_serves(committed(&report));
    assert!(old.wait_dead(PATIENCE));
    stop.store(true, Ordering::Relaxed);
    drop((silent, hanging, liars));
}

// Section 6: the session that owns the handoff is never the one that goes.
#[test]
fn peers_that_crowd_in_during_a_drain_push_the_supervisor_out() {
    let world = World::new();
    world.start(&world.kvd(&["--drain-delay-ms", "300"]));
    let control = world.control();
    let mut supervisor = on_phase(world.supervisor(), Phase::Draining, move || {
        let control = control.clone();
        thread::spawn(move || {
            thread::sleep(ms(50));
            let silent: Vec<_> = (0..50).map(|_| connect(&control)).collect();
            let hanging: Vec<_> = (1..50).map(|id| Peer::acknowledged(&control, id)).collect();
            thread::sleep(ms(500));
            drop((silent, hanging));
        });
    });
    let report = world.handoff(&mut supervisor, &quick(world.kvd(&[])));
    world.assert_serves(committed(&report));
}

// Section 6: the error ends the session that made it, and no other.
#[test]
fn a_malformed_frame_ends_more_than_its_session() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let bystander = Peer::acknowledged(&world.control(), 1);
    for bytes in [
        // Garbage; no message; one byte too long; an unknown message; Commit before HelloAck.
        &[0xff; 64][..],
        &header(0),
        &header(MAX_FRAME_LEN + 1),
        b"\x03\0\0\0\x01\0\x63",
        b"\x14\0\0\0\x01\0\x0a\x10aaaaaaaaaaaaaaaa",
    ] {
        let mut stream = connect(&world.control());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        // Hello was sent already; then the end. A reset is an end, too.
        let ended = stream.read_to_end(&mut Vec::new());
        let late = |e: &std::io::Error| e.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!ended.as_ref().is_err_and(late), "{bytes:?}: {ended:?}");
    }
    let mut bystander = bystander;
    bystander.send(&Message::Heartbeat { ts_ms: 0 });
    let answer = bystander.receive().unwrap();
    assert!(matches!(answer.message(), Message::Heartbeat { .. }));
    world.assert_serves(old.pid);
}

// C11: it prepares a handoff and hangs. The daemon is back soon after the deadline it announced.
#[test]
fn a_peer_that_prepares_and_hangs_closes_the_daemon_for_good() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let begun = Instant::now();
    let hanging = Peer::preparing(&world.control(), 1, ms(500));
    // Meanwhile another is told so at once, and not queued behind it.
    let report = world.handoff(&mut world.supervisor(), &quick(world.kvd(&[])));
    let why = rolled_back(&report);
    assert!(why.contains("another handoff is in progress"), "{why}");
    world.assert_serves(old.pid);
    assert!(begun.elapsed() < Duration::from_secs(4));
    world.assert_next_handoff_works();
    drop(hanging);
}

// C11: a deadline beyond all reason does not help it, since it is its turn to speak.
#[test]
fn a_peer_that_announces_an_endless_deadline_closes_the_daemon_for_good() {
    let world = World::new();
    let daemon = world.stand_in(stand_in::DAEMON, &[(stand_in::FLAGS, "short-times")]);
    let old = world.start(&daemon);
    for seal in [false, true] {
        let mut hanging = Peer::preparing(&world.control(), 1, Duration::from_millis(u64::MAX));
        if seal {
            hanging.seal();
        }
        assert!(hanging.answer().is_some());
        assert!(client::set_within(world.address(), "k", "v", ms(50)).is_err());
        let closed = Instant::now();
        world.assert_serves(old.pid);
        assert!(closed.elapsed() < Duration::from_secs(3));
    }
}

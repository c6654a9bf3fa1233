//! Descriptors where none belong, as many as fit: they cost the session, and nothing else.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use handoff_std::Supervisor;
use handoff_std::core::wire::{Hello, Message, Side, VersionRange};
use handoff_std::host::descriptors;

use crate::common::asker::QUESTIONS;
use crate::common::wire::Peer;
use crate::common::{
    PATIENCE, World, committed, counts, hostile, quick, rolled_back, stand_in, wait_until,
};

/// Before and after `HelloAck`, with messages and with garbage.
const KINDS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

#[test]
fn descriptors_on_the_control_path_stay_with_the_daemon() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    assert!(wait_until(PATIENCE, || counts::is_settled(old.pid)));
    let before = counts::descriptors(old.pid);
    let none_left = || counts::is_settled(old.pid) && counts::descriptors(old.pid) <= before;
    for (acknowledge, garbage) in KINDS {
        hostile::flood_control(&world.control(), acknowledge, garbage);
        assert!(wait_until(PATIENCE, none_left));
    }

    // And meanwhile, one that fails and one that works.
    let stop = AtomicBool::new(false);
    let mut supervisor = world.supervisor();
    let flooded = |works: bool, supervisor: &mut Supervisor| {
        stop.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            for (acknowledge, garbage) in KINDS {
                let (control, stop) = (world.control(), &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        hostile::flood_control(&control, acknowledge, garbage);
                    }
                });
            }
            let fault = if works { &[][..] } else { &["--fail", "open"] };
            let report = world.handoff(supervisor, &quick(world.kvd(fault)));
            stop.store(true, Ordering::Relaxed);
            report
        })
    };
    rolled_back(&flooded(false, &mut supervisor));
    world.assert_serves(old.pid);
    assert!(wait_until(PATIENCE, none_left));
    world.assert_serves(committed(&flooded(true, &mut supervisor)));
    assert!(old.wait_dead(PATIENCE));
    world.assert_next_handoff_works();
}

// C7: the supervisor kills it, and has what it had.
#[test]
fn descriptors_on_the_successor_channel_stay_with_the_supervisor() {
    let world = World::new();
    for name in ["p", "j"] {
        std::fs::create_dir_all(world.path(name)).unwrap();
    }
    let hostile = [
        hostile::GARBAGE,
        hostile::WITH_HELLO,
        hostile::WITH_STANDBY,
        hostile::WITH_HEARTBEATS,
    ];
    // A sound one first, since what is made once, at first use, is not counted, and one at last.
    let roles: Vec<_> = [stand_in::DAEMON]
        .into_iter()
        .chain(hostile)
        .chain([stand_in::DAEMON])
        .collect();
    let supervisor = world.launch(&world.stand_in(
        stand_in::SUPERVISOR,
        &[
            (stand_in::FLAGS, "start,count"),
            (stand_in::SUCCESSOR_ROLE, &roles.join(",")),
            (stand_in::SUCCESSOR_FLAGS, ""),
        ],
    ));
    assert!(wait_until(PATIENCE, || world.told("Counts(") == roles.len()));
    assert_eq!(world.exit_code(supervisor), Some(0));
    let events = world.events();
    assert_eq!(
        world.told("Outcome(rolled back"),
        hostile.len(),
        "{events:?}"
    );
    assert_eq!(world.told("Outcome(committed"), 2, "{events:?}");
    let counts: Vec<_> = events.iter().filter(|e| e.starts_with("Counts(")).collect();
    assert!(counts.iter().all(|found| *found == counts[0]), "{counts:?}");
    world.assert_next_handoff_works();
}

/// Answers one question in this way, and waits until the session is ended.
fn answer(listener: &UnixListener, with: &[BorrowedFd<'_>], names: &[&str]) {
    let mut peer = Peer::new(listener.accept().unwrap().0, 0);
    peer.send(&Message::Hello(Hello {
        side: Side::Incumbent,
        pid: std::process::id(),
        build_id: b"",
        versions: VersionRange::SUPPORTED,
        capabilities: 0,
    }));
    let acknowledged = peer.receive().unwrap();
    assert!(matches!(
        acknowledged.message(),
        Message::HelloAck { version: 2, .. }
    ));
    let question = peer.receive().unwrap();
    assert!(matches!(question.message(), Message::ListenersRequest));
    peer.version = 2;
    let frame = peer.frame(&Message::Listeners {
        names: names.into(),
    });
    // All at once, and then more than was asked for.
    let _ = descriptors::send(&peer.stream, &frame, with);
    for _ in 0..10 {
        let _ = descriptors::send(&peer.stream, &frame, with);
    }
    assert!(peer.answer().is_none(), "the session ends");
}

// Section 8: too many, too few, none, or what does not listen.
#[test]
fn descriptors_in_an_answer_stay_with_whoever_asked() {
    let world = World::new();
    std::fs::create_dir_all(world.path("p")).unwrap();
    let listener = UnixListener::bind(world.control()).unwrap();
    let asker = world.launch(&world.stand_in(stand_in::ASKER, &[(stand_in::FLAGS, "hold-good")]));
    let good = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = File::open("/dev/null").unwrap();
    let (good, file) = (good.as_fd(), file.as_fd());
    let answers: [(&[BorrowedFd<'_>], &[&str]); QUESTIONS] = [
        (&[good, good], &["a", "b"]),
        (&[good], &["a", "b"]),
        (&[], &["a"]),
        (&[good; 253], &["a", "b"]),
        (&[good], &[]),
        (&[file, good, file], &["a", "b", "c"]),
        (&[file; 253], &["a"; 253]),
    ];
    for (with, names) in answers {
        answer(&listener, with, names);
    }
    drop(listener);
    world.wait_event("Descriptors(");
    let events = world.events();
    for (told, words) in events.iter().zip([
        "2 listeners",
        "1 descriptor",
        "0 descriptors",
        "253 descriptors",
        "1 descriptor",
        "1 listeners, others unusable",
        "0 listeners, others unusable",
    ]) {
        assert!(told.contains(words), "{words}: {events:?}");
    }
    let counts = &events[QUESTIONS];
    let (before, after) = counts
        .trim_start_matches("Descriptors(")
        .trim_end_matches(')')
        .split_once(", ")
        .unwrap();
    assert_eq!(before, after, "{events:?}");

    // It is none the worse for it.
    world.start(&world.kvd(&[]));
    world.go("good");
    world.wait_event("Last(1)");
    assert_eq!(world.exit_code(asker), Some(0));
    world.assert_next_handoff_works();
}

//! Real processes are replaced, by the supervisor of this crate and by the blocking one, and things go
//! wrong.

mod daemon;
mod faults;
mod household;
mod on_std;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use handoff_mio::SupervisorEvent;
use handoff_mio::core::wire::StatusPhase;
use handoff_std::ask;

use daemon::{LONG_SEAL, NOTHING, ON_STD, SEALS_FOR_LONG};
use household::household;

/// Daemons of either kind hand over to one another under a visitor who is never disappointed.
#[test]
fn either_kind_to_either() {
    let mut house = household();
    let stop = Arc::new(AtomicBool::new(false));
    let (address, stopped) = (house.address, Arc::clone(&stop));
    let visitor = std::thread::spawn(move || {
        let mut last = 0;
        while !stopped.load(Ordering::Acquire) {
            let mut answer = String::new();
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
            let count = answer.trim().parse::<u64>().unwrap();
            assert_eq!(count, last + 1, "no visit is lost or counted twice");
            last = count;
        }
        last
    });
    for kind in [NOTHING, ON_STD, ON_STD, NOTHING, NOTHING] {
        house.replace(kind);
    }
    stop.store(true, Ordering::Release);
    let visits = visitor.join().unwrap();
    assert_eq!(house.visit(), visits + 1);
    assert!(!house.dir.path().join("journal").exists());
    house.assert_only_daemon();
}

/// The blocking supervisor drives daemons of this crate as well.
#[test]
fn with_the_blocking_supervisor() {
    let mut house = household();
    let control = house.dir.path().join("control");
    let spec = house.spec(NOTHING);
    let listener = ask::listeners(&control).unwrap().remove(0).fd;
    let mut blocking =
        handoff_std::Supervisor::new(&control, house.dir.path(), spec.successor.clone())
            .unwrap()
            .with_listener("main", listener);
    let report = blocking.handoff(&spec).unwrap();
    house.assert_committed(report);
    assert_eq!(house.visit(), 1);
}

#[test]
fn a_daemon_says_how_it_is_and_keeps_its_listeners() {
    let house = household();
    let control = house.dir.path().join("control");
    let status = ask::status(&control).unwrap();
    assert_eq!(status.pid, house.daemon.as_ref().unwrap().id());
    assert_eq!(status.phase, StatusPhase::Serving.number().into());
    assert_eq!((status.generation, &*status.revisions), (1, &[42][..]));
    let kept = ask::listeners(&control).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].name, "main");
    assert_eq!(kept[0].address, house.address.to_string());
}

/// A seal of many turns says how far it is, and is asked how it is meanwhile.
#[test]
fn a_seal_of_many_turns() {
    let mut house = household();
    house.replace(SEALS_FOR_LONG);
    let reports = Arc::new(AtomicU32::new(0));
    let (counted, control) = (Arc::clone(&reports), house.dir.path().join("control"));
    house.observe(move |event| {
        if let SupervisorEvent::Progress(progress) = event {
            assert_eq!(progress.total, LONG_SEAL);
            if counted.fetch_add(1, Ordering::Relaxed) == 0 {
                let status = ask::status(&control).unwrap();
                assert_eq!(status.phase, StatusPhase::Sealing.number().into());
            }
        }
    });
    house.replace(NOTHING);
    assert!(reports.load(Ordering::Relaxed) > 1);
    assert_eq!(house.visit(), 1);
}

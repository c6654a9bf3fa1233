//! Real processes are replaced, by the supervisor of this crate and by the blocking one; things go
//! wrong; futures are dropped.

mod daemon;
mod drops;
mod faults;
mod household;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use handoff_tokio::ask;
use handoff_tokio::core::wire::StatusPhase;

use daemon::{MANY_THREADS, NOTHING, ONE_THREAD, STD};
use household::Household;

/// Daemons of every kind hand over to one another under a visitor who is never disappointed.
async fn every_kind_to_every_other() {
    let mut house = Household::new(STD, NOTHING).await;
    let stop = Arc::new(AtomicBool::new(false));
    let address = house.address;
    let visitor = tokio::task::spawn_blocking({
        let stop = Arc::clone(&stop);
        move || {
            let mut last = 0;
            while !stop.load(Ordering::Acquire) {
                let mut answer = String::new();
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
                let count = answer.trim().parse::<u64>().unwrap();
                assert_eq!(count, last + 1, "no visit is lost or counted twice");
                last = count;
            }
            last
        }
    });
    for runtime in [
        ONE_THREAD,
        ONE_THREAD,
        MANY_THREADS,
        MANY_THREADS,
        STD,
        MANY_THREADS,
        ONE_THREAD,
        STD,
        STD,
    ] {
        house.replace(runtime).await;
    }
    stop.store(true, Ordering::Release);
    let visits = visitor.await.unwrap();
    assert_eq!(house.visit().await, visits + 1);
    assert!(!house.dir.path().join("journal").exists());
    house.assert_only_daemon().await;
}

#[tokio::test]
async fn every_kind_on_one_thread() {
    every_kind_to_every_other().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_on_many_threads() {
    every_kind_to_every_other().await;
}

/// The blocking supervisor drives daemons of this crate as well.
#[tokio::test]
async fn with_the_blocking_supervisor() {
    let house = Household::new(ONE_THREAD, NOTHING).await;
    let control = house.dir.path().join("control");
    let spec = house.spec(MANY_THREADS, NOTHING);
    let listener = ask::listeners(&control).await.unwrap().remove(0).fd;
    let mut blocking =
        handoff_std::Supervisor::new(&control, house.dir.path(), spec.successor.clone())
            .unwrap()
            .with_listener("main", listener);
    let report = tokio::task::spawn_blocking(move || blocking.handoff(&spec).unwrap());
    let mut report = report.await.unwrap();
    assert!(report.committed(), "{}", report.outcome);
    assert_eq!(house.visit().await, 1);
    let mut successor = report.child.take().unwrap();
    successor.kill().unwrap();
    handoff_tokio::wait(&mut successor).await.unwrap();
}

#[tokio::test]
async fn a_daemon_says_how_it_is_and_keeps_its_listeners() {
    let house = Household::new(ONE_THREAD, NOTHING).await;
    let control = house.dir.path().join("control");
    let status = ask::status(&control).await.unwrap();
    assert_eq!(status.pid, house.daemon.as_ref().unwrap().id());
    assert_eq!(status.phase, StatusPhase::Serving.number().into());
    assert_eq!(status.generation, 1);
    let kept = ask::listeners(&control).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].name, "main");
    assert_eq!(kept[0].address, house.address.to_string());
    ask::status(house.dir.path().join("nobody"))
        .await
        .unwrap_err();
}

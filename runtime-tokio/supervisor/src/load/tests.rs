//! The load generator against the daemon, and what a handoff looks like to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use handoff_std::hooks::Drainable;

use super::{Counters, Load, LoadConfig};
use crate::kvd::Kvd;
use crate::kvd::tests::{args, context};

const LONG: Duration = Duration::from_secs(20);

fn config() -> LoadConfig {
    LoadConfig {
        think_time: Duration::from_millis(1),
        ..LoadConfig::default()
    }
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

fn open(dir: &Path, listener: &TcpListener) -> Kvd {
    let kvd = Kvd::open(&args(""), dir).unwrap();
    kvd.serve_on(listener.try_clone().unwrap()).unwrap();
    kvd
}

/// Waits until so many more writes were acknowledged.
#[track_caller]
fn await_writes(load: &Load, more: u64) {
    let goal = load.counters().writes + more;
    await_that(|| load.counters().writes >= goal);
}

#[track_caller]
fn await_that(is_so: impl Fn() -> bool) {
    let until = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < until, "it did not come true");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Nothing that a user of the daemon would complain about.
#[track_caller]
fn expect_no_trouble(load: &Load) {
    let Counters {
        refused,
        failed,
        lost,
        ..
    } = load.counters();
    assert_eq!(
        (refused, failed, lost),
        (0, 0, 0),
        "{:?}",
        load.last_failure()
    );
}

#[test]
fn everything_acknowledged_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, addr) = listen();
    let kvd = open(dir.path(), &listener);
    let begun = Instant::now();
    let load = Load::start(addr, &config()).unwrap();
    await_writes(&load, 200);
    await_that(|| load.counters().reads > 0);
    expect_no_trouble(&load);
    let counters = load.counters();
    assert_eq!(counters.retried, 0);
    assert!(counters.connects > 4, "workers that churn connect again");
    let now = Instant::now();
    assert!(load.write_pause(begun, now) < now - begun);
    assert!(load.connect_latency(begun, now).count > 4);
    let acked = load.stop();

    let verified = acked.verify(addr).unwrap();
    assert_eq!((verified.checked, verified.lost), (acked.count(), 0));
    kvd.shutdown().unwrap();

    let kvd = open(dir.path(), &listener);
    assert_eq!(acked.verify(addr).unwrap(), verified);
    kvd.shutdown().unwrap();
}

#[test]
fn what_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, addr) = listen();
    let kvd = open(dir.path(), &listener);
    let load = Load::start(addr, &config()).unwrap();
    await_writes(&load, 20);
    let acked = load.stop();
    kvd.shutdown().unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    let kvd = open(elsewhere.path(), &listener);
    let verified = acked.verify(addr).unwrap();
    assert_eq!(verified.lost, acked.count());
    assert!(verified.examples.contains(&"load:0:0".to_owned()));
    kvd.shutdown().unwrap();
}

#[test]
fn handoffs_that_are_given_up_trouble_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, addr) = listen();
    let kvd = open(dir.path(), &listener);
    let load = Load::start(addr, &config()).unwrap();
    for round in 0..8 {
        await_writes(&load, 50);
        kvd.drain(&context()).unwrap();
        if round % 2 == 0 {
            kvd.seal(&context()).unwrap();
        }
        kvd.resume().unwrap();
        kvd.resume().unwrap();
    }
    await_writes(&load, 50);
    expect_no_trouble(&load);
    assert!(load.counters().retried > 0, "persistent clients were moved");
    let acked = load.stop();
    assert_eq!(acked.verify(addr).unwrap().lost, 0);
    kvd.shutdown().unwrap();
}

#[test]
fn handoffs_that_succeed_trouble_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, addr) = listen();
    let mut incumbent = open(dir.path(), &listener);
    let load = Load::start(addr, &config()).unwrap();
    for _ in 0..8 {
        await_writes(&load, 50);
        incumbent.drain(&context()).unwrap();
        let sealed = incumbent.seal(&context()).unwrap();
        let successor = open(dir.path(), &listener);
        assert!(successor.snapshot().revisions >= sealed.revisions);
        incumbent.shutdown().unwrap();
        incumbent = successor;
    }
    await_writes(&load, 50);
    expect_no_trouble(&load);
    let acked = load.stop();
    assert_eq!(acked.verify(addr).unwrap().lost, 0);
    incumbent.shutdown().unwrap();
}

#[test]
fn trouble_is_seen() {
    let one = LoadConfig {
        persistent: 1,
        churn: 0,
        ..config()
    };
    // Nobody listens.
    let (listener, addr) = listen();
    drop(listener);
    let load = Load::start(addr, &one).unwrap();
    await_that(|| load.counters().refused > 1);
    drop(load);

    // The server closes in the middle of a reply, then answers with an error, then forgets.
    let (listener, addr) = listen();
    let load = Load::start(addr, &one).unwrap();
    let mut request = [0; 4096];
    let (mut first, _) = listener.accept().unwrap();
    assert!(first.read(&mut request).unwrap() > 0);
    first.write_all(b"+O").unwrap();
    drop(first);
    let (mut second, _) = listener.accept().unwrap();
    assert!(second.read(&mut request).unwrap() > 0);
    second.write_all(b"-ERR no\r\n").unwrap();
    await_that(|| load.counters().failed == 1);
    assert!(load.last_failure().unwrap().contains("ERR no"));
    while load.counters().lost == 0 {
        let length = second.read(&mut request).unwrap();
        let is_get = request[..length].windows(3).any(|word| word == b"GET");
        let reply: &[u8] = if is_get { b"$-1\r\n" } else { b"+OK\r\n" };
        second.write_all(reply).unwrap();
        if is_get {
            await_that(|| load.counters().lost > 0);
        }
    }
    assert_eq!(load.counters().retried, 1);
    load.stop();
}

#[test]
fn other_machines_are_left_alone() {
    let addr = "192.0.2.1:6379".parse().unwrap();
    assert!(Load::start(addr, &config()).is_err());
}

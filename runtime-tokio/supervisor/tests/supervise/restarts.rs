//! A supervisor that is killed or replaced, and what becomes of its daemon and of its listeners.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use handoff_std::host::{Process, Signal};

use super::common::{published, stand_in};
use super::talk::{ask, assert_kept, assert_set, info, info_of_another};
use super::world::{ANY_PORT, Held, World, assert_committed, kill, wait_for};

/// Visits a port before `play`, again and again while it goes on, and after it; no connection may be
/// refused.
fn visited<T>(port: u16, play: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    visit(port);
    thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                visit(port);
                thread::sleep(Duration::from_millis(1));
            }
        });
        // Also if it panics.
        let stop = Stop(&over);
        let played = play();
        drop(stop);
        visitor.join().unwrap();
        visit(port);
        played
    })
}

/// A client that has gone before it is answered. Whether it is answered, others look at.
fn visit(port: u16) {
    match TcpStream::connect(("127.0.0.1", port)) {
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => panic!("a connection is refused"),
        _ => {}
    }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn a_restarted_supervisor_with_its_listeners_goes_on() {
    let world = World::new();
    let held = Held::new();
    let port = held.port();
    let a = world.binary("a", "");
    let supervisor = world.supervise(&a, &ANY_PORT, &held.pass());
    let first = info(port);
    assert_set(port, "k");
    supervisor.kill();

    let supervisor = world.supervise(&a, &ANY_PORT, &held.pass());
    supervisor.wait_log(&format!("pid {} serves", first.pid));
    assert_eq!(info(port).pid, first.pid);
    assert_committed(&world.handoff_to(&world.binary("b", "")));
    let second = info(port);
    assert_eq!(second.version, "b");
    supervisor.kill();

    // A daemon that is not its child dies.
    let supervisor = world.supervise(&a, &ANY_PORT, &held.pass());
    supervisor.wait_log(&format!("pid {} serves", second.pid));
    kill(second.process());
    let third = info_of_another(port, second.pid);
    assert_eq!(third.version, "b");
    assert_kept(port, "k");
    assert_committed(&world.handoff_to(&a));
    assert_eq!(info(port).version, "a");
}

// Killed in the moment of the commit: it has not even answered whoever asked for the handoff.
#[test]
fn a_supervisor_killed_when_it_has_committed_knows_the_current_binary() {
    let world = World::new();
    let a = world.binary("a", "");
    let supervisor = world.supervise(&a, &ANY_PORT, &[]);
    let port = supervisor.port();
    supervisor.wait_log("outcome=started");
    assert_set(port, "k");
    let _client = world.order(&format!("handoff {}", world.binary("b", "").display()));
    supervisor.wait_log("outcome=committed");
    supervisor.kill();
    let supervisor = world.supervise(&a, &ANY_PORT, &[]);
    let second = info(port);
    assert_eq!(second.version, "b");
    supervisor.wait_log(&format!("pid {} serves", second.pid));
    kill(second.process());
    assert_eq!(info_of_another(port, second.pid).version, "b");
}

#[test]
fn a_killed_supervisor_gets_its_listeners_back() {
    let world = World::new();
    let a = world.binary("a", "");
    let supervisor = world.supervise(&a, &ANY_PORT, &[]);
    let port = supervisor.port();
    let first = info(port);
    assert_set(port, "k");
    let mut supervisor = visited(port, || {
        supervisor.kill();
        let supervisor = world.supervise(&a, &ANY_PORT, &[]);
        supervisor.wait_log("given back by the daemon");
        assert_eq!(supervisor.port(), port);
        supervisor.wait_log(&format!("pid {} serves", first.pid));
        // It is not a child of its supervisor, and is started again all the same.
        kill(first.process());
        let second = info_of_another(port, first.pid);
        assert_kept(port, "k");
        assert_committed(&world.handoff_to(&world.binary("b", "")));
        // The listeners came from another process than the one before, and from a successor now.
        supervisor.kill();
        let supervisor = world.supervise(&a, &ANY_PORT, &[]);
        let third = info_of_another(port, second.pid);
        assert_eq!(third.version, "b");
        assert_committed(&world.handoff_to(&a));
        supervisor
    });
    supervisor.signal(Signal::TERM);
    assert!(supervisor.wait().success());
    assert_eq!(world.processes(), []);
}

#[test]
fn a_supervisor_killed_while_the_daemon_drains_goes_on() {
    let world = World::new();
    let a = world.binary("a", "--drain-delay-ms 1000");
    let supervisor = world.supervise(&a, &ANY_PORT, &[]);
    let port = supervisor.port();
    assert_set(port, "k");
    let supervisor = visited(port, || {
        let _client = world.order(&format!("handoff {}", world.binary("b", "").display()));
        supervisor.wait_log("phase=Draining");
        supervisor.kill();
        // It serves again by itself, unless this machine is so slow that it has handed over.
        world.supervise(&a, &ANY_PORT, &[])
    });
    let second = info(port);
    supervisor.wait_log(&format!("pid {} serves", second.pid));
    assert_kept(port, "k");
    assert_committed(&world.handoff_to(&world.binary("c", "")));
    assert_eq!(info(port).version, "c");
    wait_for("the end of the others", || {
        (world.processes().len() == 2).then_some(())
    });
}

#[test]
fn a_supervisor_killed_in_a_handoff_finds_the_successor_and_its_binary() {
    let world = World::new();
    let a = world.binary("a", "");
    let supervisor = world.supervise(&a, &ANY_PORT, &[]);
    let port = supervisor.port();
    let first = info(port);
    let old = first.process();
    assert_set(port, "k");
    // Its own times are short: it is not to be handed over as long as the one before might come back.
    let slow = world.binary("b", "--open-delay-ms 1000 --times-percent 20");
    let supervisor = visited(port, || {
        let _client = world.order(&format!("handoff {}", slow.display()));
        // The successor has the lock, so it goes on alone.
        wait_for("Begin", || (world.lock_holder() != old).then_some(()));
        supervisor.kill();
        let supervisor = world.supervise(&a, &ANY_PORT, &[]);
        supervisor.wait_log("given back by the daemon");
        supervisor
    });
    let second = info_of_another(port, first.pid);
    supervisor.wait_log(&format!("pid {} serves", second.pid));
    assert_eq!(second.version, "b");
    assert_kept(port, "k");
    // Until then the old one could come back, and rightly so.
    wait_for("end of the old daemon", || (!old.is_alive()).then_some(()));
    hand_over_at_last(&world, &a);
    assert_eq!(info(port).version, "a");
    assert_kept(port, "k");
}

#[test]
fn a_supervisor_that_finds_nobody_to_ask_yet_asks_later() {
    let world = World::new();
    let a = world.binary("a", "");
    let supervisor = world.supervise(&a, &ANY_PORT, &[]);
    let port = supervisor.port();
    let old = info(port).process();
    assert_set(port, "k");
    let slow = world.binary("b", "--open-delay-ms 1500");
    let supervisor = visited(port, || {
        let _client = world.order(&format!("handoff {}", slow.display()));
        wait_for("Begin", || (world.lock_holder() != old).then_some(()));
        supervisor.kill();
        kill(old);
        // The successor is alone, and does not answer before it has opened the data.
        let listener = format!("resp=127.0.0.1:{port}");
        let supervisor = world.supervise(&a, &["--listener", &listener], &[]);
        supervisor.wait_log("LISTENER MISSING");
        supervisor.wait_log("given back by the daemon");
        supervisor
    });
    let second = info(port);
    assert_eq!(second.version, "b");
    assert_kept(port, "k");
    kill(second.process());
    assert_eq!(info_of_another(port, second.pid).version, "b");
    drop(supervisor);
}

#[test]
fn a_supervisor_killed_in_a_probation_finds_the_successor_committed() {
    let world = World::new();
    let options = [&ANY_PORT[..], &["--probation-secs", "600"]].concat();
    let a = world.binary("a", "");
    let supervisor = world.supervise(&a, &options, &[]);
    let port = supervisor.port();
    let old = info(port).process();
    let client = world.order(&format!(
        "handoff {}",
        world.binary("b", "--times-percent 20").display()
    ));
    let second = info_of_another(port, old.pid);
    assert!(!second.committed);
    assert_set(port, "k");
    supervisor.wait_log("phase=Probation");
    let _supervisor = visited(port, || {
        supervisor.kill();
        let supervisor = world.supervise(&a, &ANY_PORT, &[]);
        supervisor.wait_log(&format!("pid {} serves", second.pid));
        supervisor
    });
    drop(client);
    // Nobody is there to send the successor back, so the old one leaves.
    wait_for("end of the old daemon", || (!old.is_alive()).then_some(()));
    wait_for("the commit", || info(port).committed.then_some(()));
    assert_eq!(info(port).pid, second.pid);
    assert_kept(port, "k");
    // What was interrupted is the current binary.
    kill(second.process());
    assert_eq!(info_of_another(port, second.pid).version, "b");
    assert_kept(port, "k");
    assert_committed(&world.handoff_to(&a));
    assert_eq!(info(port).version, "a");
}

/// Hands over to `binary`, as soon as the daemon is sure that the one before does not come back.
fn hand_over_at_last(world: &World, binary: &Path) {
    let answer = wait_for("the end of a probation", || {
        let answer = world.handoff_to(binary);
        (!answer.contains("is not committed yet")).then_some(answer)
    });
    assert_committed(&answer);
}

#[test]
fn listeners_that_have_changed_on_the_command_line() {
    let world = World::new();
    let a = world.binary("a", "");
    let unix = |name: &str| format!("side=unix:{}", world.path(name).display());
    let (side, moved) = (unix("s1"), unix("s2"));
    let any = |name: &str| format!("{name}=127.0.0.1:0");
    let (extra, new) = (any("extra"), any("new"));
    let resp = any("resp");
    let options = [
        "--listener",
        &resp,
        "--listener",
        &extra,
        "--listener",
        &side,
    ];
    let supervisor = world.supervise(&a, &options, &[]);
    let (port, gone) = (supervisor.port_of("resp"), supervisor.port_of("extra"));
    let first = info(port);
    supervisor.kill();

    let options = [
        "--listener",
        &resp,
        "--listener",
        &moved,
        "--listener",
        &new,
    ];
    let supervisor = visited(port, || {
        let supervisor = world.supervise(&a, &options, &[]);
        supervisor.wait_log(&format!("pid {} serves", first.pid));
        supervisor
    });
    let log = supervisor.log();
    for (name, words) in [
        ("`extra`", "nothing asks for that"),
        ("`side`", "s2 reaches it with the next handoff"),
        ("\"side\"", "does not have this listener"),
        ("\"new\"", "does not have this listener"),
    ] {
        let said = |line: &str| line.contains(name) && line.contains(words);
        assert!(log.lines().any(said), "{name}: {words}");
    }
    assert_eq!(supervisor.port(), port);
    // As long as it lives the daemon has what it had.
    TcpStream::connect(("127.0.0.1", gone)).unwrap();
    visited(port, || assert_committed(&world.trigger("handoff")));
    wait_for("the old listeners to be closed", || {
        let refused = TcpStream::connect(("127.0.0.1", gone)).is_err();
        (refused && UnixStream::connect(world.path("s1")).is_err()).then_some(())
    });
    UnixStream::connect(world.path("s2")).unwrap();
    TcpStream::connect(("127.0.0.1", supervisor.port_of("new"))).unwrap();
}

#[test]
fn a_daemon_of_version_1_keeps_its_listeners_and_its_supervisor_says_so() {
    let world = World::new();
    // The stand-in looks for its files in places of its own.
    symlink(world.path(""), world.path("p")).unwrap();
    let old = world.script(
        "old",
        &format!(
            "export {}={} {}='{dir}'\nexec '{}' --exact common::stand_in::stand_in '{dir}' >/dev/null\n",
            stand_in::ROLE,
            published::DAEMON,
            stand_in::WORLD,
            std::env::current_exe().unwrap().display(),
            dir = world.path("").display(),
        ),
    );
    let supervisor = world.supervise(&old, &ANY_PORT, &[]);
    let port = supervisor.port();
    let first = serves(&world, port);
    supervisor.kill();

    let listener = format!("resp=127.0.0.1:{port}");
    let options = ["--listener", &listener, "--probation-secs", "600"];
    let mut supervisor = world.supervise(&old, &options, &[]);
    supervisor.wait_log("LISTENER MISSING");
    supervisor.wait_log("does not give its listeners back");
    supervisor.wait_log(&format!("pid {} serves", first.pid));
    let answer = world.trigger("handoff");
    assert!(
        answer.starts_with("err: the listener `resp` is missing"),
        "{answer}"
    );
    for part in [&*format!("127.0.0.1:{port}"), "speaks version 1"] {
        assert!(answer.contains(part), "{answer}");
    }
    assert!(first.is_alive());

    kill(first);
    supervisor.wait_log(&format!(
        "listening name=\"resp\" address=\"127.0.0.1:{port}\""
    ));
    let second = serves(&world, port);
    assert_ne!(second.pid, first.pid);
    // It could not come back, so there is no probation.
    let answer = world.handoff_to(&world.binary("b", ""));
    assert!(
        answer.ends_with(" committed=true abort_reason=None without=probation\n"),
        "{answer}"
    );
    assert_eq!(info(port).version, "b");
    supervisor.signal(Signal::TERM);
    assert!(supervisor.wait().success());
    assert_eq!(world.processes(), []);
}

/// Waits until a stand-in serves, and says which.
fn serves(world: &World, port: u16) -> Process {
    wait_for("an answer", || {
        (ask(port, &["PING"])? == "+OK").then_some(())
    });
    world.lock_holder()
}

#[test]
fn a_supervisor_is_replaced_while_its_daemon_goes_on() {
    let world = World::new();
    let held = Held::new();
    let a = world.binary("a", "");
    let options = [ANY_PORT[0], ANY_PORT[1], "--keep-daemon"];
    let mut old = world.supervise(&a, &options, &held.pass());
    let daemon = info(held.port());
    // Not while the old one is in charge.
    let mut early = world.supervise(&a, &options, &held.pass());
    assert!(!early.wait().success());
    early.wait_log("another supervisor is in charge");

    old.signal(Signal::TERM);
    assert!(old.wait().success());
    assert!(!world.path("t").exists());
    let mut new = world.supervise(&a, &ANY_PORT, &held.pass());
    new.wait_log(&format!("pid {} serves", daemon.pid));
    assert_eq!(info(held.port()).pid, daemon.pid);
    // A daemon that was found is stopped like a child.
    new.signal(Signal::TERM);
    assert!(new.wait().success());
    assert_eq!(world.processes(), []);
}

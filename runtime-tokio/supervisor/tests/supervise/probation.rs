//! Warm-up and probation: what a successor does before the daemon is asked to drain, and how it is
//! watched before the daemon leaves.

use std::fs;
use std::io::Read;
use std::thread;

use handoff_std::host::Signal;

use super::talk::{assert_kept, assert_set, info, info_of_version};
use super::world::{ANY_PORT, HANDOFF, Held, World, assert_committed, kill, run, wait_for};

/// Longer than any test.
const LONG: [&str; 2] = ["--probation-secs", "600"];

fn assert_rolled_back(answer: &str, why: &str) {
    let begin = answer.starts_with("ok: handoff_id=");
    assert!(
        begin && answer.contains(" committed=false abort_reason="),
        "{answer}"
    );
    assert!(answer.contains(why), "{why}: {answer}");
}

/// What `handoff status` says that the daemon is at; nothing while nobody answers, as when the control path
/// is changing hands.
fn phase(world: &World) -> String {
    let control = world.path("c");
    let output = run(&[
        "status",
        "--json",
        "--control-socket",
        control.to_str().unwrap(),
    ]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    found["phase"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_successor_that_becomes_unwell_is_rolled_back_and_what_it_wrote_is_kept() {
    let world = World::new();
    let held = Held::new();
    let port = held.port();
    let sick = world.path("sick");
    let check = format!(
        "'{HANDOFF}' kvd check 127.0.0.1:{port} >/dev/null && test -n \"$HANDOFF_PID\" -a ! -e '{}'",
        sick.display()
    );
    let options = [&ANY_PORT[..], &LONG, &["--health-check", &check]].concat();
    let mut supervisor = world.supervise(&world.binary("a", ""), &options, &held.pass());
    let before = info(port);
    assert!(before.committed);
    assert_set(port, "k1");
    thread::scope(|scope| {
        let asked = scope.spawn(|| world.handoff_to(&world.binary("b", "")));
        let second = info_of_version(port, "b");
        assert!(!second.committed && second.generation > before.generation);
        assert_kept(port, "k1");
        assert_set(port, "k2");
        supervisor.wait_log("phase=Probation");
        assert_eq!(phase(&world), "on probation");
        fs::write(&sick, "").unwrap();
        assert_rolled_back(&asked.join().unwrap(), "health check");
    });
    let after = info(port);
    assert_eq!((&*after.version, after.pid), ("a", before.pid));
    assert!(after.committed && after.generation > before.generation);
    assert_kept(port, "k1");
    assert_kept(port, "k2");
    assert_eq!(phase(&world), "serving");
    // The one that it would have been is not remembered.
    assert!(!world.path("d/.handoff.state/main.binary").exists());
    supervisor.signal(Signal::TERM);
    assert!(supervisor.wait().success());
    assert_eq!(world.processes(), []);
}

#[test]
fn a_successor_that_is_unwell_from_the_start_or_dies_is_rolled_back() {
    let world = World::new();
    let held = Held::new();
    let port = held.port();
    let check = format!("'{HANDOFF}' kvd check 127.0.0.1:{port} >/dev/null");
    let health = ["--health-check", &check, "--health-failures", "1"];
    let options = [&ANY_PORT[..], &LONG, &health].concat();
    let _supervisor = world.supervise(&world.binary("a", ""), &options, &held.pass());
    let before = info(port);
    let answer = world.handoff_to(&world.binary("b", "--sick-after-ms 0"));
    assert_rolled_back(&answer, "health check");
    // It has been told to serve again, and may be about to.
    wait_for("the old daemon", || {
        (phase(&world) == "serving").then_some(())
    });
    thread::scope(|scope| {
        let asked = scope.spawn(|| world.handoff_to(&world.binary("c", "")));
        let third = info_of_version(port, "c");
        assert_set(port, "k");
        wait_for("the probation", || {
            (phase(&world) == "on probation").then_some(())
        });
        kill(third.process());
        assert_rolled_back(&asked.join().unwrap(), "");
    });
    assert_eq!(info(port).pid, before.pid);
    assert_kept(port, "k");
}

#[test]
fn a_successor_that_stays_well_is_committed() {
    let world = World::new();
    let held = Held::new();
    let port = held.port();
    let check = format!("'{HANDOFF}' kvd check 127.0.0.1:{port} >/dev/null");
    let health = ["--probation-secs", "1", "--health-check", &check];
    let options = [&ANY_PORT[..], &health].concat();
    let supervisor = world.supervise(&world.binary("a", ""), &options, &held.pass());
    let before = info(port);
    thread::scope(|scope| {
        let asked = scope.spawn(|| world.handoff_to(&world.binary("b", "")));
        info_of_version(port, "b");
        assert_set(port, "k");
        assert_committed(&asked.join().unwrap());
    });
    supervisor.wait_log("phase=Probation");
    wait_for("the word of the commit", || {
        info(port).committed.then_some(())
    });
    wait_for("the end of the old daemon", || {
        (world.processes().len() == 2).then_some(())
    });
    assert_ne!(info(port).pid, before.pid);
    assert_kept(port, "k");
    assert!(world.path("d/.handoff.state/main.binary").exists());
}

#[test]
fn an_operator_sends_a_successor_back() {
    let world = World::new();
    let held = Held::new();
    let port = held.port();
    let options = [&ANY_PORT[..], &LONG].concat();
    let supervisor = world.supervise(&world.binary("a", ""), &options, &held.pass());
    let before = info(port);
    let answer = world.trigger("rollback");
    assert!(
        answer.starts_with("err: no handoff is in progress"),
        "{answer}"
    );
    thread::scope(|scope| {
        let asked = scope.spawn(|| world.handoff_to(&world.gated("b")));
        supervisor.wait_log("phase=Spawning");
        let answer = world.trigger("rollback");
        assert!(answer.contains("is not in its probation"), "{answer}");
        fs::write(world.path("go"), "").unwrap();
        info_of_version(port, "b");
        assert_set(port, "k");
        supervisor.wait_log("phase=Probation");
        // The loop goes on meanwhile.
        let answer = world.trigger("handoff");
        assert!(
            answer.starts_with("err: a handoff is in progress"),
            "{answer}"
        );
        let answer = world.trigger("rollback");
        assert_rolled_back(&answer, "sent back: an operator asked for it");
        assert_eq!(asked.join().unwrap(), answer);
    });
    assert_eq!(info(port).pid, before.pid);
    assert_kept(port, "k");
}

#[test]
fn a_supervisor_that_is_told_to_end_ends_the_probation_first() {
    let world = World::new();
    let held = Held::new();
    let port = held.port();
    let a = world.binary("a", "");
    let options = [&ANY_PORT[..], &LONG, &["--keep-daemon"]].concat();
    let mut supervisor = world.supervise(&a, &options, &held.pass());
    let before = info(port);
    thread::scope(|scope| {
        let asked = scope.spawn(|| world.handoff_to(&world.binary("b", "")));
        info_of_version(port, "b");
        assert_set(port, "k1");
        supervisor.wait_log("phase=Probation");
        supervisor.signal(Signal::TERM);
        assert_rolled_back(
            &asked.join().unwrap(),
            "the supervision of the service is ending",
        );
    });
    assert!(supervisor.wait().success());
    assert_eq!(info(port).pid, before.pid);
    assert_kept(port, "k1");

    // Told before the probation begins, and without --keep-daemon.
    let options = [&ANY_PORT[..], &LONG].concat();
    let mut supervisor = world.supervise(&a, &options, &held.pass());
    thread::scope(|scope| {
        let asked = scope.spawn(|| world.handoff_to(&world.gated("b")));
        supervisor.wait_log("phase=Spawning");
        supervisor.signal(Signal::TERM);
        supervisor.wait_log("told to end");
        fs::write(world.path("go"), "").unwrap();
        assert_rolled_back(
            &asked.join().unwrap(),
            "the supervision of the service is ending",
        );
    });
    assert!(supervisor.wait().success());
    assert_eq!(world.processes(), []);
    let _supervisor = world.supervise(&a, &options, &held.pass());
    assert_eq!(info(port).version, "a");
    assert_kept(port, "k1");
}

#[test]
fn a_successor_that_does_not_become_warm_costs_nothing() {
    let world = World::new();
    let held = Held::new();
    let port = held.port();
    let options = [&ANY_PORT[..], &["--warmup-secs", "1"]].concat();
    let supervisor = world.supervise(&world.binary("a", ""), &options, &held.pass());
    let before = info(port);
    for (tag, fault, why) in [
        ("fails", "--fail warm-up", "WarmUp fails"),
        ("dies", "--die-in-warm-up", "signal: 6"),
        ("hangs", "--warmup-ms 600000", "was late"),
    ] {
        assert_rolled_back(&world.handoff_to(&world.binary(tag, fault)), why);
    }
    let after = info(port);
    assert_eq!(
        (after.pid, after.generation),
        (before.pid, before.generation)
    );
    assert!(!supervisor.log().contains("phase=Draining"));

    // While one warms up, the daemon serves.
    let mut client = world.order(&format!(
        "handoff {}",
        world.binary("b", "--warmup-ms 300").display()
    ));
    wait_for("the successor", || supervisor.log().rfind("phase=Warming"));
    assert_set(port, "k");
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_committed(&answer);
    assert_eq!(info(port).version, "b");
    assert_kept(port, "k");
}

//! What a supervisor does all day: starts, watches and replaces its daemon, and ends.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use handoff_std::host::Signal;

use super::talk::{assert_kept, assert_set, info, info_of_another};
use super::world::{ANY_PORT, Held, World, assert_committed, kill, run, wait_for};

#[test]
fn a_cold_start_serves_and_sigterm_leaves_nothing_behind() {
    let world = World::new();
    let mut supervisor = world.supervise(&world.binary("a", ""), &ANY_PORT, &[]);
    let port = supervisor.port();
    assert_eq!(info(port).version, "a");
    assert_set(port, "k");
    // Not in the supervisor's process group, so a Ctrl-C does not reach it.
    let daemon = rustix::process::Pid::from_raw(info(port).pid.try_into().unwrap());
    assert_eq!(rustix::process::getpgid(daemon).ok(), daemon);

    supervisor.signal(Signal::TERM);
    assert!(supervisor.wait().success());
    assert_eq!(world.processes(), []);
    assert!(!world.path("c").exists() && !world.path("t").exists());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn handoffs_commit_and_the_current_binary_is_remembered() {
    let world = World::new();
    let held = Held::new();
    let (a, b) = (world.binary("a", ""), world.binary("b 2", ""));
    let mut supervisor = world.supervise(&a, &ANY_PORT, &held.pass());
    let port = held.port();
    let first = info(port);
    assert_eq!(first.version, "a");
    assert_set(port, "k");

    assert_committed(&world.handoff_to(&b));
    let second = info(port);
    assert_eq!(second.version, "b 2");
    assert!(second.generation > first.generation && second.pid != first.pid);
    assert_kept(port, "k");
    // The current binary once more.
    assert_committed(&world.trigger("handoff"));
    let third = info(port);
    assert!(third.version == "b 2" && third.pid != second.pid);
    wait_for("old daemons to be reaped", || {
        (world.processes().len() == 2 && !supervisor.has_zombies()).then_some(())
    });

    // The same command line: what was committed. Another one: the command line wins.
    supervisor.signal(Signal::TERM);
    assert!(supervisor.wait().success());
    let mut supervisor = world.supervise(&a, &ANY_PORT, &held.pass());
    assert_eq!(info(port).version, "b 2");
    supervisor.signal(Signal::INT);
    assert!(supervisor.wait().success());
    let mut supervisor = world.supervise(&world.binary("c", ""), &ANY_PORT, &held.pass());
    assert_eq!(info(port).version, "c");
    assert!(!world.path("d/.handoff.state/main.binary").exists());
    supervisor.signal(Signal::TERM);
    assert!(supervisor.wait().success());
    let _supervisor = world.supervise(&a, &ANY_PORT, &held.pass());
    assert_eq!(info(port).version, "a");
    assert_kept(port, "k");
}

#[test]
fn a_successor_that_fails_is_rolled_back_and_the_answer_says_why() {
    let world = World::new();
    let held = Held::new();
    let _supervisor = world.supervise(&world.binary("a", ""), &ANY_PORT, &held.pass());
    let before = info(held.port());
    let answer = world.handoff_to(&world.binary("b", "--fail open"));
    assert!(answer.starts_with("ok: handoff_id="), "{answer}");
    assert!(
        answer.contains(" committed=false abort_reason="),
        "{answer}"
    );
    assert!(answer.contains("Open fails"), "{answer}");
    // One that ends without a word: at least how.
    let answer = world.handoff_to(&world.script("mute", "exit 3"));
    assert!(answer.contains("it ended with exit status: 3"), "{answer}");
    let after = info(held.port());
    assert_eq!((&after.version, after.pid), (&before.version, before.pid));
    assert_set(held.port(), "k");
    assert_committed(&world.handoff_to(&world.binary("c", "")));
}

#[test]
fn what_cannot_be_done_is_said_and_hostile_clients_are_in_nobodys_way() {
    let world = World::new();
    let held = Held::new();
    let _supervisor = world.supervise(&world.binary("a", ""), &ANY_PORT, &held.pass());
    let before = info(held.port());
    let text = world.path("text");
    fs::write(&text, "not a program").unwrap();
    for (line, expected) in [
        (
            "handoff /no/such/binary",
            "err: /no/such/binary does not exist",
        ),
        (&*format!("handoff {}", text.display()), "is not executable"),
        (
            "handoff relative",
            "err: `relative` is not an absolute path",
        ),
        ("restart", "err: unknown command `restart`"),
        ("", "err: unknown command ``"),
        (&*"x".repeat(5000), "err: the line is too long"),
    ] {
        let answer = world.trigger(line);
        assert!(answer.contains(expected), "{line:?}: {answer}");
        assert!(
            answer.starts_with("err: ") && answer.ends_with('\n'),
            "{answer}"
        );
    }

    // More than are held at once; none says anything whole.
    let idle: Vec<_> = (0..40)
        .map(|_| {
            let mut client = UnixStream::connect(world.path("t")).unwrap();
            client.write_all(b"hand").unwrap();
            client
        })
        .collect();
    // Two at once: one is refused, and the first goes on, also past forty newcomers.
    thread::scope(|scope| {
        let first = scope.spawn(|| world.handoff_to(&world.gated("b")));
        let refused = wait_for("a handoff in progress", || {
            let answer = world.trigger("handoff /no/such/binary");
            (!answer.contains("does not exist")).then_some(answer)
        });
        assert!(
            refused.starts_with("err: a handoff is in progress"),
            "{refused}"
        );
        let more: Vec<_> = (0..40)
            .map(|_| UnixStream::connect(world.path("t")).unwrap())
            .collect();
        fs::write(world.path("go"), "").unwrap();
        assert_committed(&first.join().unwrap());
        drop(more);
    });
    drop(idle);
    assert_ne!(info(held.port()).pid, before.pid);
}

#[test]
fn a_daemon_that_ends_is_started_again_whatever_its_status() {
    let world = World::new();
    let held = Held::new();
    let supervisor = world.supervise(&world.binary("a", ""), &ANY_PORT, &held.pass());
    let port = held.port();
    let first = info(port);
    assert_set(port, "k");
    kill(first.process());
    let second = info_of_another(port, first.pid);
    assert!(second.generation > first.generation);
    assert_kept(port, "k");
    // It ends well, but nobody told the supervisor.
    assert!(second.process().kill(Signal::TERM).unwrap());
    let third = info_of_another(port, second.pid);
    supervisor.wait_log("exit status: 0");
    assert_committed(&world.handoff_to(&world.binary("b", "")));

    // Right after the commit.
    let fourth = world.lock_holder();
    kill(fourth);
    let fifth = info_of_another(port, fourth.pid);
    assert_ne!(fifth.pid, third.pid);
    assert_eq!(fifth.version, "b");
    assert_kept(port, "k");
    assert_committed(&world.trigger("handoff"));
}

#[test]
fn a_daemon_that_cannot_start_is_tried_again_and_again() {
    let world = World::new();
    let held = Held::new();
    // Somebody else holds the lock.
    let lock = handoff_std::DataDirLock::acquire(&world.path("d")).unwrap();
    let broken = world.script("a", "exit 3\n");
    let supervisor = world.supervise(&broken, &ANY_PORT, &held.pass());
    let answer = world.trigger_once("handoff");
    assert!(
        answer.starts_with("err: it is not known yet who serves"),
        "{answer}"
    );
    lock.release();
    supervisor.wait_log("pause=400ms");
    assert!(supervisor.log().contains("exit status: 3"));
    world.binary("a", "");
    assert_eq!(info(held.port()).version, "a");
}

#[test]
fn a_handoff_in_flight_is_let_end_unless_told_twice() {
    let world = World::new();
    let held = Held::new();
    let a = world.binary("a", "");
    let mut supervisor = world.supervise(&a, &ANY_PORT, &held.pass());
    info(held.port());
    thread::scope(|scope| {
        let asked = scope.spawn(|| world.handoff_to(&world.gated("b")));
        supervisor.wait_log("phase=Spawning");
        supervisor.signal(Signal::TERM);
        supervisor.wait_log("told to end");
        fs::write(world.path("go"), "").unwrap();
        assert_committed(&asked.join().unwrap());
    });
    assert!(supervisor.wait().success());
    assert_eq!(world.processes(), []);

    fs::remove_file(world.path("go")).unwrap();
    let mut supervisor = world.supervise(&a, &ANY_PORT, &held.pass());
    fs::write(world.path("go"), "").unwrap();
    let daemon = info(held.port());
    fs::remove_file(world.path("go")).unwrap();
    let _client = world.order("handoff");
    supervisor.wait_log("phase=Spawning");
    supervisor.signal(Signal::TERM);
    supervisor.wait_log("told to end");
    supervisor.signal(Signal::TERM);
    assert!(!supervisor.wait().success());
    assert!(daemon.process().is_alive());
    assert!(!world.path("t").exists());
}

#[test]
fn commands_reach_the_one_service_of_a_command_line() {
    let world = World::new();
    let socket = world.path("s");
    let socket = socket.to_str().unwrap();
    let options = [&ANY_PORT[..], &["--socket", socket]].concat();
    let supervisor = world.supervise(&world.binary("a", ""), &options, &[]);
    let port = supervisor.port();
    let first = info(port);
    let b = world.binary("b", "");
    let command = |words: &[&str]| run(&[words, &["--socket", socket, "--json"]].concat());
    let upgraded = command(&["upgrade", "--binary", b.to_str().unwrap(), "--wait"]);
    assert!(upgraded.status.success(), "{upgraded:?}");
    let second = info_of_another(port, first.pid);
    assert_eq!(second.version, "b");
    let status = command(&["status", "main"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status[0]["pid"], second.pid);
    // The one of the command line again.
    assert!(command(&["upgrade", "main"]).status.success());
    assert_eq!(info_of_another(port, second.pid).version, "a");
    assert_eq!(command(&["rollback"]).status.code(), Some(3));
    wait_for("both in the history", || {
        let history = String::from_utf8(command(&["history", "main"]).stdout).unwrap();
        (history.matches(r#""outcome":"committed""#).count() == 2).then_some(())
    });
}

#[test]
fn mistakes_on_the_command_line_are_explained() {
    let world = World::new();
    let a = world.binary("a", "");
    let taken = Held::new();
    let address = taken.0.local_addr().unwrap();
    let in_use = format!("resp={address}");
    let missing = Path::new("/no/such/binary");
    let twice = [ANY_PORT, ANY_PORT].concat();
    for (binary, options, expected) in [
        (&*a, &["--listener", &in_use][..], &*address.to_string()),
        (&*a, &["--listener", "resp"], "NAME=ADDRESS"),
        (&*a, &twice, "two listeners are called `resp`"),
        (missing, &[], "/no/such/binary does not exist"),
        (&*a, &["--deadline-secs", "0"], "--deadline-secs"),
        (&*a, &["--health-check", "true"], "--probation-secs"),
    ] {
        let mut supervisor = world.supervise(binary, options, &[]);
        assert!(!supervisor.wait().success());
        let log = supervisor.log();
        assert!(log.contains(expected), "{expected}: {log}");
    }
    assert_eq!(world.processes(), []);
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let world = World::new();
    let binary = world.binary("a", "");
    let mut supervisor = world.supervise_logging_to("/dev/full".into(), &binary, &ANY_PORT, &[]);
    let before = world.lock_holder();
    assert_committed(&world.trigger("handoff"));
    assert_ne!(world.lock_holder(), before);
    supervisor.signal(Signal::TERM);
    assert!(supervisor.wait().success());
    assert_eq!(world.processes(), []);
}

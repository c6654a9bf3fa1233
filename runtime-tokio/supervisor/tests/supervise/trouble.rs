//! `handoff supervise --config` when something is in its way: crashes, signals, other processes, users who
//! may not, and files that are wrong.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use handoff_std::host::Signal;
use serde_json::Value;

use super::fleet::Fleet;
use super::talk::{info, info_of_another};
use super::world::{HANDOFF, kill, run, run_command, wait_for};

#[test]
fn a_crash_loop_is_given_up_until_someone_asks() {
    let restart = "[service.NAME.restart]\nbackoff = \"1ms\"\nbackoff_max = \"1ms\"\nmax_starts = 2\nwithin = \"1h\"\n";
    let fleet = Fleet::new("", restart);
    let supervisor = fleet.start(&[]);
    let port = fleet.port("a");
    let first = info(port);
    kill(first.process());
    let second = info_of_another(port, first.pid);
    wait_for("the supervisor's own look", || {
        (fleet.status("a")["pid"] == second.pid).then_some(())
    });
    kill(second.process());
    supervisor.wait_log("the service is down and stays so");
    let output = fleet.command(&["status", "a"]);
    assert_eq!(output.status.code(), Some(3));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status[0]["state"], "down");
    assert!(
        status[0]["trouble"]
            .as_str()
            .unwrap()
            .contains("2 times within 1h"),
        "{status}"
    );
    assert!(
        fleet
            .trigger("a", "handoff")
            .contains("`handoff restart a`")
    );
    let (code, ended) = fleet.answer(&["restart", "a"]);
    assert_eq!((code, &ended["outcome"]), (0, &"started".into()), "{ended}");
    assert_eq!(ended["pid"], fleet.info("a").pid);
    assert_eq!(fleet.info("b").version, "b1");
}

#[test]
fn what_is_wrong_is_said_before_anything_is_touched() {
    let fleet = Fleet::new("probaton = \"1s\"", "");
    let mut supervisor = fleet.start(&[]);
    assert!(!supervisor.wait().success());
    let log = supervisor.log();
    assert!(
        log.contains("handoff.toml:") && log.contains("probaton"),
        "{log}"
    );
    assert!(!fleet.world.path("state").exists());
    let output = run(&[
        "status",
        "--socket",
        fleet.world.path("s").to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for arguments in [
        &["supervise", "--config", "x", "--data-dir", "d"][..],
        &["supervise", "--keep-daemon"],
        &["upgrade"],
        &["status"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn users_ask_for_what_they_may() {
    const FRIEND: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: users_ask_for_what_they_may: only root can be another user");
        return;
    }
    let fleet = Fleet::new("", "");
    let config = fleet.world.path("handoff.toml");
    let text = fs::read_to_string(&config).unwrap();
    let table = "[service.a]\n";
    let allowed = format!("{table}allowed_uids = [{FRIEND}]\n");
    fs::write(&config, text.replacen(table, &allowed, 1)).unwrap();
    let dir = config.parent().unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    let supervisor = fleet.start(&[]);
    let a = fleet.info("a");
    fleet.info("b");

    let socket = fleet.world.path("s");
    let ask = |uid: u32, words: &[&str]| {
        let mut command = Command::new(HANDOFF);
        command
            .args(words)
            .arg("--json")
            .arg("--socket")
            .arg(&socket);
        run_command(command.uid(uid).gid(uid))
    };
    let output = ask(FRIEND, &["status"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (all.as_array().unwrap().len(), &all[0]["name"]),
        (1, &"a".into())
    );
    assert_eq!(ask(FRIEND, &["restart", "b"]).status.code(), Some(3));
    assert_eq!(ask(FRIEND, &["restart"]).status.code(), Some(0));
    assert_ne!(fleet.info("a").pid, a.pid);
    let output = ask(FRIEND, &["history"]);
    let past = String::from_utf8(output.stdout).unwrap();
    let is_of_a = |line: &str| line.contains(r#""service":"a""#);
    assert!(
        past.lines().count() >= 2 && past.lines().all(is_of_a),
        "{past}"
    );
    assert_eq!(ask(FRIEND, &["history", "b"]).status.code(), Some(3));
    assert_eq!(ask(FRIEND, &["watch", "b"]).status.code(), Some(3));
    let output = ask(FRIEND - 1, &["status"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    supervisor.wait_log("may not ask for anything");
}

#[test]
fn who_does_not_want_to_be_refused_waits() {
    let fleet = Fleet::new("probation = \"10m\"", "");
    let _supervisor = fleet.start(&[]);
    let port = fleet.port("a");
    let first = info(port);
    thread::scope(|scope| {
        let handoff = scope.spawn(|| fleet.answer(&["restart", "a"]));
        let second = info_of_another(port, first.pid);
        let (code, answer) = fleet.answer(&["restart", "a"]);
        assert_eq!(code, 3, "{answer}");
        let waiting = scope.spawn(|| fleet.answer(&["restart", "a", "--wait"]));
        // Each is on probation until it is sent back; the one that waits begins behind the first.
        let regret = || {
            wait_for("a rollback", || {
                let (code, _) = fleet.answer(&["rollback", "a"]);
                (code == 0).then_some(())
            });
        };
        regret();
        assert_eq!(handoff.join().unwrap().0, 4);
        regret();
        assert_eq!(waiting.join().unwrap().0, 4);
        assert_ne!(second.pid, first.pid);
    });
    assert_eq!(info(port).pid, first.pid);
}

#[test]
fn a_listener_that_cannot_be_had_keeps_one_service_waiting() {
    let fleet = Fleet::new("", "");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let config = fleet.world.path("handoff.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replacen("127.0.0.1:0", &address, 1)).unwrap();
    let _supervisor = fleet.start(&[]);
    assert_eq!(fleet.info("b").version, "b1");
    let output = fleet.command(&["status", "a"]);
    assert_eq!(output.status.code(), Some(3));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status[0]["state"], "starting");
    assert_eq!(status[0]["listeners"][0]["held"], false);
    let trouble = status[0]["trouble"].as_str().unwrap();
    assert!(trouble.contains(&address), "{status}");
    drop(other);
    assert_eq!(fleet.info("a").version, "a1");
}

#[test]
fn a_frozen_daemon_does_not_serve() {
    let fleet = Fleet::new("", "");
    let _supervisor = fleet.start(&[]);
    let a = fleet.info("a");
    assert_eq!(fleet.status("a")["answers"], true);
    assert!(a.process().kill(Signal::STOP).unwrap());
    let output = fleet.command(&["status"]);
    assert_eq!(output.status.code(), Some(3));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = |at: usize| (&status[at]["state"], &status[at]["answers"]);
    assert_eq!(said(0), (&"running".into(), &false.into()), "{status}");
    assert_eq!(said(1), (&"running".into(), &true.into()), "{status}");
    // Nothing is begun with it.
    let (code, answer) = fleet.answer(&["upgrade", "a"]);
    assert_eq!(
        (code, &answer["answer"]),
        (3, &"refused".into()),
        "{answer}"
    );
    let why = answer["why"].as_str().unwrap();
    assert!(why.contains("nothing was begun"), "{answer}");
    assert!(a.process().kill(Signal::CONT).unwrap());
    assert_eq!(fleet.status("a")["answers"], true);
    assert_eq!(fleet.status("a")["last"]["ended"]["outcome"], "failed");
}

//! Nothing of a question or a probation is left behind: no descriptor, no thread, no process. All of it
//! is counted for the whole process, so this is the only test here.

#![cfg(target_os = "linux")]

mod peer;

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use handoff_std::ask;
use handoff_std::core::wire::{Hello, Message, Names, Revisions, Side, VersionRange, encode};
use handoff_std::core::{SupervisorConfig, Task};
use handoff_std::host::Inherited;
use handoff_std::{HandoffSpec, HealthCheck, SpawnSpec, Supervisor};
use peer::{Guard, Serving, Session};

const PART: &str = "DESCRIPTORS_PART";
const DIR: &str = "DESCRIPTORS_DIR";

#[test]
fn nothing_is_left_behind() {
    match env::var(PART).as_deref() {
        Ok("successor") => successor(),
        Ok("incumbent") => incumbent(),
        _ => supervisor(),
    }
}

fn supervisor() {
    let dir = tempfile::tempdir().unwrap();
    // In a process of its own, since it closes its sessions when it comes to that.
    let incumbent = part("incumbent", dir.path()).cold_start(&[]).unwrap();
    let guard = Guard(incumbent.child);
    wait_until_it_serves(dir.path());
    // What is made once, at first use, is not counted.
    questions();
    probations(dir.path());
    let before = (count("fd"), count("task"));
    questions();
    probations(dir.path());
    let after = (count("fd"), count("task"));
    let left = children();
    assert_eq!(after, before);
    assert_eq!(left, format!("{} ", guard.0.id()), "all are reaped");
}

/// This test again, in this part.
fn part(name: &str, dir: &Path) -> SpawnSpec {
    SpawnSpec {
        binary: env::current_exe().unwrap(),
        args: ["--exact", "nothing_is_left_behind"].map(Into::into).into(),
        env: vec![(PART.into(), name.into()), (DIR.into(), dir.into())],
        ..SpawnSpec::default()
    }
}

fn incumbent() {
    let dir = PathBuf::from(env::var_os(DIR).unwrap());
    Serving::start(&dir, VersionRange::SUPPORTED, |incumbent| incumbent).left();
}

fn wait_until_it_serves(dir: &Path) {
    let serves = |status: ask::DaemonStatus| status.phase.to_string() == "serving";
    while !ask::status(dir.join("control")).is_ok_and(serves) {
        thread::sleep(Duration::from_millis(5));
    }
}

fn count(what: &str) -> usize {
    fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

fn children() -> String {
    let mut all = String::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let file = task.unwrap().path().join("children");
        all += &fs::read_to_string(file).unwrap_or_default();
    }
    all
}

/// A successor that is ready at once, without touching anything, and stays until it is killed.
fn successor() {
    let mut channel = Inherited::from_env().unwrap().successor_channel.unwrap();
    let hello = Hello {
        side: Side::Successor,
        pid: std::process::id(),
        build_id: b"",
        versions: VersionRange::V1,
        capabilities: 0,
    };
    let mut room = [0; 128];
    let len = encode(1, &Message::Hello(hello), &mut room).unwrap();
    channel.write_all(&room[..len]).unwrap();
    // HelloAck and Begin, each with the handoff's id at its end.
    let mut id = [0; 16];
    for rest in [4, 3] {
        channel.read_exact(&mut [0; 4][..]).unwrap();
        channel.read_exact(&mut vec![0; rest + 1]).unwrap();
        channel.read_exact(&mut id).unwrap();
    }
    let ready = Message::Ready {
        id: handoff_std::core::wire::HandoffId::from_bytes(id),
        listening_on: Names::default(),
        healthz_ok: true,
        revisions: Revisions::default(),
    };
    let len = encode(1, &ready, &mut room).unwrap();
    channel.write_all(&room[..len]).unwrap();
    std::thread::park();
}

/// Probations that fail in three ways.
fn probations(dir: &Path) {
    let part = part("successor", dir);
    let check = |script| HealthCheck {
        interval: Duration::from_millis(10),
        timeout: Duration::from_millis(300),
        ..HealthCheck::command("sh", ["-c", script])
    };
    for script in ["exit 1", "sleep 600 & wait", "sleep 600 & exit 1"] {
        let mut supervisor = Supervisor::new(dir.join("control"), dir, part.clone()).unwrap();
        let spec = HandoffSpec {
            probation: Duration::from_mins(5),
            health: Some(check(script)),
            ..HandoffSpec::new(part.clone())
        };
        let report = supervisor.handoff(&spec).unwrap();
        assert!(
            report.abort_reason().unwrap().contains("probation"),
            "{}",
            report.outcome
        );
        wait_until_it_serves(dir);
    }
}

/// Questions that end in every way.
fn questions() {
    let dir = tempfile::tempdir().unwrap();
    let control: PathBuf = dir.path().join("control");
    let quick = SupervisorConfig {
        hello: Duration::from_millis(50),
        ..SupervisorConfig::new(Task::Recover(None))
    };
    let answer = |with: usize, names: &'static [&'static str]| {
        let session = Session::serve_one(&control, move |session| {
            let listeners: Vec<_> = (0..with)
                .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
                .collect();
            let with: Vec<&dyn std::os::fd::AsFd> = listeners.iter().map(|one| one as _).collect();
            session.hello(VersionRange::SUPPORTED);
            session.hear_question();
            session.say(
                2,
                &Message::Listeners {
                    names: names.into(),
                },
                &with,
            );
            session.wait_for_end();
        });
        let result = ask::listeners(&control);
        session.join().unwrap();
        result
    };
    assert_eq!(answer(2, &["a", "b"]).unwrap().len(), 2);
    assert_eq!(answer(0, &[]).unwrap().len(), 0);
    answer(1, &["a", "b"]).unwrap_err();
    answer(3, &["a", "b"]).unwrap_err();
    answer(253, &["a", "b"]).unwrap_err();
    answer(0, &["a"]).unwrap_err();
    answer(1, &["bad name"]).unwrap_err();

    // Descriptors where none belong, with Hello, and an answer that is never whole.
    let session = Session::serve_one(&control, |session| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hello = Message::Heartbeat { ts_ms: 1 };
        session.say(1, &hello, &[&listener]);
        session.wait_for_end();
    });
    ask::listeners(&control).unwrap_err();
    session.join().unwrap();
    let session = Session::serve_one(&control, |session| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        session.hello(VersionRange::SUPPORTED);
        session.hear_question();
        let half = [20, 0, 0, 0, 2, 0, 17];
        let with = [std::os::fd::AsFd::as_fd(&listener)];
        handoff_std::host::descriptors::send(&session.socket, &half, &with).unwrap();
        session.wait_for_end();
    });
    ask::listeners_with(&control, &quick).unwrap_err();
    session.join().unwrap();

    let session = Session::serve_one(&control, Session::wait_for_end);
    ask::status_with(&control, &quick).unwrap_err();
    session.join().unwrap();
    ask::status(&control).unwrap_err();
}

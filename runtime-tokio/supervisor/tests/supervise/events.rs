//! What happens to the services of a supervisor: followed, kept, and shown while a command waits.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::thread;

use handoff_std::host::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

use super::fleet::Fleet;
use super::talk::info_of_another;
use super::world::{HANDOFF, LONG, kill, run, spawn, wait_for};

impl Fleet {
    /// What `handoff history` says, in JSON, once there is a supervisor to say it.
    fn history(&self, words: &[&str]) -> Vec<Value> {
        let output = wait_for("the history", || {
            let output = self.command(&[&["history"], words].concat());
            output.status.success().then_some(output)
        });
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The same, once there is an event of this kind.
    fn history_with(&self, service: &str, kind: &str) -> Vec<Value> {
        wait_for(kind, || {
            let past = self.history(&[service]);
            past.iter()
                .any(|event| event["event"] == kind)
                .then_some(past)
        })
    }

    /// Runs a command that tells in words.
    fn tell(&self, words: &[&str]) -> Output {
        let [option, file] = &self.reach();
        run(&[words, &[option, file]].concat())
    }

    /// How a command reaches the supervisor.
    fn reach(&self) -> [String; 2] {
        let config = self.world.path("handoff.toml");
        ["--config".into(), config.to_str().unwrap().into()]
    }

    /// Says this to the supervisor's socket.
    fn say(&self, request: &Value) -> UnixStream {
        let mut client = wait_for("the supervisor's socket", || {
            UnixStream::connect(self.world.path("s")).ok()
        });
        client.set_read_timeout(Some(LONG)).unwrap();
        writeln!(client, "{request}").unwrap();
        client
    }
}

/// A `handoff watch` that runs.
struct Watch {
    child: Child,
    lines: BufReader<ChildStdout>,
    words: BufReader<ChildStderr>,
}

impl Watch {
    /// It follows once this returns.
    fn start(fleet: &Fleet, words: &[&str]) -> Self {
        let mut command = Command::new(HANDOFF);
        command.arg("watch").args(words).args(fleet.reach());
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut command);
        let mut said = String::new();
        let mut words = BufReader::new(child.stderr.take().unwrap());
        words.read_line(&mut said).unwrap();
        assert_eq!(said, "Following.\n");
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            lines,
            words,
        }
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().into()
    }

    /// What it tells up to the end of a handoff.
    fn handoff(&mut self) -> Vec<Value> {
        let mut seen: Vec<Value> = Vec::new();
        loop {
            let event: Value = serde_json::from_str(&self.next()).unwrap();
            let is_last = event["event"] == "handoff_ended";
            seen.push(event);
            if is_last {
                return seen;
            }
        }
    }
}

/// What was told of the committed handoff from the daemon `from`, and the answer to who asked for it.
fn assert_followed(fleet: &Fleet, seen: &[Value], ended: &Value, from: u32) {
    let is_it = |event: &Value| {
        let is_in_it = event["handoff_id"] == ended["handoff_id"];
        event["service"] == "a" && (is_in_it || event["event"] == "daemon_ended")
    };
    assert!(seen.iter().all(is_it), "{seen:?}");
    assert_eq!(seen[0]["event"], "handoff_started");
    assert_eq!(seen[0]["pid"], from);
    assert_eq!(seen[0]["binary"], fleet.binary("a2"));
    let expected = [
        "spawning",
        "warming",
        "draining",
        "sealing",
        "opening",
        "committing",
    ];
    let phases: Vec<_> = seen
        .iter()
        .filter_map(|event| event["phase"].as_str())
        .filter(|phase| expected.contains(phase))
        .collect();
    assert_eq!(phases, expected);
    for kind in ["drained", "seal_progress", "sealed", "ready"] {
        assert!(seen.iter().any(|event| event["event"] == kind), "{kind}");
    }

    let end = seen.last().unwrap();
    let mut answered = ended.clone();
    answered.as_object_mut().unwrap().remove("answer");
    assert_eq!(end["ended"], answered);
    assert_eq!(end["from"]["pid"], from);
    assert_eq!(
        end["to"],
        json!({ "pid": ended["pid"], "build": "a2", "version": 2 })
    );
    assert_eq!(end["seal_failed"], false);
    let us = |key: &str| end[key].as_u64().unwrap_or_else(|| panic!("{key}: {end}"));
    let pause = us("drain_us") + us("seal_us") + us("begin_to_ready_us");
    assert!(
        pause <= us("pause_us") + 3 && us("pause_us") <= us("whole_us"),
        "{end}"
    );
    assert!(end["phases"].as_array().unwrap().len() >= expected.len());
}

/// What was told of a handoff from the daemon `from` is kept, and the end of it is in the status.
fn assert_kept(fleet: &Fleet, seen: &[Value], from: u32) {
    let end = seen.last().unwrap();
    let past = fleet.history(&["a"]);
    assert_eq!(past[0]["event"], "daemon_started");
    assert_eq!(past[0]["pid"], from);
    assert_eq!(past.last(), Some(end));
    assert_eq!(
        fleet.history(&["a", "--limit", "1"]),
        std::slice::from_ref(end)
    );
    assert_eq!(&fleet.status("a")["last"], end);
    let everything = fleet.history(&[]);
    assert!(everything.iter().any(|event| event["service"] == "b"));
    for command in ["history", "watch"] {
        assert_eq!(fleet.command(&[command, "c"]).status.code(), Some(3));
    }
    let text = String::from_utf8(fleet.tell(&["history", "a"]).stdout).unwrap();
    assert!(
        text.contains(&format!("handoff committed: pid {from} (build ")) && text.contains("pause "),
        "{text}"
    );
}

#[test]
fn a_handoff_is_followed_step_by_step_and_kept() {
    let fleet = Fleet::new("", "");
    let mut supervisor = fleet.start(&[]);
    let (a1, b1) = (fleet.info("a"), fleet.info("b"));
    let mut watch = Watch::start(&fleet, &["a", "--json"]);
    let mut all = Watch::start(&fleet, &[]);
    let (code, _) = fleet.answer(&["restart", "b"]);
    assert_eq!(code, 0);
    info_of_another(fleet.port("b"), b1.pid);
    let (code, ended) = fleet.answer(&["upgrade", "a", "--binary", &fleet.binary("a2")]);
    assert_eq!(code, 0, "{ended}");
    let seen = watch.handoff();
    assert_followed(&fleet, &seen, &ended, a1.pid);
    loop {
        // In words, and of all services.
        if all.next().contains("  b  handoff committed, pid ") {
            break;
        }
    }
    assert_kept(&fleet, &seen, a1.pid);

    // Those who follow are told of the end.
    supervisor.signal(Signal::TERM);
    assert!(supervisor.wait().success());
    for mut one in [watch, all] {
        let mut rest = String::new();
        one.lines.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("ended"), "{rest}");
        rest.clear();
        one.words.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "The supervisor is ending.\n");
        assert!(one.child.wait().unwrap().success());
    }
    let kept = fs::read_to_string(fleet.world.path("state/a.history")).unwrap();
    assert!(kept.trim_end().ends_with(r#""why":"stopped"}"#), "{kept}");
}

#[test]
fn the_history_outlives_its_supervisor_and_a_torn_line() {
    let fleet = Fleet::new("probation = \"10m\"", "");
    let supervisor = fleet.start(&[]);
    let a1 = fleet.info("a");
    let (code, ended) = fleet.answer(&["upgrade", "a", "--binary", &fleet.binary("dead")]);
    assert_eq!(code, 4, "{ended}");
    let before = fleet.history_with("a", "handoff_ended");

    // Killed on probation: the successor stays.
    let _client = fleet.say(&json!({ "command": "restart", "service": "a" }));
    let a2 = info_of_another(fleet.port("a"), a1.pid);
    supervisor.kill();
    let file = fleet.world.path("state/a.history");
    let mut torn = OpenOptions::new().append(true).open(&file).unwrap();
    torn.write_all(b"{\"at\":\"2026-01-01T00:0").unwrap();

    let _supervisor = fleet.start(&[]);
    let past = fleet.history_with("a", "daemon_found");
    assert_eq!(past[..before.len()], before);
    let (left, found) = (&past[before.len()], &past[before.len() + 1]);
    assert_eq!(left["event"], "handoff_ended", "{past:?}");
    assert_eq!(left["ended"]["outcome"], "committed");
    assert_eq!(
        (&left["from"]["pid"], &left["to"]["pid"]),
        (&a1.pid.into(), &a2.pid.into())
    );
    assert_eq!(left["whole_us"], Value::Null);
    assert_eq!(found["pid"], a2.pid);
    let output = fleet.command(&["history", "a"]);
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(warning.contains("a line is damaged"), "{warning}");
    assert_eq!(&fleet.status("a")["last"], left);

    // The end of a daemon, of which nobody knew.
    kill(a2.process());
    let past = fleet.history_with("a", "daemon_ended");
    let end = past.iter().find(|event| event["event"] == "daemon_ended");
    assert_eq!(end.unwrap()["why"], "by_itself");
}

#[test]
fn who_leaves_or_does_not_read_changes_nothing() {
    let fleet = Fleet::new("", "");
    let gated = fleet.world.gated("a2");
    let _supervisor = fleet.start(&[]);
    let a1 = fleet.info("a");
    // None of them reads, and some leave at once.
    let deaf: Vec<_> = (0..8)
        .map(|_| fleet.say(&json!({ "command": "watch" })))
        .collect();
    for _ in 0..40 {
        fleet.say(&json!({ "command": "watch" }));
    }
    let request = json!({ "command": "upgrade", "service": "a", "binary": gated, "events": true });
    let client = fleet.say(&request);
    let mut line = String::new();
    BufReader::new(client).read_line(&mut line).unwrap();
    let first: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&first["answer"], &first["event"]),
        (&"event".into(), &"handoff_started".into())
    );
    // Dropped by now, and the handoff has not got far.
    fs::write(fleet.world.path("go"), "").unwrap();
    assert_eq!(info_of_another(fleet.port("a"), a1.pid).version, "a2");
    let past = fleet.history_with("a", "handoff_ended");
    assert_eq!(past.last().unwrap()["ended"]["outcome"], "committed");
    assert_eq!(past.last().unwrap()["handoff_id"], first["handoff_id"]);
    let (code, _) = fleet.answer(&["restart", "a"]);
    assert_eq!(code, 0);
    // Those who have left are not counted any more.
    wait_for("a place among those who follow", || {
        let mut client = BufReader::new(fleet.say(&json!({ "command": "watch", "service": "c" })));
        let mut line = String::new();
        client.read_line(&mut line).unwrap();
        line.contains("no service is called").then_some(())
    });
    drop(deaf);
}

#[test]
fn a_command_shows_how_it_goes_on() {
    let fleet = Fleet::new("", "");
    let _supervisor = fleet.start(&[]);
    fleet.info("a");
    // A line for each step where there is no terminal.
    let output = fleet.tell(&["restart", "a"]);
    assert!(output.status.success(), "{output:?}");
    let (told, shown) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(
        told.starts_with("a: committed, pid ") && told.lines().count() == 1,
        "{told}"
    );
    for part in [
        "handoff started: from pid ",
        "  draining (after ",
        "  sealed",
        "  opening (after ",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "{shown}");
    // In JSON there is the answer and nothing else.
    let output = fleet.command(&["restart", "a"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&answer["answer"], &*output.stderr),
        (&"ended".into(), &[][..])
    );

    // A terminal is drawn on.
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let other = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let mut command = Command::new(HANDOFF);
    command
        .args(["restart", "a"])
        .args(fleet.reach())
        .env("TERM", "xterm");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(other);
    let child = spawn(&mut command);
    // It has our end of the terminal as well.
    drop(command);
    let reader = thread::spawn(move || {
        let mut drawn = Vec::new();
        // It ends in an error once nobody has the other end.
        let _ = File::from(terminal).read_to_end(&mut drawn);
        String::from_utf8_lossy(&drawn).into_owned()
    });
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.starts_with(b"a: committed"), "{output:?}");
    let drawn = reader.join().unwrap();
    for part in ["draining", "sealing", "opening", "1/1", "\u{1b}["] {
        assert!(drawn.contains(part), "{part}: {drawn}");
    }
}

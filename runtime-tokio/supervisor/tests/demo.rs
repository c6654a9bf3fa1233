//! `handoff demo`, from outside: it ends well and says so in its report, and whatever ends it,
//! nothing is left behind.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_mins(1);

/// A demo whose temporary files are in `temp`.
fn demo(temp: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handoff"));
    command
        .arg("demo")
        .env("TMPDIR", temp.path())
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What remains of a demo in `temp`: processes that were told of it, and files.
fn remains(temp: &TempDir) -> Vec<String> {
    let path = temp.path().to_str().unwrap().as_bytes();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        if line.windows(path.len()).any(|part| part == path) {
            found.push(String::from_utf8_lossy(&line).replace('\0', " "));
        }
    }
    let files = fs::read_dir(temp.path()).unwrap();
    found.extend(files.map(|file| file.unwrap().path().display().to_string()));
    found
}

/// The end of a child, which is killed if it does not come.
fn end(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + LIMIT;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("the demo did not end");
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn it_ends_well_and_says_so() {
    ends_well(&[], "std");
}

#[test]
fn with_a_daemon_on_tokio_it_ends_the_same() {
    ends_well(&["--runtime", "tokio", "--seconds", "0.1"], "tokio");
}

#[test]
fn with_a_daemon_on_mio_it_ends_the_same() {
    ends_well(&["--runtime", "mio", "--seconds", "0.1"], "mio");
}

fn ends_well(args: &[&str], runtime: &str) {
    let temp = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("report.json");
    let output = demo(&temp)
        .args(args)
        .arg("--report")
        .arg(&file)
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert_eq!(stderr, "");
    assert_eq!(remains(&temp), Vec::<String>::new());

    let report = read_json(&file);
    assert_eq!(report["ok"], true);
    assert_eq!(report["runtime"], runtime);
    assert_eq!(report["problems"], Value::Array(Vec::new()));
    assert_eq!(report["handoffs"], 5);
    let steps = report["steps"].as_array().unwrap();
    for step in steps {
        for count in ["refused", "failed", "lost"] {
            assert_eq!(step[count], 0, "{step:#}");
        }
        assert!(count(step, "acknowledged") > 0, "{step:#}");
        assert!(millis(&step["write_pause_ms"]) > 0.0, "{step:#}");
        let name = step["name"].as_str().unwrap();
        assert!(stdout.contains(name), "{stdout}");
    }
    let [start, restart, good, broken, turns_bad, orphaned, last] = &steps[..] else {
        panic!("{report:#}");
    };
    for (step, outcomes, version) in [
        (start, &["started"][..], "A"),
        (restart, &["adopted"], "A"),
        (good, &["committed"], "B"),
        (broken, &["rolled back"], "B"),
        (turns_bad, &["rolled back"], "B"),
        (last, &["committed"], "F"),
    ] {
        let outcome = step["outcome"].as_str().unwrap();
        assert!(outcomes.contains(&outcome), "{step:#}");
        assert_eq!(step["version"], version, "{step:#}");
    }
    assert_restarts(start, restart, orphaned);
    for handoff in [good, broken, turns_bad, orphaned, last] {
        for phase in ["Warming", "Draining", "Sealing", "Opening"] {
            assert!(millis(&handoff["phases"][phase]) > 0.0, "{handoff:#}");
        }
        assert_eq!(handoff["warmup_ms"], handoff["phases"]["Warming"]);
        assert!(millis(&handoff["warmup_ms"]) >= 1000.0, "{handoff:#}");
    }
    for handoff in [good, broken, turns_bad, last] {
        let (pause, warm_up) = (&handoff["write_pause_ms"], &handoff["warmup_ms"]);
        assert!(millis(pause) < millis(warm_up), "{handoff:#}");
    }
    for handoff in [turns_bad, last] {
        assert!(count(handoff, "acknowledged_on_probation") > 0);
        assert!(millis(&handoff["phases"]["Probation"]) >= 500.0);
    }
    let cause = turns_bad["cause"].as_str().unwrap();
    assert!(cause.contains("health check"), "{cause}");
}

/// Whoever was started again found the daemon and has its listener.
fn assert_restarts(start: &Value, restart: &Value, orphaned: &Value) {
    for same in ["pid", "generation"] {
        assert_eq!(start[same], restart[same]);
    }
    let outcome = orphaned["outcome"].as_str().unwrap();
    assert!(["taken over", "reclaimed"].contains(&outcome), "{outcome}");
    assert!(start["restarted_supervisor"].is_null());
    let (first, second) = (
        count(restart, "restarted_supervisor"),
        count(orphaned, "restarted_supervisor"),
    );
    assert_ne!(first, second);
}

fn count(step: &Value, key: &str) -> u64 {
    let count = step[key].as_u64();
    count.unwrap_or_else(|| panic!("{key}: {step:#}"))
}

fn millis(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// Has the demo say a line that holds `until`, and ends it with `signal`.
fn interrupt(until: &str, signal: Signal) {
    let temp = tempfile::tempdir().unwrap();
    let mut child = demo(&temp).arg("--seconds=0").spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(until) {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "no {until}");
    }
    let told = Instant::now();
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
    let status = end(&mut child);
    let took = told.elapsed();
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(remains(&temp), Vec::<String>::new());
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("signal"), "{stderr}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn interrupted_at_its_start_it_leaves_nothing() {
    interrupt("clients connect", Signal::INT);
}

#[test]
fn interrupted_in_a_handoff_it_leaves_nothing() {
    interrupt("3. handoff", Signal::INT);
}

#[test]
fn interrupted_in_a_probation_it_leaves_nothing() {
    interrupt("D serves on probation", Signal::HUP);
}

#[test]
fn interrupted_between_two_supervisors_it_leaves_nothing() {
    interrupt("is killed", Signal::TERM);
}

#[test]
fn what_it_cannot_do_is_said_before_it_begins() {
    let temp = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let cases = [
        (["--listen", &*addr], "port in use"),
        (["--listen", "0.0.0.0:0"], "loopback"),
        (["--report", "/nowhere/report.json"], "/nowhere"),
    ];
    for (args, said) in cases {
        let output = demo(&temp).args(args).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
        assert_eq!(output.stdout, b"");
        assert_eq!(remains(&temp), Vec::<String>::new());
    }
}

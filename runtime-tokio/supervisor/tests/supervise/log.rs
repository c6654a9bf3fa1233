//! A supervisor whose log goes into a pipe that is full, or is not read: it does all of its work, and
//! what was lost is said.

use std::fmt::Write as _;
use std::fs;
use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use handoff_std::host::{Process, Signal};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde_json::Value;

use super::fleet::Fleet;
use super::systemd::Manager;
use super::world::{HANDOFF, spawn, wait_for};

/// Empty lines until not one more fits.
fn fill(pipe: &PipeWriter) {
    // Opened anew, since who writes there does not expect a pipe that does not wait.
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let pipe = rustix::fs::open(path, flags, Mode::empty()).unwrap();
    for lines in [&[b'\n'; 4096][..], b"\n"] {
        let full = loop {
            if let Err(error) = rustix::io::write(&pipe, lines) {
                break error;
            }
        };
        assert_eq!(full, Errno::AGAIN);
    }
}

/// Two services, and a supervisor of them that cannot write a line.
fn start() -> (Fleet, Manager, Child, PipeReader) {
    let fleet = Fleet::new("", "");
    let config = fleet.world.path("handoff.toml");
    let text = fs::read_to_string(&config).unwrap();
    let table = "[supervisor]\n";
    let json = format!("{table}log_format = \"json\"\n");
    fs::write(&config, text.replacen(table, &json, 1)).unwrap();
    let manager = Manager::new(&fleet);
    let (log, stderr) = std::io::pipe().unwrap();
    fill(&stderr);
    let mut command = Command::new(HANDOFF);
    command.args(["supervise", "--config"]).arg(&config);
    command.env("NOTIFY_SOCKET", &manager.address);
    let supervisor = spawn(command.stdin(Stdio::null()).stderr(stderr));
    manager.until("READY=1");
    (fleet, manager, supervisor, log)
}

fn signal(supervisor: &Child, signal: Signal) {
    let process = Process::of(supervisor.id()).unwrap();
    assert!(process.kill(signal).unwrap());
}

fn assert_ends(supervisor: &mut Child) {
    signal(supervisor, Signal::TERM);
    let status = wait_for("its end", || supervisor.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

#[test]
fn a_reader_that_stops_holds_up_nothing_and_hears_how_much_it_has_missed() {
    let (fleet, manager, mut supervisor, mut log) = start();
    // A line for each thing that is wrong: more of them than wait for a reader.
    let config = fleet.world.path("handoff.toml");
    let right = fs::read_to_string(&config).unwrap();
    let table = "[service.b]\n";
    let mut wrong = String::from(table);
    for number in 0..3000 {
        let _ = writeln!(wrong, "a_key_that_is_not_known_{number} = 1");
    }
    let wrong = right.replacen(table, &wrong, 1);
    fs::write(&config, wrong).unwrap();
    signal(&supervisor, Signal::HUP);
    manager.until("RELOADING=1");
    manager.until("READY=1");
    fs::write(&config, right).unwrap();

    let before = fleet.info("a");
    let (code, ended) = fleet.answer(&["upgrade", "a", "--binary", &fleet.binary("a2")]);
    assert_eq!(code, 0, "{ended}");
    assert_eq!(fleet.status("a")["pid"], ended["pid"]);
    assert_ne!(before.pid, ended["pid"]);

    // Somebody reads again.
    let read = Arc::new(Mutex::new(Vec::new()));
    let reading = {
        let read = Arc::clone(&read);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = log.read(&mut bytes) {
                read.lock().unwrap().extend(&bytes[..count]);
            }
        })
    };
    let lines = || {
        let text = String::from_utf8(read.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n') && line.len() > 1)
            .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")))
            .collect();
        lines
    };
    let message = |line: &Value| {
        let message = line["fields"]["message"].as_str();
        message.unwrap_or_default().to_owned()
    };
    let lost = |line: &Value| {
        let message = message(line);
        let (count, _) = message.split_once(" log lines were lost: nobody read them")?;
        Some(count.parse::<usize>().unwrap())
    };
    let lost = wait_for("the line on those that were lost", || {
        lines().iter().find_map(lost)
    });
    let told = lines()
        .iter()
        .filter(|line| message(line).contains("the configuration is left as it was"))
        .count();
    assert!(told > 100 && told < 3000, "{told}");
    assert!(told + lost >= 3000, "{told} and {lost}");

    // From then on nothing is missing, up to the end.
    let phases = |all: &[Value]| {
        all.iter()
            .filter(|line| line["fields"]["phase"] == "Draining")
            .count()
    };
    assert_eq!(phases(&lines()), 0);
    let (code, ended) = fleet.answer(&["restart", "a"]);
    assert_eq!(code, 0, "{ended}");
    assert_ends(&mut supervisor);
    assert_eq!(fleet.world.processes(), []);
    reading.join().unwrap();
    let all = lines();
    assert_eq!(phases(&all), 1);
    let ends = ["told to end", "ending the daemon", "ending the daemon"];
    let said: Vec<_> = all
        .iter()
        .map(message)
        .filter(|message| ends.contains(&&**message))
        .collect();
    assert_eq!(said, ends);
}

#[test]
fn a_reader_that_has_stopped_is_not_waited_for_at_the_end() {
    let (fleet, _manager, mut supervisor, _log) = start();
    assert_ends(&mut supervisor);
    assert_eq!(fleet.world.processes(), []);
}

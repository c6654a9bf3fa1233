use std::process::{Command, Stdio};

use super::*;

const LONG: Duration = Duration::from_mins(1);

/// A child that lives until it is killed, or this process ends.
fn cat() -> Child {
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::mem::forget(child.stdin.take());
    child.into()
}

#[test]
fn we_are_alive_and_known() {
    let us = Process::current();
    assert!(us.is_alive());
    assert_ne!(us.start, 0);
    assert_eq!(Process::of(us.pid), Some(us));
    assert!(matches!(
        us.watch().unwrap(),
        Watching::Pollable(_) | Watching::Unsupported
    ));
    assert!(!us.wait_dead(Duration::from_millis(1)));
}

#[test]
fn a_zombie_is_dead() {
    let mut child = cat();
    let process = Process::of(child.id()).unwrap();
    assert!(process.is_alive());
    let watching = process.watch().unwrap();
    let is_dead = || !matches!(&watching, Watching::Pollable(watch) if !watch.is_dead());
    assert!(!is_dead() || cfg!(not(target_os = "linux")));
    assert!(process.kill(Signal::KILL).unwrap());
    assert!(process.wait_dead(LONG));
    assert!(is_dead());
    // Not reaped yet: its pid is still taken, and it is dead all the same.
    assert_eq!(Process::of(process.pid), Some(process));
    assert!(!process.is_alive());
    assert!(!process.kill(Signal::KILL).unwrap());
    assert!(process.wait_dead(Duration::ZERO));
    child.wait().unwrap();
    assert_eq!(Process::of(process.pid).filter(|&p| p == process), None);
    assert!(matches!(process.watch().unwrap(), Watching::Dead));
}

#[test]
fn another_process_with_the_pid_is_let_live() {
    let mut child = cat();
    let real = Process::of(child.id()).unwrap();
    let earlier = Process {
        start: real.start - 1,
        ..real
    };
    assert!(!earlier.is_alive());
    assert!(!earlier.kill(Signal::KILL).unwrap());
    assert!(matches!(earlier.watch().unwrap(), Watching::Dead));
    let unknown = Process { start: 0, ..real };
    assert!(unknown.is_alive());
    let error = unknown.kill(Signal::KILL).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(real.is_alive());
    kill_and_reap(&mut child, LONG).unwrap().unwrap();
}

#[test]
fn pids_that_nobody_has() {
    for pid in [0, u32::MAX, i32::MAX.unsigned_abs()] {
        assert_eq!(Process::of(pid), None);
        let process = Process { pid, start: 1 };
        assert!(!process.is_alive());
        assert!(!process.kill(Signal::KILL).unwrap());
        assert!(process.wait_dead(LONG));
    }
}

#[test]
fn reaping_reports_how_it_died_and_can_be_repeated() {
    use std::os::unix::process::ExitStatusExt;
    let mut child = cat();
    let status = kill_and_reap(&mut child, LONG).unwrap().unwrap();
    assert_eq!(status.signal(), Some(9));
    assert_eq!(kill_and_reap(&mut child, LONG).unwrap(), Some(status));
}

#[test]
fn a_killed_child_is_waited_for_in_halves() {
    use std::os::unix::process::ExitStatusExt;
    let dying = Dying::child(cat()).unwrap();
    dying.wait();
    assert!(dying.is_over(Instant::now()));
    assert_eq!(dying.end().unwrap().and_then(|s| s.signal()), Some(9));

    // One that is somebody else's to reap, as far as it knows.
    let mut child = cat();
    let process = Process::of(child.id()).unwrap();
    let dying = Dying::stranger(process).unwrap();
    assert_eq!(dying.pid(), child.id());
    dying.wait();
    assert_eq!(dying.end().unwrap(), None);
    child.wait().unwrap();
}

#[test]
fn a_life_is_seen_to_end() {
    let mut child = cat();
    let life = Life::of(Process::of(child.id()).unwrap());
    assert!(!life.is_over());
    let now = Instant::now();
    assert_eq!(life.fd().is_none(), life.ask_at(now).is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(life.is_over());
}

#[test]
fn a_group_is_killed_with_its_leader_or_after_it() {
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    // The reader ends once nobody holds the pipe any more, the sleeping child included.
    for (script, code) in [("sleep 600 & wait", None), ("sleep 600 & exit 3", Some(3))] {
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        if code.is_some() {
            assert!(Process::of(child.id()).unwrap().wait_dead(LONG));
        }
        let mut held = child.stdout.take().unwrap();
        let mut child = Child::from(child);
        let status = kill_group_and_reap(&mut child, LONG).unwrap().unwrap();
        assert_eq!(status.code(), code, "{script}");
        held.read_to_end(&mut Vec::new()).unwrap();
    }
}

#[test]
fn the_portable_side_sees_the_same() {
    let mut child = cat();
    let pid = raw_pid(child.id()).unwrap();
    let first = portable::look(pid).unwrap();
    assert!(!first.zombie);
    child.kill().unwrap();
    assert!(Process::of(child.id()).unwrap().wait_dead(LONG));
    assert!(portable::look(pid).unwrap().zombie);
    child.wait().unwrap();
    assert_eq!(portable::look(pid), None);
}

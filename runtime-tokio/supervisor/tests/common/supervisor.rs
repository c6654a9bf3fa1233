//! Our supervisor as a process of its own, which can be killed or frozen: one of the programs of
//! [`stand_in`](super::stand_in).

use std::env;
use std::net::TcpListener;

use handoff_std::ask;
use handoff_std::core::{SupervisorConfig, Task};
use handoff_std::host::Inherited;
use handoff_std::{Child, HandoffSpec, Report, SpawnSpec, Supervisor};

use super::daemon::hold;
use super::stand_in::{
    FLAGS, PROBATION, ROLE, SUCCESSOR, SUCCESSOR_FLAGS, SUCCESSOR_ROLE, has, millis, tell, time,
    world,
};
use super::{PATIENCE, RESP, client, counts, ms, wait_until, wire};

/// Performs one handoff, or one to each successor. Flags: `recover` looks around instead, `start`
/// starts the daemon first, and `fill` then fills up its disk; `hold-handoff` waits for
/// [`World::go`](super::World::go) first; `more-listeners` has two more; `count` tells what it and
/// the daemon have open after each handoff, and asks the daemon everything before.
pub(crate) fn supervisor() -> i32 {
    let listener = Inherited::from_env().unwrap().listeners.take_tcp(RESP);
    let listener = listener.unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let successors = successors();
    let mut supervisor = Supervisor::new(world("p/c"), world("d"), successors[0].clone())
        .unwrap()
        .with_listener(RESP, listener)
        .with_journal(world("j/journal"))
        .with_times(SupervisorConfig {
            settle: time(),
            connect: ms(2000),
            // Often enough for a daemon with short times.
            heartbeat: ms(100),
            ..SupervisorConfig::new(Task::Recover(None))
        })
        .with_observer(|event| tell(&format!("{event:?}")));
    if has("more-listeners") {
        for name in ["second", "third"] {
            supervisor.add_listener(name, TcpListener::bind("127.0.0.1:0").unwrap());
        }
    }
    let mut child = None;
    if has("start") {
        child = Some(supervisor.cold_start().unwrap().child);
        assert!(wait_until(PATIENCE, || {
            client::set(address, "k", "v").is_ok() && wire::who_answers(&world("p/c")).is_some()
        }));
    }
    if has("fill") {
        let fill = std::fs::File::create(world("d/fill"));
        assert!(
            fill.is_ok_and(|mut file| std::io::copy(&mut std::io::repeat(0), &mut file).is_err())
        );
    }
    hold("handoff");
    if has("recover") {
        conclude(supervisor.recover().map_err(|e| e.to_string()));
        return 0;
    }
    for successor in successors {
        let report = supervisor.handoff(&HandoffSpec {
            deadline: time(),
            drain_grace: time(),
            probation: millis(PROBATION).unwrap_or_default(),
            ..HandoffSpec::new(successor)
        });
        let new = conclude(report.map_err(|e| e.to_string()));
        if let Some(new) = new
            && let Some(mut old) = child.replace(new)
        {
            old.wait().unwrap();
        }
        if has("count") {
            count(child.as_ref().expect("a daemon"));
        }
    }
    0
}

/// Tells the outcome, and returns the new daemon.
fn conclude(report: Result<Report, String>) -> Option<Child> {
    match report {
        Ok(report) => {
            tell(&format!("Outcome({})", report.outcome));
            report.child
        }
        Err(error) => {
            tell(&format!("Outcome({error})"));
            None
        }
    }
}

/// Tells how many descriptors, threads and children we have, and how many descriptors and threads the
/// daemon has when all that is on its way has come to its end.
fn count(daemon: &Child) {
    let control = world("p/c");
    ask::status(&control).unwrap();
    let kept = ask::listeners(&control).unwrap().len();
    assert_eq!(kept, if has("more-listeners") { 3 } else { 1 });
    assert!(wait_until(PATIENCE, || counts::is_settled(daemon.id())));
    let us = std::process::id();
    tell(&format!(
        "Counts({} {} {} {} {})",
        counts::descriptors(us),
        counts::threads(us),
        counts::children(us),
        counts::descriptors(daemon.id()),
        counts::threads(daemon.id()),
    ));
}

/// What a stand-in supervisor starts.
pub(crate) fn successors() -> Vec<SpawnSpec> {
    let Ok(roles) = env::var(SUCCESSOR_ROLE) else {
        let lines = env::var(SUCCESSOR).unwrap();
        return vec![SpawnSpec {
            binary: env!("CARGO_BIN_EXE_handoff").into(),
            args: lines.lines().map(Into::into).collect(),
            ..SpawnSpec::default()
        }];
    };
    let flags = env::var(SUCCESSOR_FLAGS).unwrap_or_default();
    let spec = |role: &str| SpawnSpec {
        binary: env::current_exe().unwrap(),
        args: env::args_os().skip(1).collect(),
        env: vec![
            (ROLE.into(), role.into()),
            (FLAGS.into(), flags.clone().into()),
        ],
        ..SpawnSpec::default()
    };
    roles.split(',').map(spec).collect()
}

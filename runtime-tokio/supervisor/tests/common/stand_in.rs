//! This test binary as another program: a supervisor that can be killed or frozen, or a daemon whose
//! hooks do nothing. Run as `--exact common::stand_in::stand_in` with [`ROLE`] set, it is that
//! program and never returns; without it, the test passes and does nothing.

use std::env;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use handoff_std::core::{IncumbentConfig, SupervisorConfig, Task};
use handoff_std::hooks::HookError;
use handoff_std::host::Inherited;
use handoff_std::{
    DataDirLock, DrainReport, Drainable, HandoffSpec, HookContext, Incumbent, Readiness, Report,
    Role, SealReport, SpawnSpec, SuccessorSetup, Supervisor, detect_role,
};

use super::{PATIENCE, RESP, client, ms, published, wait_until, wire};

/// Which program this is to be: [`DAEMON`], [`SUPERVISOR`], or one of [`published`]'s.
pub(crate) const ROLE: &str = "HF_ROLE";
/// The directory of the test's world.
pub(crate) const WORLD: &str = "HF_WORLD";
/// What the program is to do otherwise than well, separated by commas.
pub(crate) const FLAGS: &str = "HF_FLAGS";
/// The arguments of the `handoff` binary that a supervisor starts as the successor, a line each.
pub(crate) const SUCCESSOR: &str = "HF_SUCCESSOR";
/// Instead of that: the role of the stand-in that it starts, and the stand-in's flags.
pub(crate) const SUCCESSOR_ROLE: &str = "HF_SUCCESSOR_ROLE";
/// See [`SUCCESSOR_ROLE`].
pub(crate) const SUCCESSOR_FLAGS: &str = "HF_SUCCESSOR_FLAGS";
/// A supervisor's deadline, and its settle time, in milliseconds.
pub(crate) const TIME: &str = "HF_TIME";

/// A daemon that keeps no data. Flags: `unhealthy`, `fail-open`, `slow-seal`, `short-times`.
pub(crate) const DAEMON: &str = "daemon";
/// A supervisor that performs one handoff. Flags: `recover` looks around instead, `start` starts
/// the daemon first, and `fill` then fills up its disk.
pub(crate) const SUPERVISOR: &str = "supervisor";

#[test]
fn stand_in() {
    let Ok(role) = env::var(ROLE) else { return };
    let code = match role.as_str() {
        DAEMON => daemon(),
        SUPERVISOR => supervisor(),
        published::DAEMON => published::daemon(),
        published::SUPERVISOR => published::supervisor(),
        other => panic!("no such stand-in: {other}"),
    };
    std::process::exit(code);
}

pub(crate) fn world(name: &str) -> PathBuf {
    PathBuf::from(env::var_os(WORLD).expect("a world")).join(name)
}

pub(crate) fn has(flag: &str) -> bool {
    env::var(FLAGS).is_ok_and(|flags| flags.split(',').any(|found| found == flag))
}

pub(crate) fn time() -> Duration {
    env::var(TIME).map_or(ms(10_000), |text| ms(text.parse().expect("milliseconds")))
}

/// Answers every request with OK, while it is told to.
#[derive(Clone, Default)]
pub(crate) struct Clients(Arc<AtomicBool>);

impl Clients {
    pub(crate) fn serve(&self, on: bool) {
        self.0.store(on, Ordering::SeqCst);
    }

    /// The listener is non-blocking from here on.
    pub(crate) fn accept_on(&self, listener: TcpListener) {
        let clients = self.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(ms(1));
                if !clients.0.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok((mut stream, _)) = listener.accept() else {
                    continue;
                };
                // A listener that was made blocking may have waited over a drain.
                if clients.0.load(Ordering::SeqCst) {
                    let _ = stream.set_nonblocking(false);
                    let _ = stream.set_read_timeout(Some(ms(200)));
                    let _ = stream.read(&mut [0; 512]);
                    let _ = stream.write_all(b"+OK\r\n");
                }
            }
        });
    }
}

impl Drainable for Clients {
    fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        self.serve(false);
        Ok(DrainReport::default())
    }

    fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        tell("the seal hook runs");
        if has("slow-seal") {
            thread::sleep(ms(300));
        }
        Ok(SealReport::default())
    }

    fn resume(&self) -> Result<(), HookError> {
        self.serve(true);
        Ok(())
    }
}

fn daemon() -> i32 {
    let (control, data) = (world("p/c"), world("d"));
    let clients = Clients::default();
    let (listener, incumbent) = match detect_role().unwrap() {
        Role::ColdStart(mut listeners) => {
            let lock = DataDirLock::acquire(&data).unwrap();
            let incumbent = Incumbent::bind(&control, lock).unwrap();
            (listeners.take_tcp(RESP).unwrap(), incumbent)
        }
        Role::Successor(successor) => {
            let setup = SuccessorSetup::new(&control, &data);
            let mut begun = successor
                .handshake(setup)
                .unwrap()
                .stand_by()
                .unwrap()
                .wait_for_begin()
                .unwrap();
            if has("fail-open") {
                begun.give_up("as the flag asked for");
                return 1;
            }
            let listener = begun.take_tcp(RESP).unwrap();
            let readiness = Readiness {
                healthy: !has("unhealthy"),
                ..Readiness::default()
            };
            match begun.announce(readiness) {
                Ok(incumbent) => (listener, incumbent),
                Err(_) => return 1,
            }
        }
    };
    let listener = listener.unwrap();
    listener.set_nonblocking(true).unwrap();
    clients.accept_on(listener);
    clients.serve(true);
    let incumbent = if has("short-times") {
        incumbent.with_times(IncumbentConfig {
            dead_peer: ms(300),
            wire_slack: ms(100),
            ..IncumbentConfig::default()
        })
    } else {
        incumbent
    };
    i32::from(incumbent.serve(clients).is_err())
}

/// What a stand-in supervisor starts.
pub(crate) fn successor() -> SpawnSpec {
    if let Ok(role) = env::var(SUCCESSOR_ROLE) {
        let flags = env::var(SUCCESSOR_FLAGS).unwrap_or_default();
        return SpawnSpec {
            binary: env::current_exe().unwrap(),
            args: env::args_os().skip(1).collect(),
            env: vec![(ROLE.into(), role.into()), (FLAGS.into(), flags.into())],
            ..SpawnSpec::default()
        };
    }
    SpawnSpec {
        binary: env!("CARGO_BIN_EXE_handoff").into(),
        args: env::var(SUCCESSOR)
            .unwrap()
            .lines()
            .map(Into::into)
            .collect(),
        ..SpawnSpec::default()
    }
}

/// Writes a line for [`World::wait_event`](super::World::wait_event).
pub(crate) fn tell(event: &str) {
    let mut events = OpenOptions::new()
        .create(true)
        .append(true)
        .open(world("events"))
        .unwrap();
    events.write_all(format!("{event}\n").as_bytes()).unwrap();
}

fn supervisor() -> i32 {
    let listener = Inherited::from_env().unwrap().listeners.take_tcp(RESP);
    let listener = listener.unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let mut supervisor = Supervisor::new(world("p/c"), world("d"), successor())
        .unwrap()
        .with_listener(RESP, listener)
        .with_journal(world("j/journal"))
        .with_times(SupervisorConfig {
            settle: time(),
            connect: ms(2000),
            ..SupervisorConfig::new(Task::Recover(None))
        })
        .with_observer(|event| tell(&format!("{event:?}")));
    if has("start") {
        supervisor.cold_start().unwrap();
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
    let report: Result<Report, _> = if has("recover") {
        supervisor.recover()
    } else {
        supervisor.handoff(&HandoffSpec {
            deadline: time(),
            drain_grace: time(),
            ..HandoffSpec::new(successor())
        })
    };
    match report {
        Ok(report) => tell(&format!("Outcome({})", report.outcome)),
        Err(error) => tell(&format!("Outcome({error})")),
    }
    0
}

//! Our daemon, without data and with hooks that wait, fail and panic as a test has it: one of the
//! programs of [`stand_in`](super::stand_in).

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use handoff_std::core::wire::VersionRange;
use handoff_std::core::{IncumbentConfig, SuccessorConfig};
use handoff_std::hooks::HookError;
use handoff_std::{
    DataDirLock, DrainReport, Drainable, HookContext, Incumbent, Readiness, Role, SealReport,
    Snapshot, Successor, SuccessorSetup, detect_role,
};

use super::stand_in::{has, tell, world};
use super::{RESP, ms};

/// How long a daemon with the flag `short-times` lets a supervisor be silent.
pub(crate) const SHORT_SILENCE: Duration = ms(1000);
/// What it gives the wire besides.
const SHORT_SLACK: Duration = ms(100);
/// How long it waits for its committed hook when nobody can say Commit, and no less.
pub(crate) const SHORT_ORPHANAGE: Duration = SHORT_SILENCE.saturating_add(SHORT_SLACK);

/// What a daemon's snapshot says.
pub(crate) const REVISIONS: [u64; 2] = [3, 1 << 40];

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

/// Waits for [`World::go`](super::World::go), if a flag `hold-...` names this.
pub(crate) fn hold(what: &str) {
    if has(&format!("hold-{what}")) {
        note(&format!("{what} waits"));
        while !world(&format!("go-{what}")).exists() {
            thread::sleep(ms(1));
        }
    }
}

/// Tells the test something of this process.
fn note(what: &str) {
    tell(&format!("pid {}: {what}", std::process::id()));
}

struct Hooks {
    clients: Clients,
    born: Instant,
}

impl Drainable for Hooks {
    fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        note("drain hook");
        self.clients.serve(false);
        hold("drain");
        Ok(DrainReport::default())
    }

    fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        note("seal hook");
        hold("seal");
        if has("slow-seal") {
            thread::sleep(ms(300));
        }
        Ok(SealReport::default())
    }

    fn resume(&self) -> Result<(), HookError> {
        self.clients.serve(true);
        note("resume hook");
        Ok(())
    }

    fn committed(&self) -> Result<(), HookError> {
        hold("committed");
        if has("slow-committed") {
            thread::sleep(ms(300));
        }
        note(&format!(
            "committed hook after {} ms",
            self.born.elapsed().as_millis()
        ));
        assert!(!has("panic-committed"), "as the flag asked for");
        Ok(())
    }

    fn snapshot(&self) -> Snapshot {
        hold("snapshot");
        Snapshot {
            open_connections: 7,
            revisions: REVISIONS.into(),
        }
    }
}

/// Flags: `v1` speaks version 1 only; `short-times`; `unhealthy`; `fail-` with `warm-up` or `open`;
/// `panic-` with `warm-up` or `committed`; `slow-` with `seal` or `committed`; `hold-` with `warm-up`,
/// `open`, `drain`, `seal`, `committed` or `snapshot` waits for [`World::go`](super::World::go).
pub(crate) fn daemon() -> i32 {
    let started = match detect_role().unwrap() {
        Role::ColdStart(mut listeners) => {
            let lock = DataDirLock::acquire(&world("d")).unwrap();
            let incumbent = Incumbent::bind(world("p/c"), lock).unwrap();
            Some((listeners.take_tcp(RESP).unwrap(), incumbent))
        }
        Role::Successor(successor) => take_over(successor),
    };
    let Some((listener, incumbent)) = started else {
        return 1;
    };
    let listener = listener.unwrap();
    listener.set_nonblocking(true).unwrap();
    let hooks = Hooks {
        clients: Clients::default(),
        born: Instant::now(),
    };
    hooks.clients.accept_on(listener);
    hooks.clients.serve(true);
    let times = IncumbentConfig {
        versions: versions(),
        ..IncumbentConfig::default()
    };
    let incumbent = incumbent.with_times(if has("short-times") {
        IncumbentConfig {
            dead_peer: SHORT_SILENCE,
            wire_slack: SHORT_SLACK,
            ..times
        }
    } else {
        times
    });
    let incumbent = incumbent.with_observer(|event| note(&format!("{event:?}")));
    i32::from(incumbent.serve(hooks).is_err())
}

fn take_over(successor: Successor) -> Option<(Option<TcpListener>, Incumbent)> {
    let setup = SuccessorSetup {
        times: SuccessorConfig {
            versions: versions(),
            ..SuccessorConfig::default()
        },
        ..SuccessorSetup::new(world("p/c"), world("d"))
    };
    let warming = successor.handshake(setup).unwrap();
    hold("warm-up");
    assert!(!has("panic-warm-up"), "as the flag asked for");
    if has("fail-warm-up") {
        warming.give_up("as the flag asked for");
        return None;
    }
    let mut begun = warming.stand_by().ok()?.wait_for_begin().ok()?;
    hold("open");
    if has("fail-open") {
        begun.give_up("as the flag asked for");
        return None;
    }
    let listener = begun.take_tcp(RESP).unwrap();
    let readiness = Readiness {
        healthy: !has("unhealthy"),
        ..Readiness::default()
    };
    Some((listener, begun.announce(readiness).ok()?))
}

/// What it speaks.
fn versions() -> VersionRange {
    if has("v1") {
        VersionRange::V1
    } else {
        VersionRange::SUPPORTED
    }
}

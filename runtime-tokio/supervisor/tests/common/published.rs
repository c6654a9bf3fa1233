//! The published crate of version 1, through its public interface, as programs of their own: a
//! daemon that keeps no data, and a supervisor that performs one handoff.

use std::os::fd::AsRawFd;
use std::time::Instant;

use handoff_std::host::Inherited;

use super::RESP;
use super::daemon::{Clients, hold};
use super::stand_in::{has, tell, time, world};
use super::supervisor::successors;

/// A daemon. Flags: `fail-open`, `hold-open`, `fail-drain`.
pub(crate) const DAEMON: &str = "published-daemon";
/// A supervisor that performs one handoff.
pub(crate) const SUPERVISOR: &str = "published-supervisor";

struct Hooks(Clients);

impl handoff::Drainable for Hooks {
    fn drain(&self, _: Instant) -> handoff::Result<handoff::DrainReport> {
        self.0.serve(false);
        if has("fail-drain") {
            return Err(handoff::Error::Protocol("as the flag asked for".into()));
        }
        Ok(handoff::DrainReport::default())
    }

    fn seal(&self) -> handoff::Result<handoff::SealReport> {
        Ok(handoff::SealReport::default())
    }

    fn resume_after_abort(&self) -> handoff::Result<()> {
        self.0.serve(true);
        Ok(())
    }

    fn snapshot_state(&self) -> handoff::StateSnapshot {
        handoff::StateSnapshot::default()
    }
}

pub(crate) fn daemon() -> i32 {
    let (control, data) = (world("p/c"), world("d"));
    std::fs::create_dir_all(&data).unwrap();
    let clients = Clients::default();
    let (listener, incumbent) = match handoff::detect_role().unwrap() {
        handoff::Role::ColdStart { mut inherited } => {
            let lock = handoff::DataDirLock::acquire_or_break_stale(&data).unwrap();
            let listener = inherited.take(RESP).unwrap();
            let incumbent = handoff::Incumbent::bind_cold_start(&control, lock).unwrap();
            (listener, incumbent)
        }
        handoff::Role::Successor(successor) => {
            let standing = successor.handshake(Vec::new()).unwrap();
            let Ok(mut begun) = standing.wait_for_begin() else {
                return 1;
            };
            let lock = handoff::DataDirLock::acquire(&data).unwrap();
            hold("open");
            if has("fail-open") {
                return 1;
            }
            let listener = begun.take_listener(RESP).unwrap();
            let readiness = handoff::ReadinessSnapshot {
                healthz_ok: true,
                ..handoff::ReadinessSnapshot::default()
            };
            let incumbent = begun.announce_and_bind(readiness, &control, lock).unwrap();
            (listener, incumbent)
        }
    };
    listener.set_nonblocking(true).unwrap();
    clients.accept_on(listener);
    clients.serve(true);
    i32::from(incumbent.serve(Hooks(clients)).is_err())
}

pub(crate) fn supervisor() -> i32 {
    let listener = Inherited::from_env().unwrap().listeners.take_tcp(RESP);
    let listener = listener.unwrap().unwrap();
    let supervisor = handoff::Supervisor::new(&world("p/c"))
        .unwrap()
        .with_listener(RESP, listener.as_raw_fd());
    let ours = successors().remove(0);
    let text = |text: std::ffi::OsString| text.into_string().unwrap();
    let mut spec = handoff::SpawnSpec::new(ours.binary);
    spec.args = ours.args.into_iter().map(text).collect();
    spec.env = ours
        .env
        .into_iter()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    spec.deadline = time();
    spec.drain_grace = time();
    match supervisor.perform_handoff(spec) {
        Ok(outcome) if outcome.committed => tell("Outcome(committed)"),
        Ok(outcome) => tell(&format!("Outcome(rolled back: {:?})", outcome.abort_reason)),
        Err(error) => tell(&format!("Outcome(error: {error})")),
    }
    0
}

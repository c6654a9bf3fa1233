//! The measured daemon and its supervisor on the published crate of version 1.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use handoff::{
    DataDirLock, DrainReport, Drainable, Error, Incumbent, ReadinessSnapshot, Result, Role,
    SealReport, SpawnSpec, StateSnapshot, Supervisor, detect_role,
};

use super::daemon::{Daemon, LISTENER, Place};
use super::on_std::serve;
use super::round::{Driven, Offered};
use super::span::Span;

/// The daemon, until it is handed over or told to end.
pub(super) fn run(place: &Place, warm_up: Duration) -> anyhow::Result<()> {
    let role = detect_role()?;
    let daemon = Daemon::start(place)?;
    let (incumbent, listener) = match role {
        Role::ColdStart { mut inherited } => {
            let lock = DataDirLock::acquire(&place.data())?;
            let incumbent = Incumbent::bind_cold_start(&place.control(), lock)?;
            daemon.open()?;
            (incumbent, inherited.take(LISTENER))
        }
        Role::Successor(successor) => {
            let standing = successor.handshake(Vec::new())?;
            Daemon::warm_up(warm_up);
            let mut begun = standing.wait_for_begin()?;
            let lock = DataDirLock::acquire(&place.data())?;
            let listener = begun.take_listener(LISTENER);
            daemon.open()?;
            let ready = ReadinessSnapshot {
                healthz_ok: true,
                ..ReadinessSnapshot::default()
            };
            let incumbent = begun.announce_and_bind(ready, &place.control(), lock)?;
            (incumbent, listener)
        }
    };
    serve(&daemon, listener)?;
    incumbent.serve(Hooks(daemon.clone()))?;
    daemon.retire()
}

struct Hooks(Daemon);

fn failed(error: &anyhow::Error) -> Error {
    Error::Protocol(error.to_string())
}

impl Drainable for Hooks {
    fn drain(&self, _: Instant) -> Result<DrainReport> {
        self.0.drain().map_err(|e| failed(&e))?;
        Ok(DrainReport {
            open_conns_remaining: 0,
            accept_closed: true,
        })
    }

    fn seal(&self) -> Result<SealReport> {
        self.0.seal().map_err(|e| failed(&e))?;
        Ok(SealReport::default())
    }

    fn resume_after_abort(&self) -> Result<()> {
        self.0.resume().map_err(|e| failed(&e))
    }

    fn snapshot_state(&self) -> StateSnapshot {
        StateSnapshot::default()
    }
}

/// One handoff by the published supervisor, on the calling thread.
pub(super) fn hand_off(offered: Offered) -> anyhow::Result<Driven> {
    let Offered {
        place,
        daemon,
        listener,
    } = offered;
    let supervisor = Supervisor::new(&place.control())?
        .with_listener(LISTENER, listener.as_raw_fd())
        .with_journal(place.journal());
    let mut spec = SpawnSpec::new(daemon.binary);
    for arg in daemon.args {
        let arg = arg.into_string();
        spec.args.push(arg.ok().context("an argument is not text")?);
    }
    let (took, outcome) = Span::of(|| supervisor.perform_handoff(spec))?;
    ensure!(outcome.committed, "{:?}", outcome.abort_reason);
    let child = outcome.child.context("no successor in the outcome")?;
    let child = child.into();
    Ok(Driven { child, took })
}

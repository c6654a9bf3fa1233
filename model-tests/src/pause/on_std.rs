//! The measured daemon and its supervisor on `handoff-std`.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, ensure};
use handoff_std::{
    DataDirLock, DrainReport, Drainable, HandoffSpec, HookContext, HookError, Incumbent, Readiness,
    Role, SealReport, SuccessorSetup, Supervisor, detect_role,
};

use super::daemon::{Daemon, LISTENER, Place};
use super::round::{Driven, Offered};
use super::span::Span;

/// The daemon, until it is handed over or told to end.
pub(super) fn run(place: &Place, warm_up: Duration) -> anyhow::Result<()> {
    let role = detect_role()?;
    let daemon = Daemon::start(place)?;
    let (incumbent, listener) = match role {
        Role::ColdStart(mut listeners) => {
            let lock = DataDirLock::acquire(&place.data())?;
            let incumbent = Incumbent::bind(place.control(), lock)?;
            daemon.open()?;
            (incumbent, listeners.take_tcp(LISTENER)?)
        }
        Role::Successor(successor) => {
            let setup = SuccessorSetup::new(place.control(), place.data());
            let warming = successor.handshake(setup)?;
            Daemon::warm_up(warm_up);
            let mut begun = warming.stand_by()?.wait_for_begin()?;
            let listener = begun.take_tcp(LISTENER)?;
            daemon.open()?;
            (begun.announce(Readiness::healthy())?, listener)
        }
    };
    serve(&daemon, listener)?;
    incumbent.serve(Hooks(daemon.clone()))?;
    daemon.retire()
}

/// Serves what was inherited.
pub(super) fn serve(daemon: &Daemon, listener: Option<TcpListener>) -> anyhow::Result<()> {
    let listener = listener.context("no listener was inherited")?;
    listener.set_nonblocking(true)?;
    daemon.serve(listener)
}

struct Hooks(Daemon);

impl Drainable for Hooks {
    fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        self.0.drain()?;
        Ok(DrainReport::CLEAN)
    }

    fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        self.0.seal()?;
        Ok(SealReport::default())
    }

    fn resume(&self) -> Result<(), HookError> {
        Ok(self.0.resume()?)
    }
}

/// One handoff by our supervisor, on the calling thread.
pub(super) fn hand_off(offered: Offered) -> anyhow::Result<Driven> {
    let Offered {
        place,
        daemon,
        listener,
    } = offered;
    let mut supervisor = Supervisor::new(place.control(), place.data(), daemon.clone())?
        .with_listener(LISTENER, OwnedFd::from(listener))
        .with_journal(place.journal());
    let spec = HandoffSpec::new(daemon);
    let (took, report) = Span::of(|| supervisor.handoff(&spec))?;
    ensure!(report.committed(), "{:?}", report.abort_reason());
    let child = report.child.context("no successor in the report")?;
    Ok(Driven { child, took })
}

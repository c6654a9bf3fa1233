//! The measured daemon and its supervisor on `handoff-tokio`, each on a runtime of one thread.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, ensure};
use handoff_tokio::{
    DrainReport, Drainable, HandoffSpec, HookContext, HookError, Incumbent, Readiness, Role,
    SealReport, SuccessorSetup, Supervisor, acquire_lock, blocking, detect_role,
};
use tokio::runtime::{Builder, Runtime};

use super::daemon::{Daemon, LISTENER, Place};
use super::on_std::serve;
use super::round::{Driven, Offered};
use super::span::Span;

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// The daemon, until it is handed over or told to end.
pub(super) fn run(place: &Place, warm_up: Duration) -> anyhow::Result<()> {
    let role = detect_role()?;
    let daemon = Daemon::start(place)?;
    runtime()?.block_on(live(role, place, &daemon, warm_up))?;
    daemon.retire()
}

async fn live(role: Role, place: &Place, daemon: &Daemon, warm_up: Duration) -> anyhow::Result<()> {
    let (incumbent, listener) = match role {
        Role::ColdStart(mut listeners) => {
            let lock = acquire_lock(place.data()).await?;
            let incumbent = Incumbent::bind(place.control(), lock).await?;
            daemon.open()?;
            (incumbent, listeners.take_tcp(LISTENER)?)
        }
        Role::Successor(successor) => {
            let setup = SuccessorSetup::new(place.control(), place.data());
            let warming = successor.handshake(setup).await?;
            tokio::time::sleep(warm_up).await;
            let mut begun = warming.stand_by()?.wait_for_begin().await?;
            let listener = begun.take_tcp(LISTENER)?;
            let opened = daemon.clone();
            blocking(move || Ok(opened.open()?))
                .await
                .map_err(anyhow::Error::from_boxed)?;
            (begun.announce(Readiness::healthy()).await?, listener)
        }
    };
    serve(daemon, listener)?;
    incumbent.serve(Hooks(daemon.clone())).await?;
    Ok(())
}

struct Hooks(Daemon);

impl Drainable for Hooks {
    async fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        let daemon = self.0.clone();
        blocking(move || Ok(daemon.drain()?)).await?;
        Ok(DrainReport::CLEAN)
    }

    async fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        let daemon = self.0.clone();
        blocking(move || Ok(daemon.seal()?)).await?;
        Ok(SealReport::default())
    }

    async fn resume(&self) -> Result<(), HookError> {
        let daemon = self.0.clone();
        blocking(move || Ok(daemon.resume()?)).await
    }
}

/// One handoff by our supervisor.
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
    let runtime = runtime()?;
    let (took, report) = Span::of(|| runtime.block_on(supervisor.handoff(&spec)))?;
    ensure!(report.committed(), "{:?}", report.abort_reason());
    let child = report.child.context("no successor in the report")?;
    Ok(Driven { child, took })
}

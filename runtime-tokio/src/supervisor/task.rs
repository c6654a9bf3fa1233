//! One task of a supervisor, from its start to its report, and what is undone when it is dropped
//! half-way.

use std::io;
use std::sync::Arc;

use handoff_core::{SupervisorConfig, SupervisorOutcome};
use handoff_std::host::supervise::{Household, Transcript, WatchThread, Works};
use handoff_std::host::{Observer, Process};
use handoff_std::{HandoffSpec, Report, RollbackHandle, SupervisorError, SupervisorEvent};

use tokio::sync::oneshot;

use super::host::SupervisorHost;
use crate::driver::{Driver, Flow};
use crate::task::Queue;

/// Runs the task. Returns who the incumbent said it was, too.
pub(super) async fn run(
    driver: SupervisorDriver,
    home: &Household,
    config: &SupervisorConfig,
    spec: Option<&HandoffSpec>,
    observer: &Observer<SupervisorEvent>,
    rollback: &RollbackHandle,
    queue: &Queue,
) -> Result<(Report, Option<Process>), SupervisorError> {
    let successor = spec.map(|spec| spec.successor.clone());
    let host = SupervisorHost {
        works: Arc::new(Works::new(home.clone(), successor)),
        transcript: Transcript::new(config, observer, rollback),
        health: spec.and_then(|spec| spec.health.as_ref()),
        rollback,
        watch: None,
        incumbent: None,
        queue,
        caller: driver.caller(),
        clock: driver.engine.clock(),
    };
    let mut running = Running(Some((driver, host)));
    let (outcome, host) = running.run().await?;

    let SupervisorHost {
        works,
        transcript,
        watch,
        ..
    } = host;
    // Behind the journal, which the machine did not wait for. It is done even if nobody waits.
    let (report, finished) = oneshot::channel();
    queue.run(move || {
        if let Some(watch) = watch {
            watch.join();
        }
        let _ = report.send(works.finish(outcome));
    });
    let finished = finished.await;
    let (child, ended) = finished.map_err(|_| io::Error::other("the runtime shuts down"))?;
    let incumbent = transcript.incumbent();
    Ok((transcript.report(outcome, child, ended), incumbent))
}

type SupervisorDriver = Driver<handoff_core::Supervisor, 2>;

/// A task under way. Dropping it undoes what can be undone.
struct Running<'a>(Option<(SupervisorDriver, SupervisorHost<'a>)>);

impl<'a> Running<'a> {
    /// Runs it to its end. From then on nothing is undone any more.
    async fn run(&mut self) -> io::Result<(SupervisorOutcome, SupervisorHost<'a>)> {
        let flow = match &mut self.0 {
            Some((driver, host)) => driver.run(host).await,
            None => Flow::Stopped,
        };
        match (flow, self.0.take()) {
            (Flow::Done(outcome), Some((_, host))) => {
                host.rollback.close();
                Ok((outcome, host))
            }
            (_, running) => {
                self.0 = running;
                Err(io::Error::other("the control loop was stopped"))
            }
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Some((mut driver, host)) = self.0.take() else {
            return;
        };
        host.rollback.close();
        let has_incumbent = host
            .incumbent
            .is_some_and(|link| driver.engine.links().socket(link).is_some());
        if host.transcript.successor_stays(has_incumbent) {
            return;
        }
        let undo = Undo {
            works: host.works,
            watch: host.watch,
            _driver: driver,
        };
        host.queue.run(move || drop(undo));
    }
}

/// Kills what was started, and then lets the incumbent go: the other way round it could find the
/// control path in the hands of a successor that is about to die, and leave.
///
/// All of it happens when this is dropped, since a runtime that shuts down drops what it does not run
/// any more.
struct Undo {
    works: Arc<Works>,
    watch: Option<WatchThread>,
    /// Has the sessions.
    _driver: SupervisorDriver,
}

impl Drop for Undo {
    fn drop(&mut self) {
        self.works.abandon();
        if let Some(watch) = self.watch.take() {
            watch.join();
        }
    }
}

//! The adapter against a supervisor that is played by the test, all in this process.

mod drops;
mod executor;
mod hooks;
mod peer;

use std::path::Path;
use std::time::Duration;

use handoff_core::IncumbentConfig;
use handoff_std::host::InheritedListeners;
use handoff_std::{DataDirLock, DrainReport, HookError, SealReport, SuccessorSetup};
use tokio::task::yield_now;

use self::peer::Peer;
use crate::{Drainable, HookContext, Incumbent, Successor};

/// A daemon whose hooks have nothing to do.
struct Idle;

impl Drainable for Idle {
    async fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        Ok(DrainReport::CLEAN)
    }

    async fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        Ok(SealReport::default())
    }

    async fn resume(&self) -> Result<(), HookError> {
        Ok(())
    }
}

/// An incumbent in this directory.
async fn incumbent(dir: &Path) -> Incumbent {
    let lock = DataDirLock::acquire(dir).unwrap();
    let incumbent = Incumbent::bind(dir.join("control"), lock).await.unwrap();
    incumbent.with_times(IncumbentConfig {
        cancel_grace: Duration::from_millis(20),
        ..IncumbentConfig::default()
    })
}

/// A successor in this directory, and the supervisor's end of its channel.
fn successor(dir: &Path) -> (Successor, SuccessorSetup, Peer) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let successor = Successor::new(theirs, InheritedListeners::default());
    let setup = SuccessorSetup::new(dir.join("control"), dir);
    (successor, setup, Peer::new(ours))
}

/// Lets the others run until only the task of the test is left, which is not counted.
async fn until_no_task_is_left() {
    while tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
        > 0
    {
        yield_now().await;
    }
}

//! Work beside the loop: hooks as tasks, file work on the runtime's blocking threads.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};

use handoff_std::host::panic_text;
use tokio::task::{JoinSet, spawn_blocking};

/// The tasks of one loop. Dropping it ends them at their next await.
#[derive(Default)]
pub(crate) struct Tasks(JoinSet<()>);

impl Tasks {
    /// Runs `work` and hands its result to `report`. Work that panics has failed (`C1`).
    pub(crate) fn run<T: Send + 'static>(
        &mut self,
        work: impl Future<Output = Result<T, String>> + Send + 'static,
        report: impl FnOnce(Result<T, String>) + Send + 'static,
    ) {
        while self.0.try_join_next().is_some() {}
        self.0.spawn(async move { report(caught(work).await) });
    }
}

/// The result of `work`, or what it said when it panicked.
async fn caught<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let mut work = Box::pin(work);
    poll_fn(move |cx| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)))
            .unwrap_or_else(|panic| Err(format!("panicked: {}", panic_text(&*panic))).into())
    })
    .await
}

/// Runs file work, which goes to its end whatever becomes of the loop. `work` reports by itself.
pub(crate) fn blocking(work: impl FnOnce() + Send + 'static) {
    // It panics when the system has no thread to give. Then the machine hears nothing, and its time
    // limit does the rest.
    if catch_unwind(AssertUnwindSafe(|| drop(spawn_blocking(work)))).is_err() {
        tracing::error!("the runtime has no thread for file work");
    }
}

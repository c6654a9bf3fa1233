//! Work beside the loop: hooks as tasks, file work on the runtime's blocking threads.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

type Job = Box<dyn FnOnce() + Send>;

/// File work that has to keep its order: one after the other, on blocking threads. Clones are the
/// same queue.
#[derive(Clone, Default)]
pub(crate) struct Queue(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    running: bool,
}

impl Queue {
    /// Runs `work` after all that came before it, whatever becomes of the loop.
    pub(crate) fn run(&self, work: impl FnOnce() + Send + 'static) {
        let mut waiting = self.lock();
        waiting.jobs.push_back(Box::new(work));
        if !std::mem::replace(&mut waiting.running, true) {
            drop(waiting);
            let runner = Runner {
                queue: self.clone(),
                ended: false,
            };
            blocking(move || runner.run());
        }
    }

    /// Waits until all that came before is done.
    pub(crate) async fn settled(&self) {
        let (done, waits) = tokio::sync::oneshot::channel::<()>();
        self.run(move || drop(done));
        // It is dropped, and nothing is sent.
        let _ = waits.await;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs what waits. One that is dropped before its end, by a job that panics or a runtime that shuts
/// down, leaves the rest to the next.
struct Runner {
    queue: Queue,
    ended: bool,
}

impl Runner {
    fn run(mut self) {
        loop {
            let job = {
                let mut waiting = self.queue.lock();
                let job = waiting.jobs.pop_front();
                // From here on another one may be started.
                waiting.running = job.is_some();
                self.ended = job.is_none();
                job
            };
            match job {
                Some(job) => job(),
                None => return,
            }
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if !self.ended {
            self.queue.lock().running = false;
        }
    }
}

//! The thread that the daemon's hooks run on, beside the control loop.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use crate::driver::Wake;
use crate::host::panic_text;

type Job = Box<dyn FnOnce() + Send>;

/// Runs hooks one after the other. The thread is there before it is needed, since starting one would
/// be part of the pause.
pub(crate) struct HookThread {
    jobs: Sender<Job>,
    busy: Arc<AtomicBool>,
}

impl HookThread {
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let busy = Arc::new(AtomicBool::new(false));
        thread::Builder::new()
            .name("handoff-hooks".into())
            .spawn(move || {
                while let Ok(job) = queue.recv() {
                    job();
                }
            })?;
        Ok(Self { jobs, busy })
    }

    /// Whether a hook runs.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Has `hook` run, and its result handed to `report`, once the thread is woken by what this returns. A
    /// hook that panics has failed.
    ///
    /// A thread whose hook never came back is left behind, and another one takes its place.
    pub(crate) fn run<T: 'static>(
        &mut self,
        hook: impl FnOnce() -> Result<T, String> + Send + 'static,
        report: impl FnOnce(Result<T, String>) + Send + 'static,
    ) -> Option<Wake> {
        if self.is_busy() {
            match Self::start() {
                Ok(fresh) => *self = fresh,
                Err(e) => {
                    report(Err(format!("no thread for the hook: {e}")));
                    return None;
                }
            }
        }
        self.busy.store(true, Ordering::Release);
        let done = Arc::clone(&self.busy);
        let job: Job = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(hook));
            // Before the report: whoever hears it may have the next hook at once, and that one must not
            // find the thread busy and start another.
            done.store(false, Ordering::Release);
            report(
                result.unwrap_or_else(|panic| Err(format!("panicked: {}", panic_text(&*panic)))),
            );
        });
        let jobs = self.jobs.clone();
        // The thread ends only with its senders, so the job arrives.
        Some(Box::new(move || drop(jobs.send(job))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_that_is_reported_does_not_keep_the_thread_busy() {
        let mut hooks = HookThread::start().unwrap();
        let (busy, (report, reports)) = (Arc::clone(&hooks.busy), mpsc::channel());
        let wake = hooks.run(
            || Ok(()),
            move |_| report.send(busy.load(Ordering::Acquire)).unwrap(),
        );
        wake.unwrap()();
        assert_eq!(reports.recv(), Ok(false));
    }
}

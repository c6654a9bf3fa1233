//! The daemon on `handoff-tokio`: the same life as in [`run_std`](super::run_std), as futures on a
//! runtime of one thread, which does nothing but answer supervisors. What may block is done beside it:
//! clients are served on the daemon's own threads, and its hooks run on the runtime's blocking ones.

use std::path::Path;
use std::pin::pin;

use anyhow::bail;
use handoff_std::hooks as threads;
use handoff_std::hooks::Drainable as _;
use handoff_tokio::{
    DrainReport, Drainable, HookContext, HookError, Incumbent, InheritedListeners, Recordings,
    Retirement, Role, SealReport, Snapshot, Successor, acquire_lock, blocking, detect_role,
};
use signal_hook::iterator::Signals;
use tokio::runtime::Builder;
use tokio::time::Instant;

use super::Kvd;
use super::args::KvdArgs;
use super::run::{
    RESP, begin, bind, listener, on_signal, open, readiness, retire, serve_afresh, setup,
    stand_alone, warm_up,
};

/// Runs the daemon until it has been handed over or is told to end.
///
/// # Errors
/// Whatever keeps it from serving.
pub(super) fn run(args: &KvdArgs) -> anyhow::Result<()> {
    // First of all, while there is but one thread.
    let role = detect_role()?;
    let signals = begin(args)?;
    let (role, control) = match (role, &args.control_socket) {
        (Role::ColdStart(listeners), None) => return stand_alone(listeners, args, signals),
        (Role::Successor(_), None) => bail!("a successor needs to be told --control-socket"),
        (role, Some(control)) => (role, control),
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(live(role, args, control, signals));
    // Without waiting for a hook that hangs.
    runtime.shutdown_background();
    let (daemon, retirement) = ended?;
    retire(&retirement, || daemon.shutdown())
}

async fn live(
    role: Role,
    args: &KvdArgs,
    control: &Path,
    signals: Signals,
) -> anyhow::Result<(Kvd, Retirement)> {
    let (incumbent, daemon) = match role {
        Role::ColdStart(listeners) => start(listeners, args, control).await?,
        Role::Successor(successor) => take_over(successor, args, control).await?,
    };
    let handle = incumbent.handle();
    on_signal(signals, move || handle.stop())?;
    let retirement = incumbent.serve(Hooks(daemon.clone())).await?;
    Ok((daemon, retirement))
}

async fn start(
    mut listeners: InheritedListeners,
    args: &KvdArgs,
    control: &Path,
) -> anyhow::Result<(Incumbent, Kvd)> {
    let lock = acquire_lock(&args.data_dir).await?;
    let mut incumbent = Incumbent::bind(control, lock)
        .await?
        .with_build_id(args.tag.as_bytes())
        .with_times(args.faults.incumbent_times());
    if let Some(dir) = &args.recordings {
        incumbent = incumbent.with_recording(Recordings::new(dir));
    }
    let listener = if let Some(listener) = listeners.take_tcp(RESP)? {
        listener
    } else {
        let listener = bind(args)?;
        // A supervisor that takes charge later can have it all the same.
        incumbent = incumbent.with_kept_listener(RESP, listener.try_clone()?);
        listener
    };
    aside(args, warm_up).await?;
    let daemon = aside(args, open).await?;
    serve_afresh(&daemon, incumbent.generation(), listener, args)?;
    Ok((incumbent, daemon))
}

async fn take_over(
    mut successor: Successor,
    args: &KvdArgs,
    control: &Path,
) -> anyhow::Result<(Incumbent, Kvd)> {
    if let Some(dir) = &args.recordings {
        successor = successor.with_recording(Recordings::new(dir));
    }
    let warming = successor.handshake(setup(args, control)).await?;
    if let Err(error) = aside(args, warm_up).await {
        warming.give_up(&format!("{error:#}")).await;
        return Err(error);
    }
    let mut begun = warming.stand_by()?.wait_for_begin().await?;
    let listener = listener(begun.listeners(), args)?;
    let daemon = match aside(args, open).await {
        Ok(daemon) => daemon,
        Err(error) => {
            begun.give_up(&format!("{error:#}")).await;
            return Err(error);
        }
    };
    daemon.set_generation(begun.generation());
    let incumbent = begun
        .announce(readiness(daemon.revision()))
        .await?
        .with_times(args.faults.incumbent_times());
    daemon.serve_on(listener)?;
    Ok((incumbent, daemon))
}

/// Does a step that may block where it holds nothing up.
async fn aside<T: Send + 'static>(
    args: &KvdArgs,
    step: fn(&KvdArgs) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let args = args.clone();
    let done = blocking(move || step(&args).map_err(HookError::from)).await;
    done.map_err(anyhow::Error::from_boxed)
}

/// The daemon's hooks, which block, as futures.
struct Hooks(Kvd);

impl Hooks {
    /// Calls a hook, and passes on what it says of its progress, and that it is to stop early.
    async fn call<T: Send + 'static>(
        &self,
        cx: &HookContext,
        hook: fn(&Kvd, &threads::HookContext) -> Result<T, HookError>,
    ) -> Result<T, HookError> {
        let (daemon, reporter) = (self.0.clone(), cx.clone());
        let context = threads::HookContext::new(cx.deadline().map(Instant::into_std))
            .with_progress(move |progress| reporter.progress(progress));
        let told = context.clone();
        let mut done = pin!(blocking(move || hook(&daemon, &context)));
        tokio::select! {
            done = &mut done => done,
            () = cx.cancelled() => {
                told.cancel();
                done.await
            }
        }
    }
}

impl Drainable for Hooks {
    async fn drain(&self, cx: &HookContext) -> Result<DrainReport, HookError> {
        self.call(cx, Kvd::drain).await
    }

    async fn seal(&self, cx: &HookContext) -> Result<SealReport, HookError> {
        self.call(cx, Kvd::seal).await
    }

    async fn resume(&self) -> Result<(), HookError> {
        let daemon = self.0.clone();
        blocking(move || daemon.resume()).await
    }

    fn generation(&self, generation: u64) {
        self.0.set_generation(generation);
    }

    async fn committed(&self) -> Result<(), HookError> {
        let daemon = self.0.clone();
        blocking(move || daemon.committed()).await
    }

    /// It waits for nothing.
    async fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::kvd::tests::daemon;

    /// A context whose deadline is not reached.
    fn context() -> HookContext {
        HookContext::new(Some(Instant::now() + Duration::from_secs(20)))
    }

    #[tokio::test]
    async fn a_hook_hears_that_it_is_to_stop() {
        let daemon = daemon("--drain-delay-ms 60000");
        let (hooks, cx) = (Hooks(daemon.kvd.clone()), context());
        let (drained, ()) = tokio::join!(hooks.drain(&cx), async { cx.cancel() });
        assert_eq!(
            drained.unwrap_err().to_string(),
            "the drain was asked to stop"
        );
        hooks.resume().await.unwrap();
    }

    #[tokio::test]
    async fn a_hook_reports_what_it_does() {
        let daemon = daemon("");
        let hooks = Hooks(daemon.kvd.clone());
        let reports = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&reports);
        let cx = context().with_progress(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        assert!(hooks.drain(&cx).await.unwrap().accept_closed);
        assert_eq!(hooks.seal(&cx).await.unwrap().revisions, [0]);
        assert_eq!(reports.load(Ordering::Relaxed), 2);
        assert_eq!(hooks.snapshot().await.revisions.len(), 1);
        hooks.resume().await.unwrap();
        hooks.committed().await.unwrap();
    }

    #[tokio::test]
    #[should_panic(expected = "--panic")]
    async fn a_panic_is_one_of_the_hook() {
        let daemon = daemon("--panic drain");
        let _ = Hooks(daemon.kvd.clone()).drain(&context()).await;
    }
}

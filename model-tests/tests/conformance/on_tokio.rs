//! handoff-tokio behind the kit's trait.

use std::sync::atomic::{AtomicU64, Ordering};

use handoff_core::{Cause, IncumbentOutcome, Reason, SupervisorOutcome};
use handoff_model_tests::conformance::{Adapter, Daemon, Post, SupervisorPost};
use handoff_tokio::{
    DrainReport, Drainable, HookContext, HookError, Incumbent, Role, SealReport, Snapshot,
    Supervisor, acquire_lock, blocking, detect_role,
};

use crate::on_std::{asked, gave_up, retired, setup};

pub(crate) struct Tokio;

/// The kit's daemon, and the generation that `resume` is told.
struct Hooks(Daemon, AtomicU64);

impl Drainable for Hooks {
    async fn drain(&self, cx: &HookContext) -> Result<DrainReport, HookError> {
        let (daemon, cx) = (self.0.clone(), cx.clone());
        blocking(move || Ok(daemon.drain(|| cx.is_cancelled())?)).await
    }

    async fn seal(&self, cx: &HookContext) -> Result<SealReport, HookError> {
        let (daemon, cx) = (self.0.clone(), cx.clone());
        blocking(move || Ok(daemon.seal(|progress| cx.progress(progress))?)).await
    }

    fn generation(&self, generation: u64) {
        self.1.store(generation, Ordering::Release);
    }

    async fn resume(&self) -> Result<(), HookError> {
        let (daemon, generation) = (self.0.clone(), self.1.load(Ordering::Acquire));
        blocking(move || Ok(daemon.resume(generation)?)).await
    }

    async fn committed(&self) -> Result<(), HookError> {
        let daemon = self.0.clone();
        blocking(move || Ok(daemon.committed()?)).await
    }

    async fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }
}

async fn serve(incumbent: Incumbent, post: Post) -> IncumbentOutcome {
    let incumbent = incumbent.with_times(post.incumbent);
    retired(incumbent.serve(Hooks(post.daemon, AtomicU64::new(0))).await)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

impl Adapter for Tokio {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn incumbent(&self, post: Post) -> IncumbentOutcome {
        detect_role().expect("what the kit hands over");
        block_on(async {
            let lock = acquire_lock(&post.data_dir).await.expect("nobody holds it");
            let incumbent = Incumbent::bind(&post.control, lock).await;
            serve(incumbent.expect("nobody has the path"), post).await
        })
    }

    fn successor(&self, post: Post) -> Result<IncumbentOutcome, Box<Cause>> {
        let Ok(Role::Successor(successor)) = detect_role() else {
            panic!("the kit starts it as a successor");
        };
        block_on(async {
            let warming = successor.handshake(setup(&post)).await.map_err(gave_up)?;
            let daemon = post.daemon.clone();
            // Kept by the hook's thread until it ends; what it looks at is sent there.
            let warm = blocking(move || Ok(daemon.warm_up(|| false)?));
            if let Err(why) = warm.await {
                warming.give_up(&why.to_string()).await;
                return Err(Box::new(Cause::new(Reason::WarmUpFailed)));
            }
            let standing = warming.stand_by().map_err(gave_up)?;
            let begun = standing.wait_for_begin().await.map_err(gave_up)?;
            let daemon = post.daemon.clone();
            let open = blocking(move || Ok(daemon.open(|| false)?));
            let readiness = match open.await {
                Ok(readiness) => readiness,
                Err(why) => {
                    begun.give_up(&why.to_string()).await;
                    return Err(Box::new(Cause::new(Reason::OpenFailed)));
                }
            };
            let incumbent = begun.announce(readiness).await.map_err(gave_up)?;
            Ok(serve(incumbent, post).await)
        })
    }

    fn supervisor(&self, post: SupervisorPost) -> SupervisorOutcome {
        let asked = asked(&post);
        let home = post.home;
        let mut supervisor = Supervisor::new(&home.control, &home.data_dir, home.daemon)
            .expect("a good path")
            .with_times(post.config);
        if let Some(journal) = home.journal {
            supervisor = supervisor.with_journal(journal.path());
        }
        let report = block_on(async {
            match asked {
                Some(spec) => supervisor.handoff(&spec).await,
                None => supervisor.recover().await,
            }
        });
        report.expect("it can be begun").outcome
    }
}

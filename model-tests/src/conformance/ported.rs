//! A port that has written [`Drive`] alone, behind the kit's trait.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use handoff_core::{Cause, IncumbentOutcome, SupervisorOutcome};
use handoff_std::host::operations::{Post as Seat, Startable};
use handoff_std::host::roles::{self, Drive};
use handoff_std::host::{Clock, Inherited, LockKeeper};
use handoff_std::{
    DrainReport, Drainable, HookContext, HookError, Readiness, SealReport, Snapshot,
};

use super::{Adapter, Daemon, Post, SupervisorPost};

/// A loop of one's own with the roles of [`handoff_std::host::roles`], and its name.
#[derive(Debug, Clone, Copy)]
pub struct Ported<T>(pub &'static str, pub T);

/// The kit's daemon with the hooks that it has everywhere.
#[derive(Debug)]
pub struct Hooks {
    daemon: Daemon,
    generation: std::sync::atomic::AtomicU64,
}

impl Hooks {
    /// Those of the daemon.
    pub fn new(daemon: Daemon) -> Self {
        Self {
            daemon,
            generation: 0.into(),
        }
    }
}

impl Drainable for Hooks {
    fn drain(&self, cx: &HookContext) -> Result<DrainReport, HookError> {
        Ok(self.daemon.drain(|| cx.is_cancelled())?)
    }

    fn seal(&self, cx: &HookContext) -> Result<SealReport, HookError> {
        Ok(self.daemon.seal(|progress| cx.progress(progress))?)
    }

    fn generation(&self, generation: u64) {
        self.generation
            .store(generation, std::sync::atomic::Ordering::Release);
    }

    fn resume(&self) -> Result<(), HookError> {
        let generation = self.generation.load(std::sync::atomic::Ordering::Acquire);
        Ok(self.daemon.resume(generation)?)
    }

    fn committed(&self) -> Result<(), HookError> {
        Ok(self.daemon.committed()?)
    }

    fn snapshot(&self) -> Snapshot {
        self.daemon.snapshot()
    }
}

impl Startable for Hooks {
    fn warm_up(&self, cx: &HookContext) -> Result<(), HookError> {
        Ok(self.daemon.warm_up(|| cx.is_cancelled())?)
    }

    fn open(&self, cx: &HookContext) -> Result<Readiness, HookError> {
        Ok(self.daemon.open(|| cx.is_cancelled())?)
    }
}

impl<T: Drive + Clone + Send + Sync + 'static> Adapter for Ported<T> {
    fn name(&self) -> &'static str {
        self.0
    }

    fn incumbent(&self, post: Post) -> IncumbentOutcome {
        inherited();
        let daemon = Arc::new(Hooks::new(post.daemon));
        let seat = Seat::take(daemon, post.control, &post.data_dir, Clock::new());
        let seat = seat.expect("nobody else has the lock or the path");
        roles::incumbent(&self.1, seat, &post.incumbent).expect("descriptors are left")
    }

    fn successor(&self, post: Post) -> Result<IncumbentOutcome, Box<Cause>> {
        let channel = inherited().expect("the kit starts it as a successor");
        let (daemon, lock) = (Hooks::new(post.daemon), LockKeeper::new(&post.data_dir));
        let seat = Seat::new(Arc::new(daemon), post.control, lock, Clock::new());
        roles::successor(&self.1, channel, seat, &post.successor, &post.incumbent)
            .expect("descriptors are left")
    }

    fn supervisor(&self, post: SupervisorPost) -> SupervisorOutcome {
        roles::supervisor(&self.1, post.home, Some(post.successor), post.config)
            .expect("descriptors are left")
    }
}

/// The channel, if there is one. The listeners that came are kept by the process.
fn inherited() -> Option<UnixStream> {
    let inherited = Inherited::from_env().expect("what the kit hands over");
    inherited.successor_channel
}

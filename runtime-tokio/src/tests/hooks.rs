//! What a daemon's hooks do wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use handoff_core::Observation;
use handoff_core::incumbent::Phase;
use handoff_core::wire::{Message, MessageKind};
use handoff_std::{DrainReport, HookError, Progress, Retirement, SealReport, ServeError, Snapshot};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use super::peer::{ID, Peer};
use super::{incumbent, until_no_task_is_left};
use crate::{Drainable, HookContext, IncumbentHandle};

/// An incumbent that serves in a task of its own.
struct Served {
    dir: TempDir,
    phases: UnboundedReceiver<Phase>,
    handle: IncumbentHandle,
    task: JoinHandle<Result<Retirement, ServeError>>,
}

impl Served {
    async fn new(daemon: impl Drainable) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (seen, phases) = unbounded_channel();
        let incumbent = incumbent(dir.path()).await.with_observer(move |event| {
            if let Observation::Phase(phase) = event {
                let _ = seen.send(*phase);
            }
        });
        let handle = incumbent.handle();
        let mut served = Self {
            dir,
            phases,
            handle,
            task: tokio::spawn(incumbent.serve(daemon)),
        };
        served.reach(Phase::Serving).await;
        served
    }

    async fn reach(&mut self, wanted: Phase) {
        while self.phases.recv().await.unwrap() != wanted {}
    }

    fn control(&self) -> PathBuf {
        self.dir.path().join("control")
    }

    async fn prepare(&self) -> Peer {
        let mut peer = Peer::connect(&self.control()).await.unwrap();
        peer.prepare().await.unwrap();
        peer
    }

    async fn stop(self) {
        self.handle.stop();
        assert_eq!(self.task.await.unwrap().unwrap(), Retirement::Stopped);
        until_no_task_is_left().await;
        assert!(!self.dir.path().join("control").exists());
    }
}

/// Its drain panics, and it counts how often it is asked to resume.
struct Panics(Arc<AtomicU32>);

impl Drainable for Panics {
    async fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        panic!("as the test wants it");
    }

    async fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        Ok(SealReport::default())
    }

    async fn resume(&self) -> Result<(), HookError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn snapshot(&self) -> Snapshot {
        panic!("as the test wants it");
    }
}

// C1.
#[tokio::test]
async fn a_hook_that_panics_has_failed() {
    let resumed = Arc::default();
    let mut served = Served::new(Panics(Arc::clone(&resumed))).await;
    let mut peer = served.prepare().await;
    peer.hear(MessageKind::Abort).await.unwrap();
    served.reach(Phase::Serving).await;
    assert_eq!(resumed.load(Ordering::Relaxed), 1);

    // One that panics when asked how it is answers all the same.
    let mut peer = Peer::connect(&served.control()).await.unwrap();
    peer.acknowledge().await.unwrap();
    peer.say(&Message::StatusRequest).await.unwrap();
    peer.hear(MessageKind::Status).await.unwrap();
    served.stop().await;
}

/// Drains until it is asked to stop; seals with progress.
struct Patient;

impl Drainable for Patient {
    async fn drain(&self, cx: &HookContext) -> Result<DrainReport, HookError> {
        assert!(!cx.is_cancelled() && cx.deadline().is_some());
        cx.cancelled().await;
        assert!(cx.is_cancelled());
        Err("asked to stop".into())
    }

    async fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        Ok(SealReport::default())
    }

    async fn resume(&self) -> Result<(), HookError> {
        Ok(())
    }
}

// C1, and failure 10 of section 12.
#[tokio::test]
async fn a_drain_is_asked_to_stop_as_soon_as_the_session_is_lost() {
    let mut served = Served::new(Patient).await;
    let peer = served.prepare().await;
    served.reach(Phase::Draining).await;
    drop(peer);
    served.reach(Phase::Serving).await;
    served.stop().await;
}

/// Reports progress without end until it is let go.
struct Chatty(Arc<Notify>);

impl Drainable for Chatty {
    async fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        Ok(DrainReport::CLEAN)
    }

    async fn seal(&self, cx: &HookContext) -> Result<SealReport, HookError> {
        let mut progress = Progress::default();
        let mut enough = std::pin::pin!(self.0.notified());
        loop {
            progress.sealed += 1;
            cx.progress(progress);
            tokio::select! {
                biased;
                () = &mut enough => return Ok(SealReport::default()),
                () = tokio::task::yield_now() => {}
            }
        }
    }

    async fn resume(&self) -> Result<(), HookError> {
        Ok(())
    }
}

#[tokio::test]
async fn progress_is_sent_as_it_goes() {
    let enough = Arc::new(Notify::new());
    let mut served = Served::new(Chatty(Arc::clone(&enough))).await;
    let mut peer = served.prepare().await;
    peer.hear(MessageKind::Drained).await.unwrap();
    peer.say(&Message::SealRequest { id: ID }).await.unwrap();
    for _ in 0..3 {
        peer.hear(MessageKind::SealProgress).await.unwrap();
    }
    enough.notify_one();
    peer.hear(MessageKind::SealComplete).await.unwrap();
    peer.say(&Message::Commit { id: ID }).await.unwrap();
    served.reach(Phase::Retired).await;
    let retired = served.task.await.unwrap().unwrap();
    assert_eq!(retired, Retirement::Committed(ID));
}

/// Its drain does not listen, and comes back when it is let.
struct Deaf(Arc<Semaphore>);

impl Drainable for Deaf {
    async fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        self.0.acquire().await?.forget();
        Ok(DrainReport::CLEAN)
    }

    async fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        Ok(SealReport::default())
    }

    async fn resume(&self) -> Result<(), HookError> {
        Ok(())
    }
}

// Section 8: the lock stays as long as the daemon may write.
#[tokio::test]
async fn no_handoff_begins_while_a_drain_that_was_given_up_still_runs() {
    let permits = Arc::new(Semaphore::new(0));
    let mut served = Served::new(Deaf(Arc::clone(&permits))).await;
    let peer = served.prepare().await;
    served.reach(Phase::Draining).await;
    drop(peer);
    served.reach(Phase::Serving).await;
    let mut refused = served.prepare().await;
    refused.hear(MessageKind::Abort).await.unwrap();

    permits.add_permits(2);
    loop {
        let mut peer = served.prepare().await;
        // It comes back in its own time.
        if peer.drained().await.unwrap() {
            break;
        }
    }
    served.stop().await;
}

//! On a runtime with one thread, the others go on whatever a handoff waits for.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use handoff_core::wire::{Message, MessageKind};
use handoff_std::{DataDirLock, DrainReport, HookError, Readiness, SealReport};
use tokio::task::yield_now;

use super::peer::{ID, Peer};
use super::{incumbent, successor, until_no_task_is_left};
use crate::{Drainable, HookContext, blocking};

const LONG: Duration = Duration::from_mins(1);

/// Counts how often the runtime has come round.
#[derive(Clone, Default)]
struct Ticker(Arc<AtomicU64>);

impl Ticker {
    fn start(&self) -> tokio::task::AbortHandle {
        let ticks = Arc::clone(&self.0);
        let ticking = tokio::spawn(async move {
            loop {
                ticks.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        });
        ticking.abort_handle()
    }

    /// Blocks until it has ticked three times more. A thread of the runtime that waits for this waits
    /// in vain.
    fn three_more(&self) -> Result<(), HookError> {
        let (from, begun) = (self.0.load(Ordering::Relaxed), std::time::Instant::now());
        while self.0.load(Ordering::Relaxed) < from + 3 {
            if begun.elapsed() > LONG {
                return Err("the runtime stands still".into());
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}

struct Slow(Ticker);

impl Drainable for Slow {
    async fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        let ticker = self.0.clone();
        blocking(move || ticker.three_more().map(|()| DrainReport::CLEAN)).await
    }

    async fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        let ticker = self.0.clone();
        blocking(move || ticker.three_more().map(|()| SealReport::default())).await
    }

    async fn resume(&self) -> Result<(), HookError> {
        let ticker = self.0.clone();
        blocking(move || ticker.three_more()).await
    }
}

#[tokio::test]
async fn drain_seal_and_resume() {
    let ticker = Ticker::default();
    let ticking = ticker.start();
    let dir = tempfile::tempdir().unwrap();
    let incumbent = incumbent(dir.path()).await;
    let handle = incumbent.handle();
    let serving = tokio::spawn(incumbent.serve(Slow(ticker)));

    let mut peer = Peer::connect(&dir.path().join("control")).await.unwrap();
    peer.prepare().await.unwrap();
    peer.hear(MessageKind::Drained).await.unwrap();
    peer.say(&Message::SealRequest { id: ID }).await.unwrap();
    peer.hear(MessageKind::SealComplete).await.unwrap();
    handle.stop();
    serving.await.unwrap().unwrap();
    ticking.abort();
    until_no_task_is_left().await;
}

#[tokio::test]
async fn the_wait_for_the_lock() {
    let ticker = Ticker::default();
    let ticking = ticker.start();
    let dir = tempfile::tempdir().unwrap();
    // Held by somebody else, who lets it go only when the runtime has come round while it was waited
    // for.
    let held = DataDirLock::acquire(dir.path()).unwrap();
    let (begun, go) = mpsc::channel();
    let holder = std::thread::spawn({
        let ticker = ticker.clone();
        move || {
            go.recv().unwrap();
            ticker.three_more().unwrap();
            held.release();
        }
    });

    let (successor, setup, mut peer) = successor(dir.path());
    let supervisor = tokio::spawn(async move {
        peer.acknowledge().await.unwrap();
        peer.hear(MessageKind::Standby).await.unwrap();
        peer.say(&Message::Begin { id: ID }).await.unwrap();
        begun.send(()).unwrap();
        peer.hear(MessageKind::Ready).await.unwrap();
        peer.say(&Message::Commit { id: ID }).await.unwrap();
        peer.left().await;
    });
    let warming = successor.handshake(setup).await.unwrap();
    let begun = warming.stand_by().unwrap().wait_for_begin().await.unwrap();
    assert_eq!(begun.generation(), 2);
    blocking(move || ticker.three_more()).await.unwrap();
    let incumbent = begun.announce(Readiness::healthy()).await.unwrap();
    supervisor.await.unwrap();
    drop(incumbent);
    holder.join().unwrap();
    ticking.abort();
    until_no_task_is_left().await;
}

/// A loop that spins, or that goes by another clock than the runtime, is polled for ever: the
/// runtime's time stands still until nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn a_loop_with_nothing_to_do_is_not_polled() {
    let dir = tempfile::tempdir().unwrap();
    let incumbent = incumbent(dir.path()).await;
    let handle = incumbent.handle();
    let polls = Arc::new(AtomicU64::new(0));
    let serving = tokio::spawn({
        let polls = Arc::clone(&polls);
        async move {
            let mut serving = std::pin::pin!(incumbent.serve(super::Idle));
            std::future::poll_fn(|cx| {
                polls.fetch_add(1, Ordering::Relaxed);
                serving.as_mut().poll(cx)
            })
            .await
        }
    });
    // One that says nothing is sent away in its time.
    let mut silent = Peer::connect(&dir.path().join("control")).await.unwrap();
    silent.left().await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    let polls = polls.load(Ordering::Relaxed);
    assert!(polls < 20, "{polls} polls");
    handle.stop();
    serving.await.unwrap().unwrap();
}

/// To give the lock back takes none of the runtime's threads for file work: to start one would be part of the
/// pause, and the daemon may have taken all of them.
#[test]
fn a_release_needs_no_blocking_thread() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_all().build();
    runtime.unwrap().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let incumbent = incumbent(dir.path()).await;
        let handle = incumbent.handle();
        let serving = tokio::spawn(incumbent.serve(super::Idle));
        let mut peer = Peer::connect(&dir.path().join("control")).await.unwrap();
        peer.prepare().await.unwrap();
        peer.hear(MessageKind::Drained).await.unwrap();

        let (go, waits) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || waits.recv());
        peer.say(&Message::SealRequest { id: ID }).await.unwrap();
        peer.hear(MessageKind::SealComplete).await.unwrap();
        assert!(handoff_std::host::lock::lock_is_free(dir.path()).unwrap());
        drop(go);
        handle.stop();
        serving.await.unwrap().unwrap();
    });
}

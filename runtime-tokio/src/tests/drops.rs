//! A handoff is dropped at each of its polls, one after the other, and leaves nothing behind.

use std::future::{Future, poll_fn};
use std::io;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;

use handoff_core::wire::{Message, MessageKind};
use handoff_std::Readiness;
use tokio::runtime::Builder;

use super::peer::{ID, Peer};
use super::{Idle, incumbent, successor, until_no_task_is_left};

/// Polls `future` at most `times` times and drops it then. Returns whether it ended.
async fn polled(future: impl Future<Output = ()>, times: usize) -> bool {
    let mut left = times;
    let mut future = pin!(future);
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        let ended = future.as_mut().poll(cx).map(|()| true);
        if left == 0 && ended.is_pending() {
            return Poll::Ready(false);
        }
        ended
    })
    .await
}

/// That nobody listens in this directory, and no name is left but that of a socket whose daemon had
/// given the lock back.
async fn assert_nobody_listens(dir: &Path) {
    // A blocking thread may still be at it.
    while names(dir).iter().any(|name| name.starts_with("control.")) || has_a_path_and_lock(dir) {
        tokio::task::yield_now().await;
    }
    if let Err(error) = std::os::unix::net::UnixStream::connect(dir.join("control")) {
        let gone = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        assert!(gone.contains(&error.kind()), "{error}");
    } else {
        panic!("somebody listens");
    }
}

fn has_a_path_and_lock(dir: &Path) -> bool {
    names(dir).iter().any(|name| name == "control")
        && !handoff_std::host::lock::lock_is_free(dir).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let name = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect()
}

/// Drains, seals, and takes it back; then asks for the end.
async fn incumbents_handoff(control: &Path) -> io::Result<()> {
    let mut peer = Peer::connect(control).await?;
    peer.prepare().await?;
    peer.hear(MessageKind::Drained).await?;
    peer.say(&Message::SealRequest { id: ID }).await?;
    peer.hear(MessageKind::SealComplete).await?;
    peer.say(&Message::ResumeAfterAbort { id: ID }).await?;
    // The next one is begun only when the daemon serves again.
    let mut next = Peer::connect(control).await?;
    next.acknowledge().await?;
    loop {
        next.say(&Message::StatusRequest).await?;
        next.hear(MessageKind::Status).await?;
        let mut third = Peer::connect(control).await?;
        third.prepare().await?;
        // It is refused while the daemon comes back.
        if third.drained().await? {
            third.say(&Message::SealRequest { id: ID }).await?;
            third.hear(MessageKind::SealComplete).await?;
            return third.say(&Message::Commit { id: ID }).await;
        }
    }
}

async fn drop_an_incumbent(dir: &Path, polls: usize) -> bool {
    let control = dir.join("control");
    let incumbent = incumbent(dir).await;
    let supervisor = tokio::spawn({
        let control = control.clone();
        async move { incumbents_handoff(&control).await }
    });
    let ended = polled(
        async {
            incumbent.serve(Idle).await.unwrap();
        },
        polls,
    )
    .await;
    // It sees all its sessions closed, or has nobody to connect to.
    let told = supervisor.await.unwrap();
    assert!(told.is_ok() || !ended, "{told:?}");
    until_no_task_is_left().await;
    assert_nobody_listens(dir).await;
    ended
}

async fn successors_handoff(mut peer: Peer) -> io::Result<()> {
    peer.acknowledge().await?;
    peer.hear(MessageKind::Standby).await?;
    peer.say(&Message::Begin { id: ID }).await?;
    peer.hear(MessageKind::Ready).await?;
    peer.say(&Message::Commit { id: ID }).await?;
    peer.left().await;
    Ok(())
}

async fn drop_a_successor(dir: &Path, polls: usize) -> bool {
    let (successor, setup, peer) = successor(dir);
    let supervisor = tokio::spawn(successors_handoff(peer));
    let ended = polled(
        async {
            let warming = successor.handshake(setup).await.unwrap();
            let begun = warming.stand_by().unwrap().wait_for_begin().await.unwrap();
            let incumbent = begun.announce(Readiness::healthy()).await.unwrap();
            let handle = incumbent.handle();
            tokio::join!(
                async {
                    incumbent.serve(Idle).await.unwrap();
                },
                async {
                    // Once the supervisor has left, the probation is over.
                    while !supervisor.is_finished() {
                        tokio::task::yield_now().await;
                    }
                    handle.stop();
                }
            );
        },
        polls,
    )
    .await;
    let told = supervisor.await.unwrap();
    assert!(told.is_ok() || !ended, "{told:?}");
    until_no_task_is_left().await;
    assert_nobody_listens(dir).await;
    ended
}

/// Every number of polls, until one is enough; each in a directory of its own.
fn at_every_poll(mut runtime: Builder, dropped: &impl AsyncFn(&Path, usize) -> bool) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(async {
        let mut polls = 1;
        loop {
            let dir = dir.path().join(polls.to_string());
            std::fs::create_dir(&dir).unwrap();
            if dropped(&dir, polls).await {
                break;
            }
            polls += 1;
        }
    });
    // Waits for blocking threads that are at the lock, which would make the directory anew.
    drop(runtime);
}

fn many_threads() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2);
    builder
}

#[test]
fn an_incumbent_on_one_thread() {
    at_every_poll(Builder::new_current_thread(), &drop_an_incumbent);
}

#[test]
fn an_incumbent_on_many_threads() {
    at_every_poll(many_threads(), &drop_an_incumbent);
}

#[test]
fn a_successor_on_one_thread() {
    at_every_poll(Builder::new_current_thread(), &drop_a_successor);
}

#[test]
fn a_successor_on_many_threads() {
    at_every_poll(many_threads(), &drop_a_successor);
}

#[tokio::test]
async fn a_step_that_is_dropped_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let (successor, setup, mut peer) = successor(dir.path());
    let supervisor = tokio::spawn(async move {
        peer.acknowledge().await.unwrap();
        peer.hear(MessageKind::Abort).await.unwrap();
        peer.left().await;
    });
    drop(successor.handshake(setup).await.unwrap());
    supervisor.await.unwrap();
    until_no_task_is_left().await;
    assert_nobody_listens(dir.path()).await;
}

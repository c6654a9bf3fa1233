//! Turns: how many handoffs go on at once, and how many starts.
//!
//! A process that starts keeps a processor busy for milliseconds. When hundreds start at once, the
//! daemons that have drained meanwhile wait in line with them, and every pause is as long as that line.
//! In turns all of them together take as long, and no pause is longer than it is alone.
//!
//! When a supervisor begins, each service is looked at, and started if nobody serves. In turns that does
//! not take a thread for each of them.

use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// How long a turn lasts at most. What takes longer than this waits for something, such as the end of a
/// warm-up or a disk, and goes on without a turn: one daemon that hangs must not hold up the others.
pub(super) const LONGEST: Duration = Duration::from_millis(250);

/// For all services. Clones are the same turns.
#[derive(Clone)]
pub(super) struct Turns {
    pub(super) handoffs: Line,
    /// Of daemons that are looked for, and started if there is none. They hold up no handoff, and none
    /// holds them up.
    pub(super) starts: Line,
}

impl Turns {
    /// So many handoffs at once; two for each processor if that is not said. Of starts it is always eight:
    /// nobody's pause is as long as their line, and most of a start is waiting for a daemon or a disk.
    pub(super) fn new(handoffs_at_once: Option<u32>) -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        let handoffs = handoffs_at_once.and_then(|count| usize::try_from(count).ok());
        Self {
            handoffs: Line::new(handoffs.unwrap_or(processors.saturating_mul(2))),
            starts: Line::new(processors.saturating_mul(8)),
        }
    }
}

/// Those who wait for a turn of one kind. Clones are the same line.
#[derive(Clone)]
pub(super) struct Line(Arc<Semaphore>);

impl Line {
    /// Takes all of them, until it is dropped.
    #[cfg(test)]
    pub(super) async fn take_all(&self, count: u32) -> tokio::sync::SemaphorePermit<'_> {
        self.0.acquire_many(count).await.unwrap()
    }

    /// So many at once.
    pub(super) fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            at_once.clamp(1, Semaphore::MAX_PERMITS),
        )))
    }

    /// Does it once it is its turn. Who asked first comes first; who has waited for as long as its
    /// patience lasts goes on without a turn.
    pub(super) async fn take<T>(&self, patience: Duration, work: impl Future<Output = T>) -> T {
        let turn = timeout(patience, self.0.acquire()).await;
        during(turn, work).await
    }

    /// Does it once it is its turn, if it is not called off before: `None` then. The receiver is there as
    /// long as it can be called off.
    pub(super) async fn take_unless<T>(
        &self,
        called_off: oneshot::Receiver<()>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let turn = tokio::select! {
            biased;
            Ok(()) = called_off => return None,
            turn = self.0.acquire() => turn,
        };
        Some(during(turn, work).await)
    }
}

/// Does it, and gives up the turn after the longest time.
async fn during<T>(turn: impl Sized, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = timeout(LONGEST, &mut work).await {
        return done;
    }
    drop(turn);
    work.await
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_hangs_holds_up_the_others_for_one_turn_at_most() {
        let line = Line::new(2);
        let (tell, mut begun) = mpsc::unbounded_channel();
        for number in 0..5 {
            let (line, tell) = (line.clone(), tell.clone());
            tokio::spawn(async move {
                let hang = async {
                    tell.send(number).unwrap();
                    pending::<()>().await;
                };
                line.take(Duration::MAX, hang).await;
            });
        }
        let mut all = Vec::new();
        for count in [2, 4, 5] {
            tokio::time::sleep(LONGEST / 2).await;
            while let Ok(number) = begun.try_recv() {
                all.push(number);
            }
            assert_eq!(all, (0..count).collect::<Vec<_>>());
            tokio::time::sleep(LONGEST / 2 + Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_one_begins_when_one_has_ended() {
        let line = Line::new(1);
        let (first, second) = tokio::join!(
            line.take(Duration::MAX, tokio::time::sleep(LONGEST / 2)),
            line.take(Duration::MAX, async { tokio::time::Instant::now() })
        );
        assert_eq!((first, second), ((), tokio::time::Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_called_off_is_not_begun() {
        let line = Line::new(1);
        let begun = std::cell::Cell::new(false);
        let (call_off, called_off) = oneshot::channel();
        let (first_begun, first) = oneshot::channel();
        let (_, second, ()) = tokio::join!(
            line.take_unless(first, tokio::time::sleep(LONGEST / 2)),
            line.take_unless(called_off, async { begun.set(true) }),
            async {
                tokio::time::sleep(LONGEST / 4).await;
                assert_eq!(first_begun.send(()), Err(()));
                assert_eq!(call_off.send(()), Ok(()));
            }
        );
        assert_eq!((second, begun.get()), (None, false));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_out_of_patience_goes_on_without_a_turn() {
        let line = Line::new(1);
        let all = line.take_all(1).await;
        let before = tokio::time::Instant::now();
        let waited = line.take(LONGEST, async { before.elapsed() }).await;
        assert!((LONGEST..LONGEST * 2).contains(&waited), "{waited:?}");
        drop(all);
    }
}

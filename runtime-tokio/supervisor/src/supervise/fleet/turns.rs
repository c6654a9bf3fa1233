//! Turns: how many handoffs go on at once.
//!
//! A process that starts keeps a processor busy for milliseconds. When hundreds start at once, the
//! daemons that have drained meanwhile wait in line with them, and every pause is as long as that line.
//! In turns all of them together take as long, and no pause is longer than it is alone.

use std::pin::pin;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// How long a turn lasts at most. What takes longer than this waits for something, such as the end of a
/// warm-up, and goes on without a turn: one daemon that hangs must not hold up the others.
const LONGEST: Duration = Duration::from_millis(250);

/// For all services. Clones are the same turns.
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    /// Takes all of them, until it is dropped.
    #[cfg(test)]
    pub(super) async fn take_all(&self, count: u32) -> tokio::sync::SemaphorePermit<'_> {
        self.0.acquire_many(count).await.unwrap()
    }

    /// So many at once; two for each processor if that is not said.
    pub(super) fn new(at_once: Option<u32>) -> Self {
        let default = || available_parallelism().map_or(2, |count| count.get().saturating_mul(2));
        let at_once = at_once.and_then(|count| usize::try_from(count).ok());
        let at_once = at_once.unwrap_or_else(default);
        Self(Arc::new(Semaphore::new(
            at_once.clamp(1, Semaphore::MAX_PERMITS),
        )))
    }

    /// Does it once it is its turn; `None` if it is called off before. Who asked first comes first. The
    /// receiver is there as long as it can be called off.
    pub(super) async fn take<T>(
        &self,
        work: impl Future<Output = T>,
        called_off: oneshot::Receiver<()>,
    ) -> Option<T> {
        let turn = tokio::select! {
            biased;
            Ok(()) = called_off => return None,
            turn = self.0.acquire() => turn,
        };
        let mut work = pin!(work);
        if let Ok(done) = timeout(LONGEST, &mut work).await {
            return Some(done);
        }
        drop(turn);
        Some(work.await)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::mpsc;

    use super::*;

    /// Not called off.
    fn never() -> oneshot::Receiver<()> {
        oneshot::channel().1
    }

    #[tokio::test(start_paused = true)]
    async fn who_hangs_holds_up_the_others_for_one_turn_at_most() {
        let turns = Turns::new(Some(2));
        let (tell, mut begun) = mpsc::unbounded_channel();
        for number in 0..5 {
            let (turns, tell) = (turns.clone(), tell.clone());
            tokio::spawn(async move {
                let hang = async {
                    tell.send(number).unwrap();
                    pending::<()>().await;
                };
                turns.take(hang, never()).await;
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
        let turns = Turns::new(Some(1));
        let (first, second) = tokio::join!(
            turns.take(tokio::time::sleep(LONGEST / 2), never()),
            turns.take(async { tokio::time::Instant::now() }, never())
        );
        assert_eq!(
            (first, second),
            (Some(()), Some(tokio::time::Instant::now()))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_called_off_is_not_begun() {
        let turns = Turns::new(Some(1));
        let begun = std::cell::Cell::new(false);
        let (call_off, called_off) = oneshot::channel();
        let (first_begun, first) = oneshot::channel();
        let (_, second, ()) = tokio::join!(
            turns.take(tokio::time::sleep(LONGEST / 2), first),
            turns.take(async { begun.set(true) }, called_off),
            async {
                tokio::time::sleep(LONGEST / 4).await;
                assert_eq!(first_begun.send(()), Err(()));
                assert_eq!(call_off.send(()), Ok(()));
            }
        );
        assert_eq!((second, begun.get()), (None, false));
    }
}

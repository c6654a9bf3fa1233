//! Who asks a service all the time, and notices its pause.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};

use super::service::Answer;

/// From an answer to the next question.
const REST: Duration = Duration::from_millis(2);

/// A client that asks.
pub(super) struct Client {
    done: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Vec<u64>>>,
}

impl Client {
    /// Asks at this door until it is told to stop.
    pub(super) fn start(door: PathBuf) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&done);
        let thread = thread::spawn(move || {
            let mut pauses = Vec::new();
            let mut before: Option<(Answer, Instant)> = None;
            while !until.load(Ordering::Relaxed) {
                let answer = Answer::of(&door)?;
                let now = Instant::now();
                if let Some((last, at)) = before {
                    ensure!(
                        answer.count == last.count + 1,
                        "the answer {} came after {}",
                        answer.count,
                        last.count
                    );
                    if answer.pid != last.pid {
                        pauses.push(micros(now - at));
                    }
                }
                before = Some((answer, now));
                sleep(REST);
            }
            Ok(pauses)
        });
        Self { done, thread }
    }

    /// Every pause that it noticed, in microseconds: from the last answer of a daemon to the first of the
    /// next.
    ///
    /// # Errors
    /// It was refused, or an answer was lost.
    pub(super) fn pauses(self) -> anyhow::Result<Vec<u64>> {
        self.done.store(true, Ordering::Relaxed);
        let told = self.thread.join();
        told.map_err(|_| anyhow!("a client has panicked"))?
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

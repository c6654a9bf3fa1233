//! A client that writes without a pause, beside the test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{client, ms};

/// The client, while it writes.
pub(crate) struct Writer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Written>,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Written {
    /// When each write was acknowledged. The number of a write is its key and its value.
    pub(crate) acknowledged: Vec<(usize, Instant)>,
    /// Why the others were not.
    pub(crate) failed: Vec<String>,
}

impl Writer {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut written = Written::default();
                for number in 0.. {
                    let text = number.to_string();
                    match client::set(address, &format!("w{text}"), &text) {
                        Ok(()) => written.acknowledged.push((number, Instant::now())),
                        Err(why) => written.failed.push(why),
                    }
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    thread::sleep(ms(1));
                }
                written
            }
        });
        Self {
            address,
            stop,
            thread,
        }
    }

    /// Stops; `kept` says whether what was acknowledged must be there, the last of it at least.
    pub(crate) fn stop(self, kept: bool) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        let written = self.thread.join().unwrap();
        assert!(!written.acknowledged.is_empty(), "{:?}", written.failed);
        if kept {
            for (number, _) in written.acknowledged.iter().rev().take(100) {
                let value = client::get(self.address, &format!("w{number}"));
                assert_eq!(value, Ok(number.to_string()));
            }
        }
        written
    }
}

impl Written {
    /// How many were acknowledged in this time.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> usize {
        let times = self.acknowledged.iter().map(|(_, at)| *at);
        times.filter(|at| (from..to).contains(at)).count()
    }

    /// The longest time from one acknowledged write to the next.
    pub(crate) fn longest_gap(&self) -> Duration {
        let next = self.acknowledged.iter().skip(1);
        self.acknowledged
            .iter()
            .zip(next)
            .map(|((_, one), (_, next))| *next - *one)
            .max()
            .unwrap_or_default()
    }
}

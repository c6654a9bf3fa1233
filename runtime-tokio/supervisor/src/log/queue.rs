//! Lines on their way to a thread that writes them: bounded, in order, and with a count of what did not
//! fit.
//!
//! Who has a line never waits: it is taken, or it is lost. After a loss nothing more is taken until all
//! that was is written and the loss is told of, so there is one gap in the log, not one in every line.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The queue. Any thread may add to it; one takes from it.
pub(super) struct Queue {
    state: Mutex<State>,
    /// The writer has something to do.
    awake: Condvar,
    /// A line was written, or all of them.
    progress: Condvar,
    /// The most bytes of lines that wait.
    room: usize,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Box<[u8]>>,
    /// All of their lengths.
    bytes: usize,
    /// Lines that did not fit.
    lost: u64,
    /// Lines that were written, or could not be.
    done: u64,
    /// The writer has nothing to do, and waits.
    at_rest: bool,
}

impl Queue {
    /// At most this many bytes of lines wait.
    pub(super) fn new(room: usize) -> Self {
        Self {
            state: Mutex::default(),
            awake: Condvar::new(),
            progress: Condvar::new(),
            room,
        }
    }

    /// Takes a line, or counts it as lost.
    pub(super) fn add(&self, line: &[u8]) {
        let mut state = self.lock();
        let bytes = state.bytes.saturating_add(line.len());
        if state.lost > 0 || bytes > self.room {
            state.lost = state.lost.saturating_add(1);
        } else {
            state.bytes = bytes;
            state.lines.push_back(line.into());
        }
        // Whoever waits already knows of more is not told again: that would be a system call each.
        let rests = std::mem::take(&mut state.at_rest);
        drop(state);
        if rests {
            self.awake.notify_one();
        }
    }

    /// What the writer's thread does again and again: writes the next line, or tells how many were
    /// lost, or waits until there is something to do. `tell` may add a line.
    pub(super) fn work(&self, write: impl FnOnce(&[u8]), tell: impl FnOnce(u64)) {
        let mut state = self.lock();
        if let Some(line) = state.lines.pop_front() {
            state.bytes = state.bytes.saturating_sub(line.len());
            drop(state);
            write(&line);
            let mut state = self.lock();
            state.done = state.done.wrapping_add(1);
            self.progress.notify_all();
        } else if state.lost > 0 {
            let lost = std::mem::take(&mut state.lost);
            drop(state);
            tell(lost);
        } else {
            state.at_rest = true;
            self.progress.notify_all();
            while state.at_rest {
                state = self.wait(state);
            }
        }
    }

    /// Waits until all is written, for at most `limit`, and not beyond a time of `patience` in which
    /// no line is.
    pub(super) fn drain(&self, patience: Duration, limit: Duration) {
        let end = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            let done = state.done;
            let left = end.saturating_duration_since(Instant::now());
            let waited = self
                .progress
                .wait_timeout_while(state, patience.min(left), |state| {
                    !state.at_rest && state.done == done
                });
            let (now, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if now.at_rest || timeout.timed_out() {
                return;
            }
            state = now;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let state = self.awake.wait(state);
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);
    const SHORT: Duration = Duration::from_millis(1);

    /// What comes of `count` turns of the writer.
    fn written(queue: &Queue, count: usize) -> Vec<String> {
        let said = RefCell::new(Vec::new());
        for _ in 0..count {
            queue.work(
                |line| said.borrow_mut().push(String::from_utf8_lossy(line).into()),
                |lost| queue.add(format!("{lost} lost").as_bytes()),
            );
        }
        said.into_inner()
    }

    #[test]
    fn what_does_not_fit_is_counted_and_told_of_where_it_is_missing() {
        let queue = Queue::new(8);
        for line in ["one", "three", "lost", "x"] {
            queue.add(line.as_bytes());
        }
        assert_eq!(written(&queue, 1), ["one"]);
        // There is room again; but this one would stand before the gap that it comes behind.
        queue.add(b"y");
        assert_eq!(written(&queue, 3), ["three", "3 lost"]);
        queue.add(b"more");
        assert_eq!(written(&queue, 1), ["more"]);
        // One that is too long for any queue.
        queue.add(b"very long");
        assert_eq!(written(&queue, 2), ["1 lost"]);
    }

    #[test]
    fn the_end_waits_for_what_is_written_and_not_for_who_does_not_read() {
        let queue = Queue::new(1000);
        for number in 0..10 {
            queue.add(&[number]);
        }
        // Nobody writes.
        queue.drain(SHORT, LONG);
        queue.drain(LONG, SHORT);
        let (say, said) = mpsc::channel();
        thread::scope(|scope| {
            let queue = &queue;
            scope.spawn(move || {
                // One turn more, to rest in; `add` ends it.
                for _ in 0..=10 {
                    queue.work(|line| say.send(line[0]).unwrap(), |_| {});
                }
            });
            queue.drain(LONG, LONG);
            assert!(said.try_iter().eq(0..10));
            queue.add(b"end");
        });
    }
}

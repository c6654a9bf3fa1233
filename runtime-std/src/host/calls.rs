//! How other threads reach a loop that waits for descriptors: a queue, and a bell that wakes it.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

/// The loop's side: wait until it can be read, then [`take`](Self::take).
#[derive(Debug)]
pub struct Calls<T> {
    queue: Receiver<T>,
    bell: Arc<UnixStream>,
    caller: Caller<T>,
}

/// Calls the loop, from any thread.
#[derive(Debug)]
pub struct Caller<T> {
    queue: Sender<T>,
    bell: Arc<UnixStream>,
}

impl<T> Clone for Caller<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            bell: Arc::clone(&self.bell),
        }
    }
}

impl<T> Calls<T> {
    /// Nobody has called yet.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn new() -> io::Result<Self> {
        let (bell, ring) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ring.set_nonblocking(true)?;
        let (sender, queue) = mpsc::channel();
        let caller = Caller {
            queue: sender,
            bell: Arc::new(ring),
        };
        Ok(Self {
            queue,
            bell: Arc::new(bell),
            caller,
        })
    }

    /// Whoever has this can call.
    pub fn caller(&self) -> Caller<T> {
        self.caller.clone()
    }

    /// All that was called by now. What is called meanwhile rings anew, so a busy caller holds up nobody.
    pub fn take(&self) -> Vec<T> {
        self.silence();
        self.queued()
    }

    /// The bell rings no longer. What was called stays in the queue.
    pub fn silence(&self) {
        // A byte that stays behind only rings once more.
        let _ = (&*self.bell).read(&mut [0; 64]);
    }

    /// All that is in the queue, whether the bell rings or not.
    pub fn queued(&self) -> Vec<T> {
        self.queue.try_iter().collect()
    }

    /// The bell: it can be read when somebody has called.
    pub fn bell(&self) -> Arc<UnixStream> {
        Arc::clone(&self.bell)
    }
}

impl<T> AsFd for Calls<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl<T> Caller<T> {
    /// Tell the loop this, and wake it.
    pub fn call(&self, what: T) {
        if self.queue(what) {
            self.ring();
        }
    }

    /// Put it into the queue, without a sound. Returns whether there is a loop: one that has ended wants to
    /// hear nothing more.
    pub fn queue(&self, what: T) -> bool {
        self.queue.send(what).is_ok()
    }

    /// Wake the loop.
    pub fn ring(&self) {
        // A full bell rings already.
        let _ = (&*self.bell).write(&[1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_rings_until_it_is_taken() {
        let calls = Calls::new().unwrap();
        let caller = calls.caller();
        for call in 0..100_000 {
            caller.call(call);
        }
        assert_eq!(calls.take().len(), 100_000);
        caller.call(7);
        assert_eq!(calls.take(), [7]);
        drop(calls);
        caller.call(8);
    }
}

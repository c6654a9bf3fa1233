//! The word that a successor on probation is to go, and who heard it first.
//!
//! The probation is there for a [`RollbackHandle`] from the moment the phase is entered. Whoever
//! takes it out of its place ends it: the watch at its end, or the loop, which wants it no more.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sends a successor on probation back, from any thread. Made by
/// [`Supervisor::rollback_handle`](crate::Supervisor::rollback_handle).
#[derive(Clone, Default)]
pub struct RollbackHandle {
    current: Arc<Mutex<Option<Current>>>,
}

/// A probation that is under way.
#[derive(Default)]
struct Current {
    /// An operator's words, if one wants the successor back.
    order: Option<String>,
    /// Closing it wakes whoever watches.
    wake: Option<UnixStream>,
}

impl RollbackHandle {
    /// Give the successor on probation up, so that the incumbent comes back (`C8`). `why` becomes
    /// part of the report's reason. Returns whether there was one; how it ended is in the report.
    ///
    /// `false` says that nothing will be undone: no handoff is on probation, or no longer. An
    /// incumbent that is lost at this very moment cannot come back; the successor stays then.
    pub fn rollback(&self, why: &str) -> bool {
        let mut current = self.lock();
        let Some(current) = current.as_mut() else {
            return false;
        };
        // The first words stand.
        current.order.get_or_insert_with(|| why.to_owned());
        current.wake = None;
        true
    }

    /// A probation has begun.
    pub(super) fn open(&self) {
        *self.lock() = Some(Current::default());
    }

    /// It is over, or not wanted any more. The watch over it, if there is one, ends soon.
    pub fn close(&self) {
        *self.lock() = None;
    }

    /// What is polled: it ends when it is time to look around.
    pub(super) fn wake(&self) -> io::Result<UnixStream> {
        let (here, there) = UnixStream::pair()?;
        if let Some(current) = self.lock().as_mut().filter(|now| now.order.is_none()) {
            current.wake = Some(there);
        }
        Ok(here)
    }

    /// Whether the watch is to come to its end.
    pub(super) fn is_ordered(&self) -> bool {
        self.lock().as_ref().is_none_or(|now| now.order.is_some())
    }

    /// Ends the probation: with this result, unless somebody has decided otherwise.
    pub(super) fn conclude(&self, result: Result<(), String>) -> Result<(), String> {
        match self.lock().take() {
            Some(Current { order: None, .. }) => result,
            Some(Current {
                order: Some(why), ..
            }) => Err(format!("sent back: {why}")),
            None => Err("not watched any more".into()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Calls the user's observer from a control loop.
//!
//! An observer that panics must not take the loop with it: an incumbent without a control loop can
//! never be handed over again, and a handoff that unwinds leaves its successor behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

/// An observer, for as long as it behaves. Clones call the same one.
pub struct Observer<E>(Option<Arc<Mutex<Callback<E>>>>);

type Callback<E> = dyn FnMut(&E) + Send;

impl<E> Clone for Observer<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E> Observer<E> {
    /// Nobody observes.
    pub const fn none() -> Self {
        Self(None)
    }

    /// This one observes.
    pub fn new(observer: impl FnMut(&E) + Send + 'static) -> Self {
        Self(Some(Arc::new(Mutex::new(observer))))
    }

    /// Tell what happened.
    pub fn tell(&mut self, event: &E) {
        let Some(observer) = &self.0 else { return };
        let told = catch_unwind(AssertUnwindSafe(|| {
            // A panic poisons it, for clones as well.
            if let Ok(mut observer) = observer.lock() {
                observer(event);
            }
        }));
        if told.is_err() {
            tracing::error!("the observer has panicked and is told nothing any more");
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observer_that_panics_is_called_once() {
        let mut calls = 0;
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut observer = Observer::new(move |event: &u32| {
            sender.send(*event).expect("the test listens");
            panic!("as the test wants it");
        });
        let mut other = observer.clone();
        observer.tell(&1);
        observer.tell(&2);
        other.tell(&3);
        while receiver.try_recv().is_ok() {
            calls += 1;
        }
        assert_eq!(calls, 1);
    }
}

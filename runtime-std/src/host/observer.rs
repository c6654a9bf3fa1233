//! Calls the user's observer from a control loop.
//!
//! An observer that panics must not take the loop with it: an incumbent without a control loop can
//! never be handed over again, and a handoff that unwinds leaves its successor behind.

use std::panic::{AssertUnwindSafe, catch_unwind};

type Callback<E> = Box<dyn FnMut(&E) + Send>;

/// An observer, for as long as it behaves.
pub struct Observer<E>(Option<Callback<E>>);

impl<E> Observer<E> {
    /// Nobody observes.
    pub const fn none() -> Self {
        Self(None)
    }

    /// This one observes.
    pub fn new(observer: impl FnMut(&E) + Send + 'static) -> Self {
        Self(Some(Box::new(observer)))
    }

    /// Tell what happened.
    pub fn tell(&mut self, event: &E) {
        if let Some(observer) = &mut self.0
            && catch_unwind(AssertUnwindSafe(|| observer(event))).is_err()
        {
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
        observer.tell(&1);
        observer.tell(&2);
        while receiver.try_recv().is_ok() {
            calls += 1;
        }
        assert_eq!(calls, 1);
    }
}

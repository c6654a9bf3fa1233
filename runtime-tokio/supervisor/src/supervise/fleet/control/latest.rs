//! The latest events of several services, as one history.

use std::time::SystemTime;

use crate::operate::event::Event;

/// The latest events of several services in one order, each service's in its own: if the clock was set back,
/// what happened before that counts as no later than what came after it.
pub(super) struct Latest {
    limit: usize,
    /// Each with the time that it counts as.
    all: Vec<(SystemTime, Event)>,
}

impl Latest {
    /// So many of them.
    pub(super) const fn new(limit: usize) -> Self {
        let all = Vec::new();
        Self { limit, all }
    }

    /// Adds those of a service.
    pub(super) fn add(&mut self, mut events: Vec<Event>) {
        let (mut earliest, mut new) = (None, Vec::new());
        while let Some(event) = events.pop() {
            let at = earliest.map_or(event.at, |earliest| event.at.min(earliest));
            earliest = Some(at);
            new.push((at, event));
        }
        // They are there from behind, so equal ones keep their order.
        self.all.extend(new.into_iter().rev());
        self.all.sort_by_key(|(at, _)| *at);
        self.all.drain(..self.all.len().saturating_sub(self.limit));
    }

    pub(super) fn in_order(self) -> Vec<Event> {
        self.all.into_iter().map(|(_, event)| event).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::operate::event::What;

    #[test]
    fn a_clock_that_was_set_back_changes_no_order_within_a_service() {
        let events = |service: &str, at: &[u64]| -> Vec<_> {
            at.iter()
                .map(|at| Event {
                    at: UNIX_EPOCH + Duration::from_secs(*at),
                    service: service.into(),
                    handoff_id: None,
                    what: What::Sealed,
                })
                .collect()
        };
        let since = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let latest = |limit| -> Vec<_> {
            let mut latest = Latest::new(limit);
            latest.add(events("a", &[1, 100, 90, 4, 6]));
            latest.add(events("b", &[2, 5]));
            let all = latest.in_order().into_iter();
            all.map(|event| since(event.at)).collect()
        };
        assert_eq!(latest(9), [1, 2, 100, 90, 4, 5, 6]);
        assert_eq!(latest(4), [90, 4, 5, 6]);
    }
}

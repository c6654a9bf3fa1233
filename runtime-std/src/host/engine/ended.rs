//! The ends of operations, as they travel to the loop that hands them in.

use handoff_core::Handles;
use handoff_core::op::{
    self, Completion, ListenersReport, LockReport, OpenReport, Operation, Ticket,
};
use handoff_core::wire::{Names, Revisions};

use crate::hooks::{DrainReport, SealReport, Snapshot};
use crate::host::{KeptListener, LockError};
use crate::successor::Readiness;

/// The end of an operation: owns what the completion borrows, and shows it when asked.
pub type Ended = Box<dyn FnOnce(&mut dyn FnMut(Completion<'_>)) + Send>;

/// Ends an operation that did not work.
pub fn failed<K: Operation + 'static>(ticket: Ticket<K>, why: impl Into<String>) -> Ended {
    let why = why.into();
    Box::new(move |feed| feed(ticket.failed(&why)))
}

/// Ends an operation that reports a value which borrows nothing, or `()`.
pub fn value<K, T>(ticket: Ticket<K>, result: Result<T, String>) -> Ended
where
    K: for<'b> Operation<Done<'b> = T> + 'static,
    T: Send + 'static,
{
    match result {
        Ok(done) => Box::new(move |feed| feed(ticket.done(done))),
        Err(why) => failed(ticket, why),
    }
}

/// Ends a try for the writer lock.
pub fn tried_lock(ticket: Ticket<op::TryLock>, tried: Result<LockReport, LockError>) -> Ended {
    match tried {
        Ok(report) => Box::new(move |feed| feed(ticket.done(report))),
        Err(error) => failed(ticket, error.to_string()),
    }
}

/// Ends a drain.
pub fn drained(ticket: Ticket<op::Drain>, drained: Result<DrainReport, String>) -> Ended {
    match drained {
        Ok(DrainReport {
            open_connections,
            accept_closed,
        }) => Box::new(move |feed| {
            feed(ticket.done(op::DrainReport {
                open_connections,
                accept_closed,
            }));
        }),
        Err(why) => failed(ticket, why),
    }
}

/// Ends a seal.
pub fn sealed(ticket: Ticket<op::Seal>, sealed: Result<SealReport, String>) -> Ended {
    match sealed {
        Ok(SealReport {
            revisions,
            fingerprint,
        }) => Box::new(move |feed| {
            let revisions = Revisions::from(&*revisions);
            feed(ticket.done(op::SealReport {
                revisions,
                fingerprint,
            }));
        }),
        Err(why) => failed(ticket, why),
    }
}

/// Ends the opening of the data.
pub fn opened(ticket: Ticket<op::Open>, readiness: Readiness) -> Ended {
    Box::new(move |feed| {
        let names: Vec<&str> = readiness.listening_on.iter().map(String::as_str).collect();
        feed(ticket.done(OpenReport {
            listening_on: Names::from(&*names),
            healthy: readiness.healthy,
            revisions: Revisions::from(&*readiness.revisions),
        }));
    })
}

/// Ends the question how the daemon is.
pub fn snapped(ticket: Ticket<op::Snapshot>, taken: Result<Snapshot, String>) -> Ended {
    match taken {
        Ok(Snapshot {
            open_connections,
            revisions,
            ..
        }) => Box::new(move |feed| {
            let revisions = Revisions::from(&*revisions);
            feed(ticket.done(op::SnapshotReport {
                open_connections,
                revisions,
            }));
        }),
        Err(why) => failed(ticket, why),
    }
}

/// Ends the question which listeners are kept. Their handles are their places in the list.
pub fn listed(ticket: Ticket<op::ListListeners>, kept: &[KeptListener]) -> Ended {
    let names: Vec<String> = kept.iter().map(|kept| kept.name.clone()).collect();
    Box::new(move |feed| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
        feed(ticket.done(ListenersReport {
            names: Names::from(&*names),
            handles: Handles { first: 0, count },
        }));
    })
}

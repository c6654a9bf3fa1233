//! How many descriptors a supervisor needs for its services (`RLIMIT_NOFILE`), and whether it may have
//! them.

use super::section::Section;
use super::{Service, report::Report};

/// For itself and for clients.
const BASE: u64 = 64;
/// For each service: its lock, its daemon and an earlier one that has not ended yet.
const SERVICE: u64 = 5;
/// For a handoff: two links, what is handed over, and the client that waits for it.
const HANDOFF: u64 = 10;
/// For a trigger socket.
const TRIGGER: u64 = 2;

/// How many descriptors a supervisor of these services needs when all of them are handed over at once.
pub(crate) fn needed<'a>(services: impl IntoIterator<Item = &'a Service>) -> u64 {
    let each = services.into_iter().map(|service| {
        let listeners = u64::try_from(service.listeners.len()).unwrap_or(u64::MAX);
        let trigger = service.trigger_socket.as_ref().map_or(0, |_| TRIGGER);
        // They are handed over as duplicates.
        SERVICE
            .saturating_add(HANDOFF)
            .saturating_add(trigger)
            .saturating_add(listeners.saturating_mul(2))
    });
    each.fold(BASE, u64::saturating_add)
}

/// That so many are needed and fewer are to be had, in words; `None` if they are enough.
pub(crate) fn shortage(needed: u64, limit: Option<u64>) -> Option<String> {
    let limit = limit.filter(|limit| *limit < needed)?;
    Some(format!(
        "a process may have {limit} open files here, and to hand all of these services over at once takes \
         up to {needed}: raise the hard limit (ulimit -Hn, or LimitNOFILE= of a systemd unit)"
    ))
}

/// Notes a limit of this machine that is too low.
pub(super) fn check(root: &Section<'_>, services: &[Service], report: &mut Report<'_>) {
    if let Some(text) = shortage(needed(services), report.machine.descriptors()) {
        report.note(&root.place_of("service"), text);
    }
}

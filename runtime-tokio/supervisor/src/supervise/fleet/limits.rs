//! Sees to it that there are enough descriptors for what is supervised (`RLIMIT_NOFILE`).

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::{Service, descriptors};

/// How many clients of other users than root and our own may wait for an answer at once. With room for
/// them, a few services need no more than the soft limit that is usual.
pub(super) const CLIENTS: usize = 768;

/// Raises the soft limit as far as these services and their clients need it and the hard limit allows, and
/// says so if that is not enough for the services. Daemons that are started from now on inherit it.
pub(super) fn provide<'a>(services: impl IntoIterator<Item = &'a Service>) {
    let needed = descriptors::needed(services);
    let mut limit = getrlimit(Resource::Nofile);
    if let Some(text) = descriptors::shortage(needed, limit.maximum) {
        tracing::warn!("{text}");
    }
    let clients = u64::try_from(CLIENTS).unwrap_or(u64::MAX);
    let wanted = needed.saturating_add(clients);
    let wanted = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let Some(current) = limit.current else {
        return;
    };
    if wanted <= current {
        return;
    }
    limit.current = Some(wanted);
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => tracing::info!("the limit of open files is raised from {current} to {wanted}"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays at {current}"),
    }
}

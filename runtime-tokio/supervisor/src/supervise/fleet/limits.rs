//! Sees to it that there are enough descriptors for what is supervised (`RLIMIT_NOFILE`).

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::{Service, descriptors};

/// Raises the soft limit as far as these services need it and the hard limit allows, and says so if that
/// is not enough. Daemons that are started from now on inherit it.
pub(super) fn provide<'a>(services: impl IntoIterator<Item = &'a Service>) {
    let needed = descriptors::needed(services);
    let mut limit = getrlimit(Resource::Nofile);
    if let Some(text) = descriptors::shortage(needed, limit.maximum) {
        tracing::warn!("{text}");
    }
    let Some(current) = limit.current.filter(|current| *current < needed) else {
        return;
    };
    let wanted = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    if wanted <= current {
        return;
    }
    limit.current = Some(wanted);
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => tracing::info!("the limit of open files is raised from {current} to {wanted}"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays at {current}"),
    }
}

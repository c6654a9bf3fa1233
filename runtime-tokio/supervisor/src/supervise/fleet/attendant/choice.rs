//! What the daemon is started from when nobody serves. Finding that out is work on files.

use std::path::PathBuf;
use std::sync::Arc;

use handoff_std::SpawnSpec;
use handoff_std::host::SpawnError;
use tokio::task::spawn_blocking;

use super::Service;
use crate::supervise::binary::BinaryRecord;

/// How the daemon is started.
pub(super) struct Choice {
    pub(super) daemon: SpawnSpec,
    /// Why it cannot be, as it is.
    pub(super) wrong: Option<SpawnError>,
}

/// Chooses on a blocking thread: the `current` binary if there is one that is known to be right, otherwise
/// what the record says.
pub(super) async fn choose(
    service: &Arc<Service>,
    record: BinaryRecord,
    current: Option<PathBuf>,
) -> Choice {
    let chosen = {
        let service = Arc::clone(service);
        spawn_blocking(move || {
            let daemon = match current {
                Some(current) => service.spawn(current),
                None => daemon_to_start(&service, &record),
            };
            let wrong = daemon.check().err();
            Choice { daemon, wrong }
        })
        .await
    };
    chosen.unwrap_or_else(|error| {
        tracing::error!(%error, "the binary that was committed last is not known; going back to the configured one");
        Choice {
            daemon: service.spawn(service.binary.clone()),
            wrong: None,
        }
    })
}

/// The daemon that is started when nobody serves: the one that was committed last, if it can be
/// started and is still allowed.
fn daemon_to_start(service: &Service, record: &BinaryRecord) -> SpawnSpec {
    let current = record.current();
    let configured = service.spawn(service.binary.clone());
    if current == service.binary {
        return configured;
    }
    let instead = service.binary.display();
    if !service.allows(&current) {
        tracing::warn!(
            binary = %current.display(), %instead,
            "the binary that replaced the configured one is not allowed any more; going back to that one"
        );
        return configured;
    }
    let spec = service.spawn(current);
    if let Err(error) = spec.check() {
        tracing::error!(
            %error, %instead,
            "the binary that replaced the configured one is gone; going back to that one"
        );
        return configured;
    }
    spec
}

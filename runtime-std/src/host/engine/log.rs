//! What the machines let be seen, as log lines; the same with every adapter.

use handoff_core::Observation;
use handoff_core::incumbent::Phase;
use handoff_core::successor;
use handoff_core::wire::Message;

/// Logs what an incumbent lets be seen.
pub fn incumbent_saw(seen: &Observation<Phase>) {
    match seen {
        Observation::Phase(Phase::Draining) => {
            tracing::info!(target: "handoff.prepare", "draining");
        }
        Observation::Phase(Phase::Drained) => tracing::info!(target: "handoff.drained", "drained"),
        Observation::Phase(Phase::Sealing) => tracing::info!(target: "handoff.seal", "sealing"),
        Observation::Phase(Phase::Sealed) => {
            tracing::info!(target: "handoff.seal_complete", "sealed, lock released");
        }
        Observation::Phase(Phase::Retired) => tracing::info!(target: "handoff.commit", "committed"),
        Observation::Phase(phase) => tracing::debug!(%phase, "incumbent"),
        Observation::Lost(link, loss) => tracing::debug!(link = link.0, %loss, "session ended"),
        Observation::Trouble(cause) => tracing::warn!(target: "handoff.abort", %cause, "trouble"),
    }
}

/// Logs what a successor lets be seen.
pub fn successor_saw(seen: &Observation<successor::Phase>) {
    match seen {
        Observation::Phase(phase) => tracing::debug!(%phase, "successor"),
        Observation::Lost(_, loss) => tracing::info!(%loss, "session with the supervisor ended"),
        Observation::Trouble(cause) => {
            tracing::warn!(target: "handoff.abort", %cause, "trouble");
        }
    }
}

/// Logs what a successor hears.
pub fn successor_heard(message: &Message<'_>) {
    match message {
        Message::HelloAck { version: 1, .. } => tracing::info!(
            "the supervisor speaks version 1: it may not wait until this process is warm, and does \
             not say when the handoff is committed"
        ),
        Message::HelloAck { version, .. } => tracing::debug!(version, "acknowledged"),
        _ => {}
    }
}

//! Ask a running daemon something, without touching it: how it is, and for the listeners that it
//! keeps for a supervisor that has lost its own (protocol, section 13).
//!
//! A question has a blocking thread of the runtime to itself, for about 10 seconds at most. If its
//! future is dropped, the thread goes on to the end of the question, and what came is closed.

use std::io;
use std::path::Path;

use handoff_std::ask;
pub use handoff_std::ask::{AskError, DaemonPhase, DaemonStatus};
use handoff_std::host::NamedListener;
use tokio::task::spawn_blocking;

/// How the daemon behind `control` is.
///
/// # Errors
/// [`AskError`].
pub async fn status(control: impl AsRef<Path>) -> Result<DaemonStatus, AskError> {
    let control = control.as_ref().to_path_buf();
    let answer = spawn_blocking(move || ask::status(control)).await;
    answer.map_err(io::Error::from)?
}

/// A descriptor of each listener that the daemon behind `control` keeps, in its order: those that it
/// was given at its birth, whether it uses them or not. Several may share a name.
///
/// Each is still the daemon's too, with the status flags (`O_NONBLOCK`) that the daemon has set: they
/// are shared.
///
/// # Errors
/// [`AskError`].
pub async fn listeners(control: impl AsRef<Path>) -> Result<Vec<NamedListener>, AskError> {
    let control = control.as_ref().to_path_buf();
    let answer = spawn_blocking(move || ask::listeners(control)).await;
    answer.map_err(io::Error::from)?
}

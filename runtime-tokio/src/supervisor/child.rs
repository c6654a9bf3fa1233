//! A daemon as a child: waiting for its end, and not losing it.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use handoff_std::Spawned;
use handoff_std::host::process::kill_and_reap;
use handoff_std::host::{Child, Process, Watching};
use tokio::net::unix::pipe;

use crate::task::blocking;

/// How long a killed process may take to be gone.
const DEATH: Duration = Duration::from_secs(5);

/// How often it is asked whether a process lives that cannot be watched.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Wait for the end of a daemon, and reap it. No signal is needed for it: on Linux the process is
/// watched through a pidfd, elsewhere it is asked for now and then.
///
/// Can be dropped and awaited again; once the status is known, it is so every time.
///
/// # Errors
/// The system's.
pub async fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let watching = Process::of(child.id()).map(Process::watch).transpose()?;
        match watching {
            Some(Watching::Pollable(watch)) => {
                // Only its readiness is asked for, which a pidfd has like a pipe.
                pipe::Receiver::from_owned_fd_unchecked(watch.into())?
                    .readable()
                    .await?;
            }
            // It has died since.
            Some(Watching::Dead) | None => {}
            Some(Watching::Unsupported) => tokio::time::sleep(ASK_EVERY).await,
        }
        // A readiness may be a false alarm.
        tokio::task::consume_budget().await;
    }
}

/// A daemon that was started and that nobody has yet. Dropping it kills it.
pub(super) struct Unclaimed(Option<Spawned>);

impl Unclaimed {
    pub(super) const fn new(spawned: Spawned) -> Self {
        Self(Some(spawned))
    }

    pub(super) fn claim(mut self) -> Option<Spawned> {
        self.0.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(Spawned { child, .. }) = self.0.take() {
            let doomed = Doomed(child);
            blocking(move || drop(doomed));
        }
    }
}

/// Killed and reaped when it is dropped, since a runtime that shuts down drops what it does not run
/// any more.
struct Doomed(Child);

impl Drop for Doomed {
    fn drop(&mut self) {
        if let Err(error) = kill_and_reap(&mut self.0, DEATH) {
            tracing::error!(pid = self.0.id(), %error, "a process could not be killed");
        }
    }
}

//! The way out: what a signal ends, and in which order.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use handoff_std::host::Signal;

use super::{Daemon, Doing, Overseer};

/// How long a daemon may take to end when it is told to.
const TERMINATION: Duration = Duration::from_secs(10);
/// How long a killed process may take to be gone.
const DEATH: Duration = Duration::from_secs(5);

/// How far the way out has been gone.
#[derive(Clone, Copy)]
pub(super) enum Stop {
    No,
    /// As soon as nothing is in flight.
    Asked,
    /// The daemon was told to end, and will be killed then.
    Terminating(Instant),
    /// It was killed, and should be gone by then.
    Killing(Instant),
}

impl Overseer<'_> {
    /// # Errors
    /// A second signal: the end, at once.
    pub(super) fn heed_signals(&mut self) -> anyhow::Result<()> {
        let mut count = self.signals.take();
        if count > 0 && matches!(self.stop, Stop::No) {
            tracing::info!("told to end");
            self.stop = Stop::Asked;
            count -= 1;
        }
        if count > 0 {
            bail!("told to end a second time: ending at once, the daemon is left as it is");
        }
        if let (Doing::Handoff(handoff), Stop::Asked) = (&self.doing, self.stop) {
            // Without effect before there is a probation; it is tried until there is, or the handoff
            // has ended.
            handoff.rollback.rollback("the supervisor was told to end");
        }
        Ok(())
    }

    /// Goes the way out as far as it can be gone now; whether its end is reached.
    ///
    /// # Errors
    /// The daemon does not die.
    pub(super) fn stop(&mut self, now: Instant) -> anyhow::Result<bool> {
        if !matches!(self.doing, Doing::Nothing(_)) {
            return Ok(false);
        }
        match self.stop {
            Stop::No => return Ok(false),
            Stop::Asked => {
                self.trigger = None;
                if self.args.keep_daemon {
                    tracing::info!("ending; the daemon goes on");
                    return Ok(true);
                }
                self.signal_all(Signal::TERM);
                self.stop = Stop::Terminating(now + TERMINATION);
            }
            Stop::Terminating(kill_at) if now >= kill_at => {
                tracing::warn!("the daemon does not end; killing it");
                self.signal_all(Signal::KILL);
                self.stop = Stop::Killing(now + DEATH);
            }
            Stop::Killing(give_up_at) if now >= give_up_at => {
                let stuck = self.processes().map(Daemon::pid).next();
                bail!("pid {} does not die", stuck.context("nobody is left")?);
            }
            Stop::Terminating(_) | Stop::Killing(_) => {}
        }
        Ok(self.processes().next().is_none())
    }

    pub(super) fn processes(&self) -> impl Iterator<Item = &Daemon> {
        self.leaving.iter().chain(&self.daemon)
    }

    fn signal_all(&self, signal: Signal) {
        for daemon in self.processes() {
            daemon.signal(signal);
        }
    }
}

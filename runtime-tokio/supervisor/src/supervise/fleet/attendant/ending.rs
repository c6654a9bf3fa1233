//! The way out of a service: what is ended, and in which order.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use handoff_std::host::Signal;

use super::{Attendant, Doing, Watched};

/// How long a daemon may take to end when it is told to.
const TERMINATION: Duration = Duration::from_secs(10);
/// How long a killed process may take to be gone.
const DEATH: Duration = Duration::from_secs(5);

/// How far the way out has been gone.
#[derive(Clone, Copy)]
pub(super) enum Stop {
    No,
    /// Nothing more is begun, and no probation is waited for.
    Winding,
    /// As soon as nothing is in flight.
    Asked {
        /// Whether the daemon goes on.
        keep: bool,
    },
    /// The daemon was told to end, and will be killed then.
    Terminating(Instant),
    /// It was killed, and should be gone by then.
    Killing(Instant),
}

impl Stop {
    /// Whether the supervisor is on its way out.
    pub(super) const fn is_going(self) -> bool {
        !matches!(self, Self::No)
    }

    /// When it goes on by itself.
    pub(super) const fn deadline(self) -> Option<Instant> {
        match self {
            Self::Terminating(at) | Self::Killing(at) => Some(at),
            Self::No | Self::Winding | Self::Asked { .. } => None,
        }
    }
}

impl Attendant {
    /// Goes the way out as far as it can be gone now; whether its end is reached.
    ///
    /// # Errors
    /// The daemon does not die.
    pub(super) fn stop(&mut self, now: Instant) -> anyhow::Result<bool> {
        if self.stop.is_going()
            && let Doing::Handoff(_, handoff) = &mut self.doing
        {
            // One that waits for its turn is not begun any more.
            handoff.call_off();
            // Without effect before there is a probation; it is tried until there is, or the handoff
            // has ended.
            self.rollback
                .rollback("the supervision of the service is ending");
        }
        if !matches!(self.doing, Doing::Nothing(_)) {
            return Ok(false);
        }
        match self.stop {
            Stop::No | Stop::Winding => return Ok(false),
            Stop::Asked { keep: true } => {
                tracing::info!("ending; the daemon goes on");
                return Ok(true);
            }
            Stop::Asked { keep: false } => {
                if let Some(daemon) = &self.daemon {
                    tracing::info!(pid = daemon.pid(), "ending the daemon");
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
                let stuck = self.processes().map(|daemon| daemon.pid()).next();
                bail!("pid {} does not die", stuck.context("nobody is left")?);
            }
            Stop::Terminating(_) | Stop::Killing(_) => {}
        }
        Ok(self.processes().next().is_none())
    }

    fn processes(&self) -> impl Iterator<Item = &Watched> {
        self.leaving.iter().chain(&self.daemon)
    }

    fn signal_all(&self, signal: Signal) {
        for daemon in self.processes() {
            daemon.signal(signal);
        }
    }
}

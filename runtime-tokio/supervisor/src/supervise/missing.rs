//! Listeners that are missing: they are bound, or taken back from the daemon, as soon as can be.

use std::time::{Duration, Instant};

use handoff_std::host::{ListenError, ListenSpec, NamedListener};
use handoff_tokio::Supervisor;

use super::kept::{self, Kept};
use super::listeners::Listeners;

/// How often a missing listener is tried again.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// What is missing, and what came of it lately.
pub(super) struct Missing {
    /// Each with the reason why it cannot be bound.
    wanted: Vec<(ListenSpec, ListenError)>,
    again_at: Instant,
    /// To be had at last, and not with the supervisor yet.
    had: Vec<NamedListener>,
    /// The names of those that a daemon that is found cannot have, since we bound them ourselves.
    fresh: Vec<String>,
    /// What was said last about what the daemon keeps; not repeated every second.
    said: Vec<String>,
    /// Why the daemon did not give anything back, the last time that it was asked.
    refused: Option<String>,
}

impl Missing {
    /// What is missing after the start. All others are with the supervisor.
    pub(super) fn after(listeners: Listeners, now: Instant) -> Self {
        for (spec, error) in &listeners.missing {
            tracing::warn!(
                name = spec.name, %error,
                "LISTENER MISSING: a daemon that lives has probably kept it from an earlier \
                 supervisor. It is watched all the same; handoffs are refused until it gives the \
                 listener back or the listener can be bound, which is tried every second"
            );
        }
        Self {
            wanted: listeners.missing,
            again_at: now + EVERY,
            had: Vec::new(),
            fresh: listeners.fresh,
            said: listeners.differences,
            refused: listeners.refused,
        }
    }

    /// This one is asked for from now on: it is bound, or missing.
    pub(super) fn want(&mut self, spec: ListenSpec, now: Instant) {
        match spec.bind() {
            Ok(listener) => {
                let NamedListener { name, address, .. } = &listener;
                tracing::info!(
                    name,
                    address,
                    "listening; connections wait until the next handoff gives it to a daemon"
                );
                self.fresh.push(name.clone());
                self.had.push(listener);
            }
            Err(error) => {
                tracing::warn!(
                    name = spec.name, %error,
                    "LISTENER MISSING: handoffs are refused until it can be bound, which is tried every second"
                );
                self.again_at = now + EVERY;
                self.wanted.push((spec, error));
            }
        }
    }

    /// The listener of this name is not asked for any more.
    pub(super) fn forget(&mut self, name: &str) {
        self.wanted.retain(|(spec, _)| spec.name != name);
        self.fresh.retain(|fresh| fresh != name);
    }

    /// One that is missing, and why.
    pub(super) fn first(&self) -> Option<&(ListenSpec, ListenError)> {
        self.wanted.first()
    }

    /// All that is missing.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &ListenSpec> {
        self.wanted.iter().map(|(spec, _)| spec)
    }

    /// If one is missing: what a client is told that asks for a handoff.
    pub(super) fn refusal(&self) -> Option<String> {
        let (spec, error) = self.first()?;
        let refused = self.refused.as_ref();
        let refused = refused.map(|why| format!(" The daemon does not give it back: {why}."));
        Some(format!(
            "the listener `{}` is missing: {error}; it cannot be handed over until it can be \
             bound, at the latest when the daemon that has it is restarted.{}",
            spec.name,
            refused.unwrap_or_default()
        ))
    }

    /// When to try again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.wanted.is_empty()).then_some(self.again_at)
    }

    /// Something has changed: the next try is at once.
    pub(super) fn retry(&mut self, now: Instant) {
        self.again_at = now;
    }

    /// If it is time for that, tries to bind what is missing. Whether the daemon is to be asked, since
    /// something is missing still.
    pub(super) fn bind(&mut self, now: Instant) -> bool {
        if self.deadline().is_none_or(|at| now < at) {
            return false;
        }
        self.again_at = now + EVERY;
        self.wanted.retain_mut(|(spec, reason)| match spec.bind() {
            Ok(listener) => {
                let NamedListener { name, address, .. } = &listener;
                tracing::info!(name, address, "listening");
                self.fresh.push(name.clone());
                self.had.push(listener);
                false
            }
            Err(error) => {
                tracing::debug!(name = spec.name, %error, "still missing");
                *reason = error;
                true
            }
        });
        !self.wanted.is_empty()
    }

    /// Takes what the daemon gives back. `specs` is all that is asked for.
    pub(super) fn take_back(&mut self, specs: &[ListenSpec], kept: Kept) {
        let Kept {
            listeners: mut kept,
            refused,
        } = kept;
        if let Some(why) = refused.as_ref().filter(|_| refused != self.refused) {
            tracing::warn!(why, "the daemon does not give its listeners back");
        }
        self.refused = refused;
        let differences = kept::differences(specs, &kept);
        for difference in differences
            .iter()
            .filter(|words| !self.said.contains(words))
        {
            tracing::warn!("{difference}");
        }
        self.said = differences;
        self.wanted.retain(|(spec, _)| {
            let listener = kept::take(spec, &mut kept);
            let is_missing = listener.is_none();
            self.had.extend(listener);
            is_missing
        });
    }

    /// Gives what is to be had by now to the supervisor, and enters it with those that are held.
    pub(super) fn hand_in(
        &mut self,
        supervisor: &mut Supervisor,
        held: &mut Vec<(String, String)>,
    ) {
        for NamedListener { name, fd, address } in self.had.drain(..) {
            held.push((name.clone(), address));
            supervisor.add_listener(name, fd);
        }
    }

    /// A daemon was found that runs since before this supervisor.
    pub(super) fn found_a_daemon(&mut self) {
        for name in self.fresh.drain(..) {
            tracing::warn!(
                name,
                "the daemon that was found does not have this listener, since it was bound just \
                 now: connections wait until the next handoff"
            );
        }
    }

    /// A daemon was started, with all that is there.
    pub(super) fn started_a_daemon(&mut self) {
        self.fresh.clear();
    }
}

//! Another configuration for a service that runs.

use std::sync::Arc;
use std::time::Instant;

use handoff_std::host::ListenSpec;

use super::work::Task;
use super::{Attendant, Doing};

impl Attendant {
    /// Takes up the configuration that has come last, as soon as nothing is in flight: a handoff goes on
    /// with what it began with.
    pub(super) fn renew(&mut self, now: Instant) {
        if !self.is_idle() {
            return;
        }
        let Some(service) = self.renewal.take() else {
            return;
        };
        let before = std::mem::replace(&mut self.service, Arc::clone(&service));
        if before.restart != service.restart {
            self.restarts.renew(&service.restart);
        }
        self.exchange_listeners(&before.listeners, now);
        let is_known = before.binary == service.binary && service.allows(&self.current);
        if !is_known {
            self.desk.record.rename(service.binary.clone());
        }
        let current = is_known.then(|| self.current.clone());
        self.begin(Task::Choose(service, current), Doing::Choosing);
    }

    /// Listeners that are new are bound, and go to the next daemon. Those that are not asked for any more
    /// are let go: the daemon that runs keeps them until it is replaced.
    fn exchange_listeners(&mut self, before: &[ListenSpec], now: Instant) {
        let Doing::Nothing(supervisor) = &mut self.doing else {
            return;
        };
        self.missing.hand_in(supervisor, &mut self.held);
        let wanted = &self.service.listeners;
        let is_in = |specs: &[ListenSpec], one: &ListenSpec| {
            specs
                .iter()
                .any(|spec| spec.name == one.name && spec.address == one.address)
        };
        let mut released = Vec::new();
        for spec in before.iter().filter(|spec| !is_in(wanted, spec)) {
            self.missing.forget(&spec.name);
            let at = self.held.iter().position(|(name, _)| *name == spec.name);
            if let Some((name, address)) = at.map(|at| self.held.remove(at))
                && let Some(fd) = supervisor.remove_listener(&name)
            {
                released.push((name, address, fd));
            }
        }
        for spec in wanted.iter().filter(|spec| !is_in(before, spec)) {
            // The same socket under another name, which cannot be bound a second time.
            let renamed = released
                .iter()
                .position(|(_, address, _)| spec.address.matches(address));
            let renamed = renamed.map(|at| released.remove(at));
            let copy = renamed.and_then(|(before, address, fd)| {
                let fd = fd.try_clone().ok()?;
                Some((before, address, fd))
            });
            match copy {
                Some((before, address, fd)) => {
                    tracing::info!(
                        name = spec.name,
                        address,
                        before,
                        "the listener has another name for the daemon that is started next"
                    );
                    self.held.push((spec.name.clone(), address));
                    supervisor.add_listener(&spec.name, fd);
                }
                None => self.missing.want(spec.clone(), now),
            }
        }
        for (name, address, _) in released {
            let spec = before.iter().find(|spec| spec.name == name);
            self.sockets.let_go(spec.cloned(), self.daemon.is_some());
            tracing::info!(
                name,
                address,
                "the listener is not asked for any more: it is closed with the next handoff, at once if there is no daemon"
            );
        }
        self.missing.hand_in(supervisor, &mut self.held);
    }
}

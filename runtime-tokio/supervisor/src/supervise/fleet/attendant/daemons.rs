//! The daemon of a service: who it is, its end, and when the next one is started.

use std::time::Instant;

use handoff_std::host::Signal;

use super::{Attendant, Doing};
use crate::operate::event::{What, Why};
use crate::supervise::daemon::{Daemon, End};
use crate::supervise::fleet::events::Teller;
use crate::supervise::fleet::watched::Watched;

impl Attendant {
    /// From now on this is the daemon; the one before may still be on its way out.
    pub(super) fn replace(&mut self, daemon: Option<Daemon>) {
        let daemon = daemon.map(Watched::new);
        self.had_one |= daemon.is_some();
        if daemon.is_some() {
            self.sockets.daemon_is_replaced();
        }
        let before = std::mem::replace(&mut self.daemon, daemon);
        self.leaving.extend(before);
        // Somebody else has the address of a listener, and now there is a daemon without it.
        if let Some(daemon) = &self.daemon
            && self.missing.first().is_some()
        {
            let pid = daemon.pid();
            tracing::warn!(pid, "started without all of its listeners; ending it");
            daemon.signal(Signal::KILL);
        }
    }

    /// Watches a daemon that serves already.
    pub(super) fn adopt(&mut self, pid: u32, build: Option<Vec<u8>>, now: Instant) {
        let is_current = |daemon: &Watched| daemon.pid() == pid;
        if self.daemon.as_ref().is_some_and(is_current) {
            return;
        }
        let build = build.map(|build| String::from_utf8_lossy(&build).into_owned());
        self.teller.tell(None, What::DaemonFound { pid, build });
        let known = self.leaving.iter().position(is_current);
        let daemon = match known {
            Some(at) => Some(self.leaving.swap_remove(at)),
            None => Daemon::found(pid).map(Watched::new),
        };
        self.had_one |= daemon.is_some();
        self.missing.found_a_daemon();
        // It may be the one to ask for what is missing.
        self.missing.retry(now);
        let before = std::mem::replace(&mut self.daemon, daemon);
        self.leaving.extend(before);
    }

    pub(super) fn reap(&mut self, now: Instant) {
        self.leaving.retain_mut(|daemon| {
            let Some(end) = daemon.ended() else {
                return true;
            };
            tracing::info!(pid = daemon.pid(), %end, "an earlier daemon has ended");
            tell_end(&self.teller, daemon.pid(), &end, Why::Replaced);
            false
        });
        if self.leaving.is_empty() {
            self.sockets.tidy(&self.service.listeners);
        }
        let ended = self.daemon.as_mut().and_then(|daemon| {
            let end = daemon.ended()?;
            Some((daemon.pid(), daemon.lived(), end))
        });
        let Some((pid, lived, end)) = ended else {
            return;
        };
        self.daemon = None;
        // One that waits for its turn would keep the service down until then.
        let in_handoff = match &mut self.doing {
            Doing::Handoff(_, handoff) => !handoff.call_off(),
            _ => false,
        };
        let why = if in_handoff {
            Why::InHandoff
        } else if self.stop.is_going() {
            Why::Stopped
        } else {
            Why::ByItself
        };
        tell_end(&self.teller, pid, &end, why);
        // It may have been what kept a listener from us.
        self.missing.retry(now);
        if in_handoff {
            // Who is the daemon now, the handoff's end will tell.
            tracing::info!(pid, %end, "the incumbent has ended during the handoff");
            return;
        }
        if self.stop.is_going() {
            tracing::info!(pid, %end, "the daemon has ended");
            return;
        }
        tracing::warn!(pid, %end, ?lived, "the daemon has ended");
        match self.restarts.ended(&end, lived) {
            Some(why) => self.let_be(why),
            None => self.retry(now),
        }
    }

    /// If there is no daemon, sets when to start one.
    pub(super) fn retry(&mut self, now: Instant) {
        if self.daemon.is_some() || self.stop.is_going() {
            return;
        }
        match self.restarts.pause(now) {
            Ok(pause) => {
                self.start_at = Ok(now + pause);
                tracing::info!(?pause, "there is no daemon; looking again after a pause");
            }
            Err(why) => self.let_be(why),
        }
    }

    /// No daemon is started any more, until somebody asks for it.
    fn let_be(&mut self, why: String) {
        let name = &self.service.name;
        tracing::error!(
            why,
            "the service is down and stays so; `handoff restart {name}` starts it"
        );
        self.start_at = Err(why);
    }
}

fn tell_end(teller: &Teller, pid: u32, end: &End, why: Why) {
    let how = end.to_string();
    teller.tell(None, What::DaemonEnded { pid, how, why });
}

//! What an [`Engine`] does in one turn of the user's loop; the same for all three roles.
//!
//! Readiness comes once (edge-triggered), so it is remembered until a read or an accept finds nothing
//! more. Each turn reads every ready link a little and accepts a few connections: no peer can hold the
//! loop. What is left is said by [`Driver::timeout`], which is zero then.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use handoff_core::{Input, LinkId, Role};
use handoff_std::Progress;
use handoff_std::host::Clock;
use handoff_std::host::engine::{Engine, Host};
use mio::unix::SourceFd;
use mio::{Interest, Token};

use crate::answers::Answers;
use crate::hub::{DOOR, Hub, Wake, watch};

/// How often a link is read in one turn: mostly the second time finds nothing, which saves a turn.
const READS: usize = 2;

/// The most connections that are accepted in one turn.
const ACCEPTS: usize = 8;

/// Which tokens a driver's links have, where two drivers share a [`Hub`].
#[derive(Clone, Copy)]
pub(crate) enum Lane {
    Incumbent,
    Successor,
    Supervisor,
}

impl Lane {
    fn token(self, link: LinkId) -> Token {
        let link = usize::try_from(link.0).unwrap_or_default();
        Token(link.wrapping_mul(3).wrapping_add(self as usize))
    }
}

/// An engine, and what is known of its sockets.
pub(crate) struct Driver<R: Role<L>, const L: usize> {
    /// In a box, since it is part of values that the user moves.
    pub(crate) engine: Box<Engine<R, L>>,
    pub(crate) answers: Answers,
    lane: Lane,
    started: bool,
    /// Links that are registered; whether it is waited for until they take bytes.
    watched: BTreeMap<LinkId, bool>,
    /// Links that may have more to be read.
    readable: BTreeSet<LinkId>,
    /// Somebody may wait to be accepted.
    door: bool,
}

impl<R: Role<L>, const L: usize> Driver<R, L> {
    pub(crate) fn new(config: R::Config, lane: Lane, hub: &Hub) -> Self {
        Self {
            engine: Box::new(Engine::new(config, Clock::new())),
            answers: Answers::new(hub.waker()),
            lane,
            started: false,
            watched: BTreeMap::new(),
            readable: BTreeSet::new(),
            // They may have come before there was somebody to accept them.
            door: true,
        }
    }

    /// Whether the machine is under way.
    pub(crate) const fn has_started(&self) -> bool {
        self.started
    }

    /// Until when the loop may wait for something to happen.
    pub(crate) fn timeout(&mut self) -> Option<Duration> {
        if self.engine.outcome().is_some() {
            return None;
        }
        // First, since a listener that was left alone for long enough is not waited for any more.
        let listens = self.engine.listens();
        if !self.started || !self.readable.is_empty() || (self.door && listens) {
            return Some(Duration::ZERO);
        }
        let until = self.engine.wait()?;
        Some(until.since(self.engine.now()))
    }

    /// Does what there is to do now.
    pub(crate) fn turn(&mut self, host: &mut impl Host<R, L>, hub: &Hub, wakes: &[Wake]) {
        if self.engine.outcome().is_some() {
            return;
        }
        if !std::mem::replace(&mut self.started, true) {
            self.engine.give(host, Input::Start);
        }
        self.note(host, wakes);
        for link in std::mem::take(&mut self.readable) {
            if self.engine.read(host, link, READS) {
                self.readable.insert(link);
            }
        }
        for _ in 0..ACCEPTS {
            if !self.door || !self.engine.listens() {
                break;
            }
            self.door = self.engine.accept(host);
        }
        self.answer(host);
        if self.engine.is_due() {
            // Bytes before timeouts: whatever has arrived is handed in before a deadline is.
            self.engine.read_all(host);
            self.answer(host);
            self.engine.declare_deadline(host);
        }
        self.watch(host, hub);
    }

    fn note(&mut self, host: &mut impl Host<R, L>, wakes: &[Wake]) {
        for wake in wakes {
            if wake.token == DOOR {
                self.door = true;
                continue;
            }
            let links = self.watched.keys().copied();
            let mut named = links.filter(|link| self.lane.token(*link) == wake.token);
            let Some(link) = named.next() else { continue };
            if wake.readable {
                self.readable.insert(link);
            }
            if wake.writable {
                self.engine.writable(host, link);
            }
        }
    }

    fn answer(&mut self, host: &mut impl Host<R, L>) {
        let inbox = self.answers.take();
        if let Some(Progress {
            sealed,
            total,
            revision,
        }) = inbox.progress
        {
            let input = Input::Progress {
                sealed,
                total,
                revision,
            };
            self.engine.give(host, input);
        }
        for ended in inbox.ended {
            self.engine.end(host, ended);
        }
    }

    /// Registers the links that are new, or that take no bytes for now: a peer that only reads what it
    /// was sent is not to wake the loop. What has happened to them already is an event at once.
    fn watch(&mut self, host: &mut impl Host<R, L>, hub: &Hub) {
        let links = self.engine.links();
        self.watched.retain(|link, _| links.socket(*link).is_some());
        let mut lost = Vec::new();
        for (link, socket, blocked) in links.iter() {
            let before = self.watched.insert(link, blocked);
            if before == Some(blocked) {
                continue;
            }
            let (registry, token) = (hub.registry(), self.lane.token(link));
            let interest = if blocked {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            let watched = if before.is_none() {
                watch(registry, socket.as_fd(), token, interest)
            } else {
                registry.reregister(&mut SourceFd(&socket.as_raw_fd()), token, interest)
            };
            if let Err(error) = watched {
                tracing::warn!(%error, "a session cannot be watched, and is closed");
                lost.push(link);
            }
        }
        for link in lost {
            self.engine.give(host, Input::Closed { link });
        }
    }
}

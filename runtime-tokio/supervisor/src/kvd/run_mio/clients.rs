//! The daemon's clients on a mio loop: the same conversation as in [`connection`](crate::kvd::connection),
//! in turns.
//!
//! Readiness comes once, so whoever has not been read until there was nothing more is remembered and
//! goes on in the next turn. A turn does a bounded piece of work for each, and what they all write in
//! one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use crate::kvd::connection::{CHUNK, FRESH, LINGER, is_retriable};
use crate::kvd::epoch::{BACK_OFF, MAX_CONNECTIONS, Open, Status};
use crate::kvd::session::{FLUSH_AT, Flow, Session};
use crate::kvd::store::Store;

/// Connections accepted in one turn.
const ACCEPTS: usize = 64;

pub(super) struct Clients {
    /// The same socket twice: its flags are set through this one.
    door: std::net::TcpListener,
    listener: TcpListener,
    registry: Registry,
    token: Token,
    open: BTreeMap<Token, Client>,
    next: usize,
    /// Those that may have more; the door may be one of them.
    ready: BTreeSet<Token>,
    /// Once nobody is let in any more: when the last request may be executed.
    cutoff: Option<Instant>,
    /// When somebody is let in again, after there was no room.
    rest: Option<Instant>,
}

struct Client {
    stream: TcpStream,
    session: Session,
    /// Answers that were sent.
    sent: usize,
    /// Until when the first request is waited for; `None` once something has come.
    fresh_until: Option<Instant>,
    flow: Flow,
    /// The last read has left nothing.
    emptied: bool,
    /// We have closed it. What still comes is swallowed until then: closing with bytes unread would
    /// reset the connection, and a reset may overtake the answers.
    farewell: Option<Instant>,
    _open: Open,
}

/// What a client's turn has come to.
enum Turn {
    /// There may be more at once.
    Again,
    /// An event tells when there is more, or its time is up.
    Wait,
    /// It has written something.
    Commit,
    Gone,
}

impl Clients {
    /// The door has this token, and the clients all that follow.
    pub(super) fn new(
        door: std::net::TcpListener,
        registry: Registry,
        token: Token,
    ) -> io::Result<Self> {
        door.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(door.try_clone()?);
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Self {
            door,
            listener,
            registry,
            token,
            open: BTreeMap::new(),
            next: token.0,
            ready: BTreeSet::from([token]),
            cutoff: None,
            rest: None,
        })
    }

    pub(super) fn ready(&mut self, event: &Event) {
        self.ready.insert(event.token());
    }

    /// Lets nobody in any more, and closes every connection between two requests, by `cutoff`.
    pub(super) fn close(&mut self, cutoff: Instant) {
        self.cutoff = Some(cutoff);
        self.ready.extend(self.open.keys());
    }

    /// Lets clients in, also those that came meanwhile.
    pub(super) fn open(&mut self) -> io::Result<()> {
        // A successor of version 1 makes the shared listener blocking.
        self.door.set_nonblocking(true)?;
        self.cutoff = None;
        self.ready.insert(self.token);
        Ok(())
    }

    /// Whether no request can be executed any more.
    pub(super) fn is_idle(&self) -> bool {
        self.open.values().all(|client| client.farewell.is_some())
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let due = self
            .open
            .values()
            .filter_map(|client| client.due(self.cutoff));
        let at = due.chain(self.rest).min()?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// Does a piece of work for each that is ready.
    pub(super) fn turn(&mut self, store: &Store, status: &Arc<Status>) {
        let now = Instant::now();
        let due = |client: &Client| client.due(self.cutoff).is_some_and(|at| at <= now);
        let late = self.open.iter().filter(|(_, client)| due(client));
        self.ready.extend(late.map(|(token, _)| *token));
        if self.rest.take_if(|at| *at <= now).is_some() {
            self.ready.insert(self.token);
        }
        let mut writers = Vec::new();
        for token in std::mem::take(&mut self.ready) {
            if token == self.token {
                self.accept(status);
                continue;
            }
            let Some(client) = self.open.get_mut(&token) else {
                continue;
            };
            match client.turn(store, status, self.cutoff) {
                Ok(Turn::Again) => drop(self.ready.insert(token)),
                Ok(Turn::Wait) => {}
                Ok(Turn::Commit) => writers.push(token),
                Ok(Turn::Gone) | Err(_) => drop(self.open.remove(&token)),
            }
        }
        if !writers.is_empty() {
            self.commit(store, &writers);
        }
    }

    /// Does what these have written, and answers it.
    fn commit(&mut self, store: &Store, writers: &[Token]) {
        let mut groups = Vec::new();
        for token in writers {
            let client = self.open.get_mut(token);
            groups.push(client.map_or_else(Vec::new, |client| client.session.take_writes()));
        }
        let mut done = store.write_groups(&groups).map(Vec::into_iter);
        for token in writers {
            let existed = match &mut done {
                Ok(existed) => Ok(existed.next().unwrap_or_default()),
                Err(error) => Err(error.clone()),
            };
            if let Some(client) = self.open.get_mut(token) {
                client.flow = match client.session.committed(existed) {
                    // There may be more that has come already.
                    Flow::Continue => Flow::Full,
                    flow => flow,
                };
            }
            self.ready.insert(*token);
        }
    }

    fn accept(&mut self, status: &Arc<Status>) {
        for _ in 0..ACCEPTS {
            if self.cutoff.is_some() || self.rest.is_some() {
                return;
            }
            if self.open.len() >= MAX_CONNECTIONS {
                self.rest = Instant::now().checked_add(BACK_OFF);
                return;
            }
            match self.listener.accept() {
                Ok((stream, _)) => self.let_in(stream, status),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error)
                    if is_retriable(&error) || error.kind() == io::ErrorKind::ConnectionAborted => {
                }
                Err(error) => {
                    // Out of descriptors or memory: others may give some back.
                    tracing::warn!(%error, "cannot accept a connection, trying again");
                    self.rest = Instant::now().checked_add(BACK_OFF);
                    return;
                }
            }
        }
        self.ready.insert(self.token);
    }

    fn let_in(&mut self, mut stream: TcpStream, status: &Arc<Status>) {
        self.next += 1;
        let token = Token(self.next);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let watched = self.registry.register(&mut stream, token, interest);
        if watched.is_ok() && stream.set_nodelay(true).is_ok() {
            self.open.insert(token, Client::new(stream, status));
        }
    }
}

impl Client {
    fn new(stream: TcpStream, status: &Arc<Status>) -> Self {
        Self {
            stream,
            session: Session::new(),
            sent: 0,
            fresh_until: Instant::now().checked_add(FRESH),
            flow: Flow::Continue,
            emptied: false,
            farewell: None,
            _open: Open::new(status),
        }
    }

    /// When it is looked at, whatever it does; `cutoff` is when it is closed at the latest.
    fn due(&self, cutoff: Option<Instant>) -> Option<Instant> {
        let cutoff = match self.farewell {
            Some(until) => return Some(until),
            None => cutoff?,
        };
        Some(match self.fresh_until {
            Some(fresh) => fresh.min(cutoff),
            None => cutoff,
        })
    }

    fn turn(
        &mut self,
        store: &Store,
        status: &Status,
        cutoff: Option<Instant>,
    ) -> io::Result<Turn> {
        let now = Instant::now();
        let is_late = || cutoff.is_some_and(|at| Instant::now() >= at);
        if self.farewell.is_some() {
            return self.swallow(now);
        }
        if !self.flush()? {
            return Ok(if is_late() { Turn::Gone } else { Turn::Wait });
        }
        match self.flow {
            Flow::Close => return self.bid_farewell(now),
            Flow::Full | Flow::Commit => {}
            Flow::Continue => {
                let mut chunk = [0; CHUNK];
                match self.stream.read(&mut chunk) {
                    Ok(0) => return Ok(Turn::Gone),
                    Ok(count) => {
                        self.fresh_until = None;
                        self.emptied = count < CHUNK;
                        self.session.feed(chunk.get(..count).unwrap_or_default());
                    }
                    Err(error) if is_retriable(&error) => return self.rest(now, cutoff),
                    Err(error) => return Err(error),
                }
            }
        }
        self.flow = self.session.execute(store, status, is_late);
        if self.flow == Flow::Commit {
            return Ok(Turn::Commit);
        }
        // A client that sends one request after the other would keep a drain here.
        let done = self.flow == Flow::Continue && self.session.at_boundary();
        if self.flush()? && done && self.emptied && cutoff.is_some() {
            return self.bid_farewell(now);
        }
        Ok(Turn::Again)
    }

    /// Nothing has come. Once nobody is let in, what arrives from here on is left to the successor,
    /// unless a request is half there, or the first one is on its way.
    fn rest(&mut self, now: Instant, cutoff: Option<Instant>) -> io::Result<Turn> {
        let Some(cutoff) = cutoff else {
            return Ok(Turn::Wait);
        };
        let until = match self.fresh_until {
            Some(fresh) => fresh.min(cutoff),
            None if self.session.at_boundary() => now,
            None => cutoff,
        };
        if until > now {
            return Ok(Turn::Wait);
        }
        self.bid_farewell(now)
    }

    fn bid_farewell(&mut self, now: Instant) -> io::Result<Turn> {
        self.stream.shutdown(Shutdown::Write)?;
        self.farewell = now.checked_add(LINGER);
        Ok(Turn::Again)
    }

    fn swallow(&mut self, now: Instant) -> io::Result<Turn> {
        if self.farewell.is_some_and(|until| until <= now) {
            return Ok(Turn::Gone);
        }
        match self.stream.read(&mut [0; CHUNK]) {
            Ok(0) => Ok(Turn::Gone),
            Ok(_) => Ok(Turn::Again),
            Err(error) if is_retriable(&error) => Ok(Turn::Wait),
            Err(error) => Err(error),
        }
    }

    /// Whether all answers were sent.
    fn flush(&mut self) -> io::Result<bool> {
        let answers = &mut self.session.answers;
        while let Some(rest) = answers.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if is_retriable(&error) => {}
                Err(error) => return Err(error),
            }
        }
        answers.clear();
        answers.shrink_to(FLUSH_AT);
        self.sent = 0;
        Ok(true)
    }
}

//! The trigger socket: where an operator or a deploy script asks for a handoff.
//!
//! One line in, one line out, then the connection is closed. Nothing here waits: a client that is
//! slow, silent or hostile holds up nobody, and its time is limited. While its handoff runs, a
//! client is neither read from nor sent away.

mod connection;
mod request;

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use handoff_std::host::control::ControlError;
use handoff_std::host::{Accept, ControlListener};
use rustix::event::{PollFd, PollFlags};

use connection::{Connection, Progress};
pub(super) use request::Request;

/// How many connections are held at once; beyond that the oldest goes.
const CONNECTIONS: usize = 16;
/// How long the listener is left alone when the system is short of something.
const REST: Duration = Duration::from_millis(100);

/// Names a connection for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientId(u64);

/// The socket and its connections.
#[derive(Debug)]
pub(super) struct Trigger {
    listener: ControlListener,
    allowed: Vec<u32>,
    /// The oldest first.
    connections: VecDeque<(ClientId, Connection)>,
    next: u64,
    rest_until: Option<Instant>,
}

impl Trigger {
    /// Binds the socket, in place of one that was there. `allowed` are the users that may connect
    /// besides our own and root.
    ///
    /// # Errors
    /// [`ControlError`].
    pub(super) fn bind(path: &Path, allowed: &[u32]) -> Result<Self, ControlError> {
        Ok(Self {
            listener: ControlListener::bind(path)?,
            allowed: allowed.to_vec(),
            connections: VecDeque::new(),
            next: 0,
            rest_until: None,
        })
    }

    /// Accepts, reads, writes and sends away whatever can be now, and returns what is asked for.
    /// Every request must be [answered](Self::answer).
    pub(super) fn turn(&mut self, now: Instant) -> Vec<(ClientId, Request)> {
        self.accept(now);
        let mut requests = Vec::new();
        self.connections.retain_mut(|(id, connection)| {
            match connection.turn(now) {
                Progress::Goes => {}
                Progress::Over => return false,
                Progress::Asked(line) => match Request::parse(&line) {
                    Ok(request) => requests.push((*id, request)),
                    Err(error) => connection.answer(&format!("err: {error}"), now),
                },
            }
            true
        });
        requests
    }

    /// Answers a request with one line. A client that has left in the meantime misses it.
    pub(super) fn answer(&mut self, client: ClientId, line: &str, now: Instant) {
        if let Some((_, connection)) = self.connections.iter_mut().find(|(id, _)| *id == client) {
            connection.answer(line, now);
        }
    }

    fn accept(&mut self, now: Instant) {
        if self.rest_until.is_some_and(|until| now < until) {
            return;
        }
        self.rest_until = None;
        // As many as are held at all; whoever comes then, comes in the next turn.
        for _ in 0..CONNECTIONS {
            match self.listener.accept(&self.allowed) {
                Accept::Accepted(stream, _) => {
                    self.make_room();
                    self.next += 1;
                    let connection = Connection::new(stream, now);
                    self.connections
                        .push_back((ClientId(self.next), connection));
                }
                Accept::WouldBlock => return,
                Accept::Retry => {}
                Accept::Refused { uid } => {
                    tracing::warn!(uid, "this user may not ask for handoffs; see --allow-uid");
                }
                Accept::BackOff(error) => {
                    tracing::warn!(%error, "cannot accept on the trigger socket for now");
                    self.rest_until = Some(now + REST);
                    return;
                }
                Accept::Broken(error) => {
                    tracing::error!(%error, "the trigger socket is broken; binding it again");
                    match ControlListener::bind(self.listener.file().path()) {
                        Ok(listener) => self.listener = listener,
                        Err(error) => tracing::error!(%error, "it cannot be bound"),
                    }
                    self.rest_until = Some(now + REST);
                    return;
                }
            }
        }
    }

    /// The oldest goes, but not one that waits for its answer.
    fn make_room(&mut self) {
        if self.connections.len() < CONNECTIONS {
            return;
        }
        let oldest = self
            .connections
            .iter()
            .position(|(_, connection)| !connection.is_waiting());
        if let Some(oldest) = oldest {
            self.connections.remove(oldest);
        }
    }

    /// What to poll for.
    pub(super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let listener = self
            .rest_until
            .is_none()
            .then(|| PollFd::new(&self.listener, PollFlags::IN));
        let connections = self
            .connections
            .iter()
            .filter_map(|(_, connection)| connection.poll_fd());
        listener.into_iter().chain(connections)
    }

    /// When the next turn is due although nothing is ready.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.connections
            .iter()
            .filter_map(|(_, connection)| connection.deadline())
            .chain(self.rest_until)
            .min()
    }
}

impl Drop for Trigger {
    fn drop(&mut self) {
        if let Err(error) = self.listener.file().unlink_if_ours() {
            tracing::warn!(%error, "the trigger socket cannot be removed");
        }
    }
}

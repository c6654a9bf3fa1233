//! One descriptor for all that a source waits for.
//!
//! Sessions, children and answers come and go, and the user gives one token. So each source has an
//! epoll instance of its own (a kqueue, elsewhere), and that is what the user's `Registry` is given:
//! it is readable when something in it has happened. It is never waited on, only asked.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use mio::event::{Event, Source};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

/// The control socket.
pub(crate) const DOOR: Token = Token(usize::MAX);
/// Something that is looked at whenever anything has happened.
pub(crate) const OTHER: Token = Token(usize::MAX - 1);
/// An answer.
const ANSWER: Token = Token(usize::MAX - 2);

/// Events taken at a time. If there were more, the source says that it is not to be waited for.
const EVENTS: usize = 64;

/// The inner poll of a source.
pub(crate) struct Hub {
    poll: Poll,
    events: Events,
    registry: Arc<Registry>,
    waker: Arc<Waker>,
    /// What the user has registered it under.
    token: Option<Token>,
    /// Something in it has happened.
    ready: bool,
}

/// What has happened to something in it. May be a false alarm.
#[derive(Clone, Copy)]
pub(crate) struct Wake {
    pub(crate) token: Token,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

impl Hub {
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        Ok(Self {
            events: Events::with_capacity(EVENTS),
            registry: Arc::new(poll.registry().try_clone()?),
            waker: Arc::new(Waker::new(poll.registry(), ANSWER)?),
            poll,
            token: None,
            ready: false,
        })
    }

    /// Wakes the user's poll, from any thread.
    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Where descriptors are registered.
    pub(crate) const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// An event of the user's poll; whether it is one of this source.
    pub(crate) fn ready(&mut self, event: &Event) -> bool {
        let ours = self.token == Some(event.token());
        self.ready |= ours;
        ours
    }

    /// Whether [`take`](Self::take) has something.
    pub(crate) const fn is_ready(&self) -> bool {
        self.ready
    }

    /// What has happened since the last call. Does not wait.
    pub(crate) fn take(&mut self) -> Vec<Wake> {
        if !std::mem::take(&mut self.ready) {
            return Vec::new();
        }
        if let Err(error) = self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            self.ready = error.kind() == ErrorKind::Interrupted;
            if !self.ready {
                tracing::error!(%error, "the descriptors of a handoff cannot be polled");
            }
            return Vec::new();
        }
        let wakes: Vec<Wake> = self
            .events
            .iter()
            .map(|event| Wake {
                token: event.token(),
                // An end or an error is found by reading.
                readable: event.is_readable() || event.is_read_closed() || event.is_error(),
                writable: event.is_writable(),
            })
            .collect();
        self.ready = wakes.len() >= EVENTS;
        wakes
    }
}

/// Register a descriptor; once it is closed it is no longer watched. Registering it again does nothing.
pub(crate) fn watch(
    registry: &Registry,
    fd: BorrowedFd<'_>,
    token: Token,
    interest: Interest,
) -> io::Result<()> {
    match registry.register(&mut SourceFd(&fd.as_raw_fd()), token, interest) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        registered => registered,
    }
}

impl Source for Hub {
    fn register(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        registry.register(
            &mut SourceFd(&self.poll.as_raw_fd()),
            token,
            Interest::READABLE,
        )?;
        self.token = Some(token);
        Ok(())
    }

    fn reregister(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        registry.reregister(
            &mut SourceFd(&self.poll.as_raw_fd()),
            token,
            Interest::READABLE,
        )?;
        self.token = Some(token);
        Ok(())
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut SourceFd(&self.poll.as_raw_fd()))?;
        self.token = None;
        Ok(())
    }
}

/// Makes a type with a field `hub` a source for the user's `Registry`.
macro_rules! source {
    ($source:ty) => {
        /// Whatever interest is asked for, it is registered as readable.
        impl mio::event::Source for $source {
            fn register(
                &mut self,
                registry: &mio::Registry,
                token: mio::Token,
                interests: mio::Interest,
            ) -> std::io::Result<()> {
                self.hub.register(registry, token, interests)
            }

            fn reregister(
                &mut self,
                registry: &mio::Registry,
                token: mio::Token,
                interests: mio::Interest,
            ) -> std::io::Result<()> {
                self.hub.reregister(registry, token, interests)
            }

            fn deregister(&mut self, registry: &mio::Registry) -> std::io::Result<()> {
                self.hub.deregister(registry)
            }
        }

        impl $source {
            /// Hand in an event of your poll. Returns whether it belongs to this source; if so, call
            /// `turn` next.
            pub fn ready(&mut self, event: &mio::event::Event) -> bool {
                self.hub.ready(event)
            }
        }
    };
}
pub(crate) use source;

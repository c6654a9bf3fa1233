//! The successor, a type for each step: [`Successor`] → [`Warming`] → [`StandingBy`] → [`Begun`] →
//! [`Incumbent`]. What must not happen before a step cannot be written before it.
//!
//! The control loop is a task of its own from the handshake on, so heartbeats go out and an abort is
//! noticed while the daemon warms up or opens its data. It goes on beside the incumbent's until the
//! probation has ended.
//!
//! A step that is dropped, or the future of one, gives up: the session ends, the socket that was
//! bound is removed, and the task ends. The supervisor is told why, if the runtime goes on for a
//! moment; [`Warming::give_up`] and [`Begun::give_up`] make sure of it. A lock that was taken is not
//! given back before the process ends.

mod control;

use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};

use handoff_core::SuccessorConfig;
use handoff_core::op;
use handoff_std::host::{InheritError, InheritedListeners, LockKeeper, Recordings, identity};
use handoff_std::{Readiness, SuccessorError, SuccessorSetup};

pub(crate) use self::control::Control;
use self::control::{Awaited, Milestone};
use crate::driver::{Driver, Stream};
use crate::incumbent::Incumbent;
use crate::seat::Seat;

/// A process that was started to take over, before it has said anything.
#[derive(Debug)]
pub struct Successor {
    channel: UnixStream,
    listeners: InheritedListeners,
    recordings: Option<Recordings>,
}

impl Successor {
    pub(crate) const fn new(channel: UnixStream, listeners: InheritedListeners) -> Self {
        Self {
            channel,
            listeners,
            recordings: None,
        }
    }

    /// Record what happens, for `handoff replay`: to the successor, and to the [`Incumbent`] that it
    /// becomes. Without it nothing is recorded. The files are written from the control loops, and never
    /// waited for the disk.
    #[must_use]
    pub fn with_recording(mut self, recordings: Recordings) -> Self {
        self.recordings = Some(recordings);
        self
    }

    /// The names of the inherited listeners.
    pub fn listener_names(&self) -> impl Iterator<Item = &str> {
        self.listeners.names()
    }

    /// Bind the control socket under a temporary name, say Hello, and wait for `HelloAck`.
    ///
    /// # Errors
    /// [`SuccessorError`].
    pub async fn handshake(self, setup: SuccessorSetup) -> Result<Warming, SuccessorError> {
        let config = SuccessorConfig {
            identity: identity::this_process(&setup.build_id),
            ..setup.times
        };
        let mut driver: Driver<handoff_core::Successor, 1> = Driver::new(config);
        driver.engine.record(self.recordings.as_ref());
        self.channel.set_nonblocking(true)?;
        // The first link that a driver adopts is the machine's one link.
        driver.engine.links().adopt(Stream::new(self.channel)?);

        let seat = Seat::new(&setup.control, LockKeeper::new(&setup.data_dir));
        let mut incumbent = Incumbent::prepare(seat.clone()).with_build_id(&setup.build_id);
        if let Some(recordings) = self.recordings {
            incumbent = incumbent.with_recording(recordings);
        }
        let mut control = Control::start(driver, seat, incumbent.caller());
        let (warm_up, begun) = match control.next().await? {
            Milestone::Warming(ticket) => (Some(ticket), None),
            // The session was lost before HelloAck, and nobody else was left (`C3`).
            Milestone::Begun(ticket) => (None, Some(ticket)),
            other => return Err(other.out_of_order()),
        };
        Ok(Warming {
            step: Awaited::new(
                warm_up,
                begun,
                control,
                "the daemon left before it was warm",
            ),
            listeners: self.listeners,
            incumbent,
        })
    }
}

/// A successor that the supervisor knows. Do here what needs neither the lock nor the data:
/// configuration, caches, TLS, connections to others. With a supervisor of version 2 the incumbent
/// serves meanwhile, undisturbed; one of version 1 may not wait for it.
///
/// If it is dropped instead, the successor has given up, and nothing has happened to the incumbent.
pub struct Warming {
    step: Awaited<op::WarmUp>,
    listeners: InheritedListeners,
    incumbent: Incumbent,
}

impl Warming {
    /// The names of the inherited listeners.
    pub fn listener_names(&self) -> impl Iterator<Item = &str> {
        self.listeners.names()
    }

    /// Whether the handoff was given up meanwhile.
    pub fn is_cancelled(&self) -> bool {
        self.step.is_cancelled()
    }

    /// Wait until the handoff is given up. Can be dropped and awaited again.
    pub async fn cancelled(&self) {
        self.step.cancelled().await;
    }

    /// The daemon is warm: say Standby.
    ///
    /// # Errors
    /// [`SuccessorError`]: the handoff was given up meanwhile.
    pub fn stand_by(self) -> Result<StandingBy, SuccessorError> {
        let Self {
            step,
            listeners,
            incumbent,
        } = self;
        let (control, begun) = step.warm()?;
        Ok(StandingBy {
            control,
            begun,
            listeners,
            incumbent,
        })
    }

    /// Give up: the daemon could not get ready. Returns when the supervisor has been told why.
    pub async fn give_up(self, why: &str) {
        self.step.give_up(why).await;
    }
}

/// A successor that is warm, and waits for its turn.
pub struct StandingBy {
    control: Control,
    begun: Option<op::Ticket<op::Open>>,
    listeners: InheritedListeners,
    incumbent: Incumbent,
}

impl StandingBy {
    /// Wait for Begin, and take the writer lock.
    ///
    /// Returns also when the session is lost and the lock is free: then nobody else can serve (`C3`).
    ///
    /// # Errors
    /// [`SuccessorError`]: the handoff was given up, or the incumbent kept the lock.
    pub async fn wait_for_begin(self) -> Result<Begun, SuccessorError> {
        let Self {
            mut control,
            begun,
            listeners,
            incumbent,
        } = self;
        let ticket = match begun {
            Some(ticket) => ticket,
            None => match control.next().await? {
                Milestone::Begun(ticket) => ticket,
                other => return Err(other.out_of_order()),
            },
        };
        let words = "the daemon left before it was ready";
        Ok(Begun {
            step: Awaited::new(Some(ticket), None, control, words),
            listeners,
            incumbent,
        })
    }
}

/// A successor that holds the writer lock: open the data now, and announce it.
///
/// If it is dropped instead, the successor has given up.
pub struct Begun {
    step: Awaited<op::Open>,
    listeners: InheritedListeners,
    incumbent: Incumbent,
}

impl Begun {
    /// The generation under which the lock was taken: a fencing token.
    pub fn generation(&self) -> u64 {
        self.incumbent.generation()
    }

    /// Whether the handoff was given up meanwhile. [`announce`](Self::announce) will fail then.
    pub fn is_cancelled(&self) -> bool {
        self.step.is_cancelled()
    }

    /// Wait until the handoff is given up. Can be dropped and awaited again.
    pub async fn cancelled(&self) {
        self.step.cancelled().await;
    }

    /// The inherited TCP listener of this name, to be given to
    /// [`tcp_listener`](crate::tcp_listener). Its status flags are as the incumbent left them.
    ///
    /// # Errors
    /// [`InheritError`] when what was inherited under that name is something else.
    pub fn take_tcp(&mut self, name: &str) -> Result<Option<TcpListener>, InheritError> {
        self.listeners.take_tcp(name)
    }

    /// The inherited Unix listener of this name, to be given to
    /// [`unix_listener`](crate::unix_listener). Its status flags are as the incumbent left them.
    ///
    /// # Errors
    /// [`InheritError`] when what was inherited under that name is something else.
    pub fn take_unix(&mut self, name: &str) -> Result<Option<UnixListener>, InheritError> {
        self.listeners.take_unix(name)
    }

    /// All inherited listeners that are left.
    pub const fn listeners(&mut self) -> &mut InheritedListeners {
        &mut self.listeners
    }

    /// Say Ready, and take the control path over. Serve from here on: the daemon may be on probation,
    /// and must not change the data so that an older version could not read it before
    /// [`Drainable::committed`](crate::Drainable::committed) is called.
    ///
    /// # Errors
    /// [`SuccessorError`]: the handoff was given up, or `readiness` says that the daemon is not
    /// healthy. Do not serve then.
    pub async fn announce(self, readiness: Readiness) -> Result<Incumbent, SuccessorError> {
        let Self {
            step, incumbent, ..
        } = self;
        let mut control = step.ready(readiness)?;
        match control.next().await? {
            Milestone::Serving { published } => Ok(incumbent.on_probation(control, published)),
            other => Err(other.out_of_order()),
        }
    }

    /// Give up: the data could not be opened. Returns when the supervisor has been told why.
    pub async fn give_up(self, why: &str) {
        self.step.give_up(why).await;
    }
}

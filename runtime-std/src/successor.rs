//! The successor on threads, a type for each step: [`Successor`] → [`Warming`] → [`StandingBy`] →
//! [`Begun`] → [`Incumbent`]. What must not happen before a step cannot be written before it.
//!
//! The control loop runs on a thread of its own from the handshake on, so heartbeats go out and an
//! abort is noticed while the daemon warms up or opens its data. It goes on beside the incumbent's
//! until the probation has ended.

mod control;

use std::io;
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handoff_core::op;
use handoff_core::{Cause, SuccessorConfig};

pub(crate) use self::control::Control;
use self::control::{Awaited, Milestone};
use crate::driver::Driver;
use crate::host::{InheritError, InheritedListeners, LockKeeper, Recordings, Seat, identity};
use crate::incumbent::Incumbent;

/// What a daemon says of itself when it is ready to serve.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Names or addresses it serves.
    pub listening_on: Vec<String>,
    /// Whether it finds itself fit to serve. `false` gives the handoff up (`C8`).
    pub healthy: bool,
    /// The revision of each shard that it opened.
    pub revisions: Vec<u64>,
}

impl Readiness {
    /// Fit to serve, with nothing more to say.
    pub fn healthy() -> Self {
        Self {
            healthy: true,
            ..Self::default()
        }
    }
}

/// Why a successor does not take over. End the process: that frees the lock, if it was taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuccessorError {
    /// The handoff went another way.
    #[error("not taking over: {0}")]
    GaveUp(Box<Cause>),
    /// The control thread could not be started, or has ended without a word.
    #[error("the control loop of the successor: {0}")]
    Control(#[from] io::Error),
}

/// What a successor needs to know before it says Hello.
#[derive(Debug, Clone)]
pub struct SuccessorSetup {
    /// The control path of the daemon.
    pub control: PathBuf,
    /// Its data directory, where the writer lock is.
    pub data_dir: PathBuf,
    /// Said in Hello; at most 64 bytes are used.
    pub build_id: Vec<u8>,
    /// The times that the protocol leaves to the caller. `identity` is filled in.
    pub times: SuccessorConfig,
}

impl SuccessorSetup {
    /// The defaults.
    pub fn new(control: impl AsRef<Path>, data_dir: impl AsRef<Path>) -> Self {
        Self {
            control: control.as_ref().to_path_buf(),
            data_dir: data_dir.as_ref().to_path_buf(),
            build_id: Vec::new(),
            times: SuccessorConfig::default(),
        }
    }
}

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
    /// becomes. Without it nothing is recorded.
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
    pub fn handshake(self, setup: SuccessorSetup) -> Result<Warming, SuccessorError> {
        let config = SuccessorConfig {
            identity: identity::this_process(&setup.build_id),
            ..setup.times
        };
        let mut driver: Driver<handoff_core::Successor, 1> = Driver::new(config)?;
        self.channel.set_nonblocking(true)?;
        driver.engine.record(self.recordings.as_ref());
        // The first link that a driver adopts is the machine's one link.
        driver.engine.links().adopt(Arc::new(self.channel));

        let lock = LockKeeper::new(&setup.data_dir);
        // Now, not after Ready: what could fail then would leave nobody to serve.
        let mut incumbent = Incumbent::prepare(Seat::new(setup.control.clone(), lock.clone()))?
            .with_build_id(&setup.build_id);
        if let Some(recordings) = self.recordings {
            incumbent = incumbent.with_recording(recordings);
        }
        let seat = Seat::new(setup.control, lock);
        let control = Control::start(driver, seat, incumbent.caller())?;
        let (warm_up, begun) = match control.next()? {
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
/// If it is dropped instead, the supervisor is told that the successor gave up, and nothing has
/// happened to the incumbent.
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

    /// Give up: the daemon could not get ready. The supervisor is told why.
    pub fn give_up(mut self, why: &str) {
        self.step.fail(why);
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
    /// Wait for Begin, and take the writer lock. Blocks.
    ///
    /// Returns also when the session is lost and the lock is free: then nobody else can serve (`C3`).
    ///
    /// # Errors
    /// [`SuccessorError`]: the handoff was given up, or the incumbent kept the lock.
    pub fn wait_for_begin(self) -> Result<Begun, SuccessorError> {
        let Self {
            control,
            begun,
            listeners,
            incumbent,
        } = self;
        let ticket = match begun {
            Some(ticket) => ticket,
            None => match control.next()? {
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
/// If it is dropped instead, the supervisor is told that the successor gave up.
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

    /// The inherited TCP listener of this name. Its status flags are as the incumbent left them.
    ///
    /// # Errors
    /// [`InheritError`] when what was inherited under that name is something else.
    pub fn take_tcp(&mut self, name: &str) -> Result<Option<TcpListener>, InheritError> {
        self.listeners.take_tcp(name)
    }

    /// The inherited Unix listener of this name. Its status flags are as the incumbent left them.
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
    pub fn announce(self, readiness: Readiness) -> Result<Incumbent, SuccessorError> {
        let Self {
            step, incumbent, ..
        } = self;
        let control = step.ready(readiness)?;
        match control.next()? {
            Milestone::Serving(seat) => Ok(incumbent.on_probation(*seat, control)),
            other => Err(other.out_of_order()),
        }
    }

    /// Give up: the data could not be opened. The supervisor is told why.
    pub fn give_up(mut self, why: &str) {
        self.step.fail(why);
    }
}

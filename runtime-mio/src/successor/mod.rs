//! The successor, a type for each step: [`Successor`] says Hello and becomes a [`Succession`], a source
//! of the user's poll, which hands out [`Warming`], then [`Begun`], then [`Serving`], each by a turn.
//! What must not happen before a step takes a value that is not there before it.

mod host;

use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use handoff_core::op;
use handoff_core::{SuccessorConfig, SuccessorOutcome};
use handoff_std::host::engine::{failed, opened, value};
use handoff_std::host::{InheritError, InheritedListeners, LockKeeper, Recordings, Seat, identity};
use handoff_std::{Readiness, SuccessorError, SuccessorSetup};

pub(crate) use self::host::Probation;
use self::host::SuccessorHost;
use crate::driver::{Driver, Lane};
use crate::hub::{Hub, source};
use crate::incumbent::Incumbent;
use crate::request::{Hook, NO_ANSWER};

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

    /// Record what happens from the handshake on, for `handoff replay`, also in the incumbent that it
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

    /// Begin, with the first turn: bind the control socket under a temporary name, and say Hello.
    ///
    /// # Errors
    /// The system's.
    pub fn handshake(self, setup: SuccessorSetup) -> Result<Succession, SuccessorError> {
        let config = SuccessorConfig {
            identity: identity::this_process(&setup.build_id),
            ..setup.times
        };
        let hub = Hub::new()?;
        let mut driver = Driver::new(config, Lane::Successor, &hub);
        driver.engine.record(self.recordings.as_ref());
        self.channel.set_nonblocking(true)?;
        // The first link that an engine adopts is the machine's one link.
        driver.engine.links().adopt(self.channel);
        let seat = Seat::new(setup.control, LockKeeper::new(&setup.data_dir));
        let host = SuccessorHost::new(seat, self.listeners, &hub, &driver);
        Ok(Succession {
            hub,
            probation: Probation { driver, host },
            build_id: setup.build_id,
            recordings: self.recordings,
        })
    }
}

/// A successor on its way. Register it as an [`Incumbent`] is registered; the incumbent that it becomes
/// is registered already, under the same token.
///
/// Dropping it gives up: the session ends, and the socket that was bound is removed. A lock that was
/// taken is not given back before the process ends.
pub struct Succession {
    hub: Hub,
    probation: Probation,
    build_id: Vec<u8>,
    recordings: Option<Recordings>,
}

source!(Succession);

/// How far a successor has come: what the daemon is to do next.
#[derive(Debug)]
pub enum Step {
    /// Do what needs neither the lock nor the data: configuration, caches, TLS, connections to others.
    /// With a supervisor of version 2 the incumbent serves meanwhile, undisturbed; one of version 1 may
    /// not wait for it. Always the first step.
    WarmUp(Warming),
    /// It is warm, and holds the writer lock. Open the data, and announce it.
    ///
    /// Comes also when the session is lost and the lock is free: then nobody else can serve (`C3`).
    Open(Begun),
    /// It has said Ready. Serve from here on, with [`Succession::into_incumbent`]: the daemon may be on
    /// probation, and must not change the data so that an older version could not read it before
    /// [`Request::Committed`](crate::Request::Committed).
    Serve(Serving),
}

impl Succession {
    /// The names of the inherited listeners, until it has begun.
    pub fn listener_names(&self) -> impl Iterator<Item = &str> {
        self.probation.host.listeners.names()
    }

    /// As [`Incumbent::timeout`].
    pub fn timeout(&mut self) -> Option<Duration> {
        if self.hub.is_ready() || !self.probation.host.steps.is_empty() {
            return Some(Duration::ZERO);
        }
        self.probation.timeout()
    }

    /// As [`Incumbent::turn`].
    ///
    /// # Errors
    /// [`SuccessorError`]: the handoff went another way. End the process.
    pub fn turn(&mut self) -> Result<Option<Step>, SuccessorError> {
        let Probation { driver, host } = &mut self.probation;
        if host.steps.is_empty() {
            let wakes = self.hub.take();
            driver.turn(host, &self.hub, &wakes);
            host.open_when_warm();
        }
        if let (Some(SuccessorOutcome::Failed(cause)), false) =
            (driver.engine.outcome(), host.serves)
        {
            host.steps.clear();
            host.seat.unstage();
            return Err(SuccessorError::GaveUp(Box::new(cause)));
        }
        Ok(host.steps.pop_front())
    }

    /// The daemon serves. What its supervisor says goes on in the incumbent.
    pub fn into_incumbent(self, _: Serving) -> Incumbent {
        let Self {
            hub,
            mut probation,
            build_id,
            recordings,
            ..
        } = self;
        let seat = probation.host.seat.hand_over();
        let incumbent = Incumbent::new(hub, seat).with_build_id(&build_id);
        let incumbent = match recordings {
            Some(recordings) => incumbent.with_recording(recordings),
            None => incumbent,
        };
        incumbent.on_probation(probation)
    }
}

/// A successor that warms up. If it is dropped, the supervisor is told that the successor gave up, and
/// nothing has happened to the incumbent.
#[derive(Debug)]
#[must_use = "a successor that drops this has given up"]
pub struct Warming {
    hook: Hook<op::WarmUp>,
    /// Where it is said how it went, for an opening of the data that may wait for it.
    warm: Arc<OnceLock<Result<(), String>>>,
}

impl Warming {
    /// Whether the handoff was given up meanwhile.
    pub fn is_cancelled(&self) -> bool {
        self.hook.is_cancelled()
    }

    /// The daemon is warm: say Standby, and wait for Begin.
    pub fn stand_by(self) {
        self.end(Ok(()));
    }

    /// Give up: the daemon could not get ready. The supervisor is told why; go on until
    /// [`Succession::turn`] fails.
    pub fn give_up(self, why: &str) {
        self.end(Err(why.to_owned()));
    }

    fn end(mut self, how: Result<(), String>) {
        // First, since the loop looks at it when it is woken.
        let _ = self.warm.set(how.clone());
        self.hook.end(|ticket| value(ticket, how));
    }
}

impl Drop for Warming {
    fn drop(&mut self) {
        if self.warm.set(Err(NO_ANSWER.to_owned())).is_ok() {
            self.hook.end(|ticket| failed(ticket, NO_ANSWER));
        }
    }
}

/// A successor that holds the writer lock: open the data now, in as many turns as it takes, and
/// announce it. If it is dropped, the supervisor is told that the successor gave up.
#[derive(Debug)]
#[must_use = "a successor that drops this has given up"]
pub struct Begun {
    hook: Hook<op::Open>,
    generation: u64,
    listeners: InheritedListeners,
}

impl Begun {
    /// The generation under which the lock was taken: a fencing token.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the handoff was given up meanwhile. Do not serve then.
    pub fn is_cancelled(&self) -> bool {
        self.hook.is_cancelled()
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

    /// The data is open: say Ready. [`Step::Serve`] follows, or the turn fails: the handoff was given
    /// up, or `readiness` says that the daemon is not healthy.
    pub fn announce(mut self, readiness: Readiness) {
        self.hook.end(|ticket| opened(ticket, readiness));
    }

    /// Give up: the data could not be opened. The supervisor is told why; go on until
    /// [`Succession::turn`] fails.
    pub fn give_up(self, why: &str) {
        self.hook.failed(why);
    }
}

/// Says that a successor has become the incumbent.
#[derive(Debug)]
#[must_use = "the daemon is the incumbent: see `Succession::into_incumbent`"]
pub struct Serving(());

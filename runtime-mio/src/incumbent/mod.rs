//! The incumbent as a source of the user's poll. Its hooks come out as [`Request`]s.

mod host;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use handoff_core::op::Verdict;
use handoff_core::{IncumbentConfig, IncumbentOutcome, Input, SuccessorOutcome};
use handoff_std::host::{
    ControlListener, KeptListener, LockKeeper, Observer, Recordings, Seat, identity, kept_listeners,
};
use handoff_std::{BindError, DataDirLock, IncumbentEvent, Retirement, SESSIONS, ServeError};

use self::host::IncumbentHost;
pub(crate) use self::host::watch_door;
use crate::driver::{Driver, Lane};
use crate::hub::{Hub, source};
use crate::request::Request;
use crate::successor::Probation;

/// A daemon that holds the writer lock and the control path, ready to be handed over.
///
/// Register it with your `Registry` (as readable, whatever is asked for), under any token, and call in
/// each turn of your loop:
///
/// 1. [`timeout`](Self::timeout), for your `Poll::poll`;
/// 2. [`ready`](Self::ready) with each event;
/// 3. [`turn`](Self::turn) until it has no more requests.
///
/// Dropping it ends its sessions and removes the control path if it still leads here. **It does not
/// give the writer lock back**: the daemon may still write, so only a seal does, or the end of the
/// process.
pub struct Incumbent {
    hub: Hub,
    driver: Driver<handoff_core::Incumbent, SESSIONS>,
    host: IncumbentHost,
    config: IncumbentConfig,
    recordings: Option<Recordings>,
    /// Waits for Commit, in a process that began as a successor. Dropping it ends the session.
    probation: Option<Probation>,
    ended: Ended,
}

/// Whether its last request was handed out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    No,
    Stopped,
    Told,
}

source!(Incumbent);

impl Incumbent {
    /// Take the control path, for a process that was started afresh. A successor gets its incumbent
    /// from [`Succession::into_incumbent`](crate::Succession::into_incumbent).
    ///
    /// Bind it before the data is opened: a path that cannot be bound is then found first.
    ///
    /// # Errors
    /// [`BindError`]; the lock is given back.
    pub fn bind(control: impl AsRef<Path>, lock: DataDirLock) -> Result<Self, BindError> {
        let seat = Seat::new(
            control.as_ref().to_path_buf(),
            LockKeeper::new(lock.data_dir()),
        );
        let mut incumbent = Self::new(Hub::new()?, seat);
        let seat = &mut incumbent.host.seat;
        seat.put(ControlListener::bind(control.as_ref())?);
        // From here on it is not given back but by a release.
        seat.lock.keep(lock);
        if let Err(error) = watch_door(seat, &incumbent.host.registry) {
            seat.leave();
            seat.lock.release();
            return Err(error.into());
        }
        Ok(incumbent)
    }

    pub(crate) fn new(hub: Hub, seat: Seat) -> Self {
        let config = IncumbentConfig {
            identity: identity::this_process(&[]),
            ..IncumbentConfig::default()
        };
        let driver = Driver::new(config.clone(), Lane::Incumbent, &hub);
        let host = IncumbentHost {
            seat,
            registry: Arc::clone(hub.registry()),
            requests: VecDeque::new(),
            answers: driver.answers.clone(),
            clock: driver.engine.clock(),
            kept: kept_listeners().to_vec(),
            allowed: Vec::new(),
            observer: Observer::none(),
            running: None,
        };
        Self {
            hub,
            driver,
            host,
            config,
            recordings: None,
            probation: None,
            ended: Ended::No,
        }
    }

    /// The process began as a successor, and this waits for Commit.
    pub(crate) fn on_probation(mut self, probation: Probation) -> Self {
        self.config.on_probation = true;
        self.probation = Some(probation);
        self
    }

    /// Keep this listener, too, for a supervisor that comes back or takes charge. What the process
    /// inherited is kept anyway.
    #[must_use]
    pub fn with_kept_listener(
        mut self,
        name: impl Into<String>,
        listener: impl Into<OwnedFd>,
    ) -> Self {
        self.host.kept.push(KeptListener {
            name: name.into(),
            fd: Arc::new(listener.into()),
        });
        self
    }

    /// Say this build id in Hello. At most 64 bytes are used.
    #[must_use]
    pub fn with_build_id(mut self, build_id: &[u8]) -> Self {
        self.config.identity = identity::this_process(build_id);
        self
    }

    /// Let peers with these user ids in, besides our own and root's.
    #[must_use]
    pub fn with_allowed_uids(mut self, uids: impl IntoIterator<Item = u32>) -> Self {
        self.host.allowed = uids.into_iter().collect();
        self
    }

    /// Change the times that the protocol leaves to the caller, before the first turn. `identity`,
    /// `bound`, `generation` and `on_probation` are kept as they are.
    #[must_use]
    pub fn with_times(mut self, mut times: IncumbentConfig) -> Self {
        times.identity = self.config.identity;
        times.on_probation = self.config.on_probation;
        self.config = times;
        self
    }

    /// Be told of phases, lost sessions and troubles. Called in [`turn`](Self::turn): be quick.
    #[must_use]
    pub fn with_observer(mut self, observer: impl FnMut(&IncumbentEvent) + Send + 'static) -> Self {
        self.host.observer = Observer::new(observer);
        self
    }

    /// Record what happens from the first turn on, for `handoff replay`. Without it nothing is
    /// recorded. A record is written in the turn that it is of.
    #[must_use]
    pub fn with_recording(mut self, recordings: Recordings) -> Self {
        self.recordings = Some(recordings);
        self
    }

    /// The generation under which the lock was taken: a fencing token.
    pub fn generation(&self) -> u64 {
        self.host.seat.lock.generation()
    }

    /// How long your poll may wait for it, if nothing happens; `None`: without end.
    pub fn timeout(&mut self) -> Option<Duration> {
        match self.ended {
            Ended::Told => return None,
            Ended::Stopped => return Some(Duration::ZERO),
            Ended::No => {}
        }
        if self.hub.is_ready() || !self.host.requests.is_empty() {
            return Some(Duration::ZERO);
        }
        let probation = self.probation.as_mut().and_then(Probation::timeout);
        self.driver.timeout().into_iter().chain(probation).min()
    }

    /// Go on as far as it goes without waiting, and say what the daemon is to do next. Bounded,
    /// whatever peers do; what is left makes [`timeout`](Self::timeout) zero.
    ///
    /// # Errors
    /// [`ServeError`]: end the process with an error.
    pub fn turn(&mut self) -> Result<Option<Request>, ServeError> {
        if self.ended == Ended::Told {
            return Ok(None);
        }
        if self.host.requests.is_empty() {
            self.work();
        }
        let retirement = match (self.ended, self.driver.engine.outcome()) {
            (Ended::Stopped, _) => Retirement::Stopped,
            (_, Some(IncumbentOutcome::Committed(id))) => Retirement::Committed(id),
            (_, Some(IncumbentOutcome::Superseded)) => Retirement::Superseded,
            (_, Some(IncumbentOutcome::Failed(cause))) => {
                self.ended = Ended::Told;
                return Err(ServeError::CannotServe(Box::new(cause)));
            }
            (_, None) => return Ok(self.host.requests.pop_front()),
        };
        self.ended = Ended::Told;
        Ok(Some(Request::Retire(retirement)))
    }

    fn work(&mut self) {
        let wakes = self.hub.take();
        if !self.driver.has_started() {
            self.driver.engine.configure(IncumbentConfig {
                generation: self.generation(),
                bound: self.host.seat.listener().is_some(),
                ..self.config.clone()
            });
            self.driver.engine.record(self.recordings.as_ref());
        }
        if let Some(probation) = &mut self.probation {
            probation.turn(&self.hub, &wakes);
        }
        self.driver.turn(&mut self.host, &self.hub, &wakes);
        // Before the channel is closed: a supervisor that sees it closed may begin the next handoff,
        // which must not find a daemon that is still on probation.
        if let Some(outcome) = self.probation.as_ref().and_then(Probation::outcome) {
            let verdict = match outcome {
                SuccessorOutcome::Serving { verdict, .. } => verdict,
                SuccessorOutcome::Failed(_) => Verdict::Dismissed,
            };
            let input = Input::Probation(verdict);
            self.driver.engine.give(&mut self.host, input);
            self.probation = None;
        }
    }

    /// The daemon shuts down for good: the control path is removed, unless the lock was released to a
    /// successor already, and the next turn says [`Retirement::Stopped`].
    pub fn stop(&mut self) {
        self.host.seat.leave();
        if self.ended == Ended::No {
            self.ended = Ended::Stopped;
        }
    }
}

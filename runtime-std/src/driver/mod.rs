//! The loop around an [`Engine`] that waits with poll(2); the same for all three roles.
//!
//! The machine and its host are behind a mutex, which the loop leaves while it waits. So a thread that
//! has the end of an operation hands it in itself, and does what follows from it ([`Caller::end`]): in
//! the pause no thread has to wake another for that. It wakes the loop only if there is something else
//! to wait for by then.

mod caller;
mod watch;

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use handoff_core::{Input, Role};

use caller::Inside;
pub(crate) use caller::{Call, Caller};
use watch::{Ready, Watch};

use crate::hooks::Progress;
use crate::host::engine::{self, Engine};
pub(crate) use crate::host::engine::{Ended, Host};
use crate::host::{Calls, Clock};

/// A link's socket. The loop may be waiting for it while another thread closes the link.
pub(crate) type Stream = Arc<UnixStream>;

/// The links of a driver.
pub(crate) type Links = engine::Links<Stream>;

/// A host whose listener the loop waits for.
pub(crate) trait Listening {
    /// The listener, while there is one.
    fn socket(&self) -> Option<Arc<UnixListener>> {
        None
    }
}

/// Whether the driver is done.
pub(crate) enum Flow<O> {
    Done(O),
    Stopped,
}

/// An engine, before the loop around it runs.
pub(crate) struct Driver<R: Role<L>, const L: usize> {
    pub(crate) engine: Engine<R, L, Stream>,
    calls: Calls<Call>,
    caller: Caller,
}

impl<R: Role<L>, const L: usize> Driver<R, L> {
    pub(crate) fn new(config: R::Config) -> io::Result<Self> {
        let (caller, calls) = Caller::new()?;
        Ok(Self {
            engine: Engine::new(config, Clock::new()),
            calls,
            caller,
        })
    }

    pub(crate) fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// The loop, with this host.
    pub(crate) fn around<H>(self, host: H) -> Running<R, H, L> {
        Running {
            bell: self.calls.bell(),
            turn: Mutex::new(Turn {
                engine: self.engine,
                host,
                calls: self.calls,
                caller: self.caller,
                stopped: false,
                watched: None,
            }),
        }
    }
}

/// The loop, and the machine that one thread at a time has a turn with.
pub(crate) struct Running<R: Role<L>, H, const L: usize> {
    bell: Arc<UnixStream>,
    turn: Mutex<Turn<R, H, L>>,
}

/// What it takes to have a turn.
pub(crate) struct Turn<R: Role<L>, H, const L: usize> {
    engine: Engine<R, L, Stream>,
    pub(crate) host: H,
    calls: Calls<Call>,
    caller: Caller,
    stopped: bool,
    /// What the loop waits for, while it does.
    watched: Option<Arc<Watch>>,
}

impl<R, H, const L: usize> Running<R, H, L>
where
    R: Role<L>,
    H: Host<R, L, Stream> + Listening,
{
    /// Let callers hand in the ends of operations themselves.
    pub(crate) fn share(self) -> Arc<Self>
    where
        Turn<R, H, L>: Send + 'static,
    {
        let shared = Arc::new(self);
        let inside: Arc<dyn Inside> = Arc::clone(&shared) as _;
        shared.turn().caller.let_in(Arc::downgrade(&inside));
        shared
    }

    /// Runs the machine to its end, or until it is stopped.
    pub(crate) fn run(&self) -> Flow<R::Outcome> {
        let mut turn = self.turn();
        turn.start();
        loop {
            if let Some(flow) = turn.flow() {
                return flow;
            }
            let watch = Arc::new(turn.watch());
            turn.watched = Some(Arc::clone(&watch));
            let now = turn.engine.now();
            drop(turn);
            let ready = watch.wait(&self.bell, now);
            // A link that was closed meanwhile is closed for good with this.
            drop(watch);
            turn = self.turn();
            turn.go_on(ready);
        }
    }

    pub(crate) fn turn(&self) -> MutexGuard<'_, Turn<R, H, L>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host, after the end.
    pub(crate) fn into_host(self) -> H {
        let turn = self.turn.into_inner();
        turn.unwrap_or_else(PoisonError::into_inner).host
    }
}

impl<R, H, const L: usize> Inside for Running<R, H, L>
where
    R: Role<L>,
    H: Host<R, L, Stream> + Listening,
    Turn<R, H, L>: Send,
{
    fn hand_in(&self) -> bool {
        let mut turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            // Somebody has a turn, perhaps this very thread.
            Err(TryLockError::WouldBlock) => return false,
        };
        let Some(watched) = turn.watched.clone() else {
            return false;
        };
        if turn.flow().is_none() {
            turn.answer_calls();
        }
        turn.flow().is_none() && watched.covers(&turn.watch())
    }
}

impl<R, H, const L: usize> Turn<R, H, L>
where
    R: Role<L>,
    H: Host<R, L, Stream> + Listening,
{
    fn start(&mut self) {
        self.engine.give(&mut self.host, Input::Start);
    }

    /// How it has ended, once it has.
    fn flow(&self) -> Option<Flow<R::Outcome>> {
        let done = self.engine.outcome().map(Flow::Done);
        done.or_else(|| self.stopped.then_some(Flow::Stopped))
    }

    /// What there is to wait for.
    fn watch(&mut self) -> Watch {
        let listens = self.engine.listens();
        let until = self.engine.wait();
        let links = self.engine.links().iter();
        Watch {
            links: links
                .map(|(link, socket, blocked)| (link, Arc::clone(socket), blocked))
                .collect(),
            listener: self.host.socket().filter(|_| listens),
            until,
        }
    }

    /// The wait has ended.
    fn go_on(&mut self, ready: Ready) {
        self.watched = None;
        let Self { engine, host, .. } = self;
        for link in ready.writable {
            engine.writable(host, link);
        }
        for link in ready.readable {
            engine.read(host, link, 1);
        }
        if ready.listener {
            engine.accept(host);
        }
        if ready.calls {
            self.calls.silence();
            self.answer_calls();
        }
        if self.engine.is_due() {
            // Bytes before timeouts: whatever has arrived is handed in before a deadline is.
            self.engine.read_all(&mut self.host);
            self.answer_calls();
            self.engine.declare_deadline(&mut self.host);
        }
    }

    fn answer_calls(&mut self) {
        for call in self.calls.queued() {
            match call {
                Call::Ended(ended) => self.engine.end(&mut self.host, ended),
                Call::Progress => {
                    if let Some(Progress {
                        sealed,
                        total,
                        revision,
                    }) = self.caller.take_progress()
                    {
                        let input = Input::Progress {
                            sealed,
                            total,
                            revision,
                        };
                        self.engine.give(&mut self.host, input);
                    }
                }
                Call::Probation(verdict) => {
                    self.engine.give(&mut self.host, Input::Probation(verdict));
                }
                Call::Stop => self.stopped = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use handoff_core::IncumbentConfig;

    use super::*;

    #[test]
    fn a_hook_that_reports_without_end_fills_the_queue() {
        let config = IncumbentConfig::default();
        let driver = Driver::<handoff_core::Incumbent, 1>::new(config).unwrap();
        let caller = driver.caller();
        for sealed in 0..1000 {
            caller.progress(Progress {
                sealed,
                ..Progress::default()
            });
        }
        assert_eq!(driver.calls.queued().len(), 1);
        assert_eq!(caller.take_progress().map(|last| last.sealed), Some(999));
    }
}

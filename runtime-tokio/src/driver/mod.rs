//! The loop around an [`Engine`] that waits on the runtime; the same for all three roles.
//!
//! It is one future, polled by the task that awaits it, and holds nobody up: each wake reads every
//! ready link once, accepts once and takes the calls that are there, and every readiness that is
//! asked for costs a piece of tokio's budget for the task. What waits lies in the sockets, the
//! channel of calls and the clock, so the future may be dropped at any of its awaits.

mod caller;
mod stream;

use std::future::{Future as _, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::task::{Context, Poll};

use handoff_core::{Input, LinkId, Role};
use handoff_std::Progress;
use handoff_std::host::Clock;
use handoff_std::host::engine::{Engine, Host};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

pub(crate) use caller::{Call, Caller, Linked};
pub(crate) use stream::{Stream, Watched};

/// What the loop waits for beside links and calls.
pub(crate) trait Door {
    /// Ready when there is something to be accepted.
    fn poll_door(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// Whether the driver is done.
pub(crate) enum Flow<O> {
    Done(O),
    Stopped,
}

/// The most calls that one wake answers.
const CALLS: usize = 16;

/// An engine and the loop around it.
pub(crate) struct Driver<R: Role<L>, const L: usize> {
    /// In a box, since it is part of every future that runs it.
    pub(crate) engine: Box<Engine<R, L, Stream>>,
    calls: UnboundedReceiver<Call>,
    caller: Caller,
    stopped: bool,
}

impl<R: Role<L>, const L: usize> Driver<R, L> {
    pub(crate) fn new(config: R::Config) -> Self {
        let (caller, calls) = Caller::new();
        Self {
            // The runtime's time, which tests can stop.
            engine: Box::new(Engine::new(config, Clock::of(|| Instant::now().into_std()))),
            calls,
            caller,
            stopped: false,
        }
    }

    pub(crate) fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// Runs the machine to its end, or until it is stopped.
    pub(crate) async fn run(
        &mut self,
        host: &mut (impl Host<R, L, Stream> + Door),
    ) -> Flow<R::Outcome> {
        self.engine.give(host, Input::Start);
        loop {
            if let Some(outcome) = self.engine.outcome() {
                return Flow::Done(outcome);
            }
            if self.stopped {
                return Flow::Stopped;
            }
            let ready = self.ready(host).await;
            for link in ready.writable {
                self.engine.writable(host, link);
            }
            for link in ready.readable {
                self.read(host, link);
            }
            if ready.door {
                self.engine.accept(host);
            }
            for call in ready.calls {
                self.answer(host, call);
            }
            if self.engine.is_due() {
                // Bytes before timeouts: whatever has arrived is handed in before a deadline is. An
                // operation that has ended counts as well.
                self.engine.read_all(host);
                // Those that are there now: a hook that reports without end cannot hold the loop here.
                let calls: Vec<Call> = std::iter::from_fn(|| self.calls.try_recv().ok()).collect();
                for call in calls {
                    self.answer(host, call);
                }
                self.engine.declare_deadline(host);
            }
        }
    }

    /// Waits until there is something to do.
    async fn ready(&mut self, host: &mut impl Door) -> Ready {
        let listens = self.engine.listens();
        let clock = self.engine.clock();
        let until = self.engine.wait();
        // One that is too far away for the clock is one that never comes.
        let until = until.and_then(|at| clock.instant(at.as_nanos()));
        let mut timer = pin!(until.map(|at| sleep_until(at.into())));
        poll_fn(|cx| {
            let mut ready = Ready::default();
            while ready.calls.len() < CALLS
                && let Poll::Ready(Some(call)) = self.calls.poll_recv(cx)
            {
                ready.calls.push(call);
            }
            for (link, stream, blocked) in self.engine.links().iter() {
                if blocked && stream.poll_write(cx).is_ready() {
                    ready.writable.push(link);
                }
                if stream.poll_read(cx).is_ready() {
                    ready.readable.push(link);
                }
            }
            ready.door = listens && host.poll_door(cx).is_ready();
            let due = timer
                .as_mut()
                .as_pin_mut()
                .is_some_and(|timer| timer.poll(cx).is_ready());
            if due || ready.is_something() {
                Poll::Ready(ready)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    /// Reads a link that is ready once.
    fn read(&mut self, host: &mut impl Host<R, L, Stream>, link: LinkId) {
        let Some(stream) = self.engine.links().socket(link).cloned() else {
            return;
        };
        // The runtime hears from the error that nothing is left, and waits for more.
        let _ = stream.read_io(|| {
            if self.engine.read(host, link, 1) {
                Ok(())
            } else {
                Err(io::Error::from(ErrorKind::WouldBlock))
            }
        });
    }

    fn answer(&mut self, host: &mut impl Host<R, L, Stream>, call: Call) {
        match call {
            Call::Ended(ended) => self.engine.end(host, ended),
            Call::Linked(adopt) => {
                let Linked {
                    link,
                    ended,
                    unwanted,
                } = adopt(self.engine.links());
                self.engine.end(host, ended);
                if link.is_none_or(|link| self.engine.links().socket(link).is_none()) {
                    unwanted();
                }
            }
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
                    self.engine.give(host, input);
                }
            }
            Call::Probation(verdict) => self.engine.give(host, Input::Probation(verdict)),
            Call::Stop => self.stopped = true,
        }
    }
}

#[derive(Default)]
struct Ready {
    readable: Vec<LinkId>,
    writable: Vec<LinkId>,
    door: bool,
    calls: Vec<Call>,
}

impl Ready {
    fn is_something(&self) -> bool {
        self.door
            || !self.readable.is_empty()
            || !self.writable.is_empty()
            || !self.calls.is_empty()
    }
}

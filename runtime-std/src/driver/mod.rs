//! The loop around an [`Engine`] that waits with poll(2); the same for all three roles.

mod caller;

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use handoff_core::{Input, LinkId, Role};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(crate) use caller::{Call, Caller};

use crate::hooks::Progress;
pub(crate) use crate::host::engine::{Ended, Engine, Host, Links};
use crate::host::{Calls, Clock};

/// Whether the driver is done.
pub(crate) enum Flow<O> {
    Done(O),
    Stopped,
}

/// An engine and the loop around it.
pub(crate) struct Driver<R: Role<L>, const L: usize> {
    pub(crate) engine: Engine<R, L>,
    calls: Calls<Call>,
    caller: Caller,
    stopped: bool,
}

impl<R: Role<L>, const L: usize> Driver<R, L> {
    pub(crate) fn new(config: R::Config) -> io::Result<Self> {
        let (caller, calls) = Caller::new()?;
        Ok(Self {
            engine: Engine::new(config, Clock::new()),
            calls,
            caller,
            stopped: false,
        })
    }

    pub(crate) fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// Runs the machine to its end, or until it is stopped.
    pub(crate) fn run(&mut self, host: &mut impl Host<R, L>) -> Flow<R::Outcome> {
        self.engine.give(host, Input::Start);
        loop {
            if let Some(outcome) = self.engine.outcome() {
                return Flow::Done(outcome);
            }
            let ready = self.poll(host);
            for link in ready.writable {
                self.engine.writable(host, link);
            }
            for link in ready.readable {
                self.engine.read(host, link, 1);
            }
            if ready.listener {
                self.engine.accept(host);
            }
            if ready.calls {
                self.answer_calls(host);
            }
            if self.engine.is_due() {
                // Bytes before timeouts: whatever has arrived is handed in before a deadline is.
                self.engine.read_all(host);
                self.answer_calls(host);
                self.engine.declare_deadline(host);
            }
            if self.stopped {
                return Flow::Stopped;
            }
        }
    }

    fn poll(&mut self, host: &impl Host<R, L>) -> Ready {
        let listens = self.engine.listens();
        let listener = host.listener().filter(|_| listens);
        let now = self.engine.now();
        let until = self.engine.wait();

        let links = self.engine.links();
        let mut names = Vec::new();
        let mut fds = Vec::new();
        for (link, socket, blocked) in links.iter() {
            let writable = if blocked {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            };
            names.push(link);
            fds.push(PollFd::from_borrowed_fd(
                socket.as_fd(),
                PollFlags::IN | writable,
            ));
        }
        fds.push(PollFd::from_borrowed_fd(self.calls.as_fd(), PollFlags::IN));
        if let Some(listener) = listener {
            fds.push(PollFd::from_borrowed_fd(listener, PollFlags::IN));
        }

        let timeout = until.map(|until| timespec(until.since(now)));
        // An interrupted or failed poll is one that found nothing.
        let _ = poll(&mut fds, timeout.as_ref());

        let happened = |at: usize| fds.get(at).map_or(PollFlags::empty(), PollFd::revents);
        let mut ready = Ready {
            readable: Vec::new(),
            writable: Vec::new(),
            calls: !happened(names.len()).is_empty(),
            listener: !happened(names.len() + 1).is_empty(),
        };
        for (at, link) in names.into_iter().enumerate() {
            let flags = happened(at);
            if flags.contains(PollFlags::OUT) {
                ready.writable.push(link);
            }
            if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                ready.readable.push(link);
            }
        }
        ready
    }

    fn answer_calls(&mut self, host: &mut impl Host<R, L>) {
        for call in self.calls.take() {
            match call {
                Call::Ended(ended) => self.engine.end(host, ended),
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
}

struct Ready {
    readable: Vec<LinkId>,
    writable: Vec<LinkId>,
    calls: bool,
    listener: bool,
}

/// As exact as the clock. A wait that ends early all the same finds no deadline due, and goes on.
fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
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
        assert_eq!(driver.calls.take().len(), 1);
        assert_eq!(caller.take_progress().map(|last| last.sealed), Some(999));
    }
}

//! What every loop around a machine does between two waits; the same for all three roles.
//!
//! An [`Engine`] joins a machine with its sockets and its clock. It never waits: the loop around it
//! waits, in the idiom of its runtime, and calls what fits:
//!
//! 1. [`Engine::give`] hands in one input and does what each step of the turn says; then it hands in
//!    what came of that at once, until nothing more does.
//! 2. The loop waits for its sockets, its listener and whatever calls it, no longer than until
//!    [`Engine::wait`].
//! 3. [`Engine::read`], [`Engine::writable`] and [`Engine::accept`] for what is ready.
//! 4. When [`Engine::is_due`]: [`Engine::read_all`], then whatever else is there to be handed in, and
//!    only then [`Engine::declare_deadline`]. Bytes come before timeouts.

mod ended;
mod host;
mod links;
mod log;
mod room;

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use handoff_core::{Action, Handles, Input, Instant, LinkId, Machine, Misuse, Role, Step, Wait};

pub use ended::{Ended, drained, failed, listed, opened, sealed, snapped, tried_lock, value};
pub use host::{Accepted, Host, Socket};
pub use links::Links;
pub use log::{incumbent_saw, successor_heard, successor_saw};
pub use room::{Room, ServerRoom};

use super::Clock;
use super::descriptors::Received;
use super::recording::{Recorder, Recordings};

/// How often a link is read before a deadline is declared: one that always has more cannot hold it
/// up, and this is what the largest frame takes.
const READS: usize = 17;

/// How much is read at once, in bytes.
const SCRATCH: usize = 64 * 1024;

/// How long a listener is left alone that could not be accepted from.
const REST: Duration = Duration::from_millis(100);

/// A machine with its sockets and its clock.
pub struct Engine<R: Role<L>, const L: usize, S: Socket = UnixStream> {
    machine: Machine<R, ServerRoom, L>,
    links: Links<S>,
    clock: Clock,
    wait: Option<Instant>,
    outcome: Option<R::Outcome>,
    listen_after: Option<Instant>,
    recorder: Option<Recorder>,
    /// What is read is put here first; none before something is.
    scratch: Option<Room>,
}

impl<R: Role<L>, const L: usize, S: Socket> Engine<R, L, S> {
    /// A machine that has not started and goes by this clock: its first input is `Input::Start`.
    pub fn new(config: R::Config, clock: Clock) -> Self {
        Self {
            machine: Machine::new(config),
            links: Links::default(),
            clock,
            wait: None,
            outcome: None,
            listen_after: None,
            recorder: None,
            scratch: None,
        }
    }

    /// Sets the machine up anew; only before it has started.
    pub fn configure(&mut self, config: R::Config) {
        self.machine = Machine::new(config);
    }

    /// Records all that happens, if that is asked for; to be called after the machine was set up, and
    /// before it has started.
    pub fn record(&mut self, recordings: Option<&Recordings>) {
        let config = self.machine.config();
        self.recorder = recordings.and_then(|dir| dir.begin::<R, ServerRoom, L>(config));
    }

    /// The open links.
    pub const fn links(&mut self) -> &mut Links<S> {
        &mut self.links
    }

    /// The clock that the machine's moments are read from.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// How the machine has ended, once it has.
    pub const fn outcome(&self) -> Option<R::Outcome> {
        self.outcome
    }

    /// The moment it is.
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.clock.now_nanos())
    }

    /// Until when to wait at most; `None`: for something to happen.
    pub fn wait(&self) -> Option<Instant> {
        self.wait.into_iter().chain(self.listen_after).min()
    }

    /// Whether the listener may be accepted from now; if not, it may be at [`wait`](Self::wait).
    pub fn listens(&mut self) -> bool {
        let now = self.now();
        self.listen_after.take_if(|at| *at <= now);
        self.listen_after.is_none()
    }

    /// Hands in one input, does what the turn says, and hands in what came of it at once.
    pub fn give(&mut self, host: &mut impl Host<R, L, S>, input: Input<'_>) {
        self.turn(host, input);
        self.settle(host);
    }

    /// Hands in the end of an operation.
    pub fn end(&mut self, host: &mut impl Host<R, L, S>, ended: Ended) {
        self.links.end(ended);
        self.settle(host);
    }

    /// One input, and its turn. Returns how many bytes were taken, and whether the descriptors that
    /// came with them are wanted.
    fn turn(&mut self, host: &mut impl Host<R, L, S>, input: Input<'_>) -> (usize, bool) {
        let now = self.now();
        let mut turn = match self.machine.handle(now, input) {
            Ok(turn) => turn,
            Err(misuse) => {
                if let Some(recorder) = &mut self.recorder {
                    recorder.refused::<R, L>(now, &input, misuse);
                }
                return report(misuse);
            }
        };
        let taken = (turn.consumed(), turn.kept());
        if let Some(recorder) = &mut self.recorder {
            recorder.handed::<R, L>(now, &input, taken);
        }
        if let Some(message) = turn.message() {
            host.message(&message);
        }
        loop {
            let step = turn.next();
            if let Some(recorder) = &mut self.recorder {
                recorder.step(&step);
            }
            match step {
                Step::Do(Action::Send {
                    link,
                    bytes,
                    handles,
                }) => {
                    let with: Vec<_> = handles
                        .numbers()
                        .filter_map(|number| host.descriptor(number))
                        .collect();
                    self.links.write(link, bytes, &with);
                }
                Step::Do(Action::Start(op)) => host.start(op, &mut self.links),
                Step::Do(Action::Cancel(op)) => host.cancel(op),
                Step::Do(Action::Close { link }) => self.links.close(link),
                Step::Do(Action::Observe(seen)) => host.observe(seen),
                Step::Wait(Wait { deadline, .. }) => {
                    self.wait = deadline;
                    return taken;
                }
                Step::Done(outcome) => {
                    self.outcome = Some(outcome);
                    return taken;
                }
            }
        }
    }

    /// Hands in what came of the last steps, until nothing more does.
    fn settle(&mut self, host: &mut impl Host<R, L, S>) {
        loop {
            if let Some((link, count)) = self.links.wrote.pop_front() {
                self.turn(host, Input::Wrote { link, count });
            } else if let Some(ended) = self.links.ended.pop_front() {
                ended(&mut |done| {
                    self.turn(host, Input::Completed(done));
                });
            } else {
                break;
            }
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.flush();
        }
    }

    /// A link that took nothing takes bytes again.
    pub fn writable(&mut self, host: &mut impl Host<R, L, S>, link: LinkId) {
        if self.links.unblock(link) {
            self.give(host, Input::Wrote { link, count: 0 });
        }
    }

    /// Reads a link at most `times` times. Returns whether something may be left.
    pub fn read(&mut self, host: &mut impl Host<R, L, S>, link: LinkId, times: usize) -> bool {
        let scratch = self.scratch.take();
        let mut scratch = scratch.unwrap_or_else(|| Room::new(SCRATCH));
        let mut more = true;
        for _ in 0..times {
            let Some(read) = self
                .links
                .socket(link)
                .map(|socket| receive(host, socket, scratch.as_mut()))
            else {
                more = false;
                break;
            };
            match read {
                Ok(Received { count: 0, .. }) => {
                    self.turn(host, Input::Closed { link });
                    more = false;
                }
                Ok(Received {
                    count,
                    descriptors,
                    truncated,
                }) => {
                    let handles = if truncated {
                        Handles::TRUNCATED
                    } else {
                        self.links.name(descriptors.len())
                    };
                    let bytes = scratch.as_ref().get(..count).unwrap_or_default();
                    self.take(host, link, bytes, handles, descriptors);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => more = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.turn(host, Input::Closed { link });
                    more = false;
                }
            }
            self.settle(host);
            if !more || self.outcome.is_some() {
                break;
            }
        }
        self.scratch = Some(scratch);
        more
    }

    fn take(
        &mut self,
        host: &mut impl Host<R, L, S>,
        link: LinkId,
        mut bytes: &[u8],
        handles: Handles,
        mut descriptors: Vec<OwnedFd>,
    ) {
        while !bytes.is_empty() {
            // They have to be there when an operation of this very turn takes them.
            self.links.hold(link, handles, &mut descriptors);
            let input = Input::Bytes {
                link,
                bytes,
                handles,
            };
            let (consumed, kept) = self.turn(host, input);
            bytes = bytes.get(consumed..).unwrap_or_default();
            if bytes.is_empty() && !kept {
                drop(self.links.take(handles));
            }
            self.settle(host);
            if consumed == 0 {
                break;
            }
        }
    }

    /// Accepts one connection. Returns whether others may wait.
    pub fn accept(&mut self, host: &mut impl Host<R, L, S>) -> bool {
        let accepted = host.accept(&mut self.links);
        match accepted {
            Accepted::Nothing | Accepted::Again => {}
            Accepted::Link(link, peer) => self.give(host, Input::Opened { link, peer }),
            Accepted::Unbound => {
                // A new listener may be no better.
                self.rest();
                self.give(host, Input::Unbound);
            }
            Accepted::BackOff => self.rest(),
        }
        accepted != Accepted::Nothing
    }

    fn rest(&mut self) {
        self.listen_after = Some(self.now().after(REST));
    }

    /// Whether the machine's deadline has come.
    pub fn is_due(&self) -> bool {
        self.outcome.is_none() && self.wait.is_some_and(|at| at <= self.now())
    }

    /// Reads every link, as far as one may go before a deadline is declared.
    pub fn read_all(&mut self, host: &mut impl Host<R, L, S>) {
        for link in self.links.names() {
            self.read(host, link, READS);
        }
    }

    /// Tells the machine that its deadline has come, if that is still so.
    pub fn declare_deadline(&mut self, host: &mut impl Host<R, L, S>) {
        if self.is_due() {
            self.give(host, Input::Deadline);
        }
    }
}

fn receive<R: Role<L>, H: Host<R, L, S>, S: Socket, const L: usize>(
    _: &H,
    socket: &S,
    room: &mut [u8],
) -> io::Result<Received> {
    socket.receive(room, H::DESCRIPTORS)
}

/// Misuse is a mistake of this adapter. The machine has not changed, so going on is safe.
fn report(misuse: Misuse) -> (usize, bool) {
    debug_assert!(false, "the driver misused its machine: {misuse}");
    tracing::error!(%misuse, "the driver misused its machine");
    (0, false)
}

#[cfg(test)]
mod tests {
    use handoff_core::incumbent::Phase;
    use handoff_core::op::OpId;
    use handoff_core::{IncumbentConfig, IncumbentOp, Observation};

    use super::*;

    /// A host whose listener is of no use, however often it is bound.
    struct NoListener;

    impl Host<handoff_core::Incumbent, 1> for NoListener {
        fn start(&mut self, _: IncumbentOp, _: &mut Links) {}
        fn cancel(&mut self, _: OpId) {}
        fn observe(&mut self, _: Observation<Phase>) {}
        fn accept(&mut self, _: &mut Links) -> Accepted {
            Accepted::Unbound
        }
    }

    #[test]
    fn a_listener_that_breaks_at_once_is_bound_without_a_pause() {
        let config = IncumbentConfig::default();
        let mut engine = Engine::<handoff_core::Incumbent, 1>::new(config, Clock::new());
        engine.give(&mut NoListener, Input::Start);
        assert!(engine.accept(&mut NoListener));
        assert!(!engine.listens());
        assert!(engine.wait().is_some());
    }
}

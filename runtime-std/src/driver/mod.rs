//! The loop that binds a machine to sockets, the clock and a host; the same for all three roles.
//!
//! 1. Hand the machine one input; do what each step of the turn says, until it says Wait or Done.
//! 2. Hand in what came of it: bytes written, operations that ended at once.
//! 3. Poll the links, the doorbell and the control listener, no longer than until the deadline.
//! 4. Hand in what was read. Only when nothing is left to be read is a deadline declared.

mod caller;
mod links;

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use handoff_core::op::OpId;
use handoff_core::wire::Message;
use handoff_core::{
    Action, Handles, Input, Instant, LinkId, Machine, Misuse, Observation, Role, Step, Wait,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(crate) use caller::{Call, Caller, Ended};
pub(crate) use links::Links;

use crate::hooks::Progress;
use crate::host::Clock;
use crate::host::descriptors::{self, Received, Wanted};
use crate::room::ServerRoom;

/// What carries out a role's operations.
pub(crate) trait Host<R: Role<L>, const L: usize> {
    /// Start an operation; report its end through the driver's queue or a [`Caller`].
    fn start(&mut self, op: R::Op, links: &mut Links);
    /// An operation is no longer wanted.
    fn cancel(&mut self, op: OpId);
    /// Something was let be seen.
    fn observe(&mut self, seen: Observation<R::Phase>);
    /// A message came.
    fn message(&mut self, _: &Message<'_>) {}
    /// Whether descriptors are wanted that come with messages.
    const DESCRIPTORS: Wanted = Wanted::No;
    /// The descriptor that one of the handles to be sent stands for.
    fn descriptor(&self, _: u32) -> Option<BorrowedFd<'_>> {
        None
    }
    /// What to poll for new connections.
    fn listener(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// The listener is ready: accept one connection.
    fn accept(&mut self, _: &mut Links) -> Accepted {
        Accepted::Nothing
    }
}

/// What accepting came to.
pub(crate) enum Accepted {
    Nothing,
    Link(LinkId, u32),
    /// The control path no longer leads to a listener of ours.
    Unbound,
    /// Leave the listener alone for a while.
    BackOff,
}

/// How often a link is read before a deadline is declared: one that always has more cannot hold it
/// up, and this is what the largest frame takes.
const READS: usize = 17;

/// How long a listener is left alone that could not be accepted from.
const REST: Duration = Duration::from_millis(100);

/// Whether the driver is done.
pub(crate) enum Flow<O> {
    Done(O),
    Stopped,
}

/// A machine and the loop around it.
pub(crate) struct Driver<R: Role<L>, const L: usize> {
    machine: Machine<R, ServerRoom, L>,
    pub(crate) links: Links,
    clock: Clock,
    calls: Receiver<Call>,
    caller: Caller,
    bell: UnixStream,
    wait: Option<Instant>,
    outcome: Option<R::Outcome>,
    listen_after: Option<Instant>,
    stopped: bool,
    scratch: Vec<u8>,
}

impl<R: Role<L>, const L: usize> Driver<R, L> {
    pub(crate) fn new(config: R::Config) -> io::Result<Self> {
        let (caller, calls, bell) = Caller::new()?;
        Ok(Self {
            machine: Machine::new(config),
            links: Links::default(),
            clock: Clock::new(),
            calls,
            caller,
            bell,
            wait: None,
            outcome: None,
            listen_after: None,
            stopped: false,
            scratch: vec![0; 64 * 1024],
        })
    }

    pub(crate) fn caller(&self) -> Caller {
        self.caller.clone()
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    /// Sets the machine up anew; only before [`run`](Self::run).
    pub(crate) fn configure(&mut self, config: R::Config) {
        self.machine = Machine::new(config);
    }

    /// Runs the machine to its end, or until it is stopped.
    pub(crate) fn run(&mut self, host: &mut impl Host<R, L>) -> Flow<R::Outcome> {
        self.give(host, Input::Start);
        loop {
            self.settle(host);
            if let Some(outcome) = self.outcome {
                return Flow::Done(outcome);
            }
            let ready = self.poll(host);
            for link in ready.links {
                self.read(host, link, 1);
            }
            if ready.listener {
                self.accept(host);
            }
            if ready.bell {
                // What rang is in the channel; a byte that stays behind only rings once more.
                let _ = self.bell.read(&mut [0; 64]);
                self.answer_calls(host);
            }
            self.declare_deadline(host);
            if self.stopped {
                return Flow::Stopped;
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.clock.now_nanos())
    }

    /// One input, and its turn. Returns how many bytes were taken, and whether the descriptors that
    /// came with them are wanted.
    fn give(&mut self, host: &mut impl Host<R, L>, input: Input<'_>) -> (usize, bool) {
        let now = Instant::from_nanos(self.clock.now_nanos());
        let mut turn = match self.machine.handle(now, input) {
            Ok(turn) => turn,
            Err(misuse) => return report(misuse),
        };
        let taken = (turn.consumed(), turn.kept());
        if let Some(message) = turn.message() {
            host.message(&message);
        }
        loop {
            match turn.next() {
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
                Step::Do(Action::Close { link }) => drop(self.links.open.remove(&link)),
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
    fn settle(&mut self, host: &mut impl Host<R, L>) {
        loop {
            if let Some((link, count)) = self.links.wrote.pop_front() {
                self.give(host, Input::Wrote { link, count });
            } else if let Some(ended) = self.links.ended.pop_front() {
                ended(&mut |done| {
                    self.give(host, Input::Completed(done));
                });
            } else {
                return;
            }
        }
    }

    fn poll(&mut self, host: &impl Host<R, L>) -> Ready {
        let now = self.now();
        let resting = self.listen_after.filter(|at| *at > now);
        let listener = host.listener().filter(|_| resting.is_none());
        let links: Vec<LinkId> = self.links.open.keys().copied().collect();

        let mut fds = Vec::with_capacity(links.len() + 2);
        for link in &links {
            let Some(stream) = self.links.open.get(link) else {
                continue;
            };
            let writable = if stream.blocked {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            };
            fds.push(PollFd::from_borrowed_fd(
                stream.socket.as_fd(),
                PollFlags::IN | writable,
            ));
        }
        fds.push(PollFd::from_borrowed_fd(self.bell.as_fd(), PollFlags::IN));
        if let Some(listener) = listener {
            fds.push(PollFd::from_borrowed_fd(listener, PollFlags::IN));
        }

        let until = self.wait.into_iter().chain(resting).min();
        let timeout = until.map(|until| timespec(until.since(now)));
        // An interrupted or failed poll is one that found nothing.
        let _ = poll(&mut fds, timeout.as_ref());

        let happened: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        drop(fds);
        let mut ready = Ready {
            links: Vec::new(),
            bell: happened
                .get(links.len())
                .is_some_and(|flags| !flags.is_empty()),
            listener: happened
                .get(links.len() + 1)
                .is_some_and(|flags| !flags.is_empty()),
        };
        for (link, flags) in links.into_iter().zip(happened) {
            if flags.contains(PollFlags::OUT)
                && let Some(stream) = self.links.open.get_mut(&link)
            {
                stream.blocked = false;
                self.links.wrote.push_back((link, 0));
            }
            if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                ready.links.push(link);
            }
        }
        ready
    }

    /// Reads a link at most `times` times. Returns whether something may be left.
    fn read(&mut self, host: &mut impl Host<R, L>, link: LinkId, times: usize) -> bool {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut more = true;
        for _ in 0..times {
            let Some(stream) = self.links.open.get_mut(&link) else {
                more = false;
                break;
            };
            let read = receive(host, &stream.socket, &mut scratch);
            match read {
                Ok(Received { count: 0, .. }) => {
                    self.give(host, Input::Closed { link });
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
                    let bytes = scratch.get(..count).unwrap_or_default();
                    self.take(host, link, bytes, handles, descriptors);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => more = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.give(host, Input::Closed { link });
                    more = false;
                }
            }
            self.settle(host);
            if !more || self.outcome.is_some() {
                break;
            }
        }
        self.scratch = scratch;
        more
    }

    fn take(
        &mut self,
        host: &mut impl Host<R, L>,
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
            let (consumed, kept) = self.give(host, input);
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

    fn accept(&mut self, host: &mut impl Host<R, L>) {
        self.listen_after = None;
        match host.accept(&mut self.links) {
            Accepted::Nothing => {}
            Accepted::Link(link, peer) => {
                self.give(host, Input::Opened { link, peer });
            }
            Accepted::Unbound => {
                // A new listener may be no better.
                self.rest();
                self.give(host, Input::Unbound);
            }
            Accepted::BackOff => self.rest(),
        }
        self.settle(host);
    }

    fn rest(&mut self) {
        self.listen_after = Some(self.now().after(REST));
    }

    fn answer_calls(&mut self, host: &mut impl Host<R, L>) {
        // What comes while these are answered rings anew, so a busy caller cannot hold the loop here.
        let calls: Vec<Call> = self.calls.try_iter().collect();
        for call in calls {
            match call {
                Call::Ended(ended) => self.links.end(ended),
                Call::Progress => {
                    let latest = self.caller.take_progress();
                    if let Some(Progress {
                        sealed,
                        total,
                        revision,
                    }) = latest
                    {
                        let input = Input::Progress {
                            sealed,
                            total,
                            revision,
                        };
                        self.give(host, input);
                    }
                }
                Call::Probation(verdict) => {
                    self.give(host, Input::Probation(verdict));
                }
                Call::Stop => self.stopped = true,
            }
            self.settle(host);
        }
    }

    /// Bytes before timeouts: whatever has arrived is handed in before a deadline is.
    fn declare_deadline(&mut self, host: &mut impl Host<R, L>) {
        let due = |driver: &Self| driver.wait.is_some_and(|at| at <= driver.now());
        if !due(self) || self.outcome.is_some() {
            return;
        }
        let links: Vec<LinkId> = self.links.open.keys().copied().collect();
        for link in links {
            self.read(host, link, READS);
        }
        self.answer_calls(host);
        if due(self) && self.outcome.is_none() {
            self.give(host, Input::Deadline);
        }
    }
}

struct Ready {
    links: Vec<LinkId>,
    bell: bool,
    listener: bool,
}

fn receive<R: Role<L>, H: Host<R, L>, const L: usize>(
    _: &H,
    socket: &UnixStream,
    room: &mut [u8],
) -> io::Result<Received> {
    descriptors::receive(socket, room, H::DESCRIPTORS)
}

/// Misuse is a mistake of this adapter. The machine has not changed, so going on is safe.
fn report(misuse: Misuse) -> (usize, bool) {
    debug_assert!(false, "the driver misused its machine: {misuse}");
    tracing::error!(%misuse, "the driver misused its machine");
    (0, false)
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
    use handoff_core::incumbent::Phase;
    use handoff_core::{IncumbentConfig, IncumbentOp};

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
        assert_eq!(driver.calls.try_iter().count(), 1);
        assert_eq!(caller.take_progress().map(|last| last.sealed), Some(999));
    }

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
        let mut driver = Driver::<handoff_core::Incumbent, 1>::new(config).unwrap();
        driver.give(&mut NoListener, Input::Start);
        driver.accept(&mut NoListener);
        assert!(driver.listen_after.is_some());
    }
}

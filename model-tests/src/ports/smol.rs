//! A port to async-io, the reactor of the smol ecosystem. The numbers are those of the steps in `core/PORTING.md`.
//!
//! What differs from the port to poll(2): each socket is registered with the reactor for as long as it is open, the
//! wait is a future, and works run on the pool of the crate `blocking`.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use async_io::{Async, Timer, block_on};
use blocking::unblock;
use handoff_core::{Action, Handles, Input, Instant, LinkId, Machine, Role, Step};
use handoff_std::ServerRoom;
use handoff_std::host::Calls;
use handoff_std::host::descriptors::{self, Wanted};
use handoff_std::host::operations::{Carried, Carries};
use handoff_std::host::roles::{Call, Drive};

/// How often a link is read in one round: the largest frame fits, and one that always has more holds up nobody.
const READS: usize = 65;

/// How long to wait when there are no descriptors to wait with.
const SOON: Duration = Duration::from_millis(100);

/// The port. All three roles are in `handoff_std::host::roles`.
#[derive(Debug, Clone, Copy)]
pub struct Smol;

/// The sockets, by name, and whether each took nothing the last time.
#[derive(Default)]
struct Links {
    open: BTreeMap<LinkId, (Async<UnixStream>, bool)>,
    names: u32,
}

impl Links {
    fn adopt(&mut self, socket: UnixStream) -> LinkId {
        let link = LinkId(self.names);
        self.names += 1;
        // One that cannot be registered says nothing, and its time runs out.
        let registered = Async::new(socket).map(|socket| (link, (socket, false)));
        self.open.extend(registered);
        link
    }
}

/// A machine and what belongs to it.
struct Loop<'a, R: Role<L>, H, const L: usize> {
    machine: Machine<R, ServerRoom, L>,
    host: H,
    links: Links,
    /// What is to be handed in next.
    queue: VecDeque<Call>,
    calls: &'a Calls<Call>,
    deadline: Option<Instant>,
    outcome: Option<R::Outcome>,
}

impl Drive for Smol {
    fn drive<R: Role<L>, const L: usize>(
        &self,
        config: R::Config,
        host: impl Carries<R, L>,
        channel: Option<UnixStream>,
        calls: &Calls<Call>,
    ) -> io::Result<R::Outcome> {
        let mut this = Loop {
            machine: Machine::new(config),
            host,
            links: Links::default(),
            queue: VecDeque::from([Call::Input(Input::Start)]), // 1
            calls,
            deadline: None,
            outcome: None,
        };
        channel.map(|channel| this.links.adopt(channel));
        loop {
            this.hand_in(); // 4
            if let Some(outcome) = this.outcome {
                return Ok(outcome); // 9
            }
            this.wait(); // 5
            let was_due = this.is_due();
            this.gather(); // 6, 7
            this.hand_in();
            if was_due && this.is_due() {
                this.turn(Input::Deadline); // 8
            }
        }
    }
}

impl<R: Role<L>, H: Carries<R, L>, const L: usize> Loop<'_, R, H, L> {
    fn hand_in(&mut self) {
        while let Some(next) = self.queue.pop_front() {
            match next {
                Call::Input(input) => _ = self.turn(input),
                Call::Ended(ended) => ended(&mut |done| _ = self.turn(Input::Completed(done))),
            }
        }
    }

    /// One input, and its turn to the end. Gives how many bytes were taken.
    fn turn(&mut self, input: Input<'_>) -> usize {
        let now = self.host.now();
        let turn = self.machine.handle(now, input);
        let mut turn = turn.expect("this loop keeps the rules");
        let taken = turn.consumed();
        loop {
            match turn.next() {
                Step::Do(Action::Send {
                    link,
                    bytes,
                    handles,
                }) => {
                    let handles = handles.numbers();
                    let with: Vec<_> = handles.filter_map(|at| self.host.descriptor(at)).collect();
                    let Some((socket, blocked)) = self.links.open.get_mut(&link) else {
                        continue;
                    };
                    let sent = descriptors::send(socket, bytes, &with);
                    match sent.map_err(|e| e.kind()) {
                        Ok(count) => self
                            .queue
                            .push_back(Call::Input(Input::Wrote { link, count })),
                        Err(ErrorKind::WouldBlock) => *blocked = true,
                        Err(_) => {} // it is shut, and the next read says so
                    }
                }
                Step::Do(Action::Start(op)) => {
                    match self.host.carry(op, |socket| self.links.adopt(socket)) {
                        Carried::Ended(ended) => self.queue.push_back(Call::Ended(ended)),
                        Carried::Work(work) => {
                            let caller = self.calls.caller();
                            unblock(move || caller.call(Call::Ended(work()))).detach();
                        }
                    }
                }
                Step::Do(Action::Cancel(op)) => self.host.cancel(op),
                Step::Do(Action::Close { link }) => drop(self.links.open.remove(&link)),
                Step::Do(Action::Observe(_)) => {}
                Step::Wait(wait) => break self.deadline = wait.deadline,
                Step::Done(outcome) => break self.outcome = Some(outcome),
            }
        }
        taken
    }

    fn is_due(&self) -> bool {
        self.outcome.is_none() && self.deadline.is_some_and(|at| at <= self.host.now())
    }

    /// Waits until something happens. What it was is found out afterwards: a wake-up is only a hint.
    fn wait(&self) {
        let fds = [Some(self.calls.as_fd()), self.host.listener()];
        let others: Vec<_> = fds.into_iter().flatten().map(register).collect();
        // Without descriptors it is looked again soon.
        let soon = others.iter().any(Option::is_none).then_some(SOON);
        let left = self.host.left(self.deadline).into_iter().chain(soon).min();
        let mut timer = left.map_or_else(Timer::never, Timer::after);
        block_on(poll_fn(|cx| {
            let mut ready = Pin::new(&mut timer).poll(cx).is_ready();
            for other in others.iter().flatten() {
                ready |= other.poll_readable(cx).is_ready();
            }
            for (socket, blocked) in self.links.open.values() {
                ready |= socket.poll_readable(cx).is_ready();
                ready |= *blocked && socket.poll_writable(cx).is_ready();
            }
            if ready {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
    }

    /// Looks at everything, and hands in or queues what there is.
    fn gather(&mut self) {
        let links: Vec<LinkId> = self.links.open.keys().copied().collect();
        for link in links {
            let blocked = self.links.open.get_mut(&link);
            if blocked.is_some_and(|(_, blocked)| std::mem::take(blocked)) {
                self.turn(Input::Wrote { link, count: 0 });
            }
            self.read(link);
        }
        let accepted = self.host.accept(|socket| self.links.adopt(socket));
        self.queue.extend(accepted.map(Call::Input));
        self.queue.extend(self.calls.take());
    }

    fn read(&mut self, link: LinkId) {
        let mut room = [0; 16 * 1024];
        for _ in 0..READS {
            let Some((socket, _)) = self.links.open.get(&link) else {
                return;
            };
            match descriptors::receive(socket, &mut room, Wanted::No) {
                Ok(got) if got.count > 0 => {
                    let mut bytes = &room[..got.count];
                    let lost = got.truncated.then_some(Handles::TRUNCATED);
                    let handles = lost.unwrap_or(Handles::NONE);
                    while !bytes.is_empty() {
                        let taken = self.turn(Input::Bytes {
                            link,
                            bytes,
                            handles,
                        });
                        bytes = &bytes[taken..];
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                // It has ended, or broken.
                _ => {
                    self.turn(Input::Closed { link });
                    return;
                }
            }
        }
    }
}

/// For one wait: the listener may be another one at the next.
fn register(fd: BorrowedFd<'_>) -> Option<Async<OwnedFd>> {
    Async::new(fd.try_clone_to_owned().ok()?).ok()
}

//! The endpoint: joins a role's transitions, the wire and the memory of the links.
//!
//! One input goes in, one [`Turn`] comes out, and the turn must be drained before the next input.
//! Bytes become messages here and messages become bytes; what a message means is the role's.

use core::fmt;
use core::hash::Hash;

use heapless::Deque;

use crate::cause::{Cause, Reason};
use crate::link::{Inbox, Life, Link, LinkId, MIN_ROOM, Storage};
use crate::op::{Completion, OpId, Report};
use crate::text::Text;
use crate::time::Instant;
use crate::violation::Violation;
use crate::wire::{self, Message};

/// The most steps (`Do`) that one turn takes.
pub const MAX_ACTIONS_PER_TURN: usize = 24;

/// What happened, told to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'b> {
    /// The first input of every machine.
    Start,
    /// A connection to the control path was accepted. The adapter has checked the peer's uid.
    Opened {
        /// The adapter's name for it, new for every connection.
        link: LinkId,
    },
    /// Bytes arrived. At most one frame of them is taken: see [`Turn::consumed`].
    Bytes {
        /// On which link.
        link: LinkId,
        /// Any chunk of what the peer sent, in order.
        bytes: &'b [u8],
    },
    /// Bytes that a `Send` lent were written. A count of 0 says: the link takes bytes again.
    Wrote {
        /// On which link.
        link: LinkId,
        /// How many of them.
        count: usize,
    },
    /// The peer closed the link, or it broke. Bytes that came before must have been handed in.
    Closed {
        /// Which link.
        link: LinkId,
    },
    /// An operation ended; made by its [`Ticket`](crate::op::Ticket).
    Completed(Completion<'b>),
    /// The seal hook has come this far.
    Progress {
        /// Shards sealed.
        sealed: u32,
        /// Shards there are.
        total: u32,
        /// The last revision sealed.
        revision: u64,
    },
    /// Every open link was read until nothing was left, and the clock stands at or after the
    /// deadline of the last [`Wait`]. Bytes come before timeouts: a reply that has arrived counts,
    /// however late it is looked at.
    Deadline,
}

/// What the adapter is to do.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'t, R: Role<L>, const L: usize> {
    /// Write these bytes, as many as the link takes now, and report [`Input::Wrote`]. What was not
    /// taken is lent again.
    Send {
        /// To which link.
        link: LinkId,
        /// All that is owed to the peer.
        bytes: &'t [u8],
    },
    /// Start an operation. It may run beside others and be reported in any order.
    Start(R::Op),
    /// The result of this operation is no longer wanted; ask it to stop early. Its completion is
    /// still to be reported.
    Cancel(OpId),
    /// Close the link. Nothing more is to be reported of it.
    Close {
        /// Which link.
        link: LinkId,
    },
    /// Something worth a log line, a metric or a progress display.
    Observe(Observation<R::Phase>),
}

/// What a machine lets its surroundings see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Observation<P> {
    /// It has entered this phase.
    Phase(P),
    /// A link ended, for this reason.
    Lost(LinkId, Loss),
    /// Something went wrong that does not end the handoff by itself, or the reason why it ends.
    Trouble(Cause),
}

/// Why a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// The peer closed it, or it broke.
    #[error("closed by the peer")]
    Closed,
    /// The peer broke the protocol.
    #[error("protocol violation: {0}")]
    Violation(#[from] Violation),
    /// The peer does not read what it is sent.
    #[error("the peer does not read")]
    Stalled,
    /// The peer did not say what was due in time.
    #[error("nothing heard in time")]
    Silent,
    /// It had to make room for a newer connection.
    #[error("too many connections")]
    Evicted,
}

/// One step of a [`Turn`].
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'t, R: Role<L>, const L: usize> {
    /// Do this and ask for the next step.
    Do(Action<'t, R, L>),
    /// The turn is over. Wait for the next input, at most until the deadline.
    Wait(Wait<R::Why>),
    /// The machine has ended.
    Done(R::Outcome),
}

/// How long to wait, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait<Y> {
    /// When [`Input::Deadline`] is due; `None`: an input will come, or nothing is waited for.
    pub deadline: Option<Instant>,
    /// What the deadline is for.
    pub why: Option<Y>,
}

/// The caller broke a rule of this interface. The machine is as it was before the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The last turn still has steps; [`Machine::turn`] gives them.
    #[error("the last turn was not drained")]
    TurnNotDrained,
    /// The first input must be [`Input::Start`], and only the first.
    #[error("Start must be the first input, and only the first")]
    StartOnce,
    /// A link's name was used before.
    #[error("link {} is already open", .0.0)]
    LinkInUse(LinkId),
    /// This role does not accept connections.
    #[error("this role does not accept connections")]
    NotAServer,
    /// More bytes were reported written than were lent.
    #[error("more bytes reported written on link {} than were lent", .0.0)]
    WroteTooMuch(LinkId),
    /// A completion of an operation that this machine never started.
    #[error("operation {} was never started by this machine", .0.number())]
    UnknownOperation(OpId),
}

/// What a role is made of. Implemented by [`Incumbent`](crate::Incumbent),
/// [`Successor`](crate::Successor) and [`Supervisor`](crate::Supervisor) alone; an adapter is
/// written once against it.
pub trait Role<const L: usize>: sealed::Sealed + Sized {
    /// What it is set up with.
    type Config: Clone + fmt::Debug;
    /// All that it remembers.
    type State: Copy + Eq + Hash + fmt::Debug;
    /// The data of an operation, without its ticket.
    type Call: Copy + Eq + Hash + fmt::Debug;
    /// An operation with its ticket.
    type Op: fmt::Debug + PartialEq + Eq;
    /// Its phases.
    type Phase: Copy + Eq + Hash + fmt::Debug + fmt::Display;
    /// Names of its waits.
    type Why: Copy + Eq + fmt::Debug + fmt::Display;
    /// How it ends.
    type Outcome: Copy + Eq + Hash + fmt::Debug + fmt::Display;

    /// The state before [`Input::Start`].
    fn fresh() -> Self::State;
    /// Whether connections may be accepted.
    const SERVES: bool;
    /// Joins an operation's data and its ticket.
    fn issue(call: Self::Call, id: OpId) -> Self::Op;
    /// The connection that goes when there is no room for a new one.
    fn victim(state: &Self::State) -> Option<usize>;
    /// One event: changes the state, and says through `out` what is to be done.
    ///
    /// # Errors
    /// What the peer did wrong; its link is then closed, and lost.
    fn step<B: Room>(
        config: &Self::Config,
        state: &mut Self::State,
        now: Instant,
        event: Event<'_>,
        out: &mut Out<'_, Self, B, L>,
    ) -> Result<(), Violation>;
    /// The next moment at which something is due.
    fn due(config: &Self::Config, state: &Self::State) -> Option<(Instant, Self::Why)>;
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// Memory for outgoing bytes.
pub trait Room: AsRef<[u8]> + AsMut<[u8]> {}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Room for B {}

/// An event as a role sees it; links are named by their index.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The machine starts.
    Start,
    /// A connection was accepted.
    Opened(usize),
    /// Bytes came.
    Heard(usize),
    /// A whole message came.
    Message(usize, &'a Message<'a>),
    /// All that was owed has been written.
    Flushed(usize),
    /// The link is gone.
    Lost(usize, Loss),
    /// An operation ended.
    Completed(OpId, &'a Report<'a>),
    /// The seal hook reports progress: sealed, total, revision.
    Progress(u32, u32, u64),
    /// The clock reached a moment that [`Role::due`] gave.
    Due,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Effect<C, P> {
    Flush(usize),
    Start(OpId, C),
    Cancel(OpId),
    Close(LinkId),
    Observe(Observation<P>),
}

type Queue<C, P> = Deque<Effect<C, P>, MAX_ACTIONS_PER_TURN>;

/// Where a role puts what is to be done.
#[derive(Debug)]
pub struct Out<'m, R: Role<L>, B, const L: usize> {
    links: &'m mut [Link<B>; L],
    queue: &'m mut Queue<R::Call, R::Phase>,
    outcome: &'m mut Option<R::Outcome>,
    detail: &'m mut Text,
    ops: &'m mut OpId,
    now: Instant,
}

/// How long a link that is being closed may take to be read by its peer.
const LINGER: core::time::Duration = core::time::Duration::from_secs(1);

impl<R: Role<L>, B: Room, const L: usize> Out<'_, R, B, L> {
    fn push(&mut self, effect: Effect<R::Call, R::Phase>) {
        // The bound is proven by exploration; were it ever wrong, an observation is lost first.
        if self.queue.push_back(effect).is_err() {
            debug_assert!(false, "MAX_ACTIONS_PER_TURN is too small");
        }
    }

    fn link(&mut self, at: usize) -> Option<&mut Link<B>> {
        self.links.get_mut(at).filter(|link| link.is_open())
    }

    /// From here on the link speaks this version.
    pub fn negotiated(&mut self, at: usize, version: u16) {
        if let Some(link) = self.link(at) {
            link.version = Some(version);
        }
    }

    /// The version that the link speaks, once that is known.
    pub fn version(&self, at: usize) -> Option<u16> {
        self.links.get(at).and_then(|link| link.version)
    }

    /// Send a message, after what is already owed.
    pub fn send(&mut self, at: usize, message: &Message<'_>) {
        if let Some(link) = self.link(at) {
            link.send(message);
            self.flush(at);
        }
    }

    /// Send a message only if nothing is owed: for those that would otherwise pile up.
    pub fn send_if_idle(&mut self, at: usize, message: &Message<'_>) {
        if self.link(at).is_some_and(|link| link.is_flushed()) {
            self.send(at, message);
        }
    }

    /// Write a message into the link's room, to be sent by [`release`](Self::release). Returns
    /// whether it fits.
    pub fn stage(&mut self, at: usize, message: &Message<'_>) -> bool {
        self.link(at).is_some_and(|link| link.stage(message))
    }

    /// Send what was staged.
    pub fn release(&mut self, at: usize) {
        if let Some(link) = self.link(at) {
            link.release();
            self.flush(at);
        }
    }

    /// Forget what was staged.
    pub fn unstage(&mut self, at: usize) {
        if let Some(link) = self.link(at) {
            link.unstage();
        }
    }

    fn flush(&mut self, at: usize) {
        if self.link(at).is_some_and(Link::lend) {
            self.push(Effect::Flush(at));
        }
    }

    /// Whether nothing is owed to the peer (or the link is gone).
    pub fn is_flushed(&self, at: usize) -> bool {
        self.links
            .get(at)
            .is_none_or(|link| !link.is_open() || link.is_flushed())
    }

    /// Whether the link is gone.
    pub fn is_lost(&self, at: usize) -> bool {
        self.links.get(at).is_none_or(|link| !link.is_open())
    }

    /// Close a link once what is owed has been written.
    pub fn close(&mut self, at: usize) {
        let until = self.now.after(LINGER);
        let Some(link) = self.links.get_mut(at) else {
            return;
        };
        if let Life::Open(id) = link.life {
            link.unstage();
            if link.is_flushed() {
                link.free();
                self.push(Effect::Close(id));
            } else {
                link.life = Life::Closing { link: id, until };
            }
        }
    }

    /// Open a link that an operation made.
    pub fn open(&mut self, at: usize, id: LinkId) {
        let known = self.links.iter().any(|link| link.id() == Some(id));
        if let Some(link) = self
            .links
            .get_mut(at)
            .filter(|link| !link.is_open() && !known)
        {
            let old = link.id();
            link.open(id);
            if let Some(old) = old {
                self.push(Effect::Close(old));
            }
        }
    }

    /// Close a link that an operation made, but that nobody wants any more.
    pub fn discard(&mut self, id: LinkId) {
        if self.links.iter().all(|link| link.id() != Some(id)) {
            self.push(Effect::Close(id));
        }
    }

    /// Start an operation.
    pub fn start(&mut self, call: R::Call) -> OpId {
        let id = self.ops.next();
        *self.ops = id;
        self.push(Effect::Start(id, call));
        id
    }

    /// Ask an operation to stop early.
    pub fn cancel(&mut self, id: OpId) {
        self.push(Effect::Cancel(id));
    }

    /// Let something be seen.
    pub fn observe(&mut self, observation: Observation<R::Phase>) {
        self.push(Effect::Observe(observation));
    }

    /// Let a trouble be seen that changes nothing.
    pub fn report(&mut self, reason: Reason, words: &str) {
        self.observe(Observation::Trouble(Cause {
            reason,
            detail: Text::new(words),
        }));
    }

    /// Let it be seen why a link is about to be closed.
    pub fn observe_lost(&mut self, at: usize, loss: Loss) {
        if let Some(id) = self.links.get(at).and_then(Link::id) {
            self.observe(Observation::Lost(id, loss));
        }
    }

    /// Keep somebody's words for the outcome.
    pub fn explain(&mut self, words: &str) {
        *self.detail = Text::new(words);
    }

    /// The words kept last.
    pub fn detail(&self) -> Text {
        *self.detail
    }

    /// End the machine.
    pub fn finish(&mut self, outcome: R::Outcome) {
        *self.outcome = Some(outcome);
    }
}

/// A role at work: its state, its links, and what is still to be handed to the adapter.
///
/// `L` is the number of links it can hold, `S` the memory of each.
pub struct Machine<R: Role<L>, S: Storage, const L: usize> {
    config: R::Config,
    state: R::State,
    inboxes: [Inbox<S::Rx>; L],
    links: [Link<S::Tx>; L],
    queue: Queue<R::Call, R::Phase>,
    outcome: Option<R::Outcome>,
    detail: Text,
    now: Instant,
    ops: OpId,
    /// The link whose inbox holds the message of this turn.
    fresh: Option<usize>,
    started: bool,
}

impl<R: Role<L>, S: Storage, const L: usize> Machine<R, S, L> {
    /// A machine that has not started.
    pub fn new(config: R::Config) -> Self {
        const {
            assert!(S::RX >= MIN_ROOM, "the receive room of a link is too small");
            assert!(S::TX >= MIN_ROOM, "the send room of a link is too small");
        }
        Self {
            config,
            state: R::fresh(),
            inboxes: core::array::from_fn(|_| Inbox::new(S::rx())),
            links: core::array::from_fn(|_| Link::new(S::tx())),
            queue: Deque::new(),
            outcome: None,
            detail: Text::default(),
            now: Instant::default(),
            ops: OpId::default(),
            fresh: None,
            started: false,
        }
    }

    /// What the role remembers.
    pub const fn state(&self) -> &R::State {
        &self.state
    }

    /// What the role was set up with.
    pub const fn config(&self) -> &R::Config {
        &self.config
    }

    /// The rest of the last turn, if a caller dropped it.
    pub const fn turn(&mut self) -> Turn<'_, R, S, L> {
        Turn {
            machine: self,
            consumed: 0,
        }
    }

    /// Tell the machine what happened. `now` should not go backwards; if it does, it counts as
    /// standing still.
    ///
    /// # Errors
    /// [`Misuse`] when the call breaks a rule of this interface; nothing has changed then.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<Turn<'_, R, S, L>, Misuse> {
        if !self.queue.is_empty() {
            return Err(Misuse::TurnNotDrained);
        }
        self.check(&input)?;
        self.now = self.now.max(now);
        if let Some(inbox) = self.fresh.take().and_then(|at| self.inboxes.get_mut(at)) {
            inbox.reader.clear();
        }
        let mut consumed = 0;
        if self.outcome.is_none() {
            consumed = self.accept(input);
            self.drop_stalled();
        } else if let Input::Bytes { bytes, .. } = input {
            consumed = bytes.len();
        }
        Ok(Turn {
            machine: self,
            consumed,
        })
    }

    fn check(&self, input: &Input<'_>) -> Result<(), Misuse> {
        if self.started == matches!(input, Input::Start) {
            return Err(Misuse::StartOnce);
        }
        match *input {
            Input::Opened { .. } if !R::SERVES => Err(Misuse::NotAServer),
            Input::Opened { link } if self.find(link).is_some() => Err(Misuse::LinkInUse(link)),
            Input::Wrote { link, count } => {
                let lent = self
                    .find(link)
                    .and_then(|at| self.links.get(at))
                    .map(Link::lent);
                if lent.is_some_and(|lent| count > lent) {
                    return Err(Misuse::WroteTooMuch(link));
                }
                Ok(())
            }
            Input::Completed(done) if done.op > self.ops || done.op == OpId::default() => {
                Err(Misuse::UnknownOperation(done.op))
            }
            _ => Ok(()),
        }
    }

    fn find(&self, link: LinkId) -> Option<usize> {
        self.links.iter().position(|slot| slot.id() == Some(link))
    }

    fn accept(&mut self, input: Input<'_>) -> usize {
        match input {
            Input::Start => {
                self.started = true;
                self.step(Event::Start);
            }
            Input::Opened { link } => self.opened(link),
            Input::Bytes { link, bytes } => return self.bytes(link, bytes),
            Input::Wrote { link, count } => self.wrote(link, count),
            Input::Closed { link } => {
                if let Some(at) = self.find(link) {
                    self.lose(at, Loss::Closed);
                }
            }
            Input::Completed(Completion { op, report }) => {
                self.step(Event::Completed(op, &report));
            }
            Input::Progress {
                sealed,
                total,
                revision,
            } => {
                self.step(Event::Progress(sealed, total, revision));
            }
            Input::Deadline => self.deadline(),
        }
        0
    }

    fn free_link(&self) -> Option<usize> {
        self.links.iter().position(|link| link.life == Life::Free)
    }

    fn opened(&mut self, id: LinkId) {
        if self.free_link().is_none() {
            let lingers = |link: &Link<S::Tx>| matches!(link.life, Life::Closing { .. });
            let leaver = self
                .links
                .iter()
                .position(lingers)
                .or_else(|| R::victim(&self.state));
            if let Some(at) = leaver {
                self.lose(at, Loss::Evicted);
            }
        }
        if let Some(at) = self.free_link() {
            self.open(at, id);
            self.step(Event::Opened(at));
        } else {
            self.out().push(Effect::Close(id));
        }
    }

    fn open(&mut self, at: usize, id: LinkId) {
        self.out().open(at, id);
    }

    fn bytes(&mut self, id: LinkId, bytes: &[u8]) -> usize {
        let open = |at: &usize| self.links.get(*at).is_some_and(Link::is_open);
        let Some(at) = self.find(id).filter(open) else {
            return bytes.len();
        };
        let Some(inbox) = self.inboxes.get_mut(at) else {
            return bytes.len();
        };
        if bytes.is_empty() {
            return 0;
        }
        let pushed = match inbox.push(bytes) {
            Ok(pushed) => pushed,
            Err(error) => {
                self.fail(at, error.into());
                return bytes.len();
            }
        };
        self.step(Event::Heard(at));
        if pushed.complete {
            self.fresh = Some(at);
            if let Err(violation) = self.message(at) {
                self.fail(at, violation);
            }
        }
        pushed.consumed
    }

    /// Decodes the frame in the inbox of `at` and gives it to the role.
    fn message(&mut self, at: usize) -> Result<(), Violation> {
        let Some(frame) = self.inboxes.get(at).and_then(Inbox::frame) else {
            return Ok(());
        };
        let spoken = self.links.get(at).and_then(|link| link.version);
        if let Some(expected) = spoken.filter(|spoken| *spoken != frame.version) {
            return Err(Violation::WrongVersion {
                expected,
                found: frame.version,
            });
        }
        let message = wire::decode(spoken.unwrap_or(1), frame.payload)?;
        // Written out, since the message borrows the inboxes while the role writes to the links.
        let mut out = Out {
            links: &mut self.links,
            queue: &mut self.queue,
            outcome: &mut self.outcome,
            detail: &mut self.detail,
            ops: &mut self.ops,
            now: self.now,
        };
        let event = Event::Message(at, &message);
        R::step(&self.config, &mut self.state, self.now, event, &mut out)
    }

    fn wrote(&mut self, id: LinkId, count: usize) {
        let Some(at) = self.find(id) else { return };
        let Some(link) = self.links.get_mut(at) else {
            return;
        };
        link.wrote(count);
        if link.lend() {
            self.out().push(Effect::Flush(at));
        } else if matches!(link.life, Life::Closing { .. }) {
            link.free();
            self.out().push(Effect::Close(id));
        } else if count > 0 {
            self.step(Event::Flushed(at));
        }
    }

    fn deadline(&mut self) {
        for at in 0..L {
            let late = |until: Instant| until <= self.now;
            let life = self.links.get(at).map(|link| link.life);
            if let Some(Life::Closing { until, .. }) = life
                && late(until)
            {
                self.lose(at, Loss::Stalled);
            }
        }
        // Each step clears or moves the timer it answers; the bound only guards against a mistake.
        for _ in 0..MAX_ACTIONS_PER_TURN {
            match R::due(&self.config, &self.state) {
                Some((at, _)) if at <= self.now && self.outcome.is_none() => self.step(Event::Due),
                _ => break,
            }
        }
    }

    fn drop_stalled(&mut self) {
        for at in 0..L {
            if self
                .links
                .get(at)
                .is_some_and(|link| link.is_open() && link.stalled)
            {
                self.lose(at, Loss::Stalled);
            }
        }
    }

    /// Ends a link at once.
    fn lose(&mut self, at: usize, loss: Loss) {
        let Some(link) = self.links.get_mut(at) else {
            return;
        };
        let Some(id) = link.id() else { return };
        let was_open = link.is_open();
        link.free();
        let mut out = self.out();
        out.push(Effect::Close(id));
        if was_open {
            out.observe(Observation::Lost(id, loss));
            self.step(Event::Lost(at, loss));
        }
    }

    /// Ends a link whose peer broke the protocol; what is owed to it is still written.
    fn fail(&mut self, at: usize, violation: Violation) {
        let Some(id) = self.links.get(at).and_then(Link::id) else {
            return;
        };
        let loss = Loss::Violation(violation);
        let mut out = self.out();
        out.close(at);
        out.observe(Observation::Lost(id, loss));
        self.step(Event::Lost(at, loss));
    }

    const fn out(&mut self) -> Out<'_, R, S::Tx, L> {
        Out {
            links: &mut self.links,
            queue: &mut self.queue,
            outcome: &mut self.outcome,
            detail: &mut self.detail,
            ops: &mut self.ops,
            now: self.now,
        }
    }

    fn step(&mut self, event: Event<'_>) {
        let Self {
            config,
            state,
            links,
            queue,
            outcome,
            detail,
            ops,
            now,
            ..
        } = self;
        let mut out = Out {
            links,
            queue,
            outcome,
            detail,
            ops,
            now: *now,
        };
        let done = R::step(config, state, *now, event, &mut out);
        debug_assert!(done.is_ok(), "only messages can violate the protocol");
    }

    fn wait(&self) -> Wait<R::Why> {
        let role = R::due(&self.config, &self.state);
        let linger = self.links.iter().filter_map(|link| match link.life {
            Life::Closing { until, .. } => Some(until),
            _ => None,
        });
        match (role, linger.min()) {
            (Some((at, why)), None) => Wait {
                deadline: Some(at),
                why: Some(why),
            },
            (Some((at, why)), Some(until)) if at <= until => Wait {
                deadline: Some(at),
                why: Some(why),
            },
            (_, until) => Wait {
                deadline: until,
                why: None,
            },
        }
    }
}

impl<R: Role<L>, S: Storage, const L: usize> Clone for Machine<R, S, L>
where
    S::Rx: Clone,
    S::Tx: Clone,
{
    fn clone(&self) -> Self {
        Self {
            config: self.config.clone(),
            state: self.state,
            inboxes: self.inboxes.clone(),
            links: self.links.clone(),
            queue: self.queue.clone(),
            outcome: self.outcome,
            detail: self.detail,
            now: self.now,
            ops: self.ops,
            fresh: self.fresh,
            started: self.started,
        }
    }
}

impl<R: Role<L>, S: Storage, const L: usize> fmt::Debug for Machine<R, S, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("state", &self.state)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// What an input led to. Take its steps until it says `Wait` or `Done`.
///
/// The turn borrows the machine, so the next input cannot be given before this one is dealt with:
///
/// ```compile_fail
/// use handoff_core::{Inline, Input, Instant, SuccessorConfig, SuccessorMachine};
/// let mut machine = SuccessorMachine::<Inline>::new(SuccessorConfig::default());
/// let turn = machine.handle(Instant::default(), Input::Start);
/// let other = machine.handle(Instant::default(), Input::Deadline);
/// drop(turn);
/// ```
#[must_use = "take its steps until it says Wait or Done"]
#[derive(Debug)]
pub struct Turn<'m, R: Role<L>, S: Storage, const L: usize> {
    machine: &'m mut Machine<R, S, L>,
    consumed: usize,
}

impl<R: Role<L>, S: Storage, const L: usize> Turn<'_, R, S, L> {
    /// How many of the bytes handed in were taken. Hand the rest in again once the turn is over.
    pub const fn consumed(&self) -> usize {
        self.consumed
    }

    /// The message that this input completed, if it did: for logs, metrics and reports.
    pub fn message(&self) -> Option<Message<'_>> {
        let at = self.machine.fresh?;
        let frame = self.machine.inboxes.get(at)?.frame()?;
        let spoken = self.machine.links.get(at)?.version;
        wire::decode(spoken.unwrap_or(1), frame.payload).ok()
    }

    /// The next step.
    pub fn next(&mut self) -> Step<'_, R, L> {
        // A link that was closed after it was to be flushed has nothing to send any more.
        while let Some(effect) = self.machine.queue.pop_front() {
            let action = match effect {
                Effect::Flush(at) => {
                    let Some(link) = self.machine.links.get(at) else {
                        continue;
                    };
                    let Some(id) = link.id().filter(|_| !link.is_flushed()) else {
                        continue;
                    };
                    return Step::Do(Action::Send {
                        link: id,
                        bytes: self.owed(at),
                    });
                }
                Effect::Start(id, call) => Action::Start(R::issue(call, id)),
                Effect::Cancel(id) => Action::Cancel(id),
                Effect::Close(link) => Action::Close { link },
                Effect::Observe(seen) => Action::Observe(seen),
            };
            return Step::Do(action);
        }
        match self.machine.outcome {
            Some(outcome) => Step::Done(outcome),
            None => Step::Wait(self.machine.wait()),
        }
    }

    fn owed(&self, at: usize) -> &[u8] {
        self.machine
            .links
            .get(at)
            .map(Link::owed)
            .unwrap_or_default()
    }
}

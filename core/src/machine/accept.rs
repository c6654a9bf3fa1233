//! What each input does: bytes become messages, a link opens or ends, a timer is answered.

use super::out::Effect;
use super::{
    Event, Fresh, Input, Loss, MAX_ACTIONS_PER_TURN, Machine, Observation, Out, Role, Taken, Wait,
};
use crate::handles::Handles;
use crate::link::{Inbox, Life, Link, LinkId, Storage};
use crate::op::Completion;
use crate::time::Instant;
use crate::violation::Violation;
use crate::wire;

impl<R: Role<L>, S: Storage, const L: usize> Machine<R, S, L> {
    pub(super) fn accept(&mut self, input: Input<'_>) -> Taken {
        match input {
            Input::Start => {
                self.started = true;
                self.step(Event::Start);
            }
            Input::Opened { link, peer } => self.opened(link, peer),
            Input::Bytes {
                link,
                bytes,
                handles,
            } => return self.bytes(link, bytes, handles),
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
            Input::Unbound => self.step(Event::Unbound),
            Input::Probation(verdict) => self.step(Event::Probation(verdict)),
            Input::Deadline => self.deadline(),
        }
        Taken::default()
    }

    fn free_link(&self) -> Option<usize> {
        self.links.iter().position(|link| link.life == Life::Free)
    }

    fn opened(&mut self, id: LinkId, peer: u32) {
        if self.free_link().is_none() {
            let lingers = |link: &Link<S::Tx>| matches!(link.life, Life::Closing { .. });
            let leaver = self
                .links
                .iter()
                .position(lingers)
                .or_else(|| R::victim(&self.state, peer));
            if let Some(at) = leaver {
                self.lose(at, Loss::Evicted);
            }
        }
        if let Some(at) = self.free_link() {
            self.open(at, id);
            self.step(Event::Opened(at, peer));
        } else {
            self.out().push(Effect::Close(id));
        }
    }

    fn open(&mut self, at: usize, id: LinkId) {
        self.out().open(at, id);
    }

    fn bytes(&mut self, id: LinkId, bytes: &[u8], handles: Handles) -> Taken {
        let all = Taken {
            bytes: bytes.len(),
            handles: false,
        };
        let open = |at: &usize| self.links.get(*at).is_some_and(Link::is_open);
        let Some(at) = self.find(id).filter(open) else {
            return all;
        };
        let wanted = R::takes_handles(&self.state, at);
        let Some(inbox) = self.inboxes.get_mut(at) else {
            return all;
        };
        if bytes.is_empty() {
            return Taken::default();
        }
        let pushed = match inbox.push(id, bytes) {
            Ok(pushed) => pushed,
            Err(error) => {
                self.fail(at, error.into());
                return all;
            }
        };
        let mut taken = Taken {
            bytes: pushed.consumed,
            handles: false,
        };
        if pushed.consumed == bytes.len() && !handles.is_empty() {
            let welcome = wanted && handles != Handles::TRUNCATED;
            if !welcome || !inbox.keep(handles, pushed.began) {
                self.fail(at, Violation::Descriptors { found: handles });
                return all;
            }
            taken.handles = true;
        }
        self.step(Event::Heard(at));
        let version = self.spoken(at);
        if pushed.complete {
            if let Err(violation) = self.message(at) {
                if let Some(inbox) = self.inboxes.get_mut(at) {
                    inbox.reader.clear();
                }
                self.fail(at, violation);
                taken.handles = false;
            } else {
                self.fresh = Some(Fresh { at, version });
            }
        }
        taken
    }

    /// The version by which a message on this link is read: 1 until one is agreed on.
    fn spoken(&self, at: usize) -> u16 {
        let agreed = self.links.get(at).and_then(|link| link.version);
        agreed.unwrap_or(1)
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
        let message = wire::decode(self.spoken(at), frame.payload)?;
        let handles = self.inboxes.get(at).map_or(Handles::NONE, Inbox::handles);
        if usize::try_from(handles.count) != Ok(message.descriptors()) {
            return Err(Violation::Descriptors { found: handles });
        }
        // Written out, since the message borrows the inboxes while the role writes to the links.
        let mut out = Out {
            links: &mut self.links,
            queue: &mut self.queue,
            outcome: &mut self.outcome,
            detail: &mut self.detail,
            ops: &mut self.ops,
            now: self.now,
        };
        let event = Event::Message(at, &message, handles);
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

    pub(super) fn drop_stalled(&mut self) {
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

    pub(super) fn wait(&self) -> Wait<R::Why> {
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

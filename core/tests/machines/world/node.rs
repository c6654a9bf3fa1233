//! One machine with its adapter, and the bytes on their way to its peers.

use std::collections::VecDeque;

use handoff_core::record::encode_input;
use handoff_core::{Action, Handles, Inline, Input, Instant, LinkId, Machine, Role, Step, Wait};

use super::{FIRST, SECOND};

/// What went into a machine and what came out, for a replay.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) inputs: Vec<u8>,
    pub(crate) steps: Vec<String>,
}

/// Bytes on their way to a peer.
pub(crate) struct Queue {
    bytes: VecDeque<u8>,
    /// Descriptors among them, and the bytes that were sent in one call with them. They come with the
    /// first of these bytes, and no reading goes beyond the last one.
    enclosed: Option<(usize, usize, Handles)>,
}

impl Queue {
    fn new() -> Self {
        Self {
            bytes: VecDeque::with_capacity(1024),
            enclosed: None,
        }
    }

    fn send(&mut self, bytes: &[u8], handles: Handles) {
        if !handles.is_empty() {
            let start = self.bytes.len();
            self.enclosed = Some((start, start + bytes.len(), handles));
        }
        self.bytes.extend(bytes);
    }

    /// What one reading of at most `chunk` bytes gives.
    fn read(&mut self, chunk: usize) -> (&[u8], Handles) {
        let count = self.bytes.len().min(chunk);
        let (count, handles) = match self.enclosed {
            Some((start, end, handles)) if count > start => (count.min(end), handles),
            _ => (count, Handles::NONE),
        };
        (&self.bytes.make_contiguous()[..count], handles)
    }

    fn take(&mut self, count: usize, with_handles: bool) {
        self.bytes.drain(..count);
        self.enclosed = self
            .enclosed
            .filter(|_| !with_handles)
            .map(|(start, end, handles)| (start.saturating_sub(count), end - count, handles));
    }
}

/// One machine with its adapter.
pub(crate) struct Node<R: Role<L>, const L: usize> {
    machine: Machine<R, Inline, L>,
    started: bool,
    /// By the number of the link.
    pub(crate) sent: [Queue; 2],
    pub(crate) ops: VecDeque<R::Op>,
    wait: Option<Wait<R::Why>>,
    pub(crate) outcome: Option<R::Outcome>,
    /// The descriptors that the machine wants to be kept.
    pub(crate) kept: Handles,
    /// The peers have been told that it has ended.
    hung_up: bool,
    pub(crate) trace: Option<Trace>,
}

impl<R: Role<L>, const L: usize> Node<R, L> {
    pub(crate) fn new(config: R::Config) -> Self {
        Self {
            machine: Machine::new(config),
            started: false,
            sent: [Queue::new(), Queue::new()],
            ops: VecDeque::with_capacity(8),
            wait: None,
            outcome: None,
            kept: Handles::NONE,
            hung_up: false,
            trace: None,
        }
    }

    /// Hands one input in, does what comes out, and returns how many bytes were taken.
    pub(crate) fn feed(&mut self, now: Instant, input: Input<'_>) -> usize {
        self.started = true;
        if let Some(trace) = &mut self.trace {
            let mut room = [0; 2048];
            let used = encode_input(now, &input, &mut room).expect("room enough");
            trace.inputs.extend(&room[..used]);
        }
        let mut written = [0; 2];
        let mut turn = self.machine.handle(now, input).expect("a legal input");
        let consumed = turn.consumed();
        if let Input::Bytes { handles, .. } = input
            && turn.kept()
        {
            self.kept = handles;
        }
        loop {
            let step = turn.next();
            if let Some(trace) = &mut self.trace {
                trace.steps.push(format!("{step:?}"));
            }
            match step {
                Step::Do(Action::Send {
                    link,
                    bytes,
                    handles,
                }) => {
                    let at = usize::try_from(link.0).expect("a small number");
                    self.sent[at].send(bytes, handles);
                    written[at] += bytes.len();
                }
                Step::Do(Action::Start(op)) => self.ops.push_back(op),
                Step::Do(Action::Cancel(_) | Action::Close { .. } | Action::Observe(_)) => {}
                Step::Wait(wait) => {
                    self.wait = Some(wait);
                    break;
                }
                Step::Done(outcome) => {
                    self.outcome = Some(outcome);
                    break;
                }
            }
        }
        for (link, count) in [FIRST, SECOND].into_iter().zip(written) {
            if count > 0 {
                self.feed(now, Input::Wrote { link, count });
            }
        }
        consumed
    }

    /// Hands in what the peer sent, at most `chunk` bytes at once. Returns whether there was any.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        link: LinkId,
        from: &mut Queue,
        chunk: usize,
    ) -> bool {
        let (bytes, handles) = from.read(chunk);
        let count = bytes.len();
        if count == 0 || !self.started {
            return false;
        }
        let input = Input::Bytes {
            link,
            bytes,
            handles,
        };
        let consumed = self.feed(now, input);
        from.take(consumed, consumed == count && !handles.is_empty());
        true
    }

    /// Whether it has ended and its peers are to see that now.
    pub(crate) fn hangs_up(&mut self) -> bool {
        let now = self.outcome.is_some() && !self.hung_up;
        self.hung_up |= now;
        now
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.wait
            .filter(|_| self.outcome.is_none())
            .and_then(|wait| wait.deadline)
    }
}

//! A machine to which anything happens, and what must hold for it.

use std::collections::{HashMap, HashSet};

use handoff_core::record::decode_input;
use handoff_core::wire::{MAX_FRAME_LEN, Message};
use handoff_core::{
    Action, Handles, Inline, Input, Instant, LinkId, MAX_ACTIONS_PER_TURN, Machine, Observation,
    Step,
};

use super::happening::{Happening, Which, linked};
use crate::allowed::Tabled;
use crate::bench::frame_of;
use crate::recorded::Recorded;

type Rooms = Inline<512, 512>;

pub(super) struct Subject<R: Tabled<L>, const L: usize> {
    phase: Option<R::Phase>,
    machine: Machine<R, Rooms, L>,
    recorded: Recorded<R, L>,
    now: Instant,
    deadline: Option<Instant>,
    started: u32,
    names: u32,
    open: Vec<LinkId>,
    closed: HashSet<LinkId>,
    lent: HashMap<LinkId, (usize, Handles)>,
    /// The version that the link speaks, as far as its peer knows.
    spoken: HashMap<LinkId, u16>,
    /// Descriptors that are to be kept, by the link that they came on.
    kept: HashMap<LinkId, Handles>,
}

impl<R: Tabled<L>, const L: usize> Subject<R, L> {
    pub(super) fn new(config: R::Config, open: &[LinkId]) -> Self {
        let mut subject = Self {
            phase: None,
            recorded: Recorded::new::<Rooms>(&config),
            machine: Machine::new(config),
            now: Instant::from_nanos(1),
            deadline: None,
            started: 0,
            names: 100,
            open: open.to_vec(),
            closed: HashSet::new(),
            lent: HashMap::new(),
            spoken: HashMap::new(),
            kept: HashMap::new(),
        };
        subject.input(Input::Start);
        subject
    }

    /// Hands one input in; returns how many bytes were taken. Misuse is allowed and changes nothing.
    fn input(&mut self, input: Input<'_>) -> usize {
        let before = *self.machine.state();
        let mut turn = match self.machine.handle(self.now, input) {
            Ok(turn) => turn,
            Err(misuse) => {
                assert_eq!(*self.machine.state(), before, "{misuse}");
                self.recorded.refused(self.now, &input, misuse);
                return usize::MAX;
            }
        };
        let consumed = turn.consumed();
        self.recorded
            .handed(self.now, &input, consumed, turn.kept());
        if turn.kept() {
            let Input::Bytes {
                link,
                bytes,
                handles,
            } = input
            else {
                panic!("{input:?} brings none");
            };
            assert_eq!(consumed, bytes.len(), "they count with the last byte");
            assert!(!handles.is_empty() && handles != Handles::TRUNCATED);
            assert_eq!(self.kept.insert(link, handles), None, "one message's");
        }
        for steps in 0.. {
            assert!(steps <= MAX_ACTIONS_PER_TURN, "{input:?}");
            let step = turn.next();
            self.recorded.step(&step);
            match step {
                Step::Do(Action::Send {
                    link,
                    bytes,
                    handles,
                }) => {
                    assert!(!bytes.is_empty() && !self.closed.contains(&link));
                    assert!(handles.is_empty() || whole_frame(bytes), "{bytes:?}");
                    self.lent.insert(link, (bytes.len(), handles));
                }
                Step::Do(Action::Close { link }) => {
                    assert!(self.closed.insert(link), "{link:?} is closed twice");
                    self.open.retain(|open| *open != link);
                    self.kept.remove(&link);
                }
                Step::Do(Action::Start(op)) => {
                    let phase = self.phase.expect("a machine that has started");
                    assert!(R::starts(&op, phase), "{op:?} in {phase}");
                    if let Some(handles) = R::takes(&op) {
                        let kept = self.kept.drain().map(|(_, handles)| handles).next();
                        assert_eq!(handles, kept.unwrap_or_default());
                    }
                    self.started += 1;
                }
                Step::Do(Action::Observe(Observation::Phase(to))) => {
                    if let Some(from) = self.phase.replace(to) {
                        assert!(R::leads(from, to), "from {from} to {to}");
                    }
                }
                Step::Do(Action::Cancel(_) | Action::Observe(_)) => {}
                Step::Wait(wait) => {
                    self.deadline = wait.deadline;
                    break;
                }
                Step::Done(_) => {
                    self.deadline = None;
                    break;
                }
            }
        }
        if input == Input::Deadline {
            assert!(self.deadline.is_none_or(|next| next > self.now));
        }
        consumed
    }

    /// Another machine, to which the same happens, does the same.
    pub(super) fn replays(&self, cut: usize) {
        self.recorded.replays::<Rooms>(cut);
    }

    fn link(&self, which: Which) -> LinkId {
        let found = match which {
            Which::Any(_) if self.open.is_empty() => None,
            Which::Any(index) => Some(index.get(&self.open)),
            Which::Nth(at) => self.open.get(at),
        };
        found.copied().unwrap_or(LinkId(9))
    }

    fn bytes(&mut self, link: LinkId, mut bytes: &[u8], handles: Handles) {
        while !bytes.is_empty() {
            let input = Input::Bytes {
                link,
                bytes,
                handles,
            };
            let consumed = self.input(input);
            assert!(consumed > 0 && consumed <= bytes.len());
            bytes = &bytes[consumed..];
        }
    }

    fn says(&mut self, link: LinkId, message: &Message<'_>, handles: Handles, other: Option<u16>) {
        let version = self.spoken.get(&link).copied().unwrap_or(1);
        let bytes = frame_of(other.unwrap_or(version), message);
        match message {
            Message::HelloAck { version, .. } => {
                self.spoken.entry(link).or_insert(*version);
            }
            Message::Hello(hello) => {
                self.spoken.entry(link).or_insert(hello.versions.max);
            }
            _ => {}
        }
        self.bytes(link, &bytes, handles);
    }

    fn wrote(&mut self, link: LinkId, count: impl Fn(usize) -> usize) {
        let (lent, handles) = self.lent.remove(&link).unwrap_or_default();
        let count = count(lent);
        self.input(Input::Wrote { link, count });
        if count == 0
            && let Some((_, again)) = self.lent.get(&link)
        {
            assert!(
                handles.is_empty() || *again == handles,
                "they have not left"
            );
        }
    }

    fn ends(&mut self, back: u32, report: handoff_core::op::Report<'_>) {
        let op = self.started.saturating_sub(back);
        // A ticket would only make a report of its own kind; a record can hold any.
        let mut room = [0; 2048];
        let record = postcard::to_slice(&(0_u64, 5_u32, op, report), &mut room);
        let (_, input, _) = decode_input(record.expect("room")).expect("a record");
        self.input(input);
    }

    pub(super) fn happens(&mut self, what: Happening) {
        self.names += 1;
        let fresh = LinkId(self.names);
        match what {
            Happening::Opened => {
                if R::SERVES {
                    self.open.push(fresh);
                }
                self.input(Input::Opened {
                    link: fresh,
                    peer: 1,
                });
            }
            Happening::Bytes(link, bytes, handles) => {
                self.bytes(self.link(link), &bytes, handles);
            }
            Happening::Said(link, what, handles, other) => {
                self.says(self.link(link), &what, handles, other);
            }
            Happening::Wrote(link, count) => {
                self.wrote(self.link(link), |lent| count.index(lent + 1));
            }
            Happening::WroteAll(link) => self.wrote(self.link(link), |lent| lent),
            Happening::Closed(link) => {
                let link = self.link(link);
                self.input(Input::Closed { link });
            }
            Happening::Ended(back, report) => self.ends(back, report),
            Happening::Linked(back, new) => {
                self.open.push(fresh);
                self.ends(back, linked(fresh, new));
            }
            Happening::Host(input) => {
                self.input(input);
            }
            Happening::Slept => {
                if let Some(deadline) = self.deadline {
                    self.now = deadline.max(self.now);
                    self.input(Input::Deadline);
                }
            }
            Happening::Passed(time) => {
                self.now = self.now.after(time);
                self.input(Input::Deadline);
            }
            Happening::EarlyDeadline => {
                self.input(Input::Deadline);
            }
        }
    }
}

/// Whether these bytes are one frame, no more and no less.
fn whole_frame(bytes: &[u8]) -> bool {
    let header = bytes
        .first_chunk()
        .map(|header| u32::from_le_bytes(*header));
    let len = header.and_then(|len| usize::try_from(len).ok());
    len.is_some_and(|len| len <= MAX_FRAME_LEN && len + 4 == bytes.len())
}

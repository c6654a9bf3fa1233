//! A machine to which anything happens, and what must hold for it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use handoff_core::op::{LockReport, Process, Report};
use handoff_core::record::decode_input;
use handoff_core::wire::{FrameReader, decode, encode};
use handoff_core::{Action, Inline, Input, Instant, LinkId, MAX_ACTIONS_PER_TURN, Machine, Step};

use crate::host::{Host, message, oddly, report};
use crate::script::{Happening, happenings};

/// The incumbent's process.
pub(crate) const OLD: Process = Process { pid: 100, start: 1 };
/// The successor's process.
pub(crate) const NEW: Process = Process { pid: 200, start: 2 };

/// Bytes of room that a link has each way: the least there may be, so that it fills up.
const ROOM: usize = 512;

/// A link as its peer sees it.
#[derive(Default)]
struct Peer {
    /// What the last `Send` lent and `Wrote` has not answered.
    lent: Vec<u8>,
    reader: FrameReader,
}

impl Peer {
    /// Reads what was written: a frame after the other, each of them a message.
    fn read(&mut self, mut bytes: &[u8], room: &mut [u8]) {
        while !bytes.is_empty() {
            let pushed = self.reader.push(room, bytes).expect("frames are sent");
            bytes = &bytes[pushed.consumed..];
            if let Some(frame) = self.reader.frame(room) {
                decode(2, frame.payload).expect("messages are sent");
                self.reader.clear();
            }
        }
    }
}

/// What the host knows of the writer lock.
struct Lock {
    /// This process holds it, and has not been asked to release it.
    ours: bool,
    /// The number of the last seal, and whether it is done.
    seal: Option<(u32, bool)>,
}

pub(crate) struct Subject<R: Host<L>, const L: usize> {
    machine: Machine<R, Inline<ROOM, ROOM>, L>,
    now: Instant,
    deadline: Option<Instant>,
    outcome: Option<R::Outcome>,
    /// Operations that have not ended.
    running: Vec<R::Op>,
    /// Names of all that were started, by their number.
    started: HashMap<u32, &'static str>,
    lock: Lock,
    names: u32,
    open: Vec<LinkId>,
    closed: HashSet<LinkId>,
    peers: HashMap<LinkId, Peer>,
    rooms: HashMap<LinkId, [u8; ROOM]>,
}

impl<R: Host<L>, const L: usize> Subject<R, L> {
    pub(crate) fn new(config: R::Config, open: &[LinkId]) -> Self {
        let mut subject = Self {
            machine: Machine::new(config),
            now: Instant::from_nanos(1),
            deadline: None,
            outcome: None,
            running: Vec::new(),
            started: HashMap::new(),
            lock: Lock {
                ours: R::SERVES,
                seal: None,
            },
            names: 1000,
            open: open.to_vec(),
            closed: HashSet::new(),
            peers: HashMap::new(),
            rooms: HashMap::new(),
        };
        subject.input(Input::Start);
        subject
    }

    /// Lives through the script, and then through some deadlines.
    pub(crate) fn live(&mut self, script: &[u8]) {
        for what in happenings(script) {
            self.happens(what);
        }
        for _ in 0..50 {
            self.happens(Happening::Slept);
        }
    }

    /// Hands one input in; returns how many bytes were taken. Misuse is allowed and changes nothing.
    fn input(&mut self, input: Input<'_>) -> usize {
        let before = *self.machine.state();
        let mut turn = match self.machine.handle(self.now, input) {
            Ok(turn) => turn,
            Err(misuse) => {
                assert_eq!(*self.machine.state(), before, "{misuse}");
                return usize::MAX;
            }
        };
        match input {
            Input::Wrote { link, count } => {
                if let Some(peer) = self.peers.get_mut(&link) {
                    let lent = std::mem::take(&mut peer.lent);
                    let room = self.rooms.entry(link).or_insert([0; ROOM]);
                    peer.read(&lent[..count], room);
                }
            }
            Input::Completed(done) => {
                let op = done.op().number();
                self.lock.ended(self.started[&op], op, &done.report());
            }
            _ => {}
        }
        let consumed = turn.consumed();
        let _ = turn.message();
        for steps in 0.. {
            assert!(steps <= MAX_ACTIONS_PER_TURN, "{input:?}");
            match turn.next() {
                Step::Do(action) => {
                    assert_eq!(self.outcome, None, "{action:?} after the end");
                    match action {
                        Action::Send { link, bytes } => {
                            assert!(!bytes.is_empty() && !self.closed.contains(&link));
                            self.peers.entry(link).or_default().lent = bytes.to_vec();
                        }
                        Action::Close { link } => {
                            assert!(self.closed.insert(link), "{link:?} is closed twice");
                            self.open.retain(|open| *open != link);
                        }
                        Action::Start(op) => {
                            let (number, name) = R::ticket(&op);
                            assert_eq!(self.started.insert(number, name), None);
                            self.lock.started(name, number);
                            self.running.push(op);
                        }
                        Action::Cancel(op) => assert!(self.started.contains_key(&op.number())),
                        Action::Observe(_) => {}
                    }
                }
                Step::Wait(wait) => {
                    assert_eq!(self.outcome, None, "it had ended");
                    self.deadline = wait.deadline;
                    break;
                }
                Step::Done(outcome) => {
                    assert_eq!(*self.outcome.get_or_insert(outcome), outcome);
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

    fn happens(&mut self, what: Happening<'_>) {
        self.names += 1;
        let link = LinkId(self.names);
        match what {
            Happening::Opened(peer) => {
                self.opens(link);
                let peer = u32::from(peer);
                self.input(Input::Opened { link, peer });
            }
            Happening::Bytes(link, bytes) => self.bytes(self.link(link), bytes),
            Happening::Said(link, what) => {
                let mut room = [0; ROOM];
                let version = u16::from(what == 0); // that of a Hello may be any
                let version = if what > 1 { 1 } else { version };
                let len = encode(version, &message(what), &mut room).expect("room");
                self.bytes(self.link(link), &room[..len]);
            }
            Happening::Wrote(link, count) => {
                let link = self.link(link);
                let lent = self.peers.get(&link).map_or(0, |peer| peer.lent.len());
                let count = usize::from(count) % (lent + 1);
                self.input(Input::Wrote { link, count });
            }
            Happening::WroteAll(link) => {
                let link = self.link(link);
                let count = self.peers.get(&link).map_or(0, |peer| peer.lent.len());
                self.input(Input::Wrote { link, count });
            }
            Happening::Closed(link) => {
                let link = self.link(link);
                self.input(Input::Closed { link });
                self.open.retain(|open| *open != link);
            }
            Happening::Ended(back, how) => {
                if let Some(last) = self.running.len().checked_sub(1) {
                    let at = last - usize::from(back) % self.running.len();
                    let done = R::end(self.running.remove(at), how, link);
                    self.links(&done.report());
                    self.input(Input::Completed(done));
                }
            }
            Happening::EndedOddly(back, how) => {
                let started = u32::try_from(self.started.len()).expect("few");
                self.ends_oddly(started.saturating_sub(u32::from(back)), how, link);
            }
            Happening::Foreign(op, how) => self.ends_oddly(op, how, link),
            Happening::Progress(sealed) => {
                let (total, revision) = (sealed.saturating_add(1), 7);
                self.input(Input::Progress {
                    sealed,
                    total,
                    revision,
                });
            }
            Happening::Unbound => {
                self.input(Input::Unbound);
            }
            Happening::Slept => {
                if let Some(deadline) = self.deadline {
                    self.now = deadline.max(self.now);
                    self.input(Input::Deadline);
                }
            }
            Happening::Passed(millis) => {
                self.now = self.now.after(Duration::from_millis(millis.into()));
                self.input(Input::Deadline);
            }
            Happening::Jumped(nanos) => self.jumps(Instant::from_nanos(nanos / 2)),
            Happening::EarlyDeadline => {
                self.input(Input::Deadline);
            }
            Happening::Recorded(record) => self.recorded(record),
        }
    }

    /// The clock may go back; for the machine it then stands still, and so do we.
    fn jumps(&mut self, to: Instant) {
        let before = self.now;
        self.now = to;
        self.input(Input::Progress {
            sealed: 0,
            total: 0,
            revision: 0,
        });
        self.now = before.max(to);
    }

    fn recorded(&mut self, record: &[u8]) {
        let record = [&[0], record].concat();
        let Ok((_, input, _)) = decode_input(&record) else {
            return;
        };
        match input {
            Input::Bytes { link, bytes } => self.bytes(link, bytes),
            Input::Wrote { link, count } => {
                let lent = self.peers.get(&link).map_or(0, |peer| peer.lent.len());
                let count = count.min(lent);
                self.input(Input::Wrote { link, count });
            }
            // A name is used once.
            Input::Opened { link, .. } if self.closed.contains(&link) => {}
            Input::Opened { link, .. } => {
                self.opens(link);
                self.input(input);
            }
            Input::Completed(done) => {
                self.running
                    .retain(|op| R::ticket(op).0 != done.op().number());
                if self.links(&done.report()) {
                    self.input(input);
                }
            }
            _ => {
                self.input(input);
            }
        }
    }

    fn ends_oddly(&mut self, op: u32, how: u8, link: LinkId) {
        let report = report(how, link);
        if self.links(&report) {
            oddly(op, &report, |input| self.input(input));
        }
    }

    /// Keeps the name of a link that a report brings; returns whether it may be used.
    fn links(&mut self, report: &Report<'_>) -> bool {
        let Report::Linked(linked) = report else {
            return true;
        };
        let fresh = !self.closed.contains(&linked.link);
        if fresh && !self.open.contains(&linked.link) {
            self.open.push(linked.link);
        }
        fresh
    }

    fn opens(&mut self, link: LinkId) {
        if R::SERVES && !self.open.contains(&link) {
            self.open.push(link);
        }
    }

    fn link(&self, which: u8) -> LinkId {
        let at = usize::from(which).checked_rem(self.open.len());
        at.map_or(LinkId(9), |at| self.open[at])
    }

    fn bytes(&mut self, link: LinkId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let consumed = self.input(Input::Bytes { link, bytes });
            assert!(consumed > 0 && consumed <= bytes.len());
            bytes = &bytes[consumed..];
        }
    }
}

impl Lock {
    /// What an operation needs when it is started.
    fn started(&mut self, name: &str, op: u32) {
        match name {
            "Seal" => self.seal = Some((op, false)),
            "ReleaseLock" => {
                let sealed = self.seal.take();
                assert!(
                    sealed.is_some_and(|(_, done)| done),
                    "released before a seal"
                );
                self.ours = false;
            }
            "Resume" => assert!(self.ours, "resumed without the lock"),
            "Open" => assert!(self.ours, "opened without the lock"),
            _ => {}
        }
    }

    fn ended(&mut self, name: &str, op: u32, report: &Report<'_>) {
        match (name, report) {
            ("Seal", Report::Sealed(_)) if self.seal == Some((op, false)) => {
                self.seal = Some((op, true));
            }
            ("ReleaseLock", Report::Failed(_))
            | ("TryLock", Report::Lock(LockReport::Taken { .. })) => self.ours = true,
            _ => {}
        }
    }
}

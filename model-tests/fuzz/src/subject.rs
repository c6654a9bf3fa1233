//! A machine to which anything happens, and what must hold for it.

use std::collections::{HashMap, HashSet};

use handoff_core::op::{Process, Report};
use handoff_core::wire::{Message, VersionRange};
use handoff_core::{
    Action, Handles, Inline, Input, Instant, LinkId, MAX_ACTIONS_PER_TURN, Machine, Observation,
    Step,
};

use crate::host::Host;
use crate::peer::{Peer, ROOM};
use crate::watch::{Lock, Trial};

/// The incumbent's process.
pub(crate) const OLD: Process = Process { pid: 100, start: 1 };
/// The successor's process.
pub(crate) const NEW: Process = Process { pid: 200, start: 2 };

/// What a subject is told of its machine's configuration.
pub(crate) struct Setup {
    /// The link that is open from the start.
    pub(crate) open: Option<LinkId>,
    pub(crate) versions: VersionRange,
    pub(crate) on_probation: bool,
}

pub(crate) struct Subject<R: Host<L>, const L: usize> {
    machine: Machine<R, Inline<ROOM, ROOM>, L>,
    versions: VersionRange,
    pub(crate) now: Instant,
    pub(crate) deadline: Option<Instant>,
    outcome: Option<R::Outcome>,
    /// Operations that have not ended.
    pub(crate) running: Vec<R::Op>,
    /// Names of all that were started, by their number.
    pub(crate) started: HashMap<u32, &'static str>,
    lock: Lock,
    trial: Trial,
    pub(crate) names: u32,
    pub(crate) open: Vec<LinkId>,
    pub(crate) closed: HashSet<LinkId>,
    /// Links whose end was observed; they may still be written to.
    lost: HashSet<LinkId>,
    pub(crate) peers: HashMap<LinkId, Peer>,
    /// The version of every frame after the handshake.
    pub(crate) spoken: HashMap<LinkId, u16>,
    /// Descriptors that came in and are wanted, until an operation takes them or their link is closed.
    kept: HashMap<LinkId, Handles>,
    /// Descriptors that there are to be sent.
    listeners: HashSet<Handles>,
}

/// What a message said that a turn completed.
#[derive(Clone, Copy, Debug)]
struct Heard {
    descriptors: usize,
    version: Option<u16>,
}

impl<R: Host<L>, const L: usize> Subject<R, L> {
    pub(crate) fn new(config: R::Config, setup: &Setup) -> Self {
        let mut subject = Self {
            machine: Machine::new(config),
            versions: setup.versions,
            now: Instant::from_nanos(1),
            deadline: None,
            outcome: None,
            running: Vec::new(),
            started: HashMap::new(),
            lock: Lock::new(R::SERVES),
            trial: if setup.on_probation {
                Trial::On
            } else {
                Trial::Over
            },
            names: 1000,
            open: setup.open.into_iter().collect(),
            closed: HashSet::new(),
            lost: HashSet::new(),
            peers: HashMap::new(),
            spoken: HashMap::new(),
            kept: HashMap::new(),
            listeners: HashSet::new(),
        };
        subject.input(Input::Start);
        subject
    }

    /// Hands one input in; returns how many bytes were taken. Misuse is allowed and changes nothing.
    pub(crate) fn input(&mut self, input: Input<'_>) -> usize {
        let before = *self.machine.state();
        let had_ended = self.outcome.is_some();
        let mut turn = match self.machine.handle(self.now, input) {
            Ok(turn) => turn,
            Err(misuse) => {
                assert_eq!(*self.machine.state(), before, "{misuse}");
                return usize::MAX;
            }
        };
        let (consumed, kept) = (turn.consumed(), turn.kept());
        let heard = turn.message().map(|message| Heard {
            descriptors: message.descriptors(),
            version: match message {
                Message::Hello(hello) => self.versions.highest_common(hello.versions),
                Message::HelloAck { version, .. } => Some(version),
                _ => None,
            },
        });
        let mut dismissed = false;
        match input {
            Input::Wrote { link, count } => {
                if let Some(peer) = self.peers.get_mut(&link) {
                    peer.wrote(count, self.spoken.get(&link).copied());
                }
            }
            Input::Completed(done) => {
                let op = done.op().number();
                self.lock.ended(self.started[&op], op, &done.report());
                if let Report::Listeners(listeners) = done.report() {
                    self.listeners.insert(listeners.handles);
                }
            }
            Input::Bytes {
                link,
                bytes,
                handles,
            } => {
                if kept {
                    assert!(R::awaits_handles(&before) && consumed == bytes.len() && !had_ended);
                    assert!(!handles.is_empty() && handles != Handles::TRUNCATED);
                    assert_eq!(self.kept.insert(link, handles), None, "{link:?}");
                }
                if let Some(version) = heard.and_then(|heard| heard.version) {
                    self.spoken.insert(link, version);
                }
            }
            Input::Probation(verdict) => dismissed = self.trial.judge(verdict) && !had_ended,
            _ => {}
        }
        for steps in 0.. {
            assert!(steps <= MAX_ACTIONS_PER_TURN, "{input:?}");
            match turn.next() {
                Step::Do(action) => {
                    assert_eq!(self.outcome, None, "{action:?} after the end");
                    match action {
                        Action::Send {
                            link,
                            bytes,
                            handles,
                        } => {
                            assert!(!self.closed.contains(&link));
                            let peer = self.peers.entry(link).or_default();
                            peer.lend(bytes, handles, &self.listeners);
                        }
                        Action::Close { link } => {
                            assert!(self.closed.insert(link), "{link:?} is closed twice");
                            self.open.retain(|open| *open != link);
                            self.kept.remove(&link);
                        }
                        Action::Start(op) => {
                            let (number, name) = R::ticket(&op);
                            assert_eq!(self.started.insert(number, name), None);
                            self.lock.started(name, number);
                            self.trial.started(name);
                            if let Some(handles) = R::adopts(&op) {
                                let came = heard.map(|heard| heard.descriptors);
                                assert_eq!(came, usize::try_from(handles.count).ok());
                                let before = self.kept.len();
                                self.kept.retain(|_, kept| *kept != handles);
                                let taken = before - self.kept.len();
                                assert_eq!(taken, usize::from(!handles.is_empty()));
                            }
                            self.running.push(op);
                        }
                        Action::Cancel(op) => assert!(self.started.contains_key(&op.number())),
                        Action::Observe(Observation::Lost(link, _)) => {
                            self.lost.insert(link);
                        }
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
        assert!(!dismissed || self.outcome.is_some(), "dismissed");
        self.settled(input, consumed, heard.is_some());
        if let Some(outcome) = self.outcome.filter(|_| !had_ended) {
            let times = |name: &str| self.started.values().filter(|op| **op == name).count();
            R::check(&outcome, times);
        }
        consumed
    }

    /// What must hold for descriptors after a turn.
    fn settled(&self, input: Input<'_>, consumed: usize, heard: bool) {
        if self.outcome.is_some() {
            return; // The adapter lets all of them go.
        }
        for link in self.kept.keys() {
            assert!(self.open.contains(link), "{link:?} is gone");
        }
        match input {
            Input::Closed { link } => assert!(!self.kept.contains_key(&link)),
            Input::Bytes {
                link,
                bytes,
                handles,
            } => {
                assert!(!heard || !self.kept.contains_key(&link), "nobody took them");
                // The incumbent takes none: whoever sends it some is not listened to any more.
                let taken = consumed == bytes.len() && !bytes.is_empty() && !handles.is_empty();
                if R::SERVES && taken && self.peers.contains_key(&link) {
                    assert!(self.lost.contains(&link), "{handles:?} were passed over");
                }
            }
            _ => {}
        }
    }
}

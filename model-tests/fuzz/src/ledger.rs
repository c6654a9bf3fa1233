//! What the host knows of a machine from its actions, and what must hold for them.

use std::collections::{HashMap, HashSet};

use handoff_core::op::Report;
use handoff_core::wire::{Message, MessageKind, Side, VersionRange};
use handoff_core::{Action, Handles, Input, LinkId, Observation};

use crate::host::Host;
use crate::peer::Peer;
use crate::subject::Setup;
use crate::watch::{Course, Lock, Trial};

pub(crate) struct Ledger<R: Host<L>, const L: usize> {
    versions: VersionRange,
    /// Operations that have not ended.
    pub(crate) running: Vec<R::Op>,
    /// Names of all that were started, by their number.
    pub(crate) started: HashMap<u32, &'static str>,
    lock: Lock,
    trial: Trial,
    course: Course,
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

/// A message that a turn completed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    kind: MessageKind,
    descriptors: usize,
    greeting: Option<Greeting>,
}

#[derive(Clone, Copy, Debug)]
enum Greeting {
    Offers(Side, VersionRange),
    Chooses(u16),
}

impl Heard {
    pub(crate) const fn new(message: &Message<'_>) -> Self {
        let greeting = match *message {
            Message::Hello(hello) => Some(Greeting::Offers(hello.side, hello.versions)),
            Message::HelloAck { version, .. } => Some(Greeting::Chooses(version)),
            _ => None,
        };
        Self {
            kind: message.kind(),
            descriptors: message.descriptors(),
            greeting,
        }
    }
}

impl<R: Host<L>, const L: usize> Ledger<R, L> {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self {
            versions: setup.versions,
            running: Vec::new(),
            started: HashMap::new(),
            lock: Lock::new(R::SERVES),
            trial: if setup.on_probation {
                Trial::On
            } else {
                Trial::Over
            },
            course: Course::new(setup.probation),
            open: setup.open.into_iter().collect(),
            closed: HashSet::new(),
            lost: HashSet::new(),
            peers: HashMap::new(),
            spoken: HashMap::new(),
            kept: HashMap::new(),
            listeners: HashSet::new(),
        }
    }

    /// How often an operation of this name was started.
    pub(crate) fn times(&self, name: &str) -> usize {
        self.started.values().filter(|op| **op == name).count()
    }

    /// The machine was told this, and took so many bytes and perhaps the descriptors.
    pub(crate) fn told(
        &mut self,
        input: &Input<'_>,
        consumed: usize,
        kept: bool,
        heard: Option<Heard>,
    ) {
        match *input {
            Input::Wrote { link, count } => {
                if let Some(peer) = self.peers.get_mut(&link) {
                    for kind in peer.wrote(count, self.spoken.get(&link).copied()) {
                        let speaks_v2 = |link| self.spoken.get(&link) == Some(&2);
                        self.course.said(link, kind, speaks_v2);
                    }
                }
            }
            Input::Completed(done) => {
                let op = done.op().number();
                self.lock.ended(self.started[&op], op, &done.report());
                self.course.ended(self.started[&op], &done.report());
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
                    assert_eq!(consumed, bytes.len());
                    assert!(!handles.is_empty() && handles != Handles::TRUNCATED);
                    assert_eq!(self.kept.insert(link, handles), None, "{link:?}");
                }
                if let Some(heard) = heard {
                    self.heard(link, heard);
                }
            }
            Input::Probation(verdict) => self.trial.judge(verdict),
            _ => {}
        }
    }

    fn heard(&mut self, link: LinkId, heard: Heard) {
        self.course.heard(heard.kind);
        let version = match heard.greeting {
            Some(Greeting::Offers(side, theirs)) => {
                self.course.greeted(link, side);
                self.versions.highest_common(theirs)
            }
            Some(Greeting::Chooses(version)) => Some(version),
            None => None,
        };
        if let Some(version) = version {
            self.spoken.insert(link, version);
        }
    }

    pub(crate) fn does(&mut self, action: Action<'_, R, L>, heard: Option<Heard>) {
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
                    self.adopted(handles, heard);
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

    /// An operation takes descriptors: those that came with the message of this turn.
    fn adopted(&mut self, handles: Handles, heard: Option<Heard>) {
        let said = heard.map(|heard| heard.descriptors);
        assert_eq!(said, usize::try_from(handles.count).ok());
        let before = self.kept.len();
        self.kept.retain(|_, kept| *kept != handles);
        let taken = before - self.kept.len();
        assert_eq!(taken, usize::from(!handles.is_empty()), "{handles:?}");
    }

    /// What must hold after a turn of a machine that has not ended.
    pub(crate) fn settled(&self, input: &Input<'_>, consumed: usize, heard: Option<Heard>) {
        assert!(!self.trial.is_dismissed(), "it has to leave");
        for link in self.kept.keys() {
            assert!(self.open.contains(link), "{link:?} is gone");
        }
        match *input {
            Input::Closed { link } => assert!(!self.kept.contains_key(&link)),
            Input::Bytes {
                link,
                bytes,
                handles,
            } => {
                let nobody = heard.is_some() && self.kept.contains_key(&link);
                assert!(!nobody, "nobody took what came with a message");
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

//! The reference: which messages are sent, and how many of them the link has been lent and has taken. It
//! knows no bytes.

use handoff_core::wire::{Hello, Message, Names, Revisions, Side, VersionRange};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest_state_machine::ReferenceStateMachine;

use super::NAMES;
use crate::world::{ID, OLD};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    Draining,
    Drained,
    Sealing,
    /// SealComplete is written, and kept back.
    Releasing,
    Sealed,
    /// The handoff was given up.
    Undone,
}

#[derive(Clone, Debug)]
pub(super) enum Transition {
    Beat,
    /// A question: for the listeners, or how the daemon is.
    Ask(bool),
    /// Its answer is there.
    Answer,
    Prepare,
    Drain(bool),
    SealRequest,
    Progress,
    Seal(bool),
    Release(bool),
    Abort,
    Garbage,
    /// The link takes all that was lent.
    TookAll,
    /// The link takes less than that, but some.
    TookPart(Index),
    /// The link takes nothing.
    TookNone,
}

#[derive(Clone, Debug)]
pub(super) struct Outbox {
    phase: Phase,
    pub(super) closing: bool,
    /// Whether the question that is open is for the listeners.
    asked: Option<bool>,
    pub(super) sent: Vec<String>,
    pub(super) lent: usize,
    pub(super) taken: usize,
    /// The message whose descriptors have not left yet.
    enclosed: Option<usize>,
}

impl Outbox {
    pub(super) fn is_idle(&self) -> bool {
        self.taken == self.sent.len()
    }

    /// How far the link may be lent: a frame with descriptors goes by itself.
    fn lendable(&self) -> usize {
        match self.enclosed {
            Some(at) if at == self.taken => at + 1,
            Some(at) => at,
            None => self.sent.len(),
        }
    }

    fn send(&mut self, text: String) {
        let idle = self.is_idle();
        self.sent.push(text);
        if idle {
            self.lent = self.lendable();
        }
    }

    fn answer(&mut self) {
        let listeners = self.asked.take() == Some(true);
        if listeners && self.enclosed.is_some() {
            self.send("Abort".into());
        } else if listeners {
            self.enclosed = Some(self.sent.len());
            let names = Names::from(NAMES);
            self.send(text(&Message::Listeners { names }));
        } else {
            self.send("Status".into());
        }
    }

    fn send_if_idle(&mut self, text: String) {
        if self.is_idle() {
            self.send(text);
        }
    }

    fn undo(&mut self, last_word: Option<&str>) {
        self.phase = Phase::Undone;
        if let Some(word) = last_word {
            self.send(word.into());
        }
    }

    /// What the peer, the daemon and the link may do now without breaking a rule (but for garbage).
    fn allowed(&self, transition: &Transition) -> bool {
        let heard = !self.closing;
        match transition {
            // What comes when the link is being closed, or is gone, is passed over.
            Transition::Beat => true,
            Transition::Abort | Transition::Garbage => heard,
            Transition::Ask(_) => heard && self.asked.is_none(),
            Transition::Answer => self.asked.is_some(),
            Transition::Prepare => heard && matches!(self.phase, Phase::Serving | Phase::Undone),
            Transition::SealRequest => {
                heard && matches!(self.phase, Phase::Drained | Phase::Undone)
            }
            Transition::Drain(_) => self.phase == Phase::Draining,
            Transition::Progress | Transition::Seal(_) => self.phase == Phase::Sealing,
            Transition::Release(_) => self.phase == Phase::Releasing,
            Transition::TookAll | Transition::TookPart(_) | Transition::TookNone => {
                self.lent > self.taken
            }
        }
    }
}

impl ReferenceStateMachine for Outbox {
    type State = Self;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Self> {
        let hello = Message::Hello(Hello {
            side: Side::Incumbent,
            pid: OLD.pid,
            build_id: &[],
            versions: VersionRange::SUPPORTED,
            capabilities: 0,
        });
        Just(Self {
            phase: Phase::Serving,
            closing: false,
            asked: None,
            sent: vec![text(&hello)],
            lent: 1,
            taken: 0,
            enclosed: None,
        })
        .boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Transition> {
        let steady = [
            Transition::Beat,
            Transition::Prepare,
            Transition::Drain(true),
            Transition::SealRequest,
            Transition::Progress,
            Transition::Seal(true),
            Transition::Release(true),
            Transition::TookAll,
            Transition::Ask(true),
            Transition::Answer,
        ];
        let rare = [
            Transition::Ask(false),
            Transition::TookNone,
            Transition::Drain(false),
            Transition::Seal(false),
            Transition::Release(false),
            Transition::Abort,
            Transition::Garbage,
        ];
        let mut choices: Vec<_> = steady
            .iter()
            .cycle()
            .take(40)
            .chain(&rare)
            .cloned()
            .collect();
        choices.retain(|choice| state.allowed(choice));
        let part = any::<Index>().prop_map(Transition::TookPart);
        prop_oneof![3 => select(choices), 1 => part].boxed()
    }

    fn preconditions(state: &Self, transition: &Transition) -> bool {
        state.allowed(transition)
    }

    fn apply(mut state: Self, transition: &Transition) -> Self {
        match transition {
            Transition::Ask(listeners) => state.asked = Some(*listeners),
            Transition::Answer => state.answer(),
            Transition::Beat if state.closing => {}
            // While a hook runs, heartbeats are not answered: a timer of our own sends them.
            Transition::Beat => {
                if !matches!(
                    state.phase,
                    Phase::Draining | Phase::Sealing | Phase::Releasing
                ) {
                    state.send_if_idle(text(&Message::Heartbeat { ts_ms: 5000 }));
                }
            }
            Transition::Prepare if state.phase == Phase::Serving => state.phase = Phase::Draining,
            Transition::SealRequest if state.phase == Phase::Drained => {
                state.phase = Phase::Sealing;
            }
            Transition::Prepare | Transition::SealRequest => state.send("Abort".into()),
            Transition::Drain(true) => {
                state.phase = Phase::Drained;
                state.send(text(&Message::Drained {
                    open_connections: 4,
                    accept_closed: true,
                }));
            }
            Transition::Drain(false) => state.undo(Some("Abort")),
            Transition::Progress => state.send_if_idle(text(&Message::SealProgress {
                sealed: 1,
                total: 2,
                revision: 3,
            })),
            Transition::Seal(true) => state.phase = Phase::Releasing,
            Transition::Release(true) => {
                state.phase = Phase::Sealed;
                state.send(text(&Message::SealComplete {
                    id: ID,
                    revisions: Revisions::from(&[1, 300][..]),
                    fingerprint: [9; 32],
                }));
            }
            Transition::Seal(false) | Transition::Release(false) => {
                state.undo(Some("SealFailed"));
            }
            Transition::Abort if state.phase == Phase::Serving => {}
            Transition::Abort => state.undo(None),
            Transition::Garbage => {
                state.undo(None);
                state.closing = true;
                state.asked = None;
            }
            Transition::TookAll => {
                state.taken = state.lent;
                state.enclosed = state.enclosed.filter(|at| *at >= state.taken);
                state.lent = state.lendable();
            }
            Transition::TookPart(_) => {
                state.enclosed = state.enclosed.filter(|at| *at != state.taken);
                state.lent = state.lendable();
            }
            Transition::TookNone => state.lent = state.lendable(),
        }
        state
    }
}

/// A message in words; of one that carries words or counts of its own, the kind.
pub(super) fn text(message: &Message<'_>) -> String {
    match message {
        Message::Abort { .. } | Message::SealFailed { .. } | Message::Status { .. } => {
            message.kind().to_string()
        }
        _ => format!("{message:?}"),
    }
}

//! What happens on the incumbent's sessions: which message is allowed, and which cue it is.

use core::fmt::Write;

use super::step::Step;
use super::{Cue, Question, Rebind, Session, Trial};
use crate::cause::Reason;
use crate::machine::Room;
use crate::text::Text;
use crate::violation::Violation;
use crate::wire::{HandoffId, Message, Side};

impl<B: Room, const L: usize> Step<'_, '_, B, L> {
    pub(super) fn greet(&mut self, at: usize, peer: u32) {
        let until = self.now.after(self.config.hello);
        if let Some(session) = self.state.sessions.get_mut(at) {
            *session = Session::Greeting { peer, until };
        }
        self.out.send(
            at,
            &self
                .config
                .identity
                .hello(Side::Incumbent, self.config.versions),
        );
    }

    pub(super) fn heard(&mut self, at: usize) {
        if let Some(Session::Acknowledged { heard, .. }) = self.state.sessions.get_mut(at) {
            *heard = self.now;
        }
        self.owner_lives(at);
    }

    pub(super) fn lost(&mut self, at: usize) {
        if let Some(session) = self.state.sessions.get_mut(at) {
            *session = Session::Vacant;
        }
        if self.state.former == Some(at) {
            self.state.former = None;
        }
        if self.state.owns(at) {
            self.state.cause = Reason::SessionLost;
            self.cue(Cue::OwnerLost);
        }
    }

    pub(super) fn message(&mut self, at: usize, message: &Message<'_>) -> Result<(), Violation> {
        let allowed = match self.state.sessions.get(at).copied() {
            Some(Session::Greeting { .. }) => self.acknowledge(at, message)?,
            Some(Session::Acknowledged { id, given_up, .. }) => {
                if let Some(found) = message.id().filter(|found| *found != id) {
                    return Err(Violation::WrongId {
                        expected: id,
                        found,
                    });
                }
                self.request(at, id, given_up, message)
            }
            _ => true,
        };
        if allowed {
            return Ok(());
        }
        Err(Violation::Unexpected {
            kind: message.kind(),
            state: self.state.phase.name(),
        })
    }

    fn acknowledge(&mut self, at: usize, message: &Message<'_>) -> Result<bool, Violation> {
        let Message::HelloAck { version, id } = *message else {
            return Ok(false);
        };
        self.config.versions.admit(version)?;
        self.out.negotiated(at, version);
        if let Some(session) = self.state.sessions.get_mut(at) {
            *session = Session::Acknowledged {
                peer: session.peer().unwrap_or_default(),
                id,
                heard: self.now,
                given_up: false,
                asked: None,
            };
        }
        Ok(true)
    }

    /// A message of an acknowledged session. Returns whether it is allowed.
    fn request(&mut self, at: usize, id: HandoffId, given_up: bool, message: &Message<'_>) -> bool {
        let owns = self.state.owns(at);
        match message {
            Message::Heartbeat { .. } => {
                if !self.state.in_hook() {
                    self.heartbeat(at);
                }
                true
            }
            Message::PrepareHandoff { .. } if owns => false,
            Message::PrepareHandoff { .. } if given_up => self.refuse(at, id, Reason::GivenUp),
            Message::PrepareHandoff { .. } if self.state.trial == Trial::On => {
                self.refuse(at, id, Reason::OnProbation)
            }
            Message::PrepareHandoff { .. } if self.state.straggler.is_some() => {
                self.refuse(at, id, Reason::HookRunning)
            }
            Message::PrepareHandoff { .. } => {
                // A bind under way must not take the control path from a successor that has it.
                let binding = matches!(self.state.rebind, Rebind::Running { .. });
                let cue = if matches!(self.state.trial, Trial::Confirming { .. }) {
                    Cue::PrepareEarly
                } else {
                    Cue::Prepare
                };
                !binding && self.cue(cue) || self.refuse(at, id, Reason::Busy)
            }
            Message::SealRequest { .. } | Message::Commit { .. } if given_up => {
                self.refuse(at, id, Reason::GivenUp)
            }
            Message::SealRequest { .. } => owns && self.cue(Cue::SealRequest),
            Message::Commit { .. } => owns && self.cue(Cue::Commit),
            Message::Abort { reason, .. } => !owns || self.undo(Cue::Abort, reason),
            Message::ResumeAfterAbort { .. } => !owns || self.undo(Cue::Resume, ""),
            Message::ListenersRequest => self.ask(at, Question::Listeners),
            Message::StatusRequest => self.ask(at, Question::Status),
            _ => false,
        }
    }

    fn undo(&mut self, cue: Cue, reason: &str) -> bool {
        self.trouble(Reason::Aborted, reason);
        self.cue(cue)
    }

    pub(super) fn refuse(&mut self, at: usize, id: HandoffId, reason: Reason) -> bool {
        let mut text: Text = Text::default();
        let _ = match reason {
            Reason::Busy => write!(text, "{reason} (the incumbent is {})", self.state.phase),
            _ => write!(text, "{reason}"),
        };
        self.out.send(
            at,
            &Message::Abort {
                id,
                reason: text.as_str(),
            },
        );
        true
    }

    pub(super) fn heartbeat(&mut self, at: usize) {
        self.out.send_if_idle(
            at,
            &Message::Heartbeat {
                ts_ms: self.now.as_millis(),
            },
        );
    }
}

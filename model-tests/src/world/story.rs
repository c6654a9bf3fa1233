//! The story of a run: what happened in it, to be read or drawn.

use std::fmt;

use super::{Body, Call, Move, Result, World};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A move, in words.
    Step(String),
    /// A process was killed, by a fault.
    Killed(String),
    /// A message was sent.
    Sent {
        /// By whom.
        from: String,
        /// To whom.
        to: String,
        /// Its kind.
        kind: String,
        /// All of it.
        message: String,
    },
    /// A machine asked for an operation.
    Started(String, String),
    /// An operation took effect: whose, which, and what came of it.
    Came(String, String, String),
    /// A machine let something be seen.
    Seen(String, String),
    /// A machine ended.
    Ended(String, String),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(words) => f.write_str(words),
            Self::Killed(who) => write!(f, "{who} is KILLED"),
            Self::Sent {
                from, to, message, ..
            } => write!(f, "    {from} → {to}: {message}"),
            Self::Started(who, call) => write!(f, "    {who} starts {call}"),
            Self::Came(who, call, result) => write!(f, "{who}: {call} comes to {result}"),
            Self::Seen(who, what) => write!(f, "    {who}: {what}"),
            Self::Ended(who, words) => write!(f, "    {who} ends: {words}"),
        }
    }
}

impl World {
    /// Keeps an account of each move from here on.
    pub fn tell(&mut self) {
        self.story = Some(Vec::new());
    }

    /// Keeps none.
    pub fn hush(&mut self) {
        self.story = None;
    }

    /// What happened since this was asked last.
    pub fn story(&mut self) -> Vec<Event> {
        self.story.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn note(&mut self, event: impl FnOnce(&Self) -> Event) {
        if self.story.is_some() {
            let event = event(self);
            self.story.get_or_insert_default().push(event);
        }
    }

    /// The phase of the machine in a process, which is called as in stories; `None`: there is none.
    pub fn phase(&self, who: &str) -> Option<String> {
        let at = (0..self.processes.len()).find(|at| self.called(*at) == who)?;
        match &self.processes[at].body {
            Body::Incumbent(machine) => Some(machine.state().phase().to_string()),
            Body::Successor(machine) => Some(machine.state().phase().to_string()),
            Body::Supervisor(machine) => Some(machine.state().phase().to_string()),
            Body::Idle => None,
        }
    }

    /// A process as stories name it.
    pub(crate) fn called(&self, at: usize) -> String {
        let process = &self.processes[at];
        format!("{}{}", process.name, process.pid - super::PIDS)
    }

    /// What a move does, in words.
    pub fn describe(&self, step: Move) -> Event {
        let name = |at: u8| self.called(usize::from(at));
        let words = match step {
            Move::Read(at, conn) => {
                let conn = &self.conns[usize::from(conn)];
                let end = usize::from(conn.ends[0] != usize::from(at));
                match conn.unread[end].front() {
                    _ if !conn.known[end] => format!("{} accepts", name(at)),
                    Some(frame) => format!("{} reads {}", name(at), frame.kind),
                    None => format!("{} sees the end of a connection", name(at)),
                }
            }
            Move::Effect(at, op, prospect) => {
                let call = self.processes[usize::from(at)].pending[usize::from(op)].call;
                let prospects = self.prospects(usize::from(at), call);
                let result: Result = prospects[usize::from(prospect)].0;
                return Event::Came(name(at), call_name(call), format!("{result:?}"));
            }
            Move::Report(at, op) => {
                let pending = self.processes[usize::from(at)].pending[usize::from(op)];
                format!("{}: {} is reported", name(at), call_name(pending.call))
            }
            Move::Clock(at) => format!("{} looks at the clock", name(at)),
            Move::Reap(at) => format!("{} is gone, and its lock", name(at)),
            Move::Look(at) => format!("{} looks around", name(at)),
            Move::HandOver(at) => format!("{} begins another handoff", name(at)),
            Move::Ask(at) => format!("{} asks for the listeners", name(at)),
            Move::Inquire => "somebody asks how the incumbent is".to_owned(),
            Move::Tick => {
                let by = self.next_due().unwrap_or(self.now).since(self.now);
                match by.subsec_millis() {
                    0 => format!("{} s pass by", by.as_secs()),
                    _ => format!("{} ms pass by", by.as_millis()),
                }
            }
            Move::Restart => "S is started again".to_owned(),
            Move::Unlink => "the control path is REMOVED".to_owned(),
            Move::Notice(at) => format!("{} notices that its control path is gone", name(at)),
            Move::Stall(at, op) => {
                let call = self.processes[usize::from(at)].pending[usize::from(op)].call;
                format!("{}: {call:?} is STALLED", name(at))
            }
            Move::Kill(at) => return Event::Killed(name(at)),
            Move::Freeze(at) => format!("{} is FROZEN", name(at)),
            Move::Thaw(at) => format!("{} THAWS", name(at)),
        };
        Event::Step(words)
    }
}

/// An operation, and whom it is for.
pub(crate) fn call_name(call: Call) -> String {
    match call {
        Call::Kill(pid) => format!("Kill({})", pid.saturating_sub(super::PIDS)),
        Call::WriteJournal(entry) => format!("WriteJournal({:?})", entry.stage),
        Call::Probe(_) => "Probe".to_owned(),
        Call::Serve(_) => "Serve".to_owned(),
        Call::WatchProbation(..) => "WatchProbation".to_owned(),
        other => format!("{other:?}"),
    }
}

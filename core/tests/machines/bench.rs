//! One machine on a bench: a test says what happens to it and sees what it does.

use std::collections::HashMap;
use std::time::Duration;

use handoff_core::wire::{FrameReader, Message, decode, encode};
use handoff_core::{
    Action, Handles, Inline, Input, Instant, LinkId, Machine, Misuse, Observation, Role, Step, Wait,
};

pub(crate) struct Bench<R: Role<L>, const L: usize> {
    pub(crate) machine: Machine<R, Inline, L>,
    pub(crate) now: Instant,
    /// Operations that were started and have not ended.
    pub(crate) ops: Vec<R::Op>,
    /// What was observed: `Draining`, `lost 1: closed by the peer`, `trouble: drain failed`.
    pub(crate) seen: Vec<String>,
    /// All messages that were sent, as text.
    pub(crate) sent: Vec<String>,
    pub(crate) wait: Option<Wait<R::Why>>,
    pub(crate) outcome: Option<R::Outcome>,
    /// Whether what is sent is taken by the link at once.
    pub(crate) takes: bool,
    /// Whether the descriptors of the last input are to be kept.
    pub(crate) kept: bool,
    /// The version that a link speaks, once a HelloAck has been heard or sent.
    spoken: HashMap<u32, u16>,
}

impl<R: Role<L>, const L: usize> Bench<R, L> {
    /// A machine that has started.
    pub(crate) fn new(config: R::Config) -> Self {
        let mut bench = Self {
            machine: Machine::new(config),
            now: Instant::from_nanos(5_000_000_000),
            ops: Vec::new(),
            seen: Vec::new(),
            sent: Vec::new(),
            wait: None,
            outcome: None,
            takes: true,
            kept: false,
            spoken: HashMap::new(),
        };
        bench.input(Input::Start);
        bench
    }

    /// Hands an input in and returns what the machine does, each as a short text: `send 1 Hello`,
    /// `send 1 Listeners and 2 descriptors`, `start Drain`, `cancel`, `close 1`, `done`.
    pub(crate) fn input(&mut self, input: Input<'_>) -> Vec<String> {
        self.offer(input).expect("a legal input").0
    }

    /// The same; also returns how many bytes were taken.
    pub(crate) fn offer(&mut self, input: Input<'_>) -> Result<(Vec<String>, usize), Misuse> {
        let mut acts = Vec::new();
        let mut written = Vec::new();
        let mut turn = self.machine.handle(self.now, input)?;
        let (consumed, kept) = (turn.consumed(), turn.kept());
        loop {
            match turn.next() {
                Step::Do(Action::Send {
                    link,
                    bytes,
                    handles,
                }) => {
                    let also = match handles {
                        Handles::NONE => String::new(),
                        some => format!(" and {some}"),
                    };
                    for (kind, text, chosen) in messages(bytes) {
                        acts.push(format!("send {} {kind}{also}", link.0));
                        self.sent.push(text);
                        self.spoken.extend(chosen.map(|version| (link.0, version)));
                    }
                    written.push((link, bytes.len()));
                }
                Step::Do(Action::Start(op)) => {
                    let text = format!("{op:?}");
                    let name: String = text.chars().take_while(|c| c.is_alphabetic()).collect();
                    acts.push(format!("start {name}"));
                    self.ops.push(op);
                }
                Step::Do(Action::Cancel(_)) => acts.push("cancel".into()),
                Step::Do(Action::Close { link }) => acts.push(format!("close {}", link.0)),
                Step::Do(Action::Observe(Observation::Phase(phase))) => {
                    self.seen.push(phase.to_string());
                }
                Step::Do(Action::Observe(Observation::Lost(link, loss))) => {
                    self.seen.push(format!("lost {}: {loss}", link.0));
                }
                Step::Do(Action::Observe(Observation::Trouble(cause))) => {
                    self.seen.push(format!("trouble: {cause}"));
                }
                Step::Wait(wait) => {
                    self.wait = Some(wait);
                    break;
                }
                Step::Done(outcome) => {
                    if self.outcome.is_none() {
                        acts.push("done".into());
                    }
                    self.outcome = Some(outcome);
                    self.wait = None;
                    break;
                }
            }
        }
        for (link, count) in written {
            if self.takes {
                acts.extend(self.input(Input::Wrote { link, count }));
            }
        }
        self.kept = kept;
        Ok((acts, consumed))
    }

    /// The peer on `link` says something, in the version that was agreed on; in version 1 before that.
    pub(crate) fn hear(&mut self, link: u32, message: &Message<'_>) -> Vec<String> {
        self.hear_with(link, message, Handles::NONE)
    }

    /// The same, with descriptors.
    pub(crate) fn hear_with(
        &mut self,
        link: u32,
        message: &Message<'_>,
        handles: Handles,
    ) -> Vec<String> {
        let version = self.spoken.get(&link).copied().unwrap_or(1);
        if let Message::HelloAck { version, .. } = *message {
            self.spoken.insert(link, version);
        }
        self.bytes_with(link, &frame_of(version, message), handles)
    }

    /// Bytes arrive on `link`; they are handed in until all are taken.
    pub(crate) fn bytes(&mut self, link: u32, bytes: &[u8]) -> Vec<String> {
        self.bytes_with(link, bytes, Handles::NONE)
    }

    /// The same, with descriptors.
    pub(crate) fn bytes_with(
        &mut self,
        link: u32,
        mut bytes: &[u8],
        handles: Handles,
    ) -> Vec<String> {
        let link = LinkId(link);
        let mut acts = Vec::new();
        while !bytes.is_empty() {
            let input = Input::Bytes {
                link,
                bytes,
                handles,
            };
            let (more, consumed) = self.offer(input).expect("legal");
            acts.extend(more);
            assert!(consumed > 0, "bytes are taken or the link is gone");
            bytes = &bytes[consumed..];
        }
        acts
    }

    /// The link ends.
    pub(crate) fn lose(&mut self, link: u32) -> Vec<String> {
        let link = LinkId(link);
        self.input(Input::Closed { link })
    }

    /// Sleeps exactly until the next deadline.
    pub(crate) fn sleep(&mut self) -> Vec<String> {
        let deadline = self.wait.and_then(|wait| wait.deadline);
        self.now = deadline.expect("something is due").max(self.now);
        let acts = self.input(Input::Deadline);
        let next = self.wait.and_then(|wait| wait.deadline);
        assert!(next.is_none_or(|next| next > self.now), "{next:?}");
        acts
    }

    /// Sleeps from deadline to deadline for this long, as a driver does; returns all that was done.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<String> {
        let end = self.now.after(time);
        let mut acts = Vec::new();
        while let Some(next) = self.wait.and_then(|wait| wait.deadline)
            && next <= end
        {
            acts.extend(self.sleep());
        }
        self.now = end;
        acts
    }

    /// What the next deadline is for, and how far away it is.
    pub(crate) fn waits_for(&self) -> (String, Duration) {
        let wait = self.wait.expect("not ended");
        let deadline = wait.deadline.expect("something is due");
        let why = wait.why.map_or("to close".into(), |why| why.to_string());
        (why, deadline.since(self.now))
    }

    /// The machine's end, as text.
    pub(crate) fn end(&self) -> String {
        self.outcome.expect("ended").to_string()
    }

    pub(crate) fn has_seen(&self, what: &str) -> bool {
        self.seen.iter().any(|seen| seen.contains(what))
    }
}

/// Ends the operation that the pattern names, with the completion that its ticket makes.
macro_rules! finish {
    ($bench:expr, $pattern:pat => $completion:expr) => {{
        #[allow(unused_variables, reason = "the first match only looks")]
        let at = $bench.ops.iter().position(|op| matches!(op, $pattern));
        let at = at.expect(concat!(
            "no operation is running that is ",
            stringify!($pattern)
        ));
        let done = match $bench.ops.remove(at) {
            $pattern => $completion,
            #[allow(unreachable_patterns, reason = "not for every pattern")]
            _ => unreachable!(),
        };
        $bench.input(handoff_core::Input::Completed(done))
    }};
}
pub(crate) use finish;

/// A message as a frame of version 1.
pub(crate) fn frame(message: &Message<'_>) -> Vec<u8> {
    frame_of(1, message)
}

pub(crate) fn frame_of(version: u16, message: &Message<'_>) -> Vec<u8> {
    let mut room = [0; 1024];
    let len = encode(version, message, &mut room).expect("room enough");
    room[..len].to_vec()
}

/// The messages in bytes that were sent: kind and text of each, and the version that it chose.
fn messages(mut bytes: &[u8]) -> Vec<(String, String, Option<u16>)> {
    let (mut found, mut room) = (Vec::new(), [0; 1024]);
    let mut reader = FrameReader::new();
    while !bytes.is_empty() {
        let pushed = reader.push(&mut room, bytes).expect("frames of ours");
        bytes = &bytes[pushed.consumed..];
        match reader.frame(&room) {
            Some(frame) => {
                let message = decode(frame.version, frame.payload).expect("a message of ours");
                let chosen = match message {
                    Message::HelloAck { version, .. } => Some(version),
                    _ => None,
                };
                found.push((message.kind().to_string(), format!("{message:?}"), chosen));
            }
            None => found.push(("a part".into(), String::new(), None)),
        }
        reader.clear();
    }
    found
}

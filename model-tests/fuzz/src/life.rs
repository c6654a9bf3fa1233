//! What happens to a subject, from a script.

use std::time::Duration;

use handoff_core::op::{Report, Verdict};
use handoff_core::record::decode_input;
use handoff_core::wire::{Message, encode};
use handoff_core::{Handles, Input, Instant, LinkId};

use crate::host::{Host, oddly, report};
use crate::peer::{Peer, ROOM};
use crate::said::message;
use crate::script::{Happening, happenings};
use crate::subject::Subject;

impl<R: Host<L>, const L: usize> Subject<R, L> {
    /// Lives through the script, and then through some deadlines.
    pub(crate) fn live(&mut self, script: &[u8]) {
        for what in happenings(script) {
            self.happens(what);
        }
        for _ in 0..50 {
            self.happens(Happening::Slept);
        }
    }

    fn happens(&mut self, what: Happening<'_>) {
        let link = self.name();
        match what {
            Happening::Opened(peer) => {
                self.opens(link);
                let peer = u32::from(peer);
                self.input(Input::Opened { link, peer });
            }
            Happening::Bytes(link, bytes) => self.bytes(self.link(link), bytes, Handles::NONE),
            Happening::BytesWith(link, bytes, handles) => {
                self.bytes(self.link(link), bytes, handles);
            }
            Happening::Sent(link, whats, cut, handles) => {
                let link = self.link(link);
                let stream = self.frames(link, whats);
                let (front, rest) = stream.split_at(usize::from(cut) % (stream.len() + 1));
                self.bytes(link, front, handles);
                self.bytes(link, rest, Handles::NONE);
            }
            Happening::Misspoken(link, what) => {
                let link = self.link(link);
                let spoken = self.ledger.spoken.get(&link).copied();
                let other = if spoken == Some(2) { 1 } else { 2 };
                self.bytes(link, &frame(other, &message(what)), Handles::NONE);
            }
            Happening::Judged(how) => {
                let verdicts = [Verdict::Committed, Verdict::Orphaned, Verdict::Dismissed];
                self.input(Input::Probation(verdicts[usize::from(how) % 3]));
            }
            Happening::Said(link, what) => {
                let link = self.link(link);
                self.bytes(link, &self.frames(link, &[what]), Handles::NONE);
            }
            Happening::Wrote(link, count) => {
                let link = self.link(link);
                let lent = self.ledger.peers.get(&link).map_or(0, Peer::lent);
                let count = usize::from(count) % (lent + 1);
                self.input(Input::Wrote { link, count });
            }
            Happening::WroteAll(link) => {
                let link = self.link(link);
                let count = self.ledger.peers.get(&link).map_or(0, Peer::lent);
                self.input(Input::Wrote { link, count });
            }
            Happening::Closed(link) => {
                let link = self.link(link);
                self.input(Input::Closed { link });
                self.ledger.open.retain(|open| *open != link);
            }
            Happening::Ended(back, how) => {
                if let Some(last) = self.ledger.running.len().checked_sub(1) {
                    let at = last - usize::from(back) % self.ledger.running.len();
                    let done = R::end(self.ledger.running.remove(at), how, link);
                    self.links(&done.report());
                    self.input(Input::Completed(done));
                }
            }
            Happening::EndedOddly(back, how) => {
                let started = u32::try_from(self.ledger.started.len()).expect("few");
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

    /// A name for a link, which neither a script nor a record has used.
    fn name(&mut self) -> LinkId {
        loop {
            self.names += 1;
            let link = LinkId(self.names);
            if !self.ledger.open.contains(&link) && !self.ledger.closed.contains(&link) {
                return link;
            }
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
            Input::Wrote { link, count } => {
                let lent = self.ledger.peers.get(&link).map_or(0, Peer::lent);
                let count = count.min(lent);
                self.input(Input::Wrote { link, count });
            }
            // A name is used once.
            Input::Opened { link, .. } if self.ledger.closed.contains(&link) => {}
            Input::Opened { link, .. } => {
                self.opens(link);
                self.input(input);
            }
            Input::Completed(done) => {
                self.ledger
                    .running
                    .retain(|op| R::ticket(op).0 != done.op().number());
                if self.links(&done.report()) {
                    self.input(input);
                }
            }
            // Of bytes, those that a turn does not take are in the record once more.
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
        let fresh = !self.ledger.closed.contains(&linked.link);
        if fresh && !self.ledger.open.contains(&linked.link) {
            self.ledger.open.push(linked.link);
        }
        fresh
    }

    fn opens(&mut self, link: LinkId) {
        if R::SERVES && !self.ledger.open.contains(&link) {
            self.ledger.open.push(link);
        }
    }

    fn link(&self, which: u8) -> LinkId {
        let at = usize::from(which).checked_rem(self.ledger.open.len());
        at.map_or(LinkId(9), |at| self.ledger.open[at])
    }

    /// Descriptors count with the last of the bytes, so they are handed in with every rest.
    fn bytes(&mut self, link: LinkId, mut bytes: &[u8], handles: Handles) {
        loop {
            let consumed = self.input(Input::Bytes {
                link,
                bytes,
                handles,
            });
            assert!(consumed <= bytes.len());
            assert!(consumed > 0 || bytes.is_empty());
            bytes = &bytes[consumed..];
            if bytes.is_empty() {
                return;
            }
        }
    }

    /// Messages in the version that the link speaks, or will once it has heard the `HelloAck` among them.
    fn frames(&self, link: LinkId, whats: &[u8]) -> Vec<u8> {
        let mut spoken = self.ledger.spoken.get(&link).copied();
        let mut stream = Vec::new();
        for what in whats.iter().take(32) {
            let message = message(*what);
            let version = match message {
                Message::Hello(_) => u16::from(*what == 0), // it may be any
                _ => spoken.unwrap_or(1),
            };
            stream.extend(frame(version, &message));
            if let Message::HelloAck { version, .. } = message {
                spoken = spoken.or(Some(version));
            }
        }
        stream
    }
}

fn frame(version: u16, message: &Message<'_>) -> Vec<u8> {
    let mut room = [0; ROOM];
    let len = encode(version, message, &mut room).expect("room");
    room[..len].to_vec()
}

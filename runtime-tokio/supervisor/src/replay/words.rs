//! Inputs and deeds in words, a line each.

use std::time::Duration;

use handoff_std::core::op::Completion;
use handoff_std::core::record::{Deed, DeedOf};
use handoff_std::core::wire::{FrameReader, HEADER_LEN, Message, decode};
use handoff_std::core::{Handles, Input, Instant, Role};

/// The longest text that is shown whole, in characters.
const LONGEST: usize = 300;

/// Says things by the time that has passed since the beginning.
pub(super) struct Words {
    pub(super) began: Instant,
}

impl Words {
    /// What happened.
    pub(super) fn input(&self, input: &Input<'_>, message: Option<&Message<'_>>) -> String {
        let text = match *input {
            Input::Start => "start".into(),
            Input::Opened { link, peer: 0 } => format!("link {} opens", link.0),
            Input::Opened { link, peer } => format!("link {} opens, to pid {peer}", link.0),
            Input::Bytes {
                link,
                bytes,
                handles,
            } => {
                let count = bytes.len();
                let what = match message {
                    Some(message) => format!("{message:?}"),
                    None => "no whole message".into(),
                };
                format!(
                    "link {} says {what} ({count} bytes{})",
                    link.0,
                    with(handles)
                )
            }
            Input::Wrote { link, count: 0 } => format!("link {} takes bytes again", link.0),
            Input::Wrote { link, count } => format!("link {} has taken {count} bytes", link.0),
            Input::Closed { link } => format!("link {} is closed", link.0),
            Input::Completed(done) => completed(&done),
            Input::Progress {
                sealed,
                total,
                revision,
            } => format!("{sealed} of {total} shards are sealed, up to revision {revision}"),
            Input::Unbound => "the control path no longer leads here".into(),
            Input::Deadline => "the deadline has come".into(),
            Input::Probation(verdict) => format!("the probation has ended: {verdict:?}"),
        };
        self.line(&text)
    }

    /// What was done.
    pub(super) fn deed<R: Role<L>, const L: usize>(&self, deed: &DeedOf<'_, R, L>) -> String {
        let text = match *deed {
            Deed::Took { bytes, kept: false } => format!("takes {bytes} bytes"),
            Deed::Took { bytes, kept: true } => format!("takes {bytes} bytes, keeps descriptors"),
            Deed::Sent {
                link,
                bytes,
                handles,
            } => {
                let count = bytes.len();
                let what = messages(bytes);
                format!(
                    "sends to link {}: {what} ({count} bytes{})",
                    link.0,
                    with(handles)
                )
            }
            Deed::Started(op, call) => format!("starts operation {}: {call:?}", op.number()),
            Deed::Cancelled(op) => format!("asks operation {} to stop", op.number()),
            Deed::Closed(link) => format!("closes link {}", link.0),
            Deed::Entered(phase) => format!("enters {phase}"),
            Deed::Lost(link, why) => format!("has lost link {}: {why}", link.0),
            Deed::Trouble(cause) => format!("has trouble: {cause}"),
            Deed::Waits { until, why } => {
                let until = until.map_or_else(String::new, |at| format!(" until {at:?}"));
                let why = why.map_or_else(String::new, |why| format!(" for {why}"));
                format!("waits{until}{why}")
            }
            Deed::Ended(outcome) => format!("ends: {outcome}"),
            Deed::Refused(misuse) => format!("refuses it: {misuse}"),
        };
        self.line(&text)
    }

    /// One line of bearable length, with moments as the time since the beginning.
    fn line(&self, text: &str) -> String {
        let mut parts = text.split("Instant(");
        let mut line = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (nanos, rest) = part.split_once(')').unwrap_or((part, ""));
            match nanos.parse() {
                Ok(nanos) => line.push_str(&seconds(Instant::from_nanos(nanos).since(self.began))),
                Err(_) => line.push_str(nanos),
            }
            line.push_str(rest);
        }
        let line = line.replace(char::is_control, " ");
        match line.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{} …", line.get(..end).unwrap_or_default()),
            None => line,
        }
    }
}

/// A time since the beginning.
pub(super) fn seconds(time: Duration) -> String {
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}

fn completed(done: &Completion<'_>) -> String {
    format!(
        "operation {} has ended: {:?}",
        done.op().number(),
        done.report()
    )
}

fn with(handles: Handles) -> String {
    if handles.is_empty() {
        return String::new();
    }
    format!(" with {handles}")
}

/// The messages in bytes that were sent. They may begin and end within one.
fn messages(mut bytes: &[u8]) -> String {
    let mut room = vec![0; bytes.len().max(HEADER_LEN)];
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let mut reader = FrameReader::new();
        let consumed = reader.push(&mut room, bytes).map(|pushed| pushed.consumed);
        let message = reader
            .frame(&room)
            .and_then(|frame| decode(frame.version, frame.payload).ok());
        let (Ok(consumed), Some(message)) = (consumed, message) else {
            found.push("a part of a message".into());
            break;
        };
        found.push(format!("{message:?}"));
        bytes = bytes.get(consumed..).unwrap_or_default();
    }
    found.join(", ")
}

#[cfg(test)]
mod tests {
    use handoff_std::core::wire::encode;
    use handoff_std::core::{Incumbent, LinkId};

    use super::*;

    const WORDS: Words = Words {
        began: Instant::from_nanos(1_000_000_000),
    };

    fn sent(bytes: &[u8]) -> String {
        WORDS.deed::<Incumbent, 8>(&Deed::Sent {
            link: LinkId(3),
            bytes,
            handles: Handles { first: 0, count: 2 },
        })
    }

    #[test]
    fn what_was_sent_is_named() {
        let mut room = [0; 64];
        let used = encode(2, &Message::Heartbeat { ts_ms: 7 }, &mut room).unwrap();
        let two = [&room[..used], &room[..used]].concat();
        let beat = "Heartbeat { ts_ms: 7 }";
        let expected = format!(
            "sends to link 3: {beat}, {beat} ({} bytes with 2 descriptors)",
            2 * used
        );
        assert_eq!(sent(&two), expected);
        for cut in 1..used {
            assert!(sent(&two[cut..]).starts_with("sends to link 3: "));
            let text = sent(&two[..used + cut]);
            assert!(
                text.contains(&format!("{beat}, a part of a message")),
                "{text}"
            );
        }
    }

    #[test]
    fn moments_are_counted_from_the_beginning_and_a_line_is_a_line() {
        let until = Some(Instant::from_nanos(3_500_000_000));
        let waits = Deed::Waits { until, why: None };
        assert_eq!(WORDS.deed::<Incumbent, 8>(&waits), "waits until 2.500000");
        assert_eq!(WORDS.line("a Instant( Instant(x) b\nc"), "a  x b c");
        let long = WORDS.line(&"ü".repeat(1000));
        assert!(long.chars().count() < LONGEST + 5 && long.ends_with('…'));
    }
}

//! Reads what strace saw (`-f -ttt -y -xx`): the system calls in a stretch of time, and the frames of the
//! protocol among them.

use std::collections::BTreeMap;

use super::round::Marks;

/// Calls that wait for a disk.
const FLUSHES: &[&str] = &[
    "fsync",
    "fdatasync",
    "sync_file_range",
    "msync",
    "sync",
    "syncfs",
];
/// Calls that send a frame.
const SENDS: &[&str] = &["write", "writev", "sendto", "sendmsg"];
/// The message that says that the successor serves.
const READY: u8 = 9;
/// The message that only says that its sender lives.
const HEARTBEAT: u8 = 13;

/// A frame that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The version that it is in.
    pub version: u8,
    /// The number of its message.
    pub message: u8,
}

/// The system calls of a stretch of time, without those of clients and of the thread that serves them.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    /// How many of each were begun.
    pub by_name: BTreeMap<String, u64>,
    /// Flushes, but for those of the daemon's own file.
    pub flushes: u64,
    /// The frames that were sent, but for heartbeats.
    pub frames: Vec<Frame>,
    /// When Ready was sent, on the wall clock in nanoseconds.
    pub(super) ready: Option<u64>,
}

impl Calls {
    /// What was begun from `from` to `to`, in nanoseconds on the wall clock. `own` is part of the name of the
    /// daemon's own file.
    pub(super) fn between(trace: &str, from: u64, to: u64, marks: &Marks, own: &str) -> Self {
        // As it stands in a trace.
        let own: Vec<String> = own.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
        let own = own.concat();
        let mut calls = Self::default();
        for line in trace.lines() {
            let Some(call) = Call::parse(line) else {
                continue;
            };
            let is_inside = (from..=to).contains(&call.at);
            if is_inside && !marks.bystanders.contains(&call.thread) {
                calls.count(&call, &own);
            }
        }
        calls
    }

    fn count(&mut self, call: &Call<'_>, own: &str) {
        *self.by_name.entry(call.name.to_owned()).or_default() += 1;
        if FLUSHES.contains(&call.name) && !call.rest.contains(own) {
            self.flushes += 1;
        }
        let Some(frame) = frame(call).filter(|_| SENDS.contains(&call.name)) else {
            return;
        };
        if frame.message == READY {
            self.ready = Some(call.at);
        }
        if frame.message != HEARTBEAT {
            self.frames.push(frame);
        }
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.by_name.values().sum()
    }

    /// How many there were of these.
    pub fn of(&self, names: &[&str]) -> u64 {
        names
            .iter()
            .filter_map(|name| self.by_name.get(*name))
            .sum()
    }
}

/// A line that begins a call.
struct Call<'a> {
    thread: i32,
    at: u64,
    name: &'a str,
    /// Its arguments, and its result if that came at once.
    rest: &'a str,
}

impl<'a> Call<'a> {
    /// `123 1700000000.123456 write(4</a>, "\x01", 1) = 1`. The ends of calls, signals and exits are none.
    fn parse(line: &'a str) -> Option<Self> {
        let (thread, line) = line.split_once(' ')?;
        let (at, line) = line.trim_start().split_once(' ')?;
        let (seconds, micros) = at.split_once('.')?;
        let (name, rest) = line.split_once('(')?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return None;
        }
        let seconds: u64 = seconds.parse().ok()?;
        let micros: u64 = micros.parse().ok()?;
        Some(Self {
            thread: thread.parse().ok()?,
            at: seconds * 1_000_000_000 + micros * 1_000,
            name,
            rest,
        })
    }
}

/// The frame that a call sends, if its first bytes are one's and name a length that is not a journal's.
fn frame(call: &Call<'_>) -> Option<Frame> {
    let text = call.rest.split_once("\"\\x")?.1;
    let text = text.split_once('"')?.0;
    let mut bytes = text
        .split("\\x")
        .map(|digits| u8::from_str_radix(digits, 16));
    let mut head = [0; 7];
    for place in &mut head {
        *place = bytes.next()?.ok()?;
    }
    let rest = bytes.count();
    let [length @ .., _, _, _] = head;
    let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
    // strace shows the first 64 bytes.
    let is_whole = length == rest + 3 || (rest + 7 == 64 && length > rest + 3);
    let [_, _, _, _, version, 0, message] = head else {
        return None;
    };
    is_whole.then_some(Frame { version, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = r#"11 1700000000.000001 write(3<\x2f\x61>, "\x01", 1) = 1
12 1700000000.000002 sendto(4<socket:[9]>, "\x04\x00\x00\x00\x02\x00\x0a\x10", 8, MSG_NOSIGNAL, NULL, 0) = 8
12  1700000000.000003 fsync(5<\x2f\x61\x2f\x62> <unfinished ...>
12 1700000000.000004 <... fsync resumed>) = 0
12 1700000000.000005 fsync(5<\x2f\x61\x2f\x6a>) = 0
13 1700000000.000006 write(4<socket:[9]>, "\x03\x00\x00\x00\x02\x00\x0d", 7) = 7
13 1700000000.000007 write(4<socket:[9]>, "\x03\x00\x00\x00\x02\x00\x09", 7) = 7
13 1700000000.000008 --- SIGCHLD {si_signo=SIGCHLD} ---
13 1700000000.000009 +++ exited with 0 +++
13 1700000000.000010 futex(0x1, FUTEX_WAKE, 1) = 0
"#;

    #[test]
    fn calls_are_counted_by_who_and_when() {
        let second = 1_700_000_000_000_000_000;
        let marks = Marks {
            from: 0,
            to: 0,
            drained: 0,
            bystanders: vec![11],
        };
        let calls = Calls::between(TRACE, second, second + 9_000, &marks, "/b");
        assert_eq!(calls.total(), 5);
        assert_eq!(calls.of(&["fsync", "write"]), 4);
        assert_eq!(calls.flushes, 1);
        assert_eq!(calls.ready, Some(second + 7_000));
        let frame = |message| Frame {
            version: 2,
            message,
        };
        assert_eq!(calls.frames, [frame(10), frame(9)]);
    }
}

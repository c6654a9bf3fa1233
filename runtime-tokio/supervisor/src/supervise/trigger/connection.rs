//! One client of the trigger socket: its line, its wait, its answer.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

/// The longest line, with its line break, in bytes.
const LINE: usize = 4096;
/// How long a client may take to write its line, and again to read its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The line is being read.
    Asking { line: Vec<u8>, until: Instant },
    /// The line is with the supervisor.
    Waiting,
    /// The answer is being written.
    Answering { rest: Vec<u8>, until: Instant },
}

/// What a turn came to.
pub(super) enum Progress {
    /// The line is complete.
    Asked(Vec<u8>),
    /// It goes on.
    Goes,
    /// It is over: close it.
    Over,
}

impl Connection {
    pub(super) fn new(stream: UnixStream, now: Instant) -> Self {
        Self {
            stream,
            state: State::Asking {
                line: Vec::new(),
                until: now + PATIENCE,
            },
        }
    }

    /// Whether its request is being worked on.
    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    /// Does what can be done now.
    pub(super) fn turn(&mut self, now: Instant) -> Progress {
        if self.deadline().is_some_and(|until| until <= now) {
            return Progress::Over;
        }
        match &self.state {
            State::Asking { .. } => self.read(now),
            State::Waiting => Progress::Goes,
            State::Answering { .. } => self.write(),
        }
    }

    /// Answers with one line, and is over once it is written.
    pub(super) fn answer(&mut self, line: &str, now: Instant) {
        // Whatever the words hold, the answer is one line.
        let mut rest = line.replace(char::is_control, " ").into_bytes();
        rest.push(b'\n');
        self.state = State::Answering {
            rest,
            until: now + PATIENCE,
        };
    }

    fn read(&mut self, now: Instant) -> Progress {
        let State::Asking { line, .. } = &mut self.state else {
            return Progress::Goes;
        };
        let mut bytes = [0; LINE];
        let room = bytes.get_mut(..LINE - line.len()).unwrap_or_default();
        let ended = match self.stream.read(room) {
            Ok(count) => {
                line.extend_from_slice(room.get(..count).unwrap_or_default());
                count == 0
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Progress::Goes;
            }
            Err(_) => return Progress::Over,
        };
        let end = line.iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) => line.truncate(end),
            // A client that shuts its side down has said all it wanted to say.
            None if ended && line.is_empty() => return Progress::Over,
            None if ended => {}
            None if line.len() == LINE => {
                self.answer(
                    &format!("err: the line is too long, at most {LINE} bytes are possible"),
                    now,
                );
                return Progress::Goes;
            }
            None => return Progress::Goes,
        }
        let line = std::mem::take(line);
        self.state = State::Waiting;
        Progress::Asked(line)
    }

    fn write(&mut self) -> Progress {
        let State::Answering { rest, .. } = &mut self.state else {
            return Progress::Goes;
        };
        match self.stream.write(rest) {
            Ok(count) => drop(rest.drain(..count.min(rest.len()))),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Progress::Goes;
            }
            Err(_) => return Progress::Over,
        }
        if !rest.is_empty() {
            return Progress::Goes;
        }
        // What is left unread at a close would reach the client as an error, perhaps before its
        // answer does.
        let _ = self.stream.shutdown(Shutdown::Write);
        for _ in 0..16 {
            if !matches!(self.stream.read(&mut [0; LINE]), Ok(1..)) {
                break;
            }
        }
        Progress::Over
    }

    /// What to poll for. Nothing while it waits: a client that has left would be ready all the time.
    pub(super) fn poll_fd(&self) -> Option<PollFd<'_>> {
        let flags = match self.state {
            State::Asking { .. } => PollFlags::IN,
            State::Waiting => return None,
            State::Answering { .. } => PollFlags::OUT,
        };
        Some(PollFd::new(&self.stream, flags))
    }

    /// When it is sent away.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Asking { until, .. } | State::Answering { until, .. } => Some(until),
            State::Waiting => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UnixStream, Connection, Instant) {
        let (client, server) = UnixStream::pair().unwrap();
        server.set_nonblocking(true).unwrap();
        let now = Instant::now();
        (client, Connection::new(server, now), now)
    }

    fn asked(progress: Progress) -> Option<Vec<u8>> {
        match progress {
            Progress::Asked(line) => Some(line),
            Progress::Goes | Progress::Over => None,
        }
    }

    #[test]
    fn a_line_in_pieces_and_an_answer_of_one_line() {
        let (mut client, mut connection, now) = pair();
        client.write_all(b"hand").unwrap();
        assert!(matches!(connection.turn(now), Progress::Goes));
        client.write_all(b"off\nrest").unwrap();
        assert_eq!(asked(connection.turn(now)).unwrap(), b"handoff");
        assert!(connection.is_waiting());
        assert!(connection.deadline().is_none() && connection.poll_fd().is_none());
        let later = now + 10 * PATIENCE;
        assert!(matches!(connection.turn(later), Progress::Goes));
        connection.answer("err: a\nb", later);
        assert!(matches!(connection.turn(later), Progress::Over));
        drop(connection);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "err: a b\n");
    }

    #[test]
    fn the_end_of_the_stream_ends_a_line() {
        let (mut client, mut connection, now) = pair();
        client.write_all(b"handoff").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert!(matches!(connection.turn(now), Progress::Goes));
        assert_eq!(asked(connection.turn(now)).unwrap(), b"handoff");
        let (client, mut connection, now) = pair();
        drop(client);
        assert!(matches!(connection.turn(now), Progress::Over));
    }

    #[test]
    fn a_line_that_does_not_end_is_refused_and_a_slow_one_given_up() {
        let (mut client, mut connection, now) = pair();
        client.write_all(&[b'x'; LINE + 100]).unwrap();
        assert!(matches!(connection.turn(now), Progress::Goes));
        assert!(matches!(connection.turn(now), Progress::Over));
        drop(connection);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("err: the line is too long"), "{answer}");

        let (_client, mut connection, now) = pair();
        assert!(matches!(
            connection.turn(now + PATIENCE / 2),
            Progress::Goes
        ));
        assert!(matches!(connection.turn(now + PATIENCE), Progress::Over));
    }

    #[test]
    fn a_client_that_does_not_read_is_given_up() {
        let (_client, mut connection, now) = pair();
        connection.answer(&"x".repeat(8 << 20), now);
        assert!(matches!(connection.turn(now), Progress::Goes));
        assert_eq!(connection.deadline(), Some(now + PATIENCE));
        assert!(matches!(connection.turn(now + PATIENCE), Progress::Over));
    }
}

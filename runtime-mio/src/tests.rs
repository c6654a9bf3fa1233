//! The adapter against a supervisor that is played by the test, all on one thread.

mod successor;

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use handoff_core::IncumbentConfig;
use handoff_core::wire::{FrameReader, HandoffId, Message, MessageKind, decode, encode};
use handoff_std::{DataDirLock, DrainReport, Retirement};
use mio::{Events, Interest, Poll, Token};
use tempfile::TempDir;

use crate::{Drain, Incumbent, Request};

const ID: HandoffId = HandoffId::from_bytes([7; 16]);
const HANDOFF: Token = Token(5);
/// Tests look at the other side as well.
const LOOK: Duration = Duration::from_millis(20);

/// A supervisor, as far as it can be heard.
struct Peer {
    stream: UnixStream,
    version: u16,
    heard: Vec<u8>,
}

impl Peer {
    fn bytes(&self, message: &Message<'_>) -> Vec<u8> {
        let mut room = [0; 128];
        let length = encode(self.version, message, &mut room).unwrap();
        room[..length].to_vec()
    }

    fn say(&mut self, message: &Message<'_>) {
        let bytes = self.bytes(message);
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next message that has come.
    fn next(&mut self) -> Option<MessageKind> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(count) => self.heard.extend(&bytes[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        let (mut reader, mut room) = (FrameReader::new(), [0; 4096]);
        let pushed = reader.push(&mut room, &self.heard).unwrap();
        if !pushed.complete {
            return None;
        }
        self.heard.drain(..pushed.consumed);
        let frame = reader.frame(&room).unwrap();
        Some(decode(self.version, frame.payload).unwrap().kind())
    }
}

/// An incumbent on a loop.
struct House {
    poll: Poll,
    incumbent: Incumbent,
    /// Turns of the loop.
    turns: usize,
    dir: TempDir,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lock = DataDirLock::acquire(dir.path()).unwrap();
        let incumbent = Incumbent::bind(dir.path().join("control"), lock).unwrap();
        let mut house = Self {
            poll: Poll::new().unwrap(),
            incumbent: incumbent.with_times(IncumbentConfig {
                heartbeat: Duration::from_millis(10),
                ..IncumbentConfig::default()
            }),
            turns: 0,
            dir,
        };
        let registry = house.poll.registry();
        registry
            .register(&mut house.incumbent, HANDOFF, Interest::READABLE)
            .unwrap();
        house
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.dir.path().join("control")).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    }

    /// A supervisor that is acknowledged.
    fn peer(&mut self) -> Peer {
        let mut peer = Peer {
            stream: self.connect(),
            version: 1,
            heard: Vec::new(),
        };
        self.hear(&mut peer, MessageKind::Hello);
        peer.say(&Message::HelloAck { version: 2, id: ID });
        peer.version = 2;
        peer
    }

    /// One turn of the loop, with the first request of it.
    fn turn(&mut self) -> Option<Request> {
        self.turns += 1;
        let mut events = Events::with_capacity(4);
        let timeout = self.incumbent.timeout().unwrap_or(LOOK).min(LOOK);
        self.poll.poll(&mut events, Some(timeout)).unwrap();
        for event in &events {
            assert!(self.incumbent.ready(event));
        }
        self.incumbent.turn().unwrap()
    }

    fn hear(&mut self, peer: &mut Peer, wanted: MessageKind) {
        while peer.next() != Some(wanted) {
            assert!(self.turn().is_none());
        }
    }

    fn until_drain(&mut self) -> Drain {
        loop {
            match self.turn() {
                None => {}
                Some(Request::Drain(drain)) => return drain,
                Some(other) => panic!("{other:?}"),
            }
        }
    }
}

const PREPARE: Message<'_> = Message::PrepareHandoff {
    id: ID,
    successor_pid: 1,
    deadline_ms: 60_000,
    drain_grace_ms: 60_000,
};

#[test]
fn a_session_that_comes_byte_by_byte_among_false_alarms() {
    let mut house = House::new();
    let mut peer = house.peer();
    let (last, bytes) = {
        let bytes = peer.bytes(&PREPARE);
        (bytes[bytes.len() - 1], bytes[..bytes.len() - 1].to_vec())
    };
    for byte in bytes {
        peer.stream.write_all(&[byte]).unwrap();
        assert!(house.turn().is_none());
        assert!(house.incumbent.turn().unwrap().is_none());
    }
    peer.stream.write_all(&[last]).unwrap();
    house.until_drain().done(DrainReport::CLEAN);
    house.hear(&mut peer, MessageKind::Drained);
}

#[test]
fn it_may_be_moved_to_another_poll_at_any_time() {
    let mut house = House::new();
    let mut peer = house.peer();
    peer.say(&PREPARE);
    let registry = house.poll.registry();
    registry.deregister(&mut house.incumbent).unwrap();
    house.poll = Poll::new().unwrap();
    let registry = house.poll.registry();
    registry
        .register(&mut house.incumbent, Token(8), Interest::WRITABLE)
        .unwrap();
    registry
        .reregister(&mut house.incumbent, Token(9), Interest::READABLE)
        .unwrap();
    house.until_drain().done(DrainReport::CLEAN);
    house.hear(&mut peer, MessageKind::Drained);
}

// Section 7: heartbeats while a hook takes its time, and the loop sleeps between them.
#[test]
fn a_drain_of_many_turns_has_heartbeats_and_the_loop_sleeps() {
    const BEATS: usize = 10;
    let mut house = House::new();
    let mut peer = house.peer();
    peer.say(&PREPARE);
    let drain = house.until_drain();
    house.turns = 0;
    for _ in 0..BEATS {
        house.hear(&mut peer, MessageKind::Heartbeat);
    }
    // A turn for each, and some for the beginning; none because the peer has read one.
    assert!(house.turns <= BEATS + 5, "{} turns", house.turns);
    assert!(!drain.is_cancelled());
    peer.say(&Message::Abort {
        id: ID,
        reason: "as the test wants it",
    });
    while !drain.is_cancelled() {
        assert!(house.turn().is_none());
    }
    drain.failed("it was cancelled");
    loop {
        if let Some(Request::Resume(resume)) = house.turn() {
            assert_eq!(resume.generation(), 1);
            return resume.done();
        }
    }
}

#[test]
fn an_answer_from_another_thread_wakes_the_loop() {
    let mut house = House::new();
    let mut peer = house.peer();
    peer.say(&PREPARE);
    let drain = house.until_drain();
    let answering = std::thread::spawn(|| drain.done(DrainReport::CLEAN));
    let mut events = Events::with_capacity(4);
    // The incumbent's own timeout is not asked for, so nothing but the answer ends this.
    house
        .poll
        .poll(&mut events, Some(Duration::from_mins(1)))
        .unwrap();
    assert!(!events.is_empty());
    answering.join().unwrap();
    for event in &events {
        assert!(house.incumbent.ready(event));
    }
    assert!(house.incumbent.turn().unwrap().is_none());
    house.hear(&mut peer, MessageKind::Drained);
}

#[test]
fn a_peer_that_has_always_more_is_read_in_portions() {
    let mut house = House::new();
    let mut peer = house.peer();
    house.turn();
    let beat = peer.bytes(&Message::Heartbeat { ts_ms: 1 });
    let flood = beat.repeat(200_000 / beat.len());
    let sent = peer.stream.write(&flood).unwrap();
    assert!(sent > 2 * 64 * 1024, "the system takes {sent} bytes");
    // The first turn that finds it leaves some of it, and says so.
    while house.incumbent.timeout() != Some(Duration::ZERO) {
        assert!(house.turn().is_none());
    }
    while house.incumbent.timeout() == Some(Duration::ZERO) {
        assert!(house.turn().is_none());
    }
}

#[test]
fn connections_are_accepted_in_portions() {
    let mut house = House::new();
    let waiting: Vec<UnixStream> = (0..20).map(|_| house.connect()).collect();
    assert!(house.turn().is_none());
    assert_eq!(house.incumbent.timeout(), Some(Duration::ZERO));
    while house.incumbent.timeout() == Some(Duration::ZERO) {
        assert!(house.turn().is_none());
    }
    drop(waiting);
}

#[test]
fn a_daemon_that_stops_takes_its_control_path_away_and_says_so_once() {
    let mut house = House::new();
    let path = house.dir.path().join("control");
    assert!(path.exists());
    house.incumbent.stop();
    assert!(!path.exists());
    assert_eq!(house.incumbent.timeout(), Some(Duration::ZERO));
    let Some(Request::Retire(Retirement::Stopped)) = house.turn() else {
        panic!("it was stopped");
    };
    assert!(house.turn().is_none());
    assert_eq!(house.incumbent.timeout(), None);
}

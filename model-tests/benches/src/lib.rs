//! What is measured of the core: a handoff in memory, and the codec, with that of the published version 1 on
//! the same messages.
//!
//! `cargo bench -p handoff-benches` takes the time and counts allocations; the binary `core-work` does one of
//! these a given number of times, for `valgrind --tool=callgrind`; a test holds what that counts against
//! recorded bounds.

use std::hint::black_box;

use anyhow::Context;
use clap::ValueEnum;
use handoff::frame::{read_message, write_message};
use handoff_core::wire::{
    FrameReader, HandoffId, Hello, Message, Names, Revisions, Side, VersionRange, decode, encode,
};
use handoff_core::{Incumbent, Inline, Machine, Successor, Supervisor};

use world::World;

#[path = "../../../core/tests/machines/world/mod.rs"]
#[allow(clippy::pedantic, reason = "it is the core's, and looked at there")]
mod world;

/// Room for any of the messages.
const ROOM: usize = 512;
const ID: HandoffId = HandoffId::from_bytes([7; 16]);

/// Something that the core does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// The memory for a handoff, which is no part of one.
    Prepare,
    /// That, and a handoff through all machines, with a host in memory.
    Handoff,
    /// The frames of an uneventful handoff of version 1, written.
    Encode,
    /// The same, read.
    Decode,
    /// Written by the published crate.
    EncodeV1,
    /// Read by the published crate.
    DecodeV1,
}

impl Work {
    /// All of it.
    pub const ALL: [Self; 6] = [
        Self::Prepare,
        Self::Handoff,
        Self::Encode,
        Self::Decode,
        Self::EncodeV1,
        Self::DecodeV1,
    ];

    /// As the command line says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Handoff => "handoff",
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::EncodeV1 => "encode-v1",
            Self::DecodeV1 => "decode-v1",
        }
    }
}

/// A handoff that is about to begin.
pub struct Handoff(World);

impl Handoff {
    /// Its memory is set aside here; nothing is allocated later.
    pub fn prepare() -> Self {
        Self(World::new(usize::MAX))
    }

    /// From the first input to the last.
    pub fn run(&mut self) {
        self.0.run();
    }

    /// How many inputs the machines are given in all.
    pub fn inputs() -> usize {
        let mut world = World::recording(usize::MAX);
        world.run();
        let (s, o, n) = (
            world.supervisor.trace,
            world.incumbent.trace,
            world.successor.trace,
        );
        let steps = [s, o, n]
            .into_iter()
            .flatten()
            .flat_map(|trace| trace.steps);
        // Each turn ends with one of these.
        let is_last = |step: &String| step.starts_with("Wait") || step.starts_with("Done");
        steps.filter(is_last).count()
    }
}

/// The messages of an uneventful handoff of version 1, as ours, as theirs, and as frames.
pub struct Messages {
    ours: Vec<Message<'static>>,
    theirs: Vec<handoff::protocol::Message>,
    frames: Vec<Vec<u8>>,
}

impl Messages {
    /// All of them.
    ///
    /// # Errors
    /// When the two codecs do not agree on the bytes.
    pub fn new() -> anyhow::Result<Self> {
        let ours = messages();
        let mut frames = Vec::new();
        for message in &ours {
            let mut room = [0; ROOM];
            let used = encode(1, message, &mut room)?;
            frames.push(room.get(..used).context("a frame")?.to_vec());
        }
        let mut theirs = Vec::new();
        for frame in &frames {
            let (_, message) = read_message(&mut frame.as_slice())?;
            let mut written = Vec::new();
            write_message(&mut written, 1, &message)?;
            anyhow::ensure!(written == *frame, "{message:?} differs on the wire");
            theirs.push(message);
        }
        Ok(Self {
            ours,
            theirs,
            frames,
        })
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.frames.len()
    }

    /// How many bytes they have as frames.
    pub fn bytes(&self) -> usize {
        self.frames.iter().map(Vec::len).sum()
    }

    /// Writes each into `room`, and looks at it.
    pub fn encode(&self, room: &mut [u8]) {
        for message in &self.ours {
            let used = encode(1, black_box(message), room);
            black_box((used.ok(), &*room));
        }
    }

    /// The same with the published crate, which needs memory for each.
    pub fn encode_v1(&self, room: &mut Vec<u8>) {
        for message in &self.theirs {
            room.clear();
            let written = write_message(room, 1, black_box(message));
            black_box((written.is_ok(), &*room));
        }
    }

    /// Takes each out of the bytes of a stream, and looks at it.
    pub fn decode(&self, room: &mut [u8]) {
        let mut reader = FrameReader::new();
        for frame in &self.frames {
            let pushed = reader.push(room, black_box(frame));
            if let Some(frame) = reader.frame(room) {
                black_box((pushed.is_ok(), &decode(frame.version, frame.payload)));
            }
            reader.clear();
        }
    }

    /// The same with the published crate.
    pub fn decode_v1(&self) {
        for frame in &self.frames {
            black_box(&read_message(&mut black_box(frame.as_slice())));
        }
    }
}

fn messages() -> Vec<Message<'static>> {
    let hello = |side, pid| {
        Message::Hello(Hello {
            side,
            pid,
            build_id: &[0xa5; 20],
            versions: VersionRange::V1,
            capabilities: 0,
        })
    };
    let ack = Message::HelloAck { version: 1, id: ID };
    vec![
        hello(Side::Incumbent, 1234),
        ack,
        hello(Side::Successor, 4321),
        ack,
        Message::PrepareHandoff {
            id: ID,
            successor_pid: 4321,
            deadline_ms: 300_000,
            drain_grace_ms: 60_000,
        },
        Message::Drained {
            open_connections: 3,
            accept_closed: true,
        },
        Message::SealRequest { id: ID },
        Message::SealComplete {
            id: ID,
            revisions: Revisions::from(&[1, 300, 70_000, 5_000_000_000][..]),
            fingerprint: [9; 32],
        },
        Message::Begin { id: ID },
        Message::Ready {
            id: ID,
            listening_on: Names::from(&["http", "admin"][..]),
            healthz_ok: true,
            revisions: Revisions::from(&[1, 300, 70_000, 5_000_000_000][..]),
        },
        Message::Commit { id: ID },
    ]
}

/// Does it so many times.
///
/// # Errors
/// When the two codecs do not agree.
pub fn repeat(work: Work, times: usize) -> anyhow::Result<()> {
    let messages = Messages::new()?;
    let (mut room, mut vec) = ([0; ROOM], Vec::new());
    for _ in 0..times {
        match work {
            Work::Prepare => drop(black_box(Handoff::prepare())),
            Work::Handoff => black_box(Handoff::prepare()).run(),
            Work::Encode => messages.encode(&mut room),
            Work::Decode => messages.decode(&mut room),
            Work::EncodeV1 => messages.encode_v1(&mut vec),
            Work::DecodeV1 => messages.decode_v1(),
        }
    }
    Ok(())
}

/// The bytes of each machine, with rooms of 1 KiB each way for each link.
pub const fn sizes() -> [(&'static str, usize); 4] {
    [
        (
            "incumbent, 1 link",
            size_of::<Machine<Incumbent, Inline, 1>>(),
        ),
        (
            "incumbent, 8 links",
            size_of::<Machine<Incumbent, Inline, 8>>(),
        ),
        ("successor", size_of::<Machine<Successor, Inline, 1>>()),
        ("supervisor", size_of::<Machine<Supervisor, Inline, 2>>()),
    ]
}

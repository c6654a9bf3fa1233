//! Writes the seeds of every target into `corpus`: from the codec's vectors, from runs of the three
//! machines, and from scripts of what a machine must live through.
//!
//! After a change of the scripts' or the records' encoding: `cargo run --example seeds`

use std::fs;
use std::io;
use std::path::Path;

use handoff_core::record::decode_input;
use handoff_fuzz::Happening;
use handoff_fuzz::Happening::{
    Closed, Ended, Jumped, Opened, Passed, Progress, Said, Slept, Unbound, WroteAll,
};

#[path = "../../../core/tests/machines/world.rs"]
mod world;

const VECTORS: &str = include_str!("../../../core/tests/data/vectors.txt");

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    decode(&corpus.join("decode"))?;
    runs(&corpus)?;
    scripts(&corpus.join("incumbent"), INCUMBENT)?;
    scripts(&corpus.join("successor"), SUCCESSOR)?;
    scripts(&corpus.join("supervisor"), SUPERVISOR)
}

fn write(dir: &Path, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let bytes = parts.concat();
    assert!(bytes.len() < 1024, "{name} has {} bytes", bytes.len());
    fs::write(dir.join(name), bytes)
}

/// Each vector as one frame and as a payload, and all of the short ones as a stream.
fn decode(dir: &Path) -> io::Result<()> {
    let mut stream = Vec::new();
    for entry in VECTORS.split("\n\n") {
        let line = |label| entry.lines().find_map(|line| line.strip_prefix(label));
        let (Some(name), Some(frame)) = (line("name:"), line("frame:")) else {
            continue;
        };
        let frame: Vec<u8> = frame
            .split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal"))
            .collect();
        let name = name.trim();
        write(dir, name, &[&[7], &frame])?;
        write(dir, &format!("{name}.payload"), &[&[1], &frame[6..]])?;
        if frame.len() < 60 {
            stream.extend(frame);
        }
    }
    write(dir, "stream", &[&[13], &stream])
}

/// A handoff of the three machines as it was recorded.
fn runs(corpus: &Path) -> io::Result<()> {
    for chunk in [7, usize::MAX] {
        let mut world = world::World::recording(chunk);
        world.run();
        let cut = if chunk == 7 { "pieces" } else { "whole" };
        for (role, trace) in [
            ("incumbent", &world.incumbent.trace),
            ("successor", &world.successor.trace),
            ("supervisor", &world.supervisor.trace),
        ] {
            let inputs = inputs(&trace.as_ref().expect("recorded").inputs);
            let script: Vec<u8> = inputs
                .iter()
                .flat_map(|input| encoded(Happening::Recorded(input)))
                .collect();
            let name = format!("recorded.{cut}");
            if script.len() < 1023 {
                write(&corpus.join(role), &name, &[&[0], &script])?;
            }
            // A record may be cut anywhere; its front is one too.
            let record = &trace.as_ref().expect("recorded").inputs;
            let front = &record[..record.len().min(1000)];
            write(&corpus.join("record"), &format!("{role}.{cut}"), &[front])?;
        }
        if chunk == usize::MAX {
            for (at, input) in inputs(&world.successor.trace.expect("recorded").inputs)
                .iter()
                .enumerate()
            {
                let name = format!("successor.input_{at}");
                write(&corpus.join("record"), &name, &[&[9], input])?;
            }
        }
    }
    Ok(())
}

/// The inputs of a record, each without its moment.
fn inputs(mut record: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Ok((now, _, used)) = decode_input(record) {
        let moment = postcard::to_stdvec(&now).expect("room").len();
        found.push(record[moment..used].to_vec());
        record = &record[used..];
    }
    found
}

fn encoded(happening: Happening<'_>) -> Vec<u8> {
    postcard::to_stdvec(&happening).expect("room")
}

type Script = (&'static str, u8, &'static [Happening<'static>]);

fn scripts(dir: &Path, scripts: &[Script]) -> io::Result<()> {
    for (name, choice, script) in scripts {
        let bytes: Vec<u8> = script.iter().flat_map(|what| encoded(*what)).collect();
        write(dir, name, &[&[*choice], &bytes])?;
    }
    Ok(())
}

// The numbers of `Said` are those of the list in `host::message`, those of `Ended` the ways in
// `host::Host::end`: 0 is always a failure.
const ACK: Happening<'static> = Said(0, 2);
const PREPARE: Happening<'static> = Said(0, 3);
const DRAINED: Happening<'static> = Ended(0, 3);
const SEAL: Happening<'static> = Said(0, 5);
const SEALED: Happening<'static> = Ended(0, 3);
const DONE: Happening<'static> = Ended(0, 3);
const TAKE: Happening<'static> = WroteAll(0);

#[rustfmt::skip]
const INCUMBENT: &[Script] = &[
    ("committed", 0, &[
        Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, Progress(1), TAKE, SEALED, DONE, TAKE, Said(0, 11),
    ]),
    ("sealed_then_lost_and_back", 0, &[
        Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, Closed(0), Ended(0, 1), Ended(0, 3), Slept,
        Ended(0, 2), Ended(0, 3), DONE, Opened(1), TAKE, ACK, PREPARE,
    ]),
    ("superseded", 0, &[
        Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, Closed(0), Ended(0, 1), Ended(0, 2), Slept,
        Ended(0, 1), Ended(0, 2),
    ]),
    ("reclaimed_and_bound", 0, &[
        Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, TAKE, Said(0, 13), Ended(0, 2), Ended(0, 2),
        Ended(0, 0), DONE, Slept, DONE, Unbound,
    ]),
    ("drain_aborted", 0, &[Opened(1), TAKE, ACK, PREPARE, Said(0, 12), Slept, Slept, DONE, DONE]),
    ("drain_failed", 0, &[Opened(1), TAKE, ACK, PREPARE, Ended(0, 0), Ended(0, 0), Slept, Ended(0, 0), Slept, Ended(0, 0)]),
    ("seal_lost_while_it_runs", 0, &[Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, Closed(0), SEALED, DONE]),
    ("seal_too_large", 0, &[Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, Ended(0, 1), DONE]),
    ("release_lost_then_done", 0, &[
        Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, Closed(0), DONE, Ended(0, 2), Ended(0, 3), DONE,
    ]),
    ("drained_then_aborted", 0, &[Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, Said(0, 12), DONE]),
    ("release_ticket_lost", 0, &[Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, Closed(0), Slept]),
    ("lock_ticket_lost", 0, &[
        Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, Closed(0), Slept, Slept, Ended(0, 3),
    ]),
    ("silent_when_sealed", 0, &[Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, TAKE, Slept, Ended(0, 3)]),
    ("release_failed", 0, &[Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, Ended(0, 0), DONE]),
    ("silent_supervisor", 0, &[Opened(1), TAKE, ACK, PREPARE, Slept, Slept, Slept, Slept, Slept, Slept, DRAINED]),
    ("unbound_at_first", 1, &[Ended(0, 0), Slept, DONE, Unbound, DONE]),
    ("crowded", 0, &[
        Opened(1), ACK, Opened(1), Opened(1), Opened(2), Opened(2), Opened(3), Opened(3), Opened(3), Opened(4),
        Opened(1), Opened(1), Slept,
    ]),
    ("busy", 0, &[Opened(1), ACK, Opened(2), Said(1, 2), PREPARE, Said(1, 3), Said(1, 14), Said(1, 5), TAKE]),
    ("clock_jumps", 0, &[Opened(1), ACK, Jumped(1 << 60), PREPARE, Jumped(0), Slept, Jumped(u64::MAX), Slept]),
];

#[rustfmt::skip]
const SUCCESSOR: &[Script] = &[
    ("serving", 0, &[DONE, TAKE, ACK, Said(0, 9), Ended(0, 3), Slept, Ended(0, 3), TAKE, DONE]),
    ("lost_before_begin", 0, &[DONE, TAKE, ACK, Closed(0), Ended(0, 1), Slept, Ended(0, 3), Ended(0, 3), DONE]),
    ("lock_held_to_the_end", 0, &[
        DONE, TAKE, ACK, Said(0, 9), Ended(0, 1), Passed(1000), Ended(0, 1), Passed(3000), Ended(0, 1), TAKE,
    ]),
    ("open_failed", 0, &[DONE, TAKE, ACK, Said(0, 9), Ended(0, 3), Ended(0, 0), TAKE]),
    ("open_unhealthy", 0, &[DONE, TAKE, ACK, Said(0, 9), Ended(0, 3), Ended(0, 2), Slept, TAKE]),
    ("open_too_large", 0, &[DONE, TAKE, ACK, Said(0, 9), Ended(0, 3), Ended(0, 1), TAKE, DONE]),
    ("open_aborted", 0, &[DONE, TAKE, ACK, Said(0, 9), Ended(0, 3), Said(0, 12), Ended(0, 3)]),
    ("lost_while_staging", 0, &[Closed(0), DONE, Ended(0, 3), Ended(0, 3), DONE]),
    ("aborted_while_standing", 0, &[DONE, TAKE, ACK, Said(0, 12)]),
    ("aborted_while_locking", 0, &[DONE, TAKE, ACK, Said(0, 9), Said(0, 12), Ended(0, 3)]),
    ("aborted_while_announcing", 0, &[DONE, TAKE, ACK, Said(0, 9), Ended(0, 3), Ended(0, 3), Said(0, 12), TAKE]),
    ("aborted_while_publishing", 0, &[DONE, TAKE, ACK, Said(0, 9), Ended(0, 3), Ended(0, 3), TAKE, Said(0, 12), DONE]),
    ("alone_while_opening", 0, &[DONE, TAKE, ACK, Said(0, 9), Ended(0, 3), Closed(0), Slept, Ended(0, 3), Ended(0, 0)]),
    ("stage_failed", 0, &[Ended(0, 0)]),
    ("late", 0, &[DONE, TAKE, Slept]),
    ("peer_does_not_read", 0, &[DONE, ACK, Said(0, 9), Ended(0, 3), Slept, Slept, Ended(0, 3), Slept, Slept, DONE]),
];

const MEET: Happening<'static> = Said(0, 0);
const WELCOME: Happening<'static> = Said(1, 1);
const PASS: Happening<'static> = Passed(9000);
const BEAT: Happening<'static> = Said(0, 14);

#[rustfmt::skip]
const SUPERVISOR: &[Script] = &[
    ("handed_over", 0, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, Said(0, 4), TAKE, Said(0, 7),
        WroteAll(1), DONE, Said(1, 10), TAKE, DONE,
    ]),
    ("incumbent_lost", 0, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, Closed(0), WroteAll(0), DONE,
        Said(0, 10), DONE,
    ]),
    ("successor_lost_and_undone", 0, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, Said(0, 4), TAKE, Closed(1), DONE, TAKE,
    ]),
    ("successor_unhealthy", 0, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, Said(0, 4), TAKE, Said(0, 7),
        WroteAll(1), DONE, Said(1, 15), DONE, Closed(0), Ended(0, 0), Slept, Ended(0, 0), Slept, Passed(60_000),
        Ended(0, 0), Slept, Ended(0, 0), Ended(0, 3),
    ]),
    ("nobody_answers", 0, &[Ended(0, 0), Slept, Ended(0, 0), Passed(20_000), Ended(0, 0)]),
    ("refused", 0, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, Said(0, 12), DONE, TAKE,
    ]),
    ("stuck_incumbent_aborted", 0, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, PASS, BEAT, PASS, BEAT, PASS, BEAT,
        PASS, BEAT, PASS, BEAT, PASS, BEAT, PASS, TAKE, Said(0, 4), DONE, TAKE,
    ]),
    ("stuck_incumbent_killed", 1, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, PASS, BEAT, PASS, BEAT, PASS, BEAT,
        PASS, BEAT, PASS, BEAT, PASS, BEAT, PASS, Said(0, 4), DONE, WroteAll(0), DONE, Said(0, 10), DONE,
    ]),
    ("successor_lost_while_the_incumbent_is_killed", 1, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, PASS, BEAT, PASS, BEAT, PASS, BEAT,
        PASS, BEAT, PASS, BEAT, PASS, BEAT, PASS, Closed(1), DONE, DONE, TAKE,
    ]),
    ("refused_after_begin", 0, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, Said(0, 4), TAKE, Said(0, 7),
        WroteAll(1), DONE, Said(0, 12), Said(1, 10), TAKE, DONE,
    ]),
    ("incumbent_lost_while_spawning", 0, &[Ended(0, 2), MEET, TAKE, Closed(0), Ended(0, 3), WELCOME, DONE, Said(0, 10)]),
    ("spawn_failed_alone", 0, &[Ended(0, 2), MEET, TAKE, Closed(0), Ended(0, 0), Ended(0, 2), DONE]),
    ("incumbent_lost_before_hello", 0, &[Ended(0, 2), Closed(0), Slept, Ended(0, 2), Slept, Slept]),
    ("spawn_failed", 0, &[Ended(0, 2), MEET, TAKE, Ended(0, 0), TAKE, DONE]),
    ("recovery_finds_an_incumbent", 4, &[Ended(0, 2), MEET, Ended(0, 1)]),
    ("recovery_kills_and_finds", 4, &[
        Ended(0, 0), Ended(0, 3), Slept, Ended(0, 0), Passed(600_000), Ended(0, 3), DONE, Ended(0, 2), MEET, Ended(0, 1),
    ]),
    ("recovery_starts_afresh", 6, &[Ended(0, 0), Ended(0, 4), Ended(0, 3), DONE]),
    ("recovery_without_a_journal", 14, &[Ended(0, 0), Ended(0, 0), Slept, Ended(0, 0), Ended(0, 4), Ended(0, 0)]),
];

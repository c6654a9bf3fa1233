//! Writes the seeds of every target into `corpus`: from the codec's vectors, from runs of the machines, and from scripts of what a machine must live through.
//!
//! After a change of the scripts' or the records' encoding: `cargo run --example seeds`

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use handoff_core::record::{
    Deed, DeedOf, decode_input, encode_deed, encode_handed, encode_header, taken,
};
use handoff_core::supervisor::Question;
use handoff_core::wire::VersionRange;
use handoff_core::{Incumbent, Inline, Machine, Role, Step, Successor, Supervisor};
use handoff_fuzz::{Happening, incumbent_config, successor_config, supervisor_config};
use world::{Setup, Trace, World};

use crate::scripts::{INCUMBENT, SUCCESSOR, SUPERVISOR, Script};

mod scripts;
#[path = "../../../../core/tests/machines/world/mod.rs"]
mod world;

const VECTORS: &str = include_str!("../../../../core/tests/data/vectors.txt");

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    decode(&corpus.join("decode"))?;
    runs(&corpus)?;
    scripts(&corpus.join("incumbent"), INCUMBENT)?;
    write(
        &corpus.join("incumbent"),
        "v2.crowd_asks_and_reads_nothing",
        &[&crowd()],
    )?;
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

/// Whole handoffs of the machines as they were recorded: version 2 with a probation, version 1 alone,
/// and questions on the way.
fn runs(corpus: &Path) -> io::Result<()> {
    let v1 = VersionRange::V1;
    let old = Setup {
        supervisor: v1,
        incumbent: v1,
        successor: v1,
        probation: Duration::ZERO,
    };
    let probation = Setup {
        probation: Duration::from_secs(20),
        ..Setup::default()
    };
    for (name, setup, choice) in [("v1", old, 0), ("v2", probation, 0x40)] {
        for (cut, chunk) in [("pieces", 7), ("whole", usize::MAX)] {
            let mut world = World::with(chunk, setup);
            world.supervisor.trace = Some(Trace::default());
            world.incumbent.trace = Some(Trace::default());
            world.successor.trace = Some(Trace::default());
            world.heir.trace = Some(Trace::default());
            world.start();
            let mut answers = Vec::new();
            for question in [Question::Listeners, Question::Status] {
                if name == "v1" {
                    break;
                }
                world.step();
                let mut asker = World::asker(question);
                asker.trace = Some(Trace::default());
                world.ask(&mut asker);
                answers.push(asker.trace);
            }
            while world.step() {}
            let name = format!("recorded.{name}.{cut}");
            run(corpus, "supervisor", choice, &name, world.supervisor.trace)?;
            run(corpus, "incumbent", 0, &name, world.incumbent.trace)?;
            run(corpus, "successor", 0, &name, world.successor.trace)?;
            run(
                corpus,
                "incumbent",
                2,
                &format!("{name}.heir"),
                world.heir.trace,
            )?;
            for (at, trace) in answers.into_iter().enumerate() {
                let (what, choice) = [("listeners", 2), ("status", 10)][at];
                run(
                    corpus,
                    "supervisor",
                    choice,
                    &format!("{name}.{what}"),
                    trace,
                )?;
            }
        }
    }
    Ok(())
}

/// One machine's inputs: as a script, as a record, and each as a record of its own.
fn run(corpus: &Path, role: &str, choice: u8, name: &str, trace: Option<Trace>) -> io::Result<()> {
    let record = trace.expect("recorded").inputs;
    let inputs = inputs(&record);
    let script: Vec<u8> = inputs
        .iter()
        .flat_map(|input| encoded(Happening::Recorded(input)))
        .collect();
    if !inputs.is_empty() && script.len() < 1023 {
        write(&corpus.join(role), name, &[&[choice], &script])?;
    }
    let recording = match role {
        "incumbent" => recording::<Incumbent, 8>(incumbent_config(choice), &record),
        "successor" => recording::<Successor, 1>(successor_config(choice), &record),
        _ => recording::<Supervisor, 2>(supervisor_config(choice), &record),
    };
    let front = &recording[..recording.len().min(1000)];
    write(&corpus.join("replay"), &format!("{role}.{name}"), &[front])?;
    // A record may be cut anywhere; its front is one too, and so is each input.
    let dir = corpus.join("record");
    let name = format!("{role}.{name}");
    let front = &record[..record.len().min(1000)];
    write(&dir, &name, &[front])?;
    if name == "successor.recorded.v2.whole" || name.ends_with("v2.whole.listeners") {
        for (at, input) in inputs.iter().enumerate() {
            write(&dir, &format!("{name}.input_{at}"), &[&[9], input])?;
        }
    }
    Ok(())
}

/// The recording of a machine that these inputs are handed to.
fn recording<R: Role<L>, const L: usize>(config: R::Config, mut record: &[u8]) -> Vec<u8> {
    let (mut room, mut recording) = ([0; 4096], Vec::new());
    let mut wrote = |len: usize, room: &[u8]| recording.extend(&room[..len]);
    let len = encode_header::<R, Inline, L>(&config, b"seeds", &mut room).expect("room");
    wrote(len, &room);
    let mut machine = Machine::<R, Inline, L>::new(config);
    while let Ok((now, input, used)) = decode_input(record) {
        record = &record[used..];
        let Ok(mut turn) = machine.handle(now, input) else {
            continue;
        };
        let input = taken(&input, turn.consumed());
        let len = encode_handed(now, &input, &mut room).expect("room");
        wrote(len, &room);
        if let Some(took) = Deed::took(turn.consumed(), turn.kept()) {
            let took: DeedOf<'_, R, L> = took;
            wrote(encode_deed(&took, &mut room).expect("room"), &room);
        }
        loop {
            let step = turn.next();
            wrote(
                encode_deed(&Deed::of(&step), &mut room).expect("room"),
                &room,
            );
            if !matches!(step, Step::Do(_)) {
                break;
            }
        }
    }
    recording
}

/// As many sessions as there can be, one of which owns the handoff, ask for the listeners and read nothing.
/// They are told in one turn that there are none, and none has room left for that.
fn crowd() -> Vec<u8> {
    let (ack, prepare, listeners, status) = (19, 3, 24, 28);
    let mut script = vec![0];
    let mut happens = |what| script.extend(encoded(what));
    for at in 0..8 {
        happens(Happening::Opened(at));
        happens(Happening::Said(at, ack));
        happens(Happening::Said(at, prepare));
    }
    for _ in 0..33 {
        happens(Happening::Said(0, status));
        happens(Happening::Ended(0, 2));
    }
    for at in 1..8 {
        for _ in 0..5 {
            happens(Happening::Said(at, prepare));
        }
    }
    for at in 0..8 {
        happens(Happening::Said(at, listeners));
    }
    happens(Happening::Ended(0, 0));
    script
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

fn scripts(dir: &Path, scripts: &[Script]) -> io::Result<()> {
    for (name, choice, script) in scripts {
        let bytes: Vec<u8> = script.iter().flat_map(|what| encoded(*what)).collect();
        write(dir, name, &[&[*choice], &bytes])?;
    }
    Ok(())
}

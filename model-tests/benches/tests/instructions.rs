//! The instructions of the core, as callgrind counts them: the same on every machine, so that a figure that
//! grows is the code's doing.
//!
//! The bounds are a tenth above what was counted in a release build of Rust 1.95 on x86-64; another compiler may
//! need others. A bound that is far too wide is a failure as well: tighten it. What a build without optimisation
//! does says nothing, so `cargo test --release -p handoff-benches` is what runs these.

use std::process::Command;

use handoff_benches::Work;

/// Times that something is done for the first count; twice as many for the second.
const TIMES: u64 = 50;

/// What one piece of work may take at most, in instructions.
const BOUNDS: [(Work, u64); 3] = [
    (Work::Handoff, 63_000),
    (Work::Encode, 4_200),
    (Work::Decode, 6_400),
];

/// Instructions of one piece of work: what a run with twice as many takes more. `None` without valgrind.
fn count(work: Work) -> Option<u64> {
    let total = |times: u64| {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(env!("CARGO_BIN_EXE_handoff-benches"))
            .args(["repeat", work.name(), &times.to_string()])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        let (_, after) = text.rsplit_once("Collected : ").expect("a count");
        let digits = after.split_whitespace().next();
        Some(digits.expect("a number").parse::<u64>().expect("a number"))
    };
    Some((total(2 * TIMES)? - total(TIMES)?) / TIMES)
}

#[test]
#[cfg_attr(debug_assertions, ignore = "only a release build is counted")]
fn the_core_takes_more_instructions_than_it_did() {
    let Some(prepare) = count(Work::Prepare) else {
        eprintln!("skipped: valgrind is not installed");
        return;
    };
    for (work, bound) in BOUNDS {
        let mut counted = count(work).expect("valgrind is there");
        if work == Work::Handoff {
            counted -= prepare;
        }
        println!("{}: {counted} instructions", work.name());
        assert!(counted <= bound, "{}: {counted}, not {bound}", work.name());
        assert!(
            counted > bound / 2,
            "{}: {counted} is far below {bound}: tighten the bound",
            work.name()
        );
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "only a release build is counted")]
fn the_codec_takes_more_instructions_than_that_of_version_1() {
    for (ours, theirs) in [
        (Work::Encode, Work::EncodeV1),
        (Work::Decode, Work::DecodeV1),
    ] {
        let (Some(of_ours), Some(of_theirs)) = (count(ours), count(theirs)) else {
            eprintln!("skipped: valgrind is not installed");
            return;
        };
        println!("{}: {of_ours} and {of_theirs}", ours.name());
        assert!(
            of_ours < of_theirs,
            "{}: {of_ours}, {of_theirs}",
            ours.name()
        );
    }
}

//! `DIAGRAMS.md` of the core shows runs of the real machines as they are.
//!
//! After a change: `HANDOFF_BLESS=1 cargo test -p handoff-model-tests --test diagrams`

use std::fmt::Write as _;
use std::path::Path;

use handoff_model_tests::diagram::sequence;
use handoff_model_tests::route::Route;
use handoff_model_tests::world::{Setup, World};

const INTRODUCTION: &str = "\
# How a handoff goes, and how it ends

Drawn from runs of the real machines in a simulated world, the shortest of their kind;
`cargo test -p handoff-model-tests --test diagrams` fails when this file is stale, and
`HANDOFF_BLESS=1 cargo test -p handoff-model-tests --test diagrams` writes it again.

A message stands where it is sent. Three dots after a hook's name: it starts; before it: it ends. L is the
writer lock, P the control path. The journal is left out. Each role by itself, with every phase and every
cue, is in [TABLES.md](TABLES.md); the rules (`C1` to `C11`) are in [PROTOCOL.md](PROTOCOL.md).
";

fn on_probation() -> Route {
    Route::new(Setup {
        faults: 1,
        failures: true,
        restart: true,
        probation: 5,
        ..Setup::default()
    })
}

fn begin() -> Route {
    Route::new(Setup {
        faults: 2,
        failures: true,
        ..Setup::default()
    })
}

fn opening(world: &World) -> bool {
    world.phase("N2").as_deref() == Some("Opening")
}

fn serving_on_probation(world: &World) -> bool {
    let phase = |who| world.phase(who);
    phase("S0").as_deref() == Some("Probation") && phase("N2").as_deref() == Some("Serving")
}

fn settled(world: &World) -> bool {
    world.is_end() && world.is_well()
}

fn handed_over(world: &World) -> bool {
    settled(world) && world.phase("O1").is_none()
}

/// O has tried for the lock and found that N has it.
fn waiting(world: &World) -> bool {
    world.phase("O1").as_deref() == Some("Pausing")
}

#[test]
fn diagrams_are_up_to_date() {
    let runs = [
        (
            "Committed",
            "Nothing goes wrong. Both peers of S speak version 2: N warms up before O is drained, and is told of \
             Commit when O has left.",
            begin().until(handed_over),
        ),
        (
            "Committed after a probation",
            "From the moment on at which N opens the data. N serves for a while, and O stays ready to come back; S sends \
             heartbeats to it (C11).",
            on_probation().until(opening).forget().until(handed_over),
        ),
        (
            "Rolled back on probation: N fails its health check",
            "From the same moment on. S kills N, and O comes back with what N wrote (C8, C2).",
            on_probation()
                .until(opening)
                .forget()
                .until(serving_on_probation)
                .then("S0: WatchProbation comes to Failed")
                .until(settled),
        ),
        (
            "Rolled back: N cannot open the data",
            "S is told, kills what is left of N, and has O come back (C8, C2).",
            begin()
                .until(opening)
                .then("N2: Open comes to Failed")
                .until(settled),
        ),
        (
            "Reclaimed: S dies, and then N cannot open the data",
            "Nobody is left to tell O; it has tried for L without giving up, and gets it (C2).",
            begin()
                .until(opening)
                .then("S0 is KILLED")
                .until(waiting)
                .then("N2: Open comes to Failed")
                .until(settled),
        ),
        (
            "Taken over: S dies while N opens the data",
            "N holds L, so it goes on (C5); O sees that P is N's, looks once more, and leaves (C2).",
            begin().until(opening).then("S0 is KILLED").until(settled),
        ),
        (
            "A supervisor comes back, and asks for its listeners",
            "From a probation on, in which S dies: N serves and O leaves (C2). The new S finds N (C9), and gets the \
             listeners from it; it could not bind their addresses as long as N has them.",
            on_probation()
                .until(serving_on_probation)
                .forget()
                .then("S0 is KILLED")
                .then("S0 is gone, and its lock")
                .until(|world| settled(world) && world.phase("O1").is_none())
                .then("S is started again")
                .until(settled),
        ),
    ];
    let mut text = INTRODUCTION.to_owned();
    for (title, words, route) in runs {
        let diagram = sequence(&route.events());
        let lines = diagram.lines().count();
        assert!(lines <= 45, "{title} takes {lines} lines");
        write!(
            text,
            "\n## {title}\n\n{words}\n\n```mermaid\n{diagram}```\n"
        )
        .expect("a String takes it");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/DIAGRAMS.md");
    if std::env::var_os("HANDOFF_BLESS").is_some() {
        std::fs::write(&path, &text).expect("the file can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "DIAGRAMS.md is stale: HANDOFF_BLESS=1 writes it again"
    );
}

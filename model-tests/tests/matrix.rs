//! A few rows of the fault matrix. All of them: `cargo run --release -p handoff-model-tests --bin
//! fault-matrix`.

use std::path::Path;

use handoff_core::supervisor::Phase;
use handoff_model_tests::matrix::{
    Case, Check, Fault, Hook, Place, Runtime, Verdict, Victim, play_all, table,
};

#[test]
fn whoever_is_hit_the_daemon_goes_on() {
    let cases = [
        Case::Fault(
            Fault::Kill,
            Victim::Supervisor,
            Place::Middle(Phase::Opening),
        ),
        Case::Fault(
            Fault::Kill,
            Victim::Incumbent,
            Place::Middle(Phase::Sealing),
        ),
        Case::Fault(
            Fault::Kill,
            Victim::Successor,
            Place::Entry(Phase::Committing),
        ),
        Case::Fault(
            Fault::Kill,
            Victim::Supervisor,
            Place::Middle(Phase::Probation),
        ),
        Case::Fault(Fault::Kill, Victim::Successor, Place::Hook),
        Case::Fault(
            Fault::Freeze,
            Victim::Incumbent,
            Place::Middle(Phase::Draining),
        ),
        Case::Fault(
            Fault::FreezeForGood,
            Victim::Supervisor,
            Place::Entry(Phase::Opening),
        ),
        Case::OldFault(
            Victim::Incumbent,
            Fault::Kill,
            Victim::Successor,
            Place::Middle(Phase::Opening),
        ),
        Case::Rollback(Place::Middle(Phase::Probation)),
        Case::Check(Check::Hangs),
        Case::Hostile,
    ];
    let on_others = [
        Case::Fault(
            Fault::Kill,
            Victim::Supervisor,
            Place::Middle(Phase::Opening),
        ),
        Case::Fault(
            Fault::Kill,
            Victim::Successor,
            Place::Middle(Phase::Probation),
        ),
        Case::Hook(Hook::SealPanics),
    ];
    let on = |runtime, case: &Case| (*case, runtime);
    let cases: Vec<_> = (cases.iter().map(|case| on(Runtime::Std, case)))
        .chain(on_others.iter().map(|case| on(Runtime::Tokio, case)))
        .chain(on_others.iter().map(|case| on(Runtime::Mio, case)))
        .collect();
    let binary = Path::new(env!("CARGO_BIN_EXE_fault-matrix"));
    let mut played = 0;
    let mut failed = Vec::new();
    play_all(&cases, 3, binary, |row| {
        played += 1;
        if row.verdict != Verdict::Ok {
            failed.push(table::row(row));
        }
    });
    assert_eq!(played, cases.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

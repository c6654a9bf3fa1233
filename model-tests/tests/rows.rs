use handoff_core::table::{Row, Taken};
use handoff_core::{incumbent, successor, supervisor};
use handoff_model_tests::explore::explore;
use handoff_model_tests::world::Setup;
use std::fmt::Debug;
fn missing<P: Debug, C: Debug, A: Debug>(table: &[Row<P, C, A>], taken: &Taken) -> Vec<String> {
    table
        .iter()
        .enumerate()
        .filter(|(at, _)| !taken.was(*at))
        .map(|(_, row)| format!("{:?} on {:?}", row.from, row.on))
        .collect()
}
#[test]
fn every_row_is_taken() {
    let all = Setup { faults: 2, freezes: true, failures: true, restart: true, ..Setup::default() };
    explore(Setup { faults: 1, kill_stuck: true, freeze_daemons: true, ..all }, 10_000_000);
    explore(all, 10_000_000);
    println!("{:#?}", missing(incumbent::INCUMBENT, &incumbent::TAKEN));
    println!("{:#?}", missing(successor::SUCCESSOR, &successor::TAKEN));
    println!("{:#?}", missing(supervisor::SUPERVISOR, &supervisor::TAKEN));
}

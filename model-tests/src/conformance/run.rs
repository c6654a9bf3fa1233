//! Plays every scenario with every adapter, a few at a time, and says what is different.

use std::collections::VecDeque;
use std::env;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::stage::Stage;
use super::{Adapter, Scenario, part, scenarios, trace};

/// How many scenarios are played at a time. Most of each is waiting for another process.
const AT_A_TIME: usize = 4;

type Play<'a> = (&'a dyn Adapter, &'static Scenario);

/// The `main` of a test target without a harness: plays the scenarios that the arguments choose. The process is
/// started again as what the kit needs, so there must be nothing else in `main`.
pub fn main(adapters: &[&dyn Adapter]) -> ExitCode {
    if let Some(done) = part::play(adapters) {
        return done;
    }
    let words: Vec<String> = env::args().skip(1).collect();
    // What cargo and its helpers pass to a test binary.
    if words.iter().any(|word| word == "--list") {
        return ExitCode::SUCCESS;
    }
    let words: Vec<_> = words.iter().filter(|w| !w.starts_with('-')).collect();
    let bless = env::var_os("HANDOFF_BLESS").is_some();
    let mut plays = VecDeque::new();
    for scenario in scenarios::all() {
        // The first adapter is the one that the others are compared with.
        for &adapter in adapters.iter().take(if bless { 1 } else { adapters.len() }) {
            let name = format!("{}/{}", adapter.name(), scenario.name);
            if words.is_empty() || words.iter().any(|word| name.contains(*word)) {
                plays.push_back((adapter, scenario));
            }
        }
    }
    let (count, started) = (plays.len(), Instant::now());
    let failures = play_all(plays, bless);
    let names: Vec<_> = adapters.iter().map(|adapter| adapter.name()).collect();
    let (names, took) = (names.join(", "), started.elapsed().as_secs_f32());
    println!(
        "conformance of {names}: {count} plays in {took:.1} s, {} failed",
        failures.len()
    );
    for name in &failures {
        println!("    {name}");
    }
    ExitCode::from(u8::from(!failures.is_empty() || count == 0))
}

/// Says at once what has failed, and gives the names.
fn play_all(plays: VecDeque<Play<'_>>, bless: bool) -> Vec<String> {
    let (plays, failures) = (Mutex::new(plays), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let next = lock(&plays).pop_front();
                    let Some((adapter, scenario)) = next else {
                        return;
                    };
                    if let Err(difference) = play((adapter, scenario), bless) {
                        let name = format!("{}/{}", adapter.name(), scenario.name);
                        let mut failures = lock(&failures);
                        println!("FAILED {name}\n    {}\n{difference}\n", scenario.about);
                        failures.push(name);
                    }
                }
            });
        }
    });
    failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

fn play((adapter, scenario): Play<'_>, bless: bool) -> Result<(), String> {
    let started = Instant::now();
    let stage = Stage::new(adapter.name(), scenario).map_err(|e| e.to_string())?;
    let lines = stage.play();
    if started.elapsed() > Duration::from_secs(5) {
        println!(
            "{}/{} took {:?}",
            adapter.name(),
            scenario.name,
            started.elapsed()
        );
    }
    trace::check(scenario, &lines, bless)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

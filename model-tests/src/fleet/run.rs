//! Everything that is measured at one size.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::client::{Client, micros};
use super::cost::{Holds, Peaks, Used, sleeps};
use super::household::Household;
use super::report::{Figures, Way, Whole};
use crate::machine::load;

/// How long it is waited for what a handoff leaves behind: the end of the daemon that was replaced.
const SETTLE: Duration = Duration::from_millis(500);

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// This program.
    pub program: PathBuf,
    /// At least so many handoffs each way, of all services together.
    pub handoffs: usize,
    /// How long it is watched while nothing is asked of it.
    pub idle: Duration,
    /// How many services are asked by a client all the time.
    pub clients: usize,
    /// Other bounds than none for the handoffs at a time.
    pub at_a_time: Vec<usize>,
}

/// Measures a supervisor with so many services.
///
/// # Errors
/// Something failed, a handoff above all; no process is left behind.
pub fn measure(plan: &Plan, services: usize) -> anyhow::Result<Figures> {
    let load = load();
    let household = Household::start(&plan.program, services)?;
    sleep(SETTLE);
    let fresh = Holds::of(household.pid())?;
    let idle = idle(plan, &household)?;
    let bounds = plan.at_a_time.iter().filter(|bound| **bound < services);
    let mut ways = vec![
        way(plan, &household, "one after the other", 1, false)?,
        way(plan, &household, "all at once", usize::MAX, false)?,
        way(plan, &household, "all at once, followed", usize::MAX, true)?,
    ];
    for bound in bounds {
        let name = format!("{bound} at a time");
        ways.push(way(plan, &household, &name, *bound, false)?);
    }
    let status = {
        let began = Instant::now();
        let peaks = Peaks::watch(household.pid());
        household.desk().running()?;
        (began.elapsed(), peaks.seen())
    };
    sleep(SETTLE);
    let used = Holds::of(household.pid())?;
    let missed = household.said("events are missing");
    let start = household.start;
    let end = household.end()?;
    Ok(Figures {
        services,
        load,
        start_ms: ms(start),
        end_ms: ms(end),
        status_ms: ms(status.0),
        status_threads: status.1.0,
        rss_kib: fresh.rss_kib,
        pss_kib: fresh.pss_kib,
        rss_used_kib: used.rss_kib,
        peak_kib: used.peak_kib,
        descriptors: fresh.descriptors,
        descriptors_used: used.descriptors,
        threads: fresh.threads,
        idle_wakes_per_10_s: idle,
        history_gaps: missed,
        ways,
    })
}

/// How often it wakes while nothing is asked of it, in ten seconds.
fn idle(plan: &Plan, household: &Household) -> anyhow::Result<f64> {
    let before = sleeps(household.pid())?;
    sleep(plan.idle);
    // A thread that ends meanwhile takes its count along.
    let wakes = sleeps(household.pid())?.saturating_sub(before);
    let wakes = u32::try_from(wakes).unwrap_or(u32::MAX);
    Ok(f64::from(wakes) * 10.0 / plan.idle.as_secs_f64())
}

fn way(
    plan: &Plan,
    household: &Household,
    name: &str,
    at_once: usize,
    events: bool,
) -> anyhow::Result<Way> {
    let names = &household.names;
    let rounds = plan.handoffs.div_ceil(names.len()).max(3);
    let desk = household.desk();
    // Spread over all of them.
    let step = names.len().div_ceil(plan.clients.max(1));
    let asked = names.iter().step_by(step).take(plan.clients);
    let clients: Vec<_> = asked
        .map(|name| Client::start(household.door(name)))
        .collect();
    sleep(SETTLE);

    let before = Used::by(household.pid())?;
    let peaks = Peaks::watch(household.pid());
    let mut totals = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        desk.hand_over(names, at_once, events)?;
        totals.push(micros(began.elapsed()));
    }
    let (threads, descriptors) = peaks.seen();
    sleep(SETTLE);
    let used = Used::by(household.pid())?;

    let mut seen = Vec::new();
    for client in clients {
        seen.extend(client.pauses()?);
    }
    let mut past = Vec::new();
    for name in names {
        past.extend(desk.past(name, rounds)?);
    }
    let per_handoff = |all: u64| all / u64::try_from(names.len() * rounds).unwrap_or(u64::MAX);
    let each = u64::try_from(names.len()).unwrap_or(u64::MAX);
    Ok(Way {
        name: name.into(),
        load: load(),
        rounds,
        per_service_ms: Whole::of(totals.iter().map(|total| total / each)),
        total_ms: Whole::of(totals),
        pause_ms: Whole::of(past.iter().map(|one| one.pause_us)),
        handoff_ms: Whole::of(past.iter().map(|one| one.whole_us)),
        seen_ms: Whole::of(seen),
        own_cpu_us: per_handoff(used.own_us.saturating_sub(before.own_us)),
        services_cpu_us: per_handoff(used.children_us.saturating_sub(before.children_us)),
        threads,
        descriptors,
    })
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

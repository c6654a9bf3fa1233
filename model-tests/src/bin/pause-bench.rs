//! Measures how long writes stall in a handoff, on our adapters and on the published crate of version 1.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};
use handoff_model_tests::machine::Machine;
use handoff_model_tests::pause::{
    Conditions, Contender, Figures, Part, Report, Scenario, Series, Setting, be_daemon, draw,
    has_real_time, has_strace, play,
};

/// Hand a small durable daemon over again and again, and measure what its clients notice.
///
/// Every round runs in the real-time class (chrt -f 10) where this program may start processes in it, which takes
/// root or `CAP_SYS_NICE`, and like any other process elsewhere. The output and the report say which it was.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Role>,
    /// Handoffs of each contender under each of the conditions.
    #[arg(long, value_name = "N", default_value_t = 20)]
    rounds: usize,
    /// Measure these alone.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    only: Vec<Contender>,
    /// Only the ordinary conditions: no warm-up, no slow flushes.
    #[arg(long)]
    brief: bool,
    /// Run like any other process, and not in the real-time class. Threads then wait for each other although a
    /// processor is idle, so times are longer and spread more.
    #[arg(long)]
    plain: bool,
    /// Where the data of the daemons goes. The disk counts.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write all figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Draw the library's share of the pause into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
}

/// What this program is to itself.
#[derive(Subcommand)]
enum Role {
    /// The measured daemon.
    #[command(hide = true)]
    Daemon(Part),
    /// One round; prints what came of it.
    #[command(hide = true)]
    Round(Part),
}

fn main() -> anyhow::Result<()> {
    let args = Arguments::parse();
    match args.part {
        Some(Role::Daemon(part)) => be_daemon(&part),
        Some(Role::Round(part)) => {
            let round = play(&part)?;
            Ok(serde_json::to_writer(io::stdout(), &round)?)
        }
        None => measure(&args),
    }
}

fn measure(args: &Arguments) -> anyhow::Result<()> {
    let setting = Setting {
        machine: Machine::here(),
        real_time: !args.plain && has_real_time(),
    };
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => std::env::temp_dir(),
    };
    let series = Series {
        program: std::env::current_exe().context("which program am I?")?,
        dir,
        real_time: setting.real_time,
    };
    let mut contenders = args.only.clone();
    if contenders.is_empty() {
        contenders = Contender::ALL.into();
    }
    let mut out = io::stdout();
    writeln!(out, "{setting}")?;
    if !setting.real_time && !args.plain {
        writeln!(
            out,
            "chrt -f 10 cannot be used here: it takes root or CAP_SYS_NICE"
        )?;
    }
    let can_trace = has_strace();
    if !can_trace {
        writeln!(
            out,
            "strace cannot be used here: no calls are counted, and flushes are not slowed down"
        )?;
    }
    let mut calls = BTreeMap::new();
    if can_trace {
        for on in &contenders {
            calls.insert(*on, series.trace(*on)?.0);
        }
    }
    let mut conditions = vec![Conditions::default()];
    if !args.brief {
        conditions.push(Conditions {
            warm_up_ms: 500,
            ..Conditions::default()
        });
        if can_trace {
            conditions.extend([0, 5].map(|ms| Conditions {
                flush_delay_ms: Some(ms),
                ..Conditions::default()
            }));
        }
    }
    let mut scenarios = Vec::new();
    for conditions in conditions {
        let mut rounds: BTreeMap<Contender, Vec<_>> = BTreeMap::new();
        for _ in 0..args.rounds {
            // In turn, so that whatever else the machine does meets all of them.
            for on in &contenders {
                let round = series.play(*on, conditions)?;
                rounds.entry(*on).or_default().push(round);
            }
        }
        let figures = rounds
            .iter()
            .filter_map(|(on, rounds)| Some((*on, Figures::new(rounds, calls.get(on))?)));
        scenarios.push(Scenario {
            name: conditions.name(),
            conditions,
            figures: figures.collect(),
        });
    }
    let report = Report::new(setting, scenarios);
    write!(out, "\n{}", report.table())?;
    if let Some(file) = &args.report {
        fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(file) = &args.chart {
        draw(&report, file)?;
    }
    Ok(())
}

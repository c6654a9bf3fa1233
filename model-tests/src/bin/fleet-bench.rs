//! Measures what one supervisor costs with one service and with many, and what their handoffs do to each
//! other.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use handoff_model_tests::fleet::{Place, Plan, Report, measure, serve};
use handoff_model_tests::machine::Machine;

/// Supervise many small services at once, hand all of them over, and say what each costs.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// How many services, one measurement for each number.
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "1,10,100,500"
    )]
    services: Vec<usize>,
    /// At least so many handoffs each way, and no fewer than three of each service.
    #[arg(long, value_name = "N", default_value_t = 200)]
    handoffs: usize,
    /// Hand over at most so many at a time as well, one measurement for each number.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    at_a_time: Vec<usize>,
    /// How many services are asked by a client all the time.
    #[arg(long, value_name = "N", default_value_t = 4)]
    clients: usize,
    /// How many seconds the supervisor is watched while nothing is asked of it.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    idle: u64,
    /// Write all figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What this program is to itself.
#[derive(Subcommand)]
enum Part {
    /// One of the services.
    #[command(hide = true)]
    Service(Place),
    /// The program `handoff`, with these arguments.
    #[command(hide = true)]
    AsHandoff {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Arguments::parse();
    match &args.part {
        Some(Part::Service(place)) => serve(place)?,
        Some(Part::AsHandoff { arguments }) => {
            let name = OsString::from("handoff");
            let arguments = arguments.iter().cloned();
            return Ok(handoff_supervisor::main(
                [name].into_iter().chain(arguments),
            ));
        }
        None => measure_all(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn measure_all(args: &Arguments) -> anyhow::Result<()> {
    let plan = Plan {
        program: std::env::current_exe().context("which program am I?")?,
        handoffs: args.handoffs,
        idle: Duration::from_secs(args.idle.max(1)),
        clients: args.clients,
        at_a_time: args.at_a_time.clone(),
    };
    let mut report = Report {
        machine: Machine::here(),
        sizes: Vec::new(),
    };
    let mut out = io::stdout();
    writeln!(out, "{}\n", report.machine)?;
    for services in &args.services {
        let figures = measure(&plan, *services).with_context(|| format!("{services} services"))?;
        report.sizes.push(figures);
    }
    write!(out, "{}", report.tables())?;
    for size in &report.sizes {
        if size.history_gaps > 0 {
            writeln!(
                out,
                "\nwith {} services the history has gaps: its log says so {} times",
                size.services, size.history_gaps
            )?;
        }
    }
    if let Some(file) = &args.report {
        fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    Ok(())
}

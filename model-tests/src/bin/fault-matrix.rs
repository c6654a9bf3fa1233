//! Plays the fault matrix: one row for each thing that can go wrong with a handoff, on real processes
//! under load. Exits with 1 when a row is not as it should be.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use handoff_model_tests::matrix::{Case, Verdict, is_part, play_all, table};

/// Break handoffs in every way and at every point, and see what comes of it.
#[derive(Parser)]
struct Arguments {
    /// Play some rows of each kind, in less than half a minute.
    #[arg(long)]
    quick: bool,
    /// Whose supervisor and daemon to play with.
    #[arg(long, value_enum, default_value_t = Runtime::Std)]
    runtime: Runtime,
    /// Play only rows whose fault and place contain this text.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// How many rows to play at a time.
    #[arg(long, value_name = "N", default_value_t = 6)]
    jobs: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Runtime {
    /// Threads.
    Std,
}

fn main() -> anyhow::Result<ExitCode> {
    let args: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = is_part(&args) {
        return Ok(code);
    }
    let Arguments {
        quick,
        runtime: Runtime::Std,
        only,
        jobs,
    } = Arguments::parse_from(args);
    let mut cases = if quick { Case::quick() } else { Case::all() };
    cases.retain(|case| format!("{} {}", case.fault(), case.place()).contains(&only));
    let binary = std::env::current_exe().context("which program am I?")?;

    let started = Instant::now();
    let mut verdicts = Vec::new();
    let mut out = io::stdout();
    writeln!(out, "{}", table::head())?;
    let mut written = Ok(());
    play_all(&cases, jobs, &binary, |row| {
        if written.is_ok() {
            written = writeln!(out, "{}", table::row(row));
        }
        verdicts.push(row.verdict.clone());
    });
    written?;
    writeln!(out, "{}", table::totals(&verdicts, started.elapsed()))?;
    let failed = verdicts
        .iter()
        .any(|verdict| matches!(verdict, Verdict::Failed(_)));
    Ok(ExitCode::from(u8::from(failed)))
}

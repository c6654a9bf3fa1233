//! Plays the fault matrix: one row for each thing that can go wrong with a handoff, on real processes
//! under load. Exits with 1 when a row is not as it should be.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use handoff_model_tests::matrix::{Case, Runtime, Verdict, is_part, play_all, table};

/// Break handoffs in every way and at every point, and see what comes of it.
#[derive(Parser)]
struct Arguments {
    /// Play some rows of each kind, in less than half a minute.
    #[arg(long)]
    quick: bool,
    /// What the daemons are built on. Without it that is std, and of the --quick rows a few are played
    /// on tokio and mio as well.
    #[arg(long, value_enum)]
    runtime: Option<Runtime>,
    /// Play only rows whose fault and place contain this text.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// How many rows to play at a time.
    #[arg(long, value_name = "N", default_value_t = 6)]
    jobs: usize,
}

fn main() -> anyhow::Result<ExitCode> {
    let args: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = is_part(&args) {
        return Ok(code);
    }
    let Arguments {
        quick,
        runtime,
        only,
        jobs,
    } = Arguments::parse_from(args);
    let on =
        |runtime: Runtime, cases: Vec<Case>| cases.into_iter().map(move |case| (case, runtime));
    let cases = if quick { Case::quick() } else { Case::all() };
    let mut cases: Vec<_> = on(runtime.unwrap_or_default(), cases).collect();
    if quick && runtime.is_none() {
        cases.extend(on(Runtime::Tokio, Case::few()));
        cases.extend(on(Runtime::Mio, Case::few()));
    }
    cases.retain(|(case, _)| format!("{} {}", case.fault(), case.place()).contains(&only));
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

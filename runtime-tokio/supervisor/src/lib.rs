//! All of the `handoff` binary, so that other programs can be it, too: `supervise` replaces a daemon's
//! binary while it runs, `check` looks at a configuration file, `status` asks how a daemon is,
//! `history` and `watch` tell what has happened and what happens, `replay` shows a recorded handoff,
//! `demo` shows it all, and `kvd` is the daemon of the demo. Of use by themselves are [`config`] and
//! [`load`].

pub mod config;
mod demo;
mod exit;
mod kvd;
pub mod load;
mod log;
mod manual;
mod operate;
mod probe;
mod replay;
mod status;
mod supervise;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

use config::Config;
use config::check::{self, CheckArgs};
use demo::{DemoArgs, SupervisorArgs};
use exit::{DONE, ERROR};
use kvd::args::KvdArgs;
use manual::{CompletionsArgs, ManArgs};
use operate::args::{HistoryArgs, RestartArgs, RollbackArgs, UpgradeArgs, WatchArgs};
use probe::ProbeArgs;
use replay::ReplayArgs;
use status::StatusArgs;
use supervise::args::SuperviseCommand;

#[derive(Debug, Parser)]
#[command(name = "handoff", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the key-value daemon.
    Kvd(KvdArgs),
    /// Show all of it: a daemon replaced again and again, under load and with failures.
    Demo(DemoArgs),
    /// The supervisor of the demo.
    #[command(hide = true)]
    DemoSupervisor(SupervisorArgs),
    Supervise(SuperviseCommand),
    Upgrade(UpgradeArgs),
    Restart(RestartArgs),
    Rollback(RollbackArgs),
    Status(StatusArgs),
    History(HistoryArgs),
    Watch(WatchArgs),
    Check(CheckArgs),
    Replay(ReplayArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
    /// Look once whether a service is well, as a health check does.
    #[command(hide = true, subcommand)]
    Probe(ProbeArgs),
}

/// Runs the binary with these arguments, the first of which is its name. Ends the process if they
/// cannot be understood.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = Cli::parse_from(args).command;
    let config = match &command {
        Command::Supervise(args) => args.config.as_deref().map(Config::load),
        _ => None,
    };
    let config = match config.transpose() {
        Ok(config) => config,
        Err(error) => {
            // A line for each thing that is wrong, as `handoff check` says it.
            let _ = writeln!(io::stderr(), "{error}");
            return ERROR.into();
        }
    };
    let level = match command {
        Command::Supervise(_) => LevelFilter::INFO,
        _ => LevelFilter::ERROR,
    };
    let format = config.as_ref().map(|config| config.supervisor.log_format);
    log::start(level, format.unwrap_or_default());
    let done = |()| DONE.into();
    let result = match command {
        Command::Supervise(args) => supervise::run(args, config).map(done),
        Command::Upgrade(args) => operate::upgrade(&args),
        Command::Restart(args) => operate::restart(&args),
        Command::Rollback(args) => operate::rollback(&args),
        Command::Status(args) => status::run(&args),
        Command::History(args) => operate::past::run(&args),
        Command::Watch(args) => operate::watch::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Replay(args) => Ok(replay::run(&args)),
        Command::Completions(args) => manual::completions(&args).map(done),
        Command::Man(args) => manual::man(&args).map(done),
        Command::Probe(args) => probe::run(&args).map(done),
        Command::Kvd(args) => kvd::run(&args).map(done),
        Command::Demo(args) => demo::run(&args).map(done),
        Command::DemoSupervisor(args) => demo::run_supervisor(&args).map(done),
    };
    let code = result.unwrap_or_else(|error| {
        // For an operator, so in one line, and without the stack that RUST_BACKTRACE would add.
        log::say(&format!("Error: {}", in_words(&error)));
        ERROR.into()
    });
    log::finish();
    code
}

/// An error and its causes; those that it has named itself are not repeated.
fn in_words(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if words.is_empty() {
            words = cause;
        } else if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

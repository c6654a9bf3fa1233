//! All of the `handoff` binary, so that other programs can be it, too: `demo` shows it all, and `kvd`
//! is the daemon of the demo. Of use by itself is [`load`].

mod demo;
mod kvd;
pub mod load;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use demo::{DemoArgs, SupervisorArgs};
use kvd::args::KvdArgs;

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
}

/// Runs the binary with these arguments, the first of which is its name. Ends the process if they
/// cannot be understood.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match run(Cli::parse_from(args).command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Kvd(args) => kvd::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::DemoSupervisor(args) => demo::run_supervisor(&args),
    }
}

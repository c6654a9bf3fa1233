//! The `handoff` binary: `demo` shows it all, and `kvd` is the daemon of the demo.

mod demo;
mod kvd;
mod load;

use clap::{Parser, Subcommand};

use demo::{DemoArgs, SupervisorArgs};
use kvd::args::KvdArgs;

#[derive(Debug, Parser)]
#[command(version, about)]
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

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match Cli::parse().command {
        Command::Kvd(args) => kvd::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::DemoSupervisor(args) => demo::run_supervisor(&args),
    }
}

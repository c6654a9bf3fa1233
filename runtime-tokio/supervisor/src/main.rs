//! The `handoff` binary: `supervise`, which replaces a daemon's binary while it runs; `kvd`, the daemon
//! of the demo; and `load`, which puts it under load.

mod kvd;
mod load;
mod supervise;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use kvd::args::KvdArgs;
use load::{Load, LoadConfig};
use supervise::args::SuperviseArgs;

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
    Supervise(SuperviseArgs),
    /// Write and read for a while, then look for everything that was acknowledged.
    Load {
        /// A RESP server on this machine.
        addr: SocketAddr,
        /// How long to go on.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
}

fn main() -> anyhow::Result<()> {
    let command = Cli::parse().command;
    let level = match command {
        Command::Supervise(_) => LevelFilter::INFO,
        _ => LevelFilter::ERROR,
    };
    let filter = EnvFilter::builder().with_default_directive(level.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match command {
        Command::Supervise(args) => supervise::run(&args),
        Command::Kvd(args) => kvd::run(&args),
        Command::Load { addr, seconds } => run_load(addr, Duration::from_secs(seconds)),
    }
}

fn run_load(addr: SocketAddr, time: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    let load = Load::start(addr, &LoadConfig::default())?;
    thread::sleep(time);
    let ended = Instant::now();
    println!("{:?}", load.counters());
    println!("longest write pause {:?}", load.write_pause(begun, ended));
    println!("connecting {:?}", load.connect_latency(begun, ended));
    if let Some(failure) = load.last_failure() {
        println!("last failure: {failure}");
    }
    let acked = load.stop();
    println!("{} acknowledged: {:?}", acked.count(), acked.verify(addr)?);
    Ok(())
}

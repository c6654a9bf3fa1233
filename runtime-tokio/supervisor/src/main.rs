//! The `handoff` binary: `kvd`, the daemon of the demo, and `load`, which puts it under load.

mod kvd;
mod load;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use kvd::args::KvdArgs;
use load::{Load, LoadConfig};

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
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match Cli::parse().command {
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

//! `handoff kvd`: the daemon as a process, started by hand or by anybody's supervisor. Here is what
//! has nothing to do with the adapter that hands it over; [`run_std`] and [`run_tokio`] are the rest.

use std::net::TcpListener;
use std::path::Path;
use std::thread;

use anyhow::Context;
use handoff_std::{DataDirLock, InheritedListeners, Readiness, Retirement, SuccessorSetup};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::{KvdArgs, KvdCommand, Runtime};
use super::check::check;
use super::{Kvd, run_mio, run_std, run_tokio};

/// The name of the listener that clients connect to.
pub(super) const RESP: &str = "resp";

/// Runs the daemon until it has been handed over or is told to end, or asks another one.
///
/// # Errors
/// Whatever keeps it from serving. The process should end with a failure then.
pub(crate) fn run(args: &KvdArgs) -> anyhow::Result<()> {
    if let Some(KvdCommand::Check { address }) = args.command {
        return check(address);
    }
    match args.runtime {
        Runtime::Std => run_std::run(args),
        Runtime::Tokio => run_tokio::run(args),
        Runtime::Mio => run_mio::run(args),
    }
}

/// Takes signals in from now on. The role has been found out, and nothing else was done.
pub(super) fn begin(args: &KvdArgs) -> anyhow::Result<Signals> {
    let signals = Signals::new([SIGTERM, SIGINT])?;
    args.faults.log("born")?;
    Ok(signals)
}

/// How a successor presents itself.
pub(super) fn setup(args: &KvdArgs, control: &Path) -> SuccessorSetup {
    SuccessorSetup {
        build_id: args.tag.clone().into_bytes(),
        times: args.faults.successor_times(),
        ..SuccessorSetup::new(control, &args.data_dir)
    }
}

/// What needs neither the lock nor the data.
pub(super) fn warm_up(args: &KvdArgs) -> anyhow::Result<()> {
    args.faults.warm_up().map_err(anyhow::Error::from_boxed)
}

/// Opens the data, for whoever holds the lock.
pub(super) fn open(args: &KvdArgs) -> anyhow::Result<Kvd> {
    Kvd::open(args, &args.data_dir)
}

/// What a successor says once the data is open.
pub(super) fn readiness(revision: u64) -> Readiness {
    Readiness {
        listening_on: vec![RESP.to_owned()],
        healthy: true,
        revisions: vec![revision],
    }
}

/// Serves, in a process that was started afresh: nobody can come back from before it.
pub(super) fn serve_afresh(
    daemon: &Kvd,
    generation: u64,
    listener: TcpListener,
    args: &KvdArgs,
) -> anyhow::Result<()> {
    daemon.set_generation(generation);
    args.faults.log("committed")?;
    daemon.set_committed();
    Ok(daemon.serve_on(listener)?)
}

/// Without a control path there is no adapter: serves until a signal comes.
pub(super) fn stand_alone(
    mut listeners: InheritedListeners,
    args: &KvdArgs,
    mut signals: Signals,
) -> anyhow::Result<()> {
    let lock = DataDirLock::acquire(&args.data_dir)?;
    let listener = listener(&mut listeners, args)?;
    warm_up(args)?;
    let daemon = open(args)?;
    serve_afresh(&daemon, lock.generation(), listener, args)?;
    signals.forever().next();
    daemon.shutdown()
}

/// Calls `stop` at every signal.
pub(super) fn on_signal(
    mut signals: Signals,
    stop: impl Fn() + Send + 'static,
) -> anyhow::Result<()> {
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _ in signals.forever() {
                stop();
            }
        })
        .context("cannot start a thread for signals")?;
    Ok(())
}

/// Ends as the incumbent has.
pub(super) fn retire(
    retirement: &Retirement,
    shutdown: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    match retirement {
        Retirement::Committed(id) => tracing::info!(%id, "handed over"),
        Retirement::Superseded => tracing::info!("another process has taken over"),
        Retirement::Stopped => shutdown()?,
    }
    Ok(())
}

/// The listener that was inherited, or a new one.
pub(super) fn listener(
    listeners: &mut InheritedListeners,
    args: &KvdArgs,
) -> anyhow::Result<TcpListener> {
    match listeners.take_tcp(RESP)? {
        Some(listener) => Ok(listener),
        None => bind(args),
    }
}

/// A new listener.
pub(super) fn bind(args: &KvdArgs) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(args.listen)
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    Ok(listener)
}

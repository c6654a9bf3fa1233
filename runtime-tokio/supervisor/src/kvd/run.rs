//! `handoff kvd`: the daemon as a process, started by hand or by anybody's supervisor.
//!
//! This is what a daemon of one's own looks like: find out the role, take the lock, open the data,
//! serve, and answer supervisors until another process has taken over.

use std::net::TcpListener;
use std::path::Path;
use std::thread;

use anyhow::{Context, bail};
use handoff_std::{
    DataDirLock, Incumbent, IncumbentHandle, InheritedListeners, Readiness, Retirement, Role,
    Successor, SuccessorSetup, detect_role,
};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Kvd;
use super::args::{KvdArgs, KvdCommand};
use super::check::check;

/// The name of the listener that clients connect to.
const RESP: &str = "resp";

/// Runs the daemon until it has been handed over or is told to end, or asks another one.
///
/// # Errors
/// Whatever keeps it from serving. The process should end with a failure then.
pub(crate) fn run(args: &KvdArgs) -> anyhow::Result<()> {
    if let Some(KvdCommand::Check { address }) = args.command {
        return check(address);
    }
    // First of all, while there is but one thread.
    let role = detect_role()?;
    let signals = Signals::new([SIGTERM, SIGINT])?;
    args.faults.log("born")?;
    match (role, &args.control_socket) {
        (Role::Successor(successor), Some(control)) => take_over(successor, args, control, signals),
        (Role::Successor(_), None) => bail!("a successor needs to be told --control-socket"),
        (Role::ColdStart(listeners), Some(control)) => start(listeners, args, control, signals),
        (Role::ColdStart(listeners), None) => stand_alone(listeners, args, signals),
    }
}

fn start(
    mut listeners: InheritedListeners,
    args: &KvdArgs,
    control: &Path,
    signals: Signals,
) -> anyhow::Result<()> {
    let lock = DataDirLock::acquire(&args.data_dir)?;
    let mut incumbent = Incumbent::bind(control, lock)?
        .with_build_id(args.tag.as_bytes())
        .with_times(args.faults.incumbent_times());
    let listener = if let Some(listener) = listeners.take_tcp(RESP)? {
        listener
    } else {
        let listener = bind(args)?;
        // A supervisor that takes charge later can have it all the same.
        incumbent = incumbent.with_kept_listener(RESP, listener.try_clone()?);
        listener
    };
    warm_up(args)?;
    let daemon = Kvd::open(args, &args.data_dir)?;
    daemon.set_generation(incumbent.generation());
    args.faults.log("committed")?;
    daemon.set_committed();
    daemon.serve_on(listener)?;
    answer(incumbent, &daemon, signals)
}

fn take_over(
    successor: Successor,
    args: &KvdArgs,
    control: &Path,
    signals: Signals,
) -> anyhow::Result<()> {
    let setup = SuccessorSetup {
        build_id: args.tag.clone().into_bytes(),
        times: args.faults.successor_times(),
        ..SuccessorSetup::new(control, &args.data_dir)
    };
    let warming = successor.handshake(setup)?;
    if let Err(error) = warm_up(args) {
        warming.give_up(&format!("{error:#}"));
        return Err(error);
    }
    let mut begun = warming.stand_by()?.wait_for_begin()?;
    let listener = listener(begun.listeners(), args)?;
    let daemon = match Kvd::open(args, &args.data_dir) {
        Ok(daemon) => daemon,
        Err(error) => {
            begun.give_up(&format!("{error:#}"));
            return Err(error);
        }
    };
    daemon.set_generation(begun.generation());
    let incumbent = begun.announce(Readiness {
        listening_on: vec![RESP.to_owned()],
        healthy: true,
        revisions: vec![daemon.revision()],
    })?;
    daemon.serve_on(listener)?;
    answer(
        incumbent.with_times(args.faults.incumbent_times()),
        &daemon,
        signals,
    )
}

fn stand_alone(
    mut listeners: InheritedListeners,
    args: &KvdArgs,
    mut signals: Signals,
) -> anyhow::Result<()> {
    let lock = DataDirLock::acquire(&args.data_dir)?;
    let listener = listener(&mut listeners, args)?;
    warm_up(args)?;
    let daemon = Kvd::open(args, &args.data_dir)?;
    daemon.set_generation(lock.generation());
    daemon.set_committed();
    daemon.serve_on(listener)?;
    signals.forever().next();
    daemon.shutdown()
}

/// What needs neither the lock nor the data.
fn warm_up(args: &KvdArgs) -> anyhow::Result<()> {
    args.faults.warm_up().map_err(anyhow::Error::from_boxed)
}

fn answer(incumbent: Incumbent, daemon: &Kvd, signals: Signals) -> anyhow::Result<()> {
    stop_on_signal(signals, incumbent.handle())?;
    match incumbent.serve(daemon.clone())? {
        Retirement::Committed(id) => tracing::info!(%id, "handed over"),
        Retirement::Superseded => tracing::info!("another process has taken over"),
        Retirement::Stopped => daemon.shutdown()?,
    }
    Ok(())
}

fn stop_on_signal(mut signals: Signals, incumbent: IncumbentHandle) -> anyhow::Result<()> {
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _ in signals.forever() {
                incumbent.stop();
            }
        })
        .context("cannot start a thread for signals")?;
    Ok(())
}

fn listener(listeners: &mut InheritedListeners, args: &KvdArgs) -> anyhow::Result<TcpListener> {
    match listeners.take_tcp(RESP)? {
        Some(listener) => Ok(listener),
        None => bind(args),
    }
}

fn bind(args: &KvdArgs) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(args.listen)
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    Ok(listener)
}

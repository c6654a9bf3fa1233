//! The daemon on `handoff-std`. Its hooks are those of [`hooks`](super::hooks), as they are.
//!
//! This is what a daemon of one's own looks like: find out the role, take the lock, open the data,
//! serve, and answer supervisors until another process has taken over.

use std::path::Path;

use anyhow::bail;
use handoff_std::{
    DataDirLock, Incumbent, InheritedListeners, Recordings, Role, Successor, detect_role,
};

use super::Kvd;
use super::args::KvdArgs;
use super::run::{
    RESP, begin, bind, listener, on_signal, open, readiness, retire, serve_afresh, setup,
    stand_alone, warm_up,
};

/// Runs the daemon until it has been handed over or is told to end.
///
/// # Errors
/// Whatever keeps it from serving.
pub(super) fn run(args: &KvdArgs) -> anyhow::Result<()> {
    // First of all, while there is but one thread.
    let role = detect_role()?;
    let signals = begin(args)?;
    let (incumbent, daemon) = match (role, &args.control_socket) {
        (Role::ColdStart(listeners), Some(control)) => start(listeners, args, control)?,
        (Role::ColdStart(listeners), None) => return stand_alone(listeners, args, signals),
        (Role::Successor(successor), Some(control)) => take_over(successor, args, control)?,
        (Role::Successor(_), None) => bail!("a successor needs to be told --control-socket"),
    };
    let handle = incumbent.handle();
    on_signal(signals, move || handle.stop())?;
    let retirement = incumbent.serve(daemon.clone())?;
    retire(&retirement, || daemon.shutdown())
}

fn start(
    mut listeners: InheritedListeners,
    args: &KvdArgs,
    control: &Path,
) -> anyhow::Result<(Incumbent, Kvd)> {
    let lock = DataDirLock::acquire(&args.data_dir)?;
    let mut incumbent = Incumbent::bind(control, lock)?
        .with_build_id(args.tag.as_bytes())
        .with_times(args.faults.incumbent_times());
    if let Some(dir) = &args.recordings {
        incumbent = incumbent.with_recording(Recordings::new(dir));
    }
    let listener = if let Some(listener) = listeners.take_tcp(RESP)? {
        listener
    } else {
        let listener = bind(args)?;
        // A supervisor that takes charge later can have it all the same.
        incumbent = incumbent.with_kept_listener(RESP, listener.try_clone()?);
        listener
    };
    warm_up(args)?;
    let daemon = open(args)?;
    serve_afresh(&daemon, incumbent.generation(), listener, args)?;
    Ok((incumbent, daemon))
}

fn take_over(
    mut successor: Successor,
    args: &KvdArgs,
    control: &Path,
) -> anyhow::Result<(Incumbent, Kvd)> {
    if let Some(dir) = &args.recordings {
        successor = successor.with_recording(Recordings::new(dir));
    }
    let warming = successor.handshake(setup(args, control))?;
    if let Err(error) = warm_up(args) {
        warming.give_up(&format!("{error:#}"));
        return Err(error);
    }
    let mut begun = warming.stand_by()?.wait_for_begin()?;
    let listener = listener(begun.listeners(), args)?;
    let daemon = match open(args) {
        Ok(daemon) => daemon,
        Err(error) => {
            begun.give_up(&format!("{error:#}"));
            return Err(error);
        }
    };
    daemon.set_generation(begun.generation());
    let incumbent = begun
        .announce(readiness(daemon.revision()))?
        .with_times(args.faults.incumbent_times());
    daemon.serve_on(listener)?;
    Ok((incumbent, daemon))
}

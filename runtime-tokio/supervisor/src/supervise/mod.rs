//! `handoff supervise`: starts a daemon, keeps it running, and replaces its binary when asked to.
//!
//! | file | what it holds |
//! |---|---|
//! | [`args`] | the command line, and in its help what an operator must know |
//! | [`overseer`] | the loop: who is watched, what is in flight, what is due |
//! | [`worker`] | the thread that a handoff runs on |
//! | [`trigger`] | the socket on which handoffs are asked for |
//! | [`daemon`] | a process that is watched, child of ours or not |
//! | [`listeners`] | inherited, given back, bound, or missing |
//! | [`missing`] | listeners that are bound or taken back as soon as can be |
//! | [`kept`] | what a daemon that lives gives back, and what is different there |
//! | [`fleet`] | the same for the services of a configuration file |
//! | [`binary`] | which binary is the current one, remembered across restarts |

pub(crate) mod args;
mod backoff;
mod binary;
mod daemon;
pub(crate) mod fleet;
mod kept;
mod listeners;
mod missing;
mod overseer;
mod signals;
mod trigger;
mod worker;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use handoff_std::core::supervisor::Phase;
use handoff_std::host::{Inherited, JournalFile, NamedListener, SpawnSpec, control, lock};
use handoff_std::{Recordings, Supervisor, SupervisorEvent};

use crate::config::Config;
use args::{SuperviseArgs, SuperviseCommand};
use binary::{BinaryRecord, Candidate};
use listeners::Listeners;
use missing::Missing;
use overseer::Overseer;
use signals::Signals;
use trigger::Trigger;
use worker::Worker;

/// Supervises until it is told to end: the services of `config`, which is that of the command line, or
/// the one service that the command line describes.
///
/// # Errors
/// Whatever keeps it from starting, in words for the operator; or what made it end.
pub(crate) fn run(command: SuperviseCommand, config: Option<Config>) -> anyhow::Result<()> {
    let keep_daemon = command.keep_daemon;
    match (config, command.one) {
        (Some(config), _) => fleet::run(config, keep_daemon),
        (None, Some(one)) => run_one(&SuperviseArgs { keep_daemon, ..one }),
        (None, None) => bail!("no service is described; see --help"),
    }
}

fn run_one(args: &SuperviseArgs) -> anyhow::Result<()> {
    // First of all, while there is but one thread.
    let inherited = Inherited::from_env()?;
    if inherited.successor_channel.is_some() {
        bail!("a supervisor cannot be started as the successor of a daemon");
    }
    if args.trigger_socket.as_ref() == Some(&args.control_socket) {
        bail!(
            "the trigger socket and the control socket are both {}; the daemon needs the latter for \
             itself, choose another path for the former",
            args.control_socket.display()
        );
    }
    if args.health_check.is_some() && args.probation_secs == 0 {
        bail!(
            "--health-check is for a probation, and --probation-secs is 0: give it the seconds that a new \
             version is to be watched for, or leave the check out"
        );
    }
    let signals = Signals::register().context("cannot catch signals")?;
    fs::create_dir_all(&args.data_dir)
        .with_context(|| format!("cannot create {}", args.data_dir.display()))?;
    let _in_charge = take_charge(&args.data_dir)?;

    let kept = kept::ask(&args.control_socket);
    let mut listeners = Listeners::open(&args.listeners, inherited.listeners, kept)?;
    let occupied = is_occupied(&args.control_socket, &args.data_dir);
    if let Some((_, error)) = listeners.missing.first()
        && !occupied
    {
        bail!("{error}");
    }
    let (daemon, record) = daemon_to_start(args)?;
    if let Err(error) = daemon.check() {
        if !occupied {
            return Err(error.into());
        }
        tracing::error!(%error, "the daemon that runs could not be started again");
    }

    let journal = args.journal();
    let candidate = Candidate::new(record.clone());
    let mut supervisor = Supervisor::new(&args.control_socket, &args.data_dir, daemon)?
        .with_journal(&journal)
        .with_observer(observer(
            args.control_socket.clone(),
            args.data_dir.clone(),
            candidate.clone(),
        ));
    if let Some(dir) = &args.recordings {
        supervisor = supervisor.with_recording(Recordings::new(dir));
    }
    for NamedListener { name, fd, .. } in listeners.held.drain(..) {
        supervisor.add_listener(name, fd);
    }
    let trigger = match &args.trigger_socket {
        Some(path) => Some(Trigger::bind(path, &args.allowed_uids).context("trigger socket")?),
        None => None,
    };
    let control = args.control_socket.clone();
    let worker = Worker::start(control, JournalFile::new(journal), record, candidate)
        .context("cannot start the handoff thread")?;
    let missing = Missing::after(listeners, Instant::now());
    Overseer::new(args, supervisor, worker, signals, trigger, missing).run()
}

/// How long the lock of a supervisor may outlive it: a killed process needs a moment to end, and so
/// does a child that it was just starting, which has a copy of the lock until it runs its own program.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// Keeps a second supervisor away from the same daemon, for as long as the file is open.
fn take_charge(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join(".handoff.supervisor");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let patience = Instant::now() + LAST_BREATH;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < patience => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => bail!(
                "another supervisor is in charge of {}; stop it first, with --keep-daemon in its \
                 arguments the daemon goes on meanwhile",
                data_dir.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}

/// Whether a daemon seems to be there: somebody listens on the control path, or holds the writer
/// lock.
fn is_occupied(control_path: &Path, data_dir: &Path) -> bool {
    is_listened_on(control_path) || lock::lock_is_free(data_dir).is_ok_and(|free| !free)
}

fn is_listened_on(control_path: &Path) -> bool {
    match control::connect(control_path) {
        Ok(_) => true,
        // Its queue is full, so somebody lives who is to empty it.
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}

/// The daemon that is started when nobody serves.
fn daemon_to_start(args: &SuperviseArgs) -> anyhow::Result<(SpawnSpec, BinaryRecord)> {
    let Some((named, rest)) = args.command.split_first() else {
        bail!("no binary is given; write it after --");
    };
    let record = BinaryRecord::new(&args.data_dir, named);
    let spec = |binary| SpawnSpec {
        binary,
        args: rest.to_vec(),
        own_group: true,
        ..SpawnSpec::default()
    };
    let current = spec(record.current());
    if current.binary != record.named()
        && let Err(error) = current.check()
    {
        tracing::error!(
            %error, instead = %record.named().display(),
            "the binary that replaced the command line's is gone; going back to that one"
        );
        return Ok((spec(record.named().to_path_buf()), record));
    }
    Ok((current, record))
}

/// Logs what comes by, and once why a look at who serves takes its time. Remembers what is committed.
fn observer(
    control: PathBuf,
    data_dir: PathBuf,
    candidate: Candidate,
) -> impl FnMut(&SupervisorEvent) + Send + 'static {
    let (mut settling, mut follow) = (false, candidate.follow());
    move |event| {
        if let SupervisorEvent::Phase(phase) = event {
            follow(*phase);
            let waits = *phase == Phase::Settling;
            if waits && !settling {
                tracing::warn!(
                    control = %control.display(), data_dir = %data_dir.display(),
                    lock_holder = lock::holder_hint(&data_dir),
                    "it has not settled yet who serves; waiting for somebody to answer"
                );
            }
            // The looks of one wait.
            settling = waits
                || matches!(phase, Phase::Calling | Phase::Asking | Phase::Probing) && settling;
        }
        log(event);
    }
}

/// What a handoff comes by. Troubles, lost sessions and the outcome are logged by the library.
fn log(event: &SupervisorEvent) {
    use handoff_std::core::supervisor::Phase::{
        ColdStarting, Committing, Draining, Evicting, Killing, KillingIncumbent, Opening,
        Probation, Sealing, Spawning, Undoing, Warming,
    };
    match event {
        // The others are looks and pauses that may come by many times a second.
        SupervisorEvent::Phase(
            phase @ (Spawning | Warming | Draining | Sealing | Opening | Probation | Committing
            | KillingIncumbent | Killing | Undoing | ColdStarting | Evicting),
        ) => tracing::info!(%phase, "supervisor"),
        SupervisorEvent::Drained(report) => {
            tracing::info!(
                open_connections = report.open_connections,
                "incumbent drained"
            );
        }
        SupervisorEvent::Sealed(report) => {
            tracing::info!(revisions = ?report.revisions, "incumbent sealed");
        }
        SupervisorEvent::Ready(readiness) => {
            tracing::info!(
                listening_on = ?readiness.listening_on, healthy = readiness.healthy,
                revisions = ?readiness.revisions, "successor ready"
            );
        }
        _ => {}
    }
}

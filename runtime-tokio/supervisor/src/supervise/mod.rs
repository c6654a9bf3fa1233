//! `handoff supervise`: starts daemons, keeps them running, and replaces their binaries when asked to.
//!
//! | file | what it holds |
//! |---|---|
//! | [`args`] | the command line, and in its help what an operator must know |
//! | [`single`] | the one service that it describes, as a configuration |
//! | [`fleet`] | the services of a configuration, each with a task of its own |
//! | [`daemon`] | a process that is watched, child of ours or not |
//! | [`listeners`] | inherited, given back, bound, or missing |
//! | [`missing`] | listeners that are bound or taken back as soon as can be |
//! | [`kept`] | what a daemon that lives gives back, and what is different there |
//! | [`binary`] | which binary is the current one, remembered across restarts |

pub(crate) mod args;
mod binary;
mod daemon;
pub(crate) mod fleet;
mod kept;
mod listeners;
mod missing;
mod single;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use handoff_std::SupervisorEvent;
use handoff_std::core::supervisor::Phase;
use handoff_std::host::{control, lock};
use rustix::fs::OFlags;

use crate::config::Config;
use args::SuperviseCommand;
use binary::Candidate;

/// Supervises until it is told to end: the services of `config`, which is that of the command line, or
/// the one service that the command line describes.
///
/// # Errors
/// Whatever keeps it from starting, in words for the operator; or what made it end.
pub(crate) fn run(command: SuperviseCommand, config: Option<Config>) -> anyhow::Result<()> {
    let file = command.config;
    let config = match (config, command.one) {
        (Some(config), _) => config,
        (None, Some(one)) => one.into_config()?,
        (None, None) => bail!("no service is described; see --help"),
    };
    fleet::run(config, file, command.keep_daemon)
}

/// How long the lock of a supervisor may outlive it: a killed process needs a moment to end, and so
/// does a child that it was just starting, which has a copy of the lock until it runs its own program.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// Keeps a second supervisor away from the same daemon, for as long as the file is open.
fn take_charge(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join(".handoff.supervisor");
    let file = open_lock(&path)?;
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

/// Opens the file of the lock, or creates it. A daemon that runs as another user can write in its data
/// directory: a link that it has put there is not followed, and what it has put there is not waited for.
fn open_lock(path: &Path) -> anyhow::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    if let Ok(found) = fs::symlink_metadata(path)
        && !found.is_file()
    {
        let kind = if found.is_symlink() {
            "a symbolic link"
        } else {
            "no ordinary file"
        };
        bail!(
            "{} is {kind}, which no supervisor has put there; find out who did, and remove it",
            path.display()
        );
    }
    opened.with_context(|| format!("cannot open {}", path.display()))
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
        Probation, Sealing, Serving, Spawning, Undoing, Warming,
    };
    match event {
        // The others are looks and pauses that may come by many times a second.
        SupervisorEvent::Phase(
            phase @ (Spawning | Warming | Draining | Sealing | Opening | Serving | Probation
            | Committing | KillingIncumbent | Killing | Undoing | ColdStarting | Evicting),
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

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn what_a_daemon_has_put_in_place_of_the_lock_is_neither_followed_nor_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, other) = (
            dir.path().join(".handoff.supervisor"),
            dir.path().join("other"),
        );
        std::os::unix::fs::symlink(&other, &lock).unwrap();
        let error = take_charge(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is a symbolic link"), "{error}");
        assert!(!other.exists());
        fs::remove_file(&lock).unwrap();
        mknodat(CWD, &lock, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let error = take_charge(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is no ordinary file"), "{error}");
        fs::remove_file(&lock).unwrap();
        take_charge(dir.path()).unwrap();
    }
}

//! The processes and files of the demo, and their end: whatever happens, nothing is left behind.
//!
//! All processes are in one process group, so that one call kills them all, also those that were
//! started by a supervisor that is dead by now. Only a health check has a group of its own; it ends
//! when the daemon that it asks is gone. On Linux their orphans come to the demo, which waits for
//! them; elsewhere init does.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, wait,
};
use tempfile::TempDir;

/// How long killed processes may take to be gone.
const DEATH: Duration = Duration::from_secs(5);
/// How often to look whether they are.
const LOOK: Duration = Duration::from_millis(2);
/// Lines of the log that are shown when something went wrong.
const LOG_LINES: usize = 20;

/// A private directory and a process group. Ends when dropped, too.
#[derive(Debug)]
pub(super) struct Household {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once the household has ended.
    dir: Option<TempDir>,
    /// Named after the first process, which is not reaped before the end; so no stranger's group
    /// can get the name.
    group: Option<Pid>,
}

impl Household {
    /// An empty one.
    ///
    /// # Errors
    /// When there can be no directory.
    pub(super) fn new() -> anyhow::Result<Self> {
        #[cfg(target_os = "linux")]
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let dir = tempfile::Builder::new()
            .prefix("handoff-demo-")
            .tempdir()
            .context("cannot make a directory for the demo")?;
        Ok(Self {
            path: dir.path().to_owned(),
            state: Mutex::new(State {
                dir: Some(dir),
                group: None,
            }),
        })
    }

    /// The private directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Starts a process as a member. What it says on stderr goes into the log, or to ours when
    /// `RUST_LOG` asks for more.
    ///
    /// # Errors
    /// When it cannot be started, or the household has ended.
    pub(super) fn start(&self, command: &mut Command) -> io::Result<Child> {
        let mut state = self.state();
        if state.dir.is_none() {
            return Err(io::Error::other("the demo is ending"));
        }
        if std::env::var_os("RUST_LOG").is_none() {
            command.stderr(self.open_log()?);
        }
        command.process_group(state.group.map_or(0, Pid::as_raw_pid));
        let child = command.spawn()?;
        state.group = state
            .group
            .or_else(|| Pid::from_raw(child.id().cast_signed()));
        Ok(child)
    }

    /// The end of the log.
    pub(super) fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES);
        lines.get(from..).unwrap_or_default().join("\n")
    }

    /// Kills all processes and removes the directory. Does nothing the second time.
    ///
    /// # Errors
    /// When something is left behind.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        let mut state = self.state();
        let Some(dir) = state.dir.take() else {
            return Ok(());
        };
        let killed = state.group.map_or(Ok(()), kill_and_reap);
        let path = self.path.display();
        dir.close()
            .with_context(|| format!("cannot remove {path}"))?;
        killed
    }

    fn log_path(&self) -> PathBuf {
        self.path.join("log")
    }

    fn open_log(&self) -> io::Result<Stdio> {
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())?;
        Ok(log.into())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Household {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!("{error:#}");
        }
    }
}

fn kill_and_reap(group: Pid) -> anyhow::Result<()> {
    let until = Instant::now() + DEATH;
    // An error says that nobody is left, and so does the loop.
    let _ = kill_process_group(group, Signal::KILL);
    loop {
        let reaped = loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break false,
                // Nobody is left.
                Err(_) => break true,
            }
        };
        if reaped && test_kill_process_group(group).is_err() {
            return Ok(());
        }
        if Instant::now() >= until {
            bail!(
                "processes of the demo do not die, such as some of group {}",
                group.as_raw_pid()
            );
        }
        thread::sleep(LOOK);
    }
}

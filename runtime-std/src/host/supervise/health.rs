//! The health check of a successor on probation: a program that is run again and again, and what
//! came of it.

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::host::process::{DEATH, Life, kill_group, kill_group_and_reap};
use crate::host::{Child, SpawnError, SpawnSpec};

/// The variable that tells a health check the successor's pid.
const HANDOFF_PID: &str = "HANDOFF_PID";

/// Runs begin at least this far apart.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

/// A program that says whether a successor on probation is well, by its exit status.
///
/// It is run once when the probation begins, and then every `interval`, never twice at a time. It finds the successor's
/// pid in `HANDOFF_PID`, nothing on its standard input, and the supervisor's own standard output
/// and error. It leads a process group of its own, and whatever is left of that group when it has
/// ended or overrun its time is killed.
///
/// A run fails when it exits with another status than 0, dies of a signal, takes longer than
/// `timeout`, or cannot be started. One that still runs when the probation ends is waited for, and
/// counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The program; looked for in `PATH` if it holds no slash.
    pub program: PathBuf,
    /// Its arguments, without the program's own name.
    pub args: Vec<OsString>,
    /// From the start of one run to the start of the next. Default: 1 second.
    pub interval: Duration,
    /// How long a run may take. Default: 5 seconds.
    pub timeout: Duration,
    /// How many runs have to fail in a row for the probation to be failed (`C8`). Default: 1, which
    /// 0 means as well.
    pub failures: u32,
}

impl HealthCheck {
    /// Run this program, with the default times.
    pub fn command<A: Into<OsString>>(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            failures: 1,
        }
    }

    fn spawn_spec(&self, successor: u32) -> SpawnSpec {
        SpawnSpec {
            binary: self.program.clone(),
            args: self.args.clone(),
            env: vec![(HANDOFF_PID.into(), successor.to_string().into())],
            own_group: true,
            ..SpawnSpec::default()
        }
    }

    /// Look whether it can be run at all, without running it.
    pub(super) fn check(&self) -> Result<(), SpawnError> {
        self.spawn_spec(0).check()
    }
}

/// The runs of a health check during one probation.
pub(super) struct Runs {
    check: HealthCheck,
    successor: u32,
    running: Option<Run>,
    /// When the next one is due; `None`: never.
    next: Option<Instant>,
    /// How many failed in a row.
    failed: u32,
}

impl Runs {
    /// The first is due at once.
    pub(super) fn new(check: HealthCheck, successor: u32) -> Self {
        Self {
            check,
            successor,
            running: None,
            next: Some(Instant::now()),
            failed: 0,
        }
    }

    /// Whether a run is under way.
    pub(super) const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// What to poll for the end of the run that is under way.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref()?.life.fd()
    }

    /// When there is something to be done, whatever happens before; `None`: never.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        match &self.running {
            Some(run) => run.deadline.into_iter().chain(run.life.ask_at(now)).min(),
            None => self.next,
        }
    }

    /// See to the run that is under way. Fails when one too many has failed.
    pub(super) fn look(&mut self, now: Instant) -> Result<(), String> {
        let timeout = self.check.timeout;
        let Some(result) = self.running.as_mut().and_then(|run| run.look(now, timeout)) else {
            return Ok(());
        };
        self.running = None;
        self.judge(result)
    }

    /// What comes of the run that is under way is not wanted any more.
    pub(super) fn stop(&mut self, now: Instant) {
        if let Some(run) = &mut self.running {
            run.kill(now);
        }
    }

    /// Start a run, if one is due.
    pub(super) fn start_if_due(&mut self, now: Instant) -> Result<(), String> {
        if self.is_running() || self.next.is_none_or(|at| now < at) {
            return Ok(());
        }
        let interval = self.check.interval.max(LEAST_INTERVAL);
        self.next = now.checked_add(interval);
        match self.check.spawn_spec(self.successor).helper() {
            Ok(spawned) => {
                self.running = Some(Run {
                    life: Life::of(spawned.process),
                    child: spawned.child,
                    deadline: now.checked_add(self.check.timeout),
                    killed: false,
                });
                Ok(())
            }
            Err(error) => self.judge(Err(format!("not started: {error}"))),
        }
    }

    fn judge(&mut self, result: Result<(), String>) -> Result<(), String> {
        let Err(why) = result else {
            self.failed = 0;
            return Ok(());
        };
        self.failed = self.failed.saturating_add(1);
        let enough = self.check.failures.max(1);
        let failed = self.failed;
        tracing::warn!(why, failed, enough, "a health check has failed");
        if failed < enough {
            return Ok(());
        }
        Err(if enough == 1 {
            format!("health check: {why}")
        } else {
            format!("health check: {failed} in a row failed, the last one: {why}")
        })
    }
}

impl Drop for Runs {
    /// Nothing is left behind, if it must be by waiting for it.
    fn drop(&mut self) {
        if let Some(mut run) = self.running.take() {
            run.reap(DEATH);
        }
    }
}

/// One run, to be reaped.
struct Run {
    child: Child,
    life: Life,
    /// Until when it may live; once it is killed, until when it may take to be dead.
    deadline: Option<Instant>,
    killed: bool,
}

impl Run {
    /// How it ended, once it has, or that it has not within `timeout`.
    fn look(&mut self, now: Instant, timeout: Duration) -> Option<Result<(), String>> {
        let is_late = self.deadline.is_some_and(|at| at <= now);
        if !self.life.is_over() {
            if !is_late {
                return None;
            }
            if !self.killed {
                self.kill(now);
                return None;
            }
        }
        let status = self.reap(Duration::ZERO);
        Some(match status {
            _ if self.killed => Err(format!("not done within {timeout:?}, killed")),
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(status.to_string()),
            None => Err("its end cannot be known".into()),
        })
    }

    /// Kill it, with its group. It is to be looked at until it is dead.
    fn kill(&mut self, now: Instant) {
        self.killed = true;
        self.deadline = now.checked_add(DEATH);
        if let Err(error) = kill_group(&self.child) {
            tracing::error!(pid = self.child.id(), %error, "a health check cannot be killed");
        }
    }

    /// Kill what is left of its group, and wait so long for its own death.
    fn reap(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let reaped = kill_group_and_reap(&mut self.child, timeout);
        match &reaped {
            Ok(Some(_)) => {}
            Ok(None) => tracing::error!(pid = self.child.id(), "a health check does not die"),
            Err(error) => {
                tracing::error!(pid = self.child.id(), %error, "a health check cannot be killed");
            }
        }
        reaped.ok().flatten()
    }
}

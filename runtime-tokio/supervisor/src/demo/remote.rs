//! The supervisor process, as the demo sees it.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use handoff_std::core::supervisor::Phase;

use super::household::Household;
use super::phases::Phases;
use super::talk::{Ending, News, Order, RESP};
use crate::kvd::args::Runtime;

/// How long a step may take. More than all deadlines of the supervisor.
const LIMIT: Duration = Duration::from_secs(40);

/// A supervisor process.
pub(super) struct Remote {
    child: Child,
    orders: ChildStdin,
    news: Receiver<News>,
    command_line: String,
}

impl Remote {
    /// Starts a supervisor of the daemon on `runtime` that listens at `listen`. It waits for its first order.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(
        household: &Household,
        listen: SocketAddr,
        runtime: Runtime,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("demo-supervisor")
            .arg("--dir")
            .arg(household.path())
            .arg("--listener")
            .arg(format!("{RESP}={listen}"))
            .args(["--runtime", runtime.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut command_line = String::from("handoff");
        for arg in command.get_args() {
            write!(command_line, " {}", arg.display())?;
        }
        let mut child = household
            .start(&mut command)
            .context("cannot start the supervisor")?;
        let orders = child.stdin.take().context("no pipe to the supervisor")?;
        let stdout = child.stdout.take().context("no pipe from the supervisor")?;
        let (sender, news) = mpsc::channel();
        thread::Builder::new()
            .name("news".into())
            .spawn(move || pass_on(stdout, &sender))?;
        Ok(Self {
            child,
            orders,
            news,
            command_line,
        })
    }

    /// The supervisor's pid.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it was started.
    pub(super) fn command_line(&self) -> &str {
        &self.command_line
    }

    /// Where it has bound the listener, as the first one does.
    ///
    /// # Errors
    /// When it cannot, is gone, or takes too long.
    pub(super) fn bound(&self) -> anyhow::Result<SocketAddr> {
        match self.next(Instant::now() + LIMIT)? {
            News::Bound { address } => Ok(address),
            other => bail!("the supervisor says what was not expected: {other:?}"),
        }
    }

    /// Tells it what to do.
    ///
    /// # Errors
    /// When it is gone.
    pub(super) fn order(&mut self, order: &Order) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.orders
            .write_all(&line)
            .context("the supervisor is gone")
    }

    /// Waits until it has done what it was told.
    ///
    /// # Errors
    /// When it is gone, or takes too long.
    pub(super) fn ending(&self, phases: &mut Phases) -> anyhow::Result<Ending> {
        self.follow(phases, None)?
            .context("the supervisor has not come to an end")
    }

    /// Waits until it is in the phase `wanted`.
    ///
    /// # Errors
    /// When it does not come to that phase, is gone, or takes too long.
    pub(super) fn reach(&self, wanted: Phase, phases: &mut Phases) -> anyhow::Result<()> {
        match self.follow(phases, Some(wanted))? {
            None => Ok(()),
            Some(ending) => bail!("the supervisor did not come to {wanted}: {ending:?}"),
        }
    }

    /// Kills it, at once.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn kill(mut self, phases: &mut Phases) -> anyhow::Result<()> {
        // Not reaped: the household's group is named after the first one.
        self.child.kill().context("cannot kill the supervisor")?;
        phases.leave(Instant::now());
        Ok(())
    }

    /// Takes news up to the ending, or until it is in the phase `last`.
    fn follow(&self, phases: &mut Phases, last: Option<Phase>) -> anyhow::Result<Option<Ending>> {
        let until = Instant::now() + LIMIT;
        loop {
            match self.next(until)? {
                News::Phase { phase, at } => {
                    let is_last = last.is_some_and(|last| phase == last.name());
                    phases.enter(phase, at.instant());
                    if is_last {
                        return Ok(None);
                    }
                }
                News::Ended { ending, at } => {
                    phases.leave(at.instant());
                    return Ok(Some(ending));
                }
                // Such as a listener that is bound though the daemon has it.
                other => bail!("the supervisor says what was not expected: {other:?}"),
            }
        }
    }

    fn next(&self, until: Instant) -> anyhow::Result<News> {
        let left = until.saturating_duration_since(Instant::now());
        let news = self.news.recv_timeout(left).map_err(|error| match error {
            RecvTimeoutError::Timeout => anyhow!("the supervisor takes too long"),
            RecvTimeoutError::Disconnected => anyhow!("the supervisor is gone"),
        })?;
        match news {
            News::Broken { why } => bail!("the supervisor cannot go on: {why}"),
            news => Ok(news),
        }
    }
}

/// Reads news until the supervisor is dead.
fn pass_on(stdout: ChildStdout, news: &Sender<News>) {
    for line in BufReader::new(stdout).lines() {
        let Some(heard) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else {
            return;
        };
        if news.send(heard).is_err() {
            return;
        }
    }
}

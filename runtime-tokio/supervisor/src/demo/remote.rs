//! The supervisor process, as the demo sees it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use command_fds::{CommandFdExt, FdMapping};
use handoff_std::core::supervisor::Phase;

use super::household::Household;
use super::talk::{Ending, News, Order, RESP};

/// How long a step may take. More than any deadline of the supervisor.
const LIMIT: Duration = Duration::from_secs(20);

/// A supervisor process.
pub(super) struct Remote {
    child: Child,
    orders: ChildStdin,
    news: Receiver<News>,
}

/// The phases that a supervisor went through, in order, with the time spent in each; one that was
/// entered again counts once, with all its times.
#[derive(Debug, Clone, Default)]
pub(super) struct Phases(pub(super) Vec<(String, Duration)>);

impl Phases {
    /// Adds time to a phase.
    fn add(&mut self, phase: &str, time: Duration) {
        match self.0.iter_mut().find(|(known, _)| known == phase) {
            Some((_, sum)) => *sum += time,
            None => self.0.push((phase.to_owned(), time)),
        }
    }
}

impl Remote {
    /// Starts a supervisor with this listener. It begins to look around at once; `tag` is the
    /// version that it starts if nobody serves.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(
        household: &Household,
        listener: &TcpListener,
        tag: &str,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("demo-supervisor")
            .arg("--dir")
            .arg(household.path())
            .args(["--tag", tag])
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", RESP)
            .env_remove("LISTEN_PID")
            .env_remove("HANDOFF_ROLE")
            .env_remove("HANDOFF_SOCK_FD")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .fd_mappings(vec![FdMapping {
                parent_fd: listener.as_fd().try_clone_to_owned()?,
                child_fd: 3,
            }])?;
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
        })
    }

    /// The supervisor's pid.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to hand over.
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

    /// Waits until it has done what it was told, or has looked around after its start.
    ///
    /// # Errors
    /// When it is gone, or takes too long.
    pub(super) fn ending(&self, phases: &mut Phases) -> anyhow::Result<Ending> {
        loop {
            if let News::Ended { ending, .. } =
                self.follow(phases, |news| matches!(news, News::Ended { .. }))?
            {
                return Ok(ending);
            }
        }
    }

    /// Kills it when it has been in the phase `last` for the time `wait`.
    ///
    /// # Errors
    /// When it does not come to that phase.
    pub(super) fn kill_in(
        mut self,
        last: Phase,
        wait: Duration,
        phases: &mut Phases,
    ) -> anyhow::Result<()> {
        let is_last = |news: &News| match news {
            News::Phase { phase, .. } => phase == last.name(),
            News::Ended { .. } => true,
        };
        if let News::Ended { ending, .. } = self.follow(phases, is_last)? {
            bail!("the supervisor did not come to {last}: {ending:?}");
        }
        thread::sleep(wait);
        // Not reaped: the household's group is named after it.
        self.child.kill().context("cannot kill the supervisor")?;
        phases.add(last.name(), wait);
        Ok(())
    }

    /// Takes news up to the one that `is_last`, and returns that one.
    fn follow(&self, phases: &mut Phases, is_last: impl Fn(&News) -> bool) -> anyhow::Result<News> {
        let until = Instant::now() + LIMIT;
        let mut current: Option<(String, u64)> = None;
        loop {
            let news = self.next(until)?;
            let (News::Phase { at_us, .. } | News::Ended { at_us, .. }) = news;
            // That the task has ended is a phase too, in which no time is spent.
            if let Some((phase, from)) = current
                .take()
                .filter(|(name, _)| name != Phase::Done.name())
            {
                phases.add(&phase, Duration::from_micros(at_us.saturating_sub(from)));
            }
            if is_last(&news) {
                return Ok(news);
            }
            if let News::Phase { phase, at_us } = news {
                current = Some((phase, at_us));
            }
        }
    }

    fn next(&self, until: Instant) -> anyhow::Result<News> {
        let left = until.saturating_duration_since(Instant::now());
        self.news.recv_timeout(left).map_err(|error| match error {
            RecvTimeoutError::Timeout => anyhow!("the supervisor takes too long"),
            RecvTimeoutError::Disconnected => anyhow!("the supervisor is gone"),
        })
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

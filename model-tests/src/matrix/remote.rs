//! The supervisor process of a row, as the row sees it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use handoff_core::supervisor::Phase;
use handoff_std::Process;

use super::order::{GO, ROLL_BACK};

/// How long a handoff or a look around may take. More than any deadline of the supervisor.
const LIMIT: Duration = Duration::from_secs(20);

/// A supervisor process. Killed when dropped.
pub(super) struct Remote {
    child: Child,
    /// The process.
    pub(super) process: Process,
    orders: ChildStdin,
    news: Receiver<News>,
}

/// What it tells.
enum News {
    /// It is in this phase and waits.
    Phase(String),
    /// It has done what it was told.
    Ended(Ended),
    /// Whether a rollback was asked for in time.
    Regret(bool),
}

/// How a handoff or a look around ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// Such as `committed`.
    pub(super) kind: String,
    /// Whatever there is to say.
    pub(super) detail: String,
}

impl Ended {
    /// In one line.
    pub(super) fn text(&self) -> String {
        match (self.kind.as_str(), self.detail.as_str()) {
            (kind @ ("committed" | "found"), _) | (kind, "") => kind.to_owned(),
            (kind, detail) => format!("{kind}: {detail}"),
        }
    }
}

impl Remote {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a supervisor")?;
        let process = Process::of(child.id()).context("the supervisor is gone")?;
        let orders = child.stdin.take().context("no pipe to the supervisor")?;
        let stdout = child.stdout.take().context("no pipe from the supervisor")?;
        let (sender, news) = mpsc::channel();
        thread::spawn(move || pass_on(stdout, &sender));
        Ok(Self {
            child,
            process,
            orders,
            news,
        })
    }

    /// Tells it something, such as [`GO`].
    ///
    /// # Errors
    /// When it is gone.
    pub(super) fn order(&mut self, words: &[&str]) -> anyhow::Result<()> {
        writeln!(self.orders, "{}", words.join("\t")).context("the supervisor is gone")
    }

    /// Lets it go on in the phase that it waits in.
    ///
    /// # Errors
    /// When it is gone.
    pub(super) fn go(&mut self) -> anyhow::Result<()> {
        self.order(&[GO])
    }

    /// Waits until it has entered this phase, in which it waits for [`go`](Self::go).
    ///
    /// # Errors
    /// When it does not come there.
    pub(super) fn reach(&mut self, phase: Phase) -> anyhow::Result<()> {
        loop {
            match self.next()? {
                News::Phase(name) if name == phase.name() => return Ok(()),
                News::Phase(_) => self.go()?,
                News::Ended(ended) => bail!("no {phase}, but {}", ended.text()),
                News::Regret(_) => {}
            }
        }
    }

    /// Waits until it has done what it was told.
    ///
    /// # Errors
    /// When it is gone or takes too long.
    pub(super) fn finish(&mut self) -> anyhow::Result<Ended> {
        loop {
            match self.next()? {
                News::Phase(_) => self.go()?,
                News::Ended(ended) => return Ok(ended),
                News::Regret(_) => {}
            }
        }
    }

    /// Asks for the successor on probation to be sent back, during an order. Whether that was in time: it is not when there is no probation.
    ///
    /// # Errors
    /// When it is gone or takes too long.
    pub(super) fn roll_back(&mut self) -> anyhow::Result<bool> {
        self.order(&[ROLL_BACK])?;
        loop {
            match self.next()? {
                News::Regret(in_time) => return Ok(in_time),
                News::Phase(_) => self.go()?,
                News::Ended(ended) => bail!("{} instead of an answer", ended.text()),
            }
        }
    }

    /// Tells it something and waits until that is done.
    ///
    /// # Errors
    /// When it is gone or takes too long.
    pub(super) fn perform(&mut self, words: &[&str]) -> anyhow::Result<Ended> {
        self.order(words)?;
        self.finish()
    }

    fn next(&self) -> anyhow::Result<News> {
        self.news.recv_timeout(LIMIT).map_err(|error| match error {
            RecvTimeoutError::Timeout => anyhow!("the supervisor takes too long"),
            RecvTimeoutError::Disconnected => anyhow!("the supervisor is gone"),
        })
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It may be dead.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads news until the supervisor is dead.
fn pass_on(stdout: ChildStdout, news: &Sender<News>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let mut words = line.splitn(3, '\t').map(str::to_owned);
        let heard = match (words.next().as_deref(), words.next(), words.next()) {
            (Some("phase"), Some(phase), None) => News::Phase(phase),
            (Some("ended"), Some(kind), Some(detail)) => News::Ended(Ended { kind, detail }),
            (Some("regret"), Some(in_time), None) => News::Regret(in_time == "true"),
            _ => return,
        };
        if news.send(heard).is_err() {
            return;
        }
    }
}

//! The demo's supervisor process: starts the daemon, or finds out who serves, and then hands over as
//! it is told. Not for use by hand.

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::Args;
use handoff_std::core::SupervisorOutcome;
use handoff_std::host::{Inherited, Signal};
use handoff_std::{HandoffSpec, Report, SpawnSpec, Supervisor, SupervisorEvent};
use rustix::stdio::{dup2_stdout, stderr, stdout};

use super::talk::{Ending, News, Order, RESP};

/// How long a handoff may take, from the drain to Ready.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long the incumbent may drain.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// What the supervisor process is told at its start.
#[derive(Debug, Clone, Args)]
pub(crate) struct SupervisorArgs {
    /// The demo's directory.
    #[arg(long)]
    dir: PathBuf,
    /// The version that is started when nobody serves.
    #[arg(long)]
    tag: String,
}

/// Supervises until the demo is gone.
///
/// # Errors
/// Whatever keeps it from supervising.
pub(crate) fn run(args: &SupervisorArgs) -> anyhow::Result<()> {
    let listener = Inherited::from_env()?.listeners.take_tcp(RESP)?;
    let listener = listener.context("this is a part of `handoff demo`; run that")?;
    let mut teller = Teller::new()?;
    let mut supervisor = Supervisor::new(
        control(&args.dir),
        data(&args.dir),
        daemon(&args.dir, &args.tag, Vec::new())?,
    )?
    .with_listener(RESP, listener)
    .with_journal(args.dir.join("journal"))
    .with_observer(teller.observer()?);

    let mut daemons = Vec::new();
    let report = supervisor.recover()?;
    conclude(report, &mut teller, &mut daemons)?;
    for order in io::stdin().lock().lines() {
        daemons.retain_mut(|daemon: &mut Child| !matches!(daemon.try_wait(), Ok(Some(_))));
        let Order::HandOver { tag, faults } = serde_json::from_str(&order?)?;
        let spec = HandoffSpec {
            deadline: DEADLINE,
            drain_grace: DRAIN_GRACE,
            ..HandoffSpec::new(daemon(&args.dir, &tag, faults)?)
        };
        let report = supervisor.handoff(&spec)?;
        conclude(report, &mut teller, &mut daemons)?;
    }
    // The demo is gone without its farewell, which would have killed us: do the same for it.
    rustix::process::kill_current_process_group(Signal::KILL)?;
    Ok(())
}

/// Where the daemon's control path is.
fn control(dir: &Path) -> PathBuf {
    dir.join("control")
}

/// Where the daemon keeps its data.
fn data(dir: &Path) -> PathBuf {
    dir.join("data")
}

fn daemon(dir: &Path, tag: &str, faults: Vec<String>) -> anyhow::Result<SpawnSpec> {
    let mut args = vec![
        "kvd".into(),
        "--data-dir".into(),
        data(dir).into(),
        "--control-socket".into(),
        control(dir).into(),
        "--tag".into(),
        tag.into(),
    ];
    args.extend(faults.into_iter().map(Into::into));
    Ok(SpawnSpec {
        binary: std::env::current_exe()?,
        args,
        ..SpawnSpec::default()
    })
}

fn conclude(report: Report, teller: &mut Teller, daemons: &mut Vec<Child>) -> anyhow::Result<()> {
    let cause = report.abort_reason().unwrap_or_default();
    let ending = match report.outcome {
        SupervisorOutcome::Committed { successor, .. } => Ending::Committed { pid: successor.pid },
        SupervisorOutcome::RolledBack { .. } => Ending::RolledBack { cause },
        SupervisorOutcome::ColdStarted { process, .. } => Ending::ColdStarted { pid: process.pid },
        SupervisorOutcome::Found { pid } => Ending::Found { pid },
        SupervisorOutcome::Answered { .. } | SupervisorOutcome::Failed(_) => {
            Ending::Failed { cause }
        }
    };
    daemons.extend(report.child);
    let at_us = teller.micros();
    teller.tell(&News::Ended { ending, at_us })
}

/// Tells the demo what happens.
struct Teller {
    origin: Instant,
    pipe: File,
}

impl Teller {
    /// Takes standard output for itself: a daemon that inherited it would keep the pipe open beyond
    /// the supervisor's death.
    fn new() -> io::Result<Self> {
        let pipe = rustix::io::fcntl_dupfd_cloexec(stdout(), 3)?;
        dup2_stdout(stderr())?;
        Ok(Self {
            origin: Instant::now(),
            pipe: pipe.into(),
        })
    }

    fn observer(&self) -> io::Result<impl FnMut(&SupervisorEvent) + Send + 'static> {
        let mut teller = Self {
            origin: self.origin,
            pipe: self.pipe.try_clone()?,
        };
        Ok(move |event: &SupervisorEvent| {
            if let SupervisorEvent::Phase(phase) = event {
                let (phase, at_us) = (phase.to_string(), teller.micros());
                // Whether the demo is gone is found out between handoffs.
                let _ = teller.tell(&News::Phase { phase, at_us });
            }
        })
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn tell(&mut self, news: &News) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(news)?;
        line.push(b'\n');
        self.pipe
            .write_all(&line)
            .map_err(|error| anyhow!("the demo is gone: {error}"))
    }
}

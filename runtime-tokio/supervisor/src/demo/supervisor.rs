//! The demo's supervisor process: holds the daemon's listener, starts the daemon or finds out who
//! serves, and then hands over as it is told. Not for use by hand.
//!
//! It may be killed at any time and started again by the same command line: a daemon that is there
//! gives the listener back, and nothing is bound a second time.

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use handoff_std::core::SupervisorOutcome;
use handoff_std::host::{ListenSpec, NamedListener, Signal, control, lock};
use handoff_std::{
    Child, HandoffSpec, HealthCheck, Report, SpawnSpec, Supervisor, SupervisorEvent, ask,
};
use rustix::stdio::{dup2_stdout, stderr, stdout};

use super::talk::{Ending, FIRST, Moment, News, Order};
use crate::kvd::args::Runtime;

/// How long a successor may warm up.
const WARM_UP_DEADLINE: Duration = Duration::from_secs(10);
/// How long a handoff may take, from the drain to Ready.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long the incumbent may drain.
const DRAIN_GRACE: Duration = Duration::from_secs(5);
/// How often a successor on probation is asked how it is.
const HEALTH_INTERVAL: Duration = Duration::from_millis(100);

/// What the supervisor process is told at its start.
#[derive(Debug, Clone, Args)]
pub(crate) struct SupervisorArgs {
    /// The demo's directory.
    #[arg(long)]
    dir: PathBuf,
    /// The daemon's listener.
    #[arg(long)]
    listener: ListenSpec,
    /// What the daemon is built on.
    #[arg(long, value_enum)]
    runtime: Runtime,
}

/// Supervises until the demo is gone.
///
/// # Errors
/// Whatever keeps it from supervising; the demo has been told.
pub(crate) fn run(args: &SupervisorArgs) -> anyhow::Result<()> {
    let mut teller = Teller::new()?;
    let result = supervise(args, &mut teller);
    if let Err(error) = &result {
        let why = format!("{error:#}");
        // If it has gone, nobody needs to know.
        let _ = teller.tell(&News::Broken { why });
        return result;
    }
    // The demo is gone without its farewell, which would have killed us: do the same for it.
    rustix::process::kill_current_process_group(Signal::KILL)?;
    Ok(())
}

fn supervise(args: &SupervisorArgs, teller: &mut Teller) -> anyhow::Result<()> {
    let mut supervised = Supervised::new(args, teller)?;
    for order in io::stdin().lock().lines() {
        let ending = match serde_json::from_str(&order?)? {
            Order::LookAround => supervised.look_around()?,
            Order::HandOver {
                tag,
                faults,
                probation_ms,
            } => supervised.hand_over(&tag, faults, Duration::from_millis(probation_ms))?,
        };
        let at = Moment::now();
        teller.tell(&News::Ended { ending, at })?;
    }
    Ok(())
}

/// A daemon, its supervisor and its listener.
struct Supervised<'a> {
    args: &'a SupervisorArgs,
    supervisor: Supervisor,
    /// Where it listens; `None` until it is bound or given back.
    address: Option<SocketAddr>,
    /// Daemons that were started here and may have to be reaped.
    daemons: Vec<Child>,
}

impl<'a> Supervised<'a> {
    /// Binds the listener if no daemon is there that has it.
    fn new(args: &'a SupervisorArgs, teller: &mut Teller) -> anyhow::Result<Self> {
        let supervisor = Supervisor::new(
            control_path(&args.dir),
            data_dir(&args.dir),
            daemon(args, FIRST, Vec::new())?,
        )?
        .with_journal(args.dir.join("journal"))
        .with_observer(teller.observer()?);
        let mut supervised = Self {
            args,
            supervisor,
            address: None,
            daemons: Vec::new(),
        };
        if !is_occupied(&args.dir) {
            let address = supervised.hold(args.listener.bind()?)?;
            teller.tell(&News::Bound { address })?;
        }
        Ok(supervised)
    }

    fn hold(&mut self, listener: NamedListener) -> anyhow::Result<SocketAddr> {
        let NamedListener { name, fd, address } = listener;
        let address = address.parse()?;
        self.supervisor.add_listener(name, fd);
        self.address = Some(address);
        Ok(address)
    }

    /// Finds out who serves, and has the listener back from there.
    fn look_around(&mut self) -> anyhow::Result<Ending> {
        let report = self.supervisor.recover()?;
        let SupervisorOutcome::Found { pid } = report.outcome else {
            return Ok(self.conclude(report));
        };
        // Only now: before a handoff in flight has settled, who answers may be about to leave.
        let kept = ask::listeners(control_path(&self.args.dir))?;
        let listener = kept
            .into_iter()
            .find(|kept| self.args.listener.matches(kept))
            .context("the daemon does not have the listener that the command line asks for")?;
        let listener = self.hold(listener)?;
        Ok(Ending::Found { pid, listener })
    }

    fn hand_over(
        &mut self,
        tag: &str,
        faults: Vec<String>,
        probation: Duration,
    ) -> anyhow::Result<Ending> {
        self.daemons
            .retain_mut(|daemon| !matches!(daemon.try_wait(), Ok(Some(_))));
        let address = self.address.context("there is no listener to hand over")?;
        let spec = HandoffSpec {
            warmup_deadline: WARM_UP_DEADLINE,
            deadline: DEADLINE,
            drain_grace: DRAIN_GRACE,
            probation,
            health: (!probation.is_zero())
                .then(|| health_check(address))
                .transpose()?,
            ..HandoffSpec::new(daemon(self.args, tag, faults)?)
        };
        let report = self.supervisor.handoff(&spec)?;
        Ok(self.conclude(report))
    }

    fn conclude(&mut self, report: Report) -> Ending {
        let cause = report.abort_reason().unwrap_or_default();
        self.daemons.extend(report.child);
        match report.outcome {
            SupervisorOutcome::Committed { successor, .. } => {
                Ending::Committed { pid: successor.pid }
            }
            SupervisorOutcome::RolledBack { .. } => Ending::RolledBack { cause },
            SupervisorOutcome::ColdStarted { process, .. } => {
                Ending::ColdStarted { pid: process.pid }
            }
            SupervisorOutcome::Found { .. }
            | SupervisorOutcome::Answered { .. }
            | SupervisorOutcome::Failed(_) => Ending::Failed { cause },
        }
    }
}

/// Whether a daemon is there: somebody listens on the control path, or holds the writer lock.
fn is_occupied(dir: &Path) -> bool {
    control::connect(&control_path(dir)).is_ok()
        || lock::lock_is_free(&data_dir(dir)).is_ok_and(|free| !free)
}

/// Where the daemon's control path is.
fn control_path(dir: &Path) -> PathBuf {
    dir.join("control")
}

/// Where the daemon keeps its data.
fn data_dir(dir: &Path) -> PathBuf {
    dir.join("data")
}

fn daemon(own: &SupervisorArgs, tag: &str, faults: Vec<String>) -> anyhow::Result<SpawnSpec> {
    let mut args = vec![
        "kvd".into(),
        "--data-dir".into(),
        data_dir(&own.dir).into(),
        "--control-socket".into(),
        control_path(&own.dir).into(),
        "--tag".into(),
        tag.into(),
        "--runtime".into(),
        own.runtime.name().into(),
    ];
    args.extend(faults.into_iter().map(Into::into));
    Ok(SpawnSpec {
        binary: std::env::current_exe()?,
        args,
        ..SpawnSpec::default()
    })
}

fn health_check(address: SocketAddr) -> anyhow::Result<HealthCheck> {
    let args = ["kvd".into(), "check".into(), address.to_string()];
    Ok(HealthCheck {
        interval: HEALTH_INTERVAL,
        ..HealthCheck::command(std::env::current_exe()?, args)
    })
}

/// Tells the demo what happens.
struct Teller {
    pipe: File,
}

impl Teller {
    /// Takes standard output for itself: a daemon that inherited it would keep the pipe open beyond
    /// the supervisor's death.
    fn new() -> io::Result<Self> {
        let pipe = rustix::io::fcntl_dupfd_cloexec(stdout(), 3)?;
        dup2_stdout(stderr())?;
        Ok(Self { pipe: pipe.into() })
    }

    fn observer(&self) -> io::Result<impl FnMut(&SupervisorEvent) + Send + 'static> {
        let mut teller = Self {
            pipe: self.pipe.try_clone()?,
        };
        Ok(move |event: &SupervisorEvent| {
            if let SupervisorEvent::Phase(phase) = event {
                let (at, phase) = (Moment::now(), phase.to_string());
                // Whether the demo is gone is found out between handoffs.
                let _ = teller.tell(&News::Phase { phase, at });
            }
        })
    }

    fn tell(&mut self, news: &News) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(news)?;
        line.push(b'\n');
        self.pipe
            .write_all(&line)
            .map_err(|error| anyhow!("the demo is gone: {error}"))
    }
}

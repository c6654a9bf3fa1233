//! The supervisor of a row, as a process of its own: it does what it is told on standard input, tells
//! every phase on standard output, and does not go on in it before it is told to.
//!
//! | line in | |
//! |---|---|
//! | `recover` | look who serves (`C9`) |
//! | `handoff`, a version, arguments | hand over to that version, which gets the arguments |
//! | `go` | go on with the phase that was told last |
//!
//! | line out | |
//! |---|---|
//! | `phase`, its name | the phase is entered, and waits for `go` |
//! | `ended`, a kind, details | what was asked for is done |
//!
//! The words of a line are separated by tabs.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use handoff_core::{SupervisorConfig, SupervisorOutcome, Task};
use handoff_std::host::Inherited;
use handoff_std::{HandoffSpec, Report, SpawnSpec, Supervisor, SupervisorEvent};
use rustix::stdio::{dup2_stdout, stderr, stdout};

/// The first argument of a program that is to be this supervisor. The directory of its row follows.
pub(super) const SUPERVISOR: &str = "supervise-row";

/// The name of the daemon's listener.
pub(super) const RESP: &str = "resp";
/// Answers a phase.
pub(super) const GO: &str = "go";
/// The protocol's times in a row, in percent of the real ones.
pub(super) const TIMES_PERCENT: u32 = 10;
/// From `PrepareHandoff` to Ready.
const DEADLINE: Duration = Duration::from_secs(4);
/// How long the incumbent may drain.
const DRAIN_GRACE: Duration = Duration::from_secs(2);

/// Is the supervisor of the row in this directory, until standard input ends.
pub(super) fn supervise(dir: &Path) -> ExitCode {
    match run(dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Where the files of a row are.
pub(super) struct Files {
    /// The control path.
    pub(super) control: PathBuf,
    /// The data and its lock.
    pub(super) data: PathBuf,
    /// The supervisor's journal.
    pub(super) journal: PathBuf,
}

impl Files {
    /// The files of the row in this directory.
    pub(super) fn of(dir: &Path) -> Self {
        Self {
            control: dir.join("p/c"),
            data: dir.join("d"),
            journal: dir.join("j/journal"),
        }
    }
}

fn run(dir: &Path) -> anyhow::Result<()> {
    let files = Files::of(dir);
    let listener = Inherited::from_env()?.listeners.take_tcp(RESP)?;
    let listener = listener.context("a part of fault-matrix, not for use by hand")?;
    // A daemon that inherited standard output would keep it open beyond our death.
    let mut out = File::from(rustix::io::fcntl_dupfd_cloexec(stdout(), 3)?);
    dup2_stdout(stderr())?;

    let mut told = out.try_clone()?;
    let mut supervisor = Supervisor::new(
        &files.control,
        &files.data,
        daemon(
            &files,
            "afresh",
            &["--drain-delay-ms", "200", "--seal-delay-ms", "200"],
        )?,
    )?
    .with_listener(RESP, listener)
    .with_journal(&files.journal)
    .with_times(times())
    .with_observer(move |event| {
        if let SupervisorEvent::Phase(phase) = event {
            // Without anybody to ask, there is nobody to go on for.
            let answer = writeln!(told, "phase\t{phase}").and_then(|()| line());
            if answer.ok().flatten().as_deref() != Some(GO) {
                std::process::exit(1);
            }
        }
    });
    let mut daemons: Vec<Child> = Vec::new();
    while let Some(order) = line()? {
        let mut words = order.split('\t');
        let report = match words.next() {
            Some("recover") => supervisor.recover()?,
            Some("handoff") => {
                let version = words.next().context("which version?")?;
                let arguments: Vec<_> = words.collect();
                supervisor.handoff(&HandoffSpec {
                    deadline: DEADLINE,
                    drain_grace: DRAIN_GRACE,
                    ..HandoffSpec::new(daemon(&files, version, &arguments)?)
                })?
            }
            _ => bail!("not understood: {order}"),
        };
        writeln!(out, "{}", ended(&report))?;
        daemons.extend(report.child);
        daemons.retain_mut(|daemon| !matches!(daemon.try_wait(), Ok(Some(_))));
    }
    Ok(())
}

fn line() -> io::Result<Option<String>> {
    let mut line = String::new();
    let count = io::stdin().read_line(&mut line)?;
    Ok((count > 0).then(|| line.trim_end_matches('\n').to_owned()))
}

fn ended(report: &Report) -> String {
    let cause = report.abort_reason().unwrap_or_default();
    match report.outcome {
        SupervisorOutcome::Committed { successor, .. } => {
            format!("ended\tcommitted\tpid {}", successor.pid)
        }
        SupervisorOutcome::RolledBack { .. } => format!("ended\trolled back\t{cause}"),
        SupervisorOutcome::ColdStarted { .. } => format!("ended\tstarted afresh\t{cause}"),
        SupervisorOutcome::Found { pid } => format!("ended\tfound\tpid {pid}"),
        SupervisorOutcome::Answered { pid } => format!("ended\tanswered\tpid {pid}"),
        SupervisorOutcome::Failed(_) => format!("ended\tfailed\t{cause}"),
    }
}

fn daemon(files: &Files, version: &str, more: &[&str]) -> anyhow::Result<SpawnSpec> {
    let mut args: Vec<OsString> = vec![
        "kvd".into(),
        "--data-dir".into(),
        files.data.clone().into(),
        "--control-socket".into(),
        files.control.clone().into(),
        "--tag".into(),
        version.into(),
        "--times-percent".into(),
        TIMES_PERCENT.to_string().into(),
        "--drain-grace-ms".into(),
        "50".into(),
    ];
    args.extend(more.iter().map(Into::into));
    Ok(SpawnSpec {
        binary: std::env::current_exe().map_err(|error| anyhow!("which program am I? {error}"))?,
        args,
        ..SpawnSpec::default()
    })
}

fn times() -> SupervisorConfig {
    let times = SupervisorConfig::new(Task::Recover(None));
    let scale = |time: Duration| time * TIMES_PERCENT / 100;
    SupervisorConfig {
        hello: scale(times.hello),
        connect: scale(times.connect),
        dead_peer: scale(times.dead_peer),
        wire_slack: scale(times.wire_slack),
        settle: scale(times.settle),
        ..times
    }
}

//! The supervisor of a row, as a process of its own: it does what it is told on standard input, tells
//! every phase on standard output, and does not go on in it before it is told to.
//!
//! | line in | |
//! |---|---|
//! | an [`Order`] | do it |
//! | [`GO`] | go on with the phase that was told last |
//! | [`ROLL_BACK`] | have the successor on probation sent back; at any time |
//!
//! | line out | |
//! |---|---|
//! | `phase`, its name | the phase is entered, and waits for [`GO`] |
//! | `ended`, a kind, details | an order is carried out |
//! | `regret`, whether it is in time | the answer to [`ROLL_BACK`] |
//!
//! The words of a line are separated by tabs. A supervisor that is started again inherits no
//! listener: it asks the daemon for it, and binds it only when nobody has it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use handoff_core::wire::VersionRange;
use handoff_core::{SupervisorConfig, SupervisorOutcome, Task};
use handoff_std::ask;
use handoff_std::host::listen::ListenAddress;
use handoff_std::host::{Inherited, ListenOptions, ListenSpec};
use handoff_std::{
    Child, HandoffSpec, Report, RollbackHandle, SpawnSpec, Supervisor, SupervisorError,
    SupervisorEvent,
};
use rustix::stdio::{dup2_stdout, stderr, stdout};

use super::case::Victim;
use super::order::{GO, Handoff, Order, ROLL_BACK, Setup};

/// The first argument of a program that is to be this supervisor. Its [`Setup`] follows.
pub(super) const SUPERVISOR: &str = "supervise-row";

/// The name of the daemon's listener.
pub(super) const RESP: &str = "resp";
/// The protocol's times in a row, in percent of the real ones.
pub(super) const TIMES_PERCENT: u32 = 10;

/// Is the supervisor of a row, until standard input ends. The arguments begin with [`SUPERVISOR`].
pub(super) fn supervise(args: &[OsString]) -> ExitCode {
    match run(Setup::parse_from(args)) {
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
    /// What the daemons write down of their hooks.
    pub(super) hooks: PathBuf,
    /// A health check that can be removed.
    pub(super) check: PathBuf,
}

impl Files {
    /// The files of the row in this directory.
    pub(super) fn of(dir: &Path) -> Self {
        Self {
            control: dir.join("p/c"),
            data: dir.join("d"),
            journal: dir.join("j/journal"),
            hooks: dir.join("hooks"),
            check: dir.join("check"),
        }
    }
}

fn run(setup: Setup) -> anyhow::Result<()> {
    let files = Files::of(&setup.dir);
    let inherited = Inherited::from_env()?.listeners.take_tcp(RESP)?;
    // A daemon that inherited standard output would keep it open beyond our death.
    let out = File::from(rustix::io::fcntl_dupfd_cloexec(stdout(), 3)?);
    let out = Out(Arc::new(out));
    dup2_stdout(stderr())?;

    let mut afresh = vec!["--drain-delay-ms".into(), "200".into()];
    afresh.extend(["--seal-delay-ms".into(), "200".into()]);
    if setup.old == Some(Victim::Incumbent) {
        afresh.push("--version-1".into());
    }
    let supervisor = Supervisor::new(
        &files.control,
        &files.data,
        daemon(&setup, "afresh", afresh)?,
    )?
    .with_journal(&files.journal)
    .with_times(times(&setup));
    let lines = Lines::read(supervisor.rollback_handle(), out.clone());
    let (asked, told) = (lines.clone(), out.clone());
    let supervisor = supervisor.with_observer(move |event| {
        if let SupervisorEvent::Phase(phase) = event {
            // Without anybody to ask, there is nobody to go on for.
            let answer = told.tell(&["phase", phase.name()]).map(|()| asked.next());
            if answer.ok().flatten().as_deref() != Some(GO) {
                std::process::exit(1);
            }
        }
    });
    let mut row = Row {
        setup,
        files,
        supervisor,
        missing: Some("it was not looked for yet".into()),
        daemons: Vec::new(),
    };
    if let Some(listener) = inherited {
        row.listen(listener);
    }
    while let Some(line) = lines.next() {
        let (kind, detail) = match Order::parse(&line)? {
            Order::Recover => row.recover()?,
            Order::Handoff(order) => row.hand_over(order)?,
        };
        out.tell(&["ended", kind, &detail])?;
    }
    Ok(())
}

/// The supervisor, and what it looks after.
struct Row {
    setup: Setup,
    files: Files,
    supervisor: Supervisor,
    /// Why there is no listener, if there is none.
    missing: Option<String>,
    daemons: Vec<Child>,
}

impl Row {
    fn recover(&mut self) -> anyhow::Result<(&'static str, String)> {
        // For a daemon that is started.
        self.look_for_listener();
        let report = self.supervisor.recover()?;
        // Whoever had it may have answered nobody, and be gone now.
        self.look_for_listener();
        let ended = self.ended(report);
        Ok(match &self.missing {
            Some(why) => ("listener missing", why.clone()),
            None => ended,
        })
    }

    fn hand_over(&mut self, order: Handoff) -> anyhow::Result<(&'static str, String)> {
        let report = self.supervisor.handoff(&HandoffSpec {
            deadline: order.deadline(),
            drain_grace: order.drain_grace(),
            warmup_deadline: order.warm_up(),
            probation: order.probation(),
            health: order.health(),
            kill_stuck_incumbent: order.kill_stuck,
            ..HandoffSpec::new(daemon(&self.setup, &order.version, order.args)?)
        });
        match report {
            Ok(report) => Ok(self.ended(report)),
            Err(error @ SupervisorError::HealthCheck(_)) => Ok(("refused", error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// Says how it ended, and keeps the daemon that was started.
    fn ended(&mut self, report: Report) -> (&'static str, String) {
        let cause = report.abort_reason().unwrap_or_default();
        self.daemons.extend(report.child);
        self.daemons
            .retain_mut(|daemon| !matches!(daemon.try_wait(), Ok(Some(_))));
        match report.outcome {
            SupervisorOutcome::Committed { successor, .. } => {
                ("committed", format!("pid {}", successor.pid))
            }
            SupervisorOutcome::RolledBack { .. } => ("rolled back", cause),
            SupervisorOutcome::ColdStarted { .. } => ("started afresh", cause),
            SupervisorOutcome::Found { pid } => ("found", format!("pid {pid}")),
            SupervisorOutcome::Answered { pid } => ("answered", format!("pid {pid}")),
            SupervisorOutcome::Failed(_) => ("failed", cause),
        }
    }

    /// Gets the listener back from the daemon, or binds it if nobody has it.
    fn look_for_listener(&mut self) {
        if self.missing.is_none() {
            return;
        }
        let wanted = ListenSpec {
            name: RESP.into(),
            address: ListenAddress::Tcp(self.setup.address),
            options: ListenOptions::default(),
        };
        let kept = ask::listeners_with(&self.files.control, &times(&self.setup));
        let kept = kept.map(|kept| kept.into_iter().find(|kept| wanted.matches(kept)));
        let (listener, why) = match kept {
            Ok(listener) => (listener, "the daemon does not have it".into()),
            Err(error) => (None, error.to_string()),
        };
        match listener.map_or_else(|| wanted.bind(), Ok) {
            Ok(listener) => self.listen(listener.fd),
            Err(error) => self.missing = Some(format!("{why}; {error}")),
        }
    }

    fn listen(&mut self, listener: impl Into<OwnedFd>) {
        self.supervisor.add_listener(RESP, listener);
        self.missing = None;
    }
}

/// Standard output, for several threads.
#[derive(Clone)]
struct Out(Arc<File>);

impl Out {
    fn tell(&self, words: &[&str]) -> io::Result<()> {
        // At once, so that lines stay whole.
        let line = format!("{}\n", words.join("\t"));
        (&*self.0).write_all(line.as_bytes())
    }
}

/// The lines of standard input that wait for somebody to ask for them.
#[derive(Clone)]
struct Lines(Arc<Mutex<Receiver<String>>>);

impl Lines {
    /// Reads from now on. Orders that cannot wait are carried out here.
    fn read(rollback: RollbackHandle, out: Out) -> Self {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in io::stdin().lines().map_while(Result::ok) {
                let done = if line == ROLL_BACK {
                    let in_time = rollback.rollback("not wanted").to_string();
                    out.tell(&["regret", &in_time]).is_ok()
                } else {
                    sender.send(line).is_ok()
                };
                if !done {
                    return;
                }
            }
        });
        Self(Arc::new(Mutex::new(lines)))
    }

    /// The next one; `None` after the last.
    fn next(&self) -> Option<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.recv().ok()
    }
}

fn daemon(setup: &Setup, version: &str, more: Vec<OsString>) -> anyhow::Result<SpawnSpec> {
    let files = Files::of(&setup.dir);
    let mut args: Vec<OsString> = vec![
        "kvd".into(),
        "--data-dir".into(),
        files.data.into(),
        "--control-socket".into(),
        files.control.into(),
        "--hook-log".into(),
        files.hooks.into(),
        "--listen".into(),
        setup.address.to_string().into(),
        "--runtime".into(),
        setup.runtime.to_string().into(),
        "--tag".into(),
        version.into(),
        "--times-percent".into(),
        TIMES_PERCENT.to_string().into(),
        "--drain-grace-ms".into(),
        "50".into(),
    ];
    args.extend(more);
    Ok(SpawnSpec {
        binary: std::env::current_exe().context("which program am I?")?,
        args,
        ..SpawnSpec::default()
    })
}

fn times(setup: &Setup) -> SupervisorConfig {
    let times = SupervisorConfig::new(Task::Recover(None));
    let scale = |time: Duration| time * TIMES_PERCENT / 100;
    SupervisorConfig {
        versions: match setup.old {
            Some(Victim::Supervisor) => VersionRange::V1,
            _ => VersionRange::SUPPORTED,
        },
        hello: scale(times.hello),
        connect: scale(times.connect),
        heartbeat: scale(times.heartbeat),
        dead_peer: scale(times.dead_peer),
        wire_slack: scale(times.wire_slack),
        settle: scale(times.settle),
        ..times
    }
}

//! What a configuration says, in types, and what the library is given of it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handoff_std::host::{ListenSpec, User};
use handoff_std::{HandoffSpec, HealthCheck, SpawnSpec};

use super::problem::Note;

/// A whole file, or what a command line says. Every path in it is absolute if the file's own was.
#[derive(Debug, Clone)]
pub struct Config {
    /// The supervisor itself.
    pub supervisor: SupervisorSettings,
    /// What it supervises, in the order of the file: at least one.
    pub services: Vec<Service>,
    /// What may not be meant, for the log.
    pub notes: Vec<Note>,
}

/// What concerns the supervisor itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorSettings {
    /// Where it keeps what it has to know after a restart.
    pub state_dir: PathBuf,
    /// Where commands reach it. `None` only for a file in the style of version 1, or for a command line.
    pub socket: Option<PathBuf>,
    /// Users that may ask it for anything, besides its own and root.
    pub allowed_uids: Vec<u32>,
    /// How it writes its log.
    pub log_format: LogFormat,
    /// Where handoffs are recorded, in a directory for each service. `None`: they are not.
    pub recordings: Option<PathBuf>,
    /// Where its numbers are to be had, in Prometheus' text.
    pub metrics: Option<SocketAddr>,
    /// How many services are handed over at the same time; two for each processor if `None`.
    pub handoffs_at_once: Option<u32>,
}

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object on every line.
    Json,
}

/// A daemon that is supervised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What it is called. `main` in a file in the style of version 1.
    pub name: String,
    /// The program.
    pub binary: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables set in its environment.
    pub env: Vec<(OsString, OsString)>,
    /// Whether it inherits nothing of the supervisor's environment.
    pub clear_env: bool,
    /// The directory it starts in; the supervisor's own if `None`.
    pub working_dir: Option<PathBuf>,
    /// The user it runs as; the supervisor's own if `None`.
    pub user: Option<User>,
    /// Where its data and its writer lock are. `None` only for a file in the style of version 1 that
    /// does not say so; then nobody can look whether the lock is held.
    pub data_dir: Option<PathBuf>,
    /// The socket on which it takes handoffs.
    pub control_socket: PathBuf,
    /// A socket for `handoff` and `rollback` lines that concern this service alone.
    pub trigger_socket: Option<PathBuf>,
    /// What it listens on.
    pub listeners: Vec<ListenSpec>,
    /// How long a successor may warm up.
    pub warmup_deadline: Duration,
    /// How long it may drain in a handoff.
    pub drain_grace: Duration,
    /// How long a handoff may take until the successor is ready.
    pub deadline: Duration,
    /// Whether one that does not drain or seal in time is killed, and the handoff goes on.
    pub kill_stuck_incumbent: bool,
    /// How long a successor serves before there is no way back. Zero: not at all.
    pub probation: Duration,
    /// How it is looked after during the probation. `None`: only that it lives.
    pub health: Option<Health>,
    /// When and how fast it is started again.
    pub restart: Restart,
    /// Users that may ask for its handoffs, besides our own and root.
    pub allowed_uids: Vec<u32>,
    /// The programs that may be named in a handoff; `binary` is one of them. `None` only for a service
    /// that a command line describes: any.
    pub allowed_binaries: Option<Vec<PathBuf>>,
    /// Where a handoff in flight is noted.
    pub journal: PathBuf,
}

/// Whether a successor on probation is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What is done to find out.
    pub probe: Probe,
    /// From the start of one to the start of the next.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// How many have to fail in a row.
    pub failures: u32,
}

/// What is done to find out whether a service is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A program is run, and ends with status 0.
    Command {
        /// The program; looked for in `PATH` if it holds no slash.
        program: PathBuf,
        /// Its arguments.
        args: Vec<OsString>,
    },
    /// An HTTP GET of this URL is answered with a status from 200 to 299.
    Http(String),
    /// A TCP connection is accepted here.
    Tcp(SocketAddr),
}

/// When and how fast a service that has ended is started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// Whether it is started again at all.
    pub policy: RestartPolicy,
    /// The first pause; each one after it is twice as long.
    pub backoff: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// After a life this long the pauses begin anew.
    pub reset_after: Duration,
    /// How often it may be started in how short a time.
    pub crash_loop: Option<CrashLoop>,
}

/// A service that is started so often in so short a time is not started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashLoop {
    /// So many starts are let be; at least 1.
    pub max_starts: u32,
    /// In such a time.
    pub within: Duration,
}

/// Whether a service that has ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartPolicy {
    /// However it ended.
    #[default]
    Always,
    /// Unless it ended with exit status 0.
    OnFailure,
    /// Not at all.
    Never,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            policy: RestartPolicy::default(),
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            reset_after: Duration::from_secs(10),
            crash_loop: None,
        }
    }
}

impl Service {
    /// How this program is started in the place of the service's own: it may be that, or one of
    /// [`allowed_binaries`](Self::allowed_binaries).
    pub fn spawn(&self, binary: PathBuf) -> SpawnSpec {
        SpawnSpec {
            binary,
            args: self.args.clone(),
            env: self.env.clone(),
            clear_env: self.clear_env,
            user: self.user,
            current_dir: self.working_dir.clone(),
            own_group: true,
        }
    }

    /// Whether this program may be named in a handoff.
    pub fn allows(&self, binary: &Path) -> bool {
        let listed = self.allowed_binaries.as_ref();
        listed.is_none_or(|listed| listed.iter().any(|one| one == binary))
    }

    /// A handoff to this successor.
    pub fn handoff(&self, successor: SpawnSpec) -> HandoffSpec {
        HandoffSpec {
            deadline: self.deadline,
            drain_grace: self.drain_grace,
            warmup_deadline: self.warmup_deadline,
            kill_stuck_incumbent: self.kill_stuck_incumbent,
            probation: self.probation,
            health: self.health.as_ref().map(Health::check),
            ..HandoffSpec::new(successor)
        }
    }
}

impl Health {
    /// As a program that can be run: our own, for what is no command.
    pub fn check(&self) -> HealthCheck {
        let check = match &self.probe {
            Probe::Command { program, args } => HealthCheck::command(program, args),
            Probe::Http(url) => ourselves("http", url),
            Probe::Tcp(address) => ourselves("tcp", &address.to_string()),
        };
        HealthCheck {
            interval: self.interval,
            timeout: self.timeout,
            failures: self.failures,
            ..check
        }
    }
}

/// `handoff probe`, of the version that runs, even if its file has been replaced or removed.
fn ourselves(kind: &str, target: &str) -> HealthCheck {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let program = PathBuf::from("/proc/self/exe");
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let program = std::env::current_exe().unwrap_or_else(|_| "handoff".into());
    HealthCheck::command(program, ["probe", kind, target])
}

//! What commands and the supervisor say to each other on the supervisor's socket: a JSON object on each
//! line.
//!
//! The command says one line. If it wants events it is told them, a line each; then comes the answer,
//! and the connection is closed. A client that leaves, or that does not read, changes nothing: what it
//! has asked for goes on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::event::Event;

/// The longest line of a request, with its line break, in bytes.
pub(crate) const LINE: usize = 8192;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// A handoff to this binary, or to the configured one. A service that is down is started.
    Upgrade {
        /// `None` if there is but one.
        service: Option<String>,
        binary: Option<PathBuf>,
        /// Behind a handoff that is in progress, instead of being refused.
        #[serde(default)]
        wait: bool,
        /// Whether to tell what happens to the service meanwhile.
        #[serde(default)]
        events: bool,
    },
    /// The same binary again, by a handoff. A service that is down is started.
    Restart {
        service: Option<String>,
        #[serde(default)]
        wait: bool,
        #[serde(default)]
        events: bool,
    },
    /// The end of a probation, by a rollback.
    Rollback { service: Option<String> },
    /// How the service is, or all of them.
    Status { service: Option<String> },
    /// What has happened to the service, or to all of them: the last events that are kept.
    History {
        service: Option<String>,
        limit: usize,
    },
    /// What happens to the service, or to all of them, from now on. It is answered when the supervisor
    /// ends; the client ends it by leaving, or by shutting its side of the connection down.
    Watch { service: Option<String> },
}

/// What a command is told: that it follows, events if it wants them, and one of the others as its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Reply {
    /// Nothing was begun: why, and what to do.
    Refused { why: String },
    /// It has ended.
    Ended(Ended),
    /// From now on the client is told what happens. Events follow.
    Following,
    /// Something has happened. More follows.
    Event(Box<Event>),
    /// The client reads too slowly, and so many events are not told, of whatever service. More follows.
    Missed { count: u64 },
    /// The oldest first.
    History {
        events: Vec<Event>,
        /// What could not be read.
        damage: Vec<String>,
    },
    /// Nothing will happen any more: the supervisor is ending.
    Over,
    /// In the order of the configuration.
    Status { services: Vec<ServiceStatus> },
}

/// How something ended that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) service: String,
    pub(crate) outcome: Outcome,
    pub(crate) handoff_id: Option<String>,
    /// Who serves now, if this started it.
    pub(crate) pid: Option<u32>,
    /// Why it did not succeed.
    pub(crate) reason: Option<String>,
    /// What a committed handoff made do without: `standby`, `probation`.
    pub(crate) without: Vec<String>,
    pub(crate) took_ms: u64,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The successor serves.
    Committed,
    /// The daemon serves that served before.
    RolledBack,
    /// The service was down, and has been started.
    Started,
    /// Neither; the reason says more.
    Failed,
}

/// How a service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceStatus {
    pub(crate) name: String,
    pub(crate) state: State,
    /// Of the current daemon, while one is known to live.
    pub(crate) pid: Option<u32>,
    /// The binary that it is started from next.
    pub(crate) binary: String,
    /// How often it was started again since this supervisor runs.
    pub(crate) restarts: u32,
    pub(crate) listeners: Vec<Listener>,
    /// What is wrong, and what is done about it.
    pub(crate) trouble: Option<String>,
    /// The end of the last handoff.
    pub(crate) last: Option<Event>,
    /// What the daemon says of itself.
    pub(crate) daemon: Option<Daemon>,
    /// Whether it says so when it is asked; `None` if it cannot be asked: there is none, or it speaks
    /// version 1.
    pub(crate) answers: Option<bool>,
}

/// What the supervisor is at with a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// A daemon is there.
    Running,
    /// It is being replaced.
    HandingOver,
    /// There is none; one is looked for or started, now or after a pause.
    Starting,
    /// There is none, and none is started until someone asks for it.
    Down,
}

impl State {
    /// In words for people.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::HandingOver => "handing over",
            Self::Starting => "starting",
            Self::Down => "down",
        }
    }
}

/// A listener and where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listener {
    pub(crate) name: String,
    /// As bound; as configured while it is missing.
    pub(crate) address: String,
    /// Whether the supervisor has it.
    pub(crate) held: bool,
}

/// What a daemon says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Daemon {
    pub(crate) pid: u32,
    pub(crate) build_id: String,
    pub(crate) phase: String,
    pub(crate) generation: u64,
    pub(crate) uptime_ms: u64,
    pub(crate) open_connections: u32,
}

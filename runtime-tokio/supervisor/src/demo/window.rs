//! The load around one step of the demo, and what clients saw of the step.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use handoff_std::core::supervisor::Phase;

use super::phases::{Phases, Span};
use crate::kvd::resp;
use crate::load::{Acked, Client, Counters, Latency, Load, LoadConfig, Reply};

/// How long the daemon may take to say who it is.
const INFO_LIMIT: Duration = Duration::from_secs(5);

/// How long a load may take until all its clients have connected.
const WARM_UP: Duration = Duration::from_millis(100);

/// A load of its own for one step, so that all it counts belongs to that step.
pub(super) struct Window {
    load: Load,
    opened: Instant,
}

/// What the clients of a window saw.
pub(super) struct Seen {
    /// The longest time without an acknowledged write, around the step.
    pub(super) write_pause: Duration,
    /// The same before the step, when nothing happened, if the load ran for a while.
    pub(super) calm_pause: Option<Duration>,
    /// How long connects around the step took.
    pub(super) connects: Latency,
    pub(super) counters: Counters,
    /// Writes that were acknowledged while a successor warmed up, if one did.
    pub(super) in_warm_up: Option<u64>,
    /// Writes that were acknowledged while a successor was on probation, if one was: by the
    /// successor, since the incumbent is sealed then.
    pub(super) on_probation: Option<u64>,
    /// To be looked for.
    pub(super) acked: Acked,
    /// Why a request failed, if one did.
    pub(super) failure: Option<String>,
}

impl Window {
    /// Begins to load the server at `addr`, with keys that have this number.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub(super) fn open(addr: SocketAddr, number: usize) -> io::Result<Self> {
        let config = LoadConfig {
            key_prefix: format!("step{number}"),
            ..LoadConfig::default()
        };
        Ok(Self {
            load: Load::start(addr, &config)?,
            opened: Instant::now(),
        })
    }

    /// Ends the load. The step, with some time after it, took place in `span`.
    pub(super) fn close(self, span: Span, phases: &Phases) -> Seen {
        let Span { from, to } = span;
        let writes_in = |phase| {
            let Span { from, to } = phases.first(phase)?;
            Some(self.load.writes_between(from, to))
        };
        let calm = self.opened + WARM_UP;
        Seen {
            write_pause: self.load.write_pause(from, to),
            calm_pause: (calm < from).then(|| self.load.write_pause(calm, from)),
            connects: self.load.connect_latency(from, to),
            counters: self.load.counters(),
            in_warm_up: writes_in(Phase::Warming),
            on_probation: writes_in(Phase::Probation),
            failure: self.load.last_failure(),
            acked: self.load.stop(),
        }
    }
}

/// What a daemon says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// Its version: the `--tag` it was started with.
    pub(super) version: String,
    /// What it is built on.
    pub(super) runtime: String,
    /// Its pid.
    pub(super) pid: u32,
    /// As which incumbent it serves.
    pub(super) generation: u64,
}

impl Server {
    /// Asks who serves at `addr`.
    ///
    /// # Errors
    /// When nobody answers, or not so that it can be understood.
    pub(super) fn ask(addr: SocketAddr) -> io::Result<Self> {
        let until = Instant::now() + INFO_LIMIT;
        let mut client = Client::connect(addr, INFO_LIMIT)?;
        let mut request = Vec::new();
        resp::request(&mut request, &[b"INFO"]);
        let reply = client
            .send(&request, until, || true)
            .and_then(|()| client.receive(until, || true))
            .map_err(|error| io::Error::other(format!("INFO: {error}")))?;
        match reply {
            Reply::Bulk(Some(text)) => Self::parse(&String::from_utf8_lossy(&text)),
            _ => None,
        }
        .ok_or_else(|| io::Error::other("INFO: not the answer of a kvd"))
    }

    fn parse(info: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut fields = info.lines().filter_map(|line| line.split_once(':'));
            fields.find_map(|(key, value)| (key == name).then_some(value))
        };
        Some(Self {
            version: field("version")?.to_owned(),
            runtime: field("runtime")?.to_owned(),
            pid: field("pid")?.parse().ok()?,
            generation: field("generation")?.parse().ok()?,
        })
    }
}

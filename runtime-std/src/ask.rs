//! Ask a running daemon something, without touching it: how it is, and for the listeners that it
//! keeps for a supervisor that has lost its own (protocol, section 13).
//!
//! A question takes a session of its own, which the daemon answers at once, whatever it is at. It
//! takes a daemon that speaks version 2.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use handoff_core::op::{LinkReport, OpId};
use handoff_core::supervisor::{Phase, Question};
use handoff_core::wire::{HandoffId, Hello, Message, StatusPhase};
use handoff_core::{
    Cause, Loss, Observation, Reason, SupervisorConfig, SupervisorOp, SupervisorOutcome, Task,
};

use crate::driver::{Driver, Flow, Host, Links, Local, Stream};
use crate::host::NamedListener;
use crate::host::control::connect;
use crate::host::descriptors::Wanted;
use crate::host::engine::value;
use crate::host::listen::{address_of, check_name, is_listening};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// No daemon listens there, or none that would talk to us.
    #[error("no daemon answers on {}: {why}", control.display())]
    Nobody {
        /// The control path.
        control: PathBuf,
        /// What came of it.
        why: String,
    },
    /// The daemon and we have only version 1 of the protocol in common, which knows no questions.
    #[error(
        "pid {pid} speaks version 1 of the protocol, which cannot answer this: upgrade it first"
    )]
    Version1 {
        /// The daemon's pid, as it says.
        pid: u32,
    },
    /// The daemon refused, in these words.
    #[error("the daemon does not answer: {0}")]
    Refused(String),
    /// Somebody listens, but does not answer in time.
    #[error("the daemon on {} does not answer in time; is it stopped, or overloaded?", control.display())]
    Late {
        /// The control path.
        control: PathBuf,
    },
    /// The session ended half-way, or what was said in it is against the protocol.
    #[error("the session with the daemon ended: {0}")]
    Lost(Box<Cause>),
    /// Some of what came cannot be used as listeners. It is closed.
    #[error("the daemon handed over what cannot be used: {}", Problems(unusable))]
    Unusable {
        /// The names, and what is wrong with each.
        unusable: Vec<(String, String)>,
        /// The others. They are good.
        listeners: Vec<NamedListener>,
    },
    /// The control loop could not be set up.
    #[error("the control loop cannot be set up: {0}")]
    Setup(#[from] io::Error),
}

struct Problems<'a>(&'a [(String, String)]);

impl fmt::Display for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, problem)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}`{}` {problem}", name.escape_debug())?;
        }
        Ok(())
    }
}

/// What a daemon says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonStatus {
    /// Its pid, as it says.
    pub pid: u32,
    /// Which build it is.
    pub build_id: Vec<u8>,
    /// What it is at.
    pub phase: DaemonPhase,
    /// The generation under which it holds the writer lock, or held it last.
    pub generation: u64,
    /// How long it has served.
    pub uptime: Duration,
    /// Connections that are open.
    pub open_connections: u32,
    /// The last revision of each shard.
    pub revisions: Vec<u64>,
}

/// What a daemon is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DaemonPhase {
    /// A phase that this version knows.
    Known(StatusPhase),
    /// The number of one that a later version has added.
    Unknown(u8),
}

impl From<u8> for DaemonPhase {
    fn from(number: u8) -> Self {
        StatusPhase::from_number(number).map_or(Self::Unknown(number), Self::Known)
    }
}

impl fmt::Display for DaemonPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(phase) => phase.fmt(f),
            Self::Unknown(number) => write!(f, "in a phase that is not known here ({number})"),
        }
    }
}

/// How the daemon behind `control` is. Blocks, for about 10 seconds at most.
///
/// # Errors
/// [`AskError`].
pub fn status(control: impl AsRef<Path>) -> Result<DaemonStatus, AskError> {
    status_with(control, &defaults())
}

/// [`status`] with other versions and times; the `task` is ignored.
///
/// # Errors
/// [`AskError`].
pub fn status_with(
    control: impl AsRef<Path>,
    times: &SupervisorConfig,
) -> Result<DaemonStatus, AskError> {
    let answer = ask(control.as_ref(), Question::Status, times)?;
    answer
        .status
        .ok_or_else(|| io::Error::other("an answer without a status").into())
}

/// A descriptor of each listener that the daemon behind `control` keeps, in its order: those that it
/// was given at its birth, whether it uses them or not. Several may share a name. Blocks, for about
/// 10 seconds at most.
///
/// Each is still the daemon's too, with the status flags (`O_NONBLOCK`) that the daemon has set: they
/// are shared.
///
/// # Errors
/// [`AskError`].
pub fn listeners(control: impl AsRef<Path>) -> Result<Vec<NamedListener>, AskError> {
    listeners_with(control, &defaults())
}

/// [`listeners`] with other versions and times; the `task` is ignored.
///
/// # Errors
/// [`AskError`].
pub fn listeners_with(
    control: impl AsRef<Path>,
    times: &SupervisorConfig,
) -> Result<Vec<NamedListener>, AskError> {
    let Answer {
        unusable,
        listeners,
        ..
    } = ask(control.as_ref(), Question::Listeners, times)?;
    if unusable.is_empty() {
        Ok(listeners)
    } else {
        Err(AskError::Unusable {
            unusable,
            listeners,
        })
    }
}

const fn defaults() -> SupervisorConfig {
    SupervisorConfig::new(Task::Recover(None))
}

fn ask(control: &Path, question: Question, times: &SupervisorConfig) -> Result<Answer, AskError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let config = SupervisorConfig {
        task: Task::Ask(HandoffId::from_random(random), question),
        ..times.clone()
    };
    let driver: Driver<handoff_core::Supervisor, 2> = Driver::new(config)?;
    let (flow, turn) = driver.run(AskHost {
        control,
        reached: false,
        lost: None,
        answer: Answer::default(),
    });
    let host = turn.host;
    match flow {
        Flow::Done(SupervisorOutcome::Answered { .. }) => Ok(host.answer),
        Flow::Done(SupervisorOutcome::Failed(cause)) => Err(host.error(cause)),
        Flow::Done(_) | Flow::Stopped => Err(io::Error::other("no outcome of a question").into()),
    }
}

/// What has been heard.
#[derive(Default)]
struct Answer {
    /// From Hello.
    pid: u32,
    build_id: Vec<u8>,
    status: Option<DaemonStatus>,
    names: Vec<String>,
    listeners: Vec<NamedListener>,
    unusable: Vec<(String, String)>,
}

struct AskHost<'a> {
    control: &'a Path,
    /// The connection was made.
    reached: bool,
    lost: Option<Loss>,
    answer: Answer,
}

impl AskHost<'_> {
    fn error(self, cause: Cause) -> AskError {
        let control = self.control.to_path_buf();
        match (cause.reason, self.lost) {
            (Reason::NoIncumbent, Some(_)) => AskError::Nobody {
                control,
                why: "it ended the connection without a word, as a daemon does with users that it does not allow".into(),
            },
            (Reason::NoIncumbent, None) if !self.reached => AskError::Nobody {
                control,
                why: cause.detail.as_str().to_owned(),
            },
            (Reason::NoIncumbent | Reason::IncumbentStuck, _) => AskError::Late { control },
            (Reason::NeedsVersion2, _) => AskError::Version1 {
                pid: self.answer.pid,
            },
            (Reason::IncumbentRefused, _) => AskError::Refused(cause.detail.as_str().to_owned()),
            _ => AskError::Lost(Box::new(cause)),
        }
    }

    /// Takes what listens; the rest is closed here.
    fn adopt(&mut self, descriptors: Vec<OwnedFd>) {
        let names = std::mem::take(&mut self.answer.names);
        for (name, fd) in names.into_iter().zip(descriptors) {
            match usable(&name, &fd) {
                Ok(address) => self
                    .answer
                    .listeners
                    .push(NamedListener { name, fd, address }),
                Err(problem) => self.answer.unusable.push((name, problem)),
            }
        }
    }
}

/// Where it listens.
fn usable(name: &str, fd: &OwnedFd) -> Result<String, String> {
    check_name(name).map_err(|_| "is not a listener's name")?;
    if !is_listening(fd) {
        return Err("does not listen".into());
    }
    address_of(fd).map_err(|e| format!("has no address that is known here: {e}"))
}

impl Local for AskHost<'_> {}

impl Host<handoff_core::Supervisor, 2, Stream> for AskHost<'_> {
    const DESCRIPTORS: Wanted = Wanted::Yes;

    fn start(&mut self, op: SupervisorOp, links: &mut Links) {
        match op {
            SupervisorOp::Connect(ticket) => {
                let reached = connect(self.control).map(|(stream, peer)| LinkReport {
                    link: links.adopt(Arc::new(stream)),
                    process: peer.process(),
                });
                self.reached = reached.is_ok();
                links.end(value(ticket, reached.map_err(|e| e.to_string())));
            }
            SupervisorOp::AdoptListeners { ticket, handles } => {
                self.adopt(links.take(handles));
                links.end(value(ticket, Ok(())));
            }
            SupervisorOp::Spawn(_)
            | SupervisorOp::Kill { .. }
            | SupervisorOp::WriteJournal { .. }
            | SupervisorOp::ClearJournal(_)
            | SupervisorOp::ColdStart(_)
            | SupervisorOp::Probe { .. }
            | SupervisorOp::WatchProbation { .. } => {
                debug_assert!(false, "a question starts nothing of the kind");
            }
        }
    }

    /// Everything here has ended by the time it could be cancelled.
    fn cancel(&mut self, _: OpId) {}

    fn observe(&mut self, seen: Observation<Phase>) {
        match seen {
            Observation::Phase(phase) => tracing::trace!(%phase, "question"),
            Observation::Lost(_, loss) => self.lost = Some(loss),
            Observation::Trouble(cause) => tracing::debug!(%cause, "question"),
        }
    }

    fn message(&mut self, message: &Message<'_>) {
        match *message {
            Message::Hello(Hello { pid, build_id, .. }) => {
                self.answer.pid = pid;
                self.answer.build_id = build_id.to_vec();
            }
            Message::Listeners { names } => {
                self.answer.names = names.iter().map(str::to_owned).collect();
            }
            Message::Status {
                phase,
                generation,
                uptime_ms,
                open_connections,
                revisions,
            } => {
                self.answer.status = Some(DaemonStatus {
                    pid: self.answer.pid,
                    build_id: self.answer.build_id.clone(),
                    phase: phase.into(),
                    generation,
                    uptime: Duration::from_millis(uptime_ms),
                    open_connections,
                    revisions: revisions.iter().collect(),
                });
            }
            _ => {}
        }
    }
}

//! The successor on threads, a type for each step: [`Successor`] → [`Standing`] → [`Begun`] →
//! [`Incumbent`]. What must not happen before a step cannot be written before it.
//!
//! The control loop runs on a thread of its own from the handshake on, so heartbeats go out and an
//! abort is noticed while the daemon warms up or opens its data.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use handoff_core::op::{self, OpId, OpenReport, Ticket};
use handoff_core::successor::Phase;
use handoff_core::wire::{Names, Revisions};
use handoff_core::{Cause, Observation, SuccessorConfig, SuccessorOp, SuccessorOutcome};

use crate::driver::{Call, Caller, Driver, Flow, Host, Links};
use crate::host::{ControlListener, InheritError, InheritedListeners, StagedControl};
use crate::identity;
use crate::incumbent::{Incumbent, plain, try_lock};
use crate::lock_keeper::LockKeeper;

/// What a daemon says of itself when it is ready to serve.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Names or addresses it serves.
    pub listening_on: Vec<String>,
    /// Whether it finds itself fit to serve. `false` gives the handoff up (`C8`).
    pub healthy: bool,
    /// The revision of each shard that it opened.
    pub revisions: Vec<u64>,
}

impl Readiness {
    /// Fit to serve, with nothing more to say.
    pub fn healthy() -> Self {
        Self {
            healthy: true,
            ..Self::default()
        }
    }
}

/// Why a successor does not take over. End the process: that frees the lock, if it was taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuccessorError {
    /// The handoff went another way.
    #[error("not taking over: {0}")]
    GaveUp(Box<Cause>),
    /// The control thread could not be started, or has ended without a word.
    #[error("the control loop of the successor: {0}")]
    Control(#[from] io::Error),
}

/// What a successor needs to know before it says Hello.
#[derive(Debug, Clone)]
pub struct SuccessorSetup {
    /// The control path of the daemon.
    pub control: PathBuf,
    /// Its data directory, where the writer lock is.
    pub data_dir: PathBuf,
    /// Said in Hello; at most 64 bytes are used.
    pub build_id: Vec<u8>,
    /// The times that the protocol leaves to the caller. `identity` is filled in.
    pub times: SuccessorConfig,
}

impl SuccessorSetup {
    /// The defaults.
    pub fn new(control: impl AsRef<Path>, data_dir: impl AsRef<Path>) -> Self {
        Self {
            control: control.as_ref().to_path_buf(),
            data_dir: data_dir.as_ref().to_path_buf(),
            build_id: Vec::new(),
            times: SuccessorConfig::default(),
        }
    }
}

/// A process that was started to take over, before it has said anything.
#[derive(Debug)]
pub struct Successor {
    channel: UnixStream,
    listeners: InheritedListeners,
}

impl Successor {
    pub(crate) const fn new(channel: UnixStream, listeners: InheritedListeners) -> Self {
        Self { channel, listeners }
    }

    /// The names of the inherited listeners.
    pub fn listener_names(&self) -> impl Iterator<Item = &str> {
        self.listeners.names()
    }

    /// Bind the control socket under a temporary name, say Hello, and wait for `HelloAck`.
    ///
    /// # Errors
    /// [`SuccessorError`].
    pub fn handshake(self, setup: SuccessorSetup) -> Result<Standing, SuccessorError> {
        let config = SuccessorConfig {
            identity: identity::this_process(&setup.build_id),
            ..setup.times
        };
        let mut driver: Driver<handoff_core::Successor, 1> = Driver::new(config)?;
        self.channel.set_nonblocking(true)?;
        // The first link that a driver adopts is the machine's one link.
        driver.links.adopt(self.channel);

        let (report, milestones) = mpsc::channel();
        let lock = LockKeeper::new(&setup.data_dir);
        // Now, not after Ready: what could fail then would leave nobody to serve.
        let incumbent =
            Incumbent::prepare(&setup.control, lock.clone())?.with_build_id(&setup.build_id);
        let cancelled = Arc::new(AtomicBool::new(false));
        let mut control = Control {
            caller: driver.caller(),
            milestones,
            cancelled: Arc::clone(&cancelled),
            thread: None,
        };
        let mut host = SuccessorHost {
            control: setup.control,
            staged: None,
            listener: None,
            lock,
            report,
            cancelled,
        };
        let thread = thread::Builder::new()
            .name("handoff-control".into())
            .spawn(move || {
                let flow = driver.run(&mut host);
                let listener = host.listener.take();
                drop(host.staged.take());
                if let Flow::Done(outcome) = flow {
                    let _ = host
                        .report
                        .send(Milestone::Ended(Box::new(outcome), listener));
                }
            })?;
        control.thread = Some(thread);
        let mut standing = Standing {
            control,
            listeners: self.listeners,
            incumbent,
            opened: None,
        };
        match standing.control.next()? {
            Milestone::Standing => {}
            // The session was lost before HelloAck, and nobody else was left (`C3`).
            Milestone::Begun(ticket) => standing.opened = Some(ticket),
            Milestone::Ended(outcome, _) => return Err(gave_up(&outcome)),
        }
        Ok(standing)
    }
}

/// A successor that the supervisor knows. Do here what needs neither the lock nor the data:
/// configuration, caches, connections to others.
pub struct Standing {
    control: Control,
    listeners: InheritedListeners,
    incumbent: Incumbent,
    opened: Option<Ticket<op::Open>>,
}

impl Standing {
    /// The names of the inherited listeners.
    pub fn listener_names(&self) -> impl Iterator<Item = &str> {
        self.listeners.names()
    }

    /// Wait for Begin, and take the writer lock. Blocks.
    ///
    /// Returns also when the session is lost and the lock is free: then nobody else can serve (`C3`).
    ///
    /// # Errors
    /// [`SuccessorError`]: the handoff was given up, or the incumbent kept the lock.
    pub fn wait_for_begin(mut self) -> Result<Begun, SuccessorError> {
        let ticket = match self.opened.take() {
            Some(ticket) => ticket,
            None => match self.control.next()? {
                Milestone::Begun(ticket) => ticket,
                Milestone::Ended(outcome, _) => return Err(gave_up(&outcome)),
                Milestone::Standing => return Err(io::Error::other("out of order").into()),
            },
        };
        let Self {
            control,
            listeners,
            incumbent,
            ..
        } = self;
        Ok(Begun {
            opening: Opening {
                ticket: Some(ticket),
                control,
            },
            listeners,
            incumbent,
        })
    }
}

/// A successor that holds the writer lock: open the data now, and announce it.
///
/// If it is dropped instead, the supervisor is told that the successor gave up.
pub struct Begun {
    opening: Opening,
    listeners: InheritedListeners,
    incumbent: Incumbent,
}

/// The open operation and the thread that waits for its end. Dropping it reports a failure.
struct Opening {
    ticket: Option<Ticket<op::Open>>,
    control: Control,
}

impl Begun {
    /// The generation under which the lock was taken: a fencing token.
    pub fn generation(&self) -> u64 {
        self.incumbent.generation()
    }

    /// Whether the handoff was given up meanwhile. [`announce`](Self::announce) will fail then.
    pub fn is_cancelled(&self) -> bool {
        self.opening.control.cancelled.load(Ordering::Acquire)
    }

    /// The inherited TCP listener of this name. Its status flags are as the incumbent left them.
    ///
    /// # Errors
    /// [`InheritError`] when what was inherited under that name is something else.
    pub fn take_tcp(&mut self, name: &str) -> Result<Option<TcpListener>, InheritError> {
        self.listeners.take_tcp(name)
    }

    /// The inherited Unix listener of this name. Its status flags are as the incumbent left them.
    ///
    /// # Errors
    /// [`InheritError`] when what was inherited under that name is something else.
    pub fn take_unix(&mut self, name: &str) -> Result<Option<UnixListener>, InheritError> {
        self.listeners.take_unix(name)
    }

    /// All inherited listeners that are left.
    pub const fn listeners(&mut self) -> &mut InheritedListeners {
        &mut self.listeners
    }

    /// Say Ready, and take the control path over.
    ///
    /// # Errors
    /// [`SuccessorError`]: the handoff was given up, or `readiness` says that the daemon is not
    /// healthy. Do not serve then.
    pub fn announce(self, readiness: Readiness) -> Result<Incumbent, SuccessorError> {
        let Self {
            opening,
            mut incumbent,
            ..
        } = self;
        incumbent.listen(opening.announce(readiness)?);
        Ok(incumbent)
    }

    /// Give up: the data could not be opened. The supervisor is told why.
    pub fn give_up(mut self, why: &str) {
        self.opening.fail(why);
    }
}

impl Opening {
    /// Says Ready and sees the machine to its end; the control socket that is in place then.
    fn announce(mut self, readiness: Readiness) -> Result<Option<ControlListener>, SuccessorError> {
        let Some(ticket) = self.ticket.take() else {
            return Err(io::Error::other("announced twice").into());
        };
        self.control.caller.call(Call::Ended(Box::new(move |feed| {
            let names: Vec<&str> = readiness.listening_on.iter().map(String::as_str).collect();
            feed(ticket.done(OpenReport {
                listening_on: Names::from(&*names),
                healthy: readiness.healthy,
                revisions: Revisions::from(&*readiness.revisions),
            }));
        })));
        let milestone = self.control.next()?;
        self.control.join();
        match milestone {
            Milestone::Ended(outcome, listener) => match *outcome {
                SuccessorOutcome::Serving { .. } => Ok(listener),
                SuccessorOutcome::Failed(_) => Err(gave_up(&outcome)),
            },
            Milestone::Standing | Milestone::Begun(_) => {
                Err(io::Error::other("out of order").into())
            }
        }
    }

    fn fail(&mut self, why: &str) {
        if let Some(ticket) = self.ticket.take() {
            self.control
                .caller
                .call(Call::Ended(plain_failure(ticket, why)));
            self.control.join();
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.fail("the daemon left before it was ready");
    }
}

fn plain_failure(ticket: Ticket<op::Open>, why: &str) -> crate::driver::Ended {
    let why = why.to_owned();
    Box::new(move |feed| feed(ticket.failed(&why)))
}

fn gave_up(outcome: &SuccessorOutcome) -> SuccessorError {
    match *outcome {
        SuccessorOutcome::Failed(cause) => SuccessorError::GaveUp(Box::new(cause)),
        SuccessorOutcome::Serving { .. } => io::Error::other("out of order").into(),
    }
}

/// What the control thread has reached.
enum Milestone {
    Standing,
    Begun(Ticket<op::Open>),
    Ended(Box<SuccessorOutcome>, Option<ControlListener>),
}

/// The user's end of the control thread. Dropping it ends the thread, and with it the session.
struct Control {
    caller: Caller,
    milestones: Receiver<Milestone>,
    cancelled: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    fn next(&self) -> Result<Milestone, SuccessorError> {
        self.milestones
            .recv()
            .map_err(|_| io::Error::other("the control thread has ended").into())
    }

    /// The machine has an end in sight; see it through, so that its last word is written.
    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.caller.call(Call::Stop);
        self.join();
    }
}

struct SuccessorHost {
    control: PathBuf,
    staged: Option<StagedControl>,
    listener: Option<ControlListener>,
    lock: LockKeeper,
    report: Sender<Milestone>,
    cancelled: Arc<AtomicBool>,
}

impl SuccessorHost {
    fn stage(&mut self) -> Result<(), String> {
        self.staged = Some(ControlListener::stage(&self.control).map_err(|e| e.to_string())?);
        Ok(())
    }

    fn publish(&mut self) -> Result<(), String> {
        let staged = self.staged.take().ok_or("no control socket was staged")?;
        self.listener = Some(staged.publish().map_err(|failed| failed.1.to_string())?);
        Ok(())
    }
}

impl Host<handoff_core::Successor, 1> for SuccessorHost {
    fn start(&mut self, op: SuccessorOp, links: &mut Links) {
        match op {
            SuccessorOp::StagePath(ticket) => {
                let staged = self.stage();
                links.end(plain(ticket, staged));
            }
            SuccessorOp::TryLock(ticket) => links.end(try_lock(&self.lock, ticket)),
            // The daemon opens its data on its own thread.
            SuccessorOp::Open(ticket) => drop(self.report.send(Milestone::Begun(ticket))),
            SuccessorOp::PublishPath(ticket) => {
                let published = self.publish();
                links.end(plain(ticket, published));
            }
        }
    }

    fn cancel(&mut self, _: OpId) {
        self.cancelled.store(true, Ordering::Release);
    }

    fn observe(&mut self, seen: Observation<Phase>) {
        match seen {
            Observation::Phase(Phase::Standing) => drop(self.report.send(Milestone::Standing)),
            Observation::Phase(phase) => tracing::debug!(%phase, "successor"),
            Observation::Lost(_, loss) => {
                tracing::info!(%loss, "session with the supervisor ended");
            }
            Observation::Trouble(cause) => {
                tracing::warn!(target: "handoff.abort", %cause, "trouble");
            }
        }
    }
}

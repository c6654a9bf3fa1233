//! An epoch: one stretch of serving, from the start or a resume to the next drain.
//!
//! It owns what has to stop at the drain: the threads that accept and those that execute requests.
//! All of them wait on the epoch's pipe beside their socket, so that one call wakes them all, and
//! the drain waits until none of them can accept or execute any more. Connections of a past epoch
//! cannot touch the next one, since they hold on to their own.

use std::fmt;
use std::io::{self, PipeReader, PipeWriter};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::args::Runtime;
use super::connection;
use super::lock;
use super::store::Store;

/// Connections served at a time; more wait in the kernel's backlog.
pub(crate) const MAX_CONNECTIONS: usize = 4096;
/// How long to leave the backlog alone when there is no room, or no descriptor left.
pub(crate) const BACK_OFF: Duration = Duration::from_millis(20);
/// Stack of a connection's thread, in bytes. There may be thousands.
const STACK: usize = 512 * 1024;

/// What the daemon is doing, as INFO shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The data is open, nothing is served yet.
    Opened,
    /// Accepting, reading, writing.
    Serving,
    /// No longer accepting; finishing what is in flight.
    Draining,
    /// Nothing is in flight and nothing is accepted.
    Drained,
    /// Closing the data.
    Sealing,
    /// The data is closed.
    Sealed,
    /// Shut down for good.
    Closed,
}

impl Phase {
    const ALL: [Self; 7] = [
        Self::Opened,
        Self::Serving,
        Self::Draining,
        Self::Drained,
        Self::Sealing,
        Self::Sealed,
        Self::Closed,
    ];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opened => "opened",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Sealing => "sealing",
            Self::Sealed => "sealed",
            Self::Closed => "closed",
        })
    }
}

/// What the daemon can say about itself; outlives every epoch.
#[derive(Debug)]
pub(crate) struct Status {
    tag: String,
    runtime: Runtime,
    generation: AtomicU64,
    phase: AtomicU8,
    connections: AtomicUsize,
    /// Whether the process before it can no longer come back.
    committed: AtomicBool,
    /// When it began to serve.
    since: OnceLock<Instant>,
    /// For how long it is well then; `None`: for ever.
    well_for: Option<Duration>,
}

impl Status {
    /// The status of a daemon that calls itself `tag`.
    pub(crate) fn new(tag: String, runtime: Runtime, well_for: Option<Duration>) -> Self {
        Self {
            tag,
            runtime,
            generation: AtomicU64::new(0),
            phase: AtomicU8::new(Phase::Opened as u8),
            connections: AtomicUsize::new(0),
            committed: AtomicBool::new(false),
            since: OnceLock::new(),
            well_for,
        }
    }

    /// What the daemon is doing.
    pub(crate) fn phase(&self) -> Phase {
        let stored = usize::from(self.phase.load(Ordering::Acquire));
        Phase::ALL.get(stored).copied().unwrap_or(Phase::Closed)
    }

    /// Says what the daemon is doing from now on.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Says as which incumbent the daemon serves.
    pub(crate) fn set_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::Release);
    }

    /// Says that the process before it can no longer come back.
    pub(crate) fn set_committed(&self) {
        self.committed.store(true, Ordering::Release);
    }

    /// It serves from now on. To be said before the first client could ask.
    pub(crate) fn begin(&self) {
        self.since.get_or_init(Instant::now);
    }

    /// Whether the daemon finds itself well.
    fn is_healthy(&self) -> bool {
        match (self.since.get(), self.well_for) {
            (Some(since), Some(well_for)) => since.elapsed() < well_for,
            _ => true,
        }
    }

    /// Connections that are open.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// The text that INFO answers.
    pub(crate) fn info(&self, keys: u64) -> String {
        format!(
            "version:{}\r\nruntime:{}\r\npid:{}\r\ngeneration:{}\r\nphase:{}\r\nkeys:{keys}\r\n\
             connected_clients:{}\r\nhealthy:{}\r\ncommitted:{}\r\n",
            self.tag,
            self.runtime.name(),
            std::process::id(),
            self.generation.load(Ordering::Acquire),
            self.phase(),
            self.connections(),
            yes_or_no(self.is_healthy()),
            yes_or_no(self.committed.load(Ordering::Acquire)),
        )
    }
}

const fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// Counts a connection as open for as long as it lives.
pub(crate) struct Open(Arc<Status>);

impl Open {
    pub(crate) fn new(status: &Arc<Status>) -> Self {
        status.connections.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(status))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One stretch of serving.
pub(crate) struct Epoch {
    /// What is served.
    pub(crate) store: Arc<Store>,
    /// What INFO shows.
    pub(crate) status: Arc<Status>,
    /// When the last request may be executed; set by the stop.
    cutoff: OnceLock<Instant>,
    /// Hung up by the stop: a pipe whose writer is gone wakes every thread that polls it.
    stopped: PipeReader,
    stop: Mutex<Option<PipeWriter>>,
    /// Threads that can still accept a connection or execute a request.
    busy: Mutex<usize>,
    idle: Condvar,
}

/// Counts a thread as able to accept or execute, for as long as it lives.
pub(crate) struct Busy(Arc<Epoch>);

impl Busy {
    fn new(epoch: &Arc<Epoch>) -> Self {
        *lock(&epoch.busy) += 1;
        Self(Arc::clone(epoch))
    }

    /// The epoch it is busy in.
    pub(crate) fn epoch(&self) -> &Arc<Epoch> {
        &self.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *lock(&self.0.busy) -= 1;
        self.0.idle.notify_all();
    }
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The socket has something, perhaps an error. The epoch may have been stopped as well.
    Ready,
    /// The epoch was stopped, and the socket has nothing.
    Stopped,
    /// Time is up.
    Late,
}

impl Epoch {
    /// Begins an epoch that serves `store`.
    ///
    /// # Errors
    /// When the system has no pipe left.
    pub(crate) fn begin(store: Arc<Store>, status: Arc<Status>) -> io::Result<Arc<Self>> {
        let (stopped, stop) = io::pipe()?;
        status.begin();
        Ok(Arc::new(Self {
            store,
            status,
            cutoff: OnceLock::new(),
            stopped,
            stop: Mutex::new(Some(stop)),
            busy: Mutex::new(0),
            idle: Condvar::new(),
        }))
    }

    /// Accepts connections of `listener` until the epoch is stopped.
    ///
    /// # Errors
    /// When the listener's flags cannot be set or the system has no thread left.
    pub(crate) fn accept_on(self: &Arc<Self>, listener: &Arc<TcpListener>) -> io::Result<()> {
        // The flag belongs to the open file, which a predecessor or successor shares. Whoever
        // serves sets it to the same value, and sets it again whenever it begins to serve.
        listener.set_nonblocking(true)?;
        let busy = Busy::new(self);
        let listener = Arc::clone(listener);
        thread::Builder::new()
            .name("kvd-accept".into())
            .spawn(move || accept_until_stopped(&listener, &busy))?;
        Ok(())
    }

    /// Stops accepting at once, and executing by `cutoff`. The first call counts.
    pub(crate) fn stop(&self, cutoff: Instant) {
        self.cutoff.get_or_init(|| cutoff);
        lock(&self.stop).take();
    }

    /// Once the epoch is stopped: when the last request may be executed.
    pub(crate) fn cutoff(&self) -> Option<Instant> {
        self.cutoff.get().copied()
    }

    /// Waits until no thread can accept a connection or execute a request any more, but no longer
    /// than `timeout`. Returns whether that came true.
    pub(crate) fn wait_idle(&self, timeout: Duration) -> bool {
        let busy = lock(&self.busy);
        let waited = self
            .idle
            .wait_timeout_while(busy, timeout, |busy| *busy > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
    }

    /// Waits until `socket` is ready for `what`, or the epoch is stopped.
    ///
    /// # Errors
    /// When the system cannot poll.
    pub(crate) fn wait(&self, socket: BorrowedFd<'_>, what: PollFlags) -> io::Result<Woken> {
        let mut fds = [
            PollFd::from_borrowed_fd(socket, what),
            PollFd::new(&self.stopped, PollFlags::IN),
        ];
        poll_until(&mut fds, None)?;
        let [socket, _] = fds;
        Ok(if socket.revents().is_empty() {
            Woken::Stopped
        } else {
            Woken::Ready
        })
    }

    /// Sleeps for `time`. Returns early, and `true`, when the epoch is stopped.
    fn sleep(&self, time: Duration) -> bool {
        let mut fds = [PollFd::new(&self.stopped, PollFlags::IN)];
        let until = Instant::now() + time;
        matches!(poll_until(&mut fds, Some(until)), Ok(ready) if ready > 0)
    }
}

/// Waits until `socket` is ready for `what`, but not beyond `until`.
///
/// # Errors
/// When the system cannot poll.
pub(crate) fn wait_until(socket: impl AsFd, what: PollFlags, until: Instant) -> io::Result<Woken> {
    let socket = socket.as_fd();
    let ready = poll_until(&mut [PollFd::from_borrowed_fd(socket, what)], Some(until))?;
    Ok(if ready > 0 { Woken::Ready } else { Woken::Late })
}

/// `poll(2)` until `until`, signals or not.
fn poll_until(fds: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<usize> {
    loop {
        let left = until.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(fds, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

fn accept_until_stopped(listener: &TcpListener, busy: &Busy) {
    let epoch = busy.epoch();
    let mut complained = false;
    loop {
        match epoch.wait(listener.as_fd(), PollFlags::IN) {
            Ok(Woken::Ready) if epoch.cutoff().is_none() => {}
            Ok(_) => return,
            Err(error) => {
                tracing::error!(%error, "no longer accepting connections: poll failed");
                return;
            }
        }
        if epoch.status.connections() >= MAX_CONNECTIONS {
            epoch.sleep(BACK_OFF);
            continue;
        }
        match accept_one(listener, epoch) {
            Ok(()) => complained = false,
            Err(error) if is_passing(&error) => {}
            // Out of descriptors, memory or threads: others may give some back. The connection
            // waits in the backlog.
            Err(error) => {
                if !complained {
                    tracing::warn!(%error, "cannot accept a connection, trying again");
                    complained = true;
                }
                epoch.sleep(BACK_OFF);
            }
        }
    }
}

fn accept_one(listener: &TcpListener, epoch: &Arc<Epoch>) -> io::Result<()> {
    let (stream, _) = listener.accept()?;
    let open = Open::new(&epoch.status);
    let busy = Busy::new(epoch);
    thread::Builder::new()
        .name("kvd-client".into())
        .stack_size(STACK)
        .spawn(move || connection::serve(stream, busy, open))?;
    Ok(())
}

/// Whether accept only says that this one connection came to nothing.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    )
}

//! The loop of the supervisor: it waits for whatever comes first, then looks at everything once.
//!
//! Nothing in a look waits. What a handoff takes its time for happens on the [`Worker`]'s thread,
//! which owns the successor until it reports it; only processes named here are reaped here, each
//! by its own pid.

mod ending;
pub(super) mod requests;

use std::time::{Duration, Instant};

use handoff_std::core::{Reason, SupervisorOutcome};
use handoff_std::host::{NamedListener, Signal, lock};
use handoff_std::{RollbackHandle, Supervisor};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::args::SuperviseArgs;
use super::backoff::Backoff;
use super::daemon::Daemon;
use super::is_occupied;
use super::missing::{self, Missing};
use super::signals::Signals;
use super::trigger::{ClientId, Trigger};
use super::worker::{Came, Ended, Task, Worker};
use crate::config::Restart;
use ending::Stop;

/// How often a look is taken at what does not tell by itself: a process that cannot be watched, and
/// whether a handoff has come to its probation.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// All that the loop knows.
pub(super) struct Overseer<'a> {
    args: &'a SuperviseArgs,
    worker: Worker,
    signals: Signals,
    trigger: Option<Trigger>,
    doing: Doing,
    /// The current daemon, while one is known to live.
    daemon: Option<Daemon>,
    /// Earlier daemons that have not ended yet.
    leaving: Vec<Daemon>,
    backoff: Backoff,
    /// When to look for a daemon, or start one, while there is none.
    start_at: Instant,
    missing: Missing,
    stop: Stop,
}

/// What is in flight.
enum Doing {
    Nothing(Box<Supervisor>),
    Recovery,
    /// The daemon is asked for its listeners.
    Asking,
    Handoff(Handoff),
}

/// A handoff in flight.
struct Handoff {
    client: ClientId,
    /// Ends its probation.
    rollback: RollbackHandle,
    /// Clients that asked for that.
    regretful: Vec<ClientId>,
}

impl<'a> Overseer<'a> {
    pub(super) fn new(
        args: &'a SuperviseArgs,
        supervisor: Supervisor,
        worker: Worker,
        signals: Signals,
        trigger: Option<Trigger>,
        missing: Missing,
    ) -> Self {
        Self {
            args,
            worker,
            signals,
            trigger,
            doing: Doing::Nothing(Box::new(supervisor)),
            daemon: None,
            leaving: Vec::new(),
            backoff: Backoff::new(&Restart::default()),
            start_at: Instant::now(),
            missing,
            stop: Stop::No,
        }
    }

    /// Goes on until told to end.
    ///
    /// # Errors
    /// A second signal, a daemon that cannot be killed, or a bug that took the worker away. The
    /// daemon is left as it is.
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        loop {
            let now = Instant::now();
            self.heed_signals()?;
            if let Some(ended) = self.worker.ended()? {
                self.finish(ended, now);
            }
            self.reap(now);
            self.complete(now);
            self.start(now);
            self.serve_trigger(now);
            if self.stop(now)? {
                return Ok(());
            }
            self.wait();
        }
    }

    /// Takes in what came of a task.
    fn finish(&mut self, ended: Ended, now: Instant) {
        let Ended { supervisor, came } = ended;
        let doing = std::mem::replace(&mut self.doing, Doing::Nothing(supervisor));
        let result = match came {
            Came::Report(result) => result,
            Came::Listeners(kept) => {
                return self.missing.take_back(&self.args.listeners, kept);
            }
        };
        if let Doing::Handoff(handoff) = doing {
            self.answer(&handoff, &result, now);
        }
        let report = match *result {
            Ok(report) => report,
            Err(error) => {
                tracing::error!(%error, "not even begun");
                self.retry(now);
                return;
            }
        };
        match report.outcome {
            SupervisorOutcome::Committed { .. } | SupervisorOutcome::ColdStarted { .. } => {
                self.missing.started_a_daemon();
                self.replace(report.child.map(Daemon::child));
            }
            SupervisorOutcome::Found { pid } => self.adopt(pid, now),
            SupervisorOutcome::Failed(cause) if cause.reason == Reason::Unsettled => {
                let SuperviseArgs {
                    control_socket,
                    data_dir,
                    ..
                } = self.args;
                tracing::error!(
                    control_socket = %control_socket.display(), data_dir = %data_dir.display(),
                    holder = lock::holder_hint(data_dir),
                    "a process has the data directory and does not answer on the control socket; \
                     stop it, or give the control socket that it uses"
                );
            }
            // The daemon is the one that it was, if there is one.
            SupervisorOutcome::RolledBack { .. }
            | SupervisorOutcome::Answered { .. }
            | SupervisorOutcome::Failed(_) => {}
        }
        self.retry(now);
    }

    /// From now on this is the daemon; the one before may still be on its way out.
    fn replace(&mut self, daemon: Option<Daemon>) {
        let before = std::mem::replace(&mut self.daemon, daemon);
        self.leaving.extend(before);
        // Somebody else has the address of a listener, and now there is a daemon without it.
        if let Some(daemon) = &self.daemon
            && self.missing.first().is_some()
        {
            tracing::warn!(
                pid = daemon.pid(),
                "started without all of its listeners; ending it"
            );
            daemon.signal(Signal::KILL);
        }
    }

    /// Watches a daemon that serves already.
    fn adopt(&mut self, pid: u32, now: Instant) {
        if self
            .daemon
            .as_ref()
            .is_some_and(|daemon| daemon.pid() == pid)
        {
            return;
        }
        let known = self.leaving.iter().position(|left| left.pid() == pid);
        let daemon = match known {
            Some(at) => Some(self.leaving.swap_remove(at)),
            None => Daemon::found(pid),
        };
        self.missing.found_a_daemon();
        // It may be the one to ask for what is missing.
        self.missing.retry(now);
        let before = std::mem::replace(&mut self.daemon, daemon);
        self.leaving.extend(before);
    }

    fn reap(&mut self, now: Instant) {
        self.leaving.retain_mut(|daemon| {
            let Some(end) = daemon.ended() else {
                return true;
            };
            tracing::info!(pid = daemon.pid(), %end, "an earlier daemon has ended");
            false
        });
        let Some((daemon, end)) = self
            .daemon
            .as_mut()
            .and_then(|daemon| daemon.ended().map(|end| (daemon, end)))
        else {
            return;
        };
        let (pid, lived) = (daemon.pid(), daemon.lived());
        self.daemon = None;
        self.backoff.ended(lived);
        // It may have been what kept a listener from us.
        self.missing.retry(now);
        match (&self.doing, self.stop) {
            // Who is the daemon now, the handoff's end will tell.
            (Doing::Handoff(_), _) => {
                tracing::info!(pid, %end, "the incumbent has ended during the handoff");
            }
            (_, Stop::No) => {
                tracing::warn!(pid, %end, ?lived, "the daemon has ended");
                self.retry(now);
            }
            _ => tracing::info!(pid, %end, "the daemon has ended"),
        }
    }

    /// If there is no daemon, sets when to start one.
    fn retry(&mut self, now: Instant) {
        if self.daemon.is_some() || !matches!(self.stop, Stop::No) {
            return;
        }
        let pause = self.backoff.pause();
        self.start_at = now + pause;
        tracing::info!(?pause, "there is no daemon; looking again after a pause");
    }

    /// Tries to get the listeners that are missing: by binding them, and from the daemon.
    fn complete(&mut self, now: Instant) {
        let lacks = self.missing.bind(now);
        if lacks && self.is_idle() && self.daemon.is_some() {
            self.begin(Doing::Asking, Task::AskForListeners);
        }
    }

    /// Whether something can be begun.
    const fn is_idle(&self) -> bool {
        matches!((&self.doing, self.stop), (Doing::Nothing(_), Stop::No))
    }

    /// Starts the daemon if there is none. Another process may have taken over, so it is a recovery
    /// that does it, which starts one only if nobody serves.
    fn start(&mut self, now: Instant) {
        if !self.is_idle() || self.daemon.is_some() || now < self.start_at {
            return;
        }
        if let Some((spec, error)) = self.missing.first()
            && !is_occupied(&self.args.control_socket, &self.args.data_dir)
        {
            tracing::warn!(
                name = spec.name, %error,
                "the daemon is not started without all of its listeners"
            );
            self.start_at = now + missing::EVERY;
            return;
        }
        self.begin(Doing::Recovery, Task::Recover);
    }

    fn begin(&mut self, doing: Doing, task: Task) {
        match std::mem::replace(&mut self.doing, doing) {
            Doing::Nothing(mut supervisor) => {
                for NamedListener { name, fd, .. } in self.missing.had() {
                    supervisor.add_listener(name, fd);
                }
                self.worker.give(supervisor, task);
            }
            // One at a time.
            busy => self.doing = busy,
        }
    }

    /// Waits until something happens or is due.
    fn wait(&self) {
        let mut fds = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.worker, PollFlags::IN),
        ];
        fds.extend(self.trigger.iter().flat_map(Trigger::poll_fds));
        let watched = self.processes().filter_map(Daemon::watch);
        fds.extend(watched.map(|watch| PollFd::from_borrowed_fd(watch, PollFlags::IN)));
        let left = self
            .deadline()
            .map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                tracing::error!(%error, "cannot wait for events; looking now and then");
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }

    /// When something is due although nothing happens.
    fn deadline(&self) -> Option<Instant> {
        let start = (self.is_idle() && self.daemon.is_none()).then_some(self.start_at);
        let stop = match self.stop {
            Stop::Terminating(at) | Stop::Killing(at) => Some(at),
            Stop::No | Stop::Asked => None,
        };
        let unwatched = self.processes().any(|daemon| daemon.watch().is_none());
        let probation = matches!((&self.doing, self.stop), (Doing::Handoff(_), Stop::Asked));
        let look = (unwatched || probation).then(|| Instant::now() + LOOK_EVERY);
        let trigger = self.trigger.as_ref().and_then(Trigger::deadline);
        [start, self.missing.deadline(), stop, look, trigger]
            .into_iter()
            .flatten()
            .min()
    }
}

//! The loop of the supervisor: it waits for whatever comes first, then looks at everything once.
//!
//! Nothing in a look waits. What a handoff takes its time for happens on the [`Worker`]'s thread,
//! which owns the successor until it reports it; only processes named here are reaped here, each
//! by its own pid.

mod requests;

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use handoff_std::Supervisor;
use handoff_std::core::{Reason, SupervisorOutcome};
use handoff_std::host::{ListenError, ListenSpec, NamedListener, Signal, lock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::args::SuperviseArgs;
use super::backoff::Backoff;
use super::daemon::Daemon;
use super::is_occupied;
use super::listeners::bind_missing;
use super::signals::Signals;
use super::trigger::{ClientId, Trigger};
use super::worker::{Ended, Task, Worker};
use requests::answer;

/// How often a missing listener is tried again.
const BIND_EVERY: Duration = Duration::from_secs(1);
/// How often a process is looked at that cannot be watched.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How long a daemon may take to end when it is told to.
const TERMINATION: Duration = Duration::from_secs(10);
/// How long a killed process may take to be gone.
const DEATH: Duration = Duration::from_secs(5);

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
    missing: Vec<(ListenSpec, ListenError)>,
    bind_at: Instant,
    /// Bound at last, and not with the supervisor yet.
    bound: Vec<NamedListener>,
    /// The names of those that an adopted daemon cannot have, since we bound them ourselves.
    fresh: Vec<String>,
    stop: Stop,
}

/// What is in flight.
enum Doing {
    Nothing(Box<Supervisor>),
    Recovery,
    /// For this client.
    Handoff(ClientId),
}

/// How far the way out has been gone.
#[derive(Clone, Copy)]
enum Stop {
    No,
    /// As soon as nothing is in flight.
    Asked,
    /// The daemon was told to end, and will be killed then.
    Terminating(Instant),
    /// It was killed, and should be gone by then.
    Killing(Instant),
}

impl<'a> Overseer<'a> {
    pub(super) fn new(
        args: &'a SuperviseArgs,
        supervisor: Supervisor,
        worker: Worker,
        signals: Signals,
        trigger: Option<Trigger>,
    ) -> Self {
        let now = Instant::now();
        Self {
            args,
            worker,
            signals,
            trigger,
            doing: Doing::Nothing(Box::new(supervisor)),
            daemon: None,
            leaving: Vec::new(),
            backoff: Backoff::new(),
            start_at: now,
            missing: Vec::new(),
            bind_at: now + BIND_EVERY,
            bound: Vec::new(),
            fresh: Vec::new(),
            stop: Stop::No,
        }
    }

    /// Which listeners are missing, and the names of those that were bound just now.
    pub(super) fn with_listeners(
        mut self,
        missing: Vec<(ListenSpec, ListenError)>,
        fresh: Vec<String>,
    ) -> Self {
        for (spec, error) in &missing {
            tracing::warn!(
                name = spec.name, %error,
                "LISTENER MISSING: a daemon that lives has probably kept it from an earlier \
                 supervisor. It is watched all the same; handoffs are refused until the listener \
                 can be bound, which is tried every second"
            );
        }
        self.missing = missing;
        self.fresh = fresh;
        self
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
            self.bind(now);
            self.start(now);
            self.serve_trigger(now);
            if self.stop(now)? {
                return Ok(());
            }
            self.wait();
        }
    }

    fn heed_signals(&mut self) -> anyhow::Result<()> {
        let mut count = self.signals.take();
        if count > 0 && matches!(self.stop, Stop::No) {
            tracing::info!("told to end");
            self.stop = Stop::Asked;
            count -= 1;
        }
        if count > 0 {
            bail!("told to end a second time: ending at once, the daemon is left as it is");
        }
        Ok(())
    }

    /// Takes in what came of a task.
    fn finish(&mut self, ended: Ended, now: Instant) {
        let Ended { supervisor, result } = ended;
        let doing = std::mem::replace(&mut self.doing, Doing::Nothing(supervisor));
        if let (Doing::Handoff(client), Some(trigger)) = (&doing, &mut self.trigger) {
            trigger.answer(*client, &answer(&result), now);
        }
        let report = match result {
            Ok(report) => report,
            Err(error) => {
                tracing::error!(%error, "not even begun");
                self.retry(now);
                return;
            }
        };
        match report.outcome {
            SupervisorOutcome::Committed { .. } | SupervisorOutcome::ColdStarted { .. } => {
                self.fresh.clear();
                self.replace(report.child.map(Daemon::child));
            }
            SupervisorOutcome::Found { pid } => self.adopt(pid),
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
            SupervisorOutcome::RolledBack { .. } | SupervisorOutcome::Failed(_) => {}
        }
        self.retry(now);
    }

    /// From now on this is the daemon; the one before may still be on its way out.
    fn replace(&mut self, daemon: Option<Daemon>) {
        let before = std::mem::replace(&mut self.daemon, daemon);
        self.leaving.extend(before);
        // Somebody else has the address of a listener, and now there is a daemon without it.
        if let Some(daemon) = &self.daemon
            && !self.missing.is_empty()
        {
            tracing::warn!(
                pid = daemon.pid(),
                "started without all of its listeners; ending it"
            );
            daemon.signal(Signal::KILL);
        }
    }

    /// Watches a daemon that serves already.
    fn adopt(&mut self, pid: u32) {
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
        for name in self.fresh.drain(..) {
            tracing::warn!(
                name,
                "the daemon that was found does not have this listener, since it was bound just \
                 now: connections wait until the next handoff"
            );
        }
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
        self.bind_at = now;
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

    fn bind(&mut self, now: Instant) {
        if self.missing.is_empty() || now < self.bind_at {
            return;
        }
        self.bind_at = now + BIND_EVERY;
        let bound = bind_missing(&mut self.missing);
        self.fresh
            .extend(bound.iter().map(|bound| bound.name.clone()));
        self.bound.extend(bound);
    }

    /// Starts the daemon if there is none. Another process may have taken over, so it is a recovery
    /// that does it, which starts one only if nobody serves.
    fn start(&mut self, now: Instant) {
        let idle = matches!(self.doing, Doing::Nothing(_)) && matches!(self.stop, Stop::No);
        if !idle || self.daemon.is_some() || now < self.start_at {
            return;
        }
        if let Some((spec, error)) = self.missing.first()
            && !is_occupied(&self.args.control_socket, &self.args.data_dir)
        {
            tracing::warn!(
                name = spec.name, %error,
                "the daemon is not started without all of its listeners"
            );
            self.start_at = now + BIND_EVERY;
            return;
        }
        self.begin(Doing::Recovery, Task::Recover);
    }

    fn begin(&mut self, doing: Doing, task: Task) {
        match std::mem::replace(&mut self.doing, doing) {
            Doing::Nothing(mut supervisor) => {
                for NamedListener { name, fd, .. } in self.bound.drain(..) {
                    *supervisor = supervisor.with_listener(name, fd);
                }
                self.worker.give(supervisor, task);
            }
            // One at a time.
            busy => self.doing = busy,
        }
    }

    /// Goes the way out as far as it can be gone now; whether its end is reached.
    fn stop(&mut self, now: Instant) -> anyhow::Result<bool> {
        if !matches!(self.doing, Doing::Nothing(_)) {
            return Ok(false);
        }
        match self.stop {
            Stop::No => return Ok(false),
            Stop::Asked => {
                self.trigger = None;
                if self.args.keep_daemon {
                    tracing::info!("ending; the daemon goes on");
                    return Ok(true);
                }
                self.signal_all(Signal::TERM);
                self.stop = Stop::Terminating(now + TERMINATION);
            }
            Stop::Terminating(kill_at) if now >= kill_at => {
                tracing::warn!("the daemon does not end; killing it");
                self.signal_all(Signal::KILL);
                self.stop = Stop::Killing(now + DEATH);
            }
            Stop::Killing(give_up_at) if now >= give_up_at => {
                let stuck = self.processes().map(Daemon::pid).next();
                bail!("pid {} does not die", stuck.context("nobody is left")?);
            }
            Stop::Terminating(_) | Stop::Killing(_) => {}
        }
        Ok(self.processes().next().is_none())
    }

    fn processes(&self) -> impl Iterator<Item = &Daemon> {
        self.leaving.iter().chain(&self.daemon)
    }

    fn signal_all(&self, signal: Signal) {
        for daemon in self.processes() {
            daemon.signal(signal);
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
                std::thread::sleep(ASK_EVERY);
            }
        }
    }

    /// When something is due although nothing happens.
    fn deadline(&self) -> Option<Instant> {
        let idle = matches!(self.doing, Doing::Nothing(_)) && matches!(self.stop, Stop::No);
        let start = (idle && self.daemon.is_none()).then_some(self.start_at);
        let bind = (!self.missing.is_empty()).then_some(self.bind_at);
        let stop = match self.stop {
            Stop::Terminating(at) | Stop::Killing(at) => Some(at),
            Stop::No | Stop::Asked => None,
        };
        let unwatched = self.processes().any(|daemon| daemon.watch().is_none());
        let ask = unwatched.then(|| Instant::now() + ASK_EVERY);
        let trigger = self.trigger.as_ref().and_then(Trigger::deadline);
        [start, bind, stop, ask, trigger]
            .into_iter()
            .flatten()
            .min()
    }
}

//! The task of one service: it waits for whatever comes first, then looks at everything once.
//!
//! Nothing in a look waits. What takes its time is a future beside it ([`mod@work`]).

mod choice;
mod daemons;
mod ending;
mod renewal;
mod requests;
#[cfg(test)]
mod tests;
mod tidying;
mod work;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use handoff_std::core::{Reason, SupervisorOutcome};
use handoff_std::host::{JournalFile, NamedListener, lock};
use handoff_std::{Recordings, RollbackHandle, SpawnSpec};
use handoff_tokio::Supervisor;
use tokio::sync::{mpsc, oneshot};

use super::super::binary::{BinaryRecord, Candidate};
use super::super::daemon::Daemon;
use super::super::listeners::Listeners;
use super::super::missing::{self, Missing};
use super::super::{is_occupied, observer};
use super::events::Teller;
use super::notify::Board;
use super::orders::{HandoffOrder, Order, Verdict};
use super::restarts::Restarts;
use super::turns::{self, Turns};
use super::watched::{LOOK_EVERY, Watched};
use crate::config::Service;
use crate::operate::event::What;
use choice::{Choice, choose};
use ending::Stop;
use tidying::Sockets;
use work::{Came, Desk, Ended, Task, Work, work};

/// All that the task knows.
pub(super) struct Attendant {
    service: Arc<Service>,
    /// What the service is to be from now on, once nothing is in flight.
    renewal: Option<Arc<Service>>,
    board: Board,
    /// It was looked for a daemon, or tried to start one, at least once.
    attended: bool,
    /// The service's, or an empty stand-in for one that is not known.
    data_dir: PathBuf,
    desk: Arc<Desk>,
    orders: mpsc::Receiver<Order>,
    teller: Teller,
    doing: Doing,
    rollback: RollbackHandle,
    /// The current daemon, while one is known to live.
    daemon: Option<Watched>,
    /// Earlier daemons that have not ended yet.
    leaving: Vec<Watched>,
    /// The binary that the daemon is started from next.
    current: PathBuf,
    restarts: Restarts,
    /// When to look for a daemon, or start one, while there is none; or why that is not done.
    start_at: Result<Instant, String>,
    missing: Missing,
    /// The name and the address of every listener that is there.
    held: Vec<(String, String)>,
    sockets: Sockets,
    /// Whether there was a daemon before.
    had_one: bool,
    restarted: u32,
    /// Orders that wait for what is in progress.
    waiting: VecDeque<HandoffOrder>,
    /// Who waits for a daemon that was down.
    hopeful: Option<Hopeful>,
    stop: Stop,
}

/// What is in flight.
enum Doing {
    Nothing(Box<Supervisor>),
    Recovery(Work),
    /// The daemon is asked for its listeners.
    Asking(Work),
    /// It is looked which binary the daemon is started from next.
    Choosing(Work),
    Handoff(Work, Handoff),
}

/// A handoff in flight.
struct Handoff {
    /// Who is replaced.
    from: Option<u32>,
    /// By this.
    binary: PathBuf,
    client: oneshot::Sender<Verdict>,
    /// Clients that asked for a rollback.
    regretful: Vec<oneshot::Sender<Verdict>>,
    /// Calls it off, as long as it waits for its turn.
    call_off: Option<oneshot::Sender<()>>,
}

/// A client that waits for a daemon that was down.
struct Hopeful {
    client: oneshot::Sender<Verdict>,
    /// What would have been started without it.
    before: SpawnSpec,
    /// What it wants to be started.
    wanted: PathBuf,
}

/// What such a task begins with.
pub(super) struct Beginning {
    pub(super) service: Arc<Service>,
    /// The service's, or an empty stand-in for one that is not known.
    pub(super) data_dir: PathBuf,
    /// Where it is remembered which binary is the current one.
    pub(super) record: PathBuf,
    pub(super) orders: mpsc::Receiver<Order>,
    /// Listeners that were inherited for it.
    pub(super) adopted: Vec<NamedListener>,
    /// There is no other service.
    pub(super) alone: bool,
    pub(super) board: Board,
    pub(super) teller: Teller,
    pub(super) turns: Turns,
    pub(super) recordings: Option<Recordings>,
}

impl Attendant {
    /// Takes the service's listeners back from a daemon that lives, and binds the others that were not
    /// `adopted`. Those that cannot be had are tried again and again.
    ///
    /// # Errors
    /// The control socket's path cannot be used. If the service is `alone`, and no daemon is there:
    /// whatever keeps one from being started.
    pub(super) async fn new(beginning: Beginning) -> anyhow::Result<Self> {
        let Beginning {
            service,
            data_dir,
            record,
            orders,
            adopted,
            alone,
            board,
            teller,
            turns,
            recordings,
        } = beginning;
        let record = BinaryRecord::new(record, service.binary.clone());
        let control = service.control_socket.clone();
        let candidate = Candidate::new(record.clone());
        let sockets = Sockets::new(&adopted);
        let desk = Arc::new(Desk {
            control: control.clone(),
            journal: JournalFile::new(&service.journal),
            candidate: candidate.clone(),
            record: record.clone(),
            turns,
        });
        let look = async {
            let choice = choose(&service, record, None).await;
            (choice, work::ask(&desk).await)
        };
        let (Choice { daemon, wrong }, kept) = desk.turns.starts.take(Duration::MAX, look).await;
        let mut listeners = Listeners::open(&service.listeners, adopted, kept);
        let mut supervisor = Supervisor::new(&control, &data_dir, daemon)?
            .with_journal(&service.journal)
            .with_before_clear({
                let candidate = candidate.clone();
                move || candidate.remember()
            })
            .with_observer({
                let mut log = observer(control.clone(), data_dir.clone(), candidate);
                let mut tell = teller.clone().observer();
                move |event| {
                    log(event);
                    tell(event);
                }
            });
        if alone && !is_occupied(&control, &data_dir) {
            if let Some((_, error)) = listeners.missing.pop() {
                return Err(error.into());
            }
            if let Some(error) = wrong {
                return Err(error.into());
            }
        } else if let Some(error) = wrong {
            tracing::error!(%error, "the daemon cannot be started as it is");
        }
        if let Some(recordings) = recordings {
            supervisor = supervisor.with_recording(recordings);
        }
        let mut held = Vec::new();
        for NamedListener { name, fd, address } in listeners.held.drain(..) {
            held.push((name.clone(), address));
            supervisor.add_listener(name, fd);
        }
        let now = Instant::now();
        Ok(Self {
            renewal: None,
            board,
            attended: false,
            data_dir,
            desk,
            orders,
            teller,
            rollback: supervisor.rollback_handle(),
            daemon: None,
            leaving: Vec::new(),
            current: supervisor.daemon().binary.clone(),
            doing: Doing::Nothing(Box::new(supervisor)),
            restarts: Restarts::new(&service.restart),
            start_at: Ok(now),
            missing: Missing::after(listeners, now),
            held,
            sockets,
            had_one: false,
            restarted: 0,
            waiting: VecDeque::new(),
            hopeful: None,
            stop: Stop::No,
            service,
        })
    }

    /// Goes on until told to stop.
    ///
    /// # Errors
    /// The daemon does not die.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        loop {
            let now = Instant::now();
            self.reap(now);
            self.renew(now);
            self.complete(now);
            self.start(now);
            self.serve_waiting();
            if self.stop(now)? {
                self.close().await;
                return Ok(());
            }
            self.report();
            self.wait().await;
        }
    }

    /// Says how the service is, for systemd.
    fn report(&self) {
        let pid = self.daemon.as_ref().map(|daemon| daemon.pid());
        let name = &self.service.name;
        self.board.tell(name, self.attended, self.state(), pid);
    }

    /// Waits until something happens or is due, and takes it in.
    async fn wait(&mut self) {
        let deadline = self.deadline();
        let due = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let processes = || self.leaving.iter().chain(&self.daemon);
        let ends = poll_fn(|cx| {
            let ended = processes().any(|daemon| daemon.poll(cx).is_ready());
            if ended {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        tokio::select! {
            ended = in_flight(&mut self.doing) => self.finish(ended, Instant::now()),
            Some(order) = self.orders.recv() => self.heed(order),
            () = ends => {}
            () = due => {}
        }
    }

    /// Takes in what came of a task.
    fn finish(&mut self, (supervisor, came): Ended, now: Instant) {
        self.attended |= !matches!(came, Came::Chosen);
        self.current.clone_from(&supervisor.daemon().binary);
        let doing = std::mem::replace(&mut self.doing, Doing::Nothing(supervisor));
        let result = match came {
            Came::Report(result) => result,
            Came::CalledOff => {
                if let Doing::Handoff(_, handoff) = doing {
                    let why = self.accepts(false).err();
                    let why = why.unwrap_or_else(|| "try again in a moment".into());
                    handoff.answer(&Verdict::Refused(format!("nothing was begun: {why}")));
                }
                return;
            }
            Came::Chosen => return,
            Came::Listeners(kept) => {
                return self.missing.take_back(&self.service.listeners, kept);
            }
        };
        let verdict = Verdict::of(&self.service.name, &result);
        match doing {
            Doing::Handoff(_, handoff) => {
                self.tell_end(&handoff, &result);
                handoff.answer(&verdict);
            }
            _ => self.answer_hopeful(verdict, &result),
        }
        let report = match *result {
            Ok(report) => report,
            Err(error) => {
                tracing::error!(%error, "not even begun");
                return self.retry(now);
            }
        };
        match report.outcome {
            SupervisorOutcome::Committed { .. } => {
                self.missing.started_a_daemon();
                self.replace(report.child.map(Daemon::child));
            }
            SupervisorOutcome::ColdStarted { process, .. } => {
                let binary = self.current.to_string_lossy().into_owned();
                let pid = process.pid;
                self.teller.tell(None, What::DaemonStarted { pid, binary });
                self.restarts.started(now);
                self.restarted = self.restarted.saturating_add(self.had_one.into());
                self.missing.started_a_daemon();
                self.replace(report.child.map(Daemon::child));
            }
            SupervisorOutcome::Found { pid } => {
                self.adopt(pid, report.incumbent_build, now);
            }
            SupervisorOutcome::Failed(cause) if cause.reason == Reason::Unsettled => {
                tracing::error!(
                    control_socket = %self.service.control_socket.display(),
                    data_dir = %self.data_dir.display(),
                    holder = lock::holder_hint(&self.data_dir),
                    "a process has the data directory and does not answer on the control socket; \
                     stop it, or give the control socket that it uses"
                );
            }
            SupervisorOutcome::Failed(_) if self.daemon.is_none() => self.restarts.started(now),
            // The daemon is the one that it was, if there is one.
            SupervisorOutcome::RolledBack { .. }
            | SupervisorOutcome::Answered { .. }
            | SupervisorOutcome::Failed(_) => {}
        }
        self.retry(now);
    }

    /// Tries to get the listeners that are missing: by binding them, and from the daemon.
    fn complete(&mut self, now: Instant) {
        let lacks = self.missing.bind(now);
        if lacks && self.is_idle() && self.daemon.is_some() {
            self.begin(Task::AskForListeners, Doing::Asking);
        }
    }

    /// Whether something can be begun.
    fn is_idle(&self) -> bool {
        matches!(self.doing, Doing::Nothing(_)) && !self.stop.is_going()
    }

    /// Starts the daemon if there is none. Another process may have taken over, so it is a recovery
    /// that does it, which starts one only if nobody serves.
    fn start(&mut self, now: Instant) {
        let is_due = self.start_at.as_ref().is_ok_and(|at| *at <= now);
        if !self.is_idle() || self.daemon.is_some() || !is_due {
            return;
        }
        if let Some((spec, error)) = self.missing.first()
            && !is_occupied(&self.service.control_socket, &self.data_dir)
        {
            tracing::warn!(
                name = spec.name, %error,
                "the daemon is not started without all of its listeners"
            );
            self.start_at = Ok(now + missing::EVERY);
            self.attended = true;
            return;
        }
        // What was looked at before, such as a daemon that has crashed, does not wait for those at the
        // end of a long line.
        let patience = if self.attended {
            turns::LONGEST
        } else {
            Duration::MAX
        };
        self.begin(Task::Recover(patience), Doing::Recovery);
    }

    /// One at a time: nothing happens if something is in flight.
    fn begin(&mut self, task: Task, doing: impl FnOnce(Work) -> Doing) {
        // It is put back at once, with the supervisor in it.
        let idle = Doing::Recovery(Box::pin(std::future::pending()));
        self.doing = match std::mem::replace(&mut self.doing, idle) {
            Doing::Nothing(mut supervisor) => {
                self.missing.hand_in(&mut supervisor, &mut self.held);
                let (desk, teller) = (Arc::clone(&self.desk), self.teller.clone());
                doing(work(desk, teller, supervisor, task))
            }
            busy => busy,
        };
    }

    /// When something is due although nothing happens.
    fn deadline(&self) -> Option<Instant> {
        let start = self.start_at.as_ref().ok().copied();
        let start = start.filter(|_| self.is_idle() && self.daemon.is_none());
        let mut processes = self.leaving.iter().chain(&self.daemon);
        let unwatched = processes.any(Watched::is_unwatched);
        let probation = matches!(self.doing, Doing::Handoff(..)) && self.stop.is_going();
        let look = (unwatched || probation).then(|| Instant::now() + LOOK_EVERY);
        [start, self.missing.deadline(), self.stop.deadline(), look]
            .into_iter()
            .flatten()
            .min()
    }
}

/// The end of what is in flight; never, if nothing is.
async fn in_flight(doing: &mut Doing) -> Ended {
    match doing {
        Doing::Nothing(_) => std::future::pending().await,
        Doing::Recovery(work)
        | Doing::Asking(work)
        | Doing::Choosing(work)
        | Doing::Handoff(work, _) => work.await,
    }
}

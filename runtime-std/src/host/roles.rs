//! All three roles on a loop of one's own: whoever has written [`Drive::drive`] has them.

use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::thread;

use handoff_core::op::{LinkReport, OpId, Verdict};
use handoff_core::{
    Cause, IncumbentConfig, IncumbentOutcome, Input, Instant, LinkId, Reason, Role, Successor,
    SuccessorConfig, SuccessorOp, SuccessorOutcome, Supervisor, SupervisorConfig, SupervisorOp,
    SupervisorOutcome, Task,
};

use super::engine::{Ended, failed, value};
use super::operations::{Carried, Carries, Post, Startable};
use super::supervise::{Household, Works};
use super::{Calls, Clock, Process, SpawnSpec, identity, panic_text};
use crate::hooks::Drainable;

/// What reaches a loop from other threads.
pub enum Call {
    /// Hand this in.
    Input(Input<'static>),
    /// A work has ended.
    Ended(Ended),
}

/// A loop that can drive any machine to its end.
pub trait Drive {
    /// Run a machine that is set up like this to its end: give it [`Input::Start`], and then all that happens, on
    /// the sockets, to the operations that `host` carries out, and in `calls`.
    ///
    /// `channel` is a link that is there from the start; its name is [`Successor::CHANNEL`]. All sockets are
    /// non-blocking, this one as well as those that `host` gives.
    ///
    /// # Errors
    /// The loop cannot go on, such as when it cannot be made for lack of descriptors. Nothing that happens to a link
    /// is a reason.
    fn drive<R: Role<L>, const L: usize>(
        &self,
        config: R::Config,
        host: impl Carries<R, L>,
        channel: Option<UnixStream>,
        calls: &Calls<Call>,
    ) -> io::Result<R::Outcome>;
}

/// Serve on this post until the daemon is to leave.
///
/// # Errors
/// There are no descriptors left, or the loop failed. The lock is kept until the process ends.
pub fn incumbent<D: Drainable>(
    drive: &impl Drive,
    post: Post<D>,
    times: &IncumbentConfig,
) -> io::Result<IncumbentOutcome> {
    let config = post.configure(times);
    serve(drive, post, config, &Calls::new()?)
}

fn serve<D: Drainable>(
    drive: &impl Drive,
    mut post: Post<D>,
    config: IncumbentConfig,
    calls: &Calls<Call>,
) -> io::Result<IncumbentOutcome> {
    post.report_to(calls.caller());
    drive.drive(config, post, None, calls)
}

/// How a process ends that began as a successor; `Err` if it did not take over.
pub type Succeeded = Result<IncumbentOutcome, Box<Cause>>;

/// Take over by this channel, and then serve until the daemon is to leave. The successor's machine goes on beside
/// the incumbent's, on a thread of its own, until the probation has ended.
///
/// # Errors
/// There are no descriptors or threads left, or the loop failed. The lock is kept until the process ends.
pub fn successor<D: Startable>(
    drive: &(impl Drive + Clone + Send + 'static),
    channel: UnixStream,
    post: Post<D>,
    times: &SuccessorConfig,
    later: &IncumbentConfig,
) -> io::Result<Succeeded> {
    channel.set_nonblocking(true)?;
    let link = channel.try_clone()?;
    let (calls, control_calls) = (Calls::new()?, Calls::new()?);
    let (caller, control) = (calls.caller(), drive.clone());
    let (serves, serving) = mpsc::channel();
    let newcomer = Newcomer { post, serves };
    let config = SuccessorConfig {
        identity: identity::this_process(&[]),
        ..times.clone()
    };
    let control = thread::Builder::new().spawn(move || {
        let driven = || control.drive(config, newcomer, Some(link), &control_calls);
        // A loop that panics has failed: an incumbent must not be left on probation for ever.
        let outcome = catch_unwind(AssertUnwindSafe(driven))
            .unwrap_or_else(|panic| Err(io::Error::other(panic_text(&*panic))));
        caller.call(Call::Input(Input::Probation(match outcome {
            Ok(SuccessorOutcome::Serving { verdict, .. }) => verdict,
            Ok(SuccessorOutcome::Failed(_)) => Verdict::Dismissed,
            // It holds the lock, and its supervisor kills it if it should not (C5, C8).
            Err(_) => Verdict::Orphaned,
        })));
        // Last: a supervisor that sees it closed may begin the next handoff, which must not find a daemon that
        // is still on probation.
        drop(channel);
        outcome
    })?;
    if let Ok(post) = serving.recv() {
        let config = IncumbentConfig {
            on_probation: true,
            ..post.configure(later)
        };
        return serve(drive, post, config, &calls).map(Ok);
    }
    Ok(Err(Box::new(match control.join() {
        Ok(outcome) => match outcome? {
            SuccessorOutcome::Failed(cause) => cause,
            SuccessorOutcome::Serving { .. } => Reason::SessionLost.into(),
        },
        Err(_) => Reason::SessionLost.into(),
    })))
}

/// Carry out one task of a supervisor: a handoff to `successor`, or a recovery, which goes by the journal.
///
/// # Errors
/// There are no descriptors left, or the loop failed; then as well, whoever was started is killed and reaped.
pub fn supervisor(
    drive: &impl Drive,
    home: Household,
    successor: Option<SpawnSpec>,
    mut config: SupervisorConfig,
) -> io::Result<SupervisorOutcome> {
    if let Task::Recover(entry) = &mut config.task {
        *entry = home.journaled();
    }
    let works = Works::new(home, successor);
    let driven = drive.drive(config, (&works, Clock::new()), None, &Calls::new()?);
    let outcome = driven.inspect_err(|_| works.abandon())?;
    // Whoever is left and does not serve is killed and reaped; the new incumbent is watched by nobody here.
    let _ = works.finish(outcome);
    Ok(outcome)
}

/// A successor's post. When it is to serve, the post of the incumbent that it has become is sent.
struct Newcomer<D> {
    post: Post<D>,
    serves: Sender<Post<D>>,
}

impl<D: Startable> Carries<Successor, 1> for Newcomer<D> {
    fn carry(&mut self, op: SuccessorOp, _: impl FnOnce(UnixStream) -> LinkId) -> Carried {
        if let SuccessorOp::Serve { .. } = op {
            // Nobody takes it if the daemon has ended meanwhile.
            let _ = self.serves.send(self.post.hand_over());
        }
        self.post.successor(op)
    }

    fn cancel(&mut self, op: OpId) {
        self.post.cancel(op);
    }

    fn clock(&self) -> Clock {
        self.post.clock
    }
}

/// The clock is the loop's.
impl Carries<Supervisor, 2> for (&Works, Clock) {
    fn carry(&mut self, op: SupervisorOp, adopt: impl FnOnce(UnixStream) -> LinkId) -> Carried {
        let (works, clock) = *self;
        let linked = |(socket, process)| LinkReport {
            link: adopt(socket),
            process,
        };
        Carried::Ended(match op {
            SupervisorOp::Connect(ticket) => value(ticket, works.connect().map(linked)),
            SupervisorOp::Spawn(ticket) => value(ticket, works.spawn().map(linked)),
            SupervisorOp::Kill { ticket, process } => value(ticket, works.kill(process.into())),
            SupervisorOp::WriteJournal { ticket, entry } => {
                value(ticket, works.write_journal(entry))
            }
            SupervisorOp::ClearJournal(ticket) => value(ticket, works.clear_journal()),
            SupervisorOp::ColdStart(ticket) => value(ticket, works.cold_start()),
            SupervisorOp::Probe { ticket, entry } => value(ticket, works.probe(entry)),
            SupervisorOp::AdoptListeners { ticket, .. } => {
                failed(ticket, "listeners were not asked for")
            }
            // That it lives is all that is watched here.
            SupervisorOp::WatchProbation {
                ticket,
                process,
                until,
            } => {
                return Carried::Work(Box::new(move || {
                    let now = Instant::from_nanos(clock.now_nanos());
                    if Process::from(process).wait_dead(until.since(now)) {
                        failed(ticket, "it has died")
                    } else {
                        value(ticket, Ok(()))
                    }
                }));
            }
        })
    }

    fn clock(&self) -> Clock {
        self.1
    }
}

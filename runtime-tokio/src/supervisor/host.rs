//! What carries out a supervisor's operations: each on a blocking thread, but for the connect, which
//! never waits.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use handoff_core::op::{self, LinkReport, OpId, Operation, Ticket};
use handoff_core::supervisor::Phase;
use handoff_core::wire::Message;
use handoff_core::{LinkId, Observation, SupervisorOp};
use handoff_std::host::Clock;
use handoff_std::host::engine::{Ended, Host, Links, failed, value};
use handoff_std::host::supervise::{Transcript, WatchThread, Works};
use handoff_std::{HealthCheck, RollbackHandle};

use crate::driver::{Call, Caller, Door, Linked, Stream};
use crate::task::{Queue, blocking};

pub(super) struct SupervisorHost<'a> {
    pub(super) works: Arc<Works>,
    pub(super) transcript: Transcript,
    pub(super) health: Option<&'a HealthCheck>,
    pub(super) rollback: &'a RollbackHandle,
    pub(super) watch: Option<WatchThread>,
    /// The link that was connected last.
    pub(super) incumbent: Option<LinkId>,
    pub(super) queue: &'a Queue,
    pub(super) caller: Caller,
    pub(super) clock: Clock,
}

impl SupervisorHost<'_> {
    /// An operation goes to its end even if it is given up.
    fn on_works<K: Operation + 'static>(
        &self,
        ticket: Ticket<K>,
        work: impl FnOnce(&Works, Ticket<K>) -> Ended + Send + 'static,
    ) {
        let (works, caller) = (Arc::clone(&self.works), self.caller.clone());
        blocking(move || {
            let ended = work(&works, ticket);
            drop(works);
            caller.end(ended);
        });
    }

    /// Nothing waits for the journal, but it must be written in order.
    fn on_journal<K>(
        &self,
        ticket: Ticket<K>,
        work: impl FnOnce(&Works) -> Result<(), String> + Send + 'static,
    ) where
        K: for<'b> Operation<Done<'b> = ()> + 'static,
    {
        let (works, caller) = (Arc::clone(&self.works), self.caller.clone());
        self.queue
            .run(move || caller.end(value(ticket, work(&works))));
    }

    fn spawn(&self, ticket: Ticket<op::Spawn>) {
        let (works, caller) = (Arc::clone(&self.works), self.caller.clone());
        blocking(move || match works.spawn() {
            Err(why) => caller.end(failed(ticket, why)),
            Ok((stream, process)) => caller.call(Call::Linked(Box::new(move |links| {
                let linked = link(links, stream, process);
                Linked {
                    link: linked.as_ref().ok().map(|report| report.link),
                    ended: value(ticket, linked),
                    // The operation was given up meanwhile, and its process is nobody's.
                    unwanted: Box::new(move || bury(works, process)),
                }
            }))),
        });
    }
}

fn link(
    links: &mut Links<Stream>,
    stream: UnixStream,
    process: op::Process,
) -> Result<LinkReport, String> {
    let stream = Stream::new(stream).map_err(|e| format!("the link cannot be watched: {e}"))?;
    Ok(LinkReport {
        link: links.adopt(stream),
        process,
    })
}

fn bury(works: Arc<Works>, process: op::Process) {
    blocking(move || {
        if let Err(error) = works.kill(process.into()) {
            tracing::error!(pid = process.pid, error, "a successor could not be killed");
        }
    });
}

impl Host<handoff_core::Supervisor, 2, Stream> for SupervisorHost<'_> {
    fn start(&mut self, op: SupervisorOp, links: &mut Links<Stream>) {
        match op {
            SupervisorOp::Connect(ticket) => {
                let connected = self.works.connect();
                let connected =
                    connected.and_then(|(stream, process)| link(links, stream, process));
                self.incumbent = connected.as_ref().ok().map(|report| report.link);
                links.end(value(ticket, connected));
            }
            SupervisorOp::Spawn(ticket) => self.spawn(ticket),
            SupervisorOp::Kill { ticket, process } => {
                self.on_works(ticket, move |works, ticket| {
                    value(ticket, works.kill(process.into()))
                });
            }
            SupervisorOp::WriteJournal { ticket, entry } => {
                self.on_journal(ticket, move |works| works.write_journal(entry));
            }
            SupervisorOp::ClearJournal(ticket) => {
                self.on_journal(ticket, Works::clear_journal);
            }
            SupervisorOp::ColdStart(ticket) => {
                self.on_works(ticket, |works, ticket| value(ticket, works.cold_start()));
            }
            SupervisorOp::Probe { ticket, entry } => {
                self.on_works(ticket, move |works, ticket| {
                    value(ticket, works.probe(entry))
                });
            }
            SupervisorOp::WatchProbation {
                ticket,
                process,
                until,
            } => {
                let caller = self.caller.clone();
                self.watch = WatchThread::start(
                    ticket,
                    process.into(),
                    self.clock.instant(until.as_nanos()),
                    self.health.cloned(),
                    self.rollback,
                    move |ended| caller.end(ended),
                );
            }
            SupervisorOp::AdoptListeners { ticket, .. } => {
                links.end(failed(ticket, "listeners were not asked for"));
            }
        }
    }

    /// Nothing but a watch can be asked to stop.
    fn cancel(&mut self, op: OpId) {
        if self.watch.as_ref().is_some_and(|watch| watch.op() == op) {
            self.rollback.close();
        }
    }

    fn observe(&mut self, seen: Observation<Phase>) {
        self.transcript.saw(seen);
    }

    fn message(&mut self, message: &Message<'_>) {
        self.transcript.heard(message);
    }
}

impl Door for SupervisorHost<'_> {}

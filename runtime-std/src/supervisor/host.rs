//! What carries out a supervisor's operations, one after the other.

use std::sync::Arc;

use handoff_core::op::{LinkReport, OpId};
use handoff_core::supervisor::Phase;
use handoff_core::wire::Message;
use handoff_core::{Observation, SupervisorOp};

use crate::driver::{Caller, Ended, Host, Links, Local, Stream};
use crate::host::Clock;
use crate::host::engine::{failed, value};
use crate::host::supervise::{HealthCheck, RollbackHandle, Transcript, WatchThread, Works};

pub(super) struct SupervisorHost<'a> {
    pub(super) works: Works,
    pub(super) transcript: Transcript,
    pub(super) health: Option<&'a HealthCheck>,
    pub(super) rollback: &'a RollbackHandle,
    pub(super) watch: Option<WatchThread>,
    pub(super) caller: Caller,
    pub(super) clock: Clock,
}

impl SupervisorHost<'_> {
    /// The watch over a probation is not wanted any more.
    pub(super) fn stop_watching(&mut self) {
        self.rollback.close();
        if let Some(watch) = self.watch.take() {
            watch.join();
        }
    }
}

impl Local for SupervisorHost<'_> {}

impl Host<handoff_core::Supervisor, 2, Stream> for SupervisorHost<'_> {
    fn start(&mut self, op: SupervisorOp, links: &mut Links) {
        let mut adopt = |(stream, process)| LinkReport {
            link: links.adopt(Arc::new(stream)),
            process,
        };
        let ended: Ended = match op {
            SupervisorOp::Connect(ticket) => value(ticket, self.works.connect().map(&mut adopt)),
            SupervisorOp::Spawn(ticket) => value(ticket, self.works.spawn().map(&mut adopt)),
            SupervisorOp::Kill { ticket, process } => {
                value(ticket, self.works.kill(process.into()))
            }
            SupervisorOp::WriteJournal { ticket, entry } => {
                value(ticket, self.works.write_journal(entry))
            }
            SupervisorOp::ClearJournal(ticket) => value(ticket, self.works.clear_journal()),
            SupervisorOp::ColdStart(ticket) => value(ticket, self.works.cold_start()),
            SupervisorOp::Probe { ticket, entry } => value(ticket, self.works.probe(entry)),
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
                return;
            }
            SupervisorOp::AdoptListeners { ticket, .. } => {
                failed(ticket, "listeners were not asked for")
            }
        };
        links.end(ended);
    }

    /// Everything but a watch has ended by the time it could be cancelled.
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

//! The host: what each operation does and reports.

use handoff_core::op::{
    Completion, DrainReport, LinkReport, ListenersReport, LockReport, OpenReport, PathOwner,
    Process, Scene, SealReport, SnapshotReport,
};
use handoff_core::wire::{Names, Revisions};
use handoff_core::{IncumbentOp, Input, SuccessorOp, SupervisorOp};

use super::{FIRST, KEPT, NAMES, NEW, OLD, SECOND, World};

impl World {
    pub(super) fn supervise(&mut self, op: SupervisorOp) -> Option<Completion<'static>> {
        Some(match op {
            SupervisorOp::Connect(ticket) => {
                let link = FIRST;
                self.incumbent
                    .feed(self.now, Input::Opened { link, peer: 1 });
                ticket.done(LinkReport { link, process: OLD })
            }
            SupervisorOp::Spawn(ticket) => {
                self.successor.feed(self.now, Input::Start);
                ticket.done(LinkReport {
                    link: SECOND,
                    process: NEW,
                })
            }
            SupervisorOp::Kill { ticket, .. } => ticket.done(()),
            SupervisorOp::WriteJournal { ticket, .. } => ticket.done(()),
            SupervisorOp::ClearJournal(ticket) => ticket.done(()),
            SupervisorOp::ColdStart(ticket) => ticket.done(NEW),
            SupervisorOp::Probe { ticket, .. } => ticket.done(Scene::default()),
            SupervisorOp::WatchProbation { ticket, until, .. } => {
                self.watch = Some((ticket, until));
                return None;
            }
            SupervisorOp::AdoptListeners { ticket, .. } => ticket.done(()),
        })
    }

    pub(super) fn serve(&mut self, op: IncumbentOp) -> Completion<'static> {
        match op {
            IncumbentOp::Drain { ticket, .. } => {
                self.log.push("drain");
                ticket.done(DrainReport {
                    open_connections: 0,
                    accept_closed: true,
                })
            }
            IncumbentOp::Seal { ticket, .. } => {
                self.log.push("seal");
                ticket.done(SealReport {
                    revisions: Revisions::from(&[1, 300][..]),
                    fingerprint: [9; 32],
                })
            }
            IncumbentOp::Resume(ticket) => {
                self.log.push("resume");
                ticket.done(())
            }
            IncumbentOp::ReleaseLock(ticket) => {
                self.log.push("release");
                self.lock = None;
                ticket.done(())
            }
            IncumbentOp::TryLock(ticket) => ticket.done(self.try_lock(OLD)),
            IncumbentOp::InspectPath(ticket) => ticket.done(if self.path == OLD {
                PathOwner::Ours
            } else {
                PathOwner::Theirs
            }),
            IncumbentOp::BindPath(ticket) => {
                self.path = OLD;
                ticket.done(())
            }
            IncumbentOp::Confirm(ticket) => ticket.done(()),
            IncumbentOp::ListListeners(ticket) => ticket.done(ListenersReport {
                names: Names::from(NAMES),
                handles: KEPT,
            }),
            IncumbentOp::Snapshot(ticket) => ticket.done(SnapshotReport {
                open_connections: 3,
                revisions: Revisions::from(&[1, 300][..]),
            }),
        }
    }

    pub(super) fn succeed(&mut self, op: SuccessorOp) -> Completion<'static> {
        match op {
            SuccessorOp::StagePath(ticket) => ticket.done(()),
            SuccessorOp::WarmUp(ticket) => {
                self.log.push("warm up");
                ticket.done(())
            }
            SuccessorOp::TryLock(ticket) => ticket.done(self.try_lock(NEW)),
            SuccessorOp::Open(ticket) => {
                self.log.push("open");
                ticket.done(OpenReport {
                    listening_on: Names::from(&["http"][..]),
                    healthy: true,
                    revisions: Revisions::from(&[1, 300][..]),
                })
            }
            SuccessorOp::PublishPath(ticket) => {
                self.log.push("publish");
                self.path = NEW;
                ticket.done(())
            }
            SuccessorOp::Serve { ticket, .. } => {
                self.log.push("serve");
                self.heir.feed(self.now, Input::Start);
                ticket.done(())
            }
        }
    }

    fn try_lock(&mut self, who: Process) -> LockReport {
        if self.lock.is_some_and(|holder| holder != who) {
            return LockReport::Held;
        }
        self.log.push("lock");
        self.lock = Some(who);
        LockReport::Taken { generation: 2 }
    }
}

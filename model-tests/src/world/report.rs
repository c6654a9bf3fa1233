//! How the ends of operations are told to machines.

use handoff_core::Handles;
use handoff_core::op::{
    DrainReport, LinkReport, ListenersReport, LockReport, OpenReport, PathOwner, Process as Named,
    Report, SealReport, SnapshotReport,
};
use handoff_core::record::decode_input;
use handoff_core::wire::{Names, Revisions};

use super::links::link_name;
use super::{Body, Call, Pending, Result, SESSIONS, World};

impl World {
    /// Reports the end of an operation to the machine that started it.
    pub(crate) fn report(&mut self, at: usize, done: &Pending, result: Result) {
        let mut taken = SESSIONS;
        if let Result::Linked { conn, .. } = result {
            let (end, slot) = match done.call {
                Call::Spawn => (0, 1),
                _ => (1, 0),
            };
            if matches!(self.processes[at].body, Body::Supervisor(_)) {
                self.conns[conn].known[end] = true;
                // Beside the others until the machine has taken it, or closed it.
                self.processes[at].slots[SESSIONS] = Some(conn);
                taken = slot;
            } else {
                self.close_end(conn, at);
            }
        }
        let names = ["main"];
        let revisions = [3];
        let report = match result {
            Result::Failed => Report::Failed("failed"),
            Result::Done => Report::Done,
            Result::Drained => Report::Drained(DrainReport::default()),
            Result::Sealed => Report::Sealed(SealReport {
                revisions: Revisions::from(&revisions[..]),
                fingerprint: [0; 32],
            }),
            // Machines pass the number on, and that is all.
            Result::Taken => Report::Lock(LockReport::Taken { generation: 2 }),
            Result::Held => Report::Lock(LockReport::Held),
            Result::Ours => Report::Path(PathOwner::Ours),
            Result::Theirs => Report::Path(PathOwner::Theirs),
            Result::Nobody => Report::Path(PathOwner::Nobody),
            Result::Opened { healthy } => Report::Opened(OpenReport {
                listening_on: Names::from(&names[..]),
                healthy,
                revisions: Revisions::from(&revisions[..]),
            }),
            Result::Linked { conn, pid } => Report::Linked(LinkReport {
                link: link_name(conn),
                process: named(pid),
            }),
            Result::Started(pid) => Report::Started(named(pid)),
            Result::Scene(scene) => Report::Scene(scene),
            Result::Listeners => Report::Listeners(ListenersReport {
                names: Names::from(&names[..]),
                handles: Handles { first: 0, count: 1 },
            }),
            Result::Snapshot => Report::Snapshot(SnapshotReport::default()),
        };
        // A ticket cannot be copied as a world is; a recorded completion can.
        let mut room = [0; 256];
        let bytes =
            postcard::to_slice(&(self.now, 5_u32, done.op, report), &mut room).expect("short");
        let (_, input, _) = decode_input(bytes).expect("the format of a record");
        if done.successor {
            return self.successor_input(at, input);
        }
        self.input(at, input);
        let slots = &mut self.processes[at].slots;
        if let Some(conn) = slots[SESSIONS].take() {
            slots[taken] = Some(conn);
        }
    }
}
/// A process as operations report it.
pub(crate) const fn named(pid: u32) -> Named {
    Named { pid, start: 1 }
}

//! What a daemon's hooks do wrong, against an incumbent in this process.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use handoff_std::core::Observation;
use handoff_std::core::incumbent::Phase;
use handoff_std::core::wire::{HandoffId, Message, encode};
use handoff_std::{
    DataDirLock, DrainReport, Drainable, HookContext, HookError, Incumbent, Retirement, SealReport,
    Snapshot,
};

/// Counts how often it is asked to resume.
struct NoSnapshot(Arc<AtomicU32>);

impl Drainable for NoSnapshot {
    fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        Ok(DrainReport::default())
    }

    fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        Ok(SealReport::default())
    }

    fn resume(&self) -> Result<(), HookError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn snapshot(&self) -> Snapshot {
        panic!("as the test wants it");
    }
}

#[test]
fn a_snapshot_that_panics_makes_a_failure_of_resume() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control");
    let lock = DataDirLock::acquire(dir.path()).unwrap();
    let (seen, phases) = mpsc::channel();
    let incumbent = Incumbent::bind(&path, lock)
        .unwrap()
        .with_observer(move |event| {
            if let Observation::Phase(phase) = event {
                let _ = seen.send(*phase);
            }
        });
    let (handle, resumed) = (incumbent.handle(), Arc::default());
    let daemon = NoSnapshot(Arc::clone(&resumed));
    let serving = thread::spawn(move || incumbent.serve(daemon));
    let reach = |wanted: Phase| phases.iter().find(|phase| *phase == wanted).unwrap();

    reach(Phase::Serving);
    let mut supervisor = UnixStream::connect(&path).unwrap();
    let id = HandoffId::from_bytes([7; 16]);
    say(&mut supervisor, &Message::HelloAck { version: 1, id });
    let prepare = Message::PrepareHandoff {
        id,
        successor_pid: 1,
        deadline_ms: 60_000,
        drain_grace_ms: 60_000,
    };
    say(&mut supervisor, &prepare);
    reach(Phase::Drained);
    drop(supervisor);
    reach(Phase::Serving);
    assert_eq!(resumed.load(Ordering::Relaxed), 1);
    handle.stop();
    assert_eq!(serving.join().unwrap().unwrap(), Retirement::Stopped);
}

fn say(supervisor: &mut UnixStream, message: &Message<'_>) {
    let mut room = [0; 64];
    let len = encode(1, message, &mut room).unwrap();
    supervisor.write_all(&room[..len]).unwrap();
}

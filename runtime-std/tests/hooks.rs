//! What a daemon's hooks do wrong, against an incumbent in this process.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use handoff_std::core::incumbent::Phase;
use handoff_std::core::wire::{HandoffId, Message, encode};
use handoff_std::core::{IncumbentConfig, Observation};
use handoff_std::{
    DataDirLock, DrainReport, Drainable, HookContext, HookError, Incumbent, IncumbentHandle,
    Retirement, SealReport, ServeError, Snapshot,
};
use tempfile::TempDir;

const ID: HandoffId = HandoffId::from_bytes([7; 16]);

/// An incumbent that serves on a thread of its own.
struct Served {
    dir: TempDir,
    phases: Receiver<Phase>,
    handle: IncumbentHandle,
    thread: JoinHandle<Result<Retirement, ServeError>>,
}

impl Served {
    fn new(daemon: impl Drainable) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lock = DataDirLock::acquire(dir.path()).unwrap();
        let (seen, phases) = mpsc::channel();
        let incumbent = Incumbent::bind(dir.path().join("control"), lock)
            .unwrap()
            .with_times(IncumbentConfig {
                cancel_grace: Duration::from_millis(20),
                ..IncumbentConfig::default()
            })
            .with_observer(move |event| {
                if let Observation::Phase(phase) = event {
                    let _ = seen.send(*phase);
                }
            });
        let handle = incumbent.handle();
        let thread = thread::spawn(move || incumbent.serve(daemon));
        let served = Self {
            dir,
            phases,
            handle,
            thread,
        };
        served.reach(Phase::Serving);
        served
    }

    /// The phases on the way to this one.
    fn reach(&self, wanted: Phase) -> Vec<Phase> {
        let before = |phase: &Phase| *phase != wanted;
        self.phases.iter().take_while(before).collect()
    }

    /// A supervisor that has asked it to drain.
    fn prepare(&self) -> UnixStream {
        let mut supervisor = UnixStream::connect(self.dir.path().join("control")).unwrap();
        say(&mut supervisor, &Message::HelloAck { version: 1, id: ID });
        let prepare = Message::PrepareHandoff {
            id: ID,
            successor_pid: 1,
            deadline_ms: 60_000,
            drain_grace_ms: 60_000,
        };
        say(&mut supervisor, &prepare);
        supervisor
    }

    fn stop(self) {
        self.handle.stop();
        assert_eq!(self.thread.join().unwrap().unwrap(), Retirement::Stopped);
    }
}

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
        loop {
            thread::park();
        }
    }
}

#[test]
fn a_snapshot_that_hangs_keeps_resume_waiting() {
    let resumed = Arc::default();
    let served = Served::new(NoSnapshot(Arc::clone(&resumed)));
    let supervisor = served.prepare();
    served.reach(Phase::Drained);
    drop(supervisor);
    served.reach(Phase::Serving);
    assert_eq!(resumed.load(Ordering::Relaxed), 1);
    served.stop();
}

/// Each drain hangs until the sender of its receiver is gone; when none is left, it does not.
struct Hanging(Mutex<Vec<Receiver<()>>>);

impl Drainable for Hanging {
    fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        let hang = self.0.lock().unwrap().pop();
        let _ = hang.map(|hang| hang.recv());
        Ok(DrainReport::default())
    }

    fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        Ok(SealReport::default())
    }

    fn resume(&self) -> Result<(), HookError> {
        Ok(())
    }
}

// Section 8: the lock stays as long as the daemon may write.
#[test]
fn a_handoff_begins_while_a_drain_that_was_given_up_still_runs() {
    let (release, hang) = mpsc::channel();
    let served = Served::new(Hanging(Mutex::new(vec![hang])));
    drop(served.prepare());
    served.reach(Phase::Serving);
    assert!(hears(&mut served.prepare(), "has not come back"));

    drop(release);
    // It comes back in its own time.
    while hears(&mut served.prepare(), "has not come back") {}
    served.reach(Phase::Drained);
    served.stop();
}

/// Whether these words are in what the supervisor is told, or an answer to `PrepareHandoff`.
fn hears(supervisor: &mut UnixStream, words: &str) -> bool {
    const DRAINED: &[u8] = &[5, 0, 0, 0, 1, 0, 3, 0, 0];
    let mut heard: Vec<u8> = Vec::new();
    loop {
        let has = |what: &[u8]| heard.windows(what.len()).any(|part| part == what);
        if has(words.as_bytes()) || has(DRAINED) {
            return has(words.as_bytes());
        }
        let mut bytes = [0; 256];
        let count = supervisor.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "it hangs up");
        heard.extend(&bytes[..count]);
    }
}

fn say(supervisor: &mut UnixStream, message: &Message<'_>) {
    let mut room = [0; 64];
    let len = encode(1, message, &mut room).unwrap();
    supervisor.write_all(&room[..len]).unwrap();
}

//! The fault matrix: real processes, real signals, real clients. In each row a daemon is handed over
//! under load and one thing goes wrong; then somebody has to serve, nothing acknowledged may be lost,
//! the next handoff has to work, and nothing may be left behind.
//!
//! | file | what it holds |
//! |---|---|
//! | `case` | what a row is |
//! | `rows` | the rows there are |
//! | `play` | one row, played |
//! | `faults` | signals at a phase or at a moment, and orders of an operator |
//! | `troubles` | hooks, health checks, resources and clients that go wrong |
//! | `promises` | what must hold afterwards |
//! | `world` | its files and processes, and the looks at them |
//! | `supervisor` | the supervisor process, which stops at every phase until it is told to go on |
//! | `order` | what it is told |
//! | `remote` | the same, as the row sees it |
//! | `peers` | hostile clients of the control path |
//! | `table` | the rows as text |
//!
//! The program of the matrix is its own supervisor and its own daemon, so that nothing else has to be
//! built: [`is_part`] tells whether it was started as one of those.

mod case;
mod faults;
mod order;
mod peers;
mod play;
mod promises;
mod remote;
mod rows;
mod supervisor;
pub mod table;
mod troubles;
mod world;

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

pub use case::{Case, Check, Fault, Hook, Place, Runtime, Victim};
pub use play::Findings;

/// Whether a row is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Ok,
    /// It is not, for this reason.
    Failed(String),
    /// It cannot be played here, for this reason.
    Skipped(String),
}

/// A row that was played.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was done.
    pub case: Case,
    /// To daemons on what.
    pub runtime: Runtime,
    /// What came of it.
    pub findings: Findings,
    /// Whether that is good.
    pub verdict: Verdict,
}

/// Is the part of a row that `args`, of which the first is the program's name, ask for: its
/// supervisor or its daemon. `None` if they ask for neither.
pub fn is_part(args: &[OsString]) -> Option<ExitCode> {
    match args.get(1)?.to_str()? {
        supervisor::SUPERVISOR => Some(supervisor::supervise(args.get(1..)?)),
        "kvd" => Some(handoff_supervisor::main(args.to_vec())),
        _ => None,
    }
}

/// Plays rows, `jobs` at a time, with processes of `binary`, whose `main` calls [`is_part`]. Calls
/// `tell` with each row, in order.
pub fn play_all(cases: &[(Case, Runtime)], jobs: usize, binary: &Path, mut tell: impl FnMut(&Row)) {
    let next = AtomicUsize::new(0);
    let (done, rows) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (done, next) = (done.clone(), &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((case, runtime)) = cases.get(index) else {
                        return;
                    };
                    let row = play_one(*case, *runtime, binary);
                    if done.send((index, row)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut waiting = std::collections::BTreeMap::new();
        let mut told = 0;
        for (index, row) in rows {
            waiting.insert(index, row);
            while let Some(row) = waiting.remove(&told) {
                tell(&row);
                told += 1;
            }
        }
    });
}

fn play_one(case: Case, runtime: Runtime, binary: &Path) -> Row {
    let mut findings = Findings::default();
    let verdict = if case == Case::FullDisk && !may_mount() {
        Verdict::Skipped("a filesystem of its own needs root and unshare(1)".into())
    } else {
        match play::play(case, runtime, binary, &mut findings) {
            Ok(()) => Verdict::Ok,
            Err(error) => Verdict::Failed(format!("{error:#}")),
        }
    };
    Row {
        case,
        runtime,
        findings,
        verdict,
    }
}

/// Whether a process can have a filesystem of its own here.
fn may_mount() -> bool {
    let tried = Command::new("unshare")
        .args(["--mount", "sh", "-ec", "mount -t tmpfs handoff /tmp"])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

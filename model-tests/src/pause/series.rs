//! Many rounds, each in a process of its own: plain, with slow flushes, or traced.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::Serialize;

use super::store::LOG;
use super::trace::Calls;
use super::{Contender, Round};

/// Calls that wait for a disk.
const FLUSHES: &str = "fsync,fdatasync,sync_file_range,msync,sync,syncfs";

/// What a round is played under.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Conditions {
    /// How long a successor warms up.
    pub warm_up_ms: u64,
    /// How much longer than on this machine every flush of a file takes, as on an ordinary disk. That is
    /// strace's doing, which makes everything somewhat slower: compare with 0. `None`: without strace.
    pub flush_delay_ms: Option<u64>,
}

impl Conditions {
    /// In words.
    pub fn name(self) -> String {
        let warm_up = match self.warm_up_ms {
            0 => String::new(),
            ms => format!(", warm-up of {ms} ms"),
        };
        let flushes = match self.flush_delay_ms {
            None => "as it is".into(),
            Some(0) => "under strace, flushes as they are".into(),
            Some(ms) => format!("under strace, flushes {ms} ms slower"),
        };
        format!("{flushes}{warm_up}")
    }
}

/// Whether system calls can be traced and slowed down here.
pub fn has_strace() -> bool {
    let mut strace = Command::new("strace");
    // Being there is not enough: a container may forbid tracing.
    strace.args(["-f", "-qq", "-o", "/dev/null", "true"]);
    let tried = strace.stdout(Stdio::null()).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// Plays rounds with one program, in one directory.
#[derive(Debug, Clone)]
pub struct Series {
    /// The program `pause-bench`.
    pub program: PathBuf,
    /// Every round has a directory of its own in this one.
    pub dir: PathBuf,
}

impl Series {
    /// One round.
    ///
    /// # Errors
    /// When it did not come to its end.
    pub fn play(&self, on: Contender, conditions: Conditions) -> anyhow::Result<Round> {
        let place = tempfile::tempdir_in(&self.dir)?;
        let mut command = match conditions.flush_delay_ms {
            None => Command::new(&self.program),
            Some(ms) => {
                let mut strace = strace(Path::new("/dev/null"));
                // No other call is stopped.
                strace.args(["--seccomp-bpf", "-e", &format!("trace={FLUSHES}")]);
                if ms > 0 {
                    let delay = format!("inject={FLUSHES}:delay_exit={}", ms * 1000);
                    strace.args(["-e", &delay]);
                }
                strace.arg(&self.program);
                strace
            }
        };
        run(&mut command, on, conditions, place.path())
    }

    /// The system calls in the pause of a round, which takes longer for being traced; and those from the
    /// moment at which the incumbent has drained to Ready.
    ///
    /// # Errors
    /// When it did not come to its end.
    pub fn trace(&self, on: Contender) -> anyhow::Result<(Calls, Calls)> {
        let place = tempfile::tempdir_in(&self.dir)?;
        let file = place.path().join("trace");
        let mut command = strace(&file);
        command.args(["-ttt", "-y", "-xx", "-s", "64"]);
        command.arg(&self.program);
        let round = run(&mut command, on, Conditions::default(), place.path())?;
        let trace = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
        let marks = &round.marks;
        let pause = Calls::between(&trace, marks.from, marks.to, marks, LOG);
        let ready = pause.ready.context("no Ready in the trace")?;
        let from_drained = Calls::between(&trace, marks.drained, ready, marks, LOG);
        Ok((pause, from_drained))
    }
}

fn strace(file: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(file);
    strace
}

fn run(
    command: &mut Command,
    on: Contender,
    conditions: Conditions,
    place: &Path,
) -> anyhow::Result<Round> {
    let args: [OsString; 7] = [
        "round".into(),
        "--on".into(),
        on.name().into(),
        "--warm-up-ms".into(),
        conditions.warm_up_ms.to_string().into(),
        "--dir".into(),
        place.join("world").into(),
    ];
    let output = command
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("a round cannot be started")?;
    ensure!(
        output.status.success(),
        "a round on {} has failed",
        on.name()
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

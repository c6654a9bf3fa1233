//! Many rounds, each in a process of its own: as it is, with slow flushes, or traced; before other processes
//! or like them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::Serialize;

use super::awake::Awake;
use super::store::LOG;
use super::trace::Calls;
use super::{Contender, Round};

/// Calls that wait for a disk.
const FLUSHES: &str = "fsync,fdatasync,sync_file_range,msync,sync,syncfs";

/// Starts a program in the real-time class. What it starts is in that class as well.
const REAL_TIME: [&str; 3] = ["chrt", "-f", "10"];

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
    // Being there is not enough: a container may forbid tracing.
    succeeds(strace(Command::new("strace"), Path::new("/dev/null")).arg("true"))
}

/// Whether processes can be started in the real-time class here, which takes root or `CAP_SYS_NICE`.
pub fn has_real_time() -> bool {
    succeeds(before_others("true".as_ref()).stdin(Stdio::null()))
}

fn succeeds(command: &mut Command) -> bool {
    let tried = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// Plays rounds with one program, in one directory.
#[derive(Debug, Clone)]
pub struct Series {
    /// The program `pause-bench`.
    pub program: PathBuf,
    /// Every round has a directory of its own in this one.
    pub dir: PathBuf,
    /// Whether all processes of a round run in the real-time class. Otherwise a thread that could run may
    /// wait behind another one although a processor is idle, and the pause is longer by that.
    pub real_time: bool,
}

impl Series {
    /// One round.
    ///
    /// # Errors
    /// When it did not come to its end.
    pub fn play(&self, on: Contender, conditions: Conditions) -> anyhow::Result<Round> {
        let place = tempfile::tempdir_in(&self.dir)?;
        // Only beside processes that are before it.
        let kept = self.real_time && conditions.flush_delay_ms.is_some();
        let _awake = kept.then(Awake::keep);
        run(&mut self.under(conditions), on, conditions, place.path())
    }

    /// The system calls in the pause of a round, which takes longer for being traced; and those from the
    /// moment at which the incumbent has drained to Ready.
    ///
    /// # Errors
    /// When it did not come to its end.
    pub fn trace(&self, on: Contender) -> anyhow::Result<(Calls, Calls)> {
        let place = tempfile::tempdir_in(&self.dir)?;
        let file = place.path().join("trace");
        let mut command = strace(self.start("strace".as_ref()), &file);
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

    /// The program under these conditions.
    fn under(&self, conditions: Conditions) -> Command {
        let Some(ms) = conditions.flush_delay_ms else {
            return self.start(self.program.as_ref());
        };
        let mut strace = strace(self.start("strace".as_ref()), Path::new("/dev/null"));
        // No other call is stopped.
        strace.args(["--seccomp-bpf", "-e", &format!("trace={FLUSHES}")]);
        if ms > 0 {
            let delay = format!("inject={FLUSHES}:delay_exit={}", ms * 1000);
            strace.args(["-e", &delay]);
        }
        strace.arg(&self.program);
        strace
    }

    /// A program in the class of this series.
    fn start(&self, program: &OsStr) -> Command {
        if self.real_time {
            before_others(program)
        } else {
            Command::new(program)
        }
    }
}

/// A program in the real-time class.
fn before_others(program: &OsStr) -> Command {
    let [chrt, class, priority] = REAL_TIME;
    let mut command = Command::new(chrt);
    command.args([class, priority]).arg(program);
    command
}

/// `strace`, started with this command, of all that its program starts, into a file.
fn strace(mut command: Command, file: &Path) -> Command {
    command.args(["-f", "-qq", "-o"]).arg(file);
    command
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

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> Vec<&str> {
        let words = [command.get_program()].into_iter();
        let words = words.chain(command.get_args()).map(OsStr::to_str);
        words.map(Option::unwrap).collect()
    }

    #[test]
    fn all_of_a_round_is_in_the_real_time_class_or_none_of_it() {
        let series = |real_time| Series {
            program: "/a/pause-bench".into(),
            dir: "/tmp".into(),
            real_time,
        };
        for flush_delay_ms in [None, Some(0), Some(5)] {
            let conditions = Conditions {
                flush_delay_ms,
                ..Conditions::default()
            };
            let plain = series(false).under(conditions);
            let before_others = series(true).under(conditions);
            assert_eq!(words(&plain).last(), Some(&"/a/pause-bench"));
            // strace is in that class as well: what it traces waits for it.
            let expected = [&REAL_TIME, &*words(&plain)].concat();
            assert_eq!(words(&before_others), expected);
        }
    }
}

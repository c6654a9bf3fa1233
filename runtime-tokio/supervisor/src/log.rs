//! The log: lines on stderr.
//!
//! Whoever reads them may be slow, or stop reading, and a pipe that is full stops who writes to it. A
//! command that has nothing else to do writes them itself all the same. A supervisor must go on, so it
//! has a thread for that ([`write_beside`]): what does not fit into the queue before it is lost, and as
//! soon as lines are read again one of them says how many.

mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::stderr;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::LogFormat;
use queue::Queue;

/// The most bytes of lines that wait to be written: some thousands.
const ROOM: usize = 1024 * 1024;

/// How long the end waits for a reader that takes nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it waits for one that is slow.
const LIMIT: Duration = Duration::from_secs(10);

/// Before the thread that writes, once there is one.
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

/// From now on what is traced goes to stderr.
pub(crate) fn start(level: LevelFilter, format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(level.into());
    // That lines are missing is said whatever lines RUST_LOG asks for.
    let losses = concat!(module_path!(), "=error");
    let filter = filter
        .from_env_lossy()
        .add_directive(losses.parse().expect("a module and a level"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(|| Lines)
        // It would go to stderr as well, with a panic when that is what is broken: whoever reads the
        // log may die without taking us along.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// From now on a thread of its own writes all lines, those of a panic as well. What this process has
/// inherited must have been taken before, as long as there is one thread.
///
/// # Errors
/// The system has no thread for it.
pub(crate) fn write_beside() -> io::Result<()> {
    let queue = Arc::new(Queue::new(ROOM));
    let lines = Arc::clone(&queue);
    let write = move || {
        loop {
            lines.work(write_out, |lost| {
                tracing::error!("{lost} log lines were lost: nobody read them");
            });
        }
    };
    thread::Builder::new().name("log".into()).spawn(write)?;
    // Only now, since without the thread nobody would write what is in it.
    let _ = QUEUE.set(queue);
    panic::set_hook(Box::new(report));
    Ok(())
}

/// Writes a line of our own, as all others are.
pub(crate) fn say(line: &str) {
    // Where nobody reads it, the exit status has to do.
    let _ = Lines.write_all(format!("{line}\n").as_bytes());
}

/// Waits until all lines are written, as long as somebody reads them. For the end of the process.
pub(crate) fn finish() {
    if let Some(queue) = QUEUE.get() {
        queue.drain(PATIENCE, LIMIT);
    }
}

/// What the standard library says of a panic, which it would write to stderr itself.
fn report(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let mut text = format!("thread '{}' {panic}", thread.name().unwrap_or_default());
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        text = format!("{text}\nstack backtrace:\n{backtrace}");
    }
    say(text.trim_end());
    // Whatever comes of it: the next panic may end the process at once.
    finish();
}

/// Takes whole lines, one in a write.
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match QUEUE.get() {
            Some(queue) => queue.add(line),
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line to stderr and waits for as long as that takes. One that cannot be written is dropped.
fn write_out(mut line: &[u8]) {
    // Not through `io::stderr()`, whose lock would be held meanwhile.
    while !line.is_empty() {
        match rustix::io::write(stderr(), line) {
            Ok(count @ 1..) => line = line.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Somebody who has it as well does not want to wait.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&stderr(), PollFlags::OUT)], None);
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::process::{self, Command};

    use super::*;

    /// Says that this is the process whose stderr is looked at.
    const INNER: &str = "HANDOFF_TEST_OF_THE_LOG";

    #[test]
    fn what_was_said_before_a_panic_and_the_panic_itself_are_written_whatever_comes_next() {
        if std::env::var_os(INNER).is_some() {
            write_beside().unwrap();
            say("before");
            let _ = catch_unwind(|| panic!("what is wrong"));
            process::exit(3);
        }
        let name = thread::current().name().unwrap().to_owned();
        let mut inner = Command::new(std::env::current_exe().unwrap());
        inner.args(["--exact", &name, "--nocapture"]).env(INNER, "");
        for name in ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"] {
            inner.env_remove(name);
        }
        let output = inner.output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        let said = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<_> = said.lines().collect();
        let [.., before, place, what] = lines[..] else {
            panic!("{said}");
        };
        assert_eq!((before, what), ("before", "what is wrong"));
        let thread = format!("thread '{name}' panicked at ");
        assert!(place.starts_with(&thread), "{place}");
    }
}

//! `handoff demo`: a daemon is replaced again and again while clients write to it, also with failures
//! on the way, and every acknowledged write is looked for in the end.
//!
//! The demo process makes the load and judges. The supervisor is a process of its own
//! ([`supervisor`]), since the demo kills it twice; it holds the listener and starts the daemons
//! (`handoff kvd`), on either adapter. One that was started again gets the listener back from the daemon.
//!
//! | file | what it holds |
//! |---|---|
//! | [`script`] | the steps, one after the other |
//! | [`play`] | how a step is performed, under a load of its own |
//! | [`judge`] | whether a step ended as it should |
//! | [`phases`] | what the supervisor went through in a step, and when |
//! | [`window`] | the load around one step, and what clients saw of it |
//! | [`remote`] | the supervisor process, as the demo sees it |
//! | [`supervisor`] | the supervisor process itself |
//! | [`talk`] | what the two say to each other |
//! | [`household`] | the processes and files of the demo, and their end |
//! | [`report`] | what is told in the end, as text and as JSON |

mod household;
mod judge;
mod phases;
mod play;
mod remote;
mod report;
mod script;
mod supervisor;
mod talk;
mod window;

pub(crate) use supervisor::{SupervisorArgs, run as run_supervisor};

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use signal_hook::consts::{SIGHUP, TERM_SIGNALS};
use signal_hook::iterator::Signals;

use household::Household;
use play::Play;
use report::Report;

use crate::exit::{DONE, ERROR, Exits, USAGE};
use crate::kvd::args::Runtime;

const EXITS: Exits = Exits(&[
    (
        DONE,
        "all went as it should, and no acknowledged write is lost",
    ),
    (
        ERROR,
        "something did not, and the report says what; or a signal ended the demo. Nothing is left behind",
    ),
    (USAGE, "the command line is wrong"),
]);

/// Replace a daemon again and again under load, with failures on the way, and show what clients
/// notice. Needs no root, stays on this machine and leaves nothing behind.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXITS.to_string())]
pub(crate) struct DemoArgs {
    /// Write the report to this file as JSON, too.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// How long the load runs between two steps.
    #[arg(long, value_name = "N", default_value = "0.5", value_parser = seconds)]
    seconds: Duration,

    /// Where the daemon listens, on this machine; port 0 is any free one. Other clients may use it.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// The adapter that the daemon is handed over by.
    #[arg(long, value_enum, default_value_t)]
    runtime: Runtime,
}

/// What ends the demo.
enum End {
    /// `None` if the demo panicked, which is on stderr.
    Played(Option<Box<Report>>),
    Signal(i32),
}

/// Plays the demo and shows its report.
///
/// # Errors
/// When something did not go as it should, or a signal ended it.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let (ends, ended) = mpsc::channel();
    // Before anything exists that a signal could leave behind.
    watch_signals(ends.clone())?;
    let listen = args.listen;
    ensure!(
        listen.ip().is_loopback(),
        "--listen {listen}: the demo stays on this machine; give a loopback address such as 127.0.0.1:7379"
    );
    if let Some(directory) = args.report.as_deref().and_then(|path| path.parent()) {
        let is_there = directory.as_os_str().is_empty() || directory.is_dir();
        ensure!(
            is_there,
            "--report: {} is no directory",
            directory.display()
        );
    }
    let household = Arc::new(Household::new()?);
    let play = Play::new(&household, listen, args.runtime, args.seconds)?;
    thread::Builder::new().name("play".into()).spawn(move || {
        let report = catch_unwind(AssertUnwindSafe(|| play.perform()));
        // Nobody listens any more when a signal came first.
        drop(ends.send(End::Played(report.ok().map(Box::new))));
    })?;
    let end = ended.recv();
    let log = household.log();
    household.end()?;
    match end? {
        End::Signal(signal) => bail!("ended by signal {signal}; nothing is left behind"),
        End::Played(None) => bail!("the demo broke down; nothing is left behind"),
        End::Played(Some(report)) => conclude(&report, args, &log),
    }
}

fn conclude(report: &Report, args: &DemoArgs, log: &str) -> anyhow::Result<()> {
    write!(io::stdout(), "\n{report}")?;
    if let Some(path) = &args.report {
        let json = serde_json::to_vec_pretty(report)?;
        fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    match report.problems() {
        [] => Ok(()),
        problems => {
            if !log.is_empty() {
                eprintln!("The last that supervisor and daemons said:\n{log}");
            }
            Err(anyhow!("not all went well:\n  {}", problems.join("\n  ")))
        }
    }
}

fn watch_signals(ends: Sender<End>) -> anyhow::Result<()> {
    let mut signals = Signals::new(TERM_SIGNALS.iter().chain([&SIGHUP]))?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                // Nobody listens any more when the demo is over anyway.
                drop(ends.send(End::Signal(signal)));
            }
        })?;
    Ok(())
}

fn seconds(text: &str) -> anyhow::Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

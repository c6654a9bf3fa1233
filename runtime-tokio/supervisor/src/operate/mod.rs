//! The commands that an operator gives to a supervisor of a configuration file.
//!
//! | file | what it holds |
//! |---|---|
//! | [`args`] | the command lines |
//! | [`event`] | what happens to a service |
//! | [`protocol`] | what is said on the supervisor's socket |
//! | [`talk`] | a conversation on it |
//! | [`words`] | events in words |
//! | [`progress`] | how a handoff goes on, while its command waits |
//! | [`past`] | `handoff history` |
//! | [`watch`] | `handoff watch` |
//! | [`status`] | how the services are, for people and for scripts |

pub(crate) mod args;
pub(crate) mod event;
pub(crate) mod past;
mod progress;
pub(crate) mod protocol;
pub(crate) mod status;
mod talk;
pub(crate) mod watch;
mod words;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use args::{Reach, RestartArgs, RollbackArgs, UpgradeArgs};
use progress::Progress;
use protocol::{Ended, Outcome, Reply, Request};
use talk::Talk;

/// Nothing was begun.
const REFUSED: u8 = 3;
/// The daemon serves that served before.
const ROLLED_BACK: u8 = 4;
/// Something else has happened than what was asked for.
const FAILED: u8 = 5;

/// # Errors
/// There is no answer, or nobody reads it.
pub(crate) fn upgrade(args: &UpgradeArgs) -> anyhow::Result<ExitCode> {
    let binary = args.binary.as_deref().map(std::path::absolute);
    let request = Request::Upgrade {
        service: args.service.clone(),
        binary: binary.transpose().context("--binary")?,
        wait: args.wait,
        events: !args.json,
    };
    order(&args.reach, &request, Outcome::Committed, args.json)
}

/// # Errors
/// There is no answer, or nobody reads it.
pub(crate) fn restart(args: &RestartArgs) -> anyhow::Result<ExitCode> {
    let request = Request::Restart {
        service: args.service.clone(),
        wait: args.wait,
        events: !args.json,
    };
    order(&args.reach, &request, Outcome::Committed, args.json)
}

/// # Errors
/// There is no answer, or nobody reads it.
pub(crate) fn rollback(args: &RollbackArgs) -> anyhow::Result<ExitCode> {
    let request = Request::Rollback {
        service: args.service.clone(),
    };
    order(&args.reach, &request, Outcome::RolledBack, args.json)
}

/// Gives an order, shows on stderr how it goes on, and tells what came of it.
fn order(
    reach: &Reach,
    request: &Request,
    wanted: Outcome,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let reply = await_answer(&reach.socket()?, request)?;
    if json {
        writeln!(io::stdout(), "{}", serde_json::to_string(&reply)?)?;
    }
    let code = match &reply {
        Reply::Refused { .. } => REFUSED,
        Reply::Ended(Ended { outcome, .. }) if *outcome == wanted => 0,
        Reply::Ended(Ended { outcome, .. }) => match outcome {
            Outcome::Started => 0,
            Outcome::RolledBack => ROLLED_BACK,
            Outcome::Committed | Outcome::Failed => FAILED,
        },
        _ => bail!("the supervisor answers what was not asked"),
    };
    match reply {
        _ if json => {}
        Reply::Refused { why } => writeln!(io::stderr(), "Refused: {why}")?,
        Reply::Ended(ended) => writeln!(io::stdout(), "{}", words::ended(&ended))?,
        _ => {}
    }
    Ok(code.into())
}

/// The answer, after all events that come before it.
fn await_answer(socket: &Path, request: &Request) -> anyhow::Result<Reply> {
    let mut talk = Talk::begin(socket, request)?;
    let mut progress = match request {
        Request::Upgrade { events: true, .. } | Request::Restart { events: true, .. } => {
            Progress::on_stderr()
        }
        _ => Progress::Silent,
    };
    loop {
        match talk.hear()? {
            Reply::Event(event) => progress.show(&event.what),
            Reply::Missed { count } => progress.missed(count),
            answer => return Ok(answer),
        }
    }
}

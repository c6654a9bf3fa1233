//! The commands that an operator gives to a supervisor of a configuration file.
//!
//! | file | what it holds |
//! |---|---|
//! | [`args`] | the command lines |
//! | [`event`] | what happens to a service |
//! | [`protocol`] | what is said on the supervisor's socket |
//! | [`status`] | how the services are, for people and for scripts |

pub(crate) mod args;
pub(crate) mod event;
pub(crate) mod protocol;
pub(crate) mod status;

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::config::Config;
use args::{Reach, RestartArgs, RollbackArgs, UpgradeArgs};
use protocol::{Ended, Outcome, Reply, Request};

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
    };
    order(&args.reach, &request, Outcome::Committed, args.json)
}

/// # Errors
/// There is no answer, or nobody reads it.
pub(crate) fn restart(args: &RestartArgs) -> anyhow::Result<ExitCode> {
    let request = Request::Restart {
        service: args.service.clone(),
        wait: args.wait,
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

/// Gives an order and tells what came of it.
fn order(
    reach: &Reach,
    request: &Request,
    wanted: Outcome,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let reply = ask(&reach.socket()?, request)?;
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
        Reply::Status { .. } => bail!("the supervisor answers what was not asked"),
    };
    match reply {
        _ if json => {}
        Reply::Refused { why } => writeln!(io::stderr(), "Refused: {why}")?,
        Reply::Ended(ended) => writeln!(io::stdout(), "{}", plain(&ended))?,
        Reply::Status { .. } => {}
    }
    Ok(code.into())
}

/// How something ended, in one line.
fn plain(ended: &Ended) -> String {
    let mut text = format!("{}: ", ended.service);
    text.push_str(match ended.outcome {
        Outcome::Committed => "committed",
        Outcome::RolledBack => "rolled back",
        Outcome::Started => "started",
        Outcome::Failed => "failed",
    });
    if let Some(pid) = ended.pid {
        text = format!("{text}, pid {pid} serves");
    }
    if let Some(reason) = &ended.reason {
        text = format!("{text}: {reason}");
    }
    if !ended.without.is_empty() {
        text = format!("{text}, without {}", ended.without.join(" and "));
    }
    let id = ended.handoff_id.as_ref();
    let id = id.map(|id| format!("handoff {id}, ")).unwrap_or_default();
    let text = text.replace(char::is_control, " ");
    format!("{text} ({id}{} ms)", ended.took_ms)
}

/// Asks the supervisor behind this socket, and waits as long as it takes.
///
/// # Errors
/// There is no answer.
fn ask(socket: &Path, request: &Request) -> anyhow::Result<Reply> {
    let nobody = || {
        format!(
            "no supervisor answers on {}; is it running, and are you allowed to ask it?",
            socket.display()
        )
    };
    let mut stream = UnixStream::connect(socket).with_context(nobody)?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).with_context(nobody)?;
    let mut answer = String::new();
    let read = BufReader::new(stream).read_line(&mut answer);
    read.with_context(nobody)?;
    if answer.is_empty() {
        bail!(
            "the supervisor on {} has closed the connection without an answer: it does not let this \
             user ask, or it has ended",
            socket.display()
        );
    }
    serde_json::from_str(&answer)
        .context("the supervisor's answer cannot be understood; is it of the same version?")
}

impl Reach {
    /// Where the supervisor's socket is.
    ///
    /// # Errors
    /// The configuration is wrong, or names none.
    fn socket(&self) -> anyhow::Result<PathBuf> {
        let (file, socket) = match (&self.socket, &self.config) {
            (Some(socket), _) => return Ok(socket.clone()),
            (None, Some(file)) => (file, Config::load(file)?.supervisor.socket),
            (None, None) => bail!("no socket is given; see --help"),
        };
        socket.with_context(|| {
            format!(
                "{} gives the supervisor no socket; add `socket` to [supervisor]",
                file.display()
            )
        })
    }
}

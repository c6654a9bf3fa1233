//! `handoff watch`: what happens to the services, as it happens.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::bail;

use super::args::WatchArgs;
use super::protocol::{Reply, Request};
use super::talk::Talk;
use super::{REFUSED, words};

/// Tells on stdout until the supervisor ends.
///
/// # Errors
/// There is no answer, or nobody reads it.
pub(crate) fn run(args: &WatchArgs) -> anyhow::Result<ExitCode> {
    let request = Request::Watch {
        service: args.service.clone(),
    };
    let mut talk = Talk::begin(&args.reach.socket()?, &request)?;
    loop {
        let line = match talk.hear()? {
            Reply::Event(event) if args.json => serde_json::to_string(&event)?,
            Reply::Event(event) => words::line(&event),
            Reply::Following => {
                writeln!(io::stderr(), "Following.")?;
                continue;
            }
            Reply::Missed { count } if args.json => {
                serde_json::json!({ "event": "missed", "count": count }).to_string()
            }
            Reply::Missed { count } => format!("{count} events are missing: read too slowly"),
            Reply::Over => {
                writeln!(io::stderr(), "The supervisor is ending.")?;
                return Ok(ExitCode::SUCCESS);
            }
            Reply::Refused { why } => {
                writeln!(io::stderr(), "Refused: {why}")?;
                return Ok(REFUSED.into());
            }
            _ => bail!("the supervisor answers what was not asked"),
        };
        writeln!(io::stdout(), "{line}")?;
    }
}

//! `handoff history`: what has happened to the services.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::bail;

use super::args::HistoryArgs;
use super::event::{Event, What};
use super::protocol::{Reply, Request};
use super::talk::ask;
use super::{REFUSED, words};

/// # Errors
/// There is no answer, or nobody reads it.
pub(crate) fn run(args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let request = Request::History {
        service: args.service.clone(),
        limit: usize::from(args.limit),
    };
    let (events, damage) = match ask(&args.reach.socket()?, &request)? {
        Reply::History { events, damage } => (events, damage),
        Reply::Refused { why } => {
            writeln!(io::stderr(), "Refused: {why}")?;
            return Ok(REFUSED.into());
        }
        _ => bail!("the supervisor answers what was not asked"),
    };
    for text in damage {
        writeln!(io::stderr(), "Warning: {}", words::one_line(&text))?;
    }
    if events.is_empty() && !args.json {
        writeln!(io::stderr(), "Nothing has happened so far.")?;
    }
    let mut to = io::stdout().lock();
    for event in &events {
        let text = if args.json {
            serde_json::to_string(event)?
        } else {
            plain(event)
        };
        writeln!(to, "{text}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A handoff in some lines, anything else in one.
fn plain(event: &Event) -> String {
    let What::HandoffEnded(end) = &event.what else {
        return words::line(event);
    };
    let at = humantime::format_rfc3339_millis(event.at);
    format!("{at}  {}  handoff {}", event.service, words::handoff(end))
}

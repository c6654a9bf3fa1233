//! `handoff status --config`: what the supervisor says of its services, for people and for scripts.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use super::args::Reach;
use super::protocol::{Reply, Request, ServiceStatus, State};
use super::talk::ask;
use super::words;
use crate::exit::DONE;
use crate::status::{EXITS, NOT_SERVING};

/// Asks for this service, or for all of them, and tells on stdout. The exit status is 0 if all serve.
///
/// # Errors
/// There is no answer, or nobody reads it.
pub(crate) fn run(
    config: Option<PathBuf>,
    socket: Option<PathBuf>,
    service: Option<String>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let socket = Reach { config, socket }.socket()?;
    let services = match ask(&socket, &Request::Status { service })? {
        Reply::Status { services } => services,
        Reply::Refused { why } => bail!("{why}"),
        _ => bail!("the supervisor answers what was not asked"),
    };
    let serve = services.iter().all(serves);
    if json {
        writeln!(io::stdout(), "{}", serde_json::to_string(&services)?)?;
    } else {
        let all: Vec<_> = services.iter().map(plain).collect();
        write!(io::stdout(), "{}", all.join("\n"))?;
    }
    Ok(if serve {
        EXITS.end(DONE)
    } else {
        EXITS.end(NOT_SERVING)
    })
}

/// Whether its daemon says that it serves; a daemon of version 1, which cannot say it, only has to
/// live.
fn serves(service: &ServiceStatus) -> bool {
    if let Some(daemon) = &service.daemon {
        return matches!(daemon.phase.as_str(), "serving" | "on probation");
    }
    let lives = service.state == State::Running && service.pid.is_some();
    lives && service.answers != Some(false)
}

/// One service in a few lines.
fn plain(service: &ServiceStatus) -> String {
    let mut text = format!("{}: {}", service.name, service.state.words());
    if let Some(pid) = service.pid {
        let _ = write!(text, ", pid {pid}");
    }
    let restarts = match service.restarts {
        0 => String::new(),
        1 => ", restarted once".into(),
        count => format!(", restarted {count} times"),
    };
    text.push_str(&restarts);
    let mut line = |name: &str, value: &str| {
        let value = value.replace(char::is_control, " ");
        let _ = write!(text, "\n  {name:<11}{value}");
    };
    if let Some(trouble) = &service.trouble {
        line("trouble", trouble);
    }
    line("binary", &service.binary);
    if let Some(daemon) = &service.daemon {
        let uptime = Duration::from_secs(daemon.uptime_ms / 1000);
        line("build", &daemon.build_id);
        let generation = daemon.generation;
        let uptime = humantime::format_duration(uptime);
        let phase = &daemon.phase;
        let by = format!(
            "pid {}: {phase}, generation {generation}, for {uptime}",
            daemon.pid
        );
        line("daemon", &by);
        line("open", &format!("{} connections", daemon.open_connections));
    }
    if let Some(last) = &service.last {
        let at = humantime::format_rfc3339_seconds(last.at);
        line("last", &format!("{}, at {at}", words::what(&last.what)));
    }
    for listener in &service.listeners {
        let missing = if listener.held { "" } else { " (missing)" };
        let value = format!("{} on {}{missing}", listener.name, listener.address);
        line("listener", &value);
    }
    text.push('\n');
    text
}

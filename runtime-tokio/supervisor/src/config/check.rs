//! `handoff check`: whether a configuration file is right, and what it says.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use handoff_std::host::{ListenAddress, ListenSpec};
use serde_json::{Value, json};

use super::{Config, ConfigError, Health, Probe, Restart, RestartPolicy, Service};
use crate::exit::{DONE, ERROR, Exits, USAGE};

const EXITS: Exits = Exits(&[
    (DONE, "the file is right"),
    (
        ERROR,
        "the file is wrong: all that is wrong is on stderr, a line each, with\n\
         FILE:LINE:COLUMN: KEY: what stands there; what was expected",
    ),
    (
        USAGE,
        "the command line is wrong, or the file cannot be read",
    ),
]);

/// What `--help` says before the exit statuses.
const NOTES: &str = "\
Nothing is started, created or changed. The file is held against this machine as well: its binaries,
its users, and whether we are root.";

/// What it says behind them.
const JSON: &str = "\
JSON, one object on one line, on stdout:
  ok          true or false
  supervisor  object, if ok: state_dir, socket
  services    array, if ok: name, binary, data_dir, control_socket, trigger_socket, listeners (name,
              address), probation_ms, health, restart, allowed_binaries, allowed_uids, journal
  notes       array, if ok: what may not be meant: line, column, key, text
  errors      array, if not: line, column, key, found, expected; of a file that cannot be read
              `found` alone";

/// Look whether a configuration file is right, without touching anything.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = format!("{NOTES}\n\n{EXITS}\n\n{JSON}"))]
pub(crate) struct CheckArgs {
    /// The file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// Reads the file and says what came of it.
///
/// # Errors
/// If stdout cannot be written.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let loaded = Config::load(&args.config);
    let code = match &loaded {
        Ok(_) => DONE,
        Err(ConfigError::Unreadable { .. }) => USAGE,
        Err(ConfigError::Refused { .. }) => ERROR,
    };
    let mut out = io::stdout().lock();
    match &loaded {
        _ if args.json => writeln!(out, "{}", in_json(&loaded))?,
        Ok(config) => write!(out, "{}", summary(config))?,
        Err(error) => writeln!(io::stderr(), "{error}")?,
    }
    if let Ok(config) = &loaded
        && !args.json
    {
        for note in &config.notes {
            writeln!(io::stderr(), "{}:{note} (a note)", args.config.display())?;
        }
    }
    Ok(EXITS.end(code))
}

/// What a file says, for people.
pub(super) fn summary(config: &Config) -> String {
    let mut lines = vec![match config.services.len() {
        1 => "ok: 1 service".into(),
        count => format!("ok: {count} services"),
    }];
    let supervisor = &config.supervisor;
    lines.push(format!("state in {}", supervisor.state_dir.display()));
    if let Some(socket) = &supervisor.socket {
        lines.push(format!("commands on {}", socket.display()));
    }
    for service in &config.services {
        lines.push(String::new());
        lines.push(format!("{}: {}", service.name, service.binary.display()));
        let data = service.data_dir.as_ref().map_or_else(
            || "not said".into(),
            |data_dir| data_dir.display().to_string(),
        );
        lines.push(format!("  data       {data}"));
        lines.push(format!("  control    {}", service.control_socket.display()));
        if let Some(trigger) = &service.trigger_socket {
            lines.push(format!("  trigger    {}", trigger.display()));
        }
        for listener in &service.listeners {
            let address = address(listener);
            lines.push(format!("  listener   {} on {address}", listener.name));
        }
        lines.push(format!("  probation  {}", probation(service)));
        lines.push(format!("  restart    {}", restart(&service.restart)));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn in_json(loaded: &Result<Config, ConfigError>) -> Value {
    match loaded {
        Ok(config) => {
            let services: Vec<_> = config.services.iter().map(service_in_json).collect();
            json!({
                "ok": true,
                "supervisor": {
                    "state_dir": config.supervisor.state_dir.to_string_lossy(),
                    "socket": config.supervisor.socket.as_ref().map(|path| path.to_string_lossy()),
                },
                "services": services,
                "notes": config.notes,
            })
        }
        Err(ConfigError::Refused { problems, .. }) => json!({ "ok": false, "errors": problems }),
        Err(error) => json!({ "ok": false, "errors": [{ "found": error.to_string() }] }),
    }
}

fn service_in_json(service: &Service) -> Value {
    let listeners: Vec<_> = service
        .listeners
        .iter()
        .map(|listener| json!({ "name": listener.name, "address": address(listener) }))
        .collect();
    let binaries: Vec<_> = service
        .allowed_binaries
        .iter()
        .flatten()
        .map(|path| path.to_string_lossy())
        .collect();
    json!({
        "name": service.name,
        "binary": service.binary.to_string_lossy(),
        "data_dir": service.data_dir.as_ref().map(|path| path.to_string_lossy()),
        "control_socket": service.control_socket.to_string_lossy(),
        "trigger_socket": service.trigger_socket.as_ref().map(|path| path.to_string_lossy()),
        "listeners": listeners,
        "probation_ms": u64::try_from(service.probation.as_millis()).unwrap_or(u64::MAX),
        "health": service.health.as_ref().map(health),
        "restart": restart(&service.restart),
        "allowed_binaries": binaries,
        "allowed_uids": service.allowed_uids,
        "journal": service.journal.to_string_lossy(),
    })
}

fn address(listener: &ListenSpec) -> String {
    match &listener.address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn probation(service: &Service) -> String {
    if service.probation.is_zero() {
        return "none".into();
    }
    let time = humantime::format_duration(service.probation);
    match &service.health {
        Some(check) => format!("{time}, {}", health(check)),
        None => format!("{time}, without a health check"),
    }
}

fn health(health: &Health) -> String {
    let probe = match &health.probe {
        Probe::Command { program, args } => {
            let words: Vec<_> = args.iter().map(|word| word.to_string_lossy()).collect();
            format!("{} {}", program.display(), words.join(" "))
        }
        Probe::Http(url) => format!("GET {url}"),
        Probe::Tcp(address) => format!("connect to {address}"),
    };
    let interval = humantime::format_duration(health.interval);
    format!(
        "{probe} every {interval}, {} failures in a row end it",
        health.failures
    )
}

fn restart(restart: &Restart) -> String {
    let after = match restart.policy {
        RestartPolicy::Always => "always",
        RestartPolicy::OnFailure => "on failure",
        RestartPolicy::Never => return "never".into(),
    };
    let limit = restart.crash_loop.map_or(String::new(), |limit| {
        let within = humantime::format_duration(limit.within);
        format!(", at most {} starts in {within}", limit.max_starts)
    });
    format!(
        "{after}, after {} to {}{limit}",
        humantime::format_duration(restart.backoff),
        humantime::format_duration(restart.backoff_max)
    )
}

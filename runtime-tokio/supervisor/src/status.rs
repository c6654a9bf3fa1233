//! `handoff status`: what a daemon says of itself, for people and for scripts; or what a supervisor says
//! of its services, which is in [`operate::status`].

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args};
use handoff_std::ask::{DaemonPhase, DaemonStatus, status_with};
use handoff_std::core::wire::StatusPhase;
use handoff_std::core::{SupervisorConfig, Task};
use serde::Serialize;

use crate::exit::{DONE, ERROR, Exits, USAGE};
use crate::operate;

/// How long to look for somebody who answers: one daemon may just be leaving for the next.
const CONNECT: Duration = Duration::from_secs(1);
/// The exit status for a daemon that does not serve at the moment.
pub(crate) const NOT_SERVING: u8 = 3;

pub(crate) const EXITS: Exits = Exits(&[
    (
        DONE,
        "it serves: its phase is `serving` or `on probation`; of several services, all do",
    ),
    (
        ERROR,
        "there is no answer: nobody is there, or it is stopped, or it speaks version 1;\n\
         or the configuration is wrong, or there is no such service",
    ),
    (USAGE, "the command line is wrong"),
    (
        NOT_SERVING,
        "there is an answer, and it does not serve at the moment, or one of several does not;\n\
         or the supervisor answers, and a daemon that can say how it is does not",
    ),
]);

/// What `--help` says before the exit statuses.
const NOTES: &str = "\
Phases:
  serving, draining, drained, sealing, sealed, reclaiming, resuming, on probation, leaving";

/// What it says behind them.
const JSON: &str = "\
JSON with --control-socket, one object on one line:
  pid               number
  build_id          text: which build it is, in its own words
  phase             text: one of the above
  generation        number: it is higher for every process that has had the writer lock
  uptime_ms         number: for how long it has answered supervisors
  open_connections  number
  revisions         array of numbers: the last revision of each shard, in its own numbering

JSON with --config or --socket, an array of objects on one line, in the order of the configuration:
  name              text
  state             `running`, `handing_over`, `starting`, or `down`: not started until someone asks
  pid               number or null
  binary            text: what it is started from next
  restarts          number: how often it was started again since the supervisor runs
  listeners         array: name, address, held (false while it is missing)
  trouble           text or null: what is wrong
  last              the end of the last handoff, as in `handoff history --json`, or null
  daemon            what the daemon says of itself, or null: pid, build_id, phase, generation,
                    uptime_ms, open_connections
  answers           true or false: whether it says so when it is asked; null if it cannot be asked,
                    since there is none or it speaks version 1";

/// Ask a supervisor how its services are, or a daemon how it is. The answer comes at once, also in the
/// middle of a handoff.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = format!("{NOTES}\n\n{EXITS}\n\n{JSON}"))]
#[command(group = ArgGroup::new("whom").required(true).args(["config", "socket", "control_socket"]))]
pub(crate) struct StatusArgs {
    /// The service; all of the supervisor's if none is given.
    #[arg(conflicts_with = "control_socket")]
    service: Option<String>,

    /// The supervisor's configuration, which says where its socket is.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The supervisor's socket.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// The socket on which a daemon takes handoffs: ask the daemon itself.
    #[arg(long, value_name = "PATH")]
    control_socket: Option<PathBuf>,

    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// The answer in JSON.
#[derive(Serialize)]
struct Json<'a> {
    pid: u32,
    build_id: &'a str,
    phase: String,
    generation: u64,
    uptime_ms: u128,
    open_connections: u32,
    revisions: &'a [u64],
}

/// Asks, and tells on stdout.
///
/// # Errors
/// There is no answer, or nobody reads it.
pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let Some(control_socket) = &args.control_socket else {
        let StatusArgs {
            service,
            config,
            socket,
            json,
            ..
        } = args.clone();
        return operate::status::run(config, socket, service, json);
    };
    let times = SupervisorConfig {
        connect: CONNECT,
        ..SupervisorConfig::new(Task::Recover(None))
    };
    let status = status_with(control_socket, &times)?;
    let text = if args.json {
        json(&status)?
    } else {
        plain(&status)
    };
    writeln!(io::stdout(), "{text}")?;
    Ok(match status.phase {
        DaemonPhase::Known(StatusPhase::Serving | StatusPhase::Probation) => EXITS.end(DONE),
        _ => EXITS.end(NOT_SERVING),
    })
}

fn json(status: &DaemonStatus) -> serde_json::Result<String> {
    serde_json::to_string(&Json {
        pid: status.pid,
        build_id: &String::from_utf8_lossy(&status.build_id),
        phase: status.phase.to_string(),
        generation: status.generation,
        uptime_ms: status.uptime.as_millis(),
        open_connections: status.open_connections,
        revisions: &status.revisions,
    })
}

fn plain(status: &DaemonStatus) -> String {
    let revisions: Vec<_> = status.revisions.iter().map(u64::to_string).collect();
    format!(
        "pid:              {}\n\
         build id:         {}\n\
         phase:            {}\n\
         generation:       {}\n\
         uptime:           {} s\n\
         open connections: {}\n\
         revisions:        {}",
        status.pid,
        // Whatever it says, a line is a line.
        status.build_id.escape_ascii(),
        status.phase,
        status.generation,
        status.uptime.as_secs(),
        status.open_connections,
        revisions.join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_in_words_and_in_json() {
        let status = DaemonStatus {
            pid: 7,
            build_id: b"v\n2".into(),
            phase: DaemonPhase::Known(StatusPhase::Probation),
            generation: 3,
            uptime: Duration::from_millis(61_005),
            open_connections: 4,
            revisions: vec![5, 6],
        };
        let text = plain(&status);
        let values: Vec<_> = text.lines().map(|line| line[18..].trim()).collect();
        assert_eq!(
            values,
            ["7", "v\\n2", "on probation", "3", "61 s", "4", "5 6"]
        );
        let expected = r#"{"pid":7,"build_id":"v\n2","phase":"on probation","generation":3,"uptime_ms":61005,"open_connections":4,"revisions":[5,6]}"#;
        assert_eq!(json(&status).unwrap(), expected);
    }
}

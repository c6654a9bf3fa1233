//! Reads `[supervisor]`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::report::{At, Report};
use super::section::Section;
use super::service::{check_socket, check_socket_and_directory};
use super::settings::{LogFormat, SupervisorSettings};
use super::value::{bare, found};

/// Where root's supervisor keeps its state.
const STATE_DIR: &str = "/var/lib/handoff";
/// The name of the socket in the state directory.
const SOCKET: &str = "handoff.sock";
const WHO: &str = "the supervisor";

/// Reads `[supervisor]`. `v1`: for a file in the style of version 1, where everything can be left out
/// and the state directory is found later.
pub(super) fn read(
    mut section: Section<'_>,
    v1: bool,
    report: &mut Report<'_>,
) -> (Option<PathBuf>, SupervisorSettings) {
    let state_dir = read_state_dir(&mut section, v1, report);
    let socket = read_socket(&mut section, state_dir.as_deref().filter(|_| !v1), report);
    let allowed_uids = bare(section.value_or("allowed_uids", Vec::new(), report));
    let log_format = section
        .value("log_format", report)
        .and_then(|at| read_log_format(&at, report));
    let recordings = read_recordings(&mut section, report);
    let metrics = section
        .value("metrics", report)
        .and_then(|at| read_metrics(&at, report));
    let handoffs_at_once = section.value("handoffs_at_once", report);
    let handoffs_at_once = handoffs_at_once.and_then(|at| read_at_once(&at, report));
    section.end("", report);
    let settings = SupervisorSettings {
        state_dir: state_dir.clone().unwrap_or_default(),
        socket,
        allowed_uids,
        log_format: log_format.unwrap_or_default(),
        recordings,
        metrics,
        handoffs_at_once,
    };
    (state_dir, settings)
}

/// The socket, by default in `state_dir`, if there is one.
fn read_socket(
    section: &mut Section<'_>,
    state_dir: Option<&Path>,
    report: &mut Report<'_>,
) -> Option<PathBuf> {
    const WHAT: &str = "the socket";
    let was_given = section.has("socket");
    let given = section.value("socket", report);
    if was_given {
        let at = given?;
        check_socket_and_directory(&at, WHAT, WHO, report);
        return Some(at.value);
    }
    let at = At {
        value: state_dir?.join(SOCKET),
        mark: section.place_of("socket"),
    };
    // The directory is created if it is not there.
    check_socket(&at, WHAT, WHO, report);
    Some(at.value)
}

fn read_state_dir(section: &mut Section<'_>, v1: bool, report: &mut Report<'_>) -> Option<PathBuf> {
    let was_given = section.has("state_dir");
    let given: Option<At<PathBuf>> = section.value("state_dir", report);
    if let Some(at) = &given {
        check_directory(at, report);
    }
    if was_given || v1 {
        return given.map(|at| at.value);
    }
    if report.machine.is_root() {
        return Some(STATE_DIR.into());
    }
    let expected = format!("a directory that this user can write; {STATE_DIR} is root's");
    report.missing(&section.place_of("state_dir"), expected);
    None
}

fn read_recordings(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<PathBuf> {
    let at: At<PathBuf> = section.value("recordings", report)?;
    check_directory(&at, report);
    Some(at.value)
}

/// Whether a directory is there, or can be created.
fn check_directory(at: &At<PathBuf>, report: &mut Report<'_>) {
    if report.machine.directory(&at.value) == Some(false) {
        let found = format!("{} is not a directory", at.value.display());
        report.wrong(
            &at.mark,
            found,
            "a directory, there already or to be created",
        );
    }
}

fn read_log_format(at: &At<String>, report: &mut Report<'_>) -> Option<LogFormat> {
    match at.value.as_str() {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => {
            report.wrong(&at.mark, found(&at.value), "\"text\" or \"json\"");
            None
        }
    }
}

fn read_at_once(at: &At<u32>, report: &mut Report<'_>) -> Option<u32> {
    if at.value == 0 {
        report.wrong(&at.mark, "no handoff at all", "at least 1");
        return None;
    }
    Some(at.value)
}

fn read_metrics(at: &At<String>, report: &mut Report<'_>) -> Option<SocketAddr> {
    let Ok(address) = at.value.parse::<SocketAddr>() else {
        let expected = "IP:PORT, such as \"127.0.0.1:9464\"";
        report.wrong(&at.mark, found(&at.value), expected);
        return None;
    };
    if !address.ip().is_loopback() {
        report.note(
            &at.mark,
            format!("whoever can reach {address} can read the metrics; they are not protected"),
        );
    }
    report.claim_address(address, WHO, &at.mark);
    Some(address)
}

//! What was seen in a scenario, a line a step; and the files that say what is to be seen.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use handoff_core::wire::{HandoffId, Hello, Message, Side, StatusPhase};

use super::Scenario;

/// The file with what is to be seen in this scenario.
pub fn file(scenario: &Scenario) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("conformance")
        .join(format!("{}.txt", scenario.name))
}

/// The whole file: what the scenario is about, and what is seen.
pub fn render(scenario: &Scenario, lines: &[String]) -> String {
    let mut text = format!("# {}\n\n", scenario.about);
    for line in lines {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Compares with what is to be seen, or writes the file that says so.
///
/// # Errors
/// What is different, for people.
pub fn check(scenario: &Scenario, lines: &[String], bless: bool) -> Result<(), String> {
    let got = render(scenario, lines);
    let stopped = |line: &String| line.starts_with("STOPPED") || line.starts_with("BESIDES");
    if bless && lines.iter().any(stopped) {
        return Err(format!("this is nothing to be blessed:\n{got}"));
    }
    if bless {
        let file = file(scenario);
        return fs::write(&file, got).map_err(|e| format!("{}: {e}", file.display()));
    }
    if scenario.expected == got {
        Ok(())
    } else {
        Err(difference(scenario.expected, &got))
    }
}

/// What both have in common at first, and how each goes on.
fn difference(expected: &str, got: &str) -> String {
    let common = expected.lines().zip(got.lines());
    let common = common.take_while(|(one, other)| one == other).count();
    let mut text = String::new();
    for line in expected.lines().take(common) {
        let _ = writeln!(text, "      {line}");
    }
    for line in expected.lines().skip(common) {
        let _ = writeln!(text, "    - {line}");
    }
    for line in got.lines().skip(common) {
        let _ = writeln!(text, "    + {line}");
    }
    text.push_str("    (- is expected, + is what was seen)");
    text
}

/// A message without what no two runs have in common.
pub(super) fn words(message: &Message<'_>, id: Option<HandoffId>, pid: u32) -> String {
    let mut text = message.kind().to_string();
    let _ = match message {
        Message::Hello(Hello {
            side,
            versions,
            pid: said,
            ..
        }) => write!(
            text,
            " {}, versions {} to {}{}",
            match side {
                Side::Incumbent => "incumbent",
                Side::Successor => "successor",
            },
            versions.min,
            versions.max,
            if *said == pid { "" } else { ", another's pid" }
        ),
        Message::HelloAck { version, .. } => write!(text, " version {version}"),
        Message::Drained {
            open_connections,
            accept_closed,
        } => write!(text, " {open_connections} open, closed {accept_closed}"),
        Message::SealProgress { sealed, total, .. } => write!(text, " {sealed} of {total}"),
        Message::SealComplete { revisions, .. } => write!(text, " revisions {revisions:?}"),
        Message::Ready {
            listening_on,
            healthz_ok,
            revisions,
            ..
        } => write!(
            text,
            " healthy {healthz_ok}, on {listening_on:?}, revisions {revisions:?}"
        ),
        // What follows is somebody's own words.
        Message::Abort { reason, .. } => {
            write!(text, " {}", reason.split(':').next().unwrap_or_default())
        }
        Message::Listeners { names } => write!(text, " {names:?}"),
        Message::Status {
            phase,
            generation,
            open_connections,
            revisions,
            ..
        } => write!(
            text,
            " {}, generation {generation}, {open_connections} open, revisions {revisions:?}",
            StatusPhase::from_number(*phase).map_or_else(|| phase.to_string(), |p| p.to_string()),
        ),
        _ => Ok(()),
    };
    if let (Some(said), Some(id)) = (message.id(), id)
        && said != id
    {
        text.push_str(" (another handoff)");
    }
    text
}

//! Reads when a service is started again.

use std::time::Duration;

use super::report::{At, Report};
use super::section::Section;
use super::settings::{CrashLoop, Restart, RestartPolicy};
use super::value::found;

/// Reads it; what is wrong is left at its default.
pub(super) fn read(mut section: Section<'_>, report: &mut Report<'_>) -> Restart {
    let default = Restart::default();
    let policy = section
        .value("policy", report)
        .and_then(|at| read_policy(&at, report));
    let first = section.time("backoff", report);
    let backoff = first.as_ref().map_or(default.backoff, |at| at.value);
    let longest = section.time("backoff_max", report);
    let backoff_max = longest
        .as_ref()
        .map_or(default.backoff_max.max(backoff), |at| at.value);
    if let Some(at) = longest.filter(|at| at.value < backoff) {
        let expected = format!("at least `backoff`, {}", found(&backoff));
        report.wrong(&at.mark, found(&at.value), expected);
    }
    let reset_after = section.time("reset_after", report);
    let crash_loop = read_crash_loop(&mut section, report);
    section.end("", report);
    Restart {
        policy: policy.unwrap_or_default(),
        backoff,
        backoff_max,
        reset_after: reset_after.map_or(default.reset_after, |at| at.value),
        crash_loop,
    }
}

fn read_policy(at: &At<String>, report: &mut Report<'_>) -> Option<RestartPolicy> {
    match at.value.as_str() {
        "always" => Some(RestartPolicy::Always),
        "on-failure" => Some(RestartPolicy::OnFailure),
        "never" => Some(RestartPolicy::Never),
        _ => {
            let expected = "\"always\", \"on-failure\" or \"never\"";
            report.wrong(&at.mark, found(&at.value), expected);
            None
        }
    }
}

fn read_crash_loop(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<CrashLoop> {
    let limited = section.has("max_starts");
    let max_starts: Option<At<u32>> = section.value("max_starts", report);
    let within = section.time("within", report);
    if let Some(at) = &within
        && !limited
    {
        let expected = "`max_starts` as well, or neither: without it there is no limit";
        report.wrong(&at.mark, "a time without a number of starts", expected);
    }
    let max_starts = max_starts?;
    if max_starts.value == 0 {
        report.wrong(&max_starts.mark, "no start at all", "at least 1");
        return None;
    }
    Some(CrashLoop {
        max_starts: max_starts.value,
        within: within.map_or(Duration::from_mins(1), |at| at.value),
    })
}

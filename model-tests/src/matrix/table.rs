//! The rows as text.

use std::time::Duration;

use super::{Row, Verdict};

/// Longest outcome that is shown of a row that is as it should be, in characters.
const OUTCOME: usize = 60;

/// The line above the rows.
pub fn head() -> String {
    line(
        "runtime", "fault", "place", "pause", "acked", "lost", "next", "verdict", "outcome",
    )
}

/// A row, on one line; a second line says why it failed.
pub fn row(row: &Row) -> String {
    let findings = &row.findings;
    let pause = findings.pause.map_or_else(
        || "-".into(),
        |pause| format!("{:.2} s", pause.as_secs_f64()),
    );
    let lost = findings
        .lost
        .map_or_else(|| "-".into(), |lost| lost.to_string());
    let acked = findings.acknowledged.to_string();
    let (verdict, why) = match &row.verdict {
        Verdict::Ok => ("ok", None),
        Verdict::Failed(why) => ("FAILED", Some(why)),
        Verdict::Skipped(why) => ("skipped", Some(why)),
    };
    let mut outcome = findings.outcome.clone();
    if row.verdict == Verdict::Ok && outcome.chars().count() > OUTCOME {
        outcome = outcome.chars().take(OUTCOME).chain(['…']).collect();
    }
    let next = match findings.next.as_str() {
        "" => "-",
        next => next,
    };
    let (fault, place) = (row.case.fault(), row.case.place());
    let runtime = row.runtime.to_string();
    let mut text = line(
        &runtime, &fault, &place, &pause, &acked, &lost, next, verdict, &outcome,
    );
    if let Some(why) = why {
        text.push_str("\n    ");
        text.push_str(why);
    }
    text
}

/// The last line: what the verdicts add up to.
pub fn totals(verdicts: &[Verdict], took: Duration) -> String {
    let ok = verdicts.iter().filter(|verdict| **verdict == Verdict::Ok);
    let skipped = verdicts
        .iter()
        .filter(|verdict| matches!(verdict, Verdict::Skipped(_)));
    let (ok, skipped) = (ok.count(), skipped.count());
    format!(
        "{} rows, {ok} ok, {} failed, {skipped} skipped, {:.0} s",
        verdicts.len(),
        verdicts.len() - ok - skipped,
        took.as_secs_f64()
    )
}

#[expect(clippy::too_many_arguments, reason = "one for each column")]
fn line(
    runtime: &str,
    fault: &str,
    place: &str,
    pause: &str,
    acked: &str,
    lost: &str,
    next: &str,
    verdict: &str,
    outcome: &str,
) -> String {
    format!(
        "{runtime:<7} {fault:<42} {place:<21} {pause:>7} {acked:>6} {lost:>5} {next:<10} {verdict:<8} {outcome}"
    )
}

//! Whether a step of the demo ended as it should.

use super::play::{Ended, Plan};
use super::report::Outcome;
use super::talk::Ending;
use super::window::{Seen, Server};
use handoff_std::core::supervisor::Phase;

/// What a step came to, and what is wrong with that.
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    /// Why a handoff was given up, or the step failed.
    pub(super) cause: Option<String>,
    pub(super) wrong: Vec<String>,
}

/// Judges a step by its `ending` and by who served `before` it and who serves `now`.
pub(super) fn ending(
    plan: &Plan,
    ending: Ending,
    before: Option<&Server>,
    now: &Server,
) -> Verdict {
    let is_same = |pid| before.is_some_and(|before| before.pid == pid);
    let is_untouched = before.is_some_and(|before| before.generation == now.generation);
    let (outcome, pid, cause) = match ending {
        Ending::ColdStarted { pid } if before.is_none() => (Outcome::Started, Some(pid), None),
        Ending::ColdStarted { pid } => (
            Outcome::Failed,
            Some(pid),
            Some("nobody was left, and the daemon was started afresh".into()),
        ),
        Ending::Committed { pid } => (Outcome::Committed, Some(pid), None),
        Ending::RolledBack { cause } => (
            Outcome::RolledBack,
            before.map(|before| before.pid),
            Some(cause),
        ),
        Ending::Found { pid, .. } if !is_same(pid) => (Outcome::TakenOver, Some(pid), None),
        Ending::Found { pid, .. } if is_untouched => (Outcome::Adopted, Some(pid), None),
        Ending::Found { pid, .. } => (Outcome::Reclaimed, Some(pid), None),
        Ending::Failed { cause } => (Outcome::Failed, None, Some(cause)),
    };

    let mut wrong = Vec::new();
    if !plan.wanted.contains(&outcome) {
        let wanted = plan.wanted.first().map(ToString::to_string);
        let wanted = wanted.unwrap_or_default();
        wrong.push(format!("it ended as \"{outcome}\", not as \"{wanted}\""));
    }
    let version = match (outcome, before) {
        (Outcome::RolledBack | Outcome::Reclaimed | Outcome::Adopted, Some(before)) => {
            &before.version
        }
        _ => plan.tag,
    };
    if now.version != version {
        wrong.push(format!("version {} serves, not {version}", now.version));
    }
    if let Some(pid) = pid.filter(|pid| *pid != now.pid) {
        wrong.push(format!("pid {} serves, not {pid}", now.pid));
    }
    // Whoever takes the lock anew counts on, and every handoff has it taken.
    let is_newer = before.is_none_or(|before| before.generation < now.generation);
    if outcome != Outcome::Adopted && !is_newer {
        wrong.push(format!("generation {} is not a new one", now.generation));
    }
    Verdict {
        outcome,
        cause,
        wrong,
    }
}

/// What is wrong with what clients saw of a step, beside what the report counts.
pub(super) fn seen(ended: &Ended, seen: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(failure) = &seen.failure {
        wrong.push(format!("a request failed: {failure}"));
    }
    if let Some(warm_up) = ended.phases.first(Phase::Warming)
        && matches!(ended.outcome, Outcome::Committed | Outcome::RolledBack)
        && seen.write_pause >= warm_up.length()
    {
        wrong.push(format!(
            "clients waited for {:?}, longer than the successor warmed up ({:?})",
            seen.write_pause,
            warm_up.length()
        ));
    }
    if ended.plan.has_probation && seen.on_probation.is_none_or(|writes| writes == 0) {
        wrong.push("no write was acknowledged on probation".into());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        name: "test",
        tag: "N",
        wanted: &[Outcome::TakenOver, Outcome::Reclaimed],
        has_probation: false,
    };

    fn server(version: &str, pid: u32, generation: u64) -> Server {
        Server {
            version: version.into(),
            runtime: "std".into(),
            pid,
            generation,
        }
    }

    fn found(pid: u32) -> Ending {
        let listener = ([127, 0, 0, 1], 1).into();
        Ending::Found { pid, listener }
    }

    #[test]
    fn who_is_found_is_told_by_pid_and_generation() {
        let before = server("O", 1, 5);
        for (now, outcome, complaints) in [
            (server("N", 2, 6), Outcome::TakenOver, 0),
            (server("O", 1, 6), Outcome::Reclaimed, 0),
            (server("O", 1, 5), Outcome::Adopted, 1),
            (server("N", 2, 5), Outcome::TakenOver, 1),
            (server("O", 2, 6), Outcome::TakenOver, 1),
        ] {
            let verdict = ending(&PLAN, found(now.pid), Some(&before), &now);
            assert_eq!(verdict.outcome, outcome, "{now:?}");
            assert_eq!(verdict.wrong.len(), complaints, "{:?}", verdict.wrong);
        }
    }

    #[test]
    fn another_process_than_the_one_that_was_reported_is_wrong() {
        let before = server("O", 1, 5);
        let now = server("N", 3, 6);
        let verdict = ending(&PLAN, found(2), Some(&before), &now);
        assert_eq!(verdict.wrong, ["pid 3 serves, not 2"]);
    }
}

//! Events in words. Whatever they hold, a line is a line.

use std::time::Duration;

use super::event::{Event, HandoffEnded, Side, What, Why};
use super::protocol::{Ended, Outcome};

/// An event with its time and its service, in one line.
pub(super) fn line(event: &Event) -> String {
    let at = humantime::format_rfc3339_millis(event.at);
    one_line(&format!("{at}  {}  {}", event.service, what(&event.what)))
}

/// What has happened, in one line.
pub(super) fn what(what: &What) -> String {
    let text = match what {
        What::DaemonStarted { pid, binary } => format!("daemon started: pid {pid}, {binary}"),
        What::DaemonFound { pid, build } => {
            format!("daemon found: pid {pid}{}", in_brackets(build.as_deref()))
        }
        What::DaemonEnded { pid, how, why } => {
            let why = match why {
                Why::Replaced => "replaced",
                Why::InHandoff => "in a handoff",
                Why::Stopped => "by the supervisor",
                Why::ByItself => "by itself",
            };
            format!("daemon ended {why}: pid {pid}, {how}")
        }
        What::HandoffStarted { pid, binary } => match pid {
            Some(pid) => format!("handoff started: from pid {pid} to {binary}"),
            None => format!("handoff started: to {binary}"),
        },
        What::Phase { phase, after_us } => {
            format!("{} (after {})", phase.replace('_', " "), time(*after_us))
        }
        What::Drained {
            open_connections, ..
        } => format!("drained, {open_connections} connections are open for reading"),
        What::SealProgress { sealed, total } => format!("sealed {sealed} of {total}"),
        What::Sealed => "sealed".into(),
        What::Ready { healthy: true } => "the successor is ready".into(),
        What::Ready { healthy: false } => "the successor is ready, and says it is not well".into(),
        What::Trouble { reason } => format!("trouble: {reason}"),
        What::Lost { reason } => format!("a session has ended: {reason}"),
        What::HandoffEnded(end) => {
            let mut text = format!("handoff {}", outcome(end.ended.outcome));
            if let Some(to) = &end.to {
                text = format!("{text}, {} serves", side(to));
            }
            if let Some(reason) = &end.ended.reason {
                text = format!("{text}: {reason}");
            }
            if let Some(pause) = end.durations.pause_us {
                text = format!("{text} (pause {})", time(pause));
            }
            text
        }
    };
    one_line(&text)
}

/// A handoff that has ended, in some lines, the first without an indent.
pub(super) fn handoff(end: &HandoffEnded) -> String {
    let from = end.from.as_ref().map(side).unwrap_or_default();
    // A successor that does not serve has left nothing but its binary.
    let to = match &end.to {
        Some(to) => format!("{}, {}", side(to), end.binary),
        None => end.binary.clone(),
    };
    let mut lines = vec![format!("{}: {from} -> {to}", outcome(end.ended.outcome))];
    if let Some(reason) = &end.ended.reason {
        lines.push(reason.clone());
    }
    if let Some(id) = &end.ended.handoff_id {
        lines.push(format!("handoff {id}"));
    }
    let times = &end.durations;
    let parts = [
        ("drain", times.drain_us),
        ("seal", times.seal_us),
        ("begin to ready", times.begin_to_ready_us),
    ];
    let parts = parts.map(|(name, us)| Some(format!("{name} {}", time(us?))));
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let whole = times.whole_us.map(|us| format!("took {}", time(us)));
    let mut text = whole.unwrap_or_default();
    if let Some(pause) = times.pause_us {
        text = format!("{text}, pause {}", time(pause));
    }
    if !parts.is_empty() {
        text = format!("{text} ({})", parts.join(", "));
    }
    if !text.is_empty() {
        lines.push(text);
    }
    if !end.ended.without.is_empty() {
        lines.push(format!("without {}", end.ended.without.join(" and ")));
    }
    let lines: Vec<_> = lines.iter().map(|line| one_line(line)).collect();
    lines.join("\n    ")
}

/// How something ended that was asked for, in one line.
pub(super) fn ended(ended: &Ended) -> String {
    let mut text = format!("{}: {}", ended.service, outcome(ended.outcome));
    if let Some(pid) = ended.pid {
        text = format!("{text}, pid {pid} serves");
    }
    if let Some(reason) = &ended.reason {
        text = format!("{text}: {reason}");
    }
    if !ended.without.is_empty() {
        text = format!("{text}, without {}", ended.without.join(" and "));
    }
    let id = ended.handoff_id.as_ref();
    let id = id.map(|id| format!("handoff {id}, ")).unwrap_or_default();
    format!("{} ({id}{} ms)", one_line(&text), ended.took_ms)
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Committed => "committed",
        Outcome::RolledBack => "rolled back",
        Outcome::Started => "started",
        Outcome::Failed => "failed",
    }
}

fn side(side: &Side) -> String {
    format!("pid {}{}", side.pid, in_brackets(side.build.as_deref()))
}

fn in_brackets(build: Option<&str>) -> String {
    match build {
        Some(build) if !build.is_empty() => format!(" (build {build})"),
        _ => String::new(),
    }
}

/// A duration in microseconds, as exact as it is of use.
pub(super) fn time(us: u64) -> String {
    match us {
        0..1000 => format!("{us} us"),
        1000..1_000_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        1_000_000..60_000_000 => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
        _ => humantime::format_duration(Duration::from_secs(us / 1_000_000)).to_string(),
    }
}

pub(super) fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::event::Durations;

    pub(in crate::operate) fn committed() -> HandoffEnded {
        let side = |pid, build: &str| Side {
            pid,
            build: Some(build.into()),
            version: Some(2),
        };
        HandoffEnded {
            ended: Ended {
                service: "a".into(),
                outcome: Outcome::Committed,
                handoff_id: Some("1-2".into()),
                pid: Some(8),
                reason: None,
                without: vec!["standby".into()],
                took_ms: 215,
            },
            binary: "/bin/b".into(),
            from: Some(side(7, "v\n1")),
            to: Some(side(8, "v2")),
            durations: Durations {
                whole_us: Some(215_900),
                drain_us: Some(400),
                seal_us: None,
                begin_to_ready_us: Some(1_500),
                pause_us: Some(2_345_678),
            },
            seal_failed: false,
            phases: Vec::new(),
        }
    }

    #[test]
    fn a_handoff_in_some_lines_and_in_one() {
        let end = committed();
        let text = handoff(&end);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "committed: pid 7 (build v 1) -> pid 8 (build v2), /bin/b",
                "    handoff 1-2",
                "    took 215.9 ms, pause 2.34 s (drain 400 us, begin to ready 1.5 ms)",
                "    without standby",
            ]
        );
        assert_eq!(
            ended(&end.ended),
            "a: committed, pid 8 serves, without standby (handoff 1-2, 215 ms)"
        );
        let rolled_back = HandoffEnded {
            to: None,
            ..end.clone()
        };
        let text = handoff(&rolled_back);
        assert!(text.contains("pid 7 (build v 1) -> /bin/b\n"), "{text}");
        let line = what(&What::HandoffEnded(Box::new(end)));
        assert_eq!(
            line,
            "handoff committed, pid 8 (build v2) serves (pause 2.34 s)"
        );
    }

    #[test]
    fn a_line_is_a_line_whatever_is_in_it() {
        let event = Event {
            at: std::time::UNIX_EPOCH,
            service: "a".into(),
            handoff_id: None,
            what: What::Trouble {
                reason: "two\r\nlines\u{1b}[2J".into(),
            },
        };
        assert_eq!(
            line(&event),
            "1970-01-01T00:00:00.000Z  a  trouble: two  lines [2J"
        );
    }

    #[test]
    fn times_of_every_length() {
        for (us, text) in [
            (0, "0 us"),
            (1_050, "1.0 ms"),
            (59_999_999, "59.99 s"),
            (61_500_000, "1m 1s"),
        ] {
            assert_eq!(time(us), text);
        }
    }
}

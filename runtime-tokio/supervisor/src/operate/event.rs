//! What happens to a service, as it is told to whoever follows it, and as its history keeps it.
//!
//! Durations are whole microseconds: a pause may be shorter than a millisecond.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::protocol::Ended;

/// Something that has happened to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// When. RFC 3339 in UTC, with milliseconds.
    #[serde(with = "utc")]
    pub(crate) at: SystemTime,
    pub(crate) service: String,
    /// `None` outside of handoffs.
    pub(crate) handoff_id: Option<String>,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum What {
    /// A daemon was started afresh, by no handoff.
    DaemonStarted { pid: u32, binary: String },
    /// A daemon serves that this supervisor has not started.
    DaemonFound { pid: u32, build: Option<String> },
    /// A daemon has ended.
    DaemonEnded { pid: u32, how: String, why: Why },
    /// A handoff to this binary has started.
    HandoffStarted { pid: Option<u32>, binary: String },
    /// The handoff has entered this phase.
    Phase {
        phase: String,
        /// Since its start.
        after_us: u64,
    },
    /// The incumbent has drained.
    Drained {
        open_connections: u32,
        accept_closed: bool,
    },
    /// The incumbent's seal has come this far.
    SealProgress { sealed: u32, total: u32 },
    /// The incumbent has sealed, and has released the lock.
    Sealed,
    /// The successor is ready.
    Ready { healthy: bool },
    /// Something went wrong. It need not be the end of the handoff.
    Trouble { reason: String },
    /// A session has ended.
    Lost { reason: String },
    /// A handoff has ended.
    HandoffEnded(Box<HandoffEnded>),
}

/// Why a daemon has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Why {
    /// A handoff had replaced it.
    Replaced,
    /// In a handoff, which tells more at its end.
    InHandoff,
    /// The supervisor has ended it.
    Stopped,
    /// Nobody that is known of wanted it to.
    ByItself,
}

/// All that is known of a handoff once it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandoffEnded {
    /// What whoever asked for it is told.
    pub(crate) ended: Ended,
    /// What it was to.
    pub(crate) binary: String,
    /// The incumbent.
    pub(crate) from: Option<Side>,
    /// Who serves in its place; `None` if nobody does.
    pub(crate) to: Option<Side>,
    #[serde(flatten)]
    pub(crate) durations: Durations,
    /// Whether the incumbent has said that its seal failed.
    pub(crate) seal_failed: bool,
    /// In the order in which they were first entered.
    pub(crate) phases: Vec<PhaseTime>,
}

/// One side of a handoff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Side {
    pub(crate) pid: u32,
    /// Which build it is, in its own words, if it has said so.
    pub(crate) build: Option<String>,
    /// The version of the protocol that was spoken with it, if it has said Hello.
    pub(crate) version: Option<u16>,
}

/// How long a handoff took, in microseconds. `None`: it did not come to the end of that, or that is not
/// known, since the supervisor has ended meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "a key of JSON says its unit")]
pub(crate) struct Durations {
    /// All of it.
    pub(crate) whole_us: Option<u64>,
    /// From `PrepareHandoff` to `Drained`.
    pub(crate) drain_us: Option<u64>,
    /// From `SealRequest` to `SealComplete`.
    pub(crate) seal_us: Option<u64>,
    /// From `Begin` to `Ready`.
    pub(crate) begin_to_ready_us: Option<u64>,
    /// From `PrepareHandoff` to `Ready`: as long as nobody takes writes, at most.
    pub(crate) pause_us: Option<u64>,
}

/// One phase of a handoff, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PhaseTime {
    pub(crate) phase: String,
    /// When it was entered first, since the start of the handoff.
    pub(crate) after_us: u64,
    /// How long it took; all in all, if it was entered more than once.
    pub(crate) took_us: u64,
}

/// RFC 3339 with milliseconds.
mod utc {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    /// The last second that can be written, that of the year 9999.
    const LAST: Duration = Duration::from_secs(253_402_300_799);

    pub(super) fn serialize<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        let at = (*at).clamp(UNIX_EPOCH, UNIX_EPOCH + LAST);
        to.collect_str(&humantime::format_rfc3339_millis(at))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_rfc3339(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::operate::protocol::Outcome;

    #[test]
    fn an_event_is_flat_json_and_comes_back() {
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let event = Event {
            at,
            service: "a".into(),
            handoff_id: Some("1".into()),
            what: What::Phase {
                phase: "draining".into(),
                after_us: 7,
            },
        };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(
            text,
            r#"{"at":"2023-11-14T22:13:20.123Z","service":"a","handoff_id":"1","event":"phase","phase":"draining","after_us":7}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);

        let event = Event {
            what: What::HandoffEnded(Box::new(HandoffEnded {
                ended: Ended {
                    service: "a".into(),
                    outcome: Outcome::Committed,
                    handoff_id: Some("1".into()),
                    pid: Some(2),
                    reason: None,
                    without: Vec::new(),
                    took_ms: 3,
                },
                binary: "/bin/a".into(),
                from: None,
                to: Some(Side {
                    pid: 2,
                    build: None,
                    version: Some(2),
                }),
                durations: Durations {
                    whole_us: Some(3000),
                    ..Durations::default()
                },
                seal_failed: false,
                phases: Vec::new(),
            })),
            ..event
        };
        let text = serde_json::to_string(&event).unwrap();
        assert!(
            text.contains(r#""event":"handoff_ended","ended":{"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }

    #[test]
    fn a_clock_that_is_far_off_breaks_nothing() {
        let minute = Duration::from_mins(1);
        let far = Duration::from_secs(1 << 40);
        for (at, year) in [(UNIX_EPOCH - minute, "1970-"), (UNIX_EPOCH + far, "9999-")] {
            let event = Event {
                at,
                service: String::new(),
                handoff_id: None,
                what: What::Sealed,
            };
            let text = serde_json::to_string(&event).unwrap();
            assert!(text.contains(year), "{text}");
            assert!(serde_json::from_str::<Event>(&text).is_ok(), "{text}");
        }
    }
}

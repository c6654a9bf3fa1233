//! The steps of a replay on stdout, as lines for people or as JSON.

use std::io::{self, Write};
use std::time::Duration;

use handoff_std::core::Instant;
use handoff_std::core::record::{Ending, Header, Replayed};
use serde_json::{Value, json};

use super::Difference;
use super::words::seconds;

/// One input, and what was done.
pub(super) struct Step {
    /// Since the beginning.
    pub(super) at: Duration,
    pub(super) input: String,
    pub(super) actions: Vec<String>,
    /// What it led to; `None` when the replay ended before that.
    pub(super) phase: Option<String>,
}

/// Where steps are shown.
pub(super) struct Show<W> {
    out: W,
    json: bool,
}

impl<W: Write> Show<W> {
    pub(super) const fn new(out: W, json: bool) -> Self {
        Self { out, json }
    }

    /// Which machine it is, and when it began.
    pub(super) fn front(&mut self, header: &Header<'_>, began: Option<Instant>) -> io::Result<()> {
        let who = String::from_utf8_lossy(header.who).replace(char::is_control, " ");
        let role = header.party.to_string();
        if self.json {
            let began = began.map(Instant::as_nanos);
            let links = header.links;
            return self.line(&json!({"role": role, "links": links, "who": who, "began": began}));
        }
        writeln!(self.out, "{role}, recorded by {who}")?;
        if let Some(began) = began {
            let time = std::time::UNIX_EPOCH + Duration::from_nanos(began.as_nanos());
            writeln!(self.out, "began {}", humantime::format_rfc3339_micros(time))?;
        }
        Ok(())
    }

    pub(super) fn step(&mut self, step: &Step) -> io::Result<()> {
        let Step {
            at,
            input,
            actions,
            phase,
        } = step;
        if self.json {
            let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
            return self
                .line(&json!({"at_ns": at, "input": input, "actions": actions, "phase": phase}));
        }
        writeln!(self.out, "\n{:>12}  {input}", seconds(*at))?;
        for action in actions {
            writeln!(self.out, "{:12}    {action}", "")?;
        }
        if let Some(phase) = phase {
            writeln!(self.out, "{:12}  = {phase}", "")?;
        }
        Ok(())
    }

    /// How it ended.
    pub(super) fn end(
        &mut self,
        Replayed { inputs, ending }: Replayed,
        difference: Option<&Difference>,
    ) -> io::Result<()> {
        let (then, now) = difference.map(|(then, now)| (then, now)).unzip();
        if self.json {
            let (word, torn_at) = match ending {
                Ending::Whole => ("same", None),
                Ending::Full => ("full", None),
                Ending::Torn(at) => ("torn", Some(at)),
                Ending::Different => ("different", None),
            };
            return self.line(&json!({
                "inputs": inputs, "ending": word, "torn_at": torn_at, "then": then, "now": now,
            }));
        }
        if let (Some(then), Some(now)) = (then, now) {
            writeln!(self.out, "{:12}    then it {then}", "")?;
            writeln!(self.out, "{:12}    now it  {now}", "")?;
        }
        let end = match ending {
            Ending::Whole => "the same today".into(),
            Ending::Full => "the same today; the recording ends here, at its limit".into(),
            Ending::Torn(at) => {
                format!("the same today; the recording is cut short, in what begins at byte {at}")
            }
            Ending::Different => "today's machine acts differently".into(),
        };
        writeln!(self.out, "\n{inputs} inputs: {end}")
    }

    fn line(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.out, "{value}")
    }
}

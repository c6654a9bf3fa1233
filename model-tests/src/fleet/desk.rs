//! What the supervisor is asked on its socket: a line of JSON, and one back.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

/// Where it is asked.
pub(super) struct Desk(PathBuf);

/// One handoff, as the history has it; times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Past {
    /// From the first to the last of it.
    pub(super) whole_us: u64,
    /// From `PrepareHandoff` to `Ready`.
    pub(super) pause_us: u64,
}

impl Desk {
    pub(super) const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// How many services run.
    ///
    /// # Errors
    /// Nobody answers, or not as expected.
    pub(super) fn running(&self) -> anyhow::Result<usize> {
        let status = self.ask(&json!({ "command": "status", "service": null }))?;
        let services = status["services"].as_array();
        let services = services.with_context(|| format!("no status: {status}"))?;
        let running = services.iter().filter(|one| one["state"] == "running");
        Ok(running.count())
    }

    /// Has these services handed over, at most so many at a time; returns when all of them are. With
    /// `events` it follows each handoff, as the command `handoff upgrade` does.
    ///
    /// # Errors
    /// One of them was not.
    pub(super) fn hand_over(
        &self,
        names: &[String],
        at_once: usize,
        events: bool,
    ) -> anyhow::Result<()> {
        let mut asked = VecDeque::new();
        for name in names {
            if asked.len() >= at_once
                && let Some(first) = asked.pop_front()
            {
                committed(first)?;
            }
            let request =
                json!({ "command": "upgrade", "service": name, "binary": null, "events": events });
            asked.push_back(self.say(&request)?);
        }
        asked.into_iter().try_for_each(committed)
    }

    /// The last handoffs of this service, so many of them.
    ///
    /// # Errors
    /// Fewer are known.
    pub(super) fn past(&self, service: &str, handoffs: usize) -> anyhow::Result<Vec<Past>> {
        let request = json!({ "command": "history", "service": service, "limit": 1000 });
        let history = self.ask(&request)?;
        let events = history["events"].as_array();
        let events = events.with_context(|| format!("no history: {history}"))?;
        let ended = |event: &&Value| event["event"] == "handoff_ended";
        let past: Vec<_> = events.iter().rev().filter(ended).take(handoffs).collect();
        ensure!(
            past.len() == handoffs,
            "{service}: {} of {handoffs} handoffs are in its history",
            past.len()
        );
        let past = past.into_iter().map(Past::deserialize);
        Ok(past.collect::<Result<_, _>>()?)
    }

    fn ask(&self, request: &Value) -> anyhow::Result<Value> {
        answer(self.say(request)?)
    }

    fn say(&self, request: &Value) -> anyhow::Result<UnixStream> {
        let mut stream = UnixStream::connect(&self.0)?;
        stream.write_all(format!("{request}\n").as_bytes())?;
        Ok(stream)
    }
}

/// The last line is the answer.
fn answer(stream: UnixStream) -> anyhow::Result<Value> {
    let mut last = None;
    for line in BufReader::new(stream).lines() {
        last = Some(line?);
    }
    let last = last.context("the supervisor hung up")?;
    Ok(serde_json::from_str(&last)?)
}

fn committed(asked: UnixStream) -> anyhow::Result<()> {
    let answer = answer(asked)?;
    if answer["answer"] != "ended" || answer["outcome"] != "committed" {
        bail!("not handed over: {answer}");
    }
    Ok(())
}

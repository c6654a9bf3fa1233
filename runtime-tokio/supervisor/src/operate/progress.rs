//! How a handoff goes on, on stderr, while its command waits: on a terminal the phase that it is in,
//! with its time, and a bar for the seal; elsewhere a line for each phase.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::event::{HandoffEnded, What};
use super::words::{one_line, time, what};

/// How often a terminal is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// Where it is shown.
pub(super) enum Progress {
    /// Nowhere.
    Silent,
    Lines,
    Terminal(Terminal),
}

impl Progress {
    /// On stderr, as is fit for what that is.
    pub(super) fn on_stderr() -> Self {
        if io::stderr().is_terminal() {
            Self::Terminal(Terminal::new(ProgressDrawTarget::stderr()))
        } else {
            Self::Lines
        }
    }

    /// Shows what has happened. What cannot be shown is no reason to give up waiting.
    pub(super) fn show(&mut self, event: &What) {
        match self {
            Self::Silent => {}
            Self::Lines => {
                if let Some(line) = plain(event) {
                    let _ = writeln!(io::stderr(), "{line}");
                }
            }
            Self::Terminal(terminal) => terminal.show(event),
        }
    }

    /// Some events have not been told.
    pub(super) fn missed(&mut self, count: u64) {
        let line = format!("  ({count} events are missing)");
        match self {
            Self::Silent => {}
            Self::Lines => {
                let _ = writeln!(io::stderr(), "{line}");
            }
            Self::Terminal(terminal) => terminal.bar.println(line),
        }
    }
}

/// An event that has a line of its own.
fn plain(event: &What) -> Option<String> {
    match event {
        // Its end is the answer, and the ends of daemons and sessions belong to it.
        What::HandoffEnded(_)
        | What::DaemonEnded { .. }
        | What::Lost { .. }
        | What::SealProgress { .. } => None,
        What::HandoffStarted { .. } => Some(what(event)),
        _ => Some(format!("  {}", what(event))),
    }
}

/// A terminal: one line that changes, and above it what is past.
pub(super) struct Terminal {
    bar: ProgressBar,
    /// The phase that it is in, and when that began.
    phase: Option<(String, u64)>,
}

impl Terminal {
    fn new(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style("  {spinner} {msg:16} {time}"));
        bar.set_message("waiting");
        bar.enable_steady_tick(TICK);
        Self { bar, phase: None }
    }

    fn show(&mut self, event: &What) {
        match event {
            What::Phase { phase, after_us } => {
                self.leave_phase(*after_us);
                let phase = one_line(&phase.replace('_', " "));
                self.bar.set_style(style("  {spinner} {msg:16} {time}"));
                self.bar.set_message(phase.clone());
                self.bar.reset_elapsed();
                self.phase = Some((phase, *after_us));
            }
            What::SealProgress { sealed, total } => {
                self.bar
                    .set_style(style("  {spinner} {msg:16} {time} [{bar:30}] {pos}/{len}"));
                self.bar.set_length((*total).into());
                self.bar.set_position((*sealed).into());
            }
            What::HandoffEnded(end) => self.end(end),
            // The phases tell it.
            What::Drained { .. } | What::Sealed | What::Ready { healthy: true } => {}
            _ => {
                if let Some(line) = plain(event) {
                    self.bar.println(line);
                }
            }
        }
    }

    /// The phase that it is in is over, so long after the handoff's start.
    fn leave_phase(&mut self, after_us: u64) {
        if let Some((phase, since)) = self.phase.take() {
            let took = time(after_us.saturating_sub(since));
            self.bar.println(format!("    {phase:16} {took}"));
        }
    }

    fn end(&mut self, end: &HandoffEnded) {
        let whole = end.durations.whole_us;
        self.leave_phase(whole.unwrap_or_default());
        self.bar.set_style(style("  {spinner} {msg:16}"));
        self.bar.set_message("ended");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Of a line that changes.
fn style(template: &str) -> ProgressStyle {
    let spinner = ProgressStyle::default_spinner();
    let style = ProgressStyle::with_template(template).unwrap_or(spinner);
    style.with_key(
        "time",
        |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            let us = u64::try_from(state.elapsed().as_micros()).unwrap_or(u64::MAX);
            let _ = to.write_str(&time(us / 100_000 * 100_000));
        },
    )
}

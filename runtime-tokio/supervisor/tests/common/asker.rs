//! Somebody who asks for a daemon's listeners, again and again, and counts its descriptors: one of the
//! programs of [`stand_in`](super::stand_in).

use handoff_std::ask::{self, AskError};

use super::counts;
use super::daemon::hold;
use super::stand_in::{tell, world};

/// How often it asks whoever answers first.
pub(crate) const QUESTIONS: usize = 7;

/// Asks [`QUESTIONS`] times, tells how that went, waits for [`World::go`](super::World::go) if the
/// flag `hold-good` is there, and asks once more.
pub(crate) fn asker() -> i32 {
    let us = std::process::id();
    let control = world("p/c");
    let before = counts::descriptors(us);
    for _ in 0..QUESTIONS {
        let answer = ask::listeners(&control);
        let words = match &answer {
            Ok(listeners) => format!("{} listeners", listeners.len()),
            Err(AskError::Unusable { listeners, .. }) => {
                format!("{} listeners, others unusable", listeners.len())
            }
            Err(error) => error.to_string(),
        };
        tell(&format!("Answer({words})"));
    }
    let after = counts::descriptors(us);
    tell(&format!("Descriptors({before}, {after})"));
    hold("good");
    tell(&format!(
        "Last({})",
        ask::listeners(&control).unwrap().len()
    ));
    0
}

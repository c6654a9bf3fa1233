//! Watches a replay, and makes a step of every turn.

use std::io::{self, Write};

use handoff_std::core::record::{Damage, DeedOf, Entry, Recording, Watcher};
use handoff_std::core::wire::Message;
use handoff_std::core::{Input, Instant, Role};

use super::Difference;
use super::show::{Show, Step};
use super::words::Words;

/// The moment of the first input, if there is one.
///
/// # Errors
/// [`Damage`]: it is a recording of another machine, or damaged.
pub(super) fn began<R: Role<L>, const L: usize>(
    recording: &Recording<'_>,
) -> Result<Option<Instant>, Damage> {
    let (_, mut entries) = recording.read::<R, L>()?;
    match entries.next_entry() {
        Ok(Some(Entry::Handed(now, _))) => Ok(Some(now)),
        // Whatever is wrong with it, the replay says it.
        _ => Ok(None),
    }
}

/// The steps of a replay, as they are shown.
pub(super) struct Account<'s, W> {
    words: Words,
    show: &'s mut Show<W>,
    step: Option<Step>,
    difference: Option<Difference>,
    shown: io::Result<()>,
}

impl<'s, W: Write> Account<'s, W> {
    pub(super) const fn new(began: Instant, show: &'s mut Show<W>) -> Self {
        Self {
            words: Words { began },
            show,
            step: None,
            difference: None,
            shown: Ok(()),
        }
    }

    /// What was different, if anything was.
    ///
    /// # Errors
    /// Nobody reads what is shown.
    pub(super) fn finish(mut self) -> io::Result<Option<Difference>> {
        self.show_step();
        self.shown.map(|()| self.difference)
    }

    fn show_step(&mut self) {
        if let Some(step) = self.step.take()
            && self.shown.is_ok()
        {
            self.shown = self.show.step(&step);
        }
    }
}

impl<R: Role<L>, W: Write, const L: usize> Watcher<R, L> for Account<'_, W> {
    fn handed(&mut self, now: Instant, input: &Input<'_>, message: Option<&Message<'_>>) {
        self.step = Some(Step {
            at: now.since(self.words.began),
            input: self.words.input(input, message),
            actions: Vec::new(),
            phase: None,
        });
    }

    fn did(&mut self, then: Option<&DeedOf<'_, R, L>>, now: &DeedOf<'_, R, L>) {
        let words = self.words.deed::<R, L>(now);
        match then.filter(|then| *then != now) {
            Some(then) => self.difference = Some((self.words.deed::<R, L>(then), words)),
            None => {
                if let Some(step) = &mut self.step {
                    step.actions.push(words);
                }
            }
        }
    }

    fn after(&mut self, state: &R::State) {
        if let Some(step) = &mut self.step {
            step.phase = Some(R::phase(state).to_string());
        }
        self.show_step();
    }
}

//! Replay: a fresh machine is told what happened then, and is watched.

use super::{Damage, Deed, DeedOf, Entries, Entry, Recording, Unreadable};
use crate::link::Storage;
use crate::machine::{Input, Machine, Role, Step};
use crate::time::Instant;
use crate::wire::Message;

/// Watches a [`replay`]: for each input [`handed`](Self::handed), then [`did`](Self::did) for each deed
/// of its turn, then [`after`](Self::after).
pub trait Watcher<R: Role<L>, const L: usize> {
    /// This is handed in, and completes this message, if any.
    fn handed(&mut self, _now: Instant, _input: &Input<'_>, _message: Option<&Message<'_>>) {}
    /// The machine does `now`. It did `then` when it was recorded, if the recording goes so far. Once
    /// they differ, nothing more comes.
    fn did(&mut self, then: Option<&DeedOf<'_, R, L>>, now: &DeedOf<'_, R, L>);
    /// The turn is over, and leaves this behind.
    fn after(&mut self, _state: &R::State) {}
}

/// What came of a [`replay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// How many inputs were handed in.
    pub inputs: usize,
    /// How it ended.
    pub ending: Ending,
}

/// How a [`replay`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All was the same, to the end of the recording.
    Whole,
    /// All was the same, until recording stopped at its limit.
    Full,
    /// All was the same, as far as the recording goes: it ends within something that begins at this
    /// byte.
    Torn(usize),
    /// Something was different: what the watcher was told last.
    Different,
}

/// Hands the inputs of a recording to a fresh machine, and compares what that does with what was done
/// then, up to the first difference.
///
/// # Errors
/// [`Damage`]: the recording is of another machine, with other rooms, or damaged.
pub fn replay<R: Role<L>, S: Storage, const L: usize>(
    recording: &Recording<'_>,
    watcher: &mut impl Watcher<R, L>,
) -> Result<Replayed, Damage> {
    let (config, mut entries) = recording.read::<R, L>()?;
    if (recording.header.rx, recording.header.tx) != (S::RX, S::TX) {
        return Err(Damage {
            at: entries.at(),
            why: Unreadable::OtherMachine,
        });
    }
    let mut machine = Machine::<R, S, L>::new(config);
    let mut inputs: usize = 0;
    let ending = loop {
        let at = entries.at();
        match entries.next_entry() {
            Ok(None) => break Ending::Whole,
            Ok(Some(Entry::Full)) => break Ending::Full,
            Ok(Some(Entry::Did(_))) => {
                let why = Unreadable::Misplaced;
                return Err(Damage { at, why });
            }
            Ok(Some(Entry::Handed(now, input))) => {
                inputs = inputs.saturating_add(1);
                if let Some(ending) = turn(&mut machine, now, input, &mut entries, watcher)? {
                    break ending;
                }
            }
            Err(damage) => break torn(damage)?,
        }
    };
    Ok(Replayed { inputs, ending })
}

/// A recording may end anywhere; other damage is damage.
const fn torn(damage: Damage) -> Result<Ending, Damage> {
    match damage.why {
        Unreadable::CutShort => Ok(Ending::Torn(damage.at)),
        _ => Err(damage),
    }
}

/// One input, and its turn then and now. Returns how the replay ended, if it did.
fn turn<R: Role<L>, S: Storage, const L: usize>(
    machine: &mut Machine<R, S, L>,
    now: Instant,
    input: Input<'_>,
    entries: &mut Entries<'_, R, L>,
    watcher: &mut impl Watcher<R, L>,
) -> Result<Option<Ending>, Damage> {
    let mut account = Account {
        entries,
        watcher,
        ending: None,
    };
    match machine.handle(now, input) {
        Err(misuse) => {
            account.watcher.handed(now, &input, None);
            account.did(&Deed::Refused(misuse))?;
        }
        Ok(mut turn) => {
            account.watcher.handed(now, &input, turn.message().as_ref());
            if let Some(took) = Deed::took(turn.consumed(), turn.kept()) {
                account.did(&took)?;
            }
            loop {
                let step = turn.next();
                account.did(&Deed::of(&step))?;
                if !matches!(step, Step::Do(_)) {
                    break;
                }
            }
        }
    }
    if account.ending != Some(Ending::Different) {
        account.watcher.after(machine.state());
    }
    Ok(account.ending)
}

/// What a turn did then.
struct Account<'a, 'b, R, W, const L: usize> {
    entries: &'a mut Entries<'b, R, L>,
    watcher: &'a mut W,
    ending: Option<Ending>,
}

impl<'b, R: Role<L>, W: Watcher<R, L>, const L: usize> Account<'_, 'b, R, W, L> {
    /// Compares a deed of now with the next one of then.
    fn did(&mut self, now: &DeedOf<'_, R, L>) -> Result<(), Damage> {
        match self.ending {
            Some(Ending::Different) => {}
            // The machine goes on to the end of the turn that the recording ends in.
            Some(_) => self.watcher.did(None, now),
            None => {
                let then = self.then()?;
                self.watcher.did(then.as_ref(), now);
                if then.as_ref().is_some_and(|then| then != now) {
                    self.ending = Some(Ending::Different);
                }
            }
        }
        Ok(())
    }

    /// What was done then; `None` once the recording is at its torn end.
    fn then(&mut self) -> Result<Option<DeedOf<'b, R, L>>, Damage> {
        let at = self.entries.at();
        match self.entries.next_entry() {
            Ok(Some(Entry::Did(then))) => return Ok(Some(then)),
            Ok(Some(Entry::Handed(..) | Entry::Full)) => {
                let why = Unreadable::Misplaced;
                return Err(Damage { at, why });
            }
            Ok(None) => self.ending = Some(Ending::Torn(at)),
            Err(damage) => self.ending = Some(torn(damage)?),
        }
        Ok(None)
    }
}

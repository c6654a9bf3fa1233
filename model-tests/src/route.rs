//! One run among the many: the shortest way to where something holds, leg by leg.

use std::collections::HashSet;

use crate::world::{Event, Move, Setup, World};

/// A run, as far as it has come.
#[derive(Debug)]
pub struct Route {
    world: World,
    events: Vec<Event>,
}

impl Route {
    /// A run from the beginning of a world.
    pub fn new(setup: Setup) -> Self {
        let mut world = World::new(setup);
        world.tell();
        Self {
            world,
            events: Vec::new(),
        }
    }

    /// Goes on, the shortest way and without a further fault, until something holds.
    #[must_use]
    pub fn until(mut self, wanted: impl Fn(&World) -> bool) -> Self {
        for step in self.way(wanted) {
            self.make(step);
        }
        self
    }

    /// Makes one move, which is named by its words in a story.
    #[must_use]
    pub fn then(mut self, words: &str) -> Self {
        let named = |step: &Move| self.world.describe(*step).to_string() == words;
        let step = self.world.moves().into_iter().find(named);
        self.make(step.unwrap_or_else(|| panic!("it cannot happen now: {words}")));
        self
    }

    /// Leaves out what happened up to here.
    #[must_use]
    pub fn forget(mut self) -> Self {
        self.events.clear();
        self
    }

    /// All that happened, and was not left out.
    pub fn events(self) -> Vec<Event> {
        self.events
    }

    fn make(&mut self, step: Move) {
        self.world.apply(step);
        self.events.append(&mut self.world.story());
    }

    fn way(&self, wanted: impl Fn(&World) -> bool) -> Vec<Move> {
        let mut first = self.world.clone();
        first.hush();
        let mut seen = HashSet::from([first.fingerprint()]);
        // A state, the move that led to it, and the place of the one before.
        let mut states = vec![(first, Move::Tick, 0)];
        let mut at = 0;
        while at < states.len() {
            if wanted(&states[at].0) {
                let mut way = Vec::new();
                while at > 0 {
                    way.push(states[at].1);
                    at = states[at].2;
                }
                way.reverse();
                return way;
            }
            for step in states[at].0.moves() {
                let before = &states[at].0;
                let mut after = before.clone();
                after.apply(step);
                let fault = after.faults() > before.faults();
                if !fault && seen.insert(after.fingerprint()) {
                    states.push((after, step, at));
                }
            }
            at += 1;
        }
        panic!("no way leads there");
    }
}

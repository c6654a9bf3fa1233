//! Visits every state that a world can reach, breadth first.
//!
//! A search of our own and not stateright's: its states live as long as the search, and ours are
//! whole machines with their link memory, about 10 KB each. Here only a fingerprint of 128 bits, the
//! parent and the move are kept of a state once its successors are known; the states themselves live
//! in the frontier. A trace is told by running its moves again.
//!
//! Two things are asked of liveness. An *end*, a state in which nothing is left to happen but faults,
//! must be good. And from every state one in which all is well (the daemon serves, and supervisors rest and
//! have their listeners), or an end, must be in reach without a further fault: a run may be as slow as its
//! hooks are, but it cannot be caught in a circle.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

use crate::world::{Move, Setup, World};

/// The fingerprints are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("fingerprints are whole numbers");
    }
    fn write_u128(&mut self, value: u128) {
        let folded = (value ^ value >> 64) & u128::from(u64::MAX);
        self.0 = u64::try_from(folded).unwrap_or_default();
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// States that differ.
    pub states: usize,
    /// Moves tried.
    pub moves: usize,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
    /// States in which nothing is left to happen.
    pub ends: usize,
    /// Ends in which nobody serves, and that no rule of ours could have prevented.
    pub excused: usize,
    /// The most actions that one turn of a machine had.
    pub actions: usize,
    /// The first violation, with the shortest way to it; `None`: all is well.
    pub violation: Option<Violation>,
    /// The limit of states was reached, so that nothing is said of the rest.
    pub cut: bool,
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub what: String,
    /// What happened, move by move.
    pub story: Vec<String>,
}

struct Search {
    setup: Setup,
    seen: HashMap<u128, u32, BuildHasherDefault<AsIs>>,
    parents: Vec<(u32, Move)>,
    /// From, to; without what is optional.
    edges: Vec<(u32, u32)>,
    ends: Vec<u32>,
    excused: usize,
    actions: usize,
    /// States in which all is well.
    good: Vec<u32>,
    moves: usize,
    depth: usize,
}

/// Explores the world of `setup`, up to `limit` states.
pub fn explore(setup: Setup, limit: usize) -> Found {
    let mut search = Search {
        setup,
        seen: HashMap::default(),
        parents: vec![(0, Move::Tick)],
        edges: Vec::new(),
        ends: Vec::new(),
        excused: 0,
        actions: 0,
        good: Vec::new(),
        moves: 0,
        depth: 0,
    };
    let first = World::new(setup);
    search.seen.insert(first.fingerprint(), 0);
    let mut frontier = vec![(0, first)];
    while !frontier.is_empty() {
        if search.parents.len() > limit {
            return search.found(None, true);
        }
        let mut next = Vec::new();
        for (id, world) in frontier.drain(..) {
            if let Err((what, at)) = search.expand(id, &world, &mut next) {
                return search.found(Some((what, at)), false);
            }
        }
        search.depth += usize::from(!next.is_empty());
        frontier = next;
    }
    let circle = search.caught().map(|id| {
        let what = "all cannot come to be well again without a further fault";
        (what.to_owned(), id)
    });
    search.found(circle, false)
}

type Broken = (String, u32);

impl Search {
    fn expand(
        &mut self,
        id: u32,
        world: &World,
        next: &mut Vec<(u32, World)>,
    ) -> Result<(), Broken> {
        let moves = world.moves();
        if world.is_settled() {
            self.good.push(id);
        }
        if moves.iter().all(|step| world.is_optional(*step)) {
            self.ends.push(id);
            self.excused += usize::from(world.is_excused());
            if let Some(what) = world.failed() {
                return Err((what, id));
            }
        }
        for step in moves {
            self.moves += 1;
            let mut after = world.clone();
            after.apply(step);
            let fresh = u32::try_from(self.parents.len()).expect("fewer than 2^32 states");
            let to = match self.seen.entry(after.fingerprint()) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(place) => *place.insert(fresh),
            };
            self.actions = self.actions.max(after.most_actions());
            if !world.is_optional(step) {
                self.edges.push((id, to));
            }
            if to == fresh {
                self.parents.push((id, step));
                if let Some(what) = after.broken() {
                    return Err((what, to));
                }
                next.push((to, after));
            }
        }
        Ok(())
    }

    /// A state from which all cannot come to be well again, if there is one.
    fn caught(&mut self) -> Option<u32> {
        let states = self.parents.len();
        self.edges.sort_unstable_by_key(|(_, to)| *to);
        let mut good = vec![false; states];
        let mut work = [&self.ends[..], &self.good[..]].concat();
        for end in &work {
            good[*end as usize] = true;
        }
        while let Some(at) = work.pop() {
            let first = self.edges.partition_point(|(_, to)| *to < at);
            for (from, _) in self.edges[first..].iter().take_while(|(_, to)| *to == at) {
                if !std::mem::replace(&mut good[*from as usize], true) {
                    work.push(*from);
                }
            }
        }
        let caught = good.iter().position(|good| !good)?;
        u32::try_from(caught).ok()
    }

    fn found(&self, violation: Option<Broken>, cut: bool) -> Found {
        Found {
            states: self.parents.len(),
            moves: self.moves,
            depth: self.depth,
            ends: self.ends.len(),
            excused: self.excused,
            actions: self.actions,
            violation: violation.map(|(what, at)| Violation {
                what,
                story: self.story(at),
            }),
            cut,
        }
    }

    fn story(&self, mut at: u32) -> Vec<String> {
        let mut way = Vec::new();
        while at != 0 {
            let (parent, step) = self.parents[at as usize];
            way.push(step);
            at = parent;
        }
        let mut world = World::new(self.setup);
        world.tell();
        let mut story = Vec::new();
        for step in way.into_iter().rev() {
            world.apply(step);
            story.extend(world.story().iter().map(ToString::to_string));
        }
        story
    }
}

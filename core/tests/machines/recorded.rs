//! The recording of a machine under test, and what has to hold for it.

use handoff_core::record::{
    Deed, DeedOf, Ending, Entry, Recording, Unreadable, Watcher, encode_deed, encode_full,
    encode_handed, encode_header, replay, taken,
};
use handoff_core::{Input, Instant, Misuse, Role, Step, Storage};

pub(crate) struct Recorded<R, const L: usize> {
    bytes: Vec<u8>,
    inputs: usize,
    role: std::marker::PhantomData<R>,
}

impl<R: Role<L>, const L: usize> Recorded<R, L> {
    pub(crate) fn new<S: Storage>(config: &R::Config) -> Self {
        let mut recorded = Self {
            bytes: Vec::new(),
            inputs: 0,
            role: std::marker::PhantomData,
        };
        recorded.put(|room| encode_header::<R, S, L>(config, b"a test", room).ok());
        recorded
    }

    fn put(&mut self, encode: impl Fn(&mut [u8]) -> Option<usize>) {
        let mut room = [0; 8192];
        let used = encode(&mut room).expect("room enough");
        self.bytes.extend(&room[..used]);
    }

    fn deed(&mut self, deed: &DeedOf<'_, R, L>) {
        self.put(|room| encode_deed(deed, room).ok());
    }

    pub(crate) fn handed(&mut self, now: Instant, input: &Input<'_>, consumed: usize, kept: bool) {
        self.inputs += 1;
        self.put(|room| encode_handed(now, &taken(input, consumed), room).ok());
        if let Some(took) = Deed::took(consumed, kept) {
            self.deed(&took);
        }
    }

    pub(crate) fn refused(&mut self, now: Instant, input: &Input<'_>, misuse: Misuse) {
        self.inputs += 1;
        self.put(|room| encode_handed(now, input, room).ok());
        self.deed(&Deed::Refused(misuse));
    }

    pub(crate) fn step(&mut self, step: &Step<'_, R, L>) {
        self.deed(&Deed::of(step));
    }

    /// A fresh machine does the same, wherever the recording is cut off, and never the same after a
    /// deed was changed.
    pub(crate) fn replays<S: Storage>(&self, cut: usize) {
        let ends = ends::<R, L>(&self.bytes);
        assert_eq!(ends.last(), Some(&self.bytes.len()));
        assert_eq!(played::<R, S, L>(&self.bytes), (self.inputs, Ending::Whole));

        let mut full = self.bytes.clone();
        let mut mark = [0; 1];
        assert_eq!(encode_full(&mut mark), Ok(1));
        full.extend(mark);
        assert_eq!(played::<R, S, L>(&full), (self.inputs, Ending::Full));

        let front = ends[0];
        let cut = front + cut % (self.bytes.len() - front);
        let (inputs, ending) = played::<R, S, L>(&self.bytes[..cut]);
        assert!(inputs <= self.inputs);
        match ending {
            Ending::Whole => assert!(ends.contains(&cut)),
            Ending::Torn(at) => {
                let last = ends.iter().rfind(|end| **end <= cut);
                assert_eq!(Some(&at), last, "what is before it is good");
            }
            other => panic!("{other:?}"),
        }
    }
}

struct Silent;

impl<R: Role<L>, const L: usize> Watcher<R, L> for Silent {
    fn did(&mut self, then: Option<&DeedOf<'_, R, L>>, now: &DeedOf<'_, R, L>) {
        assert!(
            then.is_none_or(|then| then == now),
            "then {then:?}\nnow {now:?}"
        );
    }
}

fn played<R: Role<L>, S: Storage, const L: usize>(bytes: &[u8]) -> (usize, Ending) {
    let recording = Recording::open(bytes).expect("a recording");
    let replayed = replay::<R, S, L>(&recording, &mut Silent).expect("no damage");
    (replayed.inputs, replayed.ending)
}

/// Where the front and each entry end.
fn ends<R: Role<L>, const L: usize>(bytes: &[u8]) -> Vec<usize> {
    let recording = Recording::open(bytes).expect("a recording");
    assert_eq!(recording.header.who, b"a test");
    let (_, mut entries) = recording.read::<R, L>().expect("a recording of this role");
    let mut ends = vec![entries.at()];
    while entries.next_entry().expect("an entry").is_some() {
        ends.push(entries.at());
    }
    ends
}

mod tests {
    use handoff_core::{
        Incumbent, IncumbentConfig, Inline, Machine, Successor, SuccessorConfig, Supervisor,
    };

    use super::*;
    use crate::world::supervisor_config;

    fn started<R: Role<L>, const L: usize>(config: R::Config) -> Recorded<R, L> {
        let mut recorded = Recorded::new::<Inline>(&config);
        let mut machine = Machine::<R, Inline, L>::new(config);
        let now = Instant::from_nanos(300);
        let mut turn = machine.handle(now, Input::Start).expect("the first input");
        recorded.handed(now, &Input::Start, turn.consumed(), turn.kept());
        loop {
            let step = turn.next();
            recorded.step(&step);
            if !matches!(step, Step::Do(_)) {
                break;
            }
        }
        let misuse = machine
            .handle(now, Input::Start)
            .expect_err("started twice");
        recorded.refused(now, &Input::Start, misuse);
        recorded
    }

    fn cut_anywhere<R: Role<L>, const L: usize>(config: R::Config) {
        let recorded = started::<R, L>(config);
        for cut in 0..recorded.bytes.len() {
            recorded.replays::<Inline>(cut);
        }
        let front = ends::<R, L>(&recorded.bytes)[0];
        for cut in 0..front {
            let bytes = &recorded.bytes[..cut];
            let opened = Recording::open(bytes).and_then(|opened| opened.read::<R, L>());
            let damage = opened.expect_err("no whole front");
            assert!(damage.at <= cut);
            let foreign = cut < 7;
            assert_eq!(damage.why == Unreadable::Foreign, foreign, "{damage}");
            assert_eq!(damage.why == Unreadable::CutShort, !foreign, "{damage}");
        }
    }

    #[test]
    fn a_recording_may_end_anywhere() {
        cut_anywhere::<Incumbent, 2>(IncumbentConfig::default());
        cut_anywhere::<Successor, 1>(SuccessorConfig::default());
        cut_anywhere::<Supervisor, 2>(supervisor_config());
    }

    #[test]
    fn what_is_done_differently_is_shown_then_and_now() {
        struct First(Option<String>);
        impl Watcher<Successor, 1> for First {
            fn did(
                &mut self,
                then: Option<&DeedOf<'_, Successor, 1>>,
                now: &DeedOf<'_, Successor, 1>,
            ) {
                assert!(self.0.is_none(), "nothing comes after the difference");
                if then != Some(now) {
                    self.0 = Some(format!("{then:?} {now:?}"));
                }
            }
        }
        let mut recorded = started::<Successor, 1>(SuccessorConfig::default());
        // As if the successor had once said nothing at its start.
        let ends = ends::<Successor, 1>(&recorded.bytes);
        recorded.bytes.drain(ends[1]..ends[2]);
        let recording = Recording::open(&recorded.bytes).expect("a recording");
        let mut first = First(None);
        let replayed = replay::<Successor, Inline, 1>(&recording, &mut first).expect("no damage");
        assert_eq!((replayed.inputs, replayed.ending), (1, Ending::Different));
        assert!(first.0.is_some());
    }

    #[test]
    fn it_is_only_for_the_machine_that_was_recorded() {
        let mut recorded = started::<Successor, 1>(SuccessorConfig::default());
        let recording = Recording::open(&recorded.bytes).expect("a recording");
        let other = |damage: handoff_core::record::Damage| damage.why == Unreadable::OtherMachine;
        assert!(recording.read::<Supervisor, 2>().is_err_and(other));
        let rooms = replay::<Successor, Inline<512>, 1>(&recording, &mut Silent);
        assert!(rooms.is_err_and(other));
        recorded.bytes[7] += 1;
        let damage = Recording::open(&recorded.bytes).expect_err("another format");
        assert_eq!((damage.at, damage.why), (7, Unreadable::OtherFormat(2)));
    }

    #[test]
    fn what_stands_in_the_wrong_place_is_damage() {
        let recorded = started::<Successor, 1>(SuccessorConfig::default());
        let ends = ends::<Successor, 1>(&recorded.bytes);
        let damage = |bytes: &[u8]| {
            let recording = Recording::open(bytes).expect("a recording");
            replay::<Successor, Inline, 1>(&recording, &mut Silent).expect_err("damage")
        };
        let without_input = [&recorded.bytes[..ends[0]], &recorded.bytes[ends[1]..]].concat();
        let found = damage(&without_input);
        assert_eq!((found.at, found.why), (ends[0], Unreadable::Misplaced));
        let unfinished = [&recorded.bytes[..ends[1]], &recorded.bytes[ends[0]..]].concat();
        let found = damage(&unfinished);
        assert_eq!((found.at, found.why), (ends[1], Unreadable::Misplaced));
        let nonsense = [&recorded.bytes[..], &[9]].concat();
        assert_eq!(damage(&nonsense).why, Unreadable::Unknown(9));
        let recording = Recording::open(&nonsense).expect("a recording");
        let (_, mut entries) = recording.read::<Successor, 1>().expect("its role");
        assert!(matches!(
            entries.next_entry(),
            Ok(Some(Entry::Handed(_, Input::Start)))
        ));
    }
}

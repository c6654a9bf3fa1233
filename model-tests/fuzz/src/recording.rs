//! Recordings: read, written again, and replayed.

use handoff_core::record::{
    self, DeedOf, Ending, Entry, Recording, Watcher, encode_deed, encode_full, encode_handed,
    encode_header,
};
use handoff_core::{Incumbent, Inline, Party, Role, Successor, Supervisor};

/// Room for one entry of a recording of this many bytes, in its shortest spelling.
const fn room(bytes: &[u8]) -> usize {
    bytes.len() + 1024
}

/// Reads a recording: what decodes is written again and decodes the same. A replay ends where the
/// recording does, or tells of a difference, or where it is damaged.
pub fn replay(bytes: &[u8]) {
    let Ok(recording) = Recording::open(bytes) else {
        return;
    };
    match recording.header.party {
        Party::Incumbent => read::<Incumbent, 8>(&recording, bytes),
        Party::Successor => read::<Successor, 1>(&recording, bytes),
        Party::Supervisor => read::<Supervisor, 2>(&recording, bytes),
    }
}

fn read<R: Role<L>, const L: usize>(recording: &Recording<'_>, bytes: &[u8]) {
    let Ok((config, mut entries)) = recording.read::<R, L>() else {
        return;
    };
    let mut room = vec![0; room(bytes)];
    let who = recording.header.who;
    let mut again = Vec::new();
    let mut wrote = |len: usize, room: &[u8]| again.extend(&room[..len]);
    let len = encode_header::<R, Inline, L>(&config, who, &mut room).expect("room enough");
    wrote(len, &room);
    let mut at = entries.at();
    while let Ok(Some(entry)) = entries.next_entry() {
        assert!(entries.at() > at && entries.at() <= bytes.len());
        at = entries.at();
        let len = match &entry {
            Entry::Handed(now, input) => encode_handed(*now, input, &mut room),
            Entry::Did(deed) => encode_deed(deed, &mut room),
            Entry::Full => encode_full(&mut room),
        };
        wrote(len.expect("room enough"), &room);
        let _ = format!("{entry:?}");
    }
    assert_eq!(entries.at(), at, "what cannot be read is not passed over");

    let mut then = recording.read::<R, L>().expect("as before").1;
    let copy = Recording::open(&again).expect("ours");
    assert_eq!(copy.header.who, who);
    let mut now = copy.read::<R, L>().expect("ours").1;
    while let Some(entry) = now.next_entry().expect("ours") {
        let before = then.next_entry().expect("as before");
        assert_eq!(format!("{before:?}"), format!("{:?}", Some(entry)));
    }
    assert_eq!(then.at(), at);

    let mut last = Last::default();
    // With the rooms that it names only if they are those of `Inline`.
    if let Ok(replayed) = record::replay::<R, Inline, L>(recording, &mut last) {
        assert_eq!(replayed.ending == Ending::Different, last.differs);
        if let Ending::Torn(at) = replayed.ending {
            assert!(at <= bytes.len());
        }
    }
}

#[derive(Default)]
struct Last {
    differs: bool,
}

impl<R: Role<L>, const L: usize> Watcher<R, L> for Last {
    fn did(&mut self, then: Option<&DeedOf<'_, R, L>>, now: &DeedOf<'_, R, L>) {
        assert!(!self.differs, "a replay ends at the first difference");
        self.differs = then.is_some_and(|then| then != now);
    }
}

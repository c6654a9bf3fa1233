//! The machines of today do what they did when the scenarios of the conformance kit were recorded.
//!
//! After a change of a machine or of the recordings' format:
//! `HANDOFF_BLESS=1 cargo test -p handoff-model-tests --test conformance`

use std::fs;

use handoff_core::record::Ending;
use handoff_model_tests::conformance::{SCENARIOS, recordings};

#[test]
fn every_scenario_is_replayed() {
    let mut names = Vec::new();
    for file in fs::read_dir(recordings::directory()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let replayed = recordings::replayed(&fs::read(&path).unwrap());
        let (inputs, ending) = replayed.unwrap_or_else(|damage| panic!("{name}: {damage}"));
        // A subject that was killed may have been in the middle of a write; a long one is not recorded to its end.
        let same = matches!(ending, Ending::Whole | Ending::Torn(_) | Ending::Full);
        assert!(same, "{name}, after input {inputs}: {ending:?}");
        names.push(name);
    }
    for scenario in SCENARIOS.iter().copied().flatten() {
        let recorded = names
            .iter()
            .any(|name| name.starts_with(&format!("{}.", scenario.name)));
        assert!(recorded, "{} was not recorded", scenario.name);
    }
    let scenario = |name: &String| {
        let all = SCENARIOS.iter().copied().flatten();
        all.into_iter()
            .any(|scenario| name.starts_with(&format!("{}.", scenario.name)))
    };
    assert!(names.iter().all(scenario), "{names:?}");
}

/// Whatever somebody makes of a recording, it is replayed or refused; nothing panics and nothing hangs.
#[test]
fn doctored_ones_are_replayed_or_refused() {
    let mut damaged = 0;
    for file in fs::read_dir(recordings::directory()).unwrap() {
        let good = fs::read(file.unwrap().path()).unwrap();
        // A few places of each: a machine with all its room is made for every replay.
        for at in (0..good.len()).step_by(1 + good.len() / 2) {
            let at = (at + damaged * 7) % good.len();
            let mut bytes = good.clone();
            bytes[at] ^= [0x01, 0x80, 0xff][at % 3];
            damaged += usize::from(recordings::replayed(&bytes).is_err());
            let twice = [&good[..at], &good[at / 2..]].concat();
            damaged += usize::from(recordings::replayed(&twice).is_err());
        }
    }
    assert!(damaged > 0);
}

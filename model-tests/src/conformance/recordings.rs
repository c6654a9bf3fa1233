//! What the machines of each scenario were told and did, as handoff-std recorded it: kept in
//! `conformance/recordings`, so that the machines of a later day can be held against it. `HANDOFF_BLESS=1` writes
//! them again, with what is to be seen.

use std::fs;
use std::path::{Path, PathBuf};

use handoff_core::record::{Damage, DeedOf, Ending, Recording, Watcher, encode_header, replay};
use handoff_core::{Incumbent, Role, Storage, Successor, Supervisor};
use handoff_std::{SESSIONS, ServerRoom};

use super::Scenario;

/// Who has recorded; nothing of the machine that it was recorded on.
const WHO: &[u8] = b"the conformance kit";

/// Where they are kept.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/recordings")
}

/// Keeps what was recorded in this directory, in the place of what was kept of the scenario.
pub(super) fn keep(scenario: &Scenario, recorded: &Path) -> Result<(), String> {
    let words = |error: std::io::Error| format!("the recordings: {error}");
    let Ok(files) = fs::read_dir(recorded) else {
        return Err("nothing was recorded".into());
    };
    fs::create_dir_all(directory()).map_err(words)?;
    for file in files {
        let bytes = fs::read(file.map_err(words)?.path()).map_err(words)?;
        let recording = Recording::open(&bytes).map_err(|e| e.to_string())?;
        let party = recording.header.party;
        let bytes = each(&recording, Anonymous(&bytes)).map_err(|e| e.to_string())?;
        let path = directory().join(format!("{}.{party}.handoff", scenario.name));
        fs::write(path, bytes).map_err(words)?;
    }
    Ok(())
}

/// Hands what was recorded to a machine of today; says how that ended, after how many inputs.
///
/// # Errors
/// It is damaged, or in another format: bless it anew.
pub fn replayed(bytes: &[u8]) -> Result<(usize, Ending), Damage> {
    each(&Recording::open(bytes)?, Replay)
}

/// Something to be done with a recording of any role.
trait Deal {
    type Gives;
    fn deal<R: Role<L>, S: Storage, const L: usize>(
        self,
        recording: &Recording<'_>,
    ) -> Result<Self::Gives, Damage>;
}

fn each<D: Deal>(recording: &Recording<'_>, deal: D) -> Result<D::Gives, Damage> {
    use handoff_core::Party;
    match recording.header.party {
        Party::Incumbent => deal.deal::<Incumbent, ServerRoom, SESSIONS>(recording),
        Party::Successor => deal.deal::<Successor, ServerRoom, 1>(recording),
        Party::Supervisor => deal.deal::<Supervisor, ServerRoom, 2>(recording),
    }
}

/// The same, with [`WHO`] as the one who recorded.
struct Anonymous<'b>(&'b [u8]);

impl Deal for Anonymous<'_> {
    type Gives = Vec<u8>;

    fn deal<R: Role<L>, S: Storage, const L: usize>(
        self,
        recording: &Recording<'_>,
    ) -> Result<Vec<u8>, Damage> {
        let (config, entries) = recording.read::<R, L>()?;
        let mut bytes = vec![0; 4096];
        // The front is some hundred bytes long.
        let front = encode_header::<R, S, L>(&config, WHO, &mut bytes).unwrap_or_default();
        bytes.truncate(front);
        bytes.extend(self.0.get(entries.at()..).unwrap_or_default());
        Ok(bytes)
    }
}

struct Replay;

impl<R: Role<L>, const L: usize> Watcher<R, L> for Replay {
    fn did(&mut self, _: Option<&DeedOf<'_, R, L>>, _: &DeedOf<'_, R, L>) {}
}

impl Deal for Replay {
    type Gives = (usize, Ending);

    fn deal<R: Role<L>, S: Storage, const L: usize>(
        mut self,
        recording: &Recording<'_>,
    ) -> Result<(usize, Ending), Damage> {
        let replayed = replay::<R, S, L>(recording, &mut self)?;
        Ok((replayed.inputs, replayed.ending))
    }
}

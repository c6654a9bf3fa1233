//! Recordings of real processes, and `handoff replay`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use handoff_std::core::Supervisor;
use handoff_std::core::record::{Entries, Recording};
use handoff_std::host::Signal;
use serde_json::Value;

use super::fleet::Fleet;
use super::talk::info;
use super::world::{ANY_PORT, World, assert_committed, run, wait_for};

/// The recordings in this directory whose names say so, oldest first.
fn recordings(dir: &Path, party: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    let party = format!("-{party}-");
    found.retain(|path| path.to_str().unwrap().contains(&party));
    found.sort();
    found
}

fn replay(file: &Path) -> (Output, Vec<Value>) {
    let file = file.to_str().unwrap();
    let words = run(&["replay", file]);
    let output = run(&["replay", "--json", file]);
    assert_eq!(words.status, output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (words, lines.collect())
}

/// What a recording says that is good, and acted out the same.
fn same(file: &Path) -> (String, Vec<Value>) {
    let (words, lines) = replay(file);
    let text = String::from_utf8(words.stdout).unwrap();
    assert_eq!(words.status.code(), Some(0), "{text}");
    assert_eq!(lines.last().unwrap()["ending"], "same");
    let inputs = lines.last().unwrap()["inputs"].as_u64().unwrap();
    assert_eq!(u64::try_from(lines.len()).unwrap(), inputs + 2);
    (text, lines)
}

fn entries(bytes: &[u8]) -> Entries<'_, Supervisor, 2> {
    Recording::open(bytes).unwrap().read().unwrap().1
}

#[test]
fn a_handoff_is_recorded_by_all_who_take_part_and_replayed() {
    let world = World::new();
    let dir = world.path("rec");
    let more = format!("--recordings '{}'", dir.display());
    let options = ["--recordings", dir.to_str().unwrap()];
    let options = [&ANY_PORT[..], &options].concat();
    let first = world.binary("a", &more);
    let mut supervisor = world.supervise(&first, &options, &[]);
    let port = supervisor.port();
    assert_eq!(info(port).version, "a");
    assert_committed(&world.handoff_to(&world.binary("b", &format!("{more} --runtime tokio"))));
    assert_eq!(info(port).version, "b");
    assert_committed(&world.handoff_to(&first));
    supervisor.signal(Signal::TERM);
    assert!(supervisor.wait().success());

    // A recovery and two handoffs; three daemons, two of which were successors first.
    let supervisors = recordings(&dir, "supervisor");
    let (incumbents, successors) = (recordings(&dir, "incumbent"), recordings(&dir, "successor"));
    assert_eq!(
        (supervisors.len(), incumbents.len(), successors.len()),
        (3, 3, 2)
    );
    for file in incumbents.iter().take(2) {
        let (text, lines) = same(file);
        assert_eq!(lines[0]["role"], "incumbent");
        assert!(text.contains("says PrepareHandoff"), "{text}");
        assert!(text.contains("ends: handed over"), "{text}");
    }
    assert!(!same(&incumbents[2]).0.contains("ends:"));
    for file in &successors {
        let (text, _) = same(file);
        assert!(text.contains("ends: serving as generation"), "{text}");
    }
    let (text, lines) = same(&supervisors[1]);
    assert!(text.contains("ends: committed: pid "), "{text}");
    assert_eq!(lines[lines.len() - 2]["phase"], "Done");

    doctored(&world, &supervisors[1]);
}

/// What is shown of recordings that have come to harm.
fn doctored(world: &World, good: &Path) {
    let bytes = fs::read(good).unwrap();
    let file = world.path("doctored");

    // Writers that are killed leave the front of what they would have written.
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let (words, lines) = replay(&file);
    assert_eq!(words.status.code(), Some(0));
    assert!(
        String::from_utf8(words.stdout)
            .unwrap()
            .contains("is cut short")
    );
    let end = lines.last().unwrap();
    assert_eq!(end["ending"], "torn");
    assert!(end["torn_at"].as_u64().unwrap() < bytes.len().try_into().unwrap());

    // As if it had not waited at first.
    let mut read = entries(&bytes);
    read.next_entry().unwrap();
    let from = read.at();
    read.next_entry().unwrap();
    fs::write(&file, [&bytes[..from], &bytes[read.at()..]].concat()).unwrap();
    let (words, lines) = replay(&file);
    assert_eq!(words.status.code(), Some(1));
    let text = String::from_utf8(words.stdout).unwrap();
    assert!(text.contains("then it starts operation 1"), "{text}");
    assert!(text.contains("now it  enters Connecting"), "{text}");
    assert_eq!(lines.last().unwrap()["ending"], "different");
    assert_eq!(lines.last().unwrap()["now"], "enters Connecting");

    let garbage = [&bytes[..], &[77]].concat();
    fs::write(&file, &garbage).unwrap();
    unreadable(&file, &format!("at byte {}: ", bytes.len()));
    fs::write(&file, "text").unwrap();
    unreadable(&file, "no recording");
    unreadable(&world.path("nobody"), "cannot read");
    assert_eq!(run(&["replay"]).status.code(), Some(2));
}

fn unreadable(file: &Path, why: &str) {
    let (words, _) = replay(file);
    assert_eq!(words.status.code(), Some(3));
    let told = String::from_utf8(words.stderr).unwrap();
    assert!(told.contains(why), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn a_fleet_records_each_service_in_a_directory_of_its_own() {
    let fleet = Fleet::new("", "");
    let config = fleet.world.path("handoff.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replacen(
        "socket = \"s\"\n",
        "socket = \"s\"\nrecordings = \"rec\"\n",
        1,
    );
    fs::write(&config, text).unwrap();
    let mut supervisor = fleet.start(&[]);
    for name in ["a", "b"] {
        fleet.status(name);
        let dir = fleet.world.path("rec").join(name);
        let found = wait_for("a recording", || recordings(&dir, "supervisor").pop());
        assert_eq!(recordings(&dir, "supervisor").len(), 1);
        let (text, _) = same(&found);
        assert!(text.contains("ends: started as pid"), "{text}");
    }
    supervisor.signal(Signal::TERM);
    assert!(supervisor.wait().success());
}

//! A run as a Mermaid sequence diagram.

use std::fmt::Write as _;

use crate::world::Event;

/// The run as a diagram. Only what the protocol is about is drawn: messages, hooks, lock, path, deaths.
pub fn sequence(events: &[Event]) -> String {
    let mut text = String::from("sequenceDiagram\n");
    for (role, name) in [("S", "supervisor"), ("O", "incumbent"), ("N", "successor")] {
        writeln!(text, "    participant {role} as {role}, {name}").expect("a String takes it");
    }
    for line in events.iter().filter_map(line) {
        writeln!(text, "    {line}").expect("a String takes it");
    }
    text
}

/// The role of a process: its name without the number.
fn role(who: &str) -> &str {
    who.trim_end_matches(|letter: char| letter.is_ascii_digit())
}

fn line(event: &Event) -> Option<String> {
    let note = |who: &str, words: &str| Some(format!("Note over {}: {words}", role(who)));
    match event {
        Event::Sent { from, to, kind, .. } => {
            Some(format!("{}->>{}: {kind}", role(from), role(to)))
        }
        Event::Killed(who) => note(who, "KILLED"),
        Event::Started(who, call) => match call.as_str() {
            "Drain" | "Seal" | "Resume" | "Open" => {
                note(who, &format!("{} …", call.to_lowercase()))
            }
            "WarmUp" => note(who, "warm-up …"),
            "Confirm" => note(who, "committed …"),
            "Serve" => note(who, "serves"),
            "WatchProbation" => note(who, "watches N …"),
            _ => None,
        },
        Event::Came(who, call, result) => came(who, call, result),
        Event::Ended(who, words) => {
            let words = words.split(" (").next().unwrap_or_default();
            note(who, &format!("ends: {}", words.replace("pid 1000002", "N")))
        }
        Event::Step(words) if words.ends_with("s pass by") => {
            Some(format!("Note over S,N: {words}"))
        }
        Event::Step(words) => {
            let who = words.strip_suffix(" sees the end of a connection")?;
            note(who, "session lost")
        }
        Event::Seen(..) => None,
    }
}

fn came(who: &str, call: &str, result: &str) -> Option<String> {
    let failed = result == "Failed";
    let words = match (call, result) {
        ("Connect", "Failed") => "nobody answers at P",
        ("Connect", _) => {
            let there = if result.contains("1000002") { "N" } else { "O" };
            return Some(format!("{}->>{there}: connects to P", role(who)));
        }
        ("Spawn", _) => return Some(format!("{}->>N: spawns", role(who))),
        ("TryLock", "Held") => "L is held",
        ("TryLock", _) => "takes L",
        ("Release", _) => "lets go of L",
        ("Inspect", "Ours") => "P is its own",
        ("Inspect", "Theirs") => "P is another's",
        ("Stage", _) => "binds a socket, not yet at P",
        ("Publish", _) => "moves its socket to P",
        ("Bind", _) => "binds P",
        ("WarmUp", _) => "… warm-up done",
        ("Confirm", _) => "… committed done",
        ("WatchProbation", "Done") => "… N has passed",
        ("WatchProbation", _) => "… N has FAILED",
        ("AdoptListeners", _) => "has the listeners",
        ("ListListeners" | "ClearJournal", _) => return None,
        (call, _) if call.starts_with("WriteJournal") => return None,
        (call, _) if call.starts_with("Kill") => return Some(format!("{}-xN: kills", role(who))),
        (call, _) if failed => {
            return Some(format!(
                "Note over {}: … {} FAILED",
                role(who),
                call.to_lowercase()
            ));
        }
        (call, _) => {
            return Some(format!(
                "Note over {}: … {} done",
                role(who),
                call.to_lowercase()
            ));
        }
    };
    Some(format!("Note over {}: {words}", role(who)))
}

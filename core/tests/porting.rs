//! `PORTING.md`: its table of operations is written from the code, and it names whatever else a port meets.
//!
//! After a change of an operation: `HANDOFF_BLESS=1 cargo test -p handoff-core --test porting`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use handoff_core::{MAX_ACTIONS_PER_TURN, MAX_LINKS, MIN_ROOM};

const FROM: &str =
    "<!-- generated from here: HANDOFF_BLESS=1 cargo test -p handoff-core --test porting -->\n";
const TO: &str = "<!-- to here -->";

/// A role, where its operations are declared, and where each may run. What is not named may run *here*.
struct Role {
    name: &'static str,
    file: &'static str,
    declared: &'static str,
    elsewhere: &'static [&'static str],
}

const ROLES: [Role; 3] = [
    Role {
        name: "Incumbent",
        file: "src/incumbent/mod.rs",
        declared: "pub enum IncumbentOp {",
        elsewhere: &["Drain", "Seal", "Resume", "Confirm", "Snapshot"],
    },
    Role {
        name: "Successor",
        file: "src/successor/mod.rs",
        declared: "pub enum SuccessorOp {",
        elsewhere: &["WarmUp", "Open"],
    },
    Role {
        name: "Supervisor",
        file: "src/supervisor/call.rs",
        declared: "pub enum SupervisorOp {",
        elsewhere: &["WatchProbation"],
    },
];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(path).unwrap()
}

/// The variants of an enum with their comments.
fn variants(source: &str, declared: &str) -> Vec<(String, String)> {
    let body = source.split(declared).nth(1).unwrap();
    let body = body.split("\n}").next().unwrap();
    let (mut found, mut comment) = (Vec::new(), String::new());
    for line in body.lines() {
        let Some(line) = line.strip_prefix("    ") else {
            continue;
        };
        if let Some(words) = line.strip_prefix("///") {
            comment.push_str(words);
        } else if line.starts_with(char::is_uppercase) {
            let name = line.split(|c: char| !c.is_alphanumeric()).next();
            found.push((name.unwrap().to_owned(), std::mem::take(&mut comment)));
        }
    }
    found
}

/// What `done` takes, for each operation.
fn reports() -> BTreeMap<String, String> {
    let source = read("src/op.rs");
    let body = source.split("operations! { 'b:").nth(1).unwrap();
    let lines = body.lines().map(str::trim);
    lines
        .filter(|line| line.contains("=>"))
        .map(|line| {
            let (name, rest) = line.split_once('(').unwrap();
            let done = rest.split(" =>").next().unwrap();
            let done = done.strip_suffix(')').unwrap().replace("<'b>", "");
            (name.to_owned(), done)
        })
        .collect()
}

fn table() -> String {
    let reports = reports();
    let mut out = String::new();
    for role in ROLES {
        writeln!(out, "\n### {}\n", role.name).unwrap();
        writeln!(out, "| operation | what to do | `done` takes | where |").unwrap();
        writeln!(out, "|---|---|---|---|").unwrap();
        let operations = variants(&read(role.file), role.declared);
        for name in role.elsewhere {
            assert!(
                operations.iter().any(|(known, _)| known == name),
                "{}: no operation is called {name}",
                role.name
            );
        }
        for (name, words) in operations {
            let place = if role.elsewhere.contains(&&*name) {
                "elsewhere"
            } else {
                "here"
            };
            // Links of rustdoc lead nowhere in a file.
            let words = words
                .replace("](crate::Turn::message)", "]")
                .trim()
                .to_owned();
            let words = words.replace("[`", "`").replace("`]", "`");
            let done = &reports[&name];
            writeln!(out, "| `{name}` | {words} | `{done}` | {place} |").unwrap();
        }
    }
    out.push('\n');
    out
}

#[test]
fn the_table_of_operations_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("PORTING.md");
    let text = read("PORTING.md");
    let (before, rest) = text.split_once(FROM).expect("the first mark");
    let (old, after) = rest.split_once(TO).expect("the second mark");
    let new = table();
    if std::env::var_os("HANDOFF_BLESS").is_some() {
        std::fs::write(path, format!("{before}{FROM}{new}{TO}{after}")).unwrap();
    } else {
        assert!(
            old == new,
            "PORTING.md is stale; HANDOFF_BLESS=1 writes its table again. It is to be:\n{new}"
        );
    }
}

#[test]
fn every_action_and_input_has_a_row() {
    let text = read("PORTING.md");
    for (file, declared) in [
        (
            "src/machine/turn.rs",
            "pub enum Action<'t, R: Role<L>, const L: usize> {",
        ),
        ("src/machine/input.rs", "pub enum Input<'b> {"),
    ] {
        for (name, _) in variants(&read(file), declared) {
            let row = format!("\n| `{name}");
            assert!(text.contains(&row), "no row for {name} of {file}");
        }
    }
}

#[test]
fn the_bounds_that_it_names_are_there() {
    let text = read("PORTING.md");
    for name in ["MAX_ACTIONS_PER_TURN", "MAX_LINKS", "MIN_ROOM"] {
        assert!(text.contains(name), "{name}");
    }
    const { assert!(MAX_ACTIONS_PER_TURN > MAX_LINKS && MIN_ROOM > 0) };
    // An incumbent has room for eight.
    assert_eq!(MAX_LINKS, 8);
}

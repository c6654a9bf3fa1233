//! `CONFIG.md` describes every key that is read, and no other.

use std::collections::BTreeSet;

use super::super::report::Report;
use super::*;

const REFERENCE: &str = include_str!("../../../CONFIG.md");

/// Every key and table that is looked for when these files are read.
fn asked() -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    for text in [EXAMPLE, V1] {
        let mut report = Report::new(text, Path::new("/etc/handoff"), &ROOT);
        read_file(text, &mut report).unwrap();
        asked.append(&mut report.asked);
    }
    asked
}

/// Of `| a | b |` the cells.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.strip_prefix("| `")?;
    Some(
        row.trim_end_matches('|')
            .split(" | ")
            .map(str::trim)
            .collect(),
    )
}

/// The keys and tables that have a place in the reference, with the examples of the keys.
fn described() -> Vec<(String, Option<String>)> {
    let mut table = String::new();
    let mut described = Vec::new();
    for line in REFERENCE.lines() {
        if line.starts_with('#') {
            table = match line.split('`').nth(1) {
                Some(name) => name.trim_matches(['[', ']']).into(),
                None => String::new(),
            };
            if !table.is_empty() {
                described.push((table.clone(), None));
            }
        } else if let Some(cells) = cells(line) {
            let [key, _, _, _, example] = cells[..] else {
                panic!("five cells, please: {line}");
            };
            let key = key.trim_matches('`');
            let path = if table.is_empty() {
                key.into()
            } else {
                format!("{table}.{key}")
            };
            described.push((path, Some(example.trim_matches('`').to_owned())));
        }
    }
    described
}

#[test]
fn every_key_has_its_place_in_the_reference_and_the_reference_has_no_other() {
    let described: BTreeSet<_> = described().into_iter().map(|(path, _)| path).collect();
    let asked = asked();
    let missing: Vec<_> = asked.difference(&described).collect();
    let unknown: Vec<_> = described.difference(&asked).collect();
    assert!(missing.is_empty(), "not in CONFIG.md: {missing:?}");
    assert!(
        unknown.is_empty(),
        "in CONFIG.md, and not read: {unknown:?}"
    );
}

#[test]
fn every_example_of_the_reference_can_be_written_there() {
    for (path, example) in described() {
        let Some(example) = example else { continue };
        let (table, key) = path.rsplit_once('.').unwrap_or(("", &path));
        assert!(example.starts_with(key), "{path}: {example}");
        let table = table.replace("NAME", "a");
        let text = if table.is_empty() || table == "listeners" {
            continue; // shown as a whole elsewhere
        } else if table.ends_with("listeners") {
            let socket = if key == "mode" {
                "unix:/run/x"
            } else {
                "[::]:80"
            };
            let rest = format!("name = \"x\"\naddress = \"{socket}\"\n");
            let rest: String = rest
                .lines()
                .filter(|line| !line.starts_with(key))
                .collect::<Vec<_>>()
                .join("\n");
            with(&format!("[[{table}]]\n{rest}\n{example}"))
        } else if table == "service.a" {
            let base = with("").replace("/bin/a", "/usr/local/bin/web");
            let base: Vec<_> = base.lines().filter(|line| !line.starts_with(key)).collect();
            format!("{}\n{example}", base.join("\n"))
        } else {
            let probe = match key {
                "interval" | "timeout" | "failures" => "tcp = \"127.0.0.1:1\"",
                "within" => "max_starts = 3",
                _ => "",
            };
            with(&format!(
                "probation = \"1s\"\n[{table}]\n{probe}\n{example}"
            ))
        };
        read(&text).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"));
    }
}

#[test]
fn the_file_of_the_readme_is_right() {
    let readme = include_str!("../../../../../README.md");
    let file = readme.split("```toml\n").nth(1).unwrap();
    let (file, _) = file.split_once("```").unwrap();
    let config = Config::read(file, Path::new("/etc/handoff"), &ROOT).unwrap();
    assert_eq!(config.services.len(), 2);
    let notes: Vec<_> = config.notes.iter().map(ToString::to_string).collect();
    assert!(
        notes.iter().all(|note| note.contains("allowed_binaries")),
        "{notes:?}"
    );
}

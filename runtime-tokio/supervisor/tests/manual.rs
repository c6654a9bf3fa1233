//! `handoff completions` and `handoff man` from outside, and how every command ends that it does not
//! understand.

use std::fs;
use std::process::{Command, Output};

fn handoff(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_handoff"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

#[test]
fn completions_and_pages_are_written() {
    let output = handoff(&["completions", "bash"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("_handoff()"));
    assert_eq!(handoff(&["completions", "csh"]).status.code(), Some(2));

    let output = handoff(&["man"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).starts_with(".TH handoff 1 "));

    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("share/man1");
    let output = handoff(&["man", "--dir", pages.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        text(&fs::read(pages.join("handoff.1")).unwrap()),
        text(&handoff(&["man"]).stdout)
    );
    let page = fs::read_to_string(pages.join("handoff-kvd-check.1")).unwrap();
    assert!(page.contains("Exit status"), "{page}");

    // A file is where the directory was to be.
    let taken = pages.join("handoff.1/x");
    let output = handoff(&["man", "--dir", taken.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).starts_with("Error: cannot create "));
}

#[test]
fn what_is_not_understood_ends_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    assert!(handoff(&["man", "--dir", dir]).status.success());
    let mut commands = 0;
    for page in fs::read_dir(dir).unwrap() {
        let page = page.unwrap().file_name();
        let name = page.to_str().unwrap().trim_end_matches(".1");
        let mut arguments: Vec<_> = name.split('-').skip(1).collect();
        arguments.push("--no-such-option");
        let output = handoff(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        commands += 1;
    }
    assert!(commands > 10, "{commands}");
}

//! Nothing is forgotten, nothing hidden comes out, and the tools that are to read it do.
//!
//! After a change of a command: `HANDOFF_BLESS=1 cargo test -p handoff-supervisor --lib manual`

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command as Process, Output};

use clap::ValueEnum;

use super::*;

const HIDDEN: [&str; 2] = ["demo-supervisor", "probe"];

const INTRODUCTION: &str = "\
# The commands

What `handoff help COMMAND` says, of every command: its options, its exit statuses, and the keys of its
answers in JSON. The keys of the configuration file are in [CONFIG.md](CONFIG.md).

Generated from the definitions of the commands; `cargo test -p handoff-supervisor --lib manual` fails
when this file is stale, and `HANDOFF_BLESS=1 cargo test -p handoff-supervisor --lib manual` writes it
again.
";

/// So wide is the help in the reference, whatever terminal it is made on.
const WIDTH: usize = 100;

// Nor is help wider by itself, and then longer lines of a note would be broken, and lose their column.
#[test]
fn no_line_of_a_note_is_broken() {
    for command in all() {
        let Some(notes) = command.get_after_long_help().map(ToString::to_string) else {
            continue;
        };
        for line in notes.lines() {
            assert!(
                line.chars().count() <= WIDTH,
                "{}: {line}",
                called(&command)
            );
        }
    }
}

/// The name that a command is called by.
fn called(command: &Command) -> String {
    let name = command.get_bin_name();
    name.unwrap_or_else(|| command.get_name()).to_owned()
}

fn long_help(command: Command) -> String {
    let mut command = command.term_width(WIDTH);
    let help = command.render_long_help().to_string();
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    lines.join("\n")
}

#[test]
fn commands_md_says_what_the_commands_say() {
    let mut fresh = INTRODUCTION.to_owned();
    for command in all() {
        let name = called(&command);
        let help = long_help(command);
        let _ = write!(
            fresh,
            "\n## `{name}`\n\n```text\n{}\n```\n",
            help.trim_end()
        );
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("COMMANDS.md");
    if std::env::var_os("HANDOFF_BLESS").is_some() {
        fs::write(&file, &fresh).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == fresh,
        "COMMANDS.md is stale; HANDOFF_BLESS=1 cargo test -p handoff-supervisor --lib manual"
    );
    for hidden in HIDDEN {
        assert!(!fresh.contains(hidden), "{hidden}");
    }
}

#[test]
fn every_command_says_how_it_ends() {
    let whole = Cli::command().get_name().to_owned();
    for command in all().into_iter().filter(|one| one.get_name() != whole) {
        let name = called(&command);
        let help = long_help(command);
        let (_, exits) = help
            .split_once("\nExit status:\n")
            .unwrap_or_else(|| panic!("{name} has no exit statuses"));
        let statuses: Vec<u8> = exits
            .lines()
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.trim_start().split_once("  ")?.0.parse().ok())
            .collect();
        assert!(statuses.is_sorted_by(|one, next| one < next), "{name}");
        for status in [DONE, ERROR, USAGE] {
            assert!(statuses.contains(&status), "{name}: {status}");
        }
    }
}

#[test]
fn every_shell_completes_every_command() {
    for shell in Shell::value_variants() {
        let text = String::from_utf8(completions_for(*shell)).unwrap();
        for command in all() {
            assert!(text.contains(command.get_name()), "{shell}");
            for option in command.get_arguments().filter(|one| !one.is_hide_set()) {
                let Some(long) = option.get_long() else {
                    continue;
                };
                assert!(text.contains(long), "{shell}: {long}");
            }
        }
        for hidden in HIDDEN {
            assert!(!text.contains(hidden), "{shell}: {hidden}");
        }
    }
}

/// What a tool that may not be there says of a file.
fn asked(program: &str, arguments: &[&str], file: &Path) -> Option<Output> {
    match Process::new(program).args(arguments).arg(file).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("SKIPPED: there is no {program} here");
            None
        }
        output => Some(output.unwrap()),
    }
}

#[test]
fn shells_can_read_their_completions() {
    let dir = tempfile::tempdir().unwrap();
    for (shell, arguments) in [
        (Shell::Bash, &["-n"][..]),
        (Shell::Zsh, &["-n"]),
        (Shell::Fish, &["--no-execute"]),
    ] {
        let file = dir.path().join(shell.to_string());
        fs::write(&file, completions_for(shell)).unwrap();
        if let Some(output) = asked(&shell.to_string(), arguments, &file) {
            assert!(output.status.success(), "{shell}: {output:?}");
            assert!(output.stderr.is_empty(), "{shell}: {output:?}");
        }
    }
}

#[test]
fn bash_offers_commands_options_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("handoff");
    fs::write(&file, completions_for(Shell::Bash)).unwrap();
    for (words, offered) in [
        ("handoff sta", "status"),
        ("handoff kvd ch", "check"),
        ("handoff upgrade --bin", "--binary"),
        ("handoff completions f", "fish"),
        ("handoff pro", ""),
    ] {
        let last = words.split(' ').count() - 1;
        let script = format!(
            "source \"$0\"; COMP_WORDS=({words}); COMP_CWORD={last}
             _handoff handoff \"${{COMP_WORDS[{last}]}}\"; echo \"${{COMPREPLY[*]}}\""
        );
        if let Some(output) = asked("bash", &["--norc", "-c", &script], &file) {
            assert_eq!(
                str::from_utf8(&output.stdout).map(str::trim),
                Ok(offered),
                "{words}: {output:?}"
            );
        }
    }
}

#[test]
fn there_is_a_page_for_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("man1");
    let args = ManArgs {
        dir: Some(dir.clone()),
    };
    man(&args).unwrap();
    assert_eq!(fs::read_dir(&dir).unwrap().count(), all().len());
    for command in all() {
        let name = called(&command).replace(' ', "-");
        let file = dir.join(format!("{name}.1"));
        let page = fs::read_to_string(&file).unwrap();
        for hidden in HIDDEN {
            assert!(!page.contains(hidden), "{name}: {hidden}");
        }
        // Warnings are the lint of groff.
        let Some(output) = asked("groff", &["-man", "-Tutf8", "-ww", "-z"], &file) else {
            continue;
        };
        assert!(output.status.success(), "{name}: {output:?}");
        assert_eq!(str::from_utf8(&output.stderr), Ok(""), "{name}");
    }
}

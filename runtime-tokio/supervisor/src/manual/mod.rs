//! What is made of the definitions of the commands, so that it cannot say anything else than `--help`:
//! completions for shells (`handoff completions`), manual pages (`handoff man`), and the reference,
//! `COMMANDS.md`. Hidden commands are in none of them.

mod page;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use crate::Cli;
use crate::exit::{DONE, ERROR, Exits, USAGE};

/// How both commands end.
const EXITS: Exits = Exits(&[
    (DONE, "it is written"),
    (ERROR, "it cannot be written"),
    (USAGE, "the command line is wrong"),
]);

/// Write the completions of all commands for a shell to stdout.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXITS.to_string())]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the manual: the page of `handoff` to stdout, or those of all commands to a directory.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXITS.to_string())]
pub(crate) struct ManArgs {
    /// The directory, such as `/usr/local/share/man/man1`; created if it is not there.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// # Errors
/// Nobody reads it.
pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    Ok(io::stdout().write_all(&completions_for(args.shell))?)
}

fn completions_for(shell: Shell) -> Vec<u8> {
    let mut command = shown();
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    text
}

/// # Errors
/// A page cannot be written.
pub(crate) fn man(args: &ManArgs) -> anyhow::Result<()> {
    let pages = pages()?;
    let Some(dir) = &args.dir else {
        // The first one is that of the whole.
        let first = pages.into_iter().next().map(|(_, page)| page);
        return Ok(io::stdout().write_all(&first.unwrap_or_default())?);
    };
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    for (name, page) in pages {
        let path = dir.join(name);
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Each page under its file's name.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    all().into_iter().map(page::page).collect()
}

/// `handoff` and its commands, without those that are hidden, which clap cannot take away again.
fn shown() -> Command {
    let whole = Cli::command();
    let commands = whole.get_subcommands().filter(|one| !one.is_hide_set());
    Command::new("handoff")
        .version(env!("CARGO_PKG_VERSION"))
        .about(whole.get_about().cloned().unwrap_or_default())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands(commands.cloned())
}

/// `handoff`, and each command under the name that it is called by, in the order of `--help`.
fn all() -> Vec<Command> {
    fn collect(command: &Command, all: &mut Vec<Command>) {
        all.push(command.clone());
        for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
            collect(one, all);
        }
    }
    let mut whole = shown();
    // Gives each command its full name.
    whole.build();
    let mut all = Vec::new();
    collect(&whole, &mut all);
    all
}

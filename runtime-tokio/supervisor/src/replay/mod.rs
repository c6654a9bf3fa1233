//! `handoff replay`: a recording, step by step, and whether the machines of this binary still act so.
//!
//! | file | what it holds |
//! |---|---|
//! | [`account`] | watches the replay, and makes a step of every turn |
//! | [`words`] | inputs and deeds in words |
//! | [`show`] | the steps on stdout, for people and for scripts |

mod account;
mod show;
mod words;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use handoff_std::core::record::{self, Ending, Header, Recording, Replayed};
use handoff_std::core::{Incumbent, Inline, Party, Storage, Successor, Supervisor};
use handoff_std::{SESSIONS, ServerRoom};

use account::Account;
use show::Show;

/// Today's machine does something else.
const DIFFERENT: u8 = 1;
/// There is nothing that could be replayed.
const UNREADABLE: u8 = 3;

/// What `--help` says at its end.
const NOTES: &str = "\
A recording holds what happened to one party of a handoff and what it did then. It is made by
`handoff supervise` and by every daemon that asks its library for it (with_recording); `handoff kvd
--recordings DIR` does. Each file is of one machine: the process of a successor writes two.

Each step is a moment since the first one, what happened then, what was done, and the phase that this
led to. Where today's machine acts differently, the last thing shown is what it did then, and does now.

Exit status:
  0  today's machine acts the same, to the end of the recording: also one that ends early, since it
     was at its limit or its writer was killed, which is said
  1  it acts differently
  2  the command line is wrong
  3  the file cannot be read as a recording, or what it says cannot be shown: where and why is said

JSON, one object on a line:
  first   role, links, who, began (in nanoseconds of Unix time, or null)
  steps   at_ns (since began), input, actions (array of texts), phase
  last    inputs, ending (`same`, `full`, `torn` or `different`), torn_at (a byte, or null), then and
          now (texts, or null)";

/// Show a recording of a handoff step by step, and whether it would go the same way today.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = NOTES)]
pub(crate) struct ReplayArgs {
    /// The recording.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// Replays, and tells on stdout.
pub(crate) fn run(args: &ReplayArgs) -> ExitCode {
    match play(args) {
        Ok(Ending::Different) => DIFFERENT.into(),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "Error: {}", crate::in_words(&error));
            UNREADABLE.into()
        }
    }
}

fn play(args: &ReplayArgs) -> anyhow::Result<Ending> {
    let file = args.file.display();
    let bytes = fs::read(&args.file).with_context(|| format!("cannot read {file}"))?;
    let recording = Recording::open(&bytes).with_context(|| file.to_string())?;
    let mut show = Show::new(io::stdout().lock(), args.json);
    let played = of_rooms(&recording, &mut show);
    // What was good is shown even if what follows is not.
    let (replayed, difference) = played.with_context(|| file.to_string())?;
    show.end(replayed, difference.as_ref())?;
    Ok(replayed.ending)
}

/// What was done then, and what is done now.
type Difference = (String, String);

fn of_rooms(
    recording: &Recording<'_>,
    show: &mut Show<impl Write>,
) -> anyhow::Result<(Replayed, Option<Difference>)> {
    let Header { rx, tx, .. } = recording.header;
    if (rx, tx) == (ServerRoom::RX, ServerRoom::TX) {
        of_party::<ServerRoom>(recording, show)
    } else {
        // Whatever it is, the replay of another size is refused.
        of_party::<Inline>(recording, show)
    }
}

fn of_party<S: Storage>(
    recording: &Recording<'_>,
    show: &mut Show<impl Write>,
) -> anyhow::Result<(Replayed, Option<Difference>)> {
    match recording.header.party {
        Party::Incumbent => play_as::<Incumbent, S, SESSIONS>(recording, show),
        Party::Successor => play_as::<Successor, S, 1>(recording, show),
        Party::Supervisor => play_as::<Supervisor, S, 2>(recording, show),
    }
}

fn play_as<R, S: Storage, const L: usize>(
    recording: &Recording<'_>,
    show: &mut Show<impl Write>,
) -> anyhow::Result<(Replayed, Option<Difference>)>
where
    R: handoff_std::core::Role<L>,
{
    let began = account::began::<R, L>(recording)?;
    show.front(&recording.header, began)?;
    let mut account = Account::new(began.unwrap_or_default(), show);
    let replayed = record::replay::<R, S, L>(recording, &mut account);
    let difference = account.finish()?;
    Ok((replayed?, difference))
}

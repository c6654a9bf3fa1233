//! Does one piece of work again and again, so that its instructions can be counted; or says what the machines
//! need in memory.

use std::io::{self, Write};

use clap::{Parser, Subcommand};
use handoff_benches::{Handoff, Messages, Work, repeat, sizes};

/// Work for `valgrind --tool=callgrind`.
#[derive(Parser)]
enum Arguments {
    /// Do it so many times.
    #[command(flatten)]
    Do(Do),
}

#[derive(Subcommand)]
enum Do {
    /// Do something so many times.
    Repeat {
        /// What.
        #[arg(value_enum)]
        work: Work,
        /// How often.
        times: usize,
    },
    /// How many bytes each machine has, and how large a handoff and the messages of one are.
    Sizes,
}

fn main() -> anyhow::Result<()> {
    let Arguments::Do(what) = Arguments::parse();
    match what {
        Do::Repeat { work, times } => repeat(work, times),
        Do::Sizes => {
            let mut out = io::stdout();
            for (machine, bytes) in sizes() {
                writeln!(out, "{machine}: {bytes} bytes")?;
            }
            let messages = Messages::new()?;
            writeln!(out, "a handoff: {} inputs", Handoff::inputs())?;
            let (count, bytes) = (messages.count(), messages.bytes());
            Ok(writeln!(
                out,
                "its frames in version 1: {count}, {bytes} bytes"
            )?)
        }
    }
}

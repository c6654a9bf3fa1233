//! What the exit statuses of a command mean. Its `--help`, and so the manual and `COMMANDS.md`, and
//! the statuses that it ends with come from the same table.

use std::fmt;
use std::process::ExitCode;

/// It is done.
pub(crate) const DONE: u8 = 0;
/// The command returned an error, which is on stderr.
pub(crate) const ERROR: u8 = 1;
/// clap did not understand the command line.
pub(crate) const USAGE: u8 = 2;

/// All exit statuses of a command, each with what it means. A line break in that is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exits(pub(crate) &'static [(u8, &'static str)]);

impl Exits {
    /// The end of the command with this status, which must be one of the table.
    pub(crate) fn end(self, status: u8) -> ExitCode {
        debug_assert!(
            self.0.iter().any(|(listed, _)| *listed == status),
            "exit status {status} is not in the table"
        );
        status.into()
    }
}

/// As a part of `--help`.
impl fmt::Display for Exits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exit status:")?;
        for (status, means) in self.0 {
            write!(f, "\n  {status}  {}", means.replace('\n', "\n     "))?;
        }
        Ok(())
    }
}

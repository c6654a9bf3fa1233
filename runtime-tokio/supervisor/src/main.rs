//! The `handoff` binary. All of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    handoff_supervisor::main(std::env::args_os())
}

//! The conformance kit, played with every adapter there is. See `model-tests/src/conformance`.

mod on_std;
mod on_tokio;

use std::process::ExitCode;

fn main() -> ExitCode {
    handoff_model_tests::conformance::main(&[&on_std::Std, &on_tokio::Tokio])
}

//! The conformance kit, played with every adapter there is. See `model-tests/src/conformance`.

mod on_std;
mod on_tokio;

use std::process::ExitCode;

use handoff_model_tests::conformance::Ported;
use handoff_model_tests::ports::poll::Poll;

fn main() -> ExitCode {
    handoff_model_tests::conformance::main(&[&on_std::Std, &on_tokio::Tokio, &Ported("poll", Poll)])
}

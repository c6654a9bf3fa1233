//! The conformance kit, played with every adapter there is. See `model-tests/src/conformance`.

mod on_mio;
mod on_std;
mod on_tokio;

use std::process::ExitCode;

use handoff_model_tests::conformance::Ported;
use handoff_model_tests::ports::poll::Poll;
use handoff_model_tests::ports::smol::Smol;

fn main() -> ExitCode {
    let (poll, smol) = (Ported("poll", Poll), Ported("smol", Smol));
    handoff_model_tests::conformance::main(&[
        &on_std::Std,
        &on_tokio::Tokio,
        &on_mio::Mio,
        &poll,
        &smol,
    ])
}

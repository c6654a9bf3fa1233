//! This test binary as another program. Run as `--exact common::stand_in::stand_in` with [`ROLE`]
//! set, it is that program and never returns; without it, the test passes and does nothing.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::{asker, daemon, hostile, ms, published, supervisor};

/// Which program this is to be: one of those below, or of [`published`]'s.
pub(crate) const ROLE: &str = "HF_ROLE";
/// The directory of the test's world.
pub(crate) const WORLD: &str = "HF_WORLD";
/// What the program is to do otherwise than well, separated by commas.
pub(crate) const FLAGS: &str = "HF_FLAGS";
/// The arguments of the `handoff` binary that a supervisor starts as the successor, a line each.
pub(crate) const SUCCESSOR: &str = "HF_SUCCESSOR";
/// Instead of that: the roles of the stand-ins that it starts one after the other, separated by
/// commas, and the flags of all of them.
pub(crate) const SUCCESSOR_ROLE: &str = "HF_SUCCESSOR_ROLE";
/// See [`SUCCESSOR_ROLE`].
pub(crate) const SUCCESSOR_FLAGS: &str = "HF_SUCCESSOR_FLAGS";
/// A supervisor's deadline, and its settle time, in milliseconds.
pub(crate) const TIME: &str = "HF_TIME";
/// How long a supervisor's probations are, in milliseconds.
pub(crate) const PROBATION: &str = "HF_PROBATION";

/// Our daemon: [`daemon::daemon`].
pub(crate) const DAEMON: &str = "daemon";
/// Our supervisor: [`supervisor::supervisor`].
pub(crate) const SUPERVISOR: &str = "supervisor";
/// Somebody who asks for listeners: [`asker::asker`].
pub(crate) const ASKER: &str = "asker";

#[test]
fn stand_in() {
    let Ok(role) = env::var(ROLE) else { return };
    let code = match role.as_str() {
        DAEMON => daemon::daemon(),
        SUPERVISOR => supervisor::supervisor(),
        ASKER => asker::asker(),
        published::DAEMON => published::daemon(),
        published::SUPERVISOR => published::supervisor(),
        hostile => hostile::successor(hostile),
    };
    std::process::exit(code);
}

pub(crate) fn world(name: &str) -> PathBuf {
    PathBuf::from(env::var_os(WORLD).expect("a world")).join(name)
}

pub(crate) fn has(flag: &str) -> bool {
    env::var(FLAGS).is_ok_and(|flags| flags.split(',').any(|found| found == flag))
}

pub(crate) fn time() -> Duration {
    millis(TIME).unwrap_or(ms(10_000))
}

/// What a variable says, in milliseconds.
pub(crate) fn millis(variable: &str) -> Option<Duration> {
    let text = env::var(variable).ok()?;
    Some(ms(text.parse().expect("milliseconds")))
}

/// Writes a line for [`World::wait_event`](super::World::wait_event).
pub(crate) fn tell(event: &str) {
    let mut events = OpenOptions::new()
        .create(true)
        .append(true)
        .open(world("events"))
        .unwrap();
    events.write_all(format!("{event}\n").as_bytes()).unwrap();
}

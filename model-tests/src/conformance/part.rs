//! What the test binary does when the kit has started it again: it is the subject of a scenario, or a stand-in.

use std::env;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use handoff_core::{IncumbentOutcome, SupervisorOutcome, Task};
use handoff_std::host::control::connect;
use handoff_std::host::supervise::Household;
use handoff_std::host::{ControlListener, Inherited, JournalFile, descriptors};
use handoff_std::{Recordings, SpawnSpec};

use super::log::Place;
use super::{Adapter, Daemon, Post, Scenario, Subject, SupervisorPost, Times};

/// The part, and where it is played; and by whom, and in which scenario.
pub(super) const PART: &str = "HANDOFF_CONFORMANCE_PART";
pub(super) const DIRECTORY: &str = "HANDOFF_CONFORMANCE_DIRECTORY";
pub(super) const ADAPTER: &str = "HANDOFF_CONFORMANCE_ADAPTER";
pub(super) const SCENARIO: &str = "HANDOFF_CONFORMANCE_SCENARIO";

pub(super) const SUBJECT: &str = "subject";
/// A daemon that has the control path; a successor, or one that was started afresh.
pub(super) const INCUMBENT: &str = "incumbent";
pub(super) const STARTED: &str = "started";
/// A process that connects to the control path.
pub(super) const CLIENT: &str = "client";

/// How long a recording may get. One that is kept stands in the repository.
const LONGEST: u64 = 16 << 10;

/// This binary, to be started in a part.
pub(super) fn spec(part: &str, dir: &Path, more: &[(&str, &str)]) -> SpawnSpec {
    let mut env = vec![(PART.into(), part.into()), (DIRECTORY.into(), dir.into())];
    env.extend(more.iter().map(|(name, value)| (name.into(), value.into())));
    SpawnSpec {
        binary: env::current_exe().unwrap_or_default(),
        env,
        ..SpawnSpec::default()
    }
}

/// Plays the part that this process was started for, if it was.
pub(super) fn play(adapters: &[&dyn Adapter]) -> Option<ExitCode> {
    let part = env::var(PART).ok()?;
    let place = Place::at(PathBuf::from(env::var_os(DIRECTORY)?));
    if part != SUBJECT {
        stand_in(&part, &place);
        return Some(ExitCode::SUCCESS);
    }
    // Whatever becomes of the kit, nothing is left of it.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        if what.payload().downcast_ref::<&str>() != Some(&"as the kit wants it") {
            usual(what);
        }
    }));
    let name = env::var(ADAPTER).unwrap_or_default();
    let adapter = adapters.iter().find(|adapter| adapter.name() == name)?;
    let name = env::var(SCENARIO).unwrap_or_default();
    let scenario = super::scenarios::all().find(|scenario| scenario.name == name)?;
    let outcome = subject(*adapter, scenario, &place);
    let mut stage = UnixStream::connect(place.stage()).ok()?;
    stage
        .write_all(format!("left {outcome}\n").as_bytes())
        .ok()?;
    Some(ExitCode::SUCCESS)
}

fn subject(adapter: &dyn Adapter, scenario: &Scenario, place: &Place) -> String {
    let mut times = Times::default();
    (scenario.times)(&mut times);
    let wanted = env::var_os("HANDOFF_BLESS").is_some();
    let recordings = wanted.then(|| Recordings::new(place.recordings()).with_limit(LONGEST));
    let post = Post {
        control: place.control(),
        data_dir: place.data(),
        daemon: Daemon::new(place.stage()),
        incumbent: times.incumbent,
        successor: times.successor,
        recordings: recordings.clone(),
    };
    match scenario.subject {
        Subject::Incumbent => left(adapter.incumbent(post)),
        Subject::Successor => match adapter.successor(post) {
            Ok(outcome) => left(outcome),
            Err(cause) => format!("does not take over: {}", cause.reason),
        },
        Subject::Supervisor => supervised(adapter.supervisor(SupervisorPost {
            home: Household {
                control: place.control(),
                data_dir: place.data(),
                daemon: spec(STARTED, place.dir(), &[]),
                listeners: Vec::new(),
                journal: Some(JournalFile::new(place.journal())),
                before_clear: None,
            },
            successor: spec(STARTED, place.dir(), &[]),
            config: times.supervisor,
            recordings,
        })),
    }
}

fn left(outcome: IncumbentOutcome) -> String {
    match outcome {
        IncumbentOutcome::Committed(_) => "committed".into(),
        IncumbentOutcome::Superseded => "superseded".into(),
        IncumbentOutcome::Failed(cause) => format!("failed: {}", cause.reason),
    }
}

fn supervised(outcome: SupervisorOutcome) -> String {
    match outcome {
        SupervisorOutcome::Committed { shortfall, .. } => format!("committed{shortfall}"),
        SupervisorOutcome::RolledBack { cause, .. } => format!("rolled back: {}", cause.reason),
        SupervisorOutcome::ColdStarted { cause, .. } => match cause {
            Some(cause) => format!("started the daemon afresh: {}", cause.reason),
            None => "started the daemon afresh".into(),
        },
        SupervisorOutcome::Found { .. } => "found the incumbent".into(),
        SupervisorOutcome::Answered { .. } => "was answered".into(),
        SupervisorOutcome::Failed(cause) => format!("failed: {}", cause.reason),
    }
}

/// A process that can be killed. What it has is the kit's; it ends when the kit says so, or is gone.
fn stand_in(part: &str, place: &Place) {
    let Ok(inherited) = Inherited::from_env() else {
        return;
    };
    let Ok(mut stage) = UnixStream::connect(place.stage()) else {
        return;
    };
    let pid = std::process::id();
    let channel = inherited.successor_channel;
    let listener = (part == INCUMBENT).then(|| ControlListener::bind(&place.control()));
    let client = (part == CLIENT).then(|| connect(&place.control()));
    let (what, fd) = match (&channel, &listener, &client) {
        (Some(channel), ..) => ("successor", Some(channel.as_fd())),
        (_, Some(Ok(listener)), _) => ("incumbent", Some(listener.as_fd())),
        (_, _, Some(Ok((socket, _)))) => (CLIENT, Some(socket.as_fd())),
        (None, None, None) => ("daemon", None),
        _ => return,
    };
    let line = format!("here {what} {pid}\n");
    let fds: Vec<_> = fd.into_iter().collect();
    if descriptors::send(&stage, line.as_bytes(), &fds).is_ok() {
        drop(channel);
        let _ = stage.read(&mut [0]);
    }
}

impl Default for Times {
    fn default() -> Self {
        let id = handoff_core::wire::HandoffId::from_random([3; 16]);
        Self {
            incumbent: handoff_core::IncumbentConfig::default(),
            successor: handoff_core::SuccessorConfig::default(),
            supervisor: handoff_core::SupervisorConfig::new(Task::Handoff(id)),
        }
    }
}

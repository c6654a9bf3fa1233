//! The pause that users see holds no fsync and no new thread or process of ours.

use std::fs;
use std::process::{Command, Stdio};

use handoff_std::SpawnSpec;

use crate::common::{World, stand_in};

/// System calls that have no place between `PrepareHandoff` and Ready.
const LOUD: &[&str] = &[
    "fsync(",
    "fdatasync(",
    "sync_file_range(",
    "msync(",
    "sync(",
    "syncfs(",
    "clone(",
    "clone3(",
    "fork(",
    "vfork(",
    "execve(",
];

// Section 5: nothing of the kind is in the pause. The daemons' hooks do nothing here, so whatever is seen is ours.
#[test]
fn the_pause_holds_an_fsync_or_a_spawn() {
    let strace = Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status();
    if !strace.is_ok_and(|status| status.success()) {
        eprintln!("skipped: strace is not installed");
        return;
    }
    let world = World::new();
    for name in ["p", "j"] {
        fs::create_dir_all(world.path(name)).unwrap();
    }
    let supervisor = world.stand_in(
        stand_in::SUPERVISOR,
        &[
            (stand_in::FLAGS, "start"),
            (stand_in::SUCCESSOR_ROLE, stand_in::DAEMON),
        ],
    );
    let trace = world.path("trace");
    let mut args = vec![
        "-f".into(),
        "-qq".into(),
        "-xx".into(),
        "-e".into(),
        "trace=write,sendto,sendmsg,fsync,fdatasync,sync_file_range,msync,sync,syncfs,clone,clone3,fork,vfork,execve"
            .into(),
        "-o".into(),
        trace.clone().into_os_string(),
        supervisor.binary.into_os_string(),
    ];
    args.extend(supervisor.args);
    let traced = world.launch(&SpawnSpec {
        binary: "strace".into(),
        args,
        env: supervisor.env,
        ..SpawnSpec::default()
    });
    world.wait_event("Outcome(");
    let events = fs::read_to_string(world.path("events")).unwrap();
    assert!(events.contains("Outcome(committed"), "{events}");
    // strace stays as long as the new incumbent does; what it has seen is written line by line.
    assert!(traced.is_alive());

    let trace = fs::read_to_string(trace).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    // As strace shows the bytes: version 2, the message's number, and an id of 16 bytes.
    let at = |message: &str| {
        lines
            .iter()
            .position(|line| line.contains(message))
            .unwrap_or_else(|| panic!("{message} in the trace"))
    };
    let (prepare, ready) = (at(r"\x02\x00\x02\x10"), at(r"\x02\x00\x09\x10"));
    let pause = &lines[prepare..ready];
    let loud: Vec<_> = pause
        .iter()
        .filter(|line| LOUD.iter().any(|call| line.contains(&format!(" {call}"))))
        .collect();
    assert!(loud.is_empty(), "{loud:#?}");
    // The trace does see them: the daemons were started by some.
    assert!(lines.iter().any(|line| line.contains(" clone3(")));
}

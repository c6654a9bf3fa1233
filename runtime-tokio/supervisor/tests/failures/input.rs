//! Nonsense in arguments, environment and file system: said by name, and nothing is left half done.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use handoff_std::{SpawnError, SpawnSpec, SupervisorError};
use rustix::fs::{Mode, mkdirat};

use crate::common::{World, client, quick, stand_in};

/// `handoff kvd` in this world, which must fail; what it says.
fn fails(world: &World, change: impl FnOnce(&mut Command)) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handoff"));
    command
        .args(["kvd", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(world.data())
        .stdin(Stdio::null());
    change(&mut command);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}

#[test]
fn a_control_path_that_is_too_long_is_cut_or_bound_elsewhere() {
    let world = World::new();
    let long = world.path(&"x".repeat(100));
    let said = fails(&world, |kvd| {
        kvd.arg("--control-socket").arg(&long);
    });
    let length = long.as_os_str().len().to_string();
    assert_says(&said, &["control path", &length, "at most 95", "shorter"]);
}

#[test]
fn a_control_path_in_no_directory_or_on_a_file_is_taken() {
    let world = World::new();
    let said = fails(&world, |kvd| {
        kvd.arg("--control-socket").arg(world.control());
    });
    assert_says(&said, &["p/c", "does not exist", "create it"]);
    let file = world.path("file");
    fs::write(&file, "precious").unwrap();
    let said = fails(&world, |kvd| {
        kvd.arg("--control-socket").arg(&file);
    });
    assert_says(&said, &["file exists and is not a socket"]);
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

// Who holds a directory that is in use is said in `incumbent`, where hooks panic.
#[test]
fn a_data_directory_that_cannot_be_written_is_served_from() {
    let world = World::new();
    fs::write(world.data(), "a file").unwrap();
    let said = fails(&world, |_| {});
    assert_says(&said, &[world.data().to_str().unwrap()]);
    // Not even root creates anything in there.
    let output = Command::new(env!("CARGO_BIN_EXE_handoff"))
        .args([
            "kvd",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            "/proc/handoff",
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_says(&said, &["/proc/handoff"]);
}

#[test]
fn a_binary_that_cannot_be_run_drains_the_incumbent() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let plain = world.path("plain");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    let mut supervisor = world.supervisor();
    let mut attempt = |binary: &Path| {
        let spec = SpawnSpec {
            binary: binary.into(),
            ..SpawnSpec::default()
        };
        match supervisor.handoff(&quick(spec)) {
            Err(SupervisorError::Spawn(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let missing = attempt(&world.path("missing"));
    assert!(matches!(missing, SpawnError::NoBinary { .. }), "{missing}");
    let plain = attempt(&plain);
    assert!(matches!(plain, SpawnError::NotExecutable { .. }), "{plain}");
    let directory = attempt(&world.path("p"));
    assert!(
        matches!(directory, SpawnError::NotAFile { .. }),
        "{directory}"
    );
    world.assert_serves(old.pid);
}

// A binary that runs, but is no daemon: it ends without Hello, and costs nothing.
#[test]
fn a_binary_that_is_no_successor_drains_the_incumbent() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let spec = SpawnSpec {
        binary: "/bin/true".into(),
        ..SpawnSpec::default()
    };
    let report = world.handoff(&mut world.supervisor(), &quick(spec));
    assert!(!report.committed());
    assert!(report.drained.is_none());
    world.assert_serves(old.pid);
    world.assert_next_handoff_works();
}

#[test]
fn an_environment_that_is_wrong_is_ignored() {
    let world = World::new();
    for (variables, parts) in [
        (&[("LISTEN_FDS", "abc")][..], &["LISTEN_FDS", "\"abc\""][..]),
        (&[("LISTEN_FDS", "-1")], &["LISTEN_FDS", "\"-1\""]),
        (&[("LISTEN_FDS", "2")], &["LISTEN_FDS", "3"]),
        (&[("LISTEN_PID", "me")], &["LISTEN_PID", "\"me\""]),
        (
            &[("HANDOFF_ROLE", "successor"), ("HANDOFF_SOCK_FD", "999")],
            &["HANDOFF_SOCK_FD", "999"],
        ),
        (
            &[("HANDOFF_ROLE", "king"), ("HANDOFF_SOCK_FD", "3")],
            &["HANDOFF_ROLE", "\"king\""],
        ),
        (&[("HANDOFF_ROLE", "successor")], &["HANDOFF_SOCK_FD"]),
    ] {
        let said = fails(&world, |kvd| {
            kvd.envs(variables.iter().copied());
        });
        assert_says(&said, parts);
    }
    assert!(!world.data().exists(), "nothing was touched");
}

#[test]
fn a_port_in_use_is_not_named() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_handoff"))
        .args(["kvd", "--listen", &address, "--data-dir"])
        .arg(world.data())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_says(&String::from_utf8_lossy(&output.stderr), &[&address]);
}

/// Runs `script` where `d` of this world is a file system of its own, of 2 MiB; `None` if this user
/// may not mount.
fn on_a_small_disk(world: &World, script: &str) -> Option<SpawnSpec> {
    mkdirat(rustix::fs::CWD, world.data(), Mode::RWXU).unwrap();
    let may_mount = Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "none"])
        .arg(world.data())
        .stderr(Stdio::null())
        .status();
    if !may_mount.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user may not mount");
        return None;
    }
    let data = world.data();
    let data = data.display();
    Some(SpawnSpec {
        binary: "unshare".into(),
        args: vec![
            "-m".into(),
            "sh".into(),
            "-c".into(),
            format!("mount -t tmpfs -o size=2m none {data} && cd {data} && {script}").into(),
        ],
        ..SpawnSpec::default()
    })
}

#[test]
fn a_full_disk_is_not_named() {
    let world = World::new();
    let binary = env!("CARGO_BIN_EXE_handoff");
    let script = format!(
        "dd if=/dev/zero of=fill bs=4k 2>/dev/null; \
         {binary} kvd --listen 127.0.0.1:0 --data-dir {} 2>{}",
        world.data().display(),
        world.path("said").display()
    );
    let Some(spec) = on_a_small_disk(&world, &script) else {
        return;
    };
    let daemon = world.launch(&spec);
    assert_eq!(world.exit_code(daemon), Some(1));
    let said = fs::read_to_string(world.path("said")).unwrap();
    assert_says(&said, &[world.data().to_str().unwrap(), "No space left"]);
}

// C8: whatever the successor makes of a full disk, somebody serves reads and nothing is lost.
#[test]
fn a_disk_that_fills_up_leaves_nobody_serving() {
    let world = World::new();
    for name in ["p", "j"] {
        fs::create_dir_all(world.path(name)).unwrap();
    }
    let supervisor = world.supervisor_apart(&[], &[(stand_in::FLAGS, "start,fill")]);
    let words: Vec<_> = supervisor
        .args
        .iter()
        .map(|a| a.to_str().unwrap())
        .collect();
    let script = format!("exec {} {}", supervisor.binary.display(), words.join(" "));
    let Some(mut spec) = on_a_small_disk(&world, &script) else {
        return;
    };
    spec.env = supervisor.env;
    world.launch(&spec);
    world.wait_event("Outcome(");
    let found = client::get(world.address(), "k");
    let events = fs::read_to_string(world.path("events"));
    assert_eq!(found.as_deref(), Ok("v"), "{events:?}");
}

#[test]
fn an_error_is_one_line_even_where_backtraces_are_asked_for() {
    let world = World::new();
    fs::write(world.path("file"), "").unwrap();
    let fails = |data: &str, listener: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_handoff"))
            .args(["supervise", "--control-socket", "c", "--data-dir"])
            .arg(world.path(data))
            .args(["--listener", listener, "--", "/bin/true"])
            .env("RUST_BACKTRACE", "1")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    };
    let said = fails("file/data", "resp=127.0.0.1:0");
    assert!(said.contains("cannot create"), "{said}");
    assert!(said.contains("Not a directory"), "{said}");
    // A cause that the error names itself is not told twice.
    let said = fails("d", "resp=unix:/nonexistent/socket");
    assert_eq!(said.matches("No such file").count(), 1, "{said}");
}

#[test]
fn the_trigger_socket_is_not_the_control_socket() {
    let world = World::new();
    let output = Command::new(env!("CARGO_BIN_EXE_handoff"))
        .args([
            "supervise",
            "--control-socket",
            "c",
            "--trigger-socket",
            "c",
        ])
        .arg("--data-dir")
        .arg(world.path("d"))
        .args(["--", "/bin/true"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("choose another path"), "{said}");
}

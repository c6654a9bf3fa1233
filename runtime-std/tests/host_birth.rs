//! How daemons are born, from both ends: `spawn` here, `inherit` in the process it starts. That
//! process is this test binary again, told its part by a variable: it runs `part` alone, which does
//! nothing in an ordinary run.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use handoff_std::host::process::kill_and_reap;
use handoff_std::host::{Inherited, Process, SpawnError, SpawnSpec, User, kept_listeners};
use rustix::fs::OFlags;
use rustix::io::FdFlags;

const PART: &str = "HOST_BIRTH_PART";
const LONG: Duration = Duration::from_mins(1);

/// In the other process.
#[test]
fn part() {
    let Ok(part) = env::var(PART) else { return };
    match part.as_str() {
        "successor" => successor(),
        "cold" => cold_start(),
        "look" => match Inherited::from_env() {
            Ok(_) => println!("RESULT fine"),
            Err(error) => println!("RESULT {error}"),
        },
        "opened here" => opened_here(),
        other => panic!("no such part: {other}"),
    }
}

/// Report over the successor channel what was inherited.
fn successor() {
    let inherited = Inherited::from_env().unwrap();
    let mut listeners = inherited.listeners;
    let mut channel = inherited.successor_channel.unwrap();
    let mut report = String::new();
    let names: Vec<_> = listeners.names().collect();
    writeln!(report, "names {names:?}").unwrap();
    writeln!(report, "channel at {}", channel.as_raw_fd()).unwrap();
    let leads = rustix::process::getpgrp() == rustix::process::getpid();
    writeln!(report, "own group {leads}").unwrap();
    writeln!(report, "kept {}", kept_listeners().len()).unwrap();

    let wrong = listeners.take_tcp("admin").unwrap_err();
    writeln!(report, "{wrong}").unwrap();
    let wrong = listeners.take_unix("plain").unwrap_err();
    writeln!(report, "{wrong}").unwrap();
    let admin = listeners.take_unix("admin").unwrap().unwrap();
    let web = listeners.take_tcp("web").unwrap().unwrap();
    let second = listeners.take_tcp("web").unwrap().unwrap();
    assert!(listeners.take_tcp("web").unwrap().is_none());
    assert!(listeners.take_unix("nobody").unwrap().is_none());
    writeln!(report, "web {} {}", port(&web), port(&second)).unwrap();
    for fd in [channel.as_fd(), admin.as_fd(), web.as_fd(), second.as_fd()] {
        assert!(
            rustix::io::fcntl_getfd(fd)
                .unwrap()
                .contains(FdFlags::CLOEXEC)
        );
    }
    // The flags of the shared open file are as the parent set them.
    for (fd, nonblocking) in [(web.as_fd(), true), (second.as_fd(), false)] {
        let flags = rustix::fs::fcntl_getfl(fd).unwrap();
        assert_eq!(flags.contains(OFlags::NONBLOCK), nonblocking);
    }
    // Not taken: closed when dropped.
    let names: Vec<_> = listeners.names().collect();
    writeln!(report, "left {names:?}").unwrap();
    drop(listeners);

    // Consumed: neither a second look nor a child sees any of it.
    for name in [
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "LISTEN_PID",
        "HANDOFF_ROLE",
        "HANDOFF_SOCK_FD",
    ] {
        assert_eq!(env::var_os(name), None);
    }
    let again = Inherited::from_env().unwrap();
    assert!(again.listeners.names().next().is_none() && again.successor_channel.is_none());
    channel.write_all(report.as_bytes()).unwrap();
    channel.write_all(b"end\n").unwrap();
    // Until the parent has seen enough.
    let _ = channel.read(&mut [0]);
}

/// Answer one connection.
fn cold_start() {
    let inherited = Inherited::from_env().unwrap();
    assert!(inherited.successor_channel.is_none());
    let mut listeners = inherited.listeners;
    let web = listeners.take_tcp("web").unwrap().unwrap();
    let (mut client, _) = web.accept().unwrap();
    let place = env::current_dir().unwrap();
    write!(client, "{}", place.display()).unwrap();
}

/// Name a descriptor that this process opened itself.
#[allow(unsafe_code)]
fn opened_here() {
    let own = UnixListener::bind(env::var_os("HOST_BIRTH_SOCKET").unwrap()).unwrap();
    assert_eq!(own.as_raw_fd(), 3);
    // SAFETY: this process runs nothing but this test.
    unsafe { env::set_var("LISTEN_FDS", "1") };
    println!("RESULT {}", Inherited::from_env().unwrap_err());
    own.set_nonblocking(true).unwrap();
}

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().unwrap().port()
}

fn spec(part: &str) -> SpawnSpec {
    SpawnSpec {
        binary: env::current_exe().unwrap(),
        args: ["--exact", "part", "--nocapture", "-q"]
            .map(Into::into)
            .into(),
        env: vec![(PART.into(), part.into())],
        own_group: true,
        ..SpawnSpec::default()
    }
}

#[test]
fn a_successor_finds_everything_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    web.set_nonblocking(true).unwrap();
    let second = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = UnixListener::bind(dir.path().join("admin")).unwrap();
    let (plain, _other) = UnixStream::pair().unwrap();
    let listeners: [(&str, BorrowedFd<'_>); 5] = [
        ("web", web.as_fd()),
        ("admin", admin.as_fd()),
        ("web", second.as_fd()),
        ("plain", plain.as_fd()),
        ("spare", web.as_fd()),
    ];
    let mut spec = spec("successor");
    // What is left of an earlier birth does not reach the child.
    spec.env.push(("LISTEN_PID".into(), "1".into()));
    spec.env.push(("HANDOFF_SOCK_FD".into(), "77".into()));
    let (mut spawned, mut channel) = spec.successor(&listeners).unwrap();
    assert_eq!(spawned.process.pid, spawned.child.id());
    assert_eq!(Process::of(spawned.process.pid), Some(spawned.process));
    assert!(
        rustix::io::fcntl_getfd(&channel)
            .unwrap()
            .contains(FdFlags::CLOEXEC)
    );
    let flags = rustix::fs::fcntl_getfl(&channel).unwrap();
    assert!(flags.contains(OFlags::NONBLOCK));

    channel.set_nonblocking(false).unwrap();
    let mut report = Vec::new();
    while !report.ends_with(b"end\n") {
        let mut bytes = [0; 4096];
        let count = channel.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&report));
        report.extend_from_slice(&bytes[..count]);
    }
    let expected = format!(
        "names [\"web\", \"admin\", \"web\", \"plain\", \"spare\"]\n\
         channel at 8\n\
         own group true\n\
         kept 5\n\
         the inherited listener `admin` is a Unix stream listener, not a TCP listener\n\
         the inherited listener `plain` is a stream socket that does not listen, \
         not a Unix stream listener\n\
         web {} {}\n\
         left [\"plain\", \"spare\"]\n\
         end\n",
        port(&web),
        port(&second),
    );
    assert_eq!(String::from_utf8_lossy(&report), expected);
    assert!(spawned.process.is_alive());
    drop(channel);
    assert!(spawned.child.wait().unwrap().success());
}

#[test]
fn the_channel_ends_with_the_successor() {
    // A program that never looks at its end.
    let spec = SpawnSpec {
        binary: "sleep".into(),
        args: vec!["60".into()],
        ..SpawnSpec::default()
    };
    let (mut spawned, mut channel) = spec.successor(&[]).unwrap();
    channel.set_nonblocking(false).unwrap();
    kill_and_reap(&mut spawned.child, LONG).unwrap().unwrap();
    assert_eq!(channel.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_cold_start_gets_its_listeners_and_no_role() {
    let dir = tempfile::tempdir().unwrap();
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut spec = spec("cold");
    spec.current_dir = Some(dir.path().into());
    spec.env.push(("HANDOFF_ROLE".into(), "successor".into()));
    let mut spawned = spec.cold_start(&[("web", web.as_fd())]).unwrap();
    let mut client = TcpStream::connect(web.local_addr().unwrap()).unwrap();
    // Ours would keep the port open if the child died before it accepts.
    drop(web);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let place = dir.path().canonicalize().unwrap();
    assert_eq!(Path::new(&answer), place);
    assert!(spawned.child.wait().unwrap().success());
}

/// What a shell command says that is started from this.
fn said(command: &str, spec: SpawnSpec) -> String {
    let dir = tempfile::tempdir().unwrap();
    // The other user writes there, too.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let out = dir.path().join("out");
    let spec = SpawnSpec {
        binary: "/bin/sh".into(),
        args: vec![
            "-c".into(),
            format!("({command}) > \"$0\"").into(),
            out.clone().into(),
        ],
        ..spec
    };
    let mut spawned = spec.cold_start(&[]).unwrap();
    assert!(spawned.child.wait().unwrap().success());
    fs::read_to_string(out).unwrap()
}

#[test]
fn an_environment_is_kept_or_cleared() {
    let kept = said("env", SpawnSpec::default());
    assert!(kept.contains("PATH="), "{kept}");
    let spec = SpawnSpec {
        env: vec![("HOST_BIRTH_ADDED".into(), "yes".into())],
        clear_env: true,
        ..SpawnSpec::default()
    };
    let cleared = said("/usr/bin/env", spec);
    assert!(cleared.contains("HOST_BIRTH_ADDED=yes\n"), "{cleared}");
    assert!(cleared.contains("LISTEN_FDS=0\n"), "{cleared}");
    for name in ["HOME=", "CARGO"] {
        assert!(!cleared.contains(name), "{cleared}");
    }
}

#[test]
fn another_user_takes_root() {
    let spec = SpawnSpec {
        user: Some(User {
            uid: 4242,
            gid: 4343,
        }),
        ..SpawnSpec::default()
    };
    if rustix::process::geteuid().is_root() {
        assert_eq!(said("id -u; id -g; id -G", spec), "4242\n4343\n4343\n");
    } else {
        let spec = SpawnSpec {
            binary: "/bin/true".into(),
            ..spec
        };
        let error = spec.cold_start(&[]).unwrap_err().to_string();
        assert!(error.contains("only root"), "{error}");
    }
}

#[test]
fn programs_that_cannot_be_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str, mode: u32| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let (socket, _other) = UnixStream::pair().unwrap();
    // With so many listeners that free descriptors are among the child's: they must not swallow the
    // news of a failed exec.
    let listeners = [("a", socket.as_fd()); 16];
    let error = |binary: std::path::PathBuf| {
        let spec = SpawnSpec {
            binary,
            ..SpawnSpec::default()
        };
        let error = spec.successor(&listeners).unwrap_err();
        assert_eq!(
            spec.cold_start(&[]).unwrap_err().to_string(),
            error.to_string()
        );
        error
    };
    let missing = error(dir.path().join("missing"));
    assert!(matches!(missing, SpawnError::NoBinary { .. }), "{missing}");
    let directory = error(dir.path().into());
    assert!(
        matches!(directory, SpawnError::NotAFile { .. }),
        "{directory}"
    );
    let plain = error(file("plain", "#!/bin/sh\n", 0o644));
    assert!(matches!(plain, SpawnError::NotExecutable { .. }), "{plain}");
    let text = error(file("script", "#!/no/such/interpreter\n", 0o755)).to_string();
    assert!(text.contains("interpreter"), "{text}");
    let text = error("no-such-program-anywhere".into()).to_string();
    assert!(text.contains("no-such-program-anywhere"), "{text}");
}

#[test]
fn wishes_that_cannot_be_met() {
    let (socket, _other) = UnixStream::pair().unwrap();
    let spec = SpawnSpec {
        binary: "true".into(),
        ..SpawnSpec::default()
    };
    for name in ["", "a:b", "a b", "a=b", "ä"] {
        let error = spec.cold_start(&[(name, socket.as_fd())]).unwrap_err();
        assert!(matches!(error, SpawnError::Name(_)), "{error}");
    }
    let many = vec![("a", socket.as_fd()); 254];
    let error = spec.cold_start(&many).unwrap_err();
    assert!(
        matches!(error, SpawnError::TooMany { count: 254 }),
        "{error}"
    );
    let spec = SpawnSpec {
        current_dir: Some("/no/such/directory".into()),
        ..spec
    };
    let error = spec.cold_start(&[]).unwrap_err();
    assert!(matches!(error, SpawnError::NoDirectory { .. }), "{error}");
}

/// What a process says that is started with these variables and, at descriptor 3, its standard
/// input.
fn look(part: &str, variables: &[(&str, &str)], redirect: &str) -> String {
    let Output { stdout, .. } = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "exec \"$0\" --exact part --nocapture -q {redirect}"
        ))
        .arg(env::current_exe().unwrap())
        .env(PART, part)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let stdout = String::from_utf8(stdout).unwrap();
    let (_, result) = stdout.split_once("RESULT ").expect(&stdout);
    result.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn environments_that_do_not_hold_what_they_say() {
    let one = [("LISTEN_FDS", "1")];
    assert_eq!(
        look("look", &one, "3>&-"),
        "LISTEN_FDS names descriptor 3, which is not open"
    );
    assert_eq!(
        look("look", &one, "3</dev/null"),
        "LISTEN_FDS names descriptor 3, which is not a socket"
    );
    let channel = [("HANDOFF_ROLE", "successor"), ("HANDOFF_SOCK_FD", "3")];
    assert_eq!(
        look("look", &channel, "3</dev/null"),
        "HANDOFF_SOCK_FD names descriptor 3, which is not a socket"
    );
    let text = look("look", &[("LISTEN_FDS", "many")], "");
    assert!(
        text.starts_with("LISTEN_FDS is \"many\", expected"),
        "{text}"
    );
    let others = [("LISTEN_FDS", "1"), ("LISTEN_PID", "1")];
    assert_eq!(look("look", &others, "3>&-"), "fine");

    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let text = look(
        "opened here",
        &[("HOST_BIRTH_SOCKET", socket.to_str().unwrap())],
        "3>&-",
    );
    assert!(text.contains("was not inherited"), "{text}");
}

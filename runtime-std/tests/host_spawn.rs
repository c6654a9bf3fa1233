//! What a new process has and has not, looked at from outside, for both ways in which one is started: a
//! `SpawnSpec` that names a directory takes the other way than one that names none.

#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use handoff_std::host::process::kill_and_reap;
use handoff_std::host::{SpawnError, SpawnSpec, Spawned};
use nix::sys::signal::{SigSet, Signal};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, getpgid, getpgrp, waitid};

const LONG: Duration = Duration::from_mins(1);

/// A process that was started to be looked at. It does nothing meanwhile.
struct Subject(Spawned);

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = kill_and_reap(&mut self.0.child, LONG);
    }
}

impl Subject {
    fn of(spawned: Spawned) -> Self {
        let subject = Self(spawned);
        // Its parent hears of the new program before that has its environment and has closed what it
        // is to close, and its loader opens files. Only in its sleep does it wait for something.
        let until = Instant::now() + LONG;
        while !subject.status("State:").starts_with('S') {
            assert!(Instant::now() < until, "{}", subject.status("State:"));
            std::thread::sleep(Duration::from_millis(1));
        }
        subject
    }

    fn look(&self, what: &str) -> PathBuf {
        format!("/proc/{}/{what}", self.0.process.pid).into()
    }

    fn descriptors(&self) -> BTreeMap<u32, PathBuf> {
        descriptors(self.0.process.pid)
    }

    fn environment(&self) -> BTreeMap<OsString, OsString> {
        let all = fs::read(self.look("environ")).unwrap();
        let all = all.split(|&byte| byte == 0).filter(|one| !one.is_empty());
        all.map(|one| {
            let equals = one.iter().position(|&byte| byte == b'=').unwrap();
            let (name, value) = (&one[..equals], &one[equals + 1..]);
            (
                OsString::from_vec(name.into()),
                OsString::from_vec(value.into()),
            )
        })
        .collect()
    }

    /// A line of what the kernel says of it.
    fn status(&self, which: &str) -> String {
        let status = fs::read_to_string(self.look("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(which));
        line.unwrap().trim().to_owned()
    }

    /// A set of signals.
    fn signals(&self, which: &str) -> u64 {
        u64::from_str_radix(&self.status(which), 16).unwrap()
    }

    fn group(&self) -> Pid {
        getpgid(Some(pid(self.0.process.pid))).unwrap()
    }
}

fn pid(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().unwrap()).unwrap()
}

/// What is open in a process, with what it leads to.
fn descriptors(pid: u32) -> BTreeMap<u32, PathBuf> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    open.filter_map(|one| {
        let one = one.unwrap();
        let number = one.file_name().into_string().unwrap().parse().unwrap();
        // One that was closed since leads nowhere.
        Some((number, fs::read_link(one.path()).ok()?))
    })
    .collect()
}

/// A process that sleeps.
fn sleeper() -> SpawnSpec {
    SpawnSpec {
        binary: "sleep".into(),
        args: vec!["600".into()],
        ..SpawnSpec::default()
    }
}

/// The same, started in either way.
fn both_ways(spec: &SpawnSpec) -> [SpawnSpec; 2] {
    let current_dir = Some(env::current_dir().unwrap());
    let other = SpawnSpec {
        current_dir,
        ..spec.clone()
    };
    [spec.clone(), other]
}

/// Whether this process runs nothing but this test; if not, one that does has run with these variables.
fn is_apart(test: &str, variables: &[(&str, &str)]) -> bool {
    const APART: &str = "HOST_SPAWN_APART";
    if env::var_os(APART).is_some() {
        return true;
    }
    let ran = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(APART, "yes")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    false
}

fn file(path: &Path, content: &str, mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn it_has_its_descriptors_and_no_other() {
    let sockets: Vec<_> = (0..20).map(|_| UnixStream::pair().unwrap()).collect();
    let listeners: Vec<_> = sockets.iter().map(|(one, _)| ("a", one.as_fd())).collect();
    let leads_to = |fd: BorrowedFd<'_>| {
        let inode = rustix::fs::fstat(fd).unwrap().st_ino;
        PathBuf::from(format!("socket:[{inode}]"))
    };
    let plain = Command::new("sleep").arg("600").spawn().unwrap();
    let process = handoff_std::Process::of(plain.id()).unwrap();
    let plain = Subject::of(Spawned {
        child: plain.into(),
        process,
    });

    for spec in both_ways(&sleeper()) {
        let (spawned, channel) = spec.successor(&listeners).unwrap();
        let subject = Subject::of(spawned);
        // What we were given ourselves and do not close is none of this.
        let mut expected: BTreeSet<_> = plain.descriptors().into_keys().collect();
        expected.extend(0..24);
        let found = subject.descriptors();
        assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), expected);
        assert_eq!(found[&0], Path::new("/dev/null"));
        for (at, (_, listener)) in (3..).zip(&listeners) {
            assert_eq!(found[&at], leads_to(*listener));
        }
        assert!(found[&23].to_str().unwrap().starts_with("socket:"));
        assert_ne!(found[&23], leads_to(channel.as_fd()));
    }
}

#[test]
fn its_signals_are_as_at_a_login() {
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGUSR1);
    blocked.add(Signal::SIGTERM);
    blocked.thread_block().unwrap();
    for spec in both_ways(&sleeper()) {
        let subject = Subject::of(spec.helper().unwrap());
        assert_eq!(subject.signals("SigBlk:"), 0);
        // A Rust program ignores it.
        assert_eq!(
            subject.signals("SigIgn:") & (1 << (Signal::SIGPIPE as i32 - 1)),
            0
        );
    }
    // Ours are as they were.
    assert_eq!(SigSet::thread_get_mask().unwrap(), blocked);
}

#[test]
fn it_leads_a_group_if_asked_to() {
    let spec = SpawnSpec {
        own_group: true,
        ..sleeper()
    };
    for (own, ours) in both_ways(&spec).iter().zip(both_ways(&sleeper())) {
        let subject = Subject::of(own.helper().unwrap());
        assert_eq!(subject.group(), pid(subject.0.process.pid));
        let subject = Subject::of(ours.helper().unwrap());
        assert_eq!(subject.group(), getpgrp());
    }
}

#[test]
fn its_environment_is_what_was_said() {
    let ours = [
        ("NOTIFY_SOCKET", "/run/ours"),
        ("WATCHDOG_PID", "1"),
        ("WATCHDOG_USEC", "1"),
        ("LISTEN_FDS", "7"),
        ("LISTEN_FDNAMES", "x"),
        ("LISTEN_PID", "1"),
        ("HANDOFF_ROLE", "successor"),
        ("HANDOFF_SOCK_FD", "9"),
        ("KEPT", "ours"),
        ("CHANGED", "ours"),
    ];
    if !is_apart("its_environment_is_what_was_said", &ours) {
        return;
    }
    let (socket, _other) = UnixStream::pair().unwrap();
    let added: [(&str, &str); 5] = [
        ("ADDED", "a=b"),
        ("CHANGED", ""),
        ("CHANGED", "theirs"),
        ("WATCHDOG_USEC", "5"),
        ("HANDOFF_ROLE", "nobody"),
    ];
    let spec = SpawnSpec {
        env: added
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        ..sleeper()
    };
    let mut kept: BTreeMap<OsString, OsString> = env::vars_os().collect();
    for (name, _) in &ours[..8] {
        kept.remove(OsString::from(name).as_os_str());
    }
    kept.extend(
        [
            ("ADDED", "a=b"),
            ("CHANGED", "theirs"),
            ("WATCHDOG_USEC", "5"),
        ]
        .map(owned),
    );
    let only = [
        ("ADDED", "a=b"),
        ("CHANGED", "theirs"),
        ("WATCHDOG_USEC", "5"),
    ];
    let only: BTreeMap<_, _> = only.map(owned).into();
    for (clear_env, expected) in [(false, kept), (true, only)] {
        let spec = SpawnSpec {
            clear_env,
            ..spec.clone()
        };
        for spec in both_ways(&spec) {
            let mut expected = expected.clone();
            let subject = Subject::of(spec.helper().unwrap());
            assert_eq!(subject.environment(), expected);

            expected.extend([("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "a:b")].map(owned));
            let listeners = [("a", socket.as_fd()), ("b", socket.as_fd())];
            let subject = Subject::of(spec.cold_start(&listeners).unwrap());
            assert_eq!(subject.environment(), expected);

            expected.extend([("HANDOFF_ROLE", "successor"), ("HANDOFF_SOCK_FD", "5")].map(owned));
            let (spawned, _channel) = spec.successor(&listeners).unwrap();
            assert_eq!(Subject::of(spawned).environment(), expected);
        }
    }
}

fn owned((name, value): (&str, &str)) -> (OsString, OsString) {
    (name.into(), value.into())
}

#[test]
fn it_is_looked_for_in_its_own_path() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| {
        let place = dir.path().join(name);
        fs::create_dir(&place).unwrap();
        place
    };
    let (first, second, third) = (place("first"), place("second"), place("third"));
    // What is not a program is passed over.
    file(&first.join("sleeper"), "", 0o644);
    fs::create_dir(second.join("sleeper")).unwrap();
    let sleep = ["/bin/sleep", "/usr/bin/sleep"];
    let sleep = sleep.iter().find(|path| Path::new(path).exists()).unwrap();
    std::os::unix::fs::symlink(sleep, third.join("sleeper")).unwrap();
    let spec = |path: &[&Path]| SpawnSpec {
        binary: "sleeper".into(),
        env: vec![("PATH".into(), env::join_paths(path).unwrap())],
        ..sleeper()
    };
    // A busybox knows by its name what it is.
    if fs::canonicalize(sleep).unwrap().ends_with("sleep") {
        for spec in both_ways(&spec(&[&first, &second, &third])) {
            let subject = Subject::of(spec.helper().unwrap());
            assert_eq!(
                fs::read(subject.look("cmdline")).unwrap(),
                b"sleeper\x00600\x00"
            );
        }
    }
    for spec in both_ways(&spec(&[&second, &first])) {
        let error = spec.check().unwrap_err();
        assert!(matches!(error, SpawnError::NotExecutable { .. }), "{error}");
    }
    for spec in both_ways(&spec(&[&second])) {
        let error = spec.helper().unwrap_err().to_string();
        assert!(error.contains("in no directory of PATH"), "{error}");
    }
    // Where `execvp` looks for it.
    let spec = SpawnSpec {
        clear_env: true,
        ..sleeper()
    };
    for spec in both_ways(&spec) {
        drop(Subject::of(spec.helper().unwrap()));
    }
}

#[test]
fn one_that_cannot_be_run_leaves_nothing_behind() {
    if !is_apart("one_that_cannot_be_run_leaves_nothing_behind", &[]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    file(&script, "#!/no/such/interpreter\n", 0o755);
    let busy = dir.path().join("busy");
    fs::copy("/bin/sh", &busy).unwrap();
    let _writer = fs::OpenOptions::new().append(true).open(&busy).unwrap();
    let (socket, _other) = UnixStream::pair().unwrap();
    let listeners = [("a", socket.as_fd()); 16];

    let before = descriptors(std::process::id());
    for (binary, errno, advice) in [
        (&script, Errno::NOENT, "interpreter"),
        (&busy, Errno::TXTBSY, "being written"),
    ] {
        let spec = SpawnSpec {
            binary: binary.clone(),
            ..SpawnSpec::default()
        };
        for spec in both_ways(&spec) {
            for error in [
                spec.helper().unwrap_err(),
                spec.successor(&listeners).unwrap_err(),
            ] {
                assert!(error.to_string().contains(advice), "{error}");
                let SpawnError::Exec { source, .. } = error else {
                    panic!("{error}");
                };
                assert_eq!(Errno::from_io_error(&source), Some(errno));
            }
        }
    }
    let nul = SpawnSpec {
        args: vec!["a\0b".into()],
        ..sleeper()
    };
    for spec in both_ways(&nul) {
        let error = spec.helper().unwrap_err().to_string();
        assert!(error.contains("nul byte"), "{error}");
    }
    assert_eq!(descriptors(std::process::id()), before);
    let any = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    assert_eq!(waitid(WaitId::All, any).unwrap_err(), Errno::CHILD);
}

/// One that is started in another way is: std leaves that to the system's library.
#[test]
fn what_is_no_program_is_not_run_by_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("words");
    file(&binary, "exit 0\n", 0o755);
    let spec = SpawnSpec {
        binary,
        ..SpawnSpec::default()
    };
    let error = spec.cold_start(&[]).unwrap_err().to_string();
    assert!(error.contains("its first line, #!"), "{error}");
}

//! A directory with a daemon in it, and the supervisors that are started on it. Whatever was started
//! is killed and reaped at the end: it is known by the directory in its arguments.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use handoff_std::host::process::kill_and_reap;
use handoff_std::host::{Child, Process, Signal, SpawnSpec};
use rustix::process::{Pid, WaitOptions, set_child_subreaper, waitpid};
use tempfile::TempDir;

/// Far more than anything takes here, also on a busy machine.
pub(crate) const LONG: Duration = Duration::from_mins(1);
pub(crate) const HANDOFF: &str = env!("CARGO_BIN_EXE_handoff");
/// Options: the daemon's listener, wherever there is room.
pub(crate) const ANY_PORT: [&str; 2] = ["--listener", "resp=127.0.0.1:0"];

/// Held while a script is written and while a process is started: between fork and exec a child has
/// whatever is open, and a script that somebody has open for writing cannot be run.
static SPAWN: Mutex<()> = Mutex::new(());

/// Waits until `look` finds something.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) struct World {
    dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        // A daemon whose supervisor was killed becomes our child, so that we can reap it.
        set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        Self {
            dir: tempfile::Builder::new().prefix("hs").tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A binary that is kvd with this tag, and more arguments.
    pub(crate) fn binary(&self, tag: &str, more: &str) -> PathBuf {
        self.script(
            tag,
            &format!("exec '{HANDOFF}' \"$@\" --tag '{tag}' {more}\n"),
        )
    }

    /// The same, but it does not start before the file `go` is there.
    pub(crate) fn gated(&self, tag: &str) -> PathBuf {
        let go = self.path("go");
        let wait = format!("while [ ! -e '{}' ]; do sleep 0.02; done", go.display());
        self.script(
            tag,
            &format!("{wait}\nexec '{HANDOFF}' \"$@\" --tag '{tag}'\n"),
        )
    }

    pub(crate) fn script(&self, name: &str, body: &str) -> PathBuf {
        let _spawn = SPAWN.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path("bin").join(name);
        fs::create_dir_all(self.path("bin")).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{body}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Starts a supervisor of `binary` with these options, and hands it these listeners.
    pub(crate) fn supervise(
        &self,
        binary: &Path,
        options: &[&str],
        listeners: &[(&str, BorrowedFd<'_>)],
    ) -> Supervised {
        self.supervise_logging_to(self.log(), binary, options, listeners)
    }

    /// A log file of its own for every supervisor.
    pub(crate) fn log(&self) -> PathBuf {
        static COUNT: Mutex<u32> = Mutex::new(0);
        let mut count = COUNT.lock().unwrap();
        *count += 1;
        self.path(&format!("log.{count}"))
    }

    /// The same with a log file of the caller's choice.
    pub(crate) fn supervise_logging_to(
        &self,
        log: PathBuf,
        binary: &Path,
        options: &[&str],
        listeners: &[(&str, BorrowedFd<'_>)],
    ) -> Supervised {
        let path = |name: &str| self.path(name).into_os_string();
        let mut args = vec!["--control-socket".into(), path("c")];
        args.extend(["--data-dir".into(), path("d")]);
        args.extend(["--trigger-socket".into(), path("t")]);
        args.extend(options.iter().map(Into::into));
        args.extend(["--".into(), binary.into(), "kvd".into()]);
        args.extend(["--control-socket".into(), path("c")]);
        args.extend(["--data-dir".into(), path("d")]);
        start(log, args, listeners)
    }

    /// The same as [`trigger_once`](Self::trigger_once), once it is known who serves: a daemon answers
    /// its clients before its supervisor has taken note of that.
    pub(crate) fn trigger(&self, line: &str) -> String {
        wait_for("end of the recovery", || {
            let answer = self.trigger_once(line);
            (!answer.contains("not known yet")).then_some(answer)
        })
    }

    /// Sends a line to the trigger socket and returns the answer.
    pub(crate) fn trigger_once(&self, line: &str) -> String {
        let mut client = wait_for("trigger socket", || {
            UnixStream::connect(self.path("t")).ok()
        });
        client.set_read_timeout(Some(LONG)).unwrap();
        // Either fails when the answer is there already.
        let _ = writeln!(client, "{line}");
        let _ = client.shutdown(Shutdown::Write);
        let mut answer = String::new();
        BufReader::new(client).read_line(&mut answer).unwrap();
        answer
    }

    pub(crate) fn handoff_to(&self, binary: &Path) -> String {
        self.trigger(&format!("handoff {}", binary.display()))
    }

    /// Sends a line to the trigger socket once it is known who serves, and does not wait for the answer,
    /// which the caller has to be there for.
    pub(crate) fn order(&self, line: &str) -> UnixStream {
        let refusal = self.trigger("handoff /no/such/binary");
        assert!(refusal.contains("does not exist"), "{refusal}");
        let mut client = UnixStream::connect(self.path("t")).unwrap();
        writeln!(client, "{line}").unwrap();
        client
    }

    /// The pid of the process that holds the writer lock.
    pub(crate) fn lock_holder(&self) -> Process {
        wait_for("pidfile", || {
            let text = fs::read_to_string(self.path("d/.handoff.pidfile")).ok()?;
            Process::of(text.trim().parse().ok()?)
        })
    }

    /// The processes that live and have our directory in their arguments.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let mark = self.dir.path().as_os_str().as_encoded_bytes();
        let pids = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.windows(mark.len()).any(|window| window == mark)
        })
        .filter_map(Process::of)
        .filter(|process| process.is_alive())
        .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A process may be starting another one right now.
        loop {
            let processes = self.processes();
            if processes.is_empty() {
                return;
            }
            for process in processes {
                let _ = process.kill(Signal::KILL);
                process.wait_dead(LONG);
                // Ours by now, unless a supervisor is still there to reap it.
                let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
                let _ = waitpid(pid, WaitOptions::NOHANG);
            }
        }
    }
}

/// Starts `handoff supervise` with these arguments.
pub(crate) fn start(
    log: PathBuf,
    more: Vec<OsString>,
    listeners: &[(&str, BorrowedFd<'_>)],
) -> Supervised {
    start_with(log, more, listeners, &[])
}

/// The same with these variables in its environment.
pub(crate) fn start_with(
    log: PathBuf,
    more: Vec<OsString>,
    listeners: &[(&str, BorrowedFd<'_>)],
    env: &[(&str, &str)],
) -> Supervised {
    let shell = format!("exec \"$0\" \"$@\" 2>'{}'", log.display());
    let mut args = vec!["-c".into(), shell.into(), HANDOFF.into()];
    args.push("supervise".into());
    args.extend(more);
    let spec = SpawnSpec {
        binary: "/bin/sh".into(),
        args,
        env: env
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        ..SpawnSpec::default()
    };
    let _spawn = SPAWN.lock().unwrap_or_else(PoisonError::into_inner);
    Supervised {
        child: spec.cold_start(listeners).unwrap().child,
        log,
    }
}

/// A supervisor; killed when dropped.
pub(crate) struct Supervised {
    child: Child,
    log: PathBuf,
}

impl Supervised {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the log holds a line with `text`, and returns it.
    pub(crate) fn wait_log(&self, text: &str) -> String {
        wait_for(text, || {
            let log = self.log();
            let line = log.lines().find(|line| line.contains(text))?;
            // The line may still be being written.
            log.contains(&format!("{line}\n")).then(|| line.to_owned())
        })
    }

    /// The port that the log says it listens on for clients.
    pub(crate) fn port(&self) -> u16 {
        self.port_of("resp")
    }

    /// The port that the log says it listens on under this name.
    pub(crate) fn port_of(&self, name: &str) -> u16 {
        let line = self.wait_log(&format!("name=\"{name}\" address="));
        let (_, port) = line.split_once("127.0.0.1:").unwrap();
        port.trim_end_matches('"').parse().unwrap()
    }

    pub(crate) fn kill(mut self) {
        kill_and_reap(&mut self.child, LONG).unwrap().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        assert!(Process::of(self.child.id()).unwrap().kill(signal).unwrap());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("end of the supervisor", || self.child.try_wait().unwrap())
    }

    /// Whether a child of it waits to be reaped.
    pub(crate) fn has_zombies(&self) -> bool {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let workers = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let all = workers
            .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
            .chain(children)
            .collect::<String>();
        all.split_whitespace()
            .filter_map(|pid| Process::of(pid.parse().ok()?))
            .any(|process| !process.is_alive())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = kill_and_reap(&mut self.child, LONG);
        if thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}

/// Runs `handoff` with these arguments to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    run_command(Command::new(HANDOFF).args(args))
}

/// Runs it to its end.
pub(crate) fn run_command(command: &mut Command) -> Output {
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    spawn(command).wait_with_output().unwrap()
}

/// Starts it.
pub(crate) fn spawn(command: &mut Command) -> std::process::Child {
    let _spawn = SPAWN.lock().unwrap_or_else(PoisonError::into_inner);
    command.spawn().unwrap()
}

/// A listener that this test holds, as systemd would.
pub(crate) struct Held(pub(crate) TcpListener);

impl Held {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    pub(crate) fn pass(&self) -> [(&str, BorrowedFd<'_>); 1] {
        [("resp", self.0.as_fd())]
    }
}

pub(crate) fn assert_committed(answer: &str) {
    let id = answer
        .strip_prefix("ok: handoff_id=")
        .and_then(|rest| rest.strip_suffix(" committed=true abort_reason=None\n"));
    assert!(id.is_some_and(|id| id.len() == 36), "{answer}");
}

pub(crate) fn kill(process: Process) {
    assert!(process.kill(Signal::KILL).unwrap());
}

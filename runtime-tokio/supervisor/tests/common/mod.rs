//! A world of real processes for one test: a directory, a listener, daemons, supervisors; and the
//! looks and deeds that tests share. Nothing that a test started outlives its [`World`].

#![allow(dead_code, reason = "every test crate uses a part of it")]

pub(crate) mod asker;
pub(crate) mod client;
pub(crate) mod counts;
pub(crate) mod daemon;
pub(crate) mod hostile;
pub(crate) mod published;
pub(crate) mod stand_in;
pub(crate) mod supervisor;
pub(crate) mod wire;
pub(crate) mod writer;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use handoff_std::core::{SupervisorConfig, Task};
use handoff_std::host::Signal;
use handoff_std::host::lock::holder_hint;
use handoff_std::{Child, HandoffSpec, Process, Report, SpawnSpec, Supervisor, SupervisorEvent};

/// The name of the one listener.
pub(crate) const RESP: &str = "resp";

/// Longer than anything here should take, on however busy a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One daemon's directory and listener, and every process that was started for it.
pub(crate) struct World {
    dir: tempfile::TempDir,
    address: SocketAddr,
    listener: TcpListener,
    children: Mutex<Vec<Child>>,
}

impl World {
    pub(crate) fn new() -> Self {
        // Short, since a control path has little room.
        let dir = tempfile::Builder::new()
            .prefix("hf")
            .tempdir_in("/tmp")
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            dir,
            address: listener.local_addr().unwrap(),
            listener,
            children: Mutex::default(),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.path("p/c")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("d")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path("j/journal")
    }

    pub(crate) fn listener(&self) -> &TcpListener {
        &self.listener
    }

    /// Closes the listener here, and has `other` instead of it.
    pub(crate) fn replace_listener(&mut self, other: TcpListener) {
        self.listener = other;
    }

    /// Where clients connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `handoff kvd` for this world, with more arguments.
    pub(crate) fn kvd(&self, more: &[&str]) -> SpawnSpec {
        let mut args: Vec<std::ffi::OsString> = vec![
            "kvd".into(),
            "--data-dir".into(),
            self.data().into(),
            "--control-socket".into(),
            self.control().into(),
            "--drain-grace-ms".into(),
            "50".into(),
        ];
        args.extend(more.iter().map(Into::into));
        SpawnSpec {
            binary: env!("CARGO_BIN_EXE_handoff").into(),
            args,
            ..SpawnSpec::default()
        }
    }

    /// This test binary as another program; see [`stand_in`].
    pub(crate) fn stand_in(&self, role: &str, more: &[(&str, &str)]) -> SpawnSpec {
        let mut env: Vec<(std::ffi::OsString, std::ffi::OsString)> = vec![
            (stand_in::ROLE.into(), role.into()),
            (stand_in::WORLD.into(), self.dir.path().into()),
        ];
        env.extend(more.iter().map(|(name, value)| (name.into(), value.into())));
        SpawnSpec {
            binary: std::env::current_exe().unwrap(),
            args: [
                "--exact",
                "common::stand_in::stand_in",
                "--nocapture",
                "--test-threads=1",
            ]
            .map(Into::into)
            .into(),
            env,
            ..SpawnSpec::default()
        }
    }

    /// Starts a daemon afresh and waits until it serves.
    pub(crate) fn start(&self, daemon: &SpawnSpec) -> Process {
        fs::create_dir_all(self.path("p")).unwrap();
        fs::create_dir_all(self.path("j")).unwrap();
        let process = self.launch(daemon);
        self.assert_serves(process.pid);
        process
    }

    /// Starts a process with the listener, and does not wait.
    pub(crate) fn launch(&self, spec: &SpawnSpec) -> Process {
        let spawned = spec.cold_start(&[(RESP, self.listener.as_fd())]).unwrap();
        self.adopt(spawned.child);
        spawned.process
    }

    /// Sees to it that a child is killed and reaped.
    pub(crate) fn adopt(&self, child: Child) {
        self.children
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(child);
    }

    /// Waits until this child has ended, and says how.
    pub(crate) fn exit_code(&self, process: Process) -> Option<i32> {
        assert!(process.wait_dead(PATIENCE), "pid {} ends", process.pid);
        let mut children = self.children.lock().unwrap();
        let child = children
            .iter_mut()
            .find(|child| child.id() == process.pid)
            .expect("a child of ours");
        child.wait().unwrap().code()
    }

    /// A supervisor in this process.
    pub(crate) fn supervisor(&self) -> Supervisor {
        self.supervisor_of(self.kvd(&[]))
    }

    pub(crate) fn supervisor_of(&self, daemon: SpawnSpec) -> Supervisor {
        Supervisor::new(self.control(), self.data(), daemon)
            .unwrap()
            .with_listener(RESP, self.listener.try_clone().unwrap())
            .with_journal(self.journal())
            .with_times(times())
    }

    /// A supervisor as a process of its own that hands over to `kvd` with these arguments. `more`
    /// are variables of [`stand_in`].
    pub(crate) fn supervisor_apart(&self, arguments: &[&str], more: &[(&str, &str)]) -> SpawnSpec {
        let successor = self.kvd(arguments);
        let lines: Vec<_> = successor.args.iter().map(|a| a.to_str().unwrap()).collect();
        let lines = lines.join("\n");
        let mut more = more.to_vec();
        more.push((stand_in::SUCCESSOR, &lines));
        self.stand_in(stand_in::SUPERVISOR, &more)
    }

    /// The process that holds the lock, once that is no longer `old`.
    pub(crate) fn new_holder(&self, old: Process) -> Process {
        let mut holder = None;
        assert!(wait_until(PATIENCE, || {
            holder = self.holder().filter(|pid| *pid != old.pid);
            holder.is_some()
        }));
        Process::of(holder.unwrap()).unwrap()
    }

    /// Waits until this process is the only one of this world's that lives.
    pub(crate) fn assert_alone(&self, process: Process) {
        let alive = |process: &Process| process.is_alive();
        let mut others = Vec::new();
        let alone = wait_until(PATIENCE, || {
            others = named(self.dir.path()).into_iter().filter(alive).collect();
            others == [process]
        });
        assert!(alone, "{process:?} is alone: {others:?}");
    }

    /// Performs a handoff, keeps the new process, and returns the report without it.
    pub(crate) fn handoff(&self, supervisor: &mut Supervisor, spec: &HandoffSpec) -> Report {
        let mut report = supervisor.handoff(spec).unwrap();
        if let Some(child) = report.child.take() {
            self.adopt(child);
        }
        report
    }

    /// A fresh supervisor replaces the daemon by a sound one, which then serves.
    pub(crate) fn assert_next_handoff_works(&self) -> Process {
        let report = self.handoff(&mut self.supervisor(), &quick(self.kvd(&[])));
        let pid = committed(&report);
        self.assert_serves(pid);
        Process::of(pid).unwrap()
    }

    /// The holder of the lock, as the pidfile says.
    pub(crate) fn holder(&self) -> Option<u32> {
        holder_hint(&self.data())
    }

    /// A write is acknowledged soon, the lock is this process's, and the control path leads to it.
    pub(crate) fn assert_serves(&self, pid: u32) {
        let mut last = String::new();
        let found = wait_until(PATIENCE, || {
            let written = client::set(self.address(), "k", "v");
            let answers = wire::who_answers(&self.control());
            let holder = self.holder();
            last = format!("write {written:?}, control path {answers:?}, lock {holder:?}");
            written.is_ok() && answers == Some(pid) && holder == Some(pid)
        });
        assert!(found, "pid {pid} serves: {last}");
    }

    /// Waits until a stand-in has told this.
    pub(crate) fn wait_event(&self, event: &str) {
        let found = wait_until(PATIENCE, || self.told(event) > 0);
        assert!(found, "{event} is told: {:?}", self.events());
    }

    /// How often stand-ins have told this.
    pub(crate) fn told(&self, event: &str) -> usize {
        let events = self.events();
        events.iter().filter(|told| told.contains(event)).count()
    }

    /// What stand-ins have told.
    pub(crate) fn events(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("events")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Lets a stand-in go on that waits, for it has the flag `hold-` with this name.
    pub(crate) fn go(&self, what: &str) {
        fs::write(self.path(&format!("go-{what}")), "").unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let children = self
            .children
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for child in children {
            let _ = child.kill();
            let _ = child.wait();
        }
        // What a stand-in supervisor started and left behind: it names our directory.
        for process in named(self.dir.path()) {
            let _ = process.kill(Signal::KILL);
            process.wait_dead(PATIENCE);
        }
    }
}

/// The processes, but for this one, whose arguments or environment name `dir`.
pub(crate) fn named(dir: &Path) -> Vec<Process> {
    let name = dir.as_os_str().as_encoded_bytes();
    let names = |file: PathBuf| {
        fs::read(file).is_ok_and(|text| text.windows(name.len()).any(|part| part == name))
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id())
        .filter_map(Process::of)
        .filter(|process| {
            let proc = PathBuf::from(format!("/proc/{}", process.pid));
            names(proc.join("cmdline")) || names(proc.join("environ"))
        })
        .collect()
}

/// The times of a test's supervisor.
pub(crate) fn times() -> SupervisorConfig {
    SupervisorConfig {
        connect: Duration::from_secs(2),
        ..SupervisorConfig::new(Task::Recover(None))
    }
}

/// A handoff to `successor` under deadlines that suit a test.
pub(crate) fn quick(successor: SpawnSpec) -> HandoffSpec {
    HandoffSpec {
        deadline: Duration::from_secs(10),
        drain_grace: Duration::from_secs(5),
        warmup_deadline: Duration::from_secs(10),
        ..HandoffSpec::new(successor)
    }
}

/// The same with a probation in which something is to happen. It ends all the same, so that a test in
/// which nothing does fails.
pub(crate) fn on_probation(successor: SpawnSpec) -> HandoffSpec {
    HandoffSpec {
        probation: 2 * PATIENCE,
        ..quick(successor)
    }
}

/// The new incumbent of a handoff that must have been committed.
pub(crate) fn committed(report: &Report) -> u32 {
    match report.outcome {
        handoff_std::core::SupervisorOutcome::Committed { successor, .. } => successor.pid,
        outcome => panic!("{outcome}; {:?}", report.timeline),
    }
}

/// Why a handoff that must have been rolled back was.
pub(crate) fn rolled_back(report: &Report) -> String {
    match report.outcome {
        handoff_std::core::SupervisorOutcome::RolledBack { cause, .. } => cause.to_string(),
        outcome => panic!("{outcome}; {:?}", report.timeline),
    }
}

/// Does `deed` once the supervisor enters `phase`, on its thread.
pub(crate) fn on_phase(
    supervisor: Supervisor,
    phase: handoff_std::core::supervisor::Phase,
    mut deed: impl FnMut() + Send + 'static,
) -> Supervisor {
    supervisor.with_observer(move |event| {
        if *event == SupervisorEvent::Phase(phase) {
            deed();
        }
    })
}

/// Does `deed` after `time`, beside the test.
pub(crate) fn later(time: Duration, deed: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        thread::sleep(time);
        deed();
    });
}

pub(crate) fn kill(process: Process) {
    process.kill(Signal::KILL).unwrap();
}

pub(crate) fn freeze(process: Process) {
    assert!(process.kill(Signal::STOP).unwrap(), "it is alive");
}

pub(crate) fn thaw(process: Process) {
    assert!(process.kill(Signal::CONT).unwrap(), "it is alive");
}

/// Whether `is_so` within `limit`.
pub(crate) fn wait_until(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + limit;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

//! A supervisor in a directory of its own, with so many services.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use tempfile::TempDir;

use super::desk::Desk;
use super::service::LISTENER;

/// How long all services together may take to be there, and again to end.
const PATIENCE: Duration = Duration::from_mins(5);

/// A supervisor that runs, and its services.
pub(super) struct Household {
    dir: TempDir,
    child: Child,
    /// Its services.
    pub(super) names: Vec<String>,
    /// From its start until every service ran.
    pub(super) start: Duration,
}

impl Household {
    /// Starts it, and waits until every service runs. `program` is this program, which is all of them.
    ///
    /// # Errors
    /// It did not start.
    pub(super) fn start(program: &Path, services: usize) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("fleet-").tempdir()?;
        let names: Vec<_> = (0..services).map(|at| format!("s{at}")).collect();
        let config = dir.path().join("fleet.toml");
        fs::write(&config, configuration(dir.path(), program, &names))?;
        allow_descriptors();
        let began = Instant::now();
        let child = Command::new(program)
            .args(["as-handoff", "supervise", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(File::create(dir.path().join("log"))?)
            .spawn()
            .context("the supervisor cannot be started")?;
        let mut this = Self {
            dir,
            child,
            names,
            start: Duration::ZERO,
        };
        this.wait_until_all_run()?;
        this.start = began.elapsed();
        Ok(this)
    }

    fn wait_until_all_run(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        // Asking costs the supervisor something, so it is not asked before the doors are answered.
        for name in self.names.clone() {
            while super::service::Answer::of(&self.door(&name)).is_err() {
                self.check(until)?;
                sleep(Duration::from_millis(1));
            }
        }
        while self.desk().running()? < self.names.len() {
            self.check(until)?;
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn check(&mut self, until: Instant) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the supervisor has ended, {status}:\n{}", self.log());
        }
        ensure!(
            Instant::now() < until,
            "the services do not start:\n{}",
            self.log()
        );
        Ok(())
    }

    /// The last of what the supervisor has said.
    pub(super) fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Lines of its log that hold this text.
    pub(super) fn said(&self, text: &str) -> usize {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains(text)).count()
    }

    /// The supervisor's pid.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it is asked.
    pub(super) fn desk(&self) -> Desk {
        Desk::at(self.dir.path().join("state/handoff.sock"))
    }

    /// Where this service listens.
    pub(super) fn door(&self, name: &str) -> PathBuf {
        self.dir.path().join(name).join("door")
    }

    /// Ends the supervisor, and with it the services; how long that took.
    ///
    /// # Errors
    /// It does not end well.
    pub(super) fn end(mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.signal(Signal::TERM);
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(began.elapsed() < PATIENCE, "the supervisor does not end");
            sleep(Duration::from_millis(1));
        };
        ensure!(
            status.success(),
            "the supervisor: {status}:\n{}",
            self.log()
        );
        Ok(began.elapsed())
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = self.child.id().try_into()
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Household {
    /// A measurement that failed leaves no process behind: told to end, the supervisor ends its services.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        self.signal(Signal::TERM);
        let until = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(
    clippy::unnecessary_debug_formatting,
    reason = "it quotes a path as TOML does"
)]
fn configuration(dir: &Path, program: &Path, names: &[String]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(text, "[supervisor]\nstate_dir = {:?}", dir.join("state"));
    for name in names {
        let home = dir.join(name);
        let _ = fs::create_dir_all(&home);
        let (control, data) = (home.join("control"), home.join("data"));
        let door = format!("unix:{}", home.join("door").display());
        let _ = write!(
            text,
            "[service.{name}]\nbinary = {program:?}\nargs = [\"service\", {control:?}, {data:?}]\n\
             control_socket = {control:?}\ndata_dir = {data:?}\n\
             [[service.{name}.listeners]]\nname = {LISTENER:?}\naddress = {door:?}\n"
        );
    }
    text
}

/// As many as we may have: the supervisor inherits the limit.
fn allow_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

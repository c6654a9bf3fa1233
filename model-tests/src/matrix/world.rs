//! The files and processes of one row. Nothing outlives its [`World`].

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use command_fds::{CommandFdExt, FdMapping};
use handoff_std::Process;
use handoff_std::host::Signal;
use handoff_supervisor::load::{Client, Reply};
use tempfile::TempDir;

use super::case::{Case, Runtime};
use super::remote::Remote;
use super::supervisor::{Files, RESP, SUPERVISOR};

/// How long something may take that needs no more than a moment of the processor.
const MOMENT: Duration = Duration::from_secs(5);
/// The queue of the listener.
const BACKLOG: i32 = 1024;
/// How often to look whether it is done.
const LOOK: Duration = Duration::from_millis(10);
/// How long a number of descriptors has to stay the same to be believed.
const CALM: Duration = Duration::from_millis(100);
/// The size of a data directory that can be filled, in KiB: a store takes about half of it.
const SMALL_DISK: u32 = 4096;

/// A directory, a listener, and whatever processes name the directory.
pub(super) struct World {
    dir: TempDir,
    /// What a supervisor inherits. The first one only, unless the row keeps it.
    listener: Option<TcpListener>,
    address: SocketAddr,
    /// What the listener is called in /proc.
    socket: String,
    case: Case,
    runtime: Runtime,
    binary: PathBuf,
}

impl World {
    /// A new one for this row, with processes of this binary.
    ///
    /// # Errors
    /// When there can be no directory or listener.
    pub(super) fn new(case: Case, runtime: Runtime, binary: &Path) -> anyhow::Result<Self> {
        // Short, since a control path has little room.
        let dir = tempfile::Builder::new().prefix("hfm").tempdir()?;
        for name in ["p", "d", "j"] {
            fs::create_dir(dir.path().join(name))?;
        }
        let listener = TcpListener::bind("127.0.0.1:0")?;
        // Holds a pause's worth of connections.
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(Self {
            dir,
            address: listener.local_addr()?,
            socket: format!("socket:[{}]", rustix::fs::fstat(&listener)?.st_ino),
            listener: Some(listener),
            case,
            runtime,
            binary: binary.to_owned(),
        })
    }

    /// Where the files are.
    pub(super) fn files(&self) -> Files {
        Files::of(self.dir.path())
    }

    /// What daemons, supervisors and health checks are.
    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Where clients connect.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts a supervisor. It has done nothing yet.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn supervisor(&mut self) -> anyhow::Result<Remote> {
        let mut command = if self.case == Case::FullDisk && self.listener.is_some() {
            // With a small filesystem of its own for the data.
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-ec"]).arg(format!(
                "mount -t tmpfs -o size={SMALL_DISK}k handoff \"$2/d\"; exec \"$0\" \"$@\""
            ));
            command.arg(&self.binary);
            command
        } else {
            Command::new(&self.binary)
        };
        command
            .arg(SUPERVISOR)
            .arg(self.dir.path())
            .arg(self.address.to_string())
            .args(["--runtime", &self.runtime.to_string()]);
        if let Some(old) = self.case.old() {
            command.args(["--old", &old.to_string()]);
        }
        // Whatever is started by whom, it can be found.
        command.env("HANDOFF_ROW", self.dir.path());
        for name in [
            "LISTEN_FDS",
            "LISTEN_FDNAMES",
            "LISTEN_PID",
            "HANDOFF_ROLE",
            "HANDOFF_SOCK_FD",
        ] {
            command.env_remove(name);
        }
        if let Some(listener) = &self.listener {
            command
                .env("LISTEN_FDS", "1")
                .env("LISTEN_FDNAMES", RESP)
                .fd_mappings(vec![FdMapping {
                    parent_fd: listener.as_fd().try_clone_to_owned()?,
                    child_fd: 3,
                }])?;
        }
        if std::env::var_os("RUST_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        let supervisor = Remote::start(command)?;
        if !self.case.keeps_listener() {
            self.listener = None;
        }
        Ok(supervisor)
    }

    /// The living processes whose arguments hold `words`, one after the other, besides the
    /// directory of this world.
    fn processes(&self, words: &[&str]) -> anyhow::Result<Vec<Process>> {
        let dir = self.dir.path().as_os_str().as_encoded_bytes();
        let words = words.join("\0");
        let holds = |text: &[u8], part: &[u8]| {
            part.is_empty() || text.windows(part.len()).any(|found| found == part)
        };
        let pids = fs::read_dir("/proc")?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        Ok(pids
            .filter_map(Process::of)
            .filter(|process| {
                let of = |file| fs::read(format!("/proc/{}/{file}", process.pid));
                let command = of("cmdline").unwrap_or_default();
                let ours =
                    holds(&command, dir) || of("environ").is_ok_and(|text| holds(&text, dir));
                ours && holds(&command, words.as_bytes()) && process.is_alive()
            })
            .collect())
    }

    /// The daemon of this version.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn daemon(&self, version: &str) -> anyhow::Result<Process> {
        let found = self.processes(&["--tag", version, ""])?;
        let first = found.first().copied();
        first.with_context(|| format!("there is no daemon of version {version:?}"))
    }

    /// Who answers clients. Waits for an answer.
    ///
    /// # Errors
    /// When nobody answers, or it is built on something else.
    pub(super) fn server(&self) -> anyhow::Result<Process> {
        let info = self.info()?;
        ensure!(
            field(&info, "runtime") == Some(&self.runtime.to_string()),
            "it should run on {}: {info}",
            self.runtime
        );
        let pid = field(&info, "pid").and_then(|pid| Process::of(pid.parse().ok()?));
        pid.with_context(|| format!("INFO names no process: {info}"))
    }

    /// Waits until whoever answers clients says that no older process can come back.
    ///
    /// # Errors
    /// It does not say so.
    pub(super) fn check_committed(&self) -> anyhow::Result<()> {
        ensure!(
            wait_until(|| self.is_committed()),
            "the committed hook was not called"
        );
        Ok(())
    }

    /// Whether whoever answers clients says so, if anybody does.
    pub(super) fn is_committed(&self) -> bool {
        self.info()
            .is_ok_and(|info| field(&info, "committed") == Some("yes"))
    }

    /// Whether anybody answers clients.
    pub(super) fn answers(&self) -> bool {
        self.info().is_ok()
    }

    fn info(&self) -> anyhow::Result<String> {
        let until = Instant::now() + MOMENT;
        let mut client = Client::connect(self.address, MOMENT)?;
        client.send(b"INFO\r\n", until, || true)?;
        let Reply::Bulk(Some(info)) = client.receive(until, || true)? else {
            return Err(anyhow!("INFO is not answered with a text"));
        };
        Ok(String::from_utf8_lossy(&info).into_owned())
    }

    /// The process has the listener that there was at the beginning.
    ///
    /// # Errors
    /// It has not.
    pub(super) fn check_listener(&self, process: Process) -> anyhow::Result<()> {
        let open = targets(process);
        ensure!(
            open.contains(&self.socket),
            "pid {} has not {}, but {open:?}",
            process.pid,
            self.socket
        );
        Ok(())
    }

    /// What the daemons have written down of their hooks: pid and hook, in order.
    ///
    /// # Errors
    /// When that cannot be read.
    pub(super) fn hooks(&self) -> anyhow::Result<Vec<(u32, String)>> {
        let text = fs::read_to_string(self.files().hooks)?;
        text.lines()
            .map(|line| {
                let (pid, hook) = line.split_once(' ').context("half a line")?;
                Ok((pid.parse()?, hook.to_owned()))
            })
            .collect()
    }

    /// Waits until only these processes are left, no socket but the control path, and no journal.
    ///
    /// # Errors
    /// Says what is left.
    pub(super) fn check_leftovers(&self, wanted: &[Process]) -> anyhow::Result<()> {
        let mut others = Vec::new();
        wait_until(|| {
            others = self.processes(&[]).unwrap_or_default();
            others.retain(|process| !wanted.contains(process));
            others.is_empty()
        });
        ensure!(others.is_empty(), "processes are left: {others:?}");
        let files = self.files();
        let mut names = Vec::new();
        for entry in fs::read_dir(self.dir.path().join("p"))? {
            names.push(entry?.file_name());
        }
        ensure!(names == ["c"], "beside the control path there is {names:?}");
        ensure!(!files.journal.exists(), "a journal is left");
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Again, since a supervisor may start another one meanwhile.
        wait_until(|| {
            let left = self.processes(&[]).unwrap_or_default();
            for process in &left {
                // It may have ended by itself.
                let _ = process.kill(Signal::KILL);
            }
            left.is_empty()
        });
    }
}

/// How many descriptors a process has open, once that number stays the same.
///
/// # Errors
/// When it is gone, or the number does not settle.
pub(super) fn descriptors(process: Process) -> anyhow::Result<usize> {
    let until = Instant::now() + MOMENT;
    let mut last = count(process)?;
    let mut since = Instant::now();
    while since.elapsed() < CALM {
        ensure!(
            Instant::now() < until,
            "pid {} opens and closes descriptors all the time",
            process.pid
        );
        thread::sleep(LOOK);
        let now = count(process)?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(last)
}

/// Waits until it has so many descriptors.
///
/// # Errors
/// When it goes on having another number.
pub(super) fn check_descriptors(process: Process, wanted: usize) -> anyhow::Result<()> {
    let mut found = 0;
    wait_until(|| {
        found = count(process).unwrap_or_default();
        found == wanted
    });
    ensure!(
        found == wanted,
        "pid {} has {found} descriptors open instead of {wanted}: {}",
        process.pid,
        targets(process).join(" ")
    );
    Ok(())
}

fn field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

fn count(process: Process) -> anyhow::Result<usize> {
    let list = fs::read_dir(format!("/proc/{}/fd", process.pid));
    Ok(list
        .with_context(|| format!("pid {} is gone", process.pid))?
        .count())
}

fn targets(process: Process) -> Vec<String> {
    let list = fs::read_dir(format!("/proc/{}/fd", process.pid));
    let entries = list.into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string()))
        .collect()
}

/// Waits a moment for `is_so`.
pub(super) fn wait_until(mut is_so: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + MOMENT;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(LOOK);
    }
}

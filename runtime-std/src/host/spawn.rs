//! How a daemon is born: its listeners at descriptor 3 and up, and for a successor one end of a
//! socketpair behind them (protocol, section 3). [`super::inherit`] is the other end.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::child::Child;
use super::inherit::variables::{
    HANDOFF_ROLE, HANDOFF_SOCK_FD, LISTEN_FDNAMES, LISTEN_FDS, LISTEN_PID, SUCCESSOR,
};
use super::inherit::{FIRST_FD, MAX_LISTENERS};
use super::listen::{ListenError, check_name};
use super::process::Process;
use super::user::User;

mod birth;

use birth::{Birth, Descriptors};

/// Why a daemon could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// There is no such program.
    #[error("{} does not exist; check the path of the binary", binary.display())]
    NoBinary {
        /// The program.
        binary: PathBuf,
    },
    /// The path leads to something that is not a file.
    #[error("{} is not a file; give the path of the binary itself", binary.display())]
    NotAFile {
        /// The program.
        binary: PathBuf,
    },
    /// Its mode forbids running it.
    #[error("{0} is not executable; try: chmod +x {0}", binary.display())]
    NotExecutable {
        /// The program.
        binary: PathBuf,
    },
    /// The system would not run it.
    #[error("cannot run {}: {source}{}", binary.display(), advice(binary, source))]
    Exec {
        /// The program.
        binary: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The directory to start it in is not there.
    #[error("the working directory {} cannot be entered: it is not a directory", path.display())]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A listener's name cannot be told to the child.
    #[error(transparent)]
    Name(#[from] ListenError),
    /// More listeners than can be handed over.
    #[error("{count} listeners are too many, at most {MAX_LISTENERS} can be handed over")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// Descriptors for the child could not be made ready.
    #[error("cannot prepare the descriptors of a new process: {source}")]
    Descriptors {
        /// The system's reason.
        source: io::Error,
    },
}

/// What our own service manager told us, systemd's `sd_notify(3)`: a child that inherited it would speak
/// for us. `env` of a [`SpawnSpec`] may set it all the same.
const SERVICE_MANAGER: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// What we were told at our own birth, and no child is.
const OUR_BIRTH: [&str; 5] = [
    LISTEN_FDS,
    LISTEN_FDNAMES,
    LISTEN_PID,
    HANDOFF_ROLE,
    HANDOFF_SOCK_FD,
];

/// Where a program is looked for if there is no `PATH`, as `execvp(3)` has it.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

fn advice(binary: &Path, source: &io::Error) -> &'static str {
    match Errno::from_io_error(source) {
        Some(Errno::NOENT) if is_looked_for(binary) => {
            "; it is in no directory of PATH: give its path"
        }
        // That the file itself exists was looked at before.
        Some(Errno::NOENT) => "; its interpreter (the line #!) or dynamic loader is missing",
        Some(Errno::NOEXEC) => {
            "; it is no program for this machine, or a script without its first line, #!"
        }
        Some(Errno::TXTBSY) => "; it is still being written: install by renaming it into place",
        Some(Errno::ACCESS) => "; its directory or filesystem (noexec) forbids running it",
        Some(Errno::AGAIN) => "; the limit of processes is reached",
        Some(Errno::PERM) => "; only root can run it as another user",
        _ => "",
    }
}

/// The program to run and what it is given. What is not said here it has as this process has it: its
/// standard output and error, its limits. Its standard input is empty, no signal is blocked in it, and
/// SIGPIPE is not ignored.
#[derive(Debug, Clone, Default)]
pub struct SpawnSpec {
    /// The program; looked for in the `PATH` that it gets if it holds no slash.
    pub binary: PathBuf,
    /// Its arguments, without the program's own name.
    pub args: Vec<OsString>,
    /// Variables set besides the inherited environment. `NOTIFY_SOCKET`, `WATCHDOG_PID` and
    /// `WATCHDOG_USEC` are not inherited.
    pub env: Vec<(OsString, OsString)>,
    /// Whether nothing is inherited of the environment: it then has `env` alone, beside what tells it
    /// of its listeners.
    pub clear_env: bool,
    /// The user it runs as, with that user's own group and no further ones; ours if `None`. Another
    /// one takes root.
    pub user: Option<User>,
    /// The directory it starts in; ours if `None`.
    pub current_dir: Option<PathBuf>,
    /// Whether it gets a process group of its own. A Ctrl-C at the terminal then reaches its
    /// supervisor alone, which can stop it in order; otherwise it reaches both.
    pub own_group: bool,
}

/// A daemon that was started.
#[derive(Debug)]
pub struct Spawned {
    /// To wait for it.
    pub child: Child,
    /// Who it is, for the journal and for killing it later.
    pub process: Process,
}

impl SpawnSpec {
    /// Start the program with nothing but its listeners, as systemd would.
    ///
    /// # Errors
    /// [`SpawnError`]; no process is left behind.
    pub fn cold_start(&self, listeners: &[(&str, BorrowedFd<'_>)]) -> Result<Spawned, SpawnError> {
        self.spawn(listeners, None)
    }

    /// Start the program as a successor. The stream is our end of the successor channel,
    /// close-on-exec and non-blocking; it ends when the successor does.
    ///
    /// # Errors
    /// [`SpawnError`]; no process is left behind.
    pub fn successor(
        &self,
        listeners: &[(&str, BorrowedFd<'_>)],
    ) -> Result<(Spawned, UnixStream), SpawnError> {
        let (ours, theirs) = UnixStream::pair().map_err(descriptors)?;
        ours.set_nonblocking(true).map_err(descriptors)?;
        let spawned = self.spawn(listeners, Some(theirs.as_fd()))?;
        Ok((spawned, ours))
    }

    /// Start the program beside the daemon, with no listener and no word of any.
    ///
    /// # Errors
    /// [`SpawnError`]; no process is left behind.
    pub fn helper(&self) -> Result<Spawned, SpawnError> {
        self.begin(self.environment(), &[])
    }

    /// Look whether the binary can be run at all, without running it.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub fn check(&self) -> Result<(), SpawnError> {
        self.program(&self.environment()).map(drop)
    }

    fn spawn(
        &self,
        listeners: &[(&str, BorrowedFd<'_>)],
        channel: Option<BorrowedFd<'_>>,
    ) -> Result<Spawned, SpawnError> {
        if listeners.len() > MAX_LISTENERS {
            return Err(SpawnError::TooMany {
                count: listeners.len(),
            });
        }
        let names: Vec<_> = listeners.iter().map(|(name, _)| *name).collect();
        for name in &names {
            check_name(name)?;
        }
        let mut env = self.environment();
        env.insert(LISTEN_FDS.into(), names.len().to_string().into());
        env.insert(LISTEN_FDNAMES.into(), names.join(":").into());
        if channel.is_some() {
            let at = (FIRST_FD..).nth(names.len()).unwrap_or(RawFd::MAX);
            env.insert(HANDOFF_ROLE.into(), SUCCESSOR.into());
            env.insert(HANDOFF_SOCK_FD.into(), at.to_string().into());
        }
        let fds: Vec<_> = listeners.iter().map(|(_, fd)| *fd).chain(channel).collect();
        self.begin(env, &fds)
    }

    fn begin(
        &self,
        env: BTreeMap<OsString, OsString>,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Spawned, SpawnError> {
        let (program, name) = self.program(&env)?;
        let birth = Birth {
            spec: self,
            program,
            name,
            env,
            descriptors: Descriptors::new(fds).map_err(descriptors)?,
        };
        let child = birth.begin().map_err(|source| exec(&self.binary, source))?;
        let pid = child.id();
        // Not reaped yet, so the pid is the child's, dead or alive.
        let process = Process::of(pid).unwrap_or(Process { pid, start: 0 });
        Ok(Spawned { child, process })
    }

    /// Our environment and the one that was asked for, without what is only for us.
    fn environment(&self) -> BTreeMap<OsString, OsString> {
        let mut env = BTreeMap::new();
        if !self.clear_env {
            env.extend(env::vars_os());
        }
        env.retain(|name, _| !is_among(name, &SERVICE_MANAGER));
        env.extend(self.env.iter().cloned());
        env.retain(|name, _| !is_among(name, &OUR_BIRTH));
        env
    }

    /// Where the program is and what it is told that it is called, after a look at what can be found
    /// wrong before it is run.
    fn program(
        &self,
        env: &BTreeMap<OsString, OsString>,
    ) -> Result<(PathBuf, OsString), SpawnError> {
        let found = if is_looked_for(&self.binary) {
            let path = env.get(OsStr::new("PATH"));
            let path = path.map_or(OsStr::new(DEFAULT_PATH), OsString::as_os_str);
            (look_for(&self.binary, path)?, self.binary.clone().into())
        } else {
            // The child may start in another directory.
            let program = absolute(&self.binary);
            check_binary(&program)?;
            (program.clone(), program.into())
        };
        match &self.current_dir {
            Some(path) if !path.is_dir() => Err(SpawnError::NoDirectory { path: path.clone() }),
            _ => Ok(found),
        }
    }
}

/// Whether it is a name to look for in `PATH`, and no path.
fn is_looked_for(binary: &Path) -> bool {
    !binary.as_os_str().as_encoded_bytes().contains(&b'/')
}

/// The first program of this name in the directories of `path`.
fn look_for(name: &Path, path: &OsStr) -> Result<PathBuf, SpawnError> {
    let mut nowhere = exec(name, Errno::NOENT.into());
    for directory in env::split_paths(path) {
        let program = absolute(&directory.join(name));
        match check_binary(&program) {
            Ok(()) => return Ok(program),
            // If no other is found, it is what was meant.
            Err(error @ SpawnError::NotExecutable { .. }) => nowhere = error,
            Err(_) => {}
        }
    }
    Err(nowhere)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn is_among(name: &OsStr, names: &[&str]) -> bool {
    names.iter().any(|one| name == *one)
}

fn check_binary(binary: &Path) -> Result<(), SpawnError> {
    let binary = binary.to_path_buf();
    match fs::metadata(&binary) {
        Ok(found) if !found.is_file() => Err(SpawnError::NotAFile { binary }),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => {
            Err(SpawnError::NotExecutable { binary })
        }
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(SpawnError::NoBinary { binary }),
        Err(source) => Err(SpawnError::Exec { binary, source }),
    }
}

fn exec(binary: &Path, source: io::Error) -> SpawnError {
    SpawnError::Exec {
        binary: binary.to_path_buf(),
        source,
    }
}

fn descriptors(source: io::Error) -> SpawnError {
    SpawnError::Descriptors { source }
}

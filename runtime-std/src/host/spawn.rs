//! How a daemon is born: its listeners at descriptor 3 and up, and for a successor one end of a
//! socketpair behind them (protocol, section 3). [`super::inherit`] is the other end.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

use super::inherit::variables::{
    HANDOFF_ROLE, HANDOFF_SOCK_FD, LISTEN_FDNAMES, LISTEN_FDS, LISTEN_PID, SUCCESSOR,
};
use super::inherit::{FIRST_FD, MAX_LISTENERS};
use super::listen::{ListenError, check_name};
use super::process::Process;
use super::user::User;

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

fn advice(binary: &Path, source: &io::Error) -> &'static str {
    let is_looked_for = !binary.as_os_str().as_encoded_bytes().contains(&b'/');
    match Errno::from_io_error(source) {
        Some(Errno::NOENT) if is_looked_for => "; it is in no directory of PATH: give its path",
        // That the file itself exists was looked at before.
        Some(Errno::NOENT) => "; its interpreter (the line #!) or dynamic loader is missing",
        Some(Errno::TXTBSY) => "; it is still being written: install by renaming it into place",
        Some(Errno::ACCESS) => "; its directory or filesystem (noexec) forbids running it",
        Some(Errno::AGAIN) => "; the limit of processes is reached",
        Some(Errno::PERM) => "; only root can run it as another user",
        _ => "",
    }
}

/// The program to run and what it is given.
#[derive(Debug, Clone, Default)]
pub struct SpawnSpec {
    /// The program; looked for in `PATH` if it holds no slash.
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
        let mut command = self.command()?;
        forget_birth(&mut command);
        self.run(&mut command)
    }

    /// Look whether the binary can be run at all, without running it.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub fn check(&self) -> Result<(), SpawnError> {
        self.command().map(drop)
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
        let mut command = self.command()?;
        set_environment(&mut command, listeners, channel.is_some())?;

        let fds: Vec<_> = listeners.iter().map(|(_, fd)| *fd).chain(channel).collect();
        // Held until the child runs.
        let _occupied = place(&mut command, &fds).map_err(descriptors)?;
        self.run(&mut command)
    }

    fn run(&self, command: &mut Command) -> Result<Spawned, SpawnError> {
        let child = command.spawn().map_err(|source| SpawnError::Exec {
            binary: self.binary.clone(),
            source,
        })?;
        let pid = child.id();
        // Not reaped yet, so the pid is the child's, dead or alive.
        let process = Process::of(pid).unwrap_or(Process { pid, start: 0 });
        Ok(Spawned { child, process })
    }

    /// The command, after a look at what can be found wrong before a fork.
    fn command(&self) -> Result<Command, SpawnError> {
        let mut program = self.binary.clone();
        if self.binary.as_os_str().as_encoded_bytes().contains(&b'/') {
            // The child may start in another directory.
            program = std::path::absolute(&self.binary).unwrap_or(program);
            check_binary(&program)?;
        }
        let mut command = Command::new(program);
        if self.clear_env {
            command.env_clear();
        }
        for name in SERVICE_MANAGER {
            command.env_remove(name);
        }
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        if self.own_group {
            command.process_group(0);
        }
        if let Some(User { uid, gid }) = self.user {
            // std gives up our further groups with that.
            command.uid(uid).gid(gid);
        }
        if let Some(path) = &self.current_dir {
            if !path.is_dir() {
                return Err(SpawnError::NoDirectory { path: path.clone() });
            }
            command.current_dir(path);
        }
        Ok(command)
    }
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

/// The variables of the convention, and none that are left from our own birth.
fn set_environment(
    command: &mut Command,
    listeners: &[(&str, BorrowedFd<'_>)],
    successor: bool,
) -> Result<(), SpawnError> {
    let names: Vec<_> = listeners.iter().map(|(name, _)| *name).collect();
    for name in &names {
        check_name(name)?;
    }
    forget_birth(command);
    command.env(LISTEN_FDS, names.len().to_string());
    command.env(LISTEN_FDNAMES, names.join(":"));
    if successor {
        command.env(HANDOFF_ROLE, SUCCESSOR);
        command.env(HANDOFF_SOCK_FD, (3 + names.len()).to_string());
    }
    Ok(())
}

/// No child is told what we were told at our own birth.
fn forget_birth(command: &mut Command) {
    for name in [
        LISTEN_FDS,
        LISTEN_FDNAMES,
        LISTEN_PID,
        HANDOFF_ROLE,
        HANDOFF_SOCK_FD,
    ] {
        command.env_remove(name);
    }
}

/// Have `fds` appear at descriptor 3 and up in the child.
///
/// Returns what keeps those numbers occupied here until the child runs. std hears of a failed exec
/// through a pipe that it opens at the lowest free number; were that one of the child's numbers, a
/// listener would take its place, and the failure would pass for a success.
fn place(command: &mut Command, fds: &[BorrowedFd<'_>]) -> io::Result<Vec<OwnedFd>> {
    let Some(any) = fds.first() else {
        return Ok(Vec::new());
    };
    let targets = FIRST_FD..;
    let first_free = targets.clone().nth(fds.len()).unwrap_or(RawFd::MAX);
    let mappings = fds
        .iter()
        .zip(targets)
        .map(|(fd, child_fd)| {
            Ok(FdMapping {
                parent_fd: fcntl_dupfd_cloexec(fd, first_free)?,
                child_fd,
            })
        })
        .collect::<io::Result<_>>()?;
    command.fd_mappings(mappings).map_err(io::Error::other)?;

    let mut occupied = Vec::new();
    loop {
        let fd = fcntl_dupfd_cloexec(any, FIRST_FD)?;
        if fd.as_raw_fd() >= first_free {
            return Ok(occupied);
        }
        occupied.push(fd);
    }
}

fn descriptors(source: io::Error) -> SpawnError {
    SpawnError::Descriptors { source }
}

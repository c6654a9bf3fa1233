//! How a process is started: all that it is given, in one place, and the two ways to give it.

use std::collections::BTreeMap;
use std::ffi::{CString, NulError, OsStr, OsString};
use std::fs::File;
use std::io;
use std::iter;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use command_fds::{CommandFdExt, FdMapping};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::Pid;

use super::SpawnSpec;
use crate::host::child::Child;
use crate::host::inherit::FIRST_FD;
use crate::host::user::User;

/// What a process is started with. Whatever is not named here it has as we have it; its signal mask is
/// empty, and a broken pipe kills it.
pub(super) struct Birth<'a> {
    /// Arguments, user, directory and process group.
    pub(super) spec: &'a SpawnSpec,
    /// The program; with a slash, so that nothing is looked for any more.
    pub(super) program: PathBuf,
    /// What it is told that it is called.
    pub(super) name: OsString,
    /// All of its environment.
    pub(super) env: BTreeMap<OsString, OsString>,
    /// All of its descriptors but for standard output and error.
    pub(super) descriptors: Descriptors,
}

/// Descriptors for a child, each with the number that it has there. Here they are above all of those
/// numbers, so that none is overwritten before it is placed, and are close-on-exec.
pub(super) struct Descriptors {
    placed: Vec<(OwnedFd, RawFd)>,
    /// Above all numbers in the child.
    first_free: RawFd,
}

impl Descriptors {
    /// Nothing to read at standard input, and these at descriptor 3 and up.
    pub(super) fn new(fds: &[BorrowedFd<'_>]) -> io::Result<Self> {
        let null = File::open("/dev/null")?;
        let first_free = (FIRST_FD..).nth(fds.len()).unwrap_or(RawFd::MAX);
        let placed = iter::once((null.as_fd(), 0))
            .chain(fds.iter().copied().zip(FIRST_FD..))
            .map(|(fd, there)| Ok((fcntl_dupfd_cloexec(fd, first_free)?, there)))
            .collect::<io::Result<_>>()?;
        Ok(Self { placed, first_free })
    }

    /// What keeps the child's numbers from being used here while it lives.
    fn occupy(&self) -> io::Result<Vec<OwnedFd>> {
        let null = File::open("/dev/null")?;
        let mut occupied = Vec::new();
        loop {
            let fd = fcntl_dupfd_cloexec(&null, FIRST_FD)?;
            if fd.as_raw_fd() >= self.first_free {
                return Ok(occupied);
            }
            occupied.push(fd);
        }
    }
}

impl Birth<'_> {
    /// Start the process.
    ///
    /// `posix_spawn` runs no code of ours between fork and exec, so it need not copy our page tables,
    /// which takes the longer the more we hold. It cannot make the child another user, nor on every
    /// system start it in another directory; std can, with a fork.
    pub(super) fn begin(self) -> io::Result<Child> {
        if self.spec.user.is_none() && self.spec.current_dir.is_none() {
            self.posix_spawn()
        } else {
            self.fork()
        }
    }

    fn posix_spawn(&self) -> io::Result<Child> {
        // nix does not hear of it if one of these calls fails, but all they can lack is memory: that the
        // descriptors' numbers are possible was seen when they were duplicated.
        let mut actions = PosixSpawnFileActions::init()?;
        for (fd, there) in &self.descriptors.placed {
            actions.add_dup2(fd.as_raw_fd(), *there)?;
        }
        let mut attributes = PosixSpawnAttr::init()?;
        let mut flags =
            PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
        attributes.set_sigmask(&SigSet::empty())?;
        attributes.set_sigdefault(&SigSet::from(Signal::SIGPIPE))?;
        if self.spec.own_group {
            flags |= PosixSpawnFlags::POSIX_SPAWN_SETPGROUP;
            attributes.set_pgroup(nix::unistd::Pid::from_raw(0))?;
        }
        attributes.set_flags(flags)?;

        let args = iter::once(&self.name).chain(&self.spec.args);
        let args = args
            .map(|arg| c_string(&[arg]))
            .collect::<Result<Vec<_>, _>>()?;
        let env = self.env.iter();
        let env = env
            .map(|(name, value)| c_string(&[name, OsStr::new("="), value]))
            .collect::<Result<Vec<_>, _>>()?;
        let pid = posix_spawn(&self.program, &actions, &attributes, &args, &env)?;
        // No child has a pid that is not above zero.
        let pid = Pid::from_raw(pid.as_raw()).ok_or(Errno::CHILD)?;
        Ok(Child::of(pid))
    }

    #[allow(unsafe_code)]
    fn fork(self) -> io::Result<Child> {
        // std hears of a failed exec through a pipe that it opens at the lowest free number; were that
        // one of the child's, a listener would take its place, and the failure pass for a success.
        let _occupied = self.descriptors.occupy()?;
        let mut command = Command::new(&self.program);
        command.arg0(&self.name).args(&self.spec.args);
        command.env_clear().envs(&self.env);
        let mappings = self.descriptors.placed.into_iter();
        let mappings = mappings
            .map(|(parent_fd, child_fd)| FdMapping {
                parent_fd,
                child_fd,
            })
            .collect();
        command.fd_mappings(mappings).map_err(io::Error::other)?;
        if self.spec.own_group {
            command.process_group(0);
        }
        if let Some(User { uid, gid }) = self.spec.user {
            // std gives up our further groups with that.
            command.uid(uid).gid(gid);
        }
        if let Some(path) = &self.spec.current_dir {
            command.current_dir(path);
        }
        // SAFETY: it allocates nothing and takes no lock; `pthread_sigmask` may be called there.
        unsafe { command.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?)) };
        Ok(command.spawn()?.into())
    }
}

fn c_string(parts: &[&OsStr]) -> Result<CString, NulError> {
    let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
    CString::new(parts.concat())
}

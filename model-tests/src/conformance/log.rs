//! What every part of the kit needs: what was seen, why a scenario stopped, where its files are, and waiting.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use handoff_core::wire::HandoffId;
use handoff_std::host::descriptors::{self, Wanted};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long the kit waits for what is to come. Only a failure takes as long.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The files of a scenario.
#[derive(Debug, Clone)]
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) const fn at(dir: PathBuf) -> Self {
        Self(dir)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.0
    }

    pub(super) fn control(&self) -> PathBuf {
        self.0.join("control")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    pub(super) fn recordings(&self) -> PathBuf {
        self.0.join("recordings")
    }

    /// Where the processes of a scenario tell the kit what happens to them.
    pub(super) fn stage(&self) -> PathBuf {
        self.0.join("stage")
    }
}

/// Why a scenario did not go on.
#[derive(Debug, Default)]
pub struct Stopped(pub(super) String);

impl From<String> for Stopped {
    fn from(why: String) -> Self {
        Self(why)
    }
}

impl From<&str> for Stopped {
    fn from(why: &str) -> Self {
        Self(why.into())
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// What was seen so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(Rc<RefCell<(Vec<String>, Option<HandoffId>)>>);

impl Log {
    pub(super) fn line(&self, words: fmt::Arguments<'_>) {
        self.0.borrow_mut().0.push(words.to_string());
    }

    /// All lines.
    pub(super) fn take(&self) -> Vec<String> {
        self.0.take().0
    }

    /// The handoff has this id.
    pub(super) fn names(&self, id: HandoffId) {
        self.0.borrow_mut().1.get_or_insert(id);
    }

    pub(super) fn id(&self) -> Option<HandoffId> {
        self.0.borrow().1
    }
}

/// Reads a line, and the descriptors that came with it.
pub(super) fn read_line(socket: &UnixStream) -> Result<(String, Vec<OwnedFd>), Stopped> {
    let (mut line, mut fds) = (Vec::new(), Vec::new());
    let until = Instant::now() + PATIENCE;
    while line.last() != Some(&b'\n') {
        if !readable(socket.as_fd(), until) {
            return Err("a process of the kit hangs".into());
        }
        let mut room = [0; 256];
        let got = descriptors::receive(socket, &mut room, Wanted::Yes)?;
        if got.count == 0 {
            return Err("a process has gone in the middle of a word".into());
        }
        line.extend(room.get(..got.count).unwrap_or_default());
        fds.extend(got.descriptors);
    }
    Ok((String::from_utf8_lossy(&line).trim_end().to_owned(), fds))
}

/// Whether there is something to be read before then.
pub(super) fn readable(fd: BorrowedFd<'_>, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(_) if left.is_zero() => return false,
            Err(_) => {}
        }
    }
}

//! The control path P: a Unix stream socket that the current incumbent listens on.
//!
//! It is bound under a temporary sibling name, given mode 0600 before anybody can connect, and
//! renamed into place, so that P always leads to somebody who listens. [`ControlListener::stage`]
//! does everything that can fail; [`StagedControl::publish`] is one rename (protocol, section 3: a
//! bind that fails is found before Ready, not after).
//!
//! Whose P is, is told by the file's device and inode, which a rename keeps: an incumbent that finds
//! another's file there has been replaced (`C2`).

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handoff_core::op::PathOwner;
use rustix::io::Errno;

use super::peer::{PeerCredentials, uid_allowed};
use super::socket;

mod path;

pub use path::{ControlError, PATH_LIMIT, check_path, remove_stale};
use path::{TempName, bind_temporary, refuse_other_files};

/// What came of one attempt to accept.
#[derive(Debug)]
#[must_use]
pub enum Accept {
    /// A connection from a peer that may talk to us; close-on-exec and non-blocking.
    Accepted(UnixStream, PeerCredentials),
    /// Nobody is waiting: wait for readiness.
    WouldBlock,
    /// A peer that may not talk to us; closed before a byte was read. Accept again.
    Refused {
        /// Its user id.
        uid: u32,
    },
    /// That connection was lost on the way. Accept again.
    Retry,
    /// The system is short of descriptors or memory, or a policy forbids it now. The peer stays in
    /// the queue, so the listener stays ready: wait a little (100 ms), then accept again.
    BackOff(io::Error),
    /// The listener is of no more use: bind again.
    Broken(io::Error),
}

/// Connect to the incumbent at `path` without ever waiting. The stream is close-on-exec and
/// non-blocking; the credentials are those of the process that listens.
///
/// # Errors
/// `WouldBlock` when the incumbent's queue is full, `ConnectionRefused` or `NotFound` when nobody
/// listens, or whatever else the system says.
pub fn connect(path: &Path) -> io::Result<(UnixStream, PeerCredentials)> {
    let stream = UnixStream::from(socket::connect(path)?);
    let peer = PeerCredentials::of(&stream)?;
    Ok((stream, peer))
}

/// Whether another process listens at `path`. The socket that a dead process left behind leads to
/// nobody, so it takes a knock to tell.
///
/// # Errors
/// When the system does not let us knock (out of descriptors, for instance).
pub fn knock(path: &Path) -> io::Result<PathOwner> {
    use io::ErrorKind::{ConnectionRefused, NotADirectory, NotFound, WouldBlock};
    match socket::connect(path).map_err(|e| (e.kind(), e)) {
        // A full queue: somebody lives who is to empty it.
        Ok(_) | Err((WouldBlock, _)) => Ok(PathOwner::Theirs),
        Err((ConnectionRefused | NotFound | NotADirectory, _)) => Ok(PathOwner::Nobody),
        Err((_, error)) => Err(error),
    }
}

/// A control socket that listens under a temporary name, ready to be renamed into place. Dropping it
/// removes the temporary name.
#[derive(Debug)]
pub struct StagedControl {
    listener: ControlListener,
    temp: TempName,
}

impl StagedControl {
    /// Rename it into place, atomically replacing a socket that was there.
    ///
    /// # Errors
    /// With the staged socket, so that it can be tried again.
    pub fn publish(mut self) -> Result<ControlListener, Box<(Self, ControlError)>> {
        let path = &self.listener.file.path;
        let renamed = refuse_other_files(path).and_then(|()| {
            fs::rename(&self.temp.path, path)
                .map_err(|e| ControlError::new(path, "rename a socket to", e))
        });
        match renamed {
            Ok(()) => {
                self.temp.renamed = true;
                Ok(self.listener)
            }
            Err(error) => Err(Box::new((self, error))),
        }
    }
}

/// The file of a control socket: its path, and how it is told from the socket of another process
/// that has been renamed over it.
#[derive(Debug, Clone)]
pub struct ControlFile {
    path: PathBuf,
    /// Device and inode.
    node: (u64, u64),
}

impl ControlFile {
    /// The control path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose socket the control path leads to now.
    ///
    /// # Errors
    /// See [`knock`].
    pub fn owner(&self) -> io::Result<PathOwner> {
        if self.is_in_place() {
            Ok(PathOwner::Ours)
        } else {
            knock(&self.path)
        }
    }

    /// Remove the control path if it still leads here, and say whether it did.
    ///
    /// Between the look and the removal another process could rename its own socket into place. Only
    /// a process with a claim to L does, so call this while L is held.
    ///
    /// # Errors
    /// Whatever the system says to the removal.
    pub fn unlink_if_ours(&self) -> io::Result<bool> {
        let ours = self.is_in_place();
        if ours {
            fs::remove_file(&self.path)?;
        }
        Ok(ours)
    }

    fn is_in_place(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.node)
    }
}

/// The control socket, in place. Dropping it closes it and leaves the file where it is: it may be a
/// successor's by now. A daemon that stops for good calls
/// [`ControlFile::unlink_if_ours`].
#[derive(Debug)]
pub struct ControlListener {
    socket: Arc<UnixListener>,
    file: ControlFile,
    /// A descriptor kept for bad times: given up so that a supervisor can be let in although the
    /// daemon's clients use up all others.
    spare: Option<OwnedFd>,
}

impl ControlListener {
    /// Bind a control socket under a temporary name beside `path`, and remove what dead processes
    /// left there of such names.
    ///
    /// # Errors
    /// [`ControlError`]; nothing is left behind.
    pub fn stage(path: &Path) -> Result<StagedControl, ControlError> {
        check_path(path)?;
        refuse_other_files(path)?;
        remove_stale(path);
        let (socket, temp) =
            bind_temporary(path).map_err(|e| ControlError::new(path, "bind", e))?;
        let file =
            fs::symlink_metadata(&temp.path).map_err(|e| ControlError::new(path, "look at", e))?;
        let listener = Self {
            spare: reserve(&socket),
            socket: Arc::new(socket),
            file: ControlFile {
                path: path.to_path_buf(),
                node: (file.dev(), file.ino()),
            },
        };
        Ok(StagedControl { listener, temp })
    }

    /// [`stage`](Self::stage) and [`publish`](StagedControl::publish) at once.
    ///
    /// # Errors
    /// [`ControlError`]; nothing is left behind.
    pub fn bind(path: &Path) -> Result<Self, ControlError> {
        Self::stage(path)?.publish().map_err(|failed| failed.1)
    }

    /// The file that it was bound to.
    pub const fn file(&self) -> &ControlFile {
        &self.file
    }

    /// Accept one connection, without waiting. `also_allowed` are the user ids that may talk to us
    /// besides our own and root's.
    pub fn accept(&mut self, also_allowed: &[u32]) -> Accept {
        self.refill();
        let mut accepted = self.socket.accept();
        if accepted.as_ref().is_err_and(out_of_descriptors) && self.spare.take().is_some() {
            accepted = self.socket.accept();
            if accepted.is_err() {
                self.refill();
            }
        }
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => return classify(error),
        };
        // Either fails only if the peer is gone already.
        let (Ok(peer), Ok(())) = (PeerCredentials::of(&stream), stream.set_nonblocking(true))
        else {
            return Accept::Retry;
        };
        if uid_allowed(peer.uid, also_allowed) {
            Accept::Accepted(stream, peer)
        } else {
            Accept::Refused { uid: peer.uid }
        }
    }

    /// The socket itself, for a loop that waits for it while another thread may close the listener.
    pub fn socket(&self) -> Arc<UnixListener> {
        Arc::clone(&self.socket)
    }

    fn refill(&mut self) {
        if self.spare.is_none() {
            self.spare = reserve(&self.socket);
        }
    }
}

impl AsFd for ControlListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn classify(error: io::Error) -> Accept {
    if error.kind() == io::ErrorKind::WouldBlock {
        return Accept::WouldBlock;
    }
    match Errno::from_io_error(&error) {
        Some(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => Accept::Retry,
        // A policy (EPERM, EACCES) leaves the peer in the queue: accepting again at once would spin.
        Some(
            Errno::MFILE
            | Errno::NFILE
            | Errno::NOBUFS
            | Errno::NOMEM
            | Errno::PERM
            | Errno::ACCESS,
        ) => Accept::BackOff(error),
        _ => Accept::Broken(error),
    }
}

fn out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

fn reserve(socket: &UnixListener) -> Option<OwnedFd> {
    socket.as_fd().try_clone_to_owned().ok()
}

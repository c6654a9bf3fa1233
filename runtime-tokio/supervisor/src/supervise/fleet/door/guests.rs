//! Who may come in at a door.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;

/// Users that may come in besides our own and root. All clones are the same list.
#[derive(Clone)]
pub(in crate::supervise::fleet) struct Guests(Arc<Mutex<Arc<[u32]>>>);

impl Guests {
    pub(in crate::supervise::fleet) fn new(uids: &[u32]) -> Self {
        Self(Arc::new(Mutex::new(uids.into())))
    }

    pub(super) fn get(&self) -> Arc<[u32]> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on it is these, at the door with this path.
    ///
    /// # Errors
    /// The mode of its file cannot be changed.
    pub(in crate::supervise::fleet) fn replace(
        &self,
        uids: &[u32],
        path: &Path,
    ) -> anyhow::Result<()> {
        let before = std::mem::replace(
            &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner),
            uids.into(),
        );
        if before.is_empty() == uids.is_empty() {
            return Ok(());
        }
        self.open(path)
    }

    /// If others are allowed, the file of a door is open to all: who comes in is decided by the user id
    /// of the peer.
    pub(super) fn open(&self, path: &Path) -> anyhow::Result<()> {
        let mode = if self.get().is_empty() { 0o600 } else { 0o666 };
        set_mode(path, mode)
            .with_context(|| format!("cannot change the mode of {}", path.display()))
    }
}

/// Changes the mode of a socket, and of nothing else: its directory may be a daemon's, which could put a
/// link to another file in its place.
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use rustix::fs::{FileType, Mode, OFlags, fstat, open};
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::Socket {
        return Err(io::Error::other("it is no socket any more"));
    }
    // The path that leads to this very file, whatever the other one leads to by now.
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(own, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_is_opened_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "").unwrap();
        let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&file, &link] {
            assert!(set_mode(path, 0o666).is_err());
            assert_eq!(mode(), 0o600);
        }
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        set_mode(&socket, 0o666).unwrap();
        let mode = fs::metadata(&socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o666);
    }
}

//! The mode of a socket's file, and of no other: whoever can write in its directory could put a link to
//! another file in its place, which root would then open to others.

use std::io;
use std::path::Path;

use rustix::fs::FileType;

/// Changes the mode of the socket at `path`, to bits such as `0o660`. A symbolic link is not followed.
///
/// # Errors
/// The system's, or that something else is there.
#[cfg(target_os = "linux")]
pub fn set_socket_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::fs::{Permissions, set_permissions};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;

    use rustix::fs::{Mode, OFlags, fstat, open};
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty())?;
    check(FileType::from_raw_mode(fstat(&file)?.st_mode))?;
    // The path that leads to this very file, whatever the other one leads to by now.
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    set_permissions(own, Permissions::from_mode(mode))
}

/// Changes the mode of the socket at `path`, to bits such as `0o660`. A symbolic link is not followed.
///
/// # Errors
/// The system's, or that something else is there.
#[cfg(not(target_os = "linux"))]
pub fn set_socket_mode(path: &Path, mode: u32) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Mode, chmodat, lstat};
    let mode = Mode::from_raw_mode(mode.try_into().map_err(io::Error::other)?);
    check(FileType::from_raw_mode(lstat(path)?.st_mode))?;
    Ok(chmodat(CWD, path, mode, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn check(found: FileType) -> io::Result<()> {
    if found == FileType::Socket {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "not a socket is there any more, but a {found:?}, and its mode is left as it is; somebody else \
         can write in that directory: choose another one"
    )))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_a_socket_has_its_mode_changed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mode = |name: &str| fs::symlink_metadata(at(name)).unwrap().mode() & 0o777;
        let _listener = UnixListener::bind(at("socket")).unwrap();
        for bits in [0o600, 0o666] {
            set_socket_mode(&at("socket"), bits).unwrap();
            assert_eq!(mode("socket"), bits);
        }
        fs::write(at("file"), "").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("socket", at("to-socket")).unwrap();
        let before = mode("file");
        for name in ["file", "link", "to-socket"] {
            let error = set_socket_mode(&at(name), 0o777).unwrap_err();
            assert!(error.to_string().contains("choose another"), "{error}");
        }
        assert_eq!((mode("file"), mode("socket")), (before, 0o666));
        let error = set_socket_mode(&at("absent"), 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}

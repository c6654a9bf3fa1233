//! The names on the way to a control path: what fits, what may be replaced, the temporary name that
//! a socket is bound under, and what is wrong if one of them fails.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(target_os = "linux")]
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;

#[cfg(not(target_os = "linux"))]
use crate::host::mode::set_socket_mode;
use crate::host::process::Process;
use crate::host::socket;

/// What a temporary name adds at most: `.<pid>.<count>`, where pids end at 4194304 and the count at
/// 999.
const SUFFIX: usize = ".4194304.999".len();

/// The longest control path, in bytes: what a socket's name can hold, less what a temporary name
/// adds.
pub const PATH_LIMIT: usize = socket::PATH_LIMIT - SUFFIX;

/// Why the control path could not be bound or put into place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The path does not fit into a socket's name, or its temporary sibling would not.
    #[error(
        "the control path {} has {length} bytes, at most {PATH_LIMIT} are possible; choose a \
         shorter one",
        path.display()
    )]
    TooLong {
        /// The control path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// The path does not end in a file name.
    #[error("the control path {} does not end in a file name", path.display())]
    NoName {
        /// The control path.
        path: PathBuf,
    },
    /// Something else is there, and it stays there.
    #[error(
        "{} exists and is not a socket; it is left alone: remove it or choose another control path",
        path.display()
    )]
    NotASocket {
        /// The control path.
        path: PathBuf,
    },
    /// The directory is missing.
    #[error(
        "the directory of the control path {} does not exist; create it or choose another path",
        path.display()
    )]
    NoDirectory {
        /// The control path.
        path: PathBuf,
    },
    /// The directory, or the filesystem under it, cannot be written.
    #[error(
        "the directory of the control path {} cannot be written: {source}; make it writable for \
         this user or choose another path",
        path.display()
    )]
    NotWritable {
        /// The control path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot {doing} the control path {}: {source}", path.display())]
    Io {
        /// The control path.
        path: PathBuf,
        /// What was being done to it.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

impl ControlError {
    pub(super) fn new(path: &Path, doing: &'static str, source: io::Error) -> Self {
        use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
        let path = path.to_path_buf();
        match source.kind() {
            NotFound | NotADirectory => Self::NoDirectory { path },
            PermissionDenied | ReadOnlyFilesystem => Self::NotWritable { path, source },
            _ => Self::Io {
                path,
                doing,
                source,
            },
        }
    }
}

/// Check, without touching anything, that `path` can be a control path.
///
/// # Errors
/// [`ControlError::TooLong`] and [`ControlError::NoName`].
pub fn check_path(path: &Path) -> Result<(), ControlError> {
    let length = path.as_os_str().len();
    if length > PATH_LIMIT {
        return Err(ControlError::TooLong {
            path: path.to_path_buf(),
            length,
        });
    }
    // A trailing slash is no part of the file name, but it would be of the temporary one's path.
    if path.file_name().is_none() || path.as_os_str().as_bytes().ends_with(b"/") {
        return Err(ControlError::NoName {
            path: path.to_path_buf(),
        });
    }
    Ok(())
}

pub(super) fn refuse_other_files(path: &Path) -> Result<(), ControlError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err(ControlError::NotASocket {
            path: path.to_path_buf(),
        }),
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(ControlError::new(path, "look at", e)),
    }
}

/// The name a socket has until it is published; the file is removed unless it was renamed.
#[derive(Debug)]
pub(super) struct TempName {
    pub(super) path: PathBuf,
    pub(super) renamed: bool,
}

impl Drop for TempName {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

pub(super) fn bind_temporary(path: &Path) -> io::Result<(UnixListener, TempName)> {
    // Counted, so that two staged at once by one process have names of their own.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed) % 1000;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.{count}", std::process::id()));
    let name = PathBuf::from(name);

    let socket = socket::unix_stream()?;
    let address = SocketAddrUnix::new(&name)?;
    // The file has it from the start: nobody could put another one in its place in between.
    #[cfg(target_os = "linux")]
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    match rustix::net::bind(&socket, &address) {
        // Left by an earlier process with our pid, as happens to pid 1 of a container.
        Err(Errno::ADDRINUSE) => {
            fs::remove_file(&name)?;
            rustix::net::bind(&socket, &address)?;
        }
        bound => bound?,
    }
    let temp = TempName {
        path: name,
        renamed: false,
    };
    // Where a socket has no mode of its own: before listen(2), while every connect is still refused.
    #[cfg(not(target_os = "linux"))]
    set_socket_mode(&temp.path, 0o600)?;
    rustix::net::listen(&socket, socket::BACKLOG)?;
    Ok((UnixListener::from(socket), temp))
}

/// Remove the temporary names that dead processes left beside `path`, those of killed successors for
/// instance. What cannot be removed is in nobody's way.
pub fn remove_stale(path: &Path) {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let (Some(base), Ok(entries)) = (path.file_name(), fs::read_dir(directory)) else {
        return;
    };
    for entry in entries.flatten() {
        let dead = owner_of_temporary(entry.file_name().as_bytes(), base.as_bytes())
            .is_some_and(|pid| Process::of(pid).is_none_or(|process| !process.is_alive()));
        if dead && entry.file_type().is_ok_and(|kind| kind.is_socket()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The pid in `name`, if it is a temporary name of `base`.
fn owner_of_temporary(name: &[u8], base: &[u8]) -> Option<u32> {
    let suffix = name.strip_prefix(base)?.strip_prefix(b".")?;
    let (pid, count) = str::from_utf8(suffix).ok()?.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(count) || !digits(pid) {
        return None;
    }
    pid.parse().ok()
}

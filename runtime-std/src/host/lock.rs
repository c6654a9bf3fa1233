//! The writer lock L: `flock(2)` on `<data_dir>/.handoff.lock`, the only truth about who may write.
//!
//! The kernel drops it when its holder dies, however it dies. Beside it lies
//! `<data_dir>/.handoff.pidfile`, a hint for people and error messages, and inside it the
//! *generation*, a number that grows with every acquisition: a fencing token for anything that the
//! daemon touches outside its data directory (protocol, section 10).
//!
//! Taking the lock is inside the pause that users see, so it costs a handful of system calls and no
//! fsync. The lock file is never renamed or removed: a lock on a file that has no name excludes
//! nobody. Processes of version 1 lock the same file and leave its content alone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

mod keeper;

pub use keeper::LockKeeper;

const LOCK_FILE: &str = ".handoff.lock";
const PID_FILE: &str = ".handoff.pidfile";

/// Why the writer lock was not acquired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process holds it, or this one, through another `DataDirLock`.
    #[error(
        "the writer lock {} is held by {}: another daemon is using this directory; \
         stop it or choose another directory",
        path.display(), describe(*holder)
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The holder's pid, as far as the pidfile can be believed.
        holder: Option<u32>,
    },
    /// The data directory or a file in it cannot be created or written.
    #[error(
        "cannot write {}: {source}; make the data directory writable for this user, \
         or choose another directory",
        path.display()
    )]
    NotWritable {
        /// What could not be opened or created.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The generation could not be counted up. The lock was given back: a fencing token that is not
    /// unique is worse than none.
    #[error(
        "cannot count up the generation in {}: {source}; the lock was given back. \
         Make room on the disk, or put a smaller number into the file",
        path.display()
    )]
    Generation {
        /// The lock file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The filesystem has no locks.
    #[error(
        "{} cannot be locked: {source}; put the data directory on a local filesystem",
        path.display()
    )]
    Unsupported {
        /// The lock file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot take the writer lock {}: {source}", path.display())]
    Io {
        /// What was being opened, created or locked.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

fn describe(holder: Option<u32>) -> String {
    holder.map_or_else(|| "an unknown process".into(), |pid| format!("pid {pid}"))
}

/// The writer lock of a data directory, held. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "the lock is given back as soon as this is dropped"]
pub struct DataDirLock {
    file: File,
    data_dir: PathBuf,
    generation: u64,
    /// Whether the pidfile goes with it.
    tidies: bool,
}

impl DataDirLock {
    /// Try once to take the lock; the data directory is created if it is missing. A pidfile that
    /// cannot be written is only logged.
    ///
    /// # Errors
    /// [`LockError`]; in every case the lock is not held by this attempt.
    pub fn acquire(data_dir: &Path) -> Result<Self, LockError> {
        let path = data_dir.join(LOCK_FILE);
        let file = open_lock_file(data_dir, &path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    path,
                    holder: holder_hint(data_dir),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(match Errno::from_io_error(&source) {
                    Some(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => {
                        LockError::Unsupported { path, source }
                    }
                    _ => LockError::Io { path, source },
                });
            }
        }
        // From here on the lock is held, and dropping `lock` gives it back.
        let mut lock = Self {
            file,
            data_dir: data_dir.to_path_buf(),
            generation: 0,
            tidies: true,
        };
        lock.generation =
            count_up(&lock.file).map_err(|source| LockError::Generation { path, source })?;
        if let Err(error) = lock.write_pidfile() {
            tracing::warn!(data_dir = %data_dir.display(), %error, "cannot write the pidfile");
        }
        Ok(lock)
    }

    /// Which acquisition of this directory this is: larger than every earlier one.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The directory it protects.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Give the lock back, now. The same as dropping it, where a reader should see it happen.
    pub fn release(self) {
        drop(self);
    }

    /// Give the lock to whoever takes over. The pidfile is left for them to write over: to remove it, and
    /// to create it anew, would be inside the pause, where either may wait for the disk.
    pub fn pass_on(mut self) {
        self.tidies = false;
    }

    fn write_pidfile(&self) -> io::Result<()> {
        // In place: a rename would cost more inside the pause, and a reader takes the first line.
        let pidfile = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.data_dir.join(PID_FILE))?;
        let (_, length) = read_number(&pidfile)?;
        write_number(&pidfile, u64::from(std::process::id()), length)
    }
}

impl Drop for DataDirLock {
    fn drop(&mut self) {
        // While the lock is still held: afterwards the pidfile may be the next holder's.
        if self.tidies && holder_hint(&self.data_dir) == Some(std::process::id()) {
            let _ = fs::remove_file(self.data_dir.join(PID_FILE));
        }
        // Not left to the close: between fork and exec a child of another thread has a copy of the
        // descriptor, and the lock would stay with it.
        let _ = self.file.unlock();
    }
}

/// Whether nobody holds the lock at this moment. A directory without a lock file is free.
///
/// For looking, not for deciding: another process may take it right away, and an `acquire` that
/// falls into the instant of the look finds the lock held.
///
/// # Errors
/// Whatever the system says when the lock file cannot be opened or locked.
pub fn lock_is_free(data_dir: &Path) -> io::Result<bool> {
    let file = match look_into(&data_dir.join(LOCK_FILE)) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(e) => return Err(e),
    };
    // Shared, so that two looks do not see each other.
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// The pid in the pidfile, if there is one. A hint: it may be stale, or not yet written.
pub fn holder_hint(data_dir: &Path) -> Option<u32> {
    let pidfile = look_into(&data_dir.join(PID_FILE)).ok()?;
    let pid = read_number(&pidfile).ok()?.0?;
    u32::try_from(pid).ok().filter(|&pid| pid != 0)
}

/// Opens a file that may be another user's: one that is a pipe is not waited for.
fn look_into(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn open_lock_file(data_dir: &Path, path: &Path) -> Result<File, LockError> {
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
    };
    let opened = match open() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(data_dir).map_err(|source| open_error(data_dir, source))?;
            open()
        }
        opened => opened,
    };
    opened.map_err(|source| open_error(path, source))
}

fn open_error(path: &Path, source: io::Error) -> LockError {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
    let path = path.to_path_buf();
    match source.kind() {
        PermissionDenied | ReadOnlyFilesystem | StorageFull => {
            LockError::NotWritable { path, source }
        }
        _ => LockError::Io { path, source },
    }
}

/// Add one to the number in `file`, which we hold locked, and return it.
fn count_up(file: &File) -> io::Result<u64> {
    let (last, length) = read_number(file)?;
    let next = last
        .unwrap_or(0)
        .checked_add(1)
        .ok_or_else(|| io::Error::other("the number cannot grow any more"))?;
    write_number(file, next, length)?;
    Ok(next)
}

/// The decimal number in the first line of `file`, `None` when it holds none, and how many bytes are there.
fn read_number(file: &File) -> io::Result<(Option<u64>, usize)> {
    // The largest number has 20 digits; a first line longer than this is not one of ours.
    let mut buffer = [0; 32];
    let length = file.read_at(&mut buffer, 0)?;
    let text = buffer.get(..length).unwrap_or_default();
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let number = str::from_utf8(line)
        .ok()
        .and_then(|line| line.trim().parse().ok());
    Ok((number, length))
}

/// Write `number` and a newline over the start of `file`, and cut off what is left of the `length` bytes
/// there: seldom anything, and to cut may wait for the disk. A writer killed between the two leaves a right
/// first line.
fn write_number(file: &File, number: u64, length: usize) -> io::Result<()> {
    let text = format!("{number}\n");
    file.write_all_at(text.as_bytes(), 0)?;
    if length > text.len() {
        file.set_len(text.len() as u64)?;
    }
    Ok(())
}

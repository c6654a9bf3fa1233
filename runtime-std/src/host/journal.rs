//! The supervisor's journal as a file: a small record that survives the supervisor and need not
//! survive the machine (protocol, section 11).
//!
//! The first record is written to a temporary name and renamed. One of the same length then takes its
//! place in the file itself, by one write: of a page or less that is not cut short by a kill, and it
//! neither makes a file nor holds up who renames another one in the directory, such as a successor its
//! control path, in the pause. So whoever reads after the writer's death finds the old record or the new
//! one. Nothing is ever synced, since after a reboot the record is void anyway, which [`boot_id`] tells.
//! What the record says is the core's business.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::OFlags;

/// The largest record, in bytes, that is written or read.
pub const MAX_RECORD: usize = 64 * 1024;

/// The longest record that takes the place of another in the file itself: a page is not written in
/// halves.
const MAX_IN_PLACE: usize = 4096;

/// A journal at a fixed path, best on a tmpfs. Clones are the same journal.
#[derive(Debug, Clone)]
pub struct JournalFile {
    path: PathBuf,
    temp: PathBuf,
    written: Arc<Mutex<Option<Written>>>,
}

/// The record that was written last.
#[derive(Debug)]
struct Written {
    file: File,
    length: usize,
}

impl Written {
    /// Whether `record` has taken its place in the file at `path`: not if it is of another length, or if
    /// somebody has removed, replaced or changed the file.
    fn take(&self, path: &Path, record: &[u8]) -> bool {
        let is_ours = || -> io::Result<bool> {
            let (ours, there) = (self.file.metadata()?, fs::symlink_metadata(path)?);
            Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())
                && usize::try_from(ours.len()) == Ok(self.length))
        };
        record.len() == self.length
            && self.length <= MAX_IN_PLACE
            && is_ours().unwrap_or(false)
            && self.file.write_all_at(record, 0).is_ok()
    }
}

impl JournalFile {
    /// The journal at `path`. Nothing is touched yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        // A fixed name, so that however many crashes leave at most one file behind.
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".tmp");
        let temp = path.with_file_name(name);
        Self {
            path,
            temp,
            written: Arc::default(),
        }
    }

    /// Where the journal is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replace the record. Not synced; the file is readable by its owner only.
    ///
    /// # Errors
    /// The system's, with the path; or `InvalidInput` for a record over [`MAX_RECORD`]. The old
    /// record is then still there.
    pub fn write(&self, record: &[u8]) -> io::Result<()> {
        if record.len() > MAX_RECORD {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "journal {}: a record of {} bytes is over the limit of {MAX_RECORD}",
                    self.path.display(),
                    record.len(),
                ),
            ));
        }
        let mut written = self.written();
        if written
            .as_ref()
            .is_some_and(|last| last.take(&self.path, record))
        {
            return Ok(());
        }
        // The path does not lead to the file of an earlier record any more, or never did.
        *written = None;
        let file = self
            .replace(record)
            .map_err(|e| self.explain("write", &e))?;
        *written = Some(Written {
            file,
            length: record.len(),
        });
        Ok(())
    }

    fn replace(&self, record: &[u8]) -> io::Result<File> {
        let create = || {
            // Not one that is there: a link would be followed to a file that is not ours.
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&self.temp)
        };
        let mut file = match create() {
            // What a crash, or somebody else, has left.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&self.temp)?;
                create()?
            }
            created => created?,
        };
        file.write_all(record)?;
        fs::rename(&self.temp, &self.path)?;
        Ok(file)
    }

    /// The record, or `None` if there is none.
    ///
    /// # Errors
    /// The system's, with the path; or `InvalidData` for what is no file or is over [`MAX_RECORD`].
    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        // A pipe that somebody has put there would be waited for.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&self.path)
        {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.explain("read", &e)),
        };
        let metadata = file.metadata().map_err(|e| self.explain("read", &e))?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "journal {} is not a file, so it is not one of ours; remove it or choose another path",
                    self.path.display(),
                ),
            ));
        }
        let mut record = Vec::new();
        file.take(MAX_RECORD as u64 + 1)
            .read_to_end(&mut record)
            .map_err(|e| self.explain("read", &e))?;
        if record.len() > MAX_RECORD {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "journal {} is over {MAX_RECORD} bytes, so it is not one of ours; \
                     remove it or choose another path",
                    self.path.display(),
                ),
            ));
        }
        Ok(Some(record))
    }

    /// Remove the record, if there is one.
    ///
    /// # Errors
    /// The system's, with the path.
    pub fn clear(&self) -> io::Result<()> {
        *self.written() = None;
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(self.explain("remove", &e)),
            _ => Ok(()),
        }
    }

    fn written(&self) -> MutexGuard<'_, Option<Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn explain(&self, doing: &str, error: &io::Error) -> io::Error {
        io::Error::new(
            error.kind(),
            format!(
                "cannot {doing} the journal {}: {error}",
                self.path.display()
            ),
        )
    }
}

/// What tells one boot of the machine from the next; zeroes where the system does not say.
pub fn boot_id() -> [u8; 16] {
    #[cfg(target_os = "linux")]
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    #[cfg(not(target_os = "linux"))]
    let text = "";
    parse_uuid(text.trim()).unwrap_or_default()
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|&c| c != '-').collect();
    if digits.len() != 32 {
        return None;
    }
    // `from_str_radix` takes a sign, which cannot be in a uuid.
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&digits, 16)
        .ok()
        .map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn replaces_reads_and_clears() {
        let dir = tempfile::tempdir().unwrap();
        let journal = JournalFile::new(dir.path().join("journal"));
        assert_eq!(journal.read().unwrap(), None);
        journal.write(b"a longer first record").unwrap();
        journal.write(b"second").unwrap();
        assert_eq!(journal.read().unwrap().as_deref(), Some(&b"second"[..]));
        let mode = fs::metadata(journal.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        journal.clear().unwrap();
        journal.clear().unwrap();
        assert_eq!(journal.read().unwrap(), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_crash_between_write_and_rename_is_harmless() {
        let dir = tempfile::tempdir().unwrap();
        let journal = JournalFile::new(dir.path().join("journal"));
        journal.write(b"good").unwrap();
        fs::write(
            dir.path().join(".journal.tmp"),
            b"half of a much longer rec",
        )
        .unwrap();
        assert_eq!(journal.read().unwrap().as_deref(), Some(&b"good"[..]));
        journal.write(b"the next").unwrap();
        assert_eq!(journal.read().unwrap().as_deref(), Some(&b"the next"[..]));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_the_way_is_removed_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let journal = JournalFile::new(dir.path().join("journal"));
        let (precious, link) = (dir.path().join("precious"), dir.path().join(".journal.tmp"));
        fs::write(&precious, "precious").unwrap();
        for record in ["first", "another"] {
            if record == "first" {
                symlink(&precious, &link).unwrap();
            } else {
                fs::hard_link(&precious, &link).unwrap();
            }
            journal.write(record.as_bytes()).unwrap();
            assert_eq!(fs::read(&precious).unwrap(), b"precious");
            assert!(fs::symlink_metadata(journal.path()).unwrap().is_file());
            assert!(fs::symlink_metadata(&link).is_err());
        }
    }

    #[test]
    fn a_record_of_the_same_length_takes_the_place_of_the_last_one() {
        let dir = tempfile::tempdir().unwrap();
        let journal = JournalFile::new(dir.path().join("journal"));
        let inode = || fs::metadata(journal.path()).unwrap().ino();
        journal.write(b"prepared").unwrap();
        let first = inode();
        journal.clone().write(b"begun   ").unwrap();
        assert_eq!(journal.read().unwrap().as_deref(), Some(&b"begun   "[..]));
        assert_eq!(inode(), first);
        journal.write(b"longer than that").unwrap();
        assert_ne!(inode(), first);
    }

    #[test]
    fn a_file_that_somebody_took_away_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let journal = JournalFile::new(dir.path().join("journal"));
        journal.write(b"first").unwrap();
        fs::remove_file(journal.path()).unwrap();
        journal.write(b"other").unwrap();
        assert_eq!(journal.read().unwrap().as_deref(), Some(&b"other"[..]));
        let foreign = dir.path().join("foreign");
        fs::write(&foreign, b"not ours").unwrap();
        fs::rename(&foreign, journal.path()).unwrap();
        journal.write(b"again").unwrap();
        assert_eq!(journal.read().unwrap().as_deref(), Some(&b"again"[..]));
        fs::rename(journal.path(), &foreign).unwrap();
        journal.write(b"third").unwrap();
        assert_eq!(journal.read().unwrap().as_deref(), Some(&b"third"[..]));
        fs::write(journal.path(), b"somebody else's").unwrap();
        journal.write(b"fifth").unwrap();
        assert_eq!(journal.read().unwrap().as_deref(), Some(&b"fifth"[..]));
        journal.clear().unwrap();
        journal.write(b"later").unwrap();
        assert_eq!(journal.read().unwrap().as_deref(), Some(&b"later"[..]));
    }

    #[test]
    fn sizes_are_bounded_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        let journal = JournalFile::new(dir.path().join("journal"));
        journal.write(&vec![1; MAX_RECORD]).unwrap();
        assert_eq!(journal.read().unwrap().map(|r| r.len()), Some(MAX_RECORD));
        let error = journal.write(&vec![1; MAX_RECORD + 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        fs::write(journal.path(), vec![1; MAX_RECORD + 1]).unwrap();
        let error = journal.read().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let journal = JournalFile::new(dir.path().join("journal"));
        mknodat(CWD, journal.path(), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let error = journal.read().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        // The first record takes its place.
        journal.write(b"record").unwrap();
        assert_eq!(journal.read().unwrap().as_deref(), Some(&b"record"[..]));
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let journal = JournalFile::new(dir.path().join("absent/journal"));
        let error = journal.write(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("absent/journal"), "{error}");
    }

    #[test]
    fn boot_ids() {
        assert_eq!(boot_id(), boot_id());
        #[cfg(target_os = "linux")]
        assert_ne!(boot_id(), [0; 16]);
        let parsed = parse_uuid("00112233-4455-6677-8899-aabbccddeeff").unwrap();
        assert_eq!(parsed[..3], [0x00, 0x11, 0x22]);
        assert_eq!(parsed[15], 0xff);
        assert_eq!(parse_uuid("+0112233-4455-6677-8899-aabbccddeeff"), None);
        assert_eq!(parse_uuid(""), None);
    }
}

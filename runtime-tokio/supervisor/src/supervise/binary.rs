//! Which binary is the current one, remembered across restarts in a file.
//!
//! Two lines, each a path: the binary that the configuration named, and the one that a committed
//! handoff replaced it with. If a later configuration names another binary, the operator has decided
//! anew, and the record is void.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use atomic_write_file::AtomicWriteFile;
use handoff_std::core::supervisor::Phase;

/// The record and the configuration's own binary.
#[derive(Debug, Clone)]
pub(super) struct BinaryRecord {
    path: PathBuf,
    /// Shared by all clones.
    named: Arc<Mutex<PathBuf>>,
}

impl BinaryRecord {
    /// The record in the file `path`, for a configuration that names the binary `named`.
    pub(super) fn new(path: PathBuf, named: PathBuf) -> Self {
        let named = Arc::new(Mutex::new(named));
        Self { path, named }
    }

    /// From now on the configuration names this binary.
    pub(super) fn rename(&self, named: PathBuf) {
        *self.named.lock().unwrap_or_else(PoisonError::into_inner) = named;
    }

    fn named(&self) -> PathBuf {
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.clone()
    }

    /// The binary to start with: the remembered one if the configuration is still the same. A record
    /// that is void is removed.
    pub(super) fn current(&self) -> PathBuf {
        self.sweep();
        let ours = self.named();
        match self.read() {
            Ok(Some((named, current))) if named == ours => {
                if current != ours {
                    tracing::info!(
                        binary = %current.display(),
                        named = %named.display(),
                        "an earlier handoff has replaced the configured binary"
                    );
                }
                return current;
            }
            Ok(Some((named, current))) => {
                tracing::info!(
                    binary = %ours.display(),
                    named_before = %named.display(),
                    forgotten = %current.display(),
                    "another binary is configured than before, and it wins"
                );
                self.remove();
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot be read; ignored");
            }
        }
        ours
    }

    /// Remember `current`, durably. Nothing is written if that is what the record says already.
    ///
    /// # Errors
    /// The system's, or `InvalidInput` for a path with a line break in it.
    pub(super) fn remember(&self, current: &Path) -> io::Result<()> {
        let ours = self.named();
        let recorded = self.read().ok().flatten();
        let known = match &recorded {
            Some((named, recorded)) => *named == ours && recorded == current,
            None => current == ours,
        };
        if known {
            return Ok(());
        }
        let mut text = Vec::new();
        for path in [ours.as_path(), current] {
            let path = path.as_os_str().as_bytes();
            if path.contains(&b'\n') {
                return Err(io::Error::new(
                    ErrorKind::InvalidInput,
                    "a path with a line break cannot be remembered",
                ));
            }
            text.extend_from_slice(path);
            text.push(b'\n');
        }
        let mut file = AtomicWriteFile::open(&self.path)?;
        file.write_all(&text)?;
        file.commit()
    }

    /// [`remember`](Self::remember), as well as can be: what is wrong is logged.
    pub(super) fn note(&self, current: &Path) {
        if let Err(error) = self.remember(current) {
            tracing::error!(
                binary = %current.display(), %error,
                "which binary is the current one cannot be remembered: \
                 after a restart the supervisor would start another one"
            );
        }
    }

    /// Removes what earlier supervisors, killed while they wrote the record, have left of it.
    fn sweep(&self) {
        let Some(name) = self.path.file_name() else {
            return;
        };
        let unfinished = [b".", name.as_bytes(), b"."].concat();
        let files = self.path.parent().map(fs::read_dir);
        for file in files.into_iter().flatten().flatten().flatten() {
            let name = file.file_name();
            if name.as_bytes().starts_with(&unfinished)
                && let Err(error) = fs::remove_file(file.path())
            {
                tracing::warn!(path = %file.path().display(), %error, "cannot be removed");
            }
        }
    }

    fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot be removed");
        }
    }

    fn read(&self) -> io::Result<Option<(PathBuf, PathBuf)>> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        match lines[..] {
            [named, current, b""] if !named.is_empty() && !current.is_empty() => Ok(Some((
                OsStr::from_bytes(named).into(),
                OsStr::from_bytes(current).into(),
            ))),
            _ => Err(io::Error::new(
                ErrorKind::InvalidData,
                "not two lines with a path each",
            )),
        }
    }
}

/// The binary of a handoff, remembered once the handoff is committed, while the journal still names it. Later, a supervisor that is killed in between would leave neither.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    record: BinaryRecord,
    binary: Arc<Mutex<PathBuf>>,
    committed: Arc<AtomicBool>,
}

impl Candidate {
    pub(super) fn new(record: BinaryRecord) -> Self {
        Self {
            record,
            binary: Arc::default(),
            committed: Arc::default(),
        }
    }

    /// A handoff to this binary begins.
    pub(super) fn stand(&self, binary: &Path) {
        *self.binary.lock().unwrap_or_else(PoisonError::into_inner) = binary.to_path_buf();
    }

    /// To be called with every phase of the supervisor, as it is entered.
    pub(super) fn follow(self) -> impl FnMut(Phase) + Send + 'static {
        let mut last = Phase::Fresh;
        move |phase| {
            let before = std::mem::replace(&mut last, phase);
            // What ends like that has a successor that serves. The journal is cleared after this.
            let commits = matches!(
                before,
                Phase::Opening
                    | Phase::Serving
                    | Phase::Probation
                    | Phase::Committing
                    | Phase::Informing
            );
            if commits && phase == Phase::Done {
                self.committed.store(true, Ordering::Release);
            }
        }
    }

    /// Remembers what was committed, if something was. It waits for the disk.
    pub(super) fn remember(&self) {
        if self.committed.swap(false, Ordering::Acquire) {
            let binary = self.binary.lock().unwrap_or_else(PoisonError::into_inner);
            let binary = binary.clone();
            self.record.note(&binary);
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// Its name.
    const NAME: &str = "record";

    fn record(dir: &TempDir, named: &str) -> BinaryRecord {
        BinaryRecord::new(dir.path().join(NAME), named.into())
    }

    #[test]
    fn a_candidate_is_remembered_when_it_is_committed() {
        use Phase::{
            Committing, Done, Fresh, Informing, Killing, Opening, Probation, Serving, Undoing,
        };
        for (way, kept) in [
            (&[Opening, Committing, Informing, Done][..], true),
            (&[Opening, Committing, Done], true),
            (&[Opening, Probation, Done], true),
            (&[Opening, Serving, Done], true),
            (&[Opening, Serving, Committing, Informing, Done], true),
            (&[Opening, Done], true),
            (&[Opening, Probation, Killing, Undoing, Done], false),
            (&[Fresh, Done], false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let record = record(&dir, "/bin/a");
            let candidate = Candidate::new(record.clone());
            let mut follow = candidate.clone().follow();
            candidate.stand(Path::new("/bin/b"));
            for phase in way {
                follow(*phase);
            }
            candidate.remember();
            let current = record.current();
            assert_eq!(current == Path::new("/bin/b"), kept, "{way:?}");
        }
    }

    #[test]
    fn it_is_remembered_until_the_configuration_changes() {
        let dir = tempfile::tempdir().unwrap();
        let record = |named: &str| record(&dir, named);
        let (a, b) = (Path::new("/bin/a"), Path::new("/bin/b c"));
        assert_eq!(record("/bin/a").current(), a);
        record("/bin/a").remember(a).unwrap();
        assert!(!dir.path().join(NAME).exists());
        record("/bin/a").remember(b).unwrap();
        assert_eq!(record("/bin/a").current(), b);
        record("/bin/a").remember(a).unwrap();
        assert_eq!(record("/bin/a").current(), a);
        record("/bin/a").remember(b).unwrap();
        assert_eq!(record("/bin/z").current(), Path::new("/bin/z"));
        assert_eq!(record("/bin/a").current(), a);
    }

    #[test]
    fn what_a_killed_writer_leaves_is_swept_away() {
        let dir = tempfile::tempdir().unwrap();
        let record = record(&dir, "/bin/a");
        record.remember(Path::new("/bin/b")).unwrap();
        let unfinished = AtomicWriteFile::open(dir.path().join(NAME)).unwrap();
        std::mem::forget(unfinished);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert_eq!(record.current(), Path::new("/bin/b"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn paths_it_cannot_hold_and_files_it_did_not_write() {
        let dir = tempfile::tempdir().unwrap();
        let record = record(&dir, "a");
        let error = record.remember(Path::new("/x\ny")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        for text in ["", "a", "a\n", "a\n/b", "a\n\n", "a\n/b\n/c\n"] {
            fs::write(dir.path().join(NAME), text).unwrap();
            assert_eq!(record.current(), Path::new("a"), "{text:?}");
        }
    }
}

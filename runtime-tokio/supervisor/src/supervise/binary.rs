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

use atomic_write_file::AtomicWriteFile;

/// Its name in a data directory.
const NAME: &str = ".handoff.binary";

/// The record and the configuration's own binary.
#[derive(Debug, Clone)]
pub(super) struct BinaryRecord {
    path: PathBuf,
    named: PathBuf,
}

impl BinaryRecord {
    /// The record in `data_dir`, for a command line that names the binary `named`.
    pub(super) fn new(data_dir: &Path, named: &OsStr) -> Self {
        let named = PathBuf::from(named);
        // A name without a slash is looked up anew in PATH at every start.
        let named = if named.as_os_str().as_bytes().contains(&b'/') {
            std::path::absolute(&named).unwrap_or(named)
        } else {
            named
        };
        Self::at(data_dir.join(NAME), named)
    }

    /// The record in the file `path`, for a configuration that names the binary `named`.
    pub(super) const fn at(path: PathBuf, named: PathBuf) -> Self {
        Self { path, named }
    }

    /// The binary that the configuration names; absolute, unless it is to be looked up in PATH.
    pub(super) fn named(&self) -> &Path {
        &self.named
    }

    /// The binary to start with: the remembered one if the configuration is still the same. A record
    /// that is void is removed.
    pub(super) fn current(&self) -> PathBuf {
        match self.read() {
            Ok(Some((named, current))) if named == self.named => {
                if current != self.named {
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
                    binary = %self.named.display(),
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
        self.named.clone()
    }

    /// Remember `current`, durably. Nothing is written if that is what the record says already.
    ///
    /// # Errors
    /// The system's, or `InvalidInput` for a path with a line break in it.
    pub(super) fn remember(&self, current: &Path) -> io::Result<()> {
        let recorded = self.read().ok().flatten();
        let known = match &recorded {
            Some((named, recorded)) => *named == self.named && recorded == current,
            None => current == self.named,
        };
        if known {
            return Ok(());
        }
        let mut text = Vec::new();
        for path in [self.named.as_path(), current] {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_remembered_until_the_command_line_changes() {
        let dir = tempfile::tempdir().unwrap();
        let record = |named: &str| BinaryRecord::new(dir.path(), named.as_ref());
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
    fn paths_it_cannot_hold_and_files_it_did_not_write() {
        let dir = tempfile::tempdir().unwrap();
        let record = BinaryRecord::new(dir.path(), "a".as_ref());
        let error = record.remember(Path::new("/x\ny")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        for text in ["", "a", "a\n", "a\n/b", "a\n\n", "a\n/b\n/c\n"] {
            fs::write(dir.path().join(NAME), text).unwrap();
            assert_eq!(record.current(), Path::new("a"), "{text:?}");
        }
    }
}

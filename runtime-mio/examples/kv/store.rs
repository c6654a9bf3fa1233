//! The data: a map in memory, and a log of its changes on the disk that it is read from.
//!
//! A change is in the log before it is answered, so it survives this process. Sealing writes the map
//! afresh, since the log may be much longer, and that in pieces: a loop has other things to do as well.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};

/// Entries that one step of a seal writes.
const PIECE: usize = 1000;

pub(crate) struct Store {
    map: BTreeMap<String, String>,
    path: PathBuf,
    log: File,
    /// What the log holds, in bytes.
    length: u64,
    /// Changes since the log was begun.
    revision: u64,
}

impl Store {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join("log");
        let log = OpenOptions::new().append(true).create(true).open(&path)?;
        let text = fs::read_to_string(&path)?;
        // A kill may have left half a line, which nobody was told of.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        log.set_len(whole as u64)?;
        let mut store = Self {
            map: BTreeMap::new(),
            path,
            log,
            length: whole as u64,
            revision: 0,
        };
        for line in text[..whole].lines() {
            if let Some((key, value)) = line.split_once(' ') {
                store.map.insert(key.to_owned(), value.to_owned());
                store.revision += 1;
            }
        }
        Ok(store)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.map.get(key).map(String::as_str)
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) -> io::Result<()> {
        let line = format!("{key} {value}\n");
        if let Err(error) = self.log.write_all(line.as_bytes()) {
            // Half a line must not be the beginning of the next one.
            self.log.set_len(self.length)?;
            return Err(error);
        }
        self.length += line.len() as u64;
        self.map.insert(key.to_owned(), value.to_owned());
        self.revision += 1;
        Ok(())
    }

    pub(crate) const fn revision(&self) -> u64 {
        self.revision
    }

    /// Begins to write it afresh; it must not change until that is done.
    pub(crate) fn seal(&self) -> io::Result<Sealing> {
        Ok(Sealing {
            new: BufWriter::new(File::create(self.path.with_extension("new"))?),
            last: None,
            pieces: 0,
        })
    }
}

/// A seal that is under way. The log is as it was until the last step has replaced it.
pub(crate) struct Sealing {
    new: BufWriter<File>,
    /// The key that was written last.
    last: Option<String>,
    pieces: u32,
}

impl Sealing {
    /// Writes a piece. Returns whether it was the last one.
    pub(crate) fn step(&mut self, store: &Store) -> io::Result<bool> {
        let from = self.last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let rest = store.map.range::<String, _>((from, Bound::Unbounded));
        for (key, value) in rest.take(PIECE) {
            writeln!(self.new, "{key} {value}")?;
            self.last = Some(key.clone());
        }
        self.pieces += 1;
        if self.last.is_some() {
            return Ok(false);
        }
        self.new.flush()?;
        self.new.get_ref().sync_all()?;
        fs::rename(store.path.with_extension("new"), &store.path)?;
        Ok(true)
    }

    /// Pieces written, and pieces there are, one more for the end.
    pub(crate) fn progress(&self, store: &Store) -> (u32, u32) {
        let total = store.map.len().div_ceil(PIECE) + 1;
        (self.pieces, u32::try_from(total).unwrap_or(u32::MAX))
    }
}

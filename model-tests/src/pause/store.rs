//! The data of the measured daemon: a log of pairs that is made durable before a write is acknowledged,
//! and a map of it in memory. The same for every contender.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The log in the data directory. Flushes of this file are the daemon's own, all others the library's.
pub(super) const LOG: &str = "pairs.log";
/// Bytes of a key and its value in the log, and of a request.
pub(super) const PAIR: usize = 16;

/// A key and its value.
pub(super) type Pair = (u64, u64);

/// The data, open for one writer.
#[derive(Debug)]
pub(super) struct Store {
    log: File,
    pairs: BTreeMap<u64, u64>,
}

impl Store {
    /// Opens the data in `dir`, which may hold none yet.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let mut log = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path(dir))?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes)?;
        let pairs = bytes.as_chunks().0.iter().map(decode).collect();
        Ok(Self { log, pairs })
    }

    /// Writes these pairs. They are durable when it returns.
    pub(super) fn write(&mut self, pairs: &[Pair]) -> io::Result<()> {
        let bytes: Vec<u8> = pairs.iter().flat_map(|pair| encode(*pair)).collect();
        self.log.write_all(&bytes)?;
        self.log.sync_data()?;
        self.pairs.extend(pairs.iter().copied());
        Ok(())
    }

    /// Closes it. The next to open it finds everything.
    pub(super) fn close(self) -> io::Result<()> {
        self.log.sync_all()
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: u64) -> Option<u64> {
        self.pairs.get(&key).copied()
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(LOG)
}

/// A pair as bytes.
pub(super) fn encode((key, value): Pair) -> [u8; PAIR] {
    (u128::from(key) << 64 | u128::from(value)).to_be_bytes()
}

/// The pair in these bytes.
#[allow(clippy::cast_possible_truncation, reason = "the lower half is meant")]
pub(super) fn decode(bytes: &[u8; PAIR]) -> Pair {
    let both = u128::from_be_bytes(*bytes);
    ((both >> 64) as u64, both as u64)
}

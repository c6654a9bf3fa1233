//! Recordings: files that hold what happened to a machine and what it did, for `handoff replay`.
//!
//! Off unless somebody asks for it, with [`Recordings`]. Then every machine that starts gets a file of
//! its own, so a successor's process writes two: one for the successor's machine, one for the
//! incumbent's that follows it. What the encoding is, is said in [`handoff_core::record`].
//!
//! A recording never harms a handoff: whatever goes wrong with it is logged once, and nothing more is
//! recorded. It is never waited for the disk.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use handoff_core::record::{
    Deed, NoRoom, encode_deed, encode_full, encode_handed, encode_header, taken,
};
use handoff_core::{Input, Instant, Misuse, Role, Step, Storage};

/// How long a recording may get when nothing else was said.
pub const DEFAULT_LIMIT: u64 = 16 << 20;

/// Where recordings go, and how long each may get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recordings {
    dir: PathBuf,
    limit: u64,
}

impl Recordings {
    /// Files in this directory, of at most [`DEFAULT_LIMIT`] bytes each. The directory is made when it is
    /// not there. Nothing ever removes a file from it.
    ///
    /// A file is named after the moment in milliseconds of Unix time, the role and the pid:
    /// `1764000283123-incumbent-4711.handoff`. It is readable for its owner alone, since it holds all that
    /// the peers said.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            limit: DEFAULT_LIMIT,
        }
    }

    /// At most so many bytes for each file. What comes after that is not recorded, and the file says so.
    #[must_use]
    pub const fn with_limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Begins the recording of a machine; `None`, and a warning in the log, when that cannot be.
    pub fn begin<R: Role<L>, S: Storage, const L: usize>(
        &self,
        config: &R::Config,
    ) -> Option<Recorder> {
        let begun = self.create(&R::PARTY.to_string()).and_then(|(path, file)| {
            let recorder = Recorder::new::<R, S, L>(file, self.limit, config, &who())?;
            tracing::info!(path = %path.display(), "recording the {}", R::PARTY);
            Ok(recorder)
        });
        begun
            .inspect_err(|error| {
                let dir = self.dir.display();
                tracing::warn!(%dir, %error, "the {} is not recorded", R::PARTY);
            })
            .ok()
    }

    fn create(&self, party: &str) -> io::Result<(PathBuf, File)> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut millis = now.as_millis();
        loop {
            let name = format!("{millis}-{party}-{}.handoff", std::process::id());
            let path = self.dir.join(name);
            let mut options = OpenOptions::new();
            match options
                .append(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
            {
                // Another machine of this process began in the same millisecond.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => millis += 1,
                opened => return opened.map(|file| (path, file)),
            }
        }
    }
}

/// Who records, for a reader of the recording.
fn who() -> Vec<u8> {
    let binary = std::env::current_exe().unwrap_or_default();
    format!("pid {}, {}", std::process::id(), binary.display()).into_bytes()
}

/// The recording of one machine, while it is made.
pub struct Recorder {
    /// `None` once recording has stopped.
    out: Option<Box<dyn Write + Send>>,
    limit: u64,
    /// Bytes that were written.
    written: u64,
    /// Room for what is to be written, of which `used` bytes are in use.
    buffer: Vec<u8>,
    used: usize,
    /// Where in the buffer the last turn begins.
    turn: usize,
    /// The last turn is too long for what the limit leaves.
    over: bool,
}

impl Recorder {
    /// A recording to `out` of at most `limit` bytes. `who` is for a reader of it.
    ///
    /// # Errors
    /// The limit is too small for the front, or the front cannot be written.
    pub fn new<R: Role<L>, S: Storage, const L: usize>(
        out: impl Write + Send + 'static,
        limit: u64,
        config: &R::Config,
        who: &[u8],
    ) -> io::Result<Self> {
        let mut recorder = Self {
            out: Some(Box::new(out)),
            limit,
            written: 0,
            buffer: Vec::new(),
            used: 0,
            turn: 0,
            over: false,
        };
        recorder.put(|room| encode_header::<R, S, L>(config, who, room));
        if recorder.over {
            return Err(io::Error::other("the limit is too small for a recording"));
        }
        recorder.write()?;
        Ok(recorder)
    }

    /// This was handed in, and so much was taken of it. Its turn comes next, [step](Self::step) by step.
    pub fn handed<R: Role<L>, const L: usize>(
        &mut self,
        now: Instant,
        input: &Input<'_>,
        (consumed, kept): (usize, bool),
    ) {
        self.begin(now, &taken(input, consumed));
        if let Some(took) = Deed::<R::Call, R::Phase, R::Why, R::Outcome>::took(consumed, kept) {
            self.put(|room| encode_deed(&took, room));
        }
    }

    /// A step of the turn.
    pub fn step<R: Role<L>, const L: usize>(&mut self, step: &Step<'_, R, L>) {
        let deed = Deed::of(step);
        self.put(|room| encode_deed(&deed, room));
    }

    /// This was handed in, and refused: there is no turn.
    pub fn refused<R: Role<L>, const L: usize>(
        &mut self,
        now: Instant,
        input: &Input<'_>,
        misuse: Misuse,
    ) {
        self.begin(now, input);
        let refused = Deed::<R::Call, R::Phase, R::Why, R::Outcome>::Refused(misuse);
        self.put(|room| encode_deed(&refused, room));
    }

    fn begin(&mut self, now: Instant, input: &Input<'_>) {
        self.end_turn();
        self.put(|room| encode_handed(now, input, room));
    }

    /// Hands what was recorded to the system, with one write. To be called between two turns, before
    /// waiting.
    pub fn flush(&mut self) {
        self.end_turn();
        if self.used > 0
            && let Err(error) = self.write()
        {
            tracing::warn!(%error, "recording stops");
            self.out = None;
        }
    }

    /// The turn is whole. If it has no room it goes, and the mark comes in its place: each turn before it
    /// has left room for that.
    fn end_turn(&mut self) {
        if self.over && self.out.is_some() {
            tracing::warn!(limit = self.limit, "recording stops at its limit");
            self.used = self.turn;
            if let Some(room) = self.buffer.get_mut(self.used..) {
                self.used += encode_full(room).unwrap_or_default();
            }
            if let Err(error) = self.write() {
                tracing::warn!(%error, "recording stops");
            }
            self.out = None;
        }
        self.turn = self.used;
    }

    fn put(&mut self, encode: impl Fn(&mut [u8]) -> Result<usize, NoRoom>) {
        // What may be buffered, with one byte left for the mark.
        let left = self.limit.saturating_sub(self.written).saturating_sub(1);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        while self.out.is_some() && !self.over {
            let room = self.buffer.get_mut(self.used..).unwrap_or_default();
            match encode(room) {
                Ok(count) => {
                    self.used += count;
                    self.over = self.used > left;
                    return;
                }
                Err(NoRoom) if self.buffer.len() > left => self.over = true,
                Err(NoRoom) => {
                    let larger = (self.buffer.len() * 2).max(4096);
                    self.buffer.resize(larger, 0);
                }
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let used = std::mem::take(&mut self.used);
        self.turn = 0;
        let bytes = self.buffer.get(..used).unwrap_or_default();
        if let Some(out) = &mut self.out {
            out.write_all(bytes)?;
        }
        self.written += u64::try_from(used).unwrap_or(u64::MAX);
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests;

//! Stretches of time on the clock that all processes share, and the record of what a daemon did itself.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Now, in nanoseconds of `CLOCK_MONOTONIC`.
pub(super) fn now() -> u64 {
    nanos(ClockId::Monotonic)
}

/// What to add to `CLOCK_MONOTONIC` to get the wall clock, in nanoseconds.
pub(super) fn wall_offset() -> u64 {
    // The two are not read at the same moment, and on a busy machine something else may run between. So
    // that is done some times, and the shortest counts.
    let looks = (0..100).map(|_| {
        let (before, wall, after) = (now(), nanos(ClockId::Realtime), now());
        (after - before, wall.saturating_sub(before))
    });
    looks.min().map_or(0, |(_, offset)| offset)
}

fn nanos(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or_default() * 1_000_000_000 + nanos.unwrap_or_default()
}

/// From when to when, in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Span {
    /// How long `work` takes, and what comes of it.
    pub(super) fn of<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(Self, T), E> {
        let from = now();
        let value = work()?;
        Ok((Self { from, to: now() }, value))
    }

    pub(super) fn nanos(self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// How much of it is in none of `others`.
    pub(super) fn outside(self, others: &[Self]) -> u64 {
        let mut others = others.to_vec();
        others.sort_unstable_by_key(|other| other.from);
        let (mut at, mut outside) = (self.from, 0);
        for other in others {
            let from = other.from.clamp(at, self.to.max(at));
            outside += from - at;
            at = at.max(other.to.min(self.to));
        }
        outside + self.to.saturating_sub(at)
    }
}

/// What a daemon did itself, and when. Written down at its end. That of an incumbent is the pause of its
/// clients, so the file is there before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// Where it is written to.
    #[serde(skip)]
    file: Option<Arc<File>>,
    /// The thread that serves clients.
    pub(super) server: i32,
    pub(super) open: Option<Span>,
    /// Making the first writes durable.
    pub(super) first_write: Option<Span>,
    pub(super) drain: Option<Span>,
    pub(super) seal: Option<Span>,
}

impl Record {
    /// The record of this process.
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        let file = File::create(Self::path(dir, process::id()))?;
        Ok(Self {
            file: Some(Arc::new(file)),
            ..Self::default()
        })
    }

    pub(super) fn write(&self) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        match &self.file {
            Some(file) => file.write_all_at(&text, 0),
            None => Ok(()),
        }
    }

    /// That of the process with this pid.
    pub(super) fn read(dir: &Path, pid: u32) -> anyhow::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(Self::path(dir, pid))?)?)
    }

    fn path(dir: &Path, pid: u32) -> PathBuf {
        dir.join(format!("record.{pid}"))
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_is_counted_once() {
        let span = |from, to| Span { from, to };
        let pause = span(10, 100);
        assert_eq!(pause.outside(&[]), 90);
        assert_eq!(pause.outside(&[span(0, 20), span(15, 30)]), 70);
        assert_eq!(pause.outside(&[span(50, 60), span(20, 30)]), 70);
        assert_eq!(pause.outside(&[span(90, 200)]), 80);
        assert_eq!(pause.outside(&[span(0, 5), span(120, 130)]), 90);
        assert_eq!(pause.outside(&[span(0, 200)]), 0);
    }
}

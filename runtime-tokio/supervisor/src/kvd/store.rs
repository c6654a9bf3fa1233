//! The durable map under the daemon: redb with one writer thread and group commit.
//!
//! A write is answered after the transaction that holds it is on disk. While one transaction is
//! being synced, the writes of all connections queue up, and the next transaction takes them
//! together; so many connections share one sync, and a single one waits for no timer.
//!
//! Writes can be refused and allowed again (drain, resume), and the store can be closed for good
//! (seal). Closing drops the redb database, which leaves a file that the next process opens at once.

mod database;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use redb::Database;

use self::database::Counts;
use super::lock;

/// The database's file in the data directory.
const FILE: &str = "kvd.redb";
/// A transaction takes no more once it holds this many bytes.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StoreError {
    /// Writes are refused, or the store is closed. The write was not done.
    #[error("the store takes no writes now")]
    Refused,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The database could not be opened.
    #[error("cannot open {path}: {why}; is another process using it?")]
    Open {
        /// The database's file.
        path: PathBuf,
        /// What redb or the system said.
        why: Arc<redb::Error>,
    },
    /// redb has failed before, and its file cannot be opened again yet.
    #[error("storage: the database has failed and cannot be opened again yet")]
    Failed,
    /// redb failed.
    #[error("storage: {0}")]
    Storage(Arc<redb::Error>),
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Storage(Arc::new(error.into()))
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Write {
    /// Gives `key` the value `value`.
    Set {
        /// The key.
        key: Vec<u8>,
        /// Its new value.
        value: Vec<u8>,
    },
    /// Removes `key`.
    Del {
        /// The key.
        key: Vec<u8>,
    },
}

impl Write {
    fn size(&self) -> usize {
        match self {
            Self::Set { key, value } => key.len() + value.len(),
            Self::Del { key } => key.len(),
        }
    }
}

/// For each write of a batch, whether its key was there before.
pub(crate) type Existed = Result<Vec<bool>, StoreError>;

/// Writes of one caller; they end up in one transaction.
struct Batch {
    writes: Vec<Write>,
    answer: SyncSender<Existed>,
}

/// The durable map. Shared by all connections.
pub(crate) struct Store {
    shared: Arc<Shared>,
    /// `None` where callers write themselves, or once it has ended.
    writer: Mutex<Option<JoinHandle<()>>>,
    has_writer: bool,
}

struct Shared {
    path: PathBuf,
    /// `None` once closed, or while it cannot be opened again after a failure. Readers hold the lock
    /// while they read, so closing waits for them.
    database: RwLock<Option<Database>>,
    queue: Mutex<Queue>,
    /// Told when a batch arrives, when a transaction has ended, and when the mode changes.
    changed: Condvar,
    revision: AtomicU64,
    keys: AtomicU64,
}

struct Queue {
    mode: Mode,
    waiting: VecDeque<Batch>,
    /// Whether the writer is at work on batches that it took from the queue.
    committing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Writes are taken.
    Open,
    /// Writes are refused for now; those in the queue are done.
    Refusing,
    /// No more writes ever; those in the queue are done.
    Closing,
    /// As `Closing`, and the writer has ended.
    Closed,
}

impl Store {
    /// Opens the store in `dir`, creating both where they do not exist, and starts its writer.
    ///
    /// # Errors
    /// When another process has the database open, or the system refuses.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let mut store = Self::open_without_writer(dir)?;
        let for_writer = Arc::clone(&store.shared);
        let writer = thread::Builder::new()
            .name("kvd-writer".into())
            .spawn(move || for_writer.write_until_closed())
            .map_err(|error| StoreError::Open {
                path: store.shared.path.clone(),
                why: Arc::new(error.into()),
            })?;
        store.writer = Mutex::new(Some(writer));
        store.has_writer = true;
        Ok(store)
    }

    /// As [`open`](Self::open), but there is no thread: whoever calls [`write`](Self::write) does it.
    ///
    /// # Errors
    /// When another process has the database open, or the system refuses.
    pub(crate) fn open_without_writer(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let failed = |why: redb::Error| StoreError::Open {
            path: path.clone(),
            why: Arc::new(why),
        };
        fs::create_dir_all(dir).map_err(|error| failed(error.into()))?;
        let database = database::open(&path).map_err(failed)?;
        let Counts { revision, keys } = database::count(&database)?;
        let shared = Arc::new(Shared {
            path: path.clone(),
            database: RwLock::new(Some(database)),
            queue: Mutex::new(Queue {
                mode: Mode::Open,
                waiting: VecDeque::new(),
                committing: false,
            }),
            changed: Condvar::new(),
            revision: AtomicU64::new(revision),
            keys: AtomicU64::new(keys),
        });
        Ok(Self {
            shared,
            writer: Mutex::new(None),
            has_writer: false,
        })
    }

    /// The value of `key`, if it has one.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after [`close`](Self::close), or what redb says.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let database = self.shared.read_database();
        let database = database.as_ref().ok_or_else(|| self.shared.absent())?;
        database::get(database, key)
    }

    /// Does `writes` in order and returns when they are durable: for each, whether its key was
    /// there before.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when none of them was done; otherwise what redb says, and none of
    /// them counts as done.
    pub(crate) fn write(&self, writes: Vec<Write>) -> Existed {
        if !self.has_writer {
            let mut existed = self.write_groups(&[writes])?;
            return Ok(existed.pop().unwrap_or_default());
        }
        let (answer, answered) = sync_channel(1);
        {
            let mut queue = lock(&self.shared.queue);
            if queue.mode != Mode::Open {
                return Err(StoreError::Refused);
            }
            queue.waiting.push_back(Batch { writes, answer });
        }
        self.shared.changed.notify_all();
        answered.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Does the writes of several callers in one transaction, in this thread. For a store without a
    /// writer.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(crate) fn write_groups(&self, groups: &[Vec<Write>]) -> Result<Vec<Vec<bool>>, StoreError> {
        if lock(&self.shared.queue).mode != Mode::Open {
            return Err(StoreError::Refused);
        }
        self.shared
            .commit(groups)
            .inspect_err(|_| self.shared.reopen())
    }

    /// How many keys have a value, as of the last commit.
    pub(crate) fn len(&self) -> u64 {
        self.shared.keys.load(Ordering::Acquire)
    }

    /// How many transactions were committed since the store was made. Survives restarts.
    pub(crate) fn revision(&self) -> u64 {
        self.shared.revision.load(Ordering::Acquire)
    }

    /// Refuses writes from now on. Those already in the queue are still done.
    pub(crate) fn refuse_writes(&self) {
        self.set_mode(Mode::Refusing);
    }

    /// Takes writes again. Does nothing once the store is closed.
    pub(crate) fn accept_writes(&self) {
        self.set_mode(Mode::Open);
    }

    /// Whether the store was closed.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(lock(&self.shared.queue).mode, Mode::Closing | Mode::Closed)
    }

    /// Waits until no write is in the queue or being committed, but no longer than `timeout`.
    /// Returns whether that came true.
    pub(crate) fn wait_idle(&self, timeout: Duration) -> bool {
        let until = Instant::now().checked_add(timeout);
        let mut queue = lock(&self.shared.queue);
        while queue.committing || !queue.waiting.is_empty() {
            let left = until.map_or(timeout, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Finishes the queue, stops the writer and closes the database. Reads and writes are refused
    /// afterwards. A second call waits for the first and does nothing more.
    ///
    /// # Errors
    /// When redb could not close the file cleanly. It is closed all the same, and its next opening
    /// takes longer.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        self.set_mode(Mode::Closing);
        let mut writer = lock(&self.writer);
        if let Some(thread) = writer.take() {
            // A writer that panicked has refused its queue already; see `Farewell`.
            let _ = thread.join();
        }
        let database = self
            .shared
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match database {
            Some(database) => Ok(database.close()?),
            None => Ok(()),
        }
    }

    fn set_mode(&self, mode: Mode) {
        let mut queue = lock(&self.shared.queue);
        if !matches!(queue.mode, Mode::Closing | Mode::Closed) {
            queue.mode = mode;
        }
        drop(queue);
        self.shared.changed.notify_all();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the store was not closed cleanly");
        }
    }
}

impl Shared {
    fn read_database(&self) -> std::sync::RwLockReadGuard<'_, Option<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer thread.
    fn write_until_closed(&self) {
        let _farewell = Farewell(self);
        while let Some(group) = self.next_group() {
            let (writes, answers): (Vec<_>, Vec<_>) = group
                .into_iter()
                .map(|batch| (batch.writes, batch.answer))
                .unzip();
            let done = self.commit(&writes);
            if done.is_err() {
                self.reopen();
            }
            self.end_group();
            // A caller that has gone away does not want its answer.
            match done {
                Ok(existed) => {
                    for (answer, existed) in answers.into_iter().zip(existed) {
                        let _ = answer.send(Ok(existed));
                    }
                }
                Err(error) => {
                    for answer in answers {
                        let _ = answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Waits for writes and takes as many as one transaction should hold; `None` when the store is
    /// closing and all are done.
    fn next_group(&self) -> Option<Vec<Batch>> {
        let mut queue = lock(&self.queue);
        while queue.waiting.is_empty() {
            if queue.mode == Mode::Closing {
                return None;
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        queue.committing = true;
        let mut group = Vec::new();
        let mut bytes = 0;
        while bytes < GROUP_BYTES
            && let Some(batch) = queue.waiting.pop_front()
        {
            bytes += batch.writes.iter().map(Write::size).sum::<usize>();
            group.push(batch);
        }
        Some(group)
    }

    fn end_group(&self) {
        lock(&self.queue).committing = false;
        self.changed.notify_all();
    }

    /// Why there is no database.
    fn absent(&self) -> StoreError {
        match lock(&self.queue).mode {
            Mode::Open | Mode::Refusing => StoreError::Failed,
            Mode::Closing | Mode::Closed => StoreError::Closed,
        }
    }

    /// After a failure, such as a full disk, redb does nothing more before its file is opened again.
    /// What is acknowledged is on disk. If this fails too, the next write tries again.
    fn reopen(&self) {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // It must let go of the file first.
        drop(database.take());
        let opened = database::open(&self.path).map_err(StoreError::from);
        match opened.and_then(|opened| database::count(&opened).map(|counts| (opened, counts))) {
            Ok((opened, counts)) => {
                *database = Some(opened);
                self.note(counts);
                tracing::warn!("the database had failed and was opened again");
            }
            Err(error) => tracing::error!(%error, "the database cannot be opened again yet"),
        }
    }

    /// One durable transaction for all of `batches`.
    fn commit(&self, batches: &[Vec<Write>]) -> Result<Vec<Vec<bool>>, StoreError> {
        let database = self.read_database();
        let database = database.as_ref().ok_or_else(|| self.absent())?;
        let (existed, counts) = database::commit(database, batches)?;
        self.note(counts);
        Ok(existed)
    }

    fn note(&self, Counts { revision, keys }: Counts) {
        self.revision.store(revision, Ordering::Release);
        self.keys.store(keys, Ordering::Release);
    }
}

/// Leaves the queue closed and empty however the writer ends, so that nobody waits for it in vain.
struct Farewell<'a>(&'a Shared);

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        queue.mode = Mode::Closed;
        queue.committing = false;
        queue.waiting.clear();
        drop(queue);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;

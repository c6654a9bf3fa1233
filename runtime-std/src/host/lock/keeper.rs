//! Keeps the writer lock for as long as the daemon may write.
//!
//! The lock is given back by [`release`](LockKeeper::release) alone, after a seal. It is not given
//! back by unwinding: a control thread that panics must not free the lock under a daemon that goes on
//! writing (protocol, promise 5). Short of a release, the kernel frees it when the process ends.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use handoff_core::op::LockReport;

use super::{DataDirLock, LockError};

/// The writer lock of a data directory, once there is one to keep. Clones keep the same one.
#[derive(Debug, Clone)]
pub struct LockKeeper(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    data_dir: PathBuf,
    lock: Mutex<Option<DataDirLock>>,
    /// That of the lock, and 0 without one; to be read without waiting.
    generation: AtomicU64,
}

impl LockKeeper {
    /// Keeps the lock of this directory, once there is one to keep.
    pub fn new(data_dir: &Path) -> Self {
        let kept = Arc::new(Kept {
            data_dir: data_dir.to_path_buf(),
            lock: Mutex::new(None),
            generation: AtomicU64::new(0),
        });
        // One owner never goes away, so nothing is ever dropped.
        std::mem::forget(Arc::clone(&kept));
        Self(kept)
    }

    /// Keeps this lock of the directory, which was taken elsewhere.
    pub fn keep(&self, lock: DataDirLock) {
        let mut kept = self.lock();
        self.0
            .generation
            .store(lock.generation(), Ordering::Release);
        *kept = Some(lock);
    }

    /// One try for the lock. Answers the same again when it is ours already. A lock that is taken when
    /// nobody waits for it any more stays here.
    ///
    /// # Errors
    /// [`LockError`], but for a lock that is held.
    pub fn try_lock(&self) -> Result<LockReport, LockError> {
        let mut kept = self.lock();
        let generation = match &*kept {
            Some(lock) => lock.generation(),
            None => match DataDirLock::acquire(&self.0.data_dir) {
                Ok(lock) => kept.insert(lock).generation(),
                Err(LockError::Held { .. }) => return Ok(LockReport::Held),
                Err(error) => return Err(error),
            },
        };
        self.0.generation.store(generation, Ordering::Release);
        Ok(LockReport::Taken { generation })
    }

    /// Gives the lock back. Only after a seal.
    pub fn release(&self) {
        self.pass_on(self.lock());
    }

    /// The same, unless somebody is about the lock at this moment: never waits. Returns whether it was
    /// done.
    pub fn try_release(&self) -> bool {
        self.uncontended().map(|kept| self.pass_on(kept)).is_some()
    }

    fn pass_on(&self, mut kept: MutexGuard<'_, Option<DataDirLock>>) {
        self.0.generation.store(0, Ordering::Release);
        // Before anybody else here may look: there is no moment in which it is neither ours nor free.
        if let Some(lock) = kept.take() {
            lock.pass_on();
        }
    }

    /// The generation under which the lock is held; 0 while it is not. Never waits.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Does something that only the holder of the lock may, and that must not come too late: the lock
    /// is not given back meanwhile. `None` when it is not ours.
    pub fn while_held<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let kept = self.lock();
        kept.is_some().then(work)
    }

    /// The same, unless somebody is about the lock at this moment: never waits. `None` then as well.
    pub fn try_while_held<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let kept = self.uncontended()?;
        kept.is_some().then(work)
    }

    fn uncontended(&self) -> Option<MutexGuard<'_, Option<DataDirLock>>> {
        match self.0.lock.try_lock() {
            Ok(kept) => Some(kept),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<DataDirLock>> {
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_release_frees_the_lock() {
        let dir = tempfile::tempdir().expect("a directory");
        let taken = DataDirLock::acquire(dir.path()).expect("nobody holds it");
        let keeper = LockKeeper::new(dir.path());
        keeper.keep(taken);
        assert_eq!(keeper.generation(), 1);

        let unwound = std::thread::spawn({
            let keeper = keeper.clone();
            move || {
                let _keeper = keeper;
                panic!("as the test wants it");
            }
        });
        assert!(unwound.join().is_err());
        drop(keeper);
        assert!(matches!(
            DataDirLock::acquire(dir.path()),
            Err(LockError::Held { .. })
        ));
    }

    #[test]
    fn a_lock_that_is_ours_is_taken_again_under_the_same_generation() {
        let dir = tempfile::tempdir().expect("a directory");
        let keeper = LockKeeper::new(dir.path());
        let first = LockReport::Taken { generation: 1 };
        assert_eq!(keeper.try_lock().expect("nobody holds it"), first);
        assert_eq!(keeper.try_lock().expect("it is ours"), first);
        keeper.release();
        assert_eq!(keeper.generation(), 0);

        let other = DataDirLock::acquire(dir.path()).expect("it was released");
        assert_eq!(keeper.try_lock().expect("no failure"), LockReport::Held);
        other.release();
        let third = LockReport::Taken { generation: 3 };
        assert_eq!(keeper.try_lock().expect("it was released"), third);
        keeper.release();
    }
}

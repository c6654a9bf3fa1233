//! Keeps the writer lock for as long as the daemon may write.
//!
//! The lock is given back by [`release`](LockKeeper::release) alone, after a seal. It is not given
//! back by unwinding: a control thread that panics must not free the lock under a daemon that goes on
//! writing (protocol, promise 5). Short of a release, the kernel frees it when the process ends.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use handoff_core::op::LockReport;

use crate::host::{DataDirLock, LockError};

#[derive(Clone)]
pub(crate) struct LockKeeper(Arc<Kept>);

struct Kept {
    data_dir: PathBuf,
    lock: Mutex<Option<DataDirLock>>,
}

impl LockKeeper {
    /// Keeps the lock of this directory, once there is one to keep.
    pub(crate) fn new(data_dir: &Path) -> Self {
        let kept = Arc::new(Kept {
            data_dir: data_dir.to_path_buf(),
            lock: Mutex::new(None),
        });
        // One owner never goes away, so nothing is ever dropped.
        std::mem::forget(Arc::clone(&kept));
        Self(kept)
    }

    /// Keeps this lock of the directory, which was taken elsewhere.
    pub(crate) fn keep(&self, lock: DataDirLock) {
        let mut kept = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(lock);
    }

    /// One try for the lock. Answers the same again when it is ours already.
    pub(crate) fn try_lock(&self) -> Result<LockReport, LockError> {
        let mut kept = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = match &*kept {
            Some(lock) => lock.generation(),
            None => match DataDirLock::acquire(&self.0.data_dir) {
                Ok(lock) => kept.insert(lock).generation(),
                Err(LockError::Held { .. }) => return Ok(LockReport::Held),
                Err(error) => return Err(error),
            },
        };
        Ok(LockReport::Taken { generation })
    }

    pub(crate) fn release(&self) {
        let lock = self
            .0
            .lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(lock) = lock {
            lock.release();
        }
    }

    /// The generation under which the lock is held; 0 while it is not.
    pub(crate) fn generation(&self) -> u64 {
        let kept = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map_or(0, DataDirLock::generation)
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

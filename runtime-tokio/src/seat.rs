//! The control path of this process, and the lock that gives it the right to it.
//!
//! Everything here that touches files is for blocking threads, and may end when nobody waits for it
//! any more. So each of these does its work under the lock keeper's mutex, and not at all without the
//! writer lock: a bind that comes too late must not take the path from a successor.
//!
//! Whoever leaves the seat leaves no socket file behind, but for one that belongs to another by now.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use handoff_core::op::{LockReport, PathOwner};
use handoff_std::LockError;
use handoff_std::host::control::knock;
use handoff_std::host::{ControlFile, ControlListener, LockKeeper, StagedControl};

/// The seat, for the operations on it.
#[derive(Clone)]
pub(crate) struct Seat(Arc<Shared>);

struct Shared {
    lock: LockKeeper,
    control: PathBuf,
    /// The file of the socket that was put into place last.
    file: Mutex<Option<ControlFile>>,
    /// That socket, until the loop takes it.
    fresh: Mutex<Option<ControlListener>>,
    left: AtomicBool,
}

/// Whoever sits there. Dropping it leaves the seat: the control path is removed if it still leads
/// here and the lock is held. The lock stays.
///
/// That is two system calls on the control path's directory. If an operation is under way it does
/// them when it ends, and nobody waits for it here.
pub(crate) struct Sitter(pub(crate) Seat);

impl Drop for Sitter {
    fn drop(&mut self) {
        self.0.0.left.store(true, Ordering::SeqCst);
        self.0.sweep();
    }
}

impl Seat {
    pub(crate) fn new(control: &Path, lock: LockKeeper) -> Self {
        Self(Arc::new(Shared {
            lock,
            control: control.to_path_buf(),
            file: Mutex::new(None),
            fresh: Mutex::new(None),
            left: AtomicBool::new(false),
        }))
    }

    /// The generation under which the lock is held; 0 while it is not. Never waits.
    pub(crate) fn generation(&self) -> u64 {
        self.0.lock.generation()
    }

    /// The path leads to this listener.
    pub(crate) fn put(&self, listener: ControlListener) {
        *locked(&self.0.file) = Some(listener.file().clone());
        *locked(&self.0.fresh) = Some(listener);
    }

    /// The listener that was put into place since the last call.
    pub(crate) fn take_fresh(&self) -> Option<ControlListener> {
        locked(&self.0.fresh).take()
    }

    /// One try for the lock. A lock that comes too late is kept all the same.
    pub(crate) fn try_lock(&self) -> Result<LockReport, LockError> {
        let tried = self.0.lock.try_lock();
        self.tidy();
        tried
    }

    pub(crate) fn release(&self) {
        self.0.lock.release();
    }

    /// The same, unless that would be a wait. Returns whether it was done.
    pub(crate) fn try_release(&self) -> bool {
        self.0.lock.try_release()
    }

    pub(crate) fn bind(&self) -> Result<(), String> {
        self.occupy(|| ControlListener::bind(&self.0.control).map_err(|e| e.to_string()))
    }

    pub(crate) fn stage(&self) -> Result<StagedControl, String> {
        ControlListener::stage(&self.0.control).map_err(|e| e.to_string())
    }

    pub(crate) fn publish(&self, staged: StagedControl) -> Result<(), String> {
        self.occupy(|| staged.publish().map_err(|failed| failed.1.to_string()))
    }

    pub(crate) fn inspect(&self) -> Result<PathOwner, String> {
        let file = locked(&self.0.file).clone();
        match file {
            Some(file) => file.owner(),
            None => knock(&self.0.control),
        }
        .map_err(|e| e.to_string())
    }

    fn occupy(&self, work: impl FnOnce() -> Result<ControlListener, String>) -> Result<(), String> {
        let done = self.0.lock.while_held(|| {
            if self.0.left.load(Ordering::SeqCst) {
                return Err("the daemon has stopped".to_owned());
            }
            self.put(work()?);
            Ok(())
        });
        self.tidy();
        done.unwrap_or_else(|| Err("the writer lock is not ours any more".into()))
    }

    /// What somebody who left during an operation could not do.
    fn tidy(&self) {
        if self.0.left.load(Ordering::SeqCst) {
            self.sweep();
        }
    }

    fn sweep(&self) {
        self.0.lock.try_while_held(|| {
            let removed = locked(&self.0.file)
                .take()
                .map(|file| file.unlink_if_ours())
                .transpose();
            if let Err(error) = removed {
                tracing::warn!(%error, "the control socket could not be removed");
            }
        });
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The control path of this process, and the writer lock that gives it the right to it: what an
//! incumbent's and a successor's operations do with the two, for a loop that touches files itself.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;

use handoff_core::LinkId;
use handoff_core::op::PathOwner;

use super::control::knock;
use super::engine::Accepted;
use super::{Accept, ControlListener, LockKeeper, StagedControl};

/// The seat. Leaving it takes [`leave`](Self::leave): dropping it leaves the socket file where it is.
#[derive(Debug)]
pub struct Seat {
    control: PathBuf,
    /// The writer lock, or none so far.
    pub lock: LockKeeper,
    staged: Option<StagedControl>,
    listener: Option<ControlListener>,
}

impl Seat {
    /// Nobody sits there yet.
    pub fn new(control: PathBuf, lock: LockKeeper) -> Self {
        Self {
            control,
            lock,
            staged: None,
            listener: None,
        }
    }

    /// The path leads to this listener.
    pub fn put(&mut self, listener: ControlListener) {
        self.listener = Some(listener);
    }

    /// The listener is of no use. The path still leads to it, until it is bound anew.
    pub fn unbind(&mut self) {
        self.listener = None;
    }

    /// The seat of the incumbent that a successor has become; nobody sits here any more.
    #[must_use]
    pub fn hand_over(&mut self) -> Self {
        let empty = Self::new(self.control.clone(), self.lock.clone());
        std::mem::replace(self, empty)
    }

    /// What the path leads to, if it does.
    pub fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(ControlListener::as_fd)
    }

    /// The same, for a loop that waits for it while another thread may close it.
    pub fn socket(&self) -> Option<Arc<UnixListener>> {
        self.listener.as_ref().map(ControlListener::socket)
    }

    /// Whose socket the control path leads to.
    ///
    /// # Errors
    /// See [`knock`].
    pub fn inspect(&self) -> Result<PathOwner, String> {
        match &self.listener {
            Some(listener) => listener.file().owner(),
            None => knock(&self.control),
        }
        .map_err(|e| e.to_string())
    }

    /// Bind the control path.
    ///
    /// # Errors
    /// Why not; above all that the writer lock is not ours any more.
    pub fn bind(&mut self) -> Result<(), String> {
        // A bind that comes too late must not take the path from whoever holds the lock by now.
        let bound = self
            .lock
            .while_held(|| ControlListener::bind(&self.control))
            .ok_or("the writer lock is not ours any more")?;
        self.put(bound.map_err(|e| e.to_string())?);
        Ok(())
    }

    /// Bind it under a temporary name.
    ///
    /// # Errors
    /// Why not.
    pub fn stage(&mut self) -> Result<(), String> {
        self.staged = Some(ControlListener::stage(&self.control).map_err(|e| e.to_string())?);
        Ok(())
    }

    /// Rename into place what was staged.
    ///
    /// # Errors
    /// Why not; above all that the writer lock is not ours any more.
    pub fn publish(&mut self) -> Result<(), String> {
        let staged = self.staged.take().ok_or("no control socket was staged")?;
        // A rename that comes too late must not take the path from whoever holds the lock by now.
        let published = self
            .lock
            .while_held(|| staged.publish())
            .ok_or("the writer lock is not ours any more")?;
        self.put(published.map_err(|failed| failed.1.to_string())?);
        Ok(())
    }

    /// Remove what is staged and was not published.
    pub fn unstage(&mut self) {
        self.staged = None;
    }

    /// Accept one connection, without waiting; `allowed` as in [`ControlListener::accept`], and `adopt` names the
    /// link.
    pub fn accept(
        &mut self,
        allowed: &[u32],
        adopt: impl FnOnce(UnixStream) -> LinkId,
    ) -> Accepted {
        let Some(listener) = &mut self.listener else {
            return Accepted::Nothing;
        };
        match listener.accept(allowed) {
            Accept::Accepted(stream, peer) => {
                Accepted::Link(adopt(stream), peer.pid.unwrap_or_default())
            }
            Accept::WouldBlock => Accepted::Nothing,
            Accept::Retry => Accepted::Again,
            Accept::Refused { uid } => {
                tracing::warn!(uid, "a peer of a foreign user was turned away");
                Accepted::Again
            }
            Accept::BackOff(error) => {
                tracing::warn!(%error, "cannot accept for now");
                Accepted::BackOff
            }
            Accept::Broken(error) => {
                tracing::error!(%error, "the control socket is broken; binding it again");
                self.listener = None;
                Accepted::Unbound
            }
        }
    }

    /// The daemon stops for good: the control path is removed if it still leads here.
    pub fn leave(&self) {
        // Once the lock is released a successor may be renaming its own socket into place.
        if self.lock.generation() != 0
            && let Some(listener) = &self.listener
            && let Err(error) = listener.file().unlink_if_ours()
        {
            tracing::warn!(%error, "the control socket could not be removed");
        }
    }
}

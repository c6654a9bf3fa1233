//! How many may be there at once: so many of one user, and so many of all.
//!
//! Root and our own user are not among all, since others could keep them out otherwise: they could end the
//! supervisor anyway, and it is them who put things right. One of them has as much room as any other user.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use handoff_std::host::uid_allowed;
use tokio::sync::Notify;

/// Those who are there. Clones are the same crowd.
#[derive(Debug, Clone)]
pub(super) struct Crowd(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Of one user, at most.
    of_one: usize,
    /// Of all users but root and our own, at most.
    of_all: usize,
    counts: Mutex<Counts>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    of_users: BTreeMap<u32, usize>,
    of_all: usize,
}

/// A place among them, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Inner>,
    uid: u32,
}

/// There is no room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("{0} of this user are there already")]
    OfOne(usize),
    #[error("{0} of several users are there already")]
    OfAll(usize),
}

impl Crowd {
    pub(super) fn new(of_one: usize, of_all: usize) -> Self {
        Self(Arc::new(Inner {
            of_one,
            of_all,
            counts: Mutex::default(),
            left: Notify::new(),
        }))
    }

    /// A place for one of this user.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn enter(&self, uid: u32) -> Result<Place, Full> {
        let Inner { of_one, of_all, .. } = *self.0;
        let mut counts = self.0.counts();
        if counts.of_users.get(&uid).is_some_and(|one| *one >= of_one) {
            return Err(Full::OfOne(of_one));
        }
        if !is_ours(uid) {
            if counts.of_all >= of_all {
                return Err(Full::OfAll(of_all));
            }
            counts.of_all = counts.of_all.saturating_add(1);
        }
        let one = counts.of_users.entry(uid).or_default();
        *one = one.saturating_add(1);
        let crowd = Arc::clone(&self.0);
        Ok(Place { crowd, uid })
    }

    /// The same as soon as there is one.
    pub(super) async fn wait(&self, uid: u32) -> Place {
        loop {
            let left = self.0.left.notified();
            if let Ok(place) = self.enter(uid) {
                return place;
            }
            left.await;
        }
    }
}

impl Inner {
    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts();
        if !is_ours(self.uid) {
            counts.of_all = counts.of_all.saturating_sub(1);
        }
        if let Some(one) = counts.of_users.get_mut(&self.uid) {
            *one = one.saturating_sub(1);
            if *one == 0 {
                counts.of_users.remove(&self.uid);
            }
        }
        drop(counts);
        self.crowd.left.notify_waiters();
    }
}

fn is_ours(uid: u32) -> bool {
    uid_allowed(uid, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Users that no test runs as.
    const FRIENDS: [u32; 3] = [65_531, 65_532, 65_533];

    #[test]
    fn one_user_leaves_room_for_others_and_all_of_them_for_the_operator() {
        let crowd = Crowd::new(2, 3);
        let [one, other, third] = FRIENDS;
        let first = crowd.enter(one).unwrap();
        let _second = crowd.enter(one).unwrap();
        assert_eq!(crowd.enter(one).unwrap_err(), Full::OfOne(2));
        let _third = crowd.enter(other).unwrap();
        assert_eq!(crowd.enter(third).unwrap_err(), Full::OfAll(3));
        let _roots = [crowd.enter(0).unwrap(), crowd.enter(0).unwrap()];
        assert_eq!(crowd.enter(0).unwrap_err(), Full::OfOne(2));
        drop(first);
        let _fourth = crowd.enter(third).unwrap();
        assert_eq!(crowd.enter(one).unwrap_err(), Full::OfAll(3));
    }

    #[tokio::test]
    async fn who_waits_is_let_in_when_somebody_leaves() {
        let crowd = Crowd::new(1, 1);
        let first = crowd.enter(0).unwrap();
        let (waits, ()) = tokio::join!(crowd.wait(0), async { drop(first) });
        drop(waits);
        assert!(crowd.0.counts().of_users.is_empty());
    }
}

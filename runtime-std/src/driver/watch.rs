//! What the loop waits for, and what it finds.

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use handoff_core::{Instant, LinkId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Stream;

/// What there is to wait for, but the bell. It holds the sockets open, so that a number under which
/// the loop waits is not another's meanwhile.
pub(super) struct Watch {
    /// Each with whether it is waited for until it takes bytes again.
    pub(super) links: Vec<(LinkId, Stream, bool)>,
    pub(super) listener: Option<Arc<UnixListener>>,
    pub(super) until: Option<Instant>,
}

/// What a wait has found.
#[derive(Default)]
pub(super) struct Ready {
    pub(super) readable: Vec<LinkId>,
    pub(super) writable: Vec<LinkId>,
    pub(super) calls: bool,
    pub(super) listener: bool,
}

impl Watch {
    /// Whether whoever waits for this need not be woken to wait for `other`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let links = |watch: &Self| -> Vec<(LinkId, bool)> {
            let all = watch.links.iter();
            all.map(|(link, _, blocked)| (*link, *blocked)).collect()
        };
        let listener = match (&self.listener, &other.listener) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        // A wait that ends early finds no deadline due, and goes on.
        let in_time = match (self.until, other.until) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(ours), Some(theirs)) => ours <= theirs,
        };
        listener && in_time && links(self) == links(other)
    }

    /// Wait for it, or for the bell.
    pub(super) fn wait(&self, bell: &UnixStream, now: Instant) -> Ready {
        let links = self.links.iter().map(|(_, socket, blocked)| {
            let writable = if *blocked {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            };
            PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN | writable)
        });
        let others = [
            Some(bell.as_fd()),
            self.listener.as_ref().map(|l| l.as_fd()),
        ];
        let others = others.into_iter().flatten();
        let mut fds: Vec<_> = links
            .chain(others.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)))
            .collect();

        let timeout = self.until.map(|until| timespec(until.since(now)));
        // An interrupted or failed poll is one that found nothing.
        let _ = poll(&mut fds, timeout.as_ref());

        let happened = |at: usize| fds.get(at).map_or(PollFlags::empty(), PollFd::revents);
        let links = self.links.len();
        let mut ready = Ready {
            readable: Vec::new(),
            writable: Vec::new(),
            calls: !happened(links).is_empty(),
            listener: !happened(links + 1).is_empty(),
        };
        for (at, (link, _, _)) in self.links.iter().enumerate() {
            let flags = happened(at);
            if flags.contains(PollFlags::OUT) {
                ready.writable.push(*link);
            }
            if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                ready.readable.push(*link);
            }
        }
        ready
    }
}

/// As exact as the clock. A wait that ends early all the same finds no deadline due, and goes on.
fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

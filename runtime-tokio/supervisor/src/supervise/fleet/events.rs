//! What happens to the services, told to whoever listens: history, metrics, clients.
//!
//! [`Hub`] is where one listens, [`Teller`] is what one service tells with. Nobody waits for a
//! listener: one that is slow misses the oldest events, and is told how many. What happens inside the
//! pause of a handoff is not even put into words unless somebody follows it.

mod ended;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use handoff_std::SupervisorEvent;
use handoff_std::core::supervisor::Phase;
use tokio::sync::broadcast::{self, WeakSender};

use crate::operate::event::{Event, What};

/// Events that a listener may be behind before it misses some.
pub(super) const BACKLOG: usize = 1024;
/// The same for one that listens to a single service.
const OWN_BACKLOG: usize = 128;

/// What a listener has. It ends when the last hub and the last teller are gone.
pub(super) type Events = broadcast::Receiver<Arc<Event>>;

/// Where all services tell what happens to them.
#[derive(Clone)]
pub(super) struct Hub {
    all: broadcast::Sender<Arc<Event>>,
    milestones: broadcast::Sender<Arc<Event>>,
}

impl Hub {
    pub(super) fn new() -> Self {
        Self {
            all: broadcast::Sender::new(BACKLOG),
            milestones: broadcast::Sender::new(BACKLOG),
        }
    }

    /// All but what happens between the start and the end of a handoff. For those who always listen,
    /// since these events cost a handoff nothing.
    pub(super) fn milestones(&self) -> Events {
        self.milestones.subscribe()
    }

    /// For those who come and go, and keep no service from ending.
    pub(super) fn visitors(&self) -> Visitors {
        Visitors(self.all.downgrade())
    }

    /// What this service tells with.
    pub(super) fn teller(&self, service: &str) -> Teller {
        Teller {
            hub: self.clone(),
            own: broadcast::Sender::new(OWN_BACKLOG),
            service: service.into(),
            next: Arc::default(),
        }
    }
}

/// Where one can begin to follow everything that happens, or what happens to one service.
#[derive(Clone)]
pub(super) struct Visitors(WeakSender<Arc<Event>>);

impl Visitors {
    /// What happens from now on; `None` if nothing will.
    pub(super) fn follow(&self) -> Option<Events> {
        Some(self.0.upgrade()?.subscribe())
    }
}

/// Tells what happens to one service.
#[derive(Clone)]
pub(super) struct Teller {
    hub: Hub,
    /// For those who follow this service alone: what happens to the others does not wake them.
    own: broadcast::Sender<Arc<Event>>,
    service: Arc<str>,
    /// The handoff that is started next.
    next: Arc<Mutex<Next>>,
}

#[derive(Default, Clone)]
struct Next {
    pid: Option<u32>,
    binary: String,
}

impl Teller {
    /// Tells something that happens outside of any pause.
    pub(super) fn tell(&self, handoff_id: Option<String>, what: What) {
        let event = Arc::new(self.event(handoff_id, what));
        // Nobody has to listen.
        let _ = self.hub.milestones.send(Arc::clone(&event));
        self.tell_followers(event);
    }

    /// Where one can begin to follow this service.
    pub(super) fn visitors(&self) -> Visitors {
        Visitors(self.own.downgrade())
    }

    fn is_followed(&self) -> bool {
        self.own.receiver_count() > 0 || self.hub.all.receiver_count() > 0
    }

    fn tell_followers(&self, event: Arc<Event>) {
        // Nobody has to listen.
        let _ = self.own.send(Arc::clone(&event));
        let _ = self.hub.all.send(event);
    }

    /// The name of the service.
    pub(super) fn service(&self) -> &str {
        &self.service
    }

    /// The handoff that is started next is from this daemon to this binary.
    pub(super) fn expect(&self, pid: Option<u32>, binary: &Path) {
        let binary = binary.to_string_lossy().into_owned();
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Next { pid, binary };
    }

    /// Tells what a supervisor lets be seen.
    pub(super) fn observer(self) -> impl FnMut(&SupervisorEvent) + Send + 'static {
        let mut handoff = None;
        move |event| match (event, &mut handoff) {
            (SupervisorEvent::Started(id), _) => {
                let id = id.to_string();
                let Next { pid, binary } = {
                    let next = self.next.lock();
                    next.unwrap_or_else(PoisonError::into_inner).clone()
                };
                self.tell(Some(id.clone()), What::HandoffStarted { pid, binary });
                handoff = Some(Running::new(id));
            }
            (SupervisorEvent::Phase(Phase::Done), _) => handoff = None,
            (event, Some(handoff)) => {
                let is_new = match event {
                    SupervisorEvent::Phase(phase) => handoff.enter(*phase),
                    _ => true,
                };
                if is_new && self.is_followed() {
                    self.tell_step(handoff, event);
                }
            }
            (SupervisorEvent::Trouble(cause), None) => {
                let reason = cause.to_string();
                self.tell(None, What::Trouble { reason });
            }
            _ => {}
        }
    }

    /// Tells something that happens in a handoff.
    fn tell_step(&self, handoff: &Running, event: &SupervisorEvent) {
        let what = match event {
            SupervisorEvent::Phase(phase) => What::Phase {
                phase: name(*phase),
                after_us: micros(handoff.since.elapsed()),
            },
            SupervisorEvent::Drained(report) => What::Drained {
                open_connections: report.open_connections,
                accept_closed: report.accept_closed,
            },
            SupervisorEvent::Progress(progress) => What::SealProgress {
                sealed: progress.sealed,
                total: progress.total,
            },
            SupervisorEvent::Sealed(_) => What::Sealed,
            SupervisorEvent::Ready(readiness) => What::Ready {
                healthy: readiness.healthy,
            },
            SupervisorEvent::Lost(loss) => What::Lost {
                reason: loss.to_string(),
            },
            SupervisorEvent::Trouble(cause) => What::Trouble {
                reason: cause.to_string(),
            },
            // What is not for users of this version.
            _ => return,
        };
        let event = self.event(Some(handoff.id.clone()), what);
        self.tell_followers(Arc::new(event));
    }

    fn event(&self, handoff_id: Option<String>, what: What) -> Event {
        Event {
            at: SystemTime::now(),
            service: self.service.to_string(),
            handoff_id,
            what,
        }
    }
}

/// A handoff that goes on.
struct Running {
    id: String,
    since: Instant,
    /// Looks and pauses that have been told of: they may come by many times a second.
    looks: BTreeSet<Phase>,
}

impl Running {
    fn new(id: String) -> Self {
        Self {
            id,
            since: Instant::now(),
            looks: BTreeSet::new(),
        }
    }

    /// Whether this is to be told.
    fn enter(&mut self, phase: Phase) -> bool {
        use Phase::{ConfirmPause, Confirming, ConnectPause, Connecting, Meeting};
        match phase {
            Connecting | ConnectPause | Meeting | Confirming | ConfirmPause => {
                self.looks.insert(phase)
            }
            _ => true,
        }
    }
}

/// As in `cold_starting`.
fn name(phase: Phase) -> String {
    let mut name = String::new();
    for letter in phase.name().chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use handoff_std::core::wire::HandoffId;

    use super::*;

    fn whats(events: &mut Events) -> Vec<What> {
        let mut whats = Vec::new();
        while let Ok(event) = events.try_recv() {
            assert_eq!(event.service, "a");
            whats.push(event.what.clone());
        }
        whats
    }

    #[test]
    fn a_handoff_is_told_step_by_step_and_its_looks_once() {
        let hub = Hub::new();
        let (mut milestones, mut all) = (hub.milestones(), hub.visitors().follow().unwrap());
        let teller = hub.teller("a");
        teller.expect(Some(7), Path::new("/bin/b"));
        let mut observe = teller.observer();
        // Of a recovery.
        observe(&SupervisorEvent::Phase(Phase::Calling));
        observe(&SupervisorEvent::Phase(Phase::Done));
        observe(&SupervisorEvent::Started(HandoffId::from_random([0; 16])));
        for phase in [
            Phase::Connecting,
            Phase::ConnectPause,
            Phase::Connecting,
            Phase::Draining,
            Phase::Done,
        ] {
            observe(&SupervisorEvent::Phase(phase));
        }
        let started = What::HandoffStarted {
            pid: Some(7),
            binary: "/bin/b".into(),
        };
        assert_eq!(whats(&mut milestones), std::slice::from_ref(&started));
        let all = whats(&mut all);
        assert_eq!(all.first(), Some(&started));
        let phases: Vec<_> = all
            .iter()
            .filter_map(|what| match what {
                What::Phase { phase, .. } => Some(phase.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(phases, ["connecting", "connect_pause", "draining"]);
    }

    #[test]
    fn who_follows_one_service_hears_of_no_other() {
        let hub = Hub::new();
        let (one, other) = (hub.teller("a"), hub.teller("b"));
        let mut observe = one.clone().observer();
        let mut events = one.visitors().follow().unwrap();
        other.tell(None, What::Sealed);
        observe(&SupervisorEvent::Started(HandoffId::from_random([0; 16])));
        observe(&SupervisorEvent::Phase(Phase::Draining));
        assert_eq!(whats(&mut events).len(), 2);
        let visitors = one.visitors();
        drop((one, observe));
        assert!(visitors.follow().is_none());
    }

    #[test]
    fn who_is_slow_is_told_what_it_missed_and_the_end_is_seen() {
        let hub = Hub::new();
        let visitors = hub.visitors();
        let mut events = visitors.follow().unwrap();
        let teller = hub.teller("a");
        for _ in 0..BACKLOG + 3 {
            teller.tell(None, What::Sealed);
        }
        let missed = events.try_recv();
        assert_eq!(missed, Err(broadcast::error::TryRecvError::Lagged(3)));
        assert_eq!(whats(&mut events).len(), BACKLOG);
        drop((hub, teller));
        let over = events.try_recv();
        assert_eq!(over, Err(broadcast::error::TryRecvError::Closed));
        assert!(visitors.follow().is_none());
    }
}

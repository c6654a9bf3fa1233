//! The supervisor's own socket: what commands ask for, in JSON, and who may.

use std::sync::Arc;
use std::time::Duration;

use handoff_std::ask::{DaemonStatus, status_with};
use handoff_std::core::{SupervisorConfig, Task};
use handoff_std::host::uid_allowed;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;

use super::door::{Asked, Door};
use super::orders::{HandoffOrder, Order, Verdict, Wanted};
use super::{Open, Served};
pub(super) use crate::operate::protocol::LINE;
use crate::operate::protocol::{Daemon, Reply, Request, ServiceStatus, State};

/// How long a daemon may take to say how it is.
const STATUS: Duration = Duration::from_secs(2);

/// What the socket leads to, as it is at the moment.
#[derive(Clone)]
pub(super) struct Control {
    services: Arc<[Served]>,
    /// Users that may ask for anything, besides our own and root.
    allowed: Arc<[u32]>,
}

impl Control {
    pub(super) fn new(services: impl Iterator<Item = Served>, allowed: &[u32]) -> Self {
        Self {
            services: services.collect(),
            allowed: allowed.into(),
        }
    }

    /// Users that may ask for something at all.
    pub(super) fn allowed(&self) -> Vec<u32> {
        let theirs = self.services.iter();
        let theirs = theirs.flat_map(|one| &one.service.allowed_uids);
        self.allowed.iter().chain(theirs).copied().collect()
    }

    /// Serves it until it is closed: each client what there is when it asks.
    pub(super) fn open(current: watch::Receiver<Self>, door: Door) -> Open {
        let (close, closed) = oneshot::channel();
        let task = tokio::spawn(door.serve(closed, move |asked| {
            let control = current.borrow().clone();
            async move {
                let reply = control.answer(asked).await;
                // Text and numbers can always be written.
                serde_json::to_string(&reply).unwrap_or_default()
            }
        }));
        (close, task)
    }

    async fn answer(&self, asked: Asked) -> Reply {
        let Some(line) = asked.line else {
            return refused(format!(
                "the line is too long, at most {LINE} bytes are possible"
            ));
        };
        let request = match serde_json::from_slice(&line) {
            Ok(request) => request,
            Err(error) => {
                return refused(format!(
                    "not a request: {error}; is the supervisor of the same version?"
                ));
            }
        };
        let order = |binary, wait, reply| {
            Order::Handoff(HandoffOrder {
                binary,
                wait,
                start: true,
                reply,
            })
        };
        let (reply, told) = oneshot::channel();
        let (service, order) = match request {
            Request::Status { service } => return self.status(asked.uid, service).await,
            Request::Upgrade {
                service,
                binary,
                wait,
            } => {
                let binary = binary.map_or(Wanted::Configured, Wanted::Named);
                (service, order(binary, wait, reply))
            }
            Request::Restart { service, wait } => (service, order(Wanted::Current, wait, reply)),
            Request::Rollback { service } => (service, Order::Rollback(reply)),
        };
        let service = match self.one(asked.uid, service.as_deref()) {
            Ok(service) => service,
            Err(why) => return refused(why),
        };
        match service.ask(order, told).await {
            Ok(Verdict::Ended { ended, .. }) => Reply::Ended(ended),
            Ok(Verdict::Refused(why)) | Err(why) => refused(why),
        }
    }

    /// Those that this user may ask for something.
    fn open_to(&self, uid: u32) -> impl Iterator<Item = &Served> {
        self.services.iter().filter(move |one| {
            uid_allowed(uid, &self.allowed) || uid_allowed(uid, &one.service.allowed_uids)
        })
    }

    /// The service with this name, or the only one. Otherwise what to do.
    fn one(&self, uid: u32, name: Option<&str>) -> Result<&Served, String> {
        let known: Vec<_> = self.open_to(uid).collect();
        let names: Vec<_> = known.iter().map(|one| one.service.name.as_str()).collect();
        let names = names.join(", ");
        match (name, &known[..]) {
            (Some(name), known) => known
                .iter()
                .find(|one| one.service.name == name)
                .copied()
                .ok_or_else(|| {
                    format!("no service is called `{name}`, or not for you; there is {names}")
                }),
            (None, [only]) => Ok(only),
            (None, _) => Err(format!("say which service: {names}")),
        }
    }

    async fn status(&self, uid: u32, name: Option<String>) -> Reply {
        let asked: Vec<_> = match &name {
            None => self.open_to(uid).collect(),
            Some(name) => match self.one(uid, Some(name)) {
                Ok(service) => vec![service],
                Err(why) => return refused(why),
            },
        };
        // All at once: one that does not answer takes its time.
        let looks: Vec<_> = asked
            .into_iter()
            .map(|one| tokio::spawn(look(one.clone())))
            .collect();
        let mut services = Vec::new();
        for look in looks {
            match look.await {
                Ok(Ok(service)) => services.push(service),
                Ok(Err(why)) => return refused(why),
                Err(error) => return refused(error.to_string()),
            }
        }
        Reply::Status { services }
    }
}

/// How a service is, with what its daemon says of itself.
async fn look(served: Served) -> Result<ServiceStatus, String> {
    let (reply, told) = oneshot::channel();
    let mut status = served.ask(Order::Look(reply), told).await?;
    if matches!(status.state, State::Running | State::HandingOver) {
        let control = served.service.control_socket.clone();
        let times = SupervisorConfig {
            connect: STATUS,
            ..SupervisorConfig::new(Task::Recover(None))
        };
        let asked = spawn_blocking(move || status_with(control, &times));
        match tokio::time::timeout(STATUS, asked).await {
            Ok(Ok(Ok(daemon))) => status.daemon = Some(said(&daemon)),
            Ok(Ok(Err(error))) => trouble(&mut status, &error),
            Ok(Err(error)) => trouble(&mut status, &error),
            Err(_) => trouble(&mut status, &"the daemon does not say how it is, in time"),
        }
    }
    Ok(status)
}

fn trouble(status: &mut ServiceStatus, what: &dyn ToString) {
    status.trouble.get_or_insert_with(|| what.to_string());
}

fn said(daemon: &DaemonStatus) -> Daemon {
    Daemon {
        pid: daemon.pid,
        build_id: String::from_utf8_lossy(&daemon.build_id).into_owned(),
        phase: daemon.phase.to_string(),
        generation: daemon.generation,
        uptime_ms: u64::try_from(daemon.uptime.as_millis()).unwrap_or(u64::MAX),
        open_connections: daemon.open_connections,
    }
}

fn refused(why: String) -> Reply {
    Reply::Refused { why }
}

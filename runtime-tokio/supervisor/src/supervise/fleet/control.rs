//! The supervisor's own socket: what commands ask for, in JSON, and who may.

mod latest;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use handoff_std::ask::{AskError, DaemonStatus, status_with};
use handoff_std::core::{SupervisorConfig, Task};
use handoff_std::host::uid_allowed;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use super::crowd::Crowd;
use super::door::{Answer, Asked, Client, Door};
use super::events::Visitors;
use super::following::{Following, written};
use super::history::History;
use super::orders::{HandoffOrder, Order, Verdict, Wanted};
use super::{Open, Served};
use crate::operate::event::Event;
pub(super) use crate::operate::protocol::LINE;
use crate::operate::protocol::{Daemon, Reply, Request, ServiceStatus, State};
use latest::Latest;

/// How long a daemon may take to say how it is.
const STATUS: Duration = Duration::from_secs(2);
/// How many daemons are asked at once, for whomever; each question has a thread to itself.
const ASKED: usize = 32;
/// How many clients of one user may follow what happens, at once.
const WATCHERS_OF_ONE: usize = 32;
/// The same for all users but root and our own.
const WATCHERS: usize = 64;
/// How many answers that say all of something are made for one user at once, or are read by its clients
/// still. Such an answer may have some megabytes.
const LONG_OF_ONE: usize = 8;
/// The same for all users but root and our own.
const LONG_OF_ALL: usize = 16;
/// How long such an answer may take before it is begun, and how long a daemon may wait to be asked.
const TURN: Duration = Duration::from_secs(30);
/// How long it may take to read what has happened: of all that is asked for, since a disk that hangs does
/// so for all of it.
const PAST: Duration = Duration::from_secs(10);
/// The most events that an answer holds.
const MOST_PAST: usize = 1000;

/// What the socket leads to, as it is at the moment.
#[derive(Clone)]
pub(super) struct Control {
    services: Arc<[Served]>,
    /// Users that may ask for anything, besides our own and root.
    allowed: Arc<[u32]>,
    visitors: Visitors,
    history: History,
    /// Clients that follow what happens, without an end.
    watchers: Crowd,
    /// Clients whose answers are long.
    long: Crowd,
    /// Questions to daemons.
    asked: Arc<Semaphore>,
}

impl Control {
    pub(super) fn new(
        services: impl Iterator<Item = Served>,
        allowed: &[u32],
        visitors: Visitors,
        history: History,
    ) -> Self {
        Self {
            services: services.collect(),
            allowed: allowed.into(),
            visitors,
            history,
            watchers: Crowd::new(WATCHERS_OF_ONE, WATCHERS),
            long: Crowd::new(LONG_OF_ONE, LONG_OF_ALL),
            asked: Arc::new(Semaphore::new(ASKED)),
        }
    }

    /// The same for other services and users.
    pub(super) fn changed(&self, services: impl Iterator<Item = Served>, allowed: &[u32]) -> Self {
        Self {
            services: services.collect(),
            allowed: allowed.into(),
            ..self.clone()
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
            async move { control.answer(asked).await }
        }));
        (close, task)
    }

    async fn answer(&self, asked: Asked) -> Answer {
        let request = match asked.line {
            Ok(line) => serde_json::from_slice(&line).map_err(|error| {
                format!("not a request: {error}; is the supervisor of the same version?")
            }),
            Err(error) => Err(error.to_string()),
        };
        let request = match request {
            Ok(request) => request,
            Err(why) => return written(&refused(why)).into(),
        };
        if !matches!(request, Request::Status { .. } | Request::History { .. }) {
            return written(&self.reply(asked.uid, request, &asked.client).await).into();
        }
        let Ok(place) = timeout(TURN, self.long.wait(asked.uid)).await else {
            let why = "others ask too much at once; try again in a moment";
            return written(&refused(why.into())).into();
        };
        let reply = self.reply(asked.uid, request, &asked.client).await;
        Answer {
            text: written(&reply),
            place: Some(place),
        }
    }

    async fn reply(&self, uid: u32, request: Request, client: &Client) -> Reply {
        let order = |binary, wait, reply| {
            Order::Handoff(HandoffOrder {
                binary,
                wait,
                start: true,
                reply,
            })
        };
        let (reply, told) = oneshot::channel();
        let (service, order, events) = match request {
            Request::Status { service } => return self.status(uid, service).await,
            Request::History { service, limit } => return self.past(uid, service, limit).await,
            Request::Watch { service } => return self.watch(uid, service, client).await,
            Request::Upgrade {
                service,
                binary,
                wait,
                events,
            } => {
                let binary = binary.map_or(Wanted::Configured, Wanted::Named);
                (service, order(binary, wait, reply), events)
            }
            Request::Restart {
                service,
                wait,
                events,
            } => (service, order(Wanted::Current, wait, reply), events),
            Request::Rollback { service } => (service, Order::Rollback(reply), false),
        };
        let service = match self.one(uid, service.as_deref()) {
            Ok(service) => service,
            Err(why) => return refused(why),
        };
        let events = events.then(|| service.visitors.follow()).flatten();
        let mut following = events.map(|events| Following::new(events, |_: &Event| true));
        let meanwhile = async {
            if let Some(following) = &mut following {
                following.go_on(client).await;
            }
            // Of the two, this is not what ends it.
            pending::<Infallible>().await
        };
        let verdict = tokio::select! {
            verdict = service.ask(order, told) => verdict,
            never = meanwhile => match never {},
        };
        if let Some(following) = &mut following {
            following.catch_up(client).await;
        }
        match verdict {
            Ok(Verdict::Ended { ended, .. }) => Reply::Ended(ended),
            Ok(Verdict::Refused(why)) | Err(why) => refused(why),
        }
    }

    /// Tells what happens until the client leaves or the supervisor ends.
    async fn watch(&self, uid: u32, name: Option<String>, client: &Client) -> Reply {
        let _watcher = match self.watchers.enter(uid) {
            Ok(watcher) => watcher,
            Err(full) => {
                return refused(format!(
                    "too many clients follow what happens, {full}; try again when one of them has left"
                ));
            }
        };
        if let Err(why) = self.some(uid, name.as_deref()) {
            return refused(why);
        }
        let Some(events) = self.visitors.follow() else {
            return Reply::Over;
        };
        let all_are_open = uid_allowed(uid, &self.allowed);
        let wanted = |event: &Event| {
            name.as_ref().is_none_or(|name| *name == event.service)
                && (all_are_open
                    || self
                        .open_to(uid)
                        .any(|one| one.service.name == event.service))
        };
        let mut following = Following::new(events, wanted);
        client.say(written(&Reply::Following)).await;
        tokio::select! {
            () = following.go_on(client) => {}
            () = client.shut() => {}
        }
        Reply::Over
    }

    /// What has happened, of all that were asked for.
    async fn past(&self, uid: u32, name: Option<String>, limit: usize) -> Reply {
        let asked = match self.some(uid, name.as_deref()) {
            Ok(asked) => asked,
            Err(why) => return refused(why),
        };
        let limit = limit.min(MOST_PAST);
        let (mut latest, mut damage) = (Latest::new(limit), Vec::new());
        let deadline = Instant::now() + PAST;
        for one in asked {
            let name = &one.service.name;
            let Ok(past) = timeout_at(deadline, self.history.past(name, limit)).await else {
                damage.push(format!(
                    "what has happened to {name}, and to services behind it, cannot be read in time: look \
                     whether the disk of the state directory is well"
                ));
                break;
            };
            latest.add(past.events);
            damage.extend(past.damage);
        }
        let events = latest.in_order();
        Reply::History { events, damage }
    }

    /// Those that this user may ask for something.
    fn open_to(&self, uid: u32) -> impl Iterator<Item = &Served> {
        self.services.iter().filter(move |one| {
            uid_allowed(uid, &self.allowed) || uid_allowed(uid, &one.service.allowed_uids)
        })
    }

    /// The service with this name, or the only one. Otherwise what to do.
    fn one(&self, uid: u32, name: Option<&str>) -> Result<&Served, String> {
        let mut known = self.open_to(uid);
        let names = || {
            let names = self.open_to(uid).map(|one| one.service.name.as_str());
            names.collect::<Vec<_>>().join(", ")
        };
        let Some(name) = name else {
            return match (known.next(), known.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(format!("say which service: {}", names())),
            };
        };
        known.find(|one| one.service.name == name).ok_or_else(|| {
            let names = names();
            format!("no service is called `{name}`, or not for you; there is {names}")
        })
    }

    /// The service with this name, or all of them. Otherwise what to do.
    fn some(&self, uid: u32, name: Option<&str>) -> Result<Vec<&Served>, String> {
        match name {
            None => Ok(self.open_to(uid).collect()),
            Some(name) => Ok(vec![self.one(uid, Some(name))?]),
        }
    }

    async fn status(&self, uid: u32, name: Option<String>) -> Reply {
        let asked = match self.some(uid, name.as_deref()) {
            Ok(asked) => asked,
            Err(why) => return refused(why),
        };
        // Many at once: one that does not answer takes its time.
        let looks: Vec<_> = asked
            .into_iter()
            .map(|one| {
                let look = look(one.clone(), self.history.clone(), Arc::clone(&self.asked));
                tokio::spawn(look)
            })
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
async fn look(
    served: Served,
    history: History,
    turns: Arc<Semaphore>,
) -> Result<ServiceStatus, String> {
    let (reply, told) = oneshot::channel();
    let mut status = served.ask(Order::Look(reply), told).await?;
    let last = history.last(&status.name);
    // A disk that hangs is no reason not to answer.
    let last = timeout(STATUS, last).await.ok().flatten();
    status.last = last.map(Arc::unwrap_or_clone);
    if matches!(status.state, State::Running | State::HandingOver) {
        let control = served.service.control_socket.clone();
        let times = SupervisorConfig {
            connect: STATUS,
            ..SupervisorConfig::new(Task::Recover(None))
        };
        let Ok(Ok(turn)) = timeout(TURN, turns.acquire_owned()).await else {
            trouble(
                &mut status,
                &"too many daemons are asked at once; ask again in a moment",
            );
            return Ok(status);
        };
        let asked = spawn_blocking(move || {
            // The thread has it, also when nobody waits for it any more.
            let _turn = turn;
            status_with(control, &times)
        });
        let asked = timeout(STATUS, asked).await;
        status.answers = match &asked {
            Ok(Ok(Err(AskError::Version1 { .. }))) => None,
            asked => Some(matches!(asked, Ok(Ok(Ok(_))))),
        };
        match asked {
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

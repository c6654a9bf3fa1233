//! `handoff supervise --config`: one or many services, each with a task of its own on one thread.
//!
//! | file | what it holds |
//! |---|---|
//! | [`attendant`] | the task of a service: its daemon, its listeners, its handoffs |
//! | [`events`] | what happens to the services, told to whoever listens |
//! | [`metrics`] | the same in numbers, for Prometheus |
//! | [`orders`] | what such a task can be told, and what it answers |
//! | [`restarts`] | whether and when a service is started again |
//! | [`watched`] | a daemon whose end wakes its task |
//! | [`readiness`] | a descriptor whose readiness wakes a task |
//! | [`door`] | a socket with clients that write a line and get one |
//! | [`trigger`] | the lines of a service's trigger socket |
//! | [`following`] | a client that is told what happens |
//! | [`history`] | what has happened, kept in files |
//! | [`control`] | the JSON of the supervisor's own socket |

mod attendant;
mod control;
mod door;
mod events;
mod following;
mod history;
mod metrics;
mod orders;
mod readiness;
mod restarts;
mod trigger;
mod watched;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use handoff_std::Recordings;
use handoff_std::host::Inherited;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::Instrument;

use super::take_charge;
use crate::config::{Config, Service};
use attendant::Attendant;
use control::Control;
use door::Door;
use events::Hub;
use history::History;
use orders::Order;

/// Orders that may wait for a task to take them in.
const ORDERS: usize = 16;
/// How long work that goes on beside the tasks may take when all is over.
const LAST_WORK: Duration = Duration::from_secs(10);

/// A service, seen from those who give it orders.
#[derive(Clone)]
struct Served {
    service: Arc<Service>,
    orders: mpsc::Sender<Order>,
}

/// Supervises the services until it is told to end.
///
/// # Errors
/// Whatever keeps it from starting, in words for the operator; or what made it end.
pub(crate) fn run(config: Config, keep_daemons: bool) -> anyhow::Result<()> {
    // First of all, while there is but one thread.
    let inherited = Inherited::from_env()?;
    if inherited.successor_channel.is_some() {
        bail!("a supervisor cannot be started as the successor of a daemon");
    }
    for name in inherited.listeners.names() {
        tracing::warn!(
            name,
            "inherited listeners are not taken with --config; closed"
        );
    }
    for note in &config.notes {
        tracing::warn!("the configuration: {note}");
    }
    let state_dir = &config.supervisor.state_dir;
    fs::create_dir_all(state_dir)
        .with_context(|| format!("cannot create {}", state_dir.display()))?;
    let mut in_charge = vec![take_charge(state_dir)?];
    for service in &config.services {
        in_charge.extend(prepare(service)?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let result = runtime.block_on(supervise(config, keep_daemons));
    runtime.shutdown_timeout(LAST_WORK);
    result
}

/// Creates the service's data directory, for its user, and keeps a second supervisor away from it.
fn prepare(service: &Service) -> anyhow::Result<Option<File>> {
    let Some(data_dir) = &service.data_dir else {
        return Ok(None);
    };
    if !data_dir.exists() {
        fs::create_dir_all(data_dir)
            .with_context(|| format!("cannot create {}", data_dir.display()))?;
        if let Some(user) = service.user {
            std::os::unix::fs::chown(data_dir, Some(user.uid), Some(user.gid))
                .with_context(|| format!("cannot give {} to its user", data_dir.display()))?;
        }
    }
    take_charge(data_dir).map(Some)
}

/// Where the service's data and lock are; an empty directory if that is not known.
fn data_dir(service: &Service, state_dir: &Path) -> anyhow::Result<PathBuf> {
    if let Some(data_dir) = &service.data_dir {
        return Ok(data_dir.clone());
    }
    let stand_in = state_dir.join(format!("{}.no-data", service.name));
    fs::create_dir_all(&stand_in)
        .with_context(|| format!("cannot create {}", stand_in.display()))?;
    Ok(stand_in)
}

async fn supervise(config: Config, keep_daemons: bool) -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate()).context("cannot catch signals")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot catch signals")?;

    let settings = &config.supervisor;
    let mut served = Vec::new();
    let mut receivers = Vec::new();
    for service in config.services {
        let data_dir = data_dir(&service, &settings.state_dir)?;
        let (sender, receiver) = mpsc::channel(ORDERS);
        receivers.push((receiver, data_dir));
        served.push(Served {
            service: Arc::new(service),
            orders: sender,
        });
    }
    let hub = Hub::new();
    let (history, keeper) = History::keep(settings.state_dir.clone(), hub.milestones());
    // The doors first: a path that cannot be bound is found before anything is started.
    let mut doors = Vec::new();
    for one in &served {
        if let Some(path) = &one.service.trigger_socket {
            let allowed = [&one.service.allowed_uids[..], &settings.allowed_uids].concat();
            let door = Door::bind(path, allowed, trigger::LINE)
                .with_context(|| format!("trigger socket of {}", one.service.name))?;
            doors.push(trigger::open(door, one.clone()));
        }
    }
    if let Some(path) = &settings.socket {
        let control = Control::new(
            served.clone(),
            settings.allowed_uids.clone(),
            hub.visitors(),
            history,
        );
        let door = Door::bind(path, control.allowed(), control::LINE).context("socket")?;
        doors.push(control.open(door));
    }
    if let Some(address) = settings.metrics {
        let names = served.iter().map(|one| one.service.name.as_str());
        metrics::open(address, names, &hub)
            .await
            .with_context(|| format!("metrics on {address}"))?;
    }
    let mut tasks = Vec::new();
    for (one, (receiver, data_dir)) in served.iter().zip(receivers) {
        let name = &one.service.name;
        let record = settings.state_dir.join(format!("{name}.binary"));
        let service = Arc::clone(&one.service);
        let teller = hub.teller(name);
        let recordings = settings.recordings.as_ref();
        let recordings = recordings.map(|dir| Recordings::new(dir.join(name)));
        let span = tracing::info_span!("fleet", service = %name);
        let attend = async move {
            Attendant::new(service, data_dir, record, receiver, teller, recordings)
                .await?
                .run()
                .await
        };
        tasks.push(tokio::spawn(attend.instrument(span)));
    }

    told_to_end(&mut term, &mut int, &mut tasks).await?;
    tracing::info!("told to end");
    let result = tokio::select! {
        result = wind_up(&served, tasks, keep_daemons) => result,
        () = either(&mut term, &mut int) => bail!(
            "told to end a second time: ending at once, the daemons are left as they are"
        ),
    };
    // Nothing happens any more: those who follow are told so, and the history is whole.
    drop(hub);
    for (close, door) in doors {
        drop(close);
        let _ = door.await;
    }
    if timeout(LAST_WORK, keeper).await.is_err() {
        tracing::error!("the history cannot be written in time");
    }
    result
}

/// A door that is open: what closes it, and its task.
type Open = (oneshot::Sender<()>, JoinHandle<()>);

/// # Errors
/// A service's task has ended by itself. The daemons are left as they are.
async fn told_to_end(
    term: &mut Signal,
    int: &mut Signal,
    tasks: &mut [JoinHandle<anyhow::Result<()>>],
) -> anyhow::Result<()> {
    let any_task = std::future::poll_fn(|cx| {
        use std::task::Poll;
        tasks
            .iter_mut()
            .map(|task| Future::poll(std::pin::Pin::new(task), cx))
            .find(Poll::is_ready)
            .unwrap_or(Poll::Pending)
    });
    tokio::select! {
        () = either(term, int) => Ok(()),
        ended = any_task => {
            ended.context("a task has panicked; restart the supervisor, it will find the daemons")??;
            bail!("a task has ended by itself; restart the supervisor, it will find the daemons")
        }
    }
}

async fn either(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Ends the services one after the other, the last one of the file first.
///
/// # Errors
/// The first daemon that does not die. The others are ended all the same.
async fn wind_up(
    served: &[Served],
    tasks: Vec<JoinHandle<anyhow::Result<()>>>,
    keep: bool,
) -> anyhow::Result<()> {
    for one in served {
        // A task that is gone has nothing to wind up.
        let _ = one.orders.send(Order::Wind).await;
    }
    let mut result = Ok(());
    for (one, task) in served.iter().zip(tasks).rev() {
        let _ = one.orders.send(Order::Stop { keep }).await;
        let name = &one.service.name;
        let ended = task.await.context("its task has panicked").flatten();
        let ended = ended.with_context(|| format!("service {name}"));
        if let Err(error) = &ended {
            tracing::error!("{error:#}");
        }
        result = result.and(ended);
    }
    result
}

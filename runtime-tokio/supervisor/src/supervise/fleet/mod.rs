//! One or many services, each with a task of its own on one thread.
//!
//! | file | what it holds |
//! |---|---|
//! | [`roster`] | the services that there are, and what becomes of them when the file is read again |
//! | [`reload`] | what that changes, and from when on |
//! | [`activation`] | listeners that were inherited, and whose they are |
//! | [`notify`] | what systemd is told |
//! | [`attendant`] | the task of a service: its daemon, its listeners, its handoffs |
//! | [`events`] | what happens to the services, told to whoever listens |
//! | [`metrics`] | the same in numbers, for Prometheus |
//! | [`orders`] | what such a task can be told, and what it answers |
//! | [`limits`] | enough descriptors for all of them |
//! | [`turns`] | how many handoffs and starts go on at once |
//! | [`restarts`], [`backoff`] | whether and when a service is started again |
//! | [`watched`] | a daemon whose end wakes its task |
//! | [`readiness`] | a descriptor whose readiness wakes a task |
//! | [`door`] | a socket with clients that write a line and get one |
//! | [`crowd`] | how many clients there may be at once |
//! | [`trigger`] | the lines of a service's trigger socket |
//! | [`following`] | a client that is told what happens |
//! | [`history`] | what has happened, kept in files |
//! | [`control`] | the JSON of the supervisor's own socket |

mod activation;
mod attendant;
mod backoff;
mod control;
mod crowd;
mod door;
mod events;
mod following;
mod history;
mod limits;
mod metrics;
mod notify;
mod orders;
mod readiness;
mod reload;
mod restarts;
mod roster;
mod trigger;
mod turns;
mod watched;

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use handoff_std::host::{Inherited, NamedListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::take_charge;
use crate::config::{Config, Service};
use crate::log;
use events::{Hub, Visitors};
use history::History;
use metrics::Metrics;
use notify::Board;
use orders::Order;
use roster::Roster;

/// How long work that goes on beside the tasks may take when all is over.
const LAST_WORK: Duration = Duration::from_secs(10);

/// How long systemd may take to be told the last.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a thread for file work is kept that has nothing to do. When hundreds of services start, there
/// is one for each of them for a moment.
const IDLE_THREAD: Duration = Duration::from_secs(1);

/// A service, seen from those who give it orders.
#[derive(Clone)]
struct Served {
    service: Arc<Service>,
    orders: mpsc::Sender<Order>,
    /// Where one can follow it.
    visitors: Visitors,
}

/// A door that is open: what closes it, and its task.
type Open = (oneshot::Sender<()>, JoinHandle<()>);

/// Supervises the services until it is told to end. `file` is where the configuration was read from, and
/// is read again on SIGHUP.
///
/// # Errors
/// Whatever keeps it from starting, in words for the operator; or what made it end.
pub(crate) fn run(config: Config, file: Option<PathBuf>, keep_daemons: bool) -> anyhow::Result<()> {
    // First of all, while there is but one thread.
    let inherited = Inherited::without_duplicates()?;
    if inherited.successor_channel.is_some() {
        bail!("a supervisor cannot be started as the successor of a daemon");
    }
    log::write_beside().context("cannot start the thread that writes the log")?;
    let shares = activation::share_out(inherited.listeners, &config.services);
    for note in &config.notes {
        tracing::warn!("the configuration: {note}");
    }
    limits::provide(&config.services);
    let file = file.map(std::path::absolute).transpose();
    let file = file.context("the file of the configuration")?;
    let state_dir = &config.supervisor.state_dir;
    fs::create_dir_all(state_dir)
        .with_context(|| format!("cannot create {}", state_dir.display()))?;
    let _in_charge = take_charge(state_dir)?;
    let mut belongings = Vec::new();
    for (service, share) in config.services.iter().zip(shares) {
        belongings.push((share, prepare(service)?));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(IDLE_THREAD)
        .build()
        .context("cannot start")?;
    let result = runtime.block_on(supervise(config, file, belongings, keep_daemons));
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
            // Not what somebody has put in its place meanwhile.
            std::os::unix::fs::lchown(data_dir, Some(user.uid), Some(user.gid))
                .with_context(|| format!("cannot give {} to its user", data_dir.display()))?;
        }
    }
    take_charge(data_dir).map(Some)
}

/// Those who are told what happens, and of which services.
struct Listening {
    board: Board,
    hub: Hub,
    history: History,
    /// If an address was asked for.
    metrics: Option<Metrics>,
}

impl Listening {
    /// These are the services from now on, in this order.
    fn list<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) {
        self.board.list(names.clone());
        if let Some(metrics) = &self.metrics {
            metrics.list(names);
        }
    }
}

/// For each service there are the listeners that were inherited for it, and its lock.
async fn supervise(
    config: Config,
    file: Option<PathBuf>,
    belongings: Vec<(Vec<NamedListener>, Option<File>)>,
    keep_daemons: bool,
) -> anyhow::Result<()> {
    let caught = |kind| signal(kind).context("cannot catch signals");
    let mut term = caught(SignalKind::terminate())?;
    let mut int = caught(SignalKind::interrupt())?;
    let mut hangup = caught(SignalKind::hangup())?;

    let board = Board::default();
    let mut manager = tokio::spawn(board.clone().notify());
    let hub = Hub::new();
    let state_dir = config.supervisor.state_dir.clone();
    let (history, keeper) = History::keep(state_dir, hub.milestones());
    let mut metrics = None;
    if let Some(address) = config.supervisor.metrics {
        let opened = metrics::open(address, &hub).await;
        metrics = Some(opened.with_context(|| format!("metrics on {address}"))?);
    }
    let listeners = Listening {
        board: board.clone(),
        hub,
        history,
        metrics,
    };
    let mut roster = Roster::start(config, file, belongings, listeners)?;
    let why = loop {
        tokio::select! {
            () = either(&mut term, &mut int) => break Ok(()),
            _ = hangup.recv() => roster.read_again(),
            event = roster.next() => if let Err(error) = roster.heed(event) {
                break Err(error);
            },
        }
    };
    match &why {
        Ok(()) => tracing::info!("told to end"),
        Err(error) if roster.attends() => {
            tracing::error!("ending, and leaving the daemons as they are: {error:#}");
        }
        // It is said at the end, which is now.
        Err(_) => {}
    }
    board.stopping();
    let result = tokio::select! {
        result = roster.wind_up(keep_daemons || why.is_err()) => why.and(result),
        () = either(&mut term, &mut int) => bail!(
            "told to end a second time: ending at once, the daemons are left as they are"
        ),
    };
    // Nothing happens any more: those who follow are told so, and the history is whole.
    roster.close().await;
    if timeout(LAST_WORK, keeper).await.is_err() {
        tracing::error!("the history cannot be written in time");
    }
    board.over();
    if timeout(LAST_WORDS, &mut manager).await.is_err() {
        manager.abort();
    }
    result
}

async fn either(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

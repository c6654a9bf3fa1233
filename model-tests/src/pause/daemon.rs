//! The measured daemon but for its library: what it does in a handoff, with the times of it. Each
//! contender calls the same methods at the same points of its life.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::Context;

use super::server::Server;
use super::span::{Record, Span, locked};
use super::store::Store;

/// The name of the listener for clients.
pub(super) const LISTENER: &str = "pairs";

/// The files of a daemon and its supervisor.
#[derive(Debug, Clone)]
pub(super) struct Place(pub(super) PathBuf);

impl Place {
    /// Where the data and the writer lock are.
    pub(super) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// The control path, in a directory of its own.
    pub(super) fn control(&self) -> PathBuf {
        self.0.join("run").join("control")
    }

    /// The supervisor's journal.
    pub(super) fn journal(&self) -> PathBuf {
        self.0.join("run").join("journal")
    }
}

/// The daemon. Clones are the same one.
#[derive(Clone)]
pub(super) struct Daemon(Arc<Inner>);

struct Inner {
    data: PathBuf,
    server: Server,
    record: Arc<Mutex<Record>>,
    /// What is not being served.
    idle: Mutex<(Option<Store>, Option<TcpListener>)>,
}

impl Daemon {
    /// Starts the threads. No data is touched yet.
    pub(super) fn start(place: &Place) -> anyhow::Result<Self> {
        let record = Arc::new(Mutex::new(Record::new(&place.0)));
        Ok(Self(Arc::new(Inner {
            data: place.data(),
            server: Server::start(Arc::clone(&record))?,
            record,
            idle: Mutex::default(),
        })))
    }

    /// What a successor does that needs neither lock nor data.
    pub(super) fn warm_up(time: Duration) {
        thread::sleep(time);
    }

    /// Opens the data, which takes the lock.
    pub(super) fn open(&self) -> anyhow::Result<()> {
        let (span, store) = Span::of(|| Store::open(&self.0.data))?;
        locked(&self.0.idle).0 = Some(store);
        locked(&self.0.record).open = Some(span);
        Ok(())
    }

    /// Serves clients from now on.
    pub(super) fn serve(&self, listener: TcpListener) -> anyhow::Result<()> {
        let store = locked(&self.0.idle).0.take();
        self.0
            .server
            .serve(store.context("the data is not open")?, listener)
    }

    /// Refuses further writes. Those that are acknowledged are durable.
    pub(super) fn drain(&self) -> anyhow::Result<()> {
        let (span, (store, listener)) = Span::of(|| self.0.server.stop())?;
        *locked(&self.0.idle) = (Some(store), Some(listener));
        locked(&self.0.record).drain = Some(span);
        Ok(())
    }

    /// Closes the data.
    pub(super) fn seal(&self) -> anyhow::Result<()> {
        let store = locked(&self.0.idle).0.take();
        let (span, ()) = Span::of(|| {
            store
                .context("it is not drained")?
                .close()
                .map_err(anyhow::Error::from)
        })?;
        locked(&self.0.record).seal = Some(span);
        Ok(())
    }

    /// Serves again, after a handoff that was given up.
    pub(super) fn resume(&self) -> anyhow::Result<()> {
        let Some(listener) = locked(&self.0.idle).1.take() else {
            return Ok(());
        };
        if locked(&self.0.idle).0.is_none() {
            self.open()?;
        }
        self.serve(listener)
    }

    /// Its last act: the times are told, now that no client waits.
    pub(super) fn retire(&self) -> anyhow::Result<()> {
        Ok(locked(&self.0.record).write()?)
    }
}

/// Creates the directories of a place.
pub(super) fn prepare(root: &Path) -> anyhow::Result<Place> {
    let place = Place(root.to_path_buf());
    std::fs::create_dir_all(place.data())?;
    std::fs::create_dir_all(root.join("run"))?;
    Ok(place)
}

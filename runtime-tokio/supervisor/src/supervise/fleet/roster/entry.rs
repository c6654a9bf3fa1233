//! One service of a roster: what it needs in files is made first, with its door, then its task is started.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use handoff_std::Recordings;
use handoff_std::host::NamedListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::config::{Service, SupervisorSettings};
use crate::supervise::fleet::attendant::{Attendant, Beginning};
use crate::supervise::fleet::crowd::Crowd;
use crate::supervise::fleet::door::{Door, Guests};
use crate::supervise::fleet::events::{Hub, Teller};
use crate::supervise::fleet::orders::Order;
use crate::supervise::fleet::turns::Turns;
use crate::supervise::fleet::{Listening, Open, Served, prepare, trigger};

/// Orders that may wait for a task to take them in.
const ORDERS: usize = 16;

/// What a service has in files, before anybody is let in.
pub(in crate::supervise::fleet) struct Site {
    pub(super) service: Service,
    data_dir: PathBuf,
    door: Option<(Door, Guests)>,
    charge: Option<File>,
}

/// A service that can be reached, and is not attended to yet.
pub(super) struct Entry {
    served: Served,
    orders: mpsc::Receiver<Order>,
    data_dir: PathBuf,
    teller: Teller,
    door: Option<(Open, Guests)>,
    charge: Option<File>,
}

/// A service that is attended to.
pub(super) struct Running {
    served: Served,
    pub(super) task: JoinHandle<anyhow::Result<()>>,
    door: Option<(Open, Guests)>,
    /// The lock that keeps a second supervisor away.
    _charge: Option<File>,
}

impl Site {
    /// Makes all of it. Those who fit into the crowd will be let in. Waits for the disk, and for a lock.
    ///
    /// # Errors
    /// In words for the operator.
    pub(super) fn prepare(
        service: Service,
        settings: &SupervisorSettings,
        crowd: Crowd,
    ) -> anyhow::Result<Self> {
        let charge = prepare(&service)?;
        Self::with(charge, service, settings, crowd)
    }

    /// The same for a service whose lock is there already.
    ///
    /// # Errors
    /// In words for the operator.
    pub(super) fn with(
        charge: Option<File>,
        service: Service,
        settings: &SupervisorSettings,
        crowd: Crowd,
    ) -> anyhow::Result<Self> {
        let data_dir = data_dir(&service, &settings.state_dir)?;
        let mut door = None;
        if let Some(path) = &service.trigger_socket {
            let guests = Guests::new(&allowed(&service, settings));
            let bound = Door::bind(path, guests.clone(), crowd, trigger::LINE)
                .with_context(|| format!("trigger socket of {}", service.name))?;
            door = Some((bound, guests));
        }
        Ok(Self {
            service,
            data_dir,
            door,
            charge,
        })
    }
}

impl Entry {
    /// Opens its door.
    pub(super) fn open(site: Site, hub: &Hub) -> Self {
        let Site {
            service,
            data_dir,
            door,
            charge,
        } = site;
        let teller = hub.teller(&service.name);
        let (sender, orders) = mpsc::channel(ORDERS);
        let served = Served {
            service: Arc::new(service),
            orders: sender,
            visitors: teller.visitors(),
        };
        let door = door.map(|(door, guests)| (trigger::open(door, served.clone()), guests));
        Self {
            served,
            orders,
            data_dir,
            teller,
            door,
            charge,
        }
    }

    pub(super) fn served(&self) -> Served {
        self.served.clone()
    }

    /// Starts its task. `adopted` are the listeners that were inherited for it; `alone`: there is no
    /// other service.
    pub(super) fn begin(
        self,
        adopted: Vec<NamedListener>,
        alone: bool,
        settings: &SupervisorSettings,
        listening: &Listening,
        turns: &Turns,
    ) -> Running {
        let Self {
            served,
            orders,
            data_dir,
            teller,
            door,
            charge,
        } = self;
        let name = &served.service.name;
        let recordings = settings.recordings.as_ref();
        let span = tracing::info_span!("fleet", service = %name);
        let beginning = Beginning {
            service: Arc::clone(&served.service),
            data_dir,
            record: settings.state_dir.join(format!("{name}.binary")),
            orders,
            adopted,
            alone,
            board: listening.board.clone(),
            teller,
            turns: turns.clone(),
            recordings: recordings.map(|dir| Recordings::new(dir.join(name))),
        };
        let attend = async move { Attendant::new(beginning).await?.run().await };
        Running {
            task: tokio::spawn(attend.instrument(span)),
            served,
            door,
            _charge: charge,
        }
    }
}

impl Running {
    pub(super) fn name(&self) -> &str {
        &self.served.service.name
    }

    pub(super) fn service(&self) -> &Service {
        &self.served.service
    }

    pub(super) fn served(&self) -> Served {
        self.served.clone()
    }

    /// Gives it an order. A task that is gone takes none.
    pub(super) async fn send(&self, order: Order) {
        let _ = self.served.orders.send(order).await;
    }

    /// Sees to it that it gets these orders, behind those before, and does not wait for that: it may have no
    /// room for them yet.
    pub(super) fn post(
        &self,
        orders: impl IntoIterator<Item = Order, IntoIter: Send> + Send + 'static,
    ) {
        let to = self.served.orders.clone();
        tokio::spawn(async move {
            for order in orders {
                let _ = to.send(order).await;
            }
        });
    }

    /// This is what it is from now on.
    pub(super) fn renew(&mut self, service: Service, settings: &SupervisorSettings) {
        if let (Some((_, guests)), Some(path)) = (&self.door, &service.trigger_socket)
            && let Err(error) = guests.replace(&allowed(&service, settings), path)
        {
            tracing::error!("{error:#}");
        }
        if *self.served.service != service {
            self.served.service = Arc::new(service);
            let service = Arc::clone(&self.served.service);
            self.post([Order::Renew(service)]);
        }
    }

    /// The end of its task, which has been told to end. What went wrong is logged, too.
    ///
    /// # Errors
    /// The daemon does not die.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        let ended = (&mut self.task).await;
        let ended = ended.context("its task has panicked").flatten();
        let ended = ended.with_context(|| format!("service {}", self.name()));
        if let Err(error) = &ended {
            tracing::error!("{error:#}");
        }
        ended
    }

    pub(super) fn into_door(self) -> Option<Open> {
        self.door.map(|(open, _)| open)
    }
}

/// Users that may come in at a service's own door.
fn allowed(service: &Service, settings: &SupervisorSettings) -> Vec<u32> {
    [&service.allowed_uids[..], &settings.allowed_uids].concat()
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

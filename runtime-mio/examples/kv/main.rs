//! A key-value daemon on one thread that survives handoffs: no client is refused, and no answered
//! change is lost, while its binary is replaced.
//!
//! `main` is the life of any daemon on mio, and [`Daemon`] is what it does for a handoff: its drain and
//! its seal take as many turns of the loop as they need. `clients.rs` and `store.rs` are the daemon's
//! own affair.

mod clients;
mod store;

use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, io};

use handoff_mio::{
    DataDirLock, Drain, DrainReport, Incumbent, Progress, Readiness, Request, Retirement, Role,
    Seal, SealReport, Snapshot, Step, Successor, SuccessorSetup, detect_role,
};
use mio::{Events, Interest, Poll, Token};

use clients::Clients;
use store::{Sealing, Store};

const HANDOFF: Token = Token(0);
const DOOR: Token = Token(1); // and clients from here on

/// The longest that a client may take for a request once the door is closed.
const PATIENCE: Duration = Duration::from_secs(1);

struct Daemon {
    data: PathBuf,
    clients: Clients,
    /// `None` while another process may be the writer.
    store: Option<Store>,
    /// What takes more than one turn.
    work: Work,
}

enum Work {
    None,
    /// Until then clients may finish their requests.
    Draining(Drain, Instant),
    Sealing(Seal, Sealing),
}

impl Daemon {
    /// Answers a request, or begins to carry it out.
    fn answer(&mut self, request: Request) -> Option<Retirement> {
        match request {
            Request::Drain(drain) => {
                self.clients.close();
                let patience = PATIENCE.min(drain.remaining() / 2);
                self.work = Work::Draining(drain, Instant::now() + patience);
            }
            Request::Seal(seal) => match self.store.as_ref().map(Store::seal) {
                Some(Ok(sealing)) => self.work = Work::Sealing(seal, sealing),
                Some(Err(error)) => seal.failed(error),
                None => seal.failed("there is nothing to seal"),
            },
            Request::Resume(resume) => {
                self.work = Work::None;
                match self.resume() {
                    Ok(()) => resume.done(),
                    Err(error) => resume.failed(error),
                }
            }
            Request::Committed(committed) => committed.done(), // nothing had to wait for it
            Request::Snapshot(asked) => asked.done(Snapshot {
                open_connections: u32::try_from(self.clients.count()).unwrap_or(u32::MAX),
                revisions: self.store.iter().map(Store::revision).collect(),
            }),
            Request::Retire(retirement) => return Some(retirement),
        }
        None
    }

    /// A turn of what takes several.
    fn work(&mut self) {
        self.work = match std::mem::replace(&mut self.work, Work::None) {
            Work::None => Work::None,
            Work::Draining(drain, _) if drain.is_cancelled() => {
                drain.failed("the handoff was given up");
                Work::None
            }
            Work::Draining(drain, until) => {
                if Instant::now() >= until {
                    self.clients.close_now();
                }
                if self.clients.count() > 0 {
                    Work::Draining(drain, until)
                } else {
                    drain.done(DrainReport::CLEAN);
                    Work::None
                }
            }
            Work::Sealing(seal, mut sealing) => {
                let Some(store) = &self.store else {
                    return seal.failed("there is nothing to seal");
                };
                match sealing.step(store) {
                    Ok(false) => {
                        let (sealed, total) = sealing.progress(store);
                        let revision = store.revision();
                        seal.progress(Progress {
                            sealed,
                            total,
                            revision,
                        });
                        Work::Sealing(seal, sealing)
                    }
                    Ok(true) => {
                        let revisions = vec![store.revision()];
                        self.store = None;
                        seal.done(SealReport {
                            revisions,
                            ..SealReport::default()
                        });
                        Work::None
                    }
                    Err(error) => {
                        seal.failed(error);
                        Work::None
                    }
                }
            }
        };
    }

    fn resume(&mut self) -> io::Result<()> {
        if self.store.is_none() {
            self.store = Some(Store::open(&self.data)?);
        }
        self.clients.open()
    }

    /// How long the loop may wait, for all that is known here.
    fn timeout(&self) -> Option<Duration> {
        match &self.work {
            _ if self.clients.is_busy() => Some(Duration::ZERO),
            Work::Sealing(..) => Some(Duration::ZERO),
            Work::Draining(_, until) => Some(until.saturating_duration_since(Instant::now())),
            Work::None => None,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let role = detect_role()?; // first of all
    let args: Vec<PathBuf> = env::args_os().map(PathBuf::from).collect();
    let [_, control, data] = &args[..] else {
        return Err("usage: kv CONTROL-SOCKET DATA-DIR".into());
    };
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(256));
    let (mut incumbent, store, door) = match role {
        Role::ColdStart(mut inherited) => {
            let mut incumbent = Incumbent::bind(control, DataDirLock::acquire(data)?)?;
            let registry = poll.registry();
            registry.register(&mut incumbent, HANDOFF, Interest::READABLE)?;
            (incumbent, Store::open(data)?, inherited.take_tcp("main")?)
        }
        Role::Successor(successor) => {
            let setup = SuccessorSetup::new(control, data);
            take_over(&mut poll, successor, setup, data)?
        }
    };
    let door = door.ok_or("no listener named main")?;
    let mut daemon = Daemon {
        data: data.clone(),
        clients: Clients::new(door, poll.registry(), DOOR)?,
        store: Some(store),
        work: Work::None,
    };
    loop {
        let timeouts = [incumbent.timeout(), daemon.timeout()];
        match poll.poll(&mut events, timeouts.into_iter().flatten().min()) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            if !incumbent.ready(event) {
                daemon.clients.ready(event);
            }
        }
        daemon.clients.turn(poll.registry(), &mut daemon.store);
        while let Some(request) = incumbent.turn()? {
            if let Some(retirement) = daemon.answer(request) {
                println!("{retirement:?}");
                return Ok(());
            }
        }
        daemon.work();
    }
}

type TakenOver = (Incumbent, Store, Option<std::net::TcpListener>);

fn take_over(
    poll: &mut Poll,
    successor: Successor,
    setup: SuccessorSetup,
    data: &Path,
) -> Result<TakenOver, Box<dyn Error>> {
    let mut succession = successor.handshake(setup)?;
    let registry = poll.registry();
    registry.register(&mut succession, HANDOFF, Interest::READABLE)?;
    let (mut events, mut opened) = (Events::with_capacity(16), None);
    loop {
        while let Some(step) = succession.turn()? {
            match step {
                Step::WarmUp(warming) => warming.stand_by(), // nothing of the incumbent was touched yet
                Step::Open(mut begun) => {
                    // It has sealed, and the lock is ours.
                    opened = Some((Store::open(data)?, begun.take_tcp("main")?));
                    begun.announce(Readiness::healthy());
                }
                Step::Serve(serving) => {
                    let (store, door) = opened.ok_or("not opened")?;
                    return Ok((succession.into_incumbent(serving), store, door));
                }
            }
        }
        match poll.poll(&mut events, succession.timeout()) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            succession.ready(event);
        }
    }
}

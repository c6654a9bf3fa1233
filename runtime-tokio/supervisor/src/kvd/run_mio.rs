//! The daemon on `handoff-mio`: the same life as in [`run_std`](super::run_std), on one thread that
//! serves clients as well. Its drain and its delays are turns of the loop; opening, committing and
//! closing the database are each one call of it.

mod clients;
mod daemon;

use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use handoff_mio::{
    DataDirLock, Incumbent, InheritedListeners, Recordings, Retirement, Role, Step, Successor,
    Warming, detect_role,
};
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use self::clients::Clients;
use self::daemon::Daemon;
use super::args::{FailIn, KvdArgs};
use super::epoch::Status;
use super::run::{RESP, begin, bind, listener, readiness, retire, setup, stand_alone, warm_up};
use super::store::Store;

const HANDOFF: Token = Token(0);
const SIGNAL: Token = Token(1);
/// And clients from here on.
const DOOR: Token = Token(2);

/// Runs the daemon until it has been handed over or is told to end.
///
/// # Errors
/// Whatever keeps it from serving.
pub(super) fn run(args: &KvdArgs) -> anyhow::Result<()> {
    // First of all, while there is but one thread.
    let role = detect_role()?;
    let (role, control) = match (role, &args.control_socket) {
        (Role::ColdStart(listeners), None) => return stand_alone(listeners, args, begin(args)?),
        (Role::Successor(_), None) => bail!("a successor needs to be told --control-socket"),
        (role, Some(control)) => (role, control),
    };
    let (mut poll, signals) = (Poll::new()?, signals()?);
    args.faults.log("born")?;
    let (mut incumbent, opened) = match role {
        Role::ColdStart(listeners) => start(&poll, listeners, args, control)?,
        Role::Successor(successor) => take_over(&mut poll, successor, args, control)?,
    };
    let mut daemon = opened.serve(args, &poll, incumbent.generation())?;
    let retirement = live(&mut poll, &mut incumbent, &mut daemon, signals)?;
    retire(&retirement, || shut_down(&mut poll, &mut daemon))
}

/// A byte comes with every signal from now on.
fn signals() -> anyhow::Result<UnixStream> {
    let (signals, sender) = UnixStream::pair()?;
    signals.set_nonblocking(true)?;
    pipe::register(SIGTERM, sender.try_clone()?)?;
    pipe::register(SIGINT, sender)?;
    Ok(signals)
}

/// What is there before it is served.
struct Opened {
    store: Store,
    listener: TcpListener,
    /// Nobody can come back from before it.
    afresh: bool,
}

impl Opened {
    fn serve(self, args: &KvdArgs, poll: &Poll, generation: u64) -> anyhow::Result<Daemon> {
        let sick_after = args.faults.sick_after();
        let status = Arc::new(Status::new(args.tag.clone(), args.runtime, sick_after));
        status.set_generation(generation);
        if self.afresh {
            args.faults.log("committed")?;
            status.set_committed();
        }
        let registry = poll.registry().try_clone()?;
        let clients = Clients::new(self.listener, registry, DOOR)?;
        Ok(Daemon::new(args, status, self.store, clients))
    }
}

fn open(args: &KvdArgs) -> anyhow::Result<Store> {
    let fails = args.faults.check(FailIn::Open);
    fails.map_err(anyhow::Error::from_boxed)?;
    Store::open_without_writer(&args.data_dir).context("cannot open the data")
}

fn start(
    poll: &Poll,
    mut listeners: InheritedListeners,
    args: &KvdArgs,
    control: &Path,
) -> anyhow::Result<(Incumbent, Opened)> {
    let lock = DataDirLock::acquire(&args.data_dir)?;
    let mut incumbent = Incumbent::bind(control, lock)?
        .with_build_id(args.tag.as_bytes())
        .with_times(args.faults.incumbent_times());
    if let Some(dir) = &args.recordings {
        incumbent = incumbent.with_recording(Recordings::new(dir));
    }
    let listener = if let Some(listener) = listeners.take_tcp(RESP)? {
        listener
    } else {
        let listener = bind(args)?;
        // A supervisor that takes charge later can have it all the same.
        incumbent = incumbent.with_kept_listener(RESP, listener.try_clone()?);
        listener
    };
    let registry = poll.registry();
    registry.register(&mut incumbent, HANDOFF, Interest::READABLE)?;
    // Nobody is served yet, so nobody waits.
    warm_up(args)?;
    std::thread::sleep(args.faults.open_delay());
    let opened = Opened {
        store: open(args)?,
        listener,
        afresh: true,
    };
    Ok((incumbent, opened))
}

/// What a successor is at, until then.
enum At {
    Waiting,
    Warming(Warming, Instant),
    Opening(handoff_mio::Begun, Instant),
}

fn take_over(
    poll: &mut Poll,
    mut successor: Successor,
    args: &KvdArgs,
    control: &Path,
) -> anyhow::Result<(Incumbent, Opened)> {
    if let Some(dir) = &args.recordings {
        successor = successor.with_recording(Recordings::new(dir));
    }
    let mut succession = successor.handshake(setup(args, control))?;
    let registry = poll.registry();
    registry.register(&mut succession, HANDOFF, Interest::READABLE)?;
    let (mut events, mut at, mut opened) = (Events::with_capacity(16), At::Waiting, None);
    loop {
        while let Some(step) = succession.turn()? {
            let now = Instant::now();
            match step {
                Step::WarmUp(warming) => {
                    at = At::Warming(warming, now + args.faults.warm_up_delay());
                }
                Step::Open(begun) => at = At::Opening(begun, now + args.faults.open_delay()),
                Step::Serve(serving) => {
                    let incumbent = succession.into_incumbent(serving);
                    let opened = opened.context("the data was not opened")?;
                    return Ok((incumbent.with_times(args.faults.incumbent_times()), opened));
                }
            }
        }
        let now = Instant::now();
        at = match at {
            At::Warming(warming, until) if until <= now => {
                match args.faults.end_warm_up() {
                    Ok(()) => warming.stand_by(),
                    Err(error) => warming.give_up(&error.to_string()),
                }
                At::Waiting
            }
            At::Opening(mut begun, until) if until <= now => {
                let listener = listener(begun.listeners(), args)?;
                match open(args) {
                    Ok(store) => {
                        begun.announce(readiness(store.revision()));
                        opened = Some(Opened {
                            store,
                            listener,
                            afresh: false,
                        });
                    }
                    Err(error) => begun.give_up(&format!("{error:#}")),
                }
                At::Waiting
            }
            other => other,
        };
        let due = match &at {
            At::Waiting => None,
            At::Warming(_, until) | At::Opening(_, until) => {
                Some(until.saturating_duration_since(now))
            }
        };
        let timeout = due.into_iter().chain(succession.timeout()).min();
        wait(poll, &mut events, timeout)?;
        for event in &events {
            succession.ready(event);
        }
    }
}

/// Serves clients and answers supervisors.
fn live(
    poll: &mut Poll,
    incumbent: &mut Incumbent,
    daemon: &mut Daemon,
    signals: UnixStream,
) -> anyhow::Result<Retirement> {
    let mut signals = mio::net::UnixStream::from_std(signals);
    let registry = poll.registry();
    registry.register(&mut signals, SIGNAL, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    loop {
        let timeouts = [incumbent.timeout(), daemon.timeout()];
        wait(poll, &mut events, timeouts.into_iter().flatten().min())?;
        for event in &events {
            if event.token() == SIGNAL {
                while signals.read(&mut [0; 16]).is_ok_and(|count| count > 0) {}
                incumbent.stop();
            } else if !incumbent.ready(event) {
                daemon.clients.ready(event);
            }
        }
        daemon.serve();
        while let Some(request) = incumbent.turn()? {
            if let Some(retirement) = daemon.answer(request) {
                return Ok(retirement);
            }
        }
        daemon.work();
    }
}

/// Answers what has arrived, and closes the data.
fn shut_down(poll: &mut Poll, daemon: &mut Daemon) -> anyhow::Result<()> {
    let mut events = Events::with_capacity(1024);
    daemon.begin_shutdown();
    // It ends by the time that clients are given.
    while !daemon.clients.is_idle() {
        wait(poll, &mut events, daemon.timeout())?;
        for event in &events {
            daemon.clients.ready(event);
        }
        daemon.serve();
    }
    daemon.close().context("cannot close the data cleanly")
}

/// A poll that is interrupted has found nothing.
fn wait(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> anyhow::Result<()> {
    match poll.poll(events, timeout) {
        Err(error) if error.kind() != ErrorKind::Interrupted => Err(error.into()),
        _ => Ok(()),
    }
}

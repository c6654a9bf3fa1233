//! The measured daemon and its supervisor on `handoff-mio`: hooks, lock and sessions on one loop, beside the
//! thread that serves clients, which is the same for all.

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use handoff_mio::{
    DataDirLock, DrainReport, HandoffSpec, Incumbent, Readiness, Request, Role, SealReport,
    Snapshot, Step, Successor, SuccessorSetup, Supervisor, detect_role,
};
use mio::{Events, Interest, Poll, Token};

use super::daemon::{Daemon, LISTENER, Place};
use super::on_std::serve;
use super::round::{Driven, Offered};
use super::span::Span;

const HANDOFF: Token = Token(0);

/// The daemon, until it is handed over or told to end.
pub(super) fn run(place: &Place, warm_up: Duration) -> anyhow::Result<()> {
    let role = detect_role()?;
    let daemon = Daemon::start(place)?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(16));
    let (mut incumbent, listener) = match role {
        Role::ColdStart(mut listeners) => {
            let lock = DataDirLock::acquire(&place.data())?;
            let mut incumbent = Incumbent::bind(place.control(), lock)?;
            let registry = poll.registry();
            registry.register(&mut incumbent, HANDOFF, Interest::READABLE)?;
            daemon.open()?;
            (incumbent, listeners.take_tcp(LISTENER)?)
        }
        Role::Successor(successor) => {
            let setup = SuccessorSetup::new(place.control(), place.data());
            take_over(&mut poll, &daemon, successor, setup, warm_up)?
        }
    };
    serve(&daemon, listener)?;
    loop {
        while let Some(request) = incumbent.turn()? {
            if let Request::Retire(_) = request {
                return daemon.retire();
            }
            answer(&daemon, request);
        }
        wait(&mut poll, &mut events, incumbent.timeout())?;
        for event in &events {
            incumbent.ready(event);
        }
    }
}

fn take_over(
    poll: &mut Poll,
    daemon: &Daemon,
    successor: Successor,
    setup: SuccessorSetup,
    warm_up: Duration,
) -> anyhow::Result<(Incumbent, Option<TcpListener>)> {
    let mut succession = successor.handshake(setup)?;
    let registry = poll.registry();
    registry.register(&mut succession, HANDOFF, Interest::READABLE)?;
    let (mut events, mut listener) = (Events::with_capacity(16), None);
    loop {
        while let Some(step) = succession.turn()? {
            match step {
                Step::WarmUp(warming) => {
                    Daemon::warm_up(warm_up);
                    warming.stand_by();
                }
                Step::Open(mut begun) => {
                    listener = begun.take_tcp(LISTENER)?;
                    match daemon.open() {
                        Ok(()) => begun.announce(Readiness::healthy()),
                        Err(error) => begun.give_up(&error.to_string()),
                    }
                }
                Step::Serve(serving) => return Ok((succession.into_incumbent(serving), listener)),
            }
        }
        wait(poll, &mut events, succession.timeout())?;
        for event in &events {
            succession.ready(event);
        }
    }
}

fn wait(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
    match poll.poll(events, timeout) {
        Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

fn answer(daemon: &Daemon, request: Request) {
    match request {
        Request::Drain(drain) => match daemon.drain() {
            Ok(()) => drain.done(DrainReport::CLEAN),
            Err(error) => drain.failed(error),
        },
        Request::Seal(seal) => match daemon.seal() {
            Ok(()) => seal.done(SealReport::default()),
            Err(error) => seal.failed(error),
        },
        Request::Resume(resume) => match daemon.resume() {
            Ok(()) => resume.done(),
            Err(error) => resume.failed(error),
        },
        Request::Committed(committed) => committed.done(),
        Request::Snapshot(asked) => asked.done(Snapshot::default()),
        // The loop ends with it.
        Request::Retire(_) => {}
    }
}

/// One handoff by our supervisor, on a loop of its own.
pub(super) fn hand_off(offered: Offered) -> anyhow::Result<Driven> {
    let Offered {
        place,
        daemon,
        listener,
    } = offered;
    let mut supervisor = Supervisor::new(place.control(), place.data(), daemon.clone())?
        .with_listener(LISTENER, OwnedFd::from(listener))
        .with_journal(place.journal());
    let spec = HandoffSpec::new(daemon);
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(16));
    let registry = poll.registry();
    registry.register(&mut supervisor, HANDOFF, Interest::READABLE)?;
    let (took, report) = Span::of(|| -> anyhow::Result<_> {
        supervisor.handoff(&spec)?;
        loop {
            if let Some(report) = supervisor.turn() {
                return Ok(report);
            }
            if !supervisor.is_busy() {
                bail!("the handoff has ended without a report");
            }
            wait(&mut poll, &mut events, supervisor.timeout())?;
            for event in &events {
                supervisor.ready(event);
            }
        }
    })?;
    ensure!(report.committed(), "{:?}", report.abort_reason());
    let child = report.child.context("no successor in the report")?;
    Ok(Driven { child, took })
}

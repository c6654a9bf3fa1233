//! The daemon of these tests: counts its visitors, durably, on one thread. It is this test binary again,
//! told by variables what goes wrong, or that it is built with `handoff-std`.

use std::env;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use handoff_mio::{
    DataDirLock, Drain, DrainReport, Incumbent, Progress, Readiness, Request, Role, Seal,
    SealReport, Snapshot, SpawnSpec, Step, Successor, SuccessorSetup, detect_role,
};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

const DIRECTORY: &str = "HANDOFF_TEST_DIRECTORY";
const FAULT: &str = "HANDOFF_TEST_FAULT";

/// What goes wrong, or is different.
pub(crate) const NOTHING: &str = "";
pub(crate) const ON_STD: &str = "on std";
pub(crate) const HANGS_IN_DRAIN: &str = "hangs in drain";
pub(crate) const DROPS_ITS_DRAIN: &str = "drops its drain";
pub(crate) const SEALS_FOR_LONG: &str = "seals for long";
pub(crate) const UNHEALTHY: &str = "unhealthy";
pub(crate) const GIVES_UP_WARMING: &str = "gives up warming";
pub(crate) const GIVES_UP_OPENING: &str = "gives up opening";
pub(crate) const HANGS_WARMING: &str = "hangs warming";
pub(crate) const HANGS_OPENING: &str = "hangs opening";
pub(crate) const DIES_ON_PROBATION: &str = "dies on probation";
/// Not a daemon: a supervisor that starts a handoff and is killed in it.
pub(crate) const SUPERVISOR_OF: &str = "supervisor of: ";

/// Turns that a long seal takes.
pub(crate) const LONG_SEAL: u32 = 20;
/// And how far they are apart.
const SEAL_STEP: Duration = Duration::from_millis(5);

const HANDOFF: Token = Token(7);
const DOOR: Token = Token(8);

/// How to start one.
pub(crate) fn spec(dir: &Path, fault: &str) -> SpawnSpec {
    SpawnSpec {
        binary: env::current_exe().unwrap(),
        args: ["daemon::part", "--exact", "--nocapture"]
            .map(Into::into)
            .into(),
        env: vec![(DIRECTORY.into(), dir.into()), (FAULT.into(), fault.into())],
        ..SpawnSpec::default()
    }
}

/// In the other process; does nothing in an ordinary run.
#[test]
fn part() {
    let Some(dir) = env::var_os(DIRECTORY) else {
        return;
    };
    let (dir, fault) = (Path::new(&dir), env::var(FAULT).unwrap());
    if fault == ON_STD {
        crate::on_std::run(dir);
    } else if let Some(fault) = fault.strip_prefix(SUPERVISOR_OF) {
        crate::household::hand_over(dir, fault);
    } else if let Err(why) = run(dir, &fault) {
        println!("{why}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

pub(crate) fn load(dir: &Path) -> u64 {
    let text = fs::read_to_string(dir.join("count")).unwrap_or_default();
    text.parse().unwrap_or(0)
}

pub(crate) fn store(dir: &Path, count: u64) {
    let new = dir.join("count.new");
    fs::write(&new, count.to_string()).unwrap();
    fs::rename(&new, dir.join("count")).unwrap();
}

/// Answers one visitor, if one waits.
pub(crate) fn visit(dir: &Path, door: &TcpListener) -> bool {
    match door.accept() {
        Ok((mut visitor, _)) => {
            let count = load(dir) + 1;
            store(dir, count);
            let _ = writeln!(visitor, "{count}");
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

fn run(dir: &Path, fault: &str) -> Result<(), String> {
    let role = detect_role().unwrap();
    let mut poll = Poll::new().unwrap();
    let control = dir.join("control");
    let (mut incumbent, door) = match role {
        Role::ColdStart(mut listeners) => {
            let lock = DataDirLock::acquire(dir).unwrap();
            let mut incumbent = Incumbent::bind(&control, lock).unwrap();
            let registry = poll.registry();
            registry
                .register(&mut incumbent, HANDOFF, Interest::READABLE)
                .unwrap();
            (incumbent, listeners.take_tcp("main").unwrap().unwrap())
        }
        Role::Successor(successor) => {
            let setup = SuccessorSetup::new(&control, dir);
            take_over(&mut poll, successor, setup, fault)?
        }
    };
    if fault == DIES_ON_PROBATION {
        std::process::exit(7);
    }
    door.set_nonblocking(true).unwrap();
    let at = std::os::fd::AsRawFd::as_raw_fd(&door);
    poll.registry()
        .register(&mut SourceFd(&at), DOOR, Interest::READABLE)
        .unwrap();
    // Moved to another poll, under another token: the user may.
    poll.registry().deregister(&mut incumbent).unwrap();
    let token = Token(70);
    poll.registry()
        .register(&mut incumbent, token, Interest::READABLE)
        .unwrap();
    let mut daemon = Counter {
        fault: fault.to_owned(),
        door,
        open: true,
        drain: None,
        seal: None,
    };
    let mut events = Events::with_capacity(4);
    loop {
        let timeouts = [incumbent.timeout(), daemon.timeout()];
        wait(&mut poll, &mut events, timeouts.into_iter().flatten().min());
        for event in &events {
            incumbent.ready(event);
        }
        while daemon.open && visit(dir, &daemon.door) {}
        while let Some(request) = incumbent.turn().map_err(|e| e.to_string())? {
            if let Request::Retire(_) = request {
                return Ok(());
            }
            daemon.answer(request);
        }
        daemon.work();
    }
}

pub(crate) fn wait(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) {
    match poll.poll(events, timeout) {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
    }
}

struct Counter {
    fault: String,
    door: TcpListener,
    open: bool,
    /// One that hangs.
    drain: Option<Drain>,
    /// One that takes long, how far it is, and when it goes on.
    seal: Option<(Seal, u32, Instant)>,
}

impl Counter {
    fn answer(&mut self, request: Request) {
        match request {
            Request::Drain(drain) => {
                self.open = false;
                match self.fault.as_str() {
                    HANGS_IN_DRAIN => self.drain = Some(drain),
                    DROPS_ITS_DRAIN => drop(drain),
                    _ => drain.done(DrainReport::CLEAN),
                }
                // The next time it works.
                if self.fault != SEALS_FOR_LONG {
                    self.fault.clear();
                }
            }
            Request::Seal(seal) if self.fault == SEALS_FOR_LONG => {
                self.seal = Some((seal, 0, Instant::now()));
            }
            Request::Seal(seal) => seal.done(SealReport::default()),
            Request::Resume(resume) => {
                assert_ne!(resume.generation(), 0);
                self.door.set_nonblocking(true).unwrap();
                self.open = true;
                self.seal = None;
                resume.done();
            }
            Request::Committed(committed) => committed.done(),
            Request::Snapshot(asked) => asked.done(Snapshot {
                revisions: vec![42],
                ..Snapshot::default()
            }),
            Request::Retire(_) => unreachable!("it is the end of the loop"),
        }
    }

    fn work(&mut self) {
        if let Some(drain) = self.drain.take_if(|drain| drain.is_cancelled()) {
            drain.failed("as it was cancelled");
        }
        if let Some((seal, at, next)) = &mut self.seal
            && *next <= Instant::now()
        {
            *at += 1;
            *next = Instant::now() + SEAL_STEP;
            seal.progress(Progress {
                sealed: *at,
                total: LONG_SEAL,
                revision: 0,
            });
        }
        if let Some((seal, ..)) = self.seal.take_if(|(_, at, _)| *at == LONG_SEAL) {
            seal.done(SealReport::default());
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let (_, _, next) = self.seal.as_ref()?;
        Some(next.saturating_duration_since(Instant::now()))
    }
}

fn take_over(
    poll: &mut Poll,
    successor: Successor,
    setup: SuccessorSetup,
    fault: &str,
) -> Result<(Incumbent, TcpListener), String> {
    let dir = setup.data_dir.clone();
    let mut succession = successor.handshake(setup).unwrap();
    poll.registry()
        .register(&mut succession, HANDOFF, Interest::READABLE)
        .unwrap();
    let (mut events, mut door) = (Events::with_capacity(4), None);
    // Those that hang keep what they were given.
    let (mut warming_up, mut opening) = (None, None);
    loop {
        while let Some(step) = succession.turn().map_err(|e| e.to_string())? {
            match step {
                Step::WarmUp(warming) if fault == GIVES_UP_WARMING => {
                    warming.give_up("as the test wants it");
                }
                Step::WarmUp(warming) if fault == HANGS_WARMING => {
                    fs::write(dir.join("at"), "warming").unwrap();
                    warming_up = Some(warming);
                }
                Step::WarmUp(warming) => warming.stand_by(),
                Step::Open(begun) if fault == GIVES_UP_OPENING => {
                    begun.give_up("as the test wants it");
                }
                Step::Open(begun) if fault == HANGS_OPENING => {
                    fs::write(dir.join("at"), "opening").unwrap();
                    opening = Some(begun);
                }
                Step::Open(mut begun) => {
                    door = begun.take_tcp("main").unwrap();
                    begun.announce(Readiness {
                        healthy: fault != UNHEALTHY,
                        ..Readiness::default()
                    });
                }
                Step::Serve(serving) => {
                    return Ok((succession.into_incumbent(serving), door.unwrap()));
                }
            }
        }
        wait(poll, &mut events, succession.timeout());
        for event in &events {
            succession.ready(event);
        }
        let given_up = warming_up
            .as_ref()
            .is_some_and(handoff_mio::Warming::is_cancelled)
            || opening
                .as_ref()
                .is_some_and(handoff_mio::Begun::is_cancelled);
        if given_up {
            return Err("given up".into());
        }
    }
}

/// For the other half of the tests.
pub(crate) fn is_at(dir: &Path, at: &str) -> bool {
    let read: io::Result<String> = fs::read_to_string(dir.join("at"));
    read.is_ok_and(|now| now == at)
}

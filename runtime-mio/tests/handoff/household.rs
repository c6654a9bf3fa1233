//! A directory, a listener, a supervisor of this crate with a loop around it, and its daemons.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use handoff_mio::core::{SupervisorConfig, SupervisorOutcome, Task};
use handoff_mio::{
    Child, Daemon, HandoffSpec, Process, Report, SpawnSpec, Supervisor, SupervisorEvent,
};
use handoff_std::ask;
use mio::{Events, Interest, Poll, Token};
use tempfile::TempDir;

use crate::daemon::{NOTHING, spec, wait};

const SUPERVISOR: Token = Token(3);
const DAEMON: Token = Token(4);
const LOOK: Duration = Duration::from_millis(10);

pub(crate) struct Household {
    pub(crate) dir: TempDir,
    listener: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) supervisor: Supervisor,
    pub(crate) daemon: Option<Child>,
    poll: Poll,
}

impl Drop for Household {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

impl Household {
    /// With a daemon that serves.
    pub(crate) fn new(fault: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let supervisor = supervisor(dir.path(), &listener, spec(dir.path(), fault));
        let mut house = Self {
            dir,
            listener,
            address,
            supervisor,
            daemon: None,
            poll: Poll::new().unwrap(),
        };
        house.register();
        let started = house.recover();
        assert!(
            matches!(started.outcome, SupervisorOutcome::ColdStarted { .. }),
            "{}",
            started.outcome
        );
        house.daemon = started.child;
        while ask::status(house.dir.path().join("control")).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
        house
    }

    fn register(&mut self) {
        self.poll
            .registry()
            .register(&mut self.supervisor, SUPERVISOR, Interest::READABLE)
            .unwrap();
    }

    /// Another supervisor takes the place of this one, as after a restart.
    pub(crate) fn restart_supervisor(&mut self) {
        let daemon = self.supervisor.daemon().clone();
        self.supervisor = supervisor(self.dir.path(), &self.listener, daemon);
        self.register();
    }

    /// With this observer from now on.
    pub(crate) fn observe(&mut self, observer: impl FnMut(&SupervisorEvent) + Send + 'static) {
        let daemon = self.supervisor.daemon().clone();
        let supervisor = supervisor(self.dir.path(), &self.listener, daemon);
        self.supervisor = supervisor.with_observer(observer);
        self.register();
    }

    pub(crate) fn spec(&self, fault: &str) -> HandoffSpec {
        HandoffSpec::new(spec(self.dir.path(), fault))
    }

    /// One turn of the loop. Returns the report, once it is there.
    pub(crate) fn turn(&mut self) -> Option<Report> {
        let mut events = Events::with_capacity(4);
        let timeout = self.supervisor.timeout().unwrap_or(LOOK);
        // Tests look at other things as well.
        wait(&mut self.poll, &mut events, Some(timeout.min(LOOK)));
        for event in &events {
            assert!(self.supervisor.ready(event));
        }
        self.supervisor.turn()
    }

    /// Turns until the report is there.
    pub(crate) fn report(&mut self) -> Report {
        loop {
            if let Some(report) = self.turn() {
                assert!(!self.supervisor.is_busy());
                assert_eq!(self.supervisor.timeout(), None);
                return report;
            }
        }
    }

    pub(crate) fn recover(&mut self) -> Report {
        self.supervisor.recover().unwrap();
        self.report()
    }

    pub(crate) fn hand_over(&mut self, spec: &HandoffSpec) -> Report {
        self.supervisor.handoff(spec).unwrap();
        assert!(self.supervisor.handoff(spec).is_err(), "one at a time");
        self.report()
    }

    /// A handoff that must work, in version 2; the old daemon must end.
    pub(crate) fn replace(&mut self, fault: &str) {
        let spec = self.spec(fault);
        let report = self.hand_over(&spec);
        self.assert_committed(report);
    }

    pub(crate) fn assert_committed(&mut self, mut report: Report) {
        assert!(report.committed(), "{}", report.outcome);
        assert_eq!(report.incumbent_version, Some(2));
        assert_eq!(report.successor_version, Some(2));
        let old = std::mem::replace(&mut self.daemon, report.child.take());
        if let Some(old) = old {
            assert!(self.wait_for(old).success());
        }
    }

    /// Waits for the end of a daemon as one does on a loop.
    pub(crate) fn wait_for(&mut self, child: Child) -> ExitStatus {
        let mut daemon = Daemon::new(child);
        let registry = self.poll.registry();
        registry
            .register(&mut daemon, DAEMON, Interest::READABLE)
            .unwrap();
        loop {
            if let Some(status) = daemon.try_wait().unwrap() {
                self.poll.registry().deregister(&mut daemon).unwrap();
                return status;
            }
            let mut events = Events::with_capacity(4);
            wait(&mut self.poll, &mut events, daemon.timeout());
        }
    }

    /// A visit that must be counted: it waits as long as nobody serves.
    pub(crate) fn visit(&self) -> u64 {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.read_to_string(&mut answer).unwrap();
        answer.trim().parse().unwrap()
    }

    /// That the daemon is the one it was, and the only process that was started here.
    pub(crate) fn assert_unchanged(&mut self, visits: u64) {
        assert_eq!(self.visit(), visits + 1);
        assert!(self.daemon.as_mut().unwrap().try_wait().unwrap().is_none());
        self.assert_only_daemon();
    }

    /// That no process was started in this directory but the daemon, and nothing is left of others.
    pub(crate) fn assert_only_daemon(&self) {
        let daemon = self.daemon.as_ref().unwrap().id();
        let directory = format!("HANDOFF_TEST_DIRECTORY={}", self.dir.path().display());
        loop {
            let mut pids = std::fs::read_dir("/proc")
                .unwrap()
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
            let other = pids.any(|pid| {
                let environment = std::fs::read(format!("/proc/{pid}/environ"));
                pid != daemon
                    && environment.is_ok_and(|environment| {
                        environment
                            .split(|byte| *byte == 0)
                            .any(|variable| variable == directory.as_bytes())
                    })
                    && Process::of(pid).is_some_and(Process::is_alive)
            });
            if !other {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn supervisor(dir: &Path, listener: &TcpListener, daemon: SpawnSpec) -> Supervisor {
    Supervisor::new(dir.join("control"), dir, daemon)
        .unwrap()
        .with_listener("main", listener.try_clone().unwrap())
        .with_journal(dir.join("journal"))
        .with_times(SupervisorConfig {
            settle: Duration::from_secs(2),
            ..SupervisorConfig::new(Task::Recover(None))
        })
}

/// In a process of its own, which has no listener but that of the daemon.
pub(crate) fn hand_over(dir: &Path, fault: &str) {
    let listener = ask::listeners(dir.join("control")).unwrap().remove(0).fd;
    let spec = HandoffSpec::new(spec(dir, fault));
    let mut supervisor = supervisor(dir, &listener.into(), spec.successor.clone());
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(4);
    let registry = poll.registry();
    registry
        .register(&mut supervisor, SUPERVISOR, Interest::READABLE)
        .unwrap();
    supervisor.handoff(&spec).unwrap();
    while supervisor.turn().is_none() {
        wait(&mut poll, &mut events, supervisor.timeout());
        for event in &events {
            supervisor.ready(event);
        }
    }
}

/// With a daemon that has no fault.
pub(crate) fn household() -> Household {
    Household::new(NOTHING)
}

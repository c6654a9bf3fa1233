//! A directory, a listener, a supervisor of this crate and the daemons that it starts.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use handoff_tokio::core::{SupervisorConfig, SupervisorOutcome, Task};
use handoff_tokio::{Child, HandoffSpec, Process, Supervisor, ask, wait};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::daemon::{ONE_THREAD, spec};

pub(crate) struct Household {
    pub(crate) dir: TempDir,
    listener: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) supervisor: Supervisor,
    pub(crate) daemon: Option<Child>,
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
    pub(crate) async fn new(runtime: &str, fault: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let daemon = spec(dir.path(), runtime, fault);
        let supervisor = supervisor(dir.path(), &listener, daemon);
        let mut house = Self {
            dir,
            listener,
            address,
            supervisor,
            daemon: None,
        };
        let started = house.supervisor.recover().await.unwrap();
        assert!(
            matches!(started.outcome, SupervisorOutcome::ColdStarted { .. }),
            "{}",
            started.outcome
        );
        house.daemon = started.child;
        while ask::status(house.dir.path().join("control")).await.is_err() {
            tokio::task::yield_now().await;
        }
        house
    }

    /// Another supervisor takes the place of this one, as after a restart.
    pub(crate) fn restart_supervisor(&mut self) {
        let daemon = self.supervisor.daemon().clone();
        self.supervisor = supervisor(self.dir.path(), &self.listener, daemon);
    }

    pub(crate) fn spec(&self, runtime: &str, fault: &str) -> HandoffSpec {
        HandoffSpec::new(spec(self.dir.path(), runtime, fault))
    }

    /// A handoff that must work, in version 2; the old daemon must end.
    pub(crate) async fn replace(&mut self, runtime: &str) {
        let spec = self.spec(runtime, crate::daemon::NOTHING);
        let mut report = self.supervisor.handoff(&spec).await.unwrap();
        assert!(report.committed(), "{}", report.outcome);
        assert_eq!(report.incumbent_version, Some(2));
        assert_eq!(report.successor_version, Some(2));
        let old = std::mem::replace(&mut self.daemon, report.child.take());
        if let Some(mut old) = old {
            assert!(wait(&mut old).await.unwrap().success());
        }
    }

    /// A visit that must be counted: it waits as long as nobody serves.
    pub(crate) async fn visit(&self) -> u64 {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.trim().parse().unwrap()
    }

    /// That the daemon is the one it was, and the only process that was started here.
    pub(crate) async fn assert_unchanged(&mut self, visits: u64) {
        assert_eq!(self.visit().await, visits + 1);
        let daemon = self.daemon.as_mut().unwrap();
        assert!(daemon.try_wait().unwrap().is_none());
        self.assert_only_daemon().await;
    }

    /// That no process was started in this directory but the daemon, and nothing is left of others.
    pub(crate) async fn assert_only_daemon(&self) {
        let daemon = self.daemon.as_ref().unwrap().id();
        let directory = format!("HANDOFF_TEST_DIRECTORY={}", self.dir.path().display());
        loop {
            let others: Vec<u32> = std::fs::read_dir("/proc")
                .unwrap()
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
                .filter(|pid| *pid != daemon)
                .filter(|pid| {
                    let environment = std::fs::read(format!("/proc/{pid}/environ"));
                    environment.is_ok_and(|environment| {
                        environment
                            .split(|byte| *byte == 0)
                            .any(|variable| variable == directory.as_bytes())
                    })
                })
                .filter(|pid| Process::of(*pid).is_some_and(Process::is_alive))
                .collect();
            if others.is_empty() {
                return;
            }
            // A moment later: see the documentation of `Supervisor`.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn supervisor(dir: &Path, listener: &TcpListener, daemon: handoff_tokio::SpawnSpec) -> Supervisor {
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
pub(crate) async fn handoff_to(dir: &Path, fault: &str) {
    let listener = ask::listeners(dir.join("control"))
        .await
        .unwrap()
        .remove(0)
        .fd;
    let spec = HandoffSpec::new(spec(dir, ONE_THREAD, fault));
    let mut supervisor = supervisor(dir, &listener.into(), spec.successor.clone());
    let _ = supervisor.handoff(&spec).await.unwrap();
}

//! A successor on probation: it passes, fails its health check, dies, or is sent back. The incumbent is a
//! thread of the test, and the successor this test binary again, told its part by a variable.

mod peer;

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use handoff_std::ask::{self, DaemonPhase};
use handoff_std::core::supervisor::Phase;
use handoff_std::core::wire::{StatusPhase, VersionRange};
use handoff_std::core::{Reason, SuccessorConfig, SupervisorOutcome};
use handoff_std::host::{Process, Signal};
use handoff_std::{
    HandoffSpec, HealthCheck, Readiness, Report, Retirement, Role, RollbackHandle, SpawnSpec,
    SuccessorSetup, Supervisor, SupervisorError, SupervisorEvent, detect_role,
};
use peer::{Guard, Idle, Serving};

const DIR: &str = "PROBATION_DIR";
const VERSION: &str = "PROBATION_VERSION";
const LONG: Duration = Duration::from_mins(5);

/// In the successor's process. It serves until it is killed.
#[test]
fn part() {
    let Some(dir) = env::var_os(DIR).map(PathBuf::from) else {
        return;
    };
    let Role::Successor(successor) = detect_role().unwrap() else {
        panic!("not a successor");
    };
    let setup = SuccessorSetup {
        times: SuccessorConfig {
            versions: VersionRange {
                min: 1,
                max: env::var(VERSION).unwrap().parse().unwrap(),
            },
            ..SuccessorConfig::default()
        },
        ..SuccessorSetup::new(dir.join("control"), &dir)
    };
    let warming = successor.handshake(setup).unwrap();
    let begun = warming.stand_by().unwrap().wait_for_begin().unwrap();
    fs::write(dir.join("successor"), std::process::id().to_string()).unwrap();
    let incumbent = begun.announce(Readiness::healthy()).unwrap();
    let _ = incumbent.serve(Idle::default());
}

/// A daemon in a directory of its own, with its supervisor.
struct Stage {
    dir: tempfile::TempDir,
    incumbent: Serving,
    supervisor: Supervisor,
}

impl Stage {
    fn new() -> Self {
        Self::with(VersionRange::SUPPORTED, |_| {})
    }

    fn with(
        incumbent: VersionRange,
        mut observer: impl FnMut(&SupervisorEvent) + Send + 'static,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let incumbent = Serving::start(dir.path(), incumbent, |incumbent| incumbent);
        let supervisor =
            Supervisor::new(dir.path().join("control"), dir.path(), SpawnSpec::default())
                .unwrap()
                .with_observer(move |event| observer(event));
        Self {
            dir,
            incumbent,
            supervisor,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn spec(&self, version: u16) -> HandoffSpec {
        HandoffSpec::new(SpawnSpec {
            binary: env::current_exe().unwrap(),
            args: ["--exact", "part"].map(Into::into).into(),
            env: vec![
                (DIR.into(), self.dir.path().into()),
                (VERSION.into(), version.to_string().into()),
            ],
            ..SpawnSpec::default()
        })
    }

    /// A handoff with a probation that lasts until something happens, and this health check.
    fn handoff(&mut self, version: u16, health: Option<HealthCheck>) -> Report {
        let spec = HandoffSpec {
            probation: LONG,
            health,
            ..self.spec(version)
        };
        self.supervisor.handoff(&spec).unwrap()
    }

    /// A handoff with a short probation, which may last longer.
    fn short_handoff(&mut self, health: Option<HealthCheck>) -> Report {
        let spec = HandoffSpec {
            probation: Duration::from_millis(100),
            health,
            ..self.spec(2)
        };
        self.supervisor.handoff(&spec).unwrap()
    }

    /// The incumbent serves as before, the successor is dead, and this is why.
    fn rolled_back(&self, report: &Report, reason: Reason, words: &str) {
        let SupervisorOutcome::RolledBack { cause, .. } = report.outcome else {
            panic!("{}", report.outcome);
        };
        assert_eq!(cause.reason, reason, "{cause}");
        assert!(cause.to_string().contains(words), "{cause}");
        assert!(report.child.is_none());
        assert_eq!(Process::of(self.successor()), None, "reaped");
        // What undoes it is written, and the incumbent may still be at it.
        let serves = || {
            ask::status(self.path("control")).is_ok_and(|status| {
                status.pid == std::process::id()
                    && status.phase == DaemonPhase::Known(StatusPhase::Serving)
            })
        };
        while !serves() {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.incumbent.daemon.resumed.load(Ordering::Acquire), 1);
    }

    /// The pid that the successor wrote down.
    fn successor(&self) -> u32 {
        let pid = fs::read_to_string(self.path("successor")).unwrap();
        pid.parse().unwrap()
    }

    fn committed(self, report: Report) -> tempfile::TempDir {
        assert!(report.committed(), "{}", report.outcome);
        let _guard = Guard(report.child.unwrap());
        assert!(matches!(self.incumbent.left(), Retirement::Committed(_)));
        self.dir
    }
}

fn shell(script: &str, args: &[&Path]) -> HealthCheck {
    let mut all = vec!["-c".into(), script.into(), "check".into()];
    all.extend(args.iter().map(|arg| arg.as_os_str().to_owned()));
    HealthCheck {
        interval: Duration::from_millis(20),
        timeout: LONG,
        ..HealthCheck::command::<std::ffi::OsString>("sh", all)
    }
}

/// An observer that tells when the probation has begun.
fn tell(began: Sender<()>) -> impl FnMut(&SupervisorEvent) + Send {
    move |event| {
        if matches!(event, SupervisorEvent::Phase(Phase::Probation)) {
            began.send(()).unwrap();
        }
    }
}

#[test]
fn a_healthy_successor_passes() {
    let mut stage = Stage::new();
    let seen = stage.path("seen");
    let check = shell("echo $HANDOFF_PID $LISTEN_FDS >> $1", &[&seen]);
    let report = stage.short_handoff(Some(check));
    let shortfall = match report.outcome {
        SupervisorOutcome::Committed { shortfall, .. } => shortfall,
        other => panic!("{other}"),
    };
    assert_eq!(shortfall.to_string(), "");
    assert_eq!(
        (report.incumbent_version, report.successor_version),
        (Some(2), Some(2))
    );
    let took = |wanted| {
        let mut phases = report.durations();
        phases.find(|(phase, _)| *phase == wanted).unwrap().1
    };
    took(Phase::Warming);
    assert!(took(Phase::Probation) >= Duration::from_millis(100));
    let pid = report.child.as_ref().unwrap().id().to_string();
    let _dir = stage.committed(report);
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.lines().count() >= 1);
    assert!(seen.lines().all(|line| line.trim() == pid), "{seen} {pid}");
}

#[test]
fn without_a_health_check_it_only_has_to_live() {
    let mut stage = Stage::new();
    let handle = stage.supervisor.rollback_handle();
    let report = stage.short_handoff(None);
    assert!(!handle.rollback("too late"));
    stage.committed(report);
}

#[test]
fn an_exit_status_and_a_signal_fail() {
    let mut stage = Stage::new();
    let report = stage.handoff(2, Some(shell("exit 7", &[])));
    stage.rolled_back(&report, Reason::ProbationFailed, "exit status: 7");

    // And the next handoff is not the worse for it.
    let report = stage.short_handoff(None);
    stage.committed(report);

    let mut stage = Stage::new();
    let report = stage.handoff(2, Some(shell("kill -9 $$", &[])));
    stage.rolled_back(&report, Reason::ProbationFailed, "signal: 9");
}

#[test]
fn a_check_that_overruns_its_time_is_killed_with_its_children() {
    let mut stage = Stage::new();
    let child = stage.path("child");
    let check = HealthCheck {
        timeout: Duration::from_secs(1),
        ..shell("sleep 600 & echo $! > $1; wait", &[&child])
    };
    let report = stage.handoff(2, Some(check));
    stage.rolled_back(&report, Reason::ProbationFailed, "not done within 1s");
    // A very slow machine may not have come that far.
    if let Ok(pid) = fs::read_to_string(child)
        && let Some(sleeper) = pid.trim().parse().ok().and_then(Process::of)
    {
        assert!(sleeper.wait_dead(LONG));
    }
}

#[test]
fn a_check_that_cannot_be_started_fails() {
    let mut stage = Stage::new();
    let program = stage.path("program");
    let missing = HandoffSpec {
        probation: LONG,
        health: Some(HealthCheck::command(&program, [""; 0])),
        ..stage.spec(2)
    };
    let error = stage.supervisor.handoff(&missing).unwrap_err();
    assert!(
        matches!(error, SupervisorError::HealthCheck(_)),
        "found before anything is touched: {error}"
    );

    fs::write(&program, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let report = stage.handoff(2, Some(HealthCheck::command(&program, [""; 0])));
    stage.rolled_back(&report, Reason::ProbationFailed, "not started");
}

#[test]
fn only_so_many_failures_in_a_row_count() {
    let mut stage = Stage::new();
    let runs = stage.path("runs");
    let check = HealthCheck {
        failures: 3,
        ..shell("echo >> $1; test $(wc -l < $1) -gt 2", &[&runs])
    };
    // Long enough for the third run, which cannot be late on any machine: its end is waited for.
    let handle = stage.supervisor.rollback_handle();
    let watcher = thread::spawn(move || {
        let lines = || fs::read_to_string(&runs).map_or(0, |text| text.lines().count());
        while lines() < 4 {
            thread::sleep(Duration::from_millis(5));
        }
        handle.rollback("seen enough")
    });
    let report = stage.handoff(2, Some(check));
    stage.rolled_back(&report, Reason::ProbationFailed, "sent back: seen enough");
    assert!(watcher.join().unwrap());

    let check = HealthCheck {
        failures: 3,
        ..shell("false", &[])
    };
    let mut stage = Stage::new();
    let report = stage.handoff(2, Some(check));
    stage.rolled_back(&report, Reason::ProbationFailed, "3 in a row failed");
}

#[test]
fn a_check_that_runs_when_the_probation_ends_counts() {
    let mut stage = Stage::new();
    let report = stage.short_handoff(Some(shell("sleep 0.3; exit 5", &[])));
    stage.rolled_back(&report, Reason::ProbationFailed, "exit status: 5");
    let mut stage = Stage::new();
    let report = stage.short_handoff(Some(shell("sleep 0.3", &[])));
    stage.committed(report);
}

#[test]
fn an_operator_sends_it_back() {
    let (began, probation) = mpsc::channel();
    let mut stage = Stage::with(VersionRange::SUPPORTED, tell(began));
    let handle = stage.supervisor.rollback_handle();
    assert!(!handle.rollback("too early"));
    let operator = thread::spawn({
        let handle = handle.clone();
        move || {
            probation.recv().unwrap();
            (handle.rollback("too many errors"), handle.rollback("again"))
        }
    });
    // The check that runs meanwhile does not hold it up.
    let report = stage.handoff(2, Some(shell("sleep 600", &[])));
    stage.rolled_back(
        &report,
        Reason::ProbationFailed,
        "sent back: too many errors",
    );
    let (first, _) = operator.join().unwrap();
    assert!(first);
    assert!(!handle.rollback("too late"));
}

#[test]
fn whoever_hears_of_the_probation_can_end_it() {
    let handle = std::sync::Arc::new(std::sync::OnceLock::<RollbackHandle>::new());
    let seen = std::sync::Arc::clone(&handle);
    let mut stage = Stage::with(VersionRange::SUPPORTED, move |event| {
        if matches!(event, SupervisorEvent::Phase(Phase::Probation)) {
            assert!(seen.get().unwrap().rollback("at once"));
        }
    });
    handle
        .set(stage.supervisor.rollback_handle())
        .map_err(drop)
        .unwrap();
    let report = stage.handoff(2, None);
    stage.rolled_back(&report, Reason::ProbationFailed, "sent back: at once");
}

/// Kill the successor once it is on probation.
fn kill_on_probation(version: u16) -> (Stage, Report) {
    let (began, probation) = mpsc::channel();
    let mut stage = Stage::with(VersionRange::SUPPORTED, tell(began));
    let pid = stage.path("successor");
    let killer = thread::spawn(move || {
        probation.recv().unwrap();
        let pid = fs::read_to_string(pid).unwrap().parse().unwrap();
        assert!(Process::of(pid).unwrap().kill(Signal::KILL).unwrap());
    });
    let report = stage.handoff(version, None);
    killer.join().unwrap();
    (stage, report)
}

#[test]
fn a_successor_of_version_1_that_dies_is_rolled_back() {
    // It has closed its session after Ready, so only its process can tell.
    let (stage, report) = kill_on_probation(1);
    stage.rolled_back(&report, Reason::ProbationFailed, "is dead");
    assert_eq!(report.successor_version, Some(1));
}

#[test]
fn a_successor_that_dies_is_rolled_back() {
    let (stage, report) = kill_on_probation(2);
    // Its session and its process end together, and either may be seen first.
    let reason = match report.outcome {
        SupervisorOutcome::RolledBack { cause, .. } => cause.reason,
        other => panic!("{other}"),
    };
    assert!(matches!(
        reason,
        Reason::SuccessorLost | Reason::ProbationFailed
    ));
    stage.rolled_back(&report, reason, "");
}

#[test]
fn a_successor_on_probation_stays_when_the_incumbent_is_lost() {
    let (began, probation) = mpsc::channel();
    let mut stage = Stage::with(VersionRange::SUPPORTED, tell(began));
    let handle = stage.supervisor.rollback_handle();
    let incumbent = stage.incumbent.handle.clone();
    let end = thread::spawn(move || {
        probation.recv().unwrap();
        incumbent.stop();
    });
    // Nobody could come back any more, so the check that runs is not waited for.
    let report = stage.handoff(2, Some(shell("sleep 600", &[])));
    assert!(report.committed(), "{}", report.outcome);
    assert!(!handle.rollback("too late"));
    let _guard = Guard(report.child.unwrap());
    end.join().unwrap();
    assert_eq!(stage.incumbent.left(), Retirement::Stopped);
}

#[test]
fn there_is_no_probation_with_an_incumbent_of_version_1() {
    let (send, troubles) = mpsc::channel();
    let mut stage = Stage::with(VersionRange::V1, move |event| {
        if let SupervisorEvent::Trouble(cause) = event {
            let _ = send.send(cause.reason);
        }
    });
    let report = stage.handoff(1, Some(shell("false", &[])));
    assert_eq!(
        (report.incumbent_version, report.successor_version),
        (Some(1), Some(1))
    );
    let text = report.outcome.to_string();
    assert!(
        text.contains("without warm standby and probation"),
        "{text}"
    );
    let troubles: Vec<_> = troubles.try_iter().collect();
    assert_eq!(troubles, [Reason::NoStandby, Reason::NoProbation]);
    stage.committed(report);
}

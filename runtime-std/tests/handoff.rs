//! The example daemon is replaced on real processes while visitors come and go.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use handoff_std::core::SupervisorOutcome;
use handoff_std::{Child, HandoffSpec, SpawnSpec, Supervisor};

/// Examples are built along with the tests, beside their directory.
fn counter() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    test.ancestors()
        .nth(2)
        .expect("the target directory")
        .join("examples/counter")
}

/// A daemon of the test's own, which does not outlive it.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn visit(address: SocketAddr) -> u64 {
    let mut answer = String::new();
    let mut stream = TcpStream::connect(address).expect("never refused");
    stream.read_to_string(&mut answer).expect("an answer");
    answer.trim().parse().expect("a count")
}

fn spec(dir: &Path) -> SpawnSpec {
    SpawnSpec {
        binary: counter(),
        args: vec![dir.join("control").into(), dir.into()],
        ..SpawnSpec::default()
    }
}

#[test]
fn a_daemon_is_replaced_ten_times_under_its_visitors() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut supervisor = Supervisor::new(dir.path().join("control"), dir.path(), spec(dir.path()))
        .expect("a supervisor")
        .with_listener("main", listener)
        .with_journal(dir.path().join("journal"));

    let started = supervisor.recover().expect("a cold start");
    assert!(matches!(
        started.outcome,
        SupervisorOutcome::ColdStarted { cause: None, .. }
    ));
    let mut daemon = Guard(started.child.expect("the daemon"));

    let stop = Arc::new(AtomicBool::new(false));
    let visitor = thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut last = 0;
            while !stop.load(Ordering::Acquire) {
                let count = visit(address);
                assert_eq!(count, last + 1, "no visit is lost or counted twice");
                last = count;
            }
            last
        }
    });

    for round in 0..10 {
        let report = supervisor
            .handoff(&HandoffSpec::new(spec(dir.path())))
            .expect("a handoff");
        assert!(report.committed(), "round {round}: {}", report.outcome);
        let mut old = std::mem::replace(&mut daemon, Guard(report.child.expect("the daemon")));
        assert!(old.0.wait().expect("its end").success(), "round {round}");
    }
    stop.store(true, Ordering::Release);
    let visits = visitor.join().expect("no visitor was disappointed");
    assert!(visits > 0);
    assert_eq!(visit(address), visits + 1);
    assert!(
        !dir.path().join("journal").exists(),
        "nothing is in flight any more"
    );
}

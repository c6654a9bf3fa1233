//! The example daemon is replaced while clients are at it: none is refused, and no answered change is
//! lost.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use handoff_mio::{Child, HandoffSpec, Report, SpawnSpec, Supervisor, SupervisorEvent};
use mio::{Events, Interest, Poll, Token};

/// Examples are built along with the tests, beside their directory.
fn kv() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples/kv")
}

fn spec(dir: &Path) -> SpawnSpec {
    SpawnSpec {
        binary: kv(),
        args: vec![dir.join("control").into(), dir.into()],
        ..SpawnSpec::default()
    }
}

/// A daemon that does not outlive the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client that keeps its connection, and connects again when it is sent away between two requests.
struct Client(SocketAddr, Option<BufReader<TcpStream>>);

impl Client {
    fn ask(&mut self, request: &str) -> String {
        loop {
            let stream = self.1.get_or_insert_with(|| {
                BufReader::new(TcpStream::connect(self.0).expect("never refused"))
            });
            let mut answer = String::new();
            let asked = stream
                .get_mut()
                .write_all(format!("{request}\n").as_bytes());
            if asked.is_ok() && stream.read_line(&mut answer).is_ok_and(|read| read > 0) {
                assert!(answer.ends_with('\n'), "a whole answer");
                return answer.trim_end().to_owned();
            }
            self.1 = None;
        }
    }
}

/// Nothing here needs a second one.
fn assert_one_thread(daemon: u32) {
    if let Ok(threads) = std::fs::read_dir(format!("/proc/{daemon}/task")) {
        assert_eq!(threads.count(), 1);
    }
}

/// How many descriptors a process has, where that is to be seen.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

fn run(poll: &mut Poll, supervisor: &mut Supervisor) -> Report {
    let mut events = Events::with_capacity(4);
    loop {
        if let Some(report) = supervisor.turn() {
            return report;
        }
        poll.poll(&mut events, supervisor.timeout()).unwrap();
        for event in &events {
            supervisor.ready(event);
        }
    }
}

#[test]
fn the_example_is_replaced_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sealed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&sealed);
    let mut supervisor = Supervisor::new(dir.path().join("control"), dir.path(), spec(dir.path()))
        .unwrap()
        .with_listener("main", listener)
        .with_observer(move |event| {
            if let SupervisorEvent::Progress(_) = event {
                seen.store(true, Ordering::Release);
            }
        });
    let mut poll = Poll::new().unwrap();
    let registry = poll.registry();
    registry
        .register(&mut supervisor, Token(0), Interest::READABLE)
        .unwrap();
    supervisor.recover().unwrap();
    let mut daemon = run(&mut poll, &mut supervisor).child.map(Guard);
    assert!(daemon.is_some());

    // Enough for a seal of several pieces.
    let mut client = Client(address, None);
    for key in 0..3000 {
        assert_eq!(client.ask(&format!("set k{key} value of {key}")), "ok");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let (mut client, mut count) = (Client(address, None), 0_u64);
                while !stop.load(Ordering::Acquire) {
                    count += 1;
                    let set = client.ask(&format!("set c{number} {count}"));
                    assert_eq!(set, "ok");
                    assert_eq!(client.ask(&format!("get c{number}")), count.to_string());
                }
                (number, count)
            })
        })
        .collect();
    // One who never finishes a request holds nothing up for long.
    let mut half = TcpStream::connect(address).unwrap();
    half.write_all(b"set half").unwrap();

    while std::fs::metadata(dir.path().join("control")).is_err() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut replace = || {
        let spec = HandoffSpec::new(spec(dir.path()));
        supervisor.handoff(&spec).unwrap();
        let mut report = run(&mut poll, &mut supervisor);
        assert!(report.committed(), "{}", report.outcome);
        let old = std::mem::replace(&mut daemon, report.child.take().map(Guard));
        assert!(old.unwrap().0.wait().unwrap().success());
        let pid = daemon.as_ref().unwrap().0.id();
        assert_one_thread(pid);
        pid
    };
    for _ in 0..3 {
        replace();
    }
    stop.store(true, Ordering::Release);
    for joined in clients {
        let (number, count) = joined.join().unwrap();
        assert_eq!(client.ask(&format!("get c{number}")), count.to_string());
    }
    assert_eq!(client.ask("get k2999"), "value of 2999");
    // With no client left that comes and goes.
    drop((client, half));
    let count = |pid| (descriptors(std::process::id()), descriptors(pid));
    let (before, mut patience) = (count(replace()), 10_000);
    for _ in 0..3 {
        let pid = replace();
        // It may still have the session in which it was told that it stays.
        while count(pid).1 > before.1 && patience > 0 {
            patience -= 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        let now = count(pid);
        assert!(
            now.0 <= before.0 && now.1 <= before.1,
            "descriptors are left: {now:?}, before {before:?}"
        );
    }
    assert!(
        sealed.load(Ordering::Acquire),
        "the seal took several turns"
    );
}

//! The daemon of these tests: counts its visitors, durably. It is this test binary again, told by
//! variables which adapter it is built with and what goes wrong.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use handoff_tokio::{
    DataDirLock, DrainReport, Drainable, HookContext, HookError, Incumbent, InheritedListeners,
    Readiness, Role, SealReport, SpawnSpec, SuccessorSetup, blocking, detect_role, nonblocking,
    tcp_listener,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

const DIRECTORY: &str = "HANDOFF_TEST_DIRECTORY";
const RUNTIME: &str = "HANDOFF_TEST_RUNTIME";
const FAULT: &str = "HANDOFF_TEST_FAULT";

/// What a daemon is built with.
pub(crate) const STD: &str = "std";
pub(crate) const ONE_THREAD: &str = "one thread";
pub(crate) const MANY_THREADS: &str = "many threads";
/// Not a daemon: a supervisor that starts a handoff and is killed in it. Its successor has the fault.
pub(crate) const SUPERVISOR: &str = "supervisor";

/// What goes wrong.
pub(crate) const NOTHING: &str = "";
pub(crate) const HANGS_IN_DRAIN: &str = "hangs in drain";
pub(crate) const UNHEALTHY: &str = "unhealthy";
pub(crate) const GIVES_UP_WARMING: &str = "gives up warming";
pub(crate) const GIVES_UP_OPENING: &str = "gives up opening";
pub(crate) const HANGS_WARMING: &str = "hangs warming";
pub(crate) const HANGS_OPENING: &str = "hangs opening";
pub(crate) const DIES_ON_PROBATION: &str = "dies on probation";

/// How to start one.
pub(crate) fn spec(dir: &Path, runtime: &str, fault: &str) -> SpawnSpec {
    SpawnSpec {
        binary: env::current_exe().unwrap(),
        args: ["daemon::part", "--exact", "--nocapture"]
            .map(Into::into)
            .into(),
        env: vec![
            (DIRECTORY.into(), dir.into()),
            (RUNTIME.into(), runtime.into()),
            (FAULT.into(), fault.into()),
        ],
        ..SpawnSpec::default()
    }
}

/// In the other process; does nothing in an ordinary run.
#[test]
fn part() {
    let Some(dir) = env::var_os(DIRECTORY) else {
        return;
    };
    let fault = env::var(FAULT).unwrap();
    match env::var(RUNTIME).unwrap().as_str() {
        STD => with_std(Path::new(&dir)),
        ONE_THREAD => {
            let role = detect_role().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(with_tokio(role, &dir, &fault));
        }
        MANY_THREADS => {
            let role = detect_role().unwrap();
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build();
            runtime.unwrap().block_on(with_tokio(role, &dir, &fault));
        }
        SUPERVISOR => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let handoff = crate::household::handoff_to(Path::new(&dir), &fault);
            runtime.unwrap().block_on(handoff);
        }
        other => panic!("no such runtime: {other}"),
    }
    std::process::exit(0);
}

fn load(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.parse().unwrap_or(0)
}

fn store(path: &Path, count: u64) {
    let new = path.with_extension("new");
    fs::write(&new, count.to_string()).unwrap();
    fs::rename(&new, path).unwrap();
}

/// The count is `None` while another process may be the writer.
struct Counter {
    path: PathBuf,
    fault: String,
    door: std::net::TcpListener,
    count: Mutex<Option<u64>>,
    opened: tokio::sync::Notify,
    hung: AtomicBool,
}

impl Counter {
    async fn load(&self) {
        *self.count.lock().await = Some(load(&self.path));
        self.opened.notify_one();
    }

    async fn serve(&self, door: TcpListener) {
        loop {
            let opened = self.opened.notified();
            {
                // With the lock held: no visitor is accepted whom nobody may count.
                let mut count = self.count.lock().await;
                if let Some(count) = &mut *count {
                    let visitor =
                        tokio::time::timeout(Duration::from_millis(2), door.accept()).await;
                    if let Ok(Ok((mut visitor, _))) = visitor {
                        *count += 1;
                        store(&self.path, *count);
                        let _ = visitor.write_all(format!("{count}\n").as_bytes()).await;
                    }
                    continue;
                }
            }
            opened.await;
        }
    }
}

impl Drainable for Counter {
    async fn drain(&self, cx: &HookContext) -> Result<DrainReport, HookError> {
        self.count.lock().await.take();
        if self.fault == HANGS_IN_DRAIN && !self.hung.swap(true, Ordering::SeqCst) {
            cx.cancelled().await;
        }
        Ok(DrainReport::CLEAN)
    }

    async fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        blocking(|| Ok(SealReport::default())).await
    }

    async fn resume(&self) -> Result<(), HookError> {
        nonblocking(&self.door)?;
        self.load().await;
        Ok(())
    }
}

async fn with_tokio(role: Role, dir: impl AsRef<Path>, fault: &str) {
    let dir = dir.as_ref();
    let control = dir.join("control");
    let take = |listeners: &mut InheritedListeners| listeners.take_tcp("main").unwrap().unwrap();
    let (incumbent, door) = match role {
        Role::ColdStart(mut listeners) => {
            let lock = DataDirLock::acquire(dir).unwrap();
            (
                Incumbent::bind(&control, lock).await.unwrap(),
                take(&mut listeners),
            )
        }
        Role::Successor(successor) => {
            let setup = SuccessorSetup::new(&control, dir);
            let warming = successor.handshake(setup).await.unwrap();
            match fault {
                GIVES_UP_WARMING => return warming.give_up("as the test wants it").await,
                HANGS_WARMING => {
                    fs::write(dir.join("at"), "warming").unwrap();
                    return warming.cancelled().await;
                }
                _ => {}
            }
            let standing_by = warming.stand_by().unwrap();
            let mut begun = standing_by.wait_for_begin().await.unwrap();
            match fault {
                GIVES_UP_OPENING => return begun.give_up("as the test wants it").await,
                HANGS_OPENING => {
                    fs::write(dir.join("at"), "opening").unwrap();
                    std::future::pending::<()>().await;
                }
                _ => {}
            }
            let door = take(begun.listeners());
            let readiness = Readiness {
                healthy: fault != UNHEALTHY,
                ..Readiness::default()
            };
            match begun.announce(readiness).await {
                Ok(incumbent) => (incumbent, door),
                Err(error) => return println!("{error}"),
            }
        }
    };
    let counter = Arc::new(Counter {
        path: dir.join("count"),
        fault: fault.to_owned(),
        door: door.try_clone().unwrap(),
        count: Mutex::new(Some(load(&dir.join("count")))),
        opened: tokio::sync::Notify::new(),
        hung: AtomicBool::new(false),
    });
    if fault == DIES_ON_PROBATION {
        std::process::exit(7);
    }
    let door = tcp_listener(door).unwrap();
    let serving = Arc::clone(&counter);
    tokio::spawn(async move { serving.serve(door).await });
    incumbent.serve(counter).await.unwrap();
}

/// The same with handoff-std.
struct StdCounter(PathBuf, std::sync::Mutex<Option<u64>>);

impl handoff_std::Drainable for StdCounter {
    fn drain(&self, _: &handoff_std::HookContext) -> Result<DrainReport, HookError> {
        self.1.lock().unwrap().take();
        Ok(DrainReport::CLEAN)
    }

    fn seal(&self, _: &handoff_std::HookContext) -> Result<SealReport, HookError> {
        Ok(SealReport::default())
    }

    fn resume(&self) -> Result<(), HookError> {
        *self.1.lock().unwrap() = Some(load(&self.0));
        Ok(())
    }
}

fn with_std(dir: &Path) {
    let control = dir.join("control");
    let (incumbent, door) = match handoff_std::detect_role().unwrap() {
        handoff_std::Role::ColdStart(mut listeners) => {
            let lock = DataDirLock::acquire(dir).unwrap();
            let incumbent = handoff_std::Incumbent::bind(&control, lock).unwrap();
            (incumbent, listeners.take_tcp("main").unwrap().unwrap())
        }
        handoff_std::Role::Successor(successor) => {
            let warming = successor.handshake(SuccessorSetup::new(&control, dir));
            let mut begun = warming
                .unwrap()
                .stand_by()
                .unwrap()
                .wait_for_begin()
                .unwrap();
            let door = begun.take_tcp("main").unwrap().unwrap();
            (begun.announce(Readiness::healthy()).unwrap(), door)
        }
    };
    let count = std::sync::Mutex::new(Some(load(&dir.join("count"))));
    let counter = Arc::new(StdCounter(dir.join("count"), count));
    let serving = Arc::clone(&counter);
    std::thread::spawn(move || {
        loop {
            if let Some(count) = &mut *serving.1.lock().unwrap() {
                nonblocking(&door).unwrap();
                if let Ok((mut visitor, _)) = door.accept() {
                    *count += 1;
                    store(&serving.0, *count);
                    let _ = writeln!(visitor, "{count}");
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    incumbent.serve(counter).unwrap();
}

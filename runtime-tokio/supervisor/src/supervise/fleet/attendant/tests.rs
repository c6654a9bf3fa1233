//! The task of a service with real daemons: this test binary as `handoff kvd`, see [`stand_in`].

use std::path::Path;
use std::process::{Command, exit};
use std::time::Duration;
use std::{env, fs};

use handoff_std::host::{Process, Signal};
use tempfile::TempDir;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::*;
use crate::config::{Config, ThisMachine};
use crate::operate::event::{Event, Why};
use crate::operate::protocol::{Outcome, ServiceStatus, State};
use crate::supervise::fleet::events::{Events, Hub};
use crate::supervise::fleet::orders::Wanted;
use crate::supervise::fleet::turns::Line;

/// Where a stand-in has its world.
const WORLD: &str = "HANDOFF_TEST_WORLD";
/// What makes a stand-in of this binary.
const ARGS: [&str; 3] = [
    "--exact",
    "supervise::fleet::attendant::tests::stand_in",
    "--nocapture",
];
/// Far more than anything takes here, also on a busy machine.
const LONG: Duration = Duration::from_mins(1);

/// Without its variable it passes and does nothing.
#[test]
fn stand_in() {
    let Some(world) = env::var_os(WORLD) else {
        return;
    };
    let at = |name: &str| Path::new(&world).join(name).into_os_string();
    let args = ["handoff", "kvd", "--listen", "127.0.0.1:0"].map(Into::into);
    let more = [
        "--data-dir".into(),
        at("d"),
        "--control-socket".into(),
        at("c"),
    ];
    let _ = crate::main(args.into_iter().chain(more));
    exit(0);
}

/// A service, its task, and what is told of it.
struct World {
    dir: TempDir,
    orders: mpsc::Sender<Order>,
    events: Events,
    turns: Turns,
    task: JoinHandle<anyhow::Result<()>>,
}

impl World {
    /// Under these further keys.
    fn new(more: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("ha").tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("d")).unwrap();
        let args = ARGS;
        let text = format!(
            "[supervisor]\nstate_dir = \".\"\n[service.a]\nbinary = {:?}\nargs = {args:?}\n\
             env = {{ {WORLD} = {:?} }}\ndata_dir = \"d\"\ncontrol_socket = \"c\"\n{more}",
            env::current_exe().unwrap(),
            dir.path(),
        );
        let config = Config::read(&text, dir.path(), &ThisMachine).unwrap();
        let (sender, orders) = mpsc::channel(1);
        let hub = Hub::new();
        let turns = Turns {
            handoffs: Line::new(1),
            starts: Line::new(1),
        };
        let beginning = Beginning {
            service: config.services.into_iter().next().unwrap().into(),
            data_dir: at("d"),
            record: at("a.binary"),
            orders,
            adopted: Vec::new(),
            alone: false,
            board: Board::default(),
            teller: hub.teller("a"),
            turns: turns.clone(),
            recordings: None,
        };
        Self {
            dir,
            orders: sender,
            events: hub.milestones(),
            turns,
            task: tokio::spawn(async { Attendant::new(beginning).await?.run().await }),
        }
    }

    /// The next event.
    async fn next(&mut self) -> Arc<Event> {
        let event = timeout(LONG, self.events.recv()).await;
        event.expect("an event in time").unwrap()
    }

    /// The daemon that is started next, once it serves: killed before, it may leave half a database.
    async fn started(&mut self) -> Process {
        match self.next().await.what {
            What::DaemonStarted { pid, .. } => {
                self.serves(pid).await;
                Process::of(pid).unwrap()
            }
            ref other => panic!("{other:?}"),
        }
    }

    /// Waits until this process answers.
    async fn serves(&self, pid: u32) {
        let answers = async {
            loop {
                let control = self.dir.path().join("c");
                let asked = spawn_blocking(move || handoff_std::ask::status(control)).await;
                if asked.unwrap().is_ok_and(|status| status.pid == pid) {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, answers).await.expect("an answer in time");
    }

    /// How it is, once it is in this state.
    async fn wait_for(&self, state: State) -> ServiceStatus {
        loop {
            let (reply, told) = oneshot::channel();
            self.orders.send(Order::Look(reply)).await.unwrap();
            let status = told.await.unwrap();
            if status.state == state {
                return status;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks for a handoff to the same binary, or to another one.
    async fn ask(&self, binary: Wanted) -> oneshot::Receiver<Verdict> {
        let (reply, told) = oneshot::channel();
        let order = HandoffOrder {
            binary,
            wait: false,
            start: true,
            reply,
        };
        self.orders.send(Order::Handoff(order)).await.unwrap();
        told
    }

    async fn end(mut self) {
        self.orders.send(Order::Stop { keep: false }).await.unwrap();
        (&mut self.task).await.unwrap().unwrap();
    }
}

/// What a test has left that failed: it has our directory in its environment.
impl Drop for World {
    fn drop(&mut self) {
        self.task.abort();
        let mark = self.dir.path().as_os_str().as_encoded_bytes();
        let names = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in names.filter_map(|name| name.file_name().to_str()?.parse().ok()) {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            if environ.windows(mark.len()).any(|part| part == mark)
                && let Some(process) = Process::of(pid)
            {
                let _ = process.kill(Signal::KILL);
            }
        }
    }
}

async fn verdict(told: oneshot::Receiver<Verdict>) -> Verdict {
    timeout(LONG, told).await.expect("in time").unwrap()
}

#[tokio::test]
async fn a_daemon_that_ends_before_its_handoffs_turn_is_started_at_once() {
    let mut world = World::new("");
    let first = world.started().await;
    let turns = world.turns.clone();
    let all = turns.handoffs.take_all(1).await;
    let told = world.ask(Wanted::Current).await;
    world.wait_for(State::HandingOver).await;
    first.kill(Signal::KILL).unwrap();
    match world.next().await.what {
        What::DaemonEnded { pid, why, .. } => assert_eq!((pid, why), (first.pid, Why::ByItself)),
        ref other => panic!("{other:?}"),
    }
    let Verdict::Refused(why) = verdict(told).await else {
        panic!("no refusal");
    };
    assert!(
        why.contains("nothing was begun") && why.contains("will be started again"),
        "{why}"
    );
    // Nobody has had a turn yet.
    let second = world.started().await;
    assert_ne!(second, first);
    drop(all);
    let Verdict::Ended { ended, .. } = verdict(world.ask(Wanted::Current).await).await else {
        panic!("not begun");
    };
    assert_eq!(ended.outcome, Outcome::Committed, "{ended:?}");
    world.end().await;
}

#[tokio::test]
async fn a_first_start_waits_for_its_turn_and_one_after_a_crash_not_for_long() {
    let mut world = World::new("");
    let turns = world.turns.clone();
    // Before its task has run.
    let all = turns.starts.take_all(1).await;
    timeout(turns::LONGEST * 2, world.events.recv())
        .await
        .expect_err("nothing is begun");
    drop(all);
    let first = world.started().await;
    let _all = turns.starts.take_all(1).await;
    // A handoff is none of these.
    let Verdict::Ended { ended, .. } = verdict(world.ask(Wanted::Current).await).await else {
        panic!("not begun");
    };
    assert_eq!(ended.outcome, Outcome::Committed, "{ended:?}");
    let second = world.wait_for(State::Running).await.pid.unwrap();
    assert_ne!(second, first.pid);
    Process::of(second).unwrap().kill(Signal::KILL).unwrap();
    let restarted = async {
        loop {
            if let What::DaemonStarted { pid, .. } = world.next().await.what {
                return pid;
            }
        }
    };
    let third = timeout(LONG, restarted).await.expect("started in time");
    world.serves(third).await;
    world.end().await;
}

#[tokio::test]
async fn a_service_that_somebody_else_has_started_is_not_told_to_be_started() {
    let exe = env::current_exe().unwrap();
    let mut world = World::new(&format!(
        "allowed_binaries = [{exe:?}, \"/bin/true\"]\n[service.a.restart]\npolicy = \"never\"\n"
    ));
    let first = world.started().await;
    first.kill(Signal::KILL).unwrap();
    let down = world.wait_for(State::Down).await;
    let mut other = Command::new(exe);
    let mut other = other
        .args(ARGS)
        .env(WORLD, world.dir.path())
        .spawn()
        .unwrap();
    world.serves(other.id()).await;
    let wanted = Wanted::Named("/bin/true".into());
    let Verdict::Refused(why) = verdict(world.ask(wanted).await).await else {
        panic!("no refusal");
    };
    let serves = format!("nothing was started: pid {} serves already", other.id());
    assert!(why.contains(&serves), "{why}");
    // It is as if it had not been asked for.
    let status = world.wait_for(State::Running).await;
    assert_eq!((status.pid, status.binary), (Some(other.id()), down.binary));
    let Verdict::Ended { ended, .. } = verdict(world.ask(Wanted::Current).await).await else {
        panic!("not begun");
    };
    assert_eq!(ended.outcome, Outcome::Committed, "{ended:?}");
    other.wait().unwrap();
    world.end().await;
}

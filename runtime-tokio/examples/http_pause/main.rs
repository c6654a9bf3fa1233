//! How long the example service `http` makes its clients wait when it is replaced: requests at a
//! steady rate, half of them over kept connections and half over new ones, and handoffs meanwhile.
//!
//! ```text
//! cargo build --release -p handoff-tokio --examples
//! target/release/examples/http_pause [HANDOFFS] [REQUESTS-PER-SECOND] [SILENT-PER-SECOND]
//! ```
//!
//! The rate does not give way: a request is sent when its time has come, whether those before it
//! were answered or not, and its latency counts from then. Besides, so many connections a second are
//! opened without a word, as browsers do ahead of time. A row is one handoff, from its begin to a
//! moment after its end; before each, half a second was measured with nothing going on:
//!
//! - `gap`: the longest time in which no request was answered;
//! - `slowest`: the longest that one request took;
//! - `closed`: from the end of the drain to Ready, as the supervisor saw it: nobody can be served then.
//!
//! On two cores with little else to do, 800 requests a second: `gap` is 2 to 3 ms in a handoff, as it is
//! before one, and `closed` 0.6 ms. On busy ones both columns show how busy they are.

mod client;

use std::collections::VecDeque;
use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, thread};

use handoff_tokio::core::supervisor::Phase;
use handoff_tokio::{Child, HandoffSpec, Report, SpawnSpec, Supervisor, wait};
use tokio::net::{TcpSocket, TcpStream};

use client::Client;

type Failure = Box<dyn Error + Send + Sync>;

/// For how long a connection is held that was opened without a word. No handoff waits for it.
const SILENT: Duration = Duration::from_secs(1);
/// Connections that are kept from the start; more are opened when they are all busy.
const KEPT: usize = 16;
/// What a supervisor gives a listener as well.
const BACKLOG: u32 = 1024;
/// What goes on between two handoffs, and how long clients are watched after one.
const QUIET: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_millis(100);

/// What became of one request.
struct Answer {
    due: Instant,
    at: Instant,
    failed: Option<String>,
}

/// Clients, and what they were told.
struct Load {
    address: SocketAddr,
    kept: Mutex<VecDeque<Client>>,
    answers: Mutex<Vec<Answer>>,
    stop: AtomicBool,
}

impl Load {
    fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            address,
            kept: Mutex::new((0..KEPT).map(|_| Client::new(address)).collect()),
            answers: Mutex::default(),
            stop: AtomicBool::new(false),
        })
    }

    /// Sends `rate` requests a second until it is told to stop. Blocks: a runtime's timers are too
    /// coarse for this.
    fn run(self: &Arc<Self>, runtime: &tokio::runtime::Handle, rate: u32) {
        let period = Duration::from_secs(1) / rate;
        let mut due = Instant::now();
        let mut keep = false;
        while !self.stop.load(Ordering::Relaxed) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            runtime.spawn(Arc::clone(self).ask(due, keep));
            keep = !keep;
            due += period;
        }
    }

    /// Connects so many times a second without a word, and not in step.
    async fn be_silent(self: Arc<Self>, rate: u32) {
        let longest = (2000 / rate).max(1);
        let mut pause = 0;
        while !self.stop.load(Ordering::Relaxed) {
            pause = (pause + 61) % longest;
            tokio::time::sleep(Duration::from_millis(pause.into())).await;
            if let Ok(stream) = TcpStream::connect(self.address).await {
                tokio::spawn(async move {
                    tokio::time::sleep(SILENT).await;
                    drop(stream);
                });
            }
        }
    }

    async fn ask(self: Arc<Self>, due: Instant, keep: bool) {
        let kept = if keep {
            lock(&self.kept).pop_front()
        } else {
            None
        };
        let mut client = kept.unwrap_or_else(|| Client::new(self.address));
        let failed = client.request("POST", keep).await.err();
        let answer = Answer {
            due,
            at: Instant::now(),
            failed: failed.map(|error| error.to_string()),
        };
        lock(&self.answers).push(answer);
        if keep {
            lock(&self.kept).push_back(client);
        }
    }

    /// What clients saw from then until now.
    fn seen_since(&self, from: Instant) -> Seen {
        let answers = lock(&self.answers);
        let mut seen = Seen::default();
        let mut moments = vec![from, Instant::now()];
        for answer in answers.iter().filter(|answer| answer.at >= from) {
            seen.requests += 1;
            seen.slowest = seen.slowest.max(answer.at - answer.due);
            match &answer.failed {
                None => moments.push(answer.at),
                Some(why) => seen.failed.push(why.clone()),
            }
        }
        moments.sort_unstable();
        let gaps = moments.windows(2).filter_map(|pair| match pair {
            [one, next] => Some(*next - *one),
            _ => None,
        });
        seen.gap = gaps.max().unwrap_or_default();
        seen
    }
}

#[derive(Default)]
struct Seen {
    requests: u32,
    failed: Vec<String>,
    gap: Duration,
    slowest: Duration,
}

/// A daemon that does not outlive us.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Result<(), Failure> {
    let mut args = env::args().skip(1);
    let mut number = |default| args.next().map_or(Ok(default), |text| text.parse());
    let (handoffs, rate, silent): (u32, u32, u32) = (number(12)?, number(800)?, number(0)?);
    if handoffs == 0 || rate == 0 || args.next().is_some() {
        return Err(
            "usage: http_pause [HANDOFFS] [REQUESTS-PER-SECOND] [SILENT-PER-SECOND]".into(),
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(handoffs, rate, silent))
}

async fn measure(handoffs: u32, rate: u32, silent: u32) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(BACKLOG)?.into_std()?;
    let load = Load::new(listener.local_addr()?);
    let spec = spec(dir.path())?;
    let mut supervisor = Supervisor::new(dir.path().join("control"), dir.path(), spec.clone())?
        .with_listener("main", listener);
    let mut started = supervisor.recover().await?;
    let mut daemon = Guard(started.child.take().ok_or("the service does not start")?);

    let runtime = tokio::runtime::Handle::current();
    let sending = thread::spawn({
        let load = Arc::clone(&load);
        move || load.run(&runtime, rate)
    });
    if silent > 0 {
        tokio::spawn(Arc::clone(&load).be_silent(silent));
    }
    let mut rows = Vec::new();
    for _ in 0..handoffs {
        let from = Instant::now();
        tokio::time::sleep(QUIET).await;
        let before = load.seen_since(from);

        let from = Instant::now();
        let mut report = supervisor.handoff(&HandoffSpec::new(spec.clone())).await?;
        if !report.committed() {
            return Err(report.outcome.to_string().into());
        }
        let new = Guard(report.child.take().ok_or("no successor")?);
        wait(&mut std::mem::replace(&mut daemon, new).0).await?;
        tokio::time::sleep(AFTER).await;
        rows.push(Row {
            before,
            during: load.seen_since(from),
            closed: closed(&report),
        });
    }
    load.stop.store(true, Ordering::Relaxed);
    sending.join().map_err(|_| "the load broke down")?;
    println!("\n{rate} requests/s, half of them over kept connections; times in ms");
    table(&rows);
    let seen = rows.iter().flat_map(|row| [&row.before, &row.during]);
    let failed: Vec<_> = seen.flat_map(|seen| &seen.failed).collect();
    match failed.first() {
        None => Ok(()),
        Some(why) => Err(format!("{} requests failed, the first: {why}", failed.len()).into()),
    }
}

/// One handoff.
struct Row {
    before: Seen,
    during: Seen,
    closed: Duration,
}

impl Row {
    const fn times(&self) -> [Duration; 5] {
        let Self {
            before,
            during,
            closed,
        } = self;
        [
            during.gap,
            during.slowest,
            *closed,
            before.gap,
            before.slowest,
        ]
    }
}

fn table(rows: &[Row]) {
    println!("handoff  requests  failed      gap  slowest   closed | before: gap  slowest");
    let print = |name: &str, requests: u32, failed: usize, times: [Duration; 5]| {
        let [gap, slowest, closed, gap_before, slowest_before] =
            times.map(|time| time.as_secs_f64() * 1000.0);
        println!(
            "{name:>7}  {requests:8}  {failed:6}  {gap:7.1}  {slowest:7.1}  {closed:7.1} |     \
             {gap_before:7.1}  {slowest_before:7.1}"
        );
    };
    for (count, row) in (1..).zip(rows) {
        let Seen {
            requests, failed, ..
        } = &row.during;
        print(&format!("{count}"), *requests, failed.len(), row.times());
    }
    let requests = rows.iter().map(|row| row.during.requests).sum();
    let failed = rows.iter().map(|row| row.during.failed.len()).sum();
    // `part` is how many of ten are no longer than what is shown.
    for (name, part) in [("median", 5), ("worst", 10)] {
        let times = std::array::from_fn(|column| {
            let mut times: Vec<_> = rows.iter().map(|row| row.times()[column]).collect();
            times.sort_unstable();
            times[(times.len() * part / 10).min(times.len() - 1)]
        });
        print(name, requests, failed, times);
    }
}

/// The service, which is built beside us.
fn spec(dir: &Path) -> Result<SpawnSpec, Failure> {
    let binary = env::current_exe()?.with_file_name("http");
    if !binary.exists() {
        return Err(
            "build the example `http` as well: cargo build --release -p handoff-tokio --examples"
                .into(),
        );
    }
    Ok(SpawnSpec {
        binary,
        args: vec![dir.join("control").into(), dir.into()],
        ..SpawnSpec::default()
    })
}

/// From the end of the drain to Ready.
fn closed(report: &Report) -> Duration {
    let at = |wanted: Phase| {
        let mut phases = report.timeline.iter();
        phases.find_map(|(phase, at)| (*phase == wanted).then_some(*at))
    };
    let from = at(Phase::Sealing).unwrap_or_default();
    at(Phase::Committing)
        .unwrap_or(report.took)
        .saturating_sub(from)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

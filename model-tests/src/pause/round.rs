//! One round: a daemon is started afresh, loaded, and handed over once. It is a process of its own, so
//! that it can be traced and slowed down together with the daemons that it starts.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use handoff_std::{Child, SpawnSpec};
use serde::{Deserialize, Serialize};

use super::daemon::{self, LISTENER, Place};
use super::load::{self, Ack, Load, Trouble};
use super::span::{Record, Span, wall_offset};
use super::store::Store;
use super::{Contender, on_mio, on_std, on_tokio, on_v1};

/// Writes that are acknowledged before a handoff is begun, and after it.
const WRITES: u64 = 100;

/// What a round is about, and a daemon in it.
#[derive(Debug, Clone, Args)]
pub struct Part {
    /// What it is built on.
    #[arg(long, value_enum)]
    pub on: Contender,
    /// How long a successor warms up.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub warm_up_ms: u64,
    /// A directory of its own.
    #[arg(long, value_name = "DIR")]
    pub dir: std::path::PathBuf,
}

/// What a handoff is made with.
pub(super) struct Offered {
    pub(super) place: Place,
    pub(super) daemon: SpawnSpec,
    pub(super) listener: TcpListener,
}

/// A handoff that was made.
pub(super) struct Driven {
    pub(super) child: Child,
    /// From the call to its return.
    pub(super) took: Span,
}

/// What came of a round. Times are in nanoseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Round {
    /// From the last write that the incumbent acknowledged to the first that the successor did.
    pub pause: u64,
    /// The part of it in which the daemon neither drained nor sealed nor opened its data nor made its
    /// first writes durable. What was before the drain is not in it: writes were taken until then, and the
    /// clients happened to have none.
    pub own_share: u64,
    /// What it did in the pause: drain, seal, open, the flush of the first writes.
    pub daemon: [u64; 4],
    /// What the library did between: up to the drain, from there to the seal, to the opening, to the first
    /// writes, and until a client had the first answer.
    pub between: [u64; 5],
    /// The handoff, as its caller sees it.
    pub handoff: u64,
    /// What clients saw.
    pub trouble: Trouble,
    /// What finds the pause in a trace.
    pub(super) marks: Marks,
}

/// Where the pause is in a trace, and whose calls do not count.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Marks {
    /// The pause on the wall clock, in nanoseconds.
    pub(super) from: u64,
    pub(super) to: u64,
    /// When the incumbent had drained, and so acknowledged its last write.
    pub(super) drained: u64,
    /// Threads that belong to clients, and the daemons' own.
    pub(super) bystanders: Vec<i32>,
}

/// Kills a daemon that would be left behind.
struct Reaped(Option<Child>);

impl Reaped {
    fn wait(mut self) -> anyhow::Result<()> {
        let mut child = self.0.take().context("waited for twice")?;
        let status = child.wait()?;
        ensure!(status.success(), "a daemon ended with {status}");
        Ok(())
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Plays the daemon.
///
/// # Errors
/// Whatever keeps it from serving.
pub fn be_daemon(part: &Part) -> anyhow::Result<()> {
    let (place, warm_up) = (
        Place(part.dir.clone()),
        Duration::from_millis(part.warm_up_ms),
    );
    match part.on {
        Contender::V1 => on_v1::run(&place, warm_up),
        Contender::Std => on_std::run(&place, warm_up),
        Contender::Tokio => on_tokio::run(&place, warm_up),
        Contender::Mio => on_mio::run(&place, warm_up),
    }
}

/// Plays a round.
///
/// # Errors
/// When the handoff is not committed, or a daemon does not do as it is told.
pub fn play(part: &Part) -> anyhow::Result<Round> {
    let place = daemon::prepare(&part.dir)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let spec = SpawnSpec {
        binary: std::env::current_exe()?,
        args: vec![
            "daemon".into(),
            "--on".into(),
            part.on.name().into(),
            "--warm-up-ms".into(),
            part.warm_up_ms.to_string().into(),
            "--dir".into(),
            part.dir.clone().into_os_string(),
        ],
        ..SpawnSpec::default()
    };
    let old = spec.cold_start(&[(LISTENER, listener.as_fd())])?.child;
    let old_pid = old.id();
    let old = Reaped(Some(old));

    let load = Load::start(address);
    load.wait(WRITES)?;
    let offered = Offered {
        place: place.clone(),
        daemon: spec,
        listener,
    };
    let Driven { child, took } = match part.on {
        Contender::V1 => on_v1::hand_off(offered),
        Contender::Std => on_std::hand_off(offered),
        Contender::Tokio => on_tokio::hand_off(offered),
        Contender::Mio => on_mio::hand_off(offered),
    }?;
    let new_pid = child.id();
    let new = Reaped(Some(child));
    load.wait(WRITES)?;
    let clients = load.threads();
    let (acks, trouble) = load.stop();
    load::quit(address)?;
    old.wait()?;
    new.wait()?;

    let records = [
        Record::read(&place.0, old_pid)?,
        Record::read(&place.0, new_pid)?,
    ];
    let mut round = judge(&acks, &records, [old_pid, new_pid], took)?;
    round.marks.bystanders.extend(clients);
    round.trouble = trouble;
    round.trouble.lost = lost(&place, &acks)?;
    fs::remove_dir_all(&place.0)?;
    Ok(round)
}

/// How many acknowledged writes are not in the data.
fn lost(place: &Place, acks: &[Ack]) -> anyhow::Result<u64> {
    let store = Store::open(&place.data())?;
    let lost = acks
        .iter()
        .filter(|ack| store.get(ack.pair.0) != Some(ack.pair.1));
    Ok(u64::try_from(lost.count())?)
}

fn judge(
    acks: &[Ack],
    [old, new]: &[Record; 2],
    pids: [u32; 2],
    took: Span,
) -> anyhow::Result<Round> {
    let first = acks.iter().find(|ack| ack.pid == pids[1]);
    let first = first.context("the successor has acknowledged nothing")?.at;
    let last = acks.iter().rfind(|ack| ack.pid == pids[0]);
    let last = last.context("the incumbent has acknowledged nothing")?.at;
    ensure!(last < first, "both have acknowledged writes at a time");
    let pause = Span {
        from: last,
        to: first,
    };
    let spans = [old.drain, old.seal, new.open, new.first_write];
    let mut own = Vec::new();
    for span in spans {
        own.push(span.context("a daemon has not told its times")?);
    }
    let share = Span {
        from: own
            .first()
            .map_or(pause.from, |drain| drain.from.max(pause.from)),
        ..pause
    };
    let inside = |span: &Span| pause.nanos() - pause.outside(&[*span]);
    let mut daemon = [0; 4];
    for (nanos, span) in daemon.iter_mut().zip(&own) {
        *nanos = inside(span);
    }
    // Each begins where the one before it has ended, but not before the pause nor after it.
    let starts = own.iter().map(|span| span.from).chain([pause.to]);
    let mut between = [0; 5];
    let mut at = pause.from;
    for ((nanos, start), end) in between
        .iter_mut()
        .zip(starts)
        .zip(own.iter().map(|span| span.to).chain([pause.to]))
    {
        *nanos = start.clamp(at, pause.to) - at;
        at = end.clamp(at, pause.to);
    }
    let offset = wall_offset();
    Ok(Round {
        pause: pause.nanos(),
        own_share: share.outside(&own),
        daemon,
        between,
        handoff: took.nanos(),
        trouble: Trouble::default(),
        marks: Marks {
            from: pause.from + offset,
            to: pause.to + offset,
            drained: spans
                .first()
                .and_then(|span| *span)
                .map_or(0, |span| span.to)
                + offset,
            bystanders: vec![old.server, new.server],
        },
    })
}

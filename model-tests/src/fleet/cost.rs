//! What a process has used, and what it holds, as `/proc` says it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use anyhow::Context;
use rustix::param::clock_ticks_per_second;

/// How often it is looked for a peak.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a process holds at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Holds {
    /// Memory that is there for it, in KiB.
    pub(super) rss_kib: u64,
    /// The same, with its share alone of what is shared.
    pub(super) pss_kib: u64,
    /// The most that the first has ever been.
    pub(super) peak_kib: u64,
    /// Descriptors.
    pub(super) descriptors: usize,
    /// Threads.
    pub(super) threads: usize,
}

impl Holds {
    /// What this process holds.
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn of(pid: u32) -> anyhow::Result<Self> {
        let status = read(pid, "status")?;
        Ok(Self {
            rss_kib: field(&status, "VmRSS:")?,
            pss_kib: field(&read(pid, "smaps_rollup")?, "Pss:")?,
            peak_kib: field(&status, "VmHWM:")?,
            descriptors: entries(pid, "fd"),
            threads: entries(pid, "task"),
        })
    }
}

/// Processor time, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Used {
    /// By the process itself.
    pub(super) own_us: u64,
    /// By its children that have ended.
    pub(super) children_us: u64,
}

impl Used {
    /// What this process has used so far.
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn by(pid: u32) -> anyhow::Result<Self> {
        let stat = read(pid, "stat")?;
        // Behind its name, which may hold anything; proc(5) counts from 1, and the state is the third.
        let rest = stat.rsplit_once(')').context("no stat")?.1;
        let fields: Vec<u64> = rest
            .split_whitespace()
            .map(|field| field.parse().unwrap_or_default())
            .collect();
        let ticks = |at: usize| fields.get(at - 3).copied().unwrap_or_default();
        let micros = |ticks: u64| ticks * 1_000_000 / clock_ticks_per_second();
        Ok(Self {
            own_us: micros(ticks(14) + ticks(15)),
            children_us: micros(ticks(16) + ticks(17)),
        })
    }
}

/// How often the threads of a process have gone to sleep so far, and so were woken.
///
/// # Errors
/// It is gone.
pub(super) fn sleeps(pid: u32) -> anyhow::Result<u64> {
    let mut all = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        // One may end meanwhile.
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        all += field(&status, "voluntary_ctxt_switches:").unwrap_or_default();
    }
    Ok(all)
}

/// Looks for the most threads and descriptors that a process has, for as long as it is wanted.
pub(super) struct Peaks {
    done: Arc<AtomicBool>,
    thread: JoinHandle<(usize, usize)>,
}

impl Peaks {
    pub(super) fn watch(pid: u32) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&done);
        let thread = thread::spawn(move || {
            let mut most = (0, 0);
            while !until.load(Ordering::Relaxed) {
                most.0 = entries(pid, "task").max(most.0);
                most.1 = entries(pid, "fd").max(most.1);
                sleep(LOOK_EVERY);
            }
            most
        });
        Self { done, thread }
    }

    /// The most threads, and the most descriptors.
    pub(super) fn seen(self) -> (usize, usize) {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).with_context(|| path)
}

fn entries(pid: u32, directory: &str) -> usize {
    fs::read_dir(format!("/proc/{pid}/{directory}")).map_or(0, Iterator::count)
}

fn field(text: &str, name: &str) -> anyhow::Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.and_then(|rest| rest.split_whitespace().next());
    Ok(value.with_context(|| format!("no {name}"))?.parse()?)
}

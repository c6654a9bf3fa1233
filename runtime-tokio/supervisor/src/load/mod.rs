//! A load generator for a RESP server on this machine, and the judge of what came of it.
//!
//! It behaves like good clients do: a request whose connection is closed before the answer is sent
//! again on a new connection. It remembers every write that was acknowledged, so that afterwards
//! each can be looked for.

mod client;
mod keys;
mod tally;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use client::{Client, NoReply, Reply};
use keys::{AckedSeqs, Naming};
use tally::Tally;
pub use tally::{Counters, Latency};
use worker::Worker;

/// A request that has no answer after this long has failed, retries included.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// Reads sent at a time when verifying.
const VERIFY_BATCH: usize = 64;
/// Lost keys that are named.
const EXAMPLES: usize = 10;

/// How much load to make. The default is gentle on a machine with two cores.
#[derive(Debug, Clone)]
pub struct LoadConfig {
    /// Workers that keep their connection.
    pub persistent: usize,
    /// Workers that make a new connection for every request.
    pub churn: usize,
    /// What every key begins with. Loads that run at the same time need different ones.
    pub key_prefix: String,
    /// Length of every value, in bytes.
    pub value_len: usize,
    /// How long a worker waits between requests.
    pub think_time: Duration,
}

impl Default for LoadConfig {
    fn default() -> Self {
        Self {
            persistent: 4,
            churn: 2,
            key_prefix: "load".into(),
            value_len: 64,
            think_time: Duration::from_millis(2),
        }
    }
}

/// A load that is running. Dropping it stops it, too.
#[derive(Debug)]
pub struct Load {
    naming: Naming,
    tally: Arc<Tally>,
    stop: Arc<Stop>,
    workers: Vec<JoinHandle<AckedSeqs>>,
}

impl Load {
    /// Starts to load the server at `addr`, which must be on this machine.
    ///
    /// # Errors
    /// When `addr` is elsewhere, or the system has no threads left.
    pub fn start(addr: SocketAddr, config: &LoadConfig) -> io::Result<Self> {
        check_loopback(addr)?;
        let mut load = Self {
            naming: Naming {
                key_prefix: config.key_prefix.clone(),
                value_len: config.value_len,
            },
            tally: Arc::default(),
            stop: Arc::default(),
            workers: Vec::new(),
        };
        for number in 0..config.persistent + config.churn {
            let worker = Worker {
                number,
                addr,
                naming: load.naming.clone(),
                think_time: config.think_time,
                churn: number >= config.persistent,
                tally: Arc::clone(&load.tally),
                stop: Arc::clone(&load.stop),
            };
            let thread = thread::Builder::new().name(format!("load-{number}"));
            load.workers.push(thread.spawn(move || worker.run())?);
        }
        Ok(load)
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.tally.counters()
    }

    /// The longest time between `from` and `to` in which no write of any worker was acknowledged.
    /// The ends of the window count as edges of a gap. Times are kept for the newest million
    /// writes; what is older is left out.
    pub fn write_pause(&self, from: Instant, to: Instant) -> Duration {
        self.tally.write_pause(from, to)
    }

    /// How many writes were acknowledged between `from` and `to`. Times are kept for the newest
    /// million writes.
    pub fn writes_between(&self, from: Instant, to: Instant) -> u64 {
        self.tally.writes_between(from, to)
    }

    /// How long the connects between `from` and `to` took.
    pub fn connect_latency(&self, from: Instant, to: Instant) -> Latency {
        self.tally.connect_latency(from, to)
    }

    /// Why the last failed request failed.
    pub fn last_failure(&self) -> Option<String> {
        self.tally.last_failure()
    }

    /// Stops the load and returns what was acknowledged. Requests under way are given up and count
    /// as nothing.
    pub fn stop(mut self) -> Acked {
        self.stop.set();
        let workers = std::mem::take(&mut self.workers);
        Acked {
            naming: self.naming.clone(),
            // A worker that panicked has nothing to say; the panic is on stderr.
            workers: workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_default())
                .collect(),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.set();
    }
}

/// Every write of a load that was acknowledged.
#[derive(Debug, Clone)]
pub struct Acked {
    naming: Naming,
    workers: Vec<AckedSeqs>,
}

/// What became of acknowledged writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Writes looked for.
    pub checked: u64,
    /// Writes that are not there, or have another value.
    pub lost: u64,
    /// The keys of some of those.
    pub examples: Vec<String>,
}

impl Acked {
    /// How many writes were acknowledged.
    pub fn count(&self) -> u64 {
        self.workers.iter().map(AckedSeqs::count).sum()
    }

    /// Looks for every acknowledged write on the server at `addr`.
    ///
    /// # Errors
    /// When the server does not answer, or with an error.
    pub fn verify(&self, addr: SocketAddr) -> io::Result<Verified> {
        let mut client = Client::connect(addr, REQUEST_LIMIT)?;
        let mut verified = Verified::default();
        let mut batch = Vec::with_capacity(VERIFY_BATCH);
        for (number, acked) in self.workers.iter().enumerate() {
            for seq in acked.iter() {
                batch.push((number, seq));
                if batch.len() == VERIFY_BATCH {
                    self.verify_batch(&mut client, &batch, &mut verified)?;
                    batch.clear();
                }
            }
        }
        self.verify_batch(&mut client, &batch, &mut verified)?;
        Ok(verified)
    }

    fn verify_batch(
        &self,
        client: &mut Client,
        batch: &[(usize, u64)],
        verified: &mut Verified,
    ) -> io::Result<()> {
        let until = Instant::now() + REQUEST_LIMIT;
        let mut requests = Vec::new();
        for (worker, seq) in batch {
            client::get(&mut requests, &self.naming.key(*worker, *seq));
        }
        client
            .send(&requests, until, || true)
            .map_err(io::Error::other)?;
        for (worker, seq) in batch {
            let key = self.naming.key(*worker, *seq);
            match client.receive(until, || true).map_err(io::Error::other)? {
                Reply::Bulk(found) => {
                    verified.checked += 1;
                    if found.is_none_or(|found| found != self.naming.value(*worker, *seq)) {
                        verified.lost += 1;
                        if verified.examples.len() < EXAMPLES {
                            verified.examples.push(key);
                        }
                    }
                }
                other => return Err(io::Error::other(format!("GET {key}: {other:?}"))),
            }
        }
        Ok(())
    }
}

/// Tells the workers to stop.
#[derive(Debug, Default)]
struct Stop {
    is_set: Mutex<bool>,
    told: Condvar,
}

impl Stop {
    fn set(&self) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    fn is_set(&self) -> bool {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps for `time`, or until it is set. Returns whether it is.
    fn wait(&self, time: Duration) -> bool {
        let is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .told
            .wait_timeout_while(is_set, time, |is_set| !*is_set);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A load generator that can be pointed anywhere is a weapon.
fn check_loopback(addr: SocketAddr) -> io::Result<()> {
    if addr.ip().is_loopback() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{addr} is not on this machine; give a loopback address"),
    ))
}

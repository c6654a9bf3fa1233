//! Clients of the measured daemon: each writes one pair after the other over a connection that it keeps,
//! and connects again when that is closed.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::server::QUIT;
use super::span::{locked, now};
use super::store::{Pair, encode};

/// Clients that write at the same time.
const CLIENTS: u32 = 4;
/// What a client does between an acknowledgement and its next write.
const THINK: Duration = Duration::from_micros(500);
/// A request without an answer for this long has failed.
const LIMIT: Duration = Duration::from_secs(10);

/// A write that was acknowledged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ack {
    /// When the client had the answer, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) at: u64,
    /// The process that answered.
    pub(super) pid: u32,
    pub(super) pair: Pair,
}

/// What clients saw that was not an acknowledgement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Connections that were refused.
    pub refused: u64,
    /// Requests that were given up.
    pub failed: u64,
    /// Requests that were sent and never answered: the connection was closed, and they were sent again.
    pub unanswered: u64,
    /// Connections that the daemon closed.
    pub closed: u64,
    /// Acknowledged writes that are not in the data at the end.
    pub lost: u64,
}

#[derive(Default)]
struct Seen {
    acks: Mutex<Vec<Ack>>,
    trouble: Mutex<Trouble>,
    threads: Mutex<Vec<i32>>,
    count: AtomicU64,
    stop: AtomicBool,
}

/// Clients at work.
pub(super) struct Load {
    seen: Arc<Seen>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts them.
    pub(super) fn start(address: SocketAddr) -> Self {
        let seen = Arc::new(Seen::default());
        let clients = (0..CLIENTS).map(|number| {
            let seen = Arc::clone(&seen);
            thread::spawn(move || {
                locked(&seen.threads).push(rustix::thread::gettid().as_raw_nonzero().get());
                write_until_stopped(number, address, &seen);
            })
        });
        let clients = clients.collect();
        Self { seen, clients }
    }

    /// Waits until this many more writes are acknowledged.
    pub(super) fn wait(&self, more: u64) -> anyhow::Result<()> {
        let (goal, until) = (self.count() + more, Instant::now() + LIMIT);
        while self.count() < goal {
            ensure!(Instant::now() < until, "the daemon does not answer");
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn count(&self) -> u64 {
        self.seen.count.load(Ordering::Acquire)
    }

    /// Their threads.
    pub(super) fn threads(&self) -> Vec<i32> {
        locked(&self.seen.threads).clone()
    }

    /// Stops them. What was acknowledged, in the order of time, and what else they saw.
    pub(super) fn stop(self) -> (Vec<Ack>, Trouble) {
        self.seen.stop.store(true, Ordering::Release);
        for client in self.clients {
            // One that panicked has said so on stderr, and what it saw is there.
            let _ = client.join();
        }
        let mut acks = std::mem::take(&mut *locked(&self.seen.acks));
        acks.sort_unstable_by_key(|ack| ack.at);
        (acks, *locked(&self.seen.trouble))
    }
}

fn write_until_stopped(number: u32, address: SocketAddr, seen: &Seen) {
    let mut connection = None;
    let mut sequence = 0;
    while !seen.stop.load(Ordering::Acquire) {
        let pair = (u64::from(number) << 32 | sequence, sequence);
        if let Some(pid) = write(&mut connection, address, pair, seen) {
            let at = now();
            locked(&seen.acks).push(Ack { at, pid, pair });
            seen.count.fetch_add(1, Ordering::AcqRel);
        } else {
            locked(&seen.trouble).failed += 1;
        }
        sequence += 1;
        thread::sleep(THINK);
    }
}

/// Writes a pair, again and again until it is acknowledged. Who did, unless time is up.
fn write(
    connection: &mut Option<TcpStream>,
    address: SocketAddr,
    pair: Pair,
    seen: &Seen,
) -> Option<u32> {
    let until = Instant::now() + LIMIT;
    while Instant::now() < until {
        let stream = match connection {
            Some(stream) => stream,
            None => match connect(address) {
                Ok(stream) => connection.insert(stream),
                Err(error) => {
                    if error.kind() == ErrorKind::ConnectionRefused {
                        locked(&seen.trouble).refused += 1;
                    }
                    continue;
                }
            },
        };
        let sent = stream.write_all(&encode(pair));
        let mut pid = [0; 4];
        if sent.and_then(|()| stream.read_exact(&mut pid)).is_ok() {
            return Some(u32::from_be_bytes(pid));
        }
        *connection = None;
        let mut trouble = locked(&seen.trouble);
        trouble.closed += 1;
        trouble.unanswered += 1;
    }
    None
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// Has the daemon end.
pub(super) fn quit(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = connect(address).context("the daemon cannot be told to end")?;
    stream.write_all(&encode((QUIT, 0)))?;
    // It ends instead of answering.
    let _ = stream.read(&mut [0]);
    Ok(())
}

//! One worker of a load: a client that writes and reads its own keys, one request at a time.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::{self, Client, NoReply, Reply};
use super::keys::{AckedSeqs, Naming};
use super::tally::Tally;
use super::{REQUEST_LIMIT, Stop};

/// How long to wait before a refused connect is tried again.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);

/// A worker, run on a thread of its own.
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) addr: SocketAddr,
    pub(super) naming: Naming,
    pub(super) think_time: Duration,
    /// Whether each request gets a connection of its own.
    pub(super) churn: bool,
    pub(super) tally: Arc<Tally>,
    pub(super) stop: Arc<Stop>,
}

/// How a request ended.
enum Ended {
    Answered(Reply),
    /// Counted as failed already.
    Failed,
    /// The load was stopped.
    Stopped,
}

impl Worker {
    /// Works until the load is stopped; returns the writes that were acknowledged.
    pub(super) fn run(self) -> AckedSeqs {
        let mut acked = AckedSeqs::default();
        let mut connection = None;
        let mut seq = 0;
        let mut rounds: u64 = 0;
        while !self.stop.wait(self.think_time) {
            rounds += 1;
            // Three of ten requests are reads. They walk about in what was acknowledged, by steps
            // of a large prime.
            let read = match rounds % 10 {
                3 | 6 | 9 => acked.pick(rounds.wrapping_mul(2_654_435_761)),
                _ => None,
            };
            let go_on = if let Some(seq) = read {
                self.read(&mut connection, seq)
            } else {
                seq += 1;
                self.write(&mut connection, seq - 1, &mut acked)
            };
            if !go_on {
                break;
            }
            if self.churn {
                connection = None;
            }
        }
        acked
    }

    /// Writes number `seq`. Returns whether to go on.
    fn write(&self, connection: &mut Option<Client>, seq: u64, acked: &mut AckedSeqs) -> bool {
        let mut request = Vec::new();
        let key = self.naming.key(self.number, seq);
        client::set(&mut request, &key, &self.naming.value(self.number, seq));
        match self.request(connection, &request) {
            Ended::Answered(Reply::Simple(ok)) if ok == "OK" => {
                acked.push(seq);
                self.tally.write_acked();
            }
            Ended::Answered(reply) => self.tally.failed(format!("SET {key}: {reply:?}")),
            Ended::Failed => {}
            Ended::Stopped => return false,
        }
        true
    }

    /// Reads what was acknowledged as number `seq`. Returns whether to go on.
    fn read(&self, connection: &mut Option<Client>, seq: u64) -> bool {
        let mut request = Vec::new();
        let key = self.naming.key(self.number, seq);
        client::get(&mut request, &key);
        match self.request(connection, &request) {
            Ended::Answered(Reply::Bulk(found)) => {
                let expected = self.naming.value(self.number, seq);
                let is_there = found.is_some_and(|found| found == expected);
                self.tally.count(|counters| {
                    if is_there {
                        counters.reads += 1;
                    } else {
                        counters.lost += 1;
                    }
                });
            }
            Ended::Answered(reply) => self.tally.failed(format!("GET {key}: {reply:?}")),
            Ended::Failed => {}
            Ended::Stopped => return false,
        }
        true
    }

    /// Sends `request` until it is answered. Both kinds of request may be sent twice: the keys are
    /// this worker's own, so a write that was done without our knowing is done again the same.
    fn request(&self, connection: &mut Option<Client>, request: &[u8]) -> Ended {
        let until = Instant::now() + REQUEST_LIMIT;
        let is_wanted = || !self.stop.is_set();
        loop {
            let mut client = match connection.take() {
                Some(client) => client,
                None => match self.connect(until) {
                    Ok(client) => client,
                    Err(ended) => return ended,
                },
            };
            let reply = client
                .send(request, until, is_wanted)
                .and_then(|()| client.receive(until, is_wanted));
            match reply {
                Ok(reply) => {
                    *connection = Some(client);
                    return Ended::Answered(reply);
                }
                Err(NoReply::Broken(_)) if Instant::now() < until => {
                    self.tally.count(|counters| counters.retried += 1);
                }
                Err(NoReply::Unwanted) => return Ended::Stopped,
                Err(error) => {
                    self.tally.failed(error.to_string());
                    return Ended::Failed;
                }
            }
            if self.stop.is_set() {
                return Ended::Stopped;
            }
        }
    }

    /// Connects, trying again when refused, until `until`.
    fn connect(&self, until: Instant) -> Result<Client, Ended> {
        loop {
            let begun = Instant::now();
            let left = until.saturating_duration_since(begun);
            if left.is_zero() {
                self.tally.failed("no connection in time".into());
                return Err(Ended::Failed);
            }
            match Client::connect(self.addr, left) {
                Ok(client) => {
                    self.tally.connected(begun.elapsed());
                    return Ok(client);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    self.tally.count(|counters| counters.refused += 1);
                }
                // Our own ports are used up, which is no fault of the server.
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {}
                // Reset while it waited in the backlog: nobody has seen the request.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    self.tally.count(|counters| counters.retried += 1);
                }
                Err(error) => {
                    self.tally.failed(format!("connect: {error}"));
                    return Err(Ended::Failed);
                }
            }
            if self.stop.wait(REFUSED_PAUSE) {
                return Err(Ended::Stopped);
            }
        }
    }
}

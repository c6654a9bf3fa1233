//! One client's connection: reads requests, executes them in order, answers.
//!
//! When the epoch is stopped, whatever has arrived by then is executed and answered, a request that is
//! half there gets until the cutoff, and then the connection is closed between two requests. So a request is either answered or was
//! not executed, and a client that finds its connection closed may send it again elsewhere.

use std::io::{self, Read, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::epoch::{Busy, Open, Woken, wait_until};
use super::session::{FLUSH_AT, Flow, Session};

/// Bytes read at a time.
pub(crate) const CHUNK: usize = 16 * 1024;
/// A connection accepted so recently has its first request on the way: a client that connects for one
/// request is answered rather than sent away.
pub(crate) const FRESH: Duration = Duration::from_millis(50);
/// How long a closed connection goes on swallowing what the client still sends.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// Serves `stream` until the client leaves or the epoch is stopped.
pub(crate) fn serve(stream: TcpStream, busy: Busy, open: Open) {
    let mut connection = Connection {
        stream,
        busy,
        session: Session::new(),
        fresh_until: Some(Instant::now() + FRESH),
    };
    let ended = connection.run();
    let Connection { stream, busy, .. } = connection;
    // From here on nothing is executed: a drain need not wait for the farewell.
    drop(busy);
    if let Ok(End::Close) = ended {
        linger(&stream);
    }
    drop((stream, open));
}

/// Closes so that the client gets everything that was sent: closing with bytes unread would reset
/// the connection, and a reset may overtake the answers.
fn linger(mut stream: &TcpStream) {
    if stream.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let until = Instant::now() + LINGER;
    let mut discarded = [0; CHUNK];
    while let Ok(Woken::Ready) = wait_until(stream, PollFlags::IN, until) {
        match stream.read(&mut discarded) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if is_retriable(&error) => {}
            Err(_) => return,
        }
        if Instant::now() >= until {
            return;
        }
    }
}

/// Why a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// We close it.
    Close,
    /// The client has closed it.
    Gone,
}

/// What one read came to.
enum Got {
    Bytes(usize),
    Nothing,
    Eof,
}

struct Connection {
    stream: TcpStream,
    busy: Busy,
    session: Session,
    /// Until when the first request is waited for; `None` once something has come.
    fresh_until: Option<Instant>,
}

impl Connection {
    fn run(&mut self) -> io::Result<End> {
        self.stream.set_nonblocking(true)?;
        self.stream.set_nodelay(true)?;
        loop {
            if let Some(cutoff) = self.busy.epoch().cutoff() {
                return self.finish(cutoff);
            }
            let socket = self.stream.as_fd();
            if self.busy.epoch().wait(socket, PollFlags::IN)? == Woken::Stopped {
                continue;
            }
            match self.read()? {
                Got::Nothing => continue,
                Got::Eof => return Ok(End::Gone),
                Got::Bytes(_) => {}
            }
            if let Flow::Close = self.execute()? {
                return Ok(End::Close);
            }
        }
    }

    /// After the stop: executes what has arrived, and what is half there until `cutoff`.
    fn finish(&mut self, cutoff: Instant) -> io::Result<End> {
        loop {
            let emptied = match self.read()? {
                Got::Eof => return Ok(End::Gone),
                Got::Nothing => true,
                Got::Bytes(count) => {
                    if let Flow::Close = self.execute()? {
                        return Ok(End::Close);
                    }
                    count < CHUNK
                }
            };
            // A client that sends one request after the other would keep us here; what arrives
            // after the socket was found empty is left to the successor.
            let until = match self.fresh_until {
                Some(fresh) => fresh.min(cutoff),
                None if emptied && self.session.at_boundary() => return Ok(End::Close),
                None => cutoff,
            };
            if wait_until(&self.stream, PollFlags::IN, until)? == Woken::Late {
                return Ok(End::Close);
            }
        }
    }

    fn read(&mut self) -> io::Result<Got> {
        let mut chunk = [0; CHUNK];
        match self.stream.read(&mut chunk) {
            Ok(0) => Ok(Got::Eof),
            Ok(count) => {
                self.fresh_until = None;
                self.session.feed(chunk.get(..count).unwrap_or_default());
                Ok(Got::Bytes(count))
            }
            Err(error) if is_retriable(&error) => Ok(Got::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Executes and answers every request that is there.
    fn execute(&mut self) -> io::Result<Flow> {
        loop {
            let epoch = self.busy.epoch();
            let is_late = || epoch.cutoff().is_some_and(|at| Instant::now() >= at);
            let flow = self
                .session
                .execute_durably(&epoch.store, &epoch.status, is_late);
            self.flush()?;
            if flow != Flow::Full {
                return Ok(flow);
            }
        }
    }

    /// Sends the answers, however slowly the client takes them; after a stop, until the cutoff.
    fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while let Some(rest) = self
            .session
            .answers
            .get(sent..)
            .filter(|rest| !rest.is_empty())
        {
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) if is_retriable(&error) => self.wait_writable()?,
                Err(error) => return Err(error),
            }
        }
        self.session.answers.clear();
        self.session.answers.shrink_to(FLUSH_AT);
        Ok(())
    }

    fn wait_writable(&self) -> io::Result<()> {
        let epoch = self.busy.epoch();
        match epoch.cutoff() {
            None => epoch.wait(self.stream.as_fd(), PollFlags::OUT).map(drop),
            Some(cutoff) => match wait_until(&self.stream, PollFlags::OUT, cutoff)? {
                Woken::Late => Err(io::ErrorKind::TimedOut.into()),
                Woken::Ready | Woken::Stopped => Ok(()),
            },
        }
    }
}

pub(crate) fn is_retriable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

//! One client's connection: reads requests, executes them in order, answers.
//!
//! Writes that arrive together are committed together. When the epoch is stopped, whatever has
//! arrived by then is executed and answered, a request that is half there gets until the cutoff,
//! and then the connection is closed between two requests. So a request is either answered or was
//! not executed, and a client that finds its connection closed may send it again elsewhere.

use std::io::{self, Read, Write as _};
use std::mem;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::command::Command;
use super::epoch::{Busy, Open, Woken, wait_until};
use super::resp::{self, Parser};
use super::store::{StoreError, Write};

/// Bytes read at a time.
const CHUNK: usize = 16 * 1024;
/// Answers are sent once there are this many bytes of them.
const FLUSH_AT: usize = 64 * 1024;
/// A connection accepted so recently has its first request on the way: a client that connects for one
/// request is answered rather than sent away.
const FRESH: Duration = Duration::from_millis(50);
/// How long a closed connection goes on swallowing what the client still sends.
const LINGER: Duration = Duration::from_secs(1);

/// Serves `stream` until the client leaves or the epoch is stopped.
pub(crate) fn serve(stream: TcpStream, busy: Busy, open: Open) {
    let mut connection = Connection {
        stream,
        busy,
        parser: Parser::new(),
        fresh_until: Some(Instant::now() + FRESH),
        answers: Vec::new(),
        writes: Vec::new(),
        forms: Vec::new(),
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

/// Whether to go on.
enum Flow {
    Continue,
    Close,
}

/// What one read came to.
enum Got {
    Bytes(usize),
    Nothing,
    Eof,
}

/// What the answer to writes looks like.
enum Form {
    /// One write, answered with `OK`.
    Ok,
    /// So many writes, answered with how many keys there were.
    Count(usize),
}

struct Connection {
    stream: TcpStream,
    busy: Busy,
    parser: Parser,
    /// Until when the first request is waited for; `None` once something has come.
    fresh_until: Option<Instant>,
    answers: Vec<u8>,
    /// Writes understood and not yet handed to the store, and how to answer them.
    writes: Vec<Write>,
    forms: Vec<Form>,
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
                None if emptied && self.parser.at_boundary() => return Ok(End::Close),
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
                self.parser.feed(chunk.get(..count).unwrap_or_default());
                Ok(Got::Bytes(count))
            }
            Err(error) if is_retriable(&error) => Ok(Got::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Executes and answers every request that is there.
    fn execute(&mut self) -> io::Result<Flow> {
        let flow = self.execute_arrived()?;
        self.flush()?;
        Ok(flow)
    }

    fn execute_arrived(&mut self) -> io::Result<Flow> {
        loop {
            let request = match self.parser.next() {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(self.commit()),
                Err(error) => {
                    let text = format!("ERR Protocol error: {error}");
                    return Ok(self.last_words(|answers| resp::error(answers, &text)));
                }
            };
            if self.is_past_cutoff() {
                self.commit();
                return Ok(Flow::Close);
            }
            match Command::parse(request) {
                Ok(Command::Set(write)) => {
                    self.writes.push(write);
                    self.forms.push(Form::Ok);
                }
                Ok(Command::Del(writes)) => {
                    self.forms.push(Form::Count(writes.len()));
                    self.writes.extend(writes);
                }
                Ok(Command::Quit) => {
                    return Ok(self.last_words(|answers| resp::simple(answers, "OK")));
                }
                other => {
                    // Reads see the writes before them.
                    if let Flow::Close = self.commit() {
                        return Ok(Flow::Close);
                    }
                    if let Flow::Close = self.answer(other) {
                        return Ok(Flow::Close);
                    }
                    if self.answers.len() >= FLUSH_AT {
                        self.flush()?;
                    }
                }
            }
        }
    }

    fn is_past_cutoff(&self) -> bool {
        let cutoff = self.busy.epoch().cutoff();
        cutoff.is_some_and(|cutoff| Instant::now() >= cutoff)
    }

    /// Makes the gathered writes durable and answers them. When the store refuses them they were
    /// not done, and closing without an answer says so.
    fn commit(&mut self) -> Flow {
        let forms = mem::take(&mut self.forms);
        if forms.is_empty() {
            return Flow::Continue;
        }
        match self.busy.epoch().store.write(mem::take(&mut self.writes)) {
            Ok(existed) => {
                let mut existed = existed.into_iter();
                for form in forms {
                    match form {
                        Form::Ok => {
                            existed.next();
                            resp::simple(&mut self.answers, "OK");
                        }
                        Form::Count(count) => {
                            let removed = existed.by_ref().take(count).filter(|was| *was).count();
                            resp::integer(&mut self.answers, removed as u64);
                        }
                    }
                }
                Flow::Continue
            }
            Err(StoreError::Refused | StoreError::Closed) => Flow::Close,
            Err(error) => {
                for _ in forms {
                    resp::error(&mut self.answers, &format!("ERR {error}"));
                }
                Flow::Continue
            }
        }
    }

    /// Answers a command that writes nothing, or one that was not understood.
    fn answer(&mut self, command: Result<Command, String>) -> Flow {
        let epoch = self.busy.epoch();
        let answers = &mut self.answers;
        match command {
            Ok(Command::Ping(None)) => resp::simple(answers, "PONG"),
            Ok(Command::Ping(Some(text)) | Command::Echo(text)) => resp::bulk(answers, &text),
            Ok(Command::Get(key)) => match epoch.store.get(&key) {
                Ok(Some(value)) => resp::bulk(answers, &value),
                Ok(None) => resp::nil(answers),
                Err(StoreError::Refused | StoreError::Closed) => return Flow::Close,
                Err(error) => resp::error(answers, &format!("ERR {error}")),
            },
            Ok(Command::DbSize) => resp::integer(answers, epoch.store.len()),
            Ok(Command::Info) => {
                resp::bulk(answers, epoch.status.info(epoch.store.len()).as_bytes());
            }
            Ok(Command::Nothing) => resp::empty_array(answers),
            // Handled by the caller, since they do more than answer.
            Ok(Command::Set(_) | Command::Del(_) | Command::Quit) => {}
            Err(text) => resp::error(answers, &text),
        }
        Flow::Continue
    }

    /// Answers what came before, then says goodbye.
    fn last_words(&mut self, goodbye: impl FnOnce(&mut Vec<u8>)) -> Flow {
        if let Flow::Continue = self.commit() {
            goodbye(&mut self.answers);
        }
        Flow::Close
    }

    /// Sends the answers, however slowly the client takes them; after a stop, until the cutoff.
    fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while let Some(rest) = self.answers.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) if is_retriable(&error) => self.wait_writable()?,
                Err(error) => return Err(error),
            }
        }
        self.answers.clear();
        self.answers.shrink_to(FLUSH_AT);
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

fn is_retriable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

//! The clients: a line is a request, `get KEY` or `set KEY VALUE`, and a line is its answer.
//!
//! Readiness comes once, so whoever has not been read until there was nothing more is remembered and
//! read on in the next turn. When the door closes, each client is answered what it has sent, and its
//! connection is closed between two requests: it connects again, and waits in the kernel's queue.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use crate::store::Store;

/// Bytes read from one client in one turn.
const PIECE: usize = 16 * 1024;
/// The longest request. A longer one ends the connection.
const LONGEST: usize = 64 * 1024;
/// Connections accepted in one turn.
const ACCEPTS: usize = 64;

pub(crate) struct Clients {
    /// The same socket twice: its flags are set through this one.
    door: std::net::TcpListener,
    listener: TcpListener,
    token: Token,
    open: BTreeMap<Token, Client>,
    next: usize,
    /// Those that may have more to say; the door may be one of them.
    ready: BTreeSet<Token>,
    closing: bool,
}

struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// All is said; what still comes is thrown away, since to close now could take back what was said.
    farewell: bool,
}

/// What a client's turn has come to.
enum Turn {
    /// There may be more at once.
    Again,
    /// An event will tell when there is more.
    Wait,
    Gone,
}

impl Clients {
    /// The door has this token, and the clients all that follow.
    pub(crate) fn new(
        door: std::net::TcpListener,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        door.set_nonblocking(true)?; // only now: until Begin the incumbent uses it as well
        let mut listener = TcpListener::from_std(door.try_clone()?);
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Self {
            door,
            listener,
            token,
            open: BTreeMap::new(),
            next: token.0,
            ready: BTreeSet::from([token]),
            closing: false,
        })
    }

    pub(crate) fn ready(&mut self, event: &Event) {
        self.ready.insert(event.token());
    }

    /// Whether there is something to do without an event.
    pub(crate) fn is_busy(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many are served.
    pub(crate) fn count(&self) -> usize {
        let all = self.open.values();
        all.filter(|client| !client.farewell).count()
    }

    /// Lets nobody in any more, and sends everybody away who is between two requests.
    pub(crate) fn close(&mut self) {
        self.closing = true;
        self.ready.extend(self.open.keys());
    }

    /// Sends everybody away, whatever they are at.
    pub(crate) fn close_now(&mut self) {
        self.open.retain(|_, client| client.farewell);
    }

    /// Lets clients in again, also those that came meanwhile.
    pub(crate) fn open(&mut self) -> io::Result<()> {
        self.door.set_nonblocking(true)?; // a successor that did not stay may have changed it
        self.closing = false;
        self.ready.insert(self.token);
        Ok(())
    }

    /// Does a piece of work for each that is ready.
    pub(crate) fn turn(&mut self, registry: &Registry, store: &mut Option<Store>) {
        for token in std::mem::take(&mut self.ready) {
            if token == self.token {
                self.accept(registry);
                continue;
            }
            let Some(client) = self.open.get_mut(&token) else {
                continue;
            };
            match client.turn(store.as_mut(), self.closing) {
                Ok(Turn::Again) => drop(self.ready.insert(token)),
                Ok(Turn::Wait) => {}
                Ok(Turn::Gone) | Err(_) => {
                    self.open.remove(&token);
                    self.ready.insert(self.token); // there may be room for another
                }
            }
        }
    }

    fn accept(&mut self, registry: &Registry) {
        for _ in 0..ACCEPTS {
            if self.closing {
                return;
            }
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    self.next += 1;
                    let token = Token(self.next);
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    if registry.register(&mut stream, token, interest).is_ok() {
                        self.open.insert(token, Client::new(stream));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                // Out of descriptors, most likely: whoever waits keeps waiting, until somebody leaves.
                Err(_) => return,
            }
        }
        self.ready.insert(self.token);
    }
}

impl Client {
    const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            farewell: false,
        }
    }

    fn turn(&mut self, store: Option<&mut Store>, closing: bool) -> io::Result<Turn> {
        if !self.flush()? {
            return Ok(Turn::Wait); // it is read again once it has taken its answers
        }
        let mut piece = [0; PIECE];
        match self.stream.read(&mut piece) {
            Ok(0) => return Ok(Turn::Gone),
            Ok(count) if !self.farewell => self.input.extend(&piece[..count]),
            Ok(_) => return Ok(Turn::Again),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if closing && self.input.is_empty() && !self.farewell {
                    self.farewell = true;
                    self.stream.shutdown(Shutdown::Write)?;
                }
                return Ok(Turn::Wait);
            }
            Err(error) => return Err(error),
        }
        let Some(store) = store else {
            return Ok(Turn::Gone); // sealed: nothing is answered, so nothing was done
        };
        let end = self.input.iter().rposition(|byte| *byte == b'\n');
        let rest = self.input.split_off(end.map_or(0, |end| end + 1));
        for line in std::mem::replace(&mut self.input, rest).split(|byte| *byte == b'\n') {
            if !line.is_empty() {
                let answer = execute(&String::from_utf8_lossy(line), store);
                self.output.extend(answer.as_bytes());
                self.output.push(b'\n');
            }
        }
        if self.input.len() > LONGEST {
            return Ok(Turn::Gone);
        }
        Ok(if self.flush()? {
            Turn::Again
        } else {
            Turn::Wait
        })
    }

    /// Whether all was sent.
    fn flush(&mut self) -> io::Result<bool> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn execute(line: &str, store: &mut Store) -> String {
    let mut words = line.trim_end().splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("get"), Some(key), None) => store.get(key).unwrap_or("nothing").to_owned(),
        (Some("set"), Some(key), Some(value)) => match store.set(key, value) {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("error: {error}"),
        },
        _ => "error: say `get KEY` or `set KEY VALUE`".to_owned(),
    }
}

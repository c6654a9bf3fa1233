//! What one client says and is answered, whatever carries the bytes.
//!
//! Writes that arrive together are committed together.

use std::mem;

use super::command::Command;
use super::epoch::Status;
use super::resp::{self, Parser};
use super::store::{Store, StoreError, Write};

/// Answers are sent once there are this many bytes of them.
pub(super) const FLUSH_AT: usize = 64 * 1024;

/// How far the requests that are there were executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// To the last one.
    Continue,
    /// There are many answers: send them, and go on.
    Full,
    /// The connection is to be closed once the answers are sent.
    Close,
}

/// What the answer to writes looks like.
enum Form {
    /// One write, answered with `OK`.
    Ok,
    /// So many writes, answered with how many keys there were.
    Count(usize),
}

/// Requests in, answers out.
pub(super) struct Session {
    parser: Parser,
    /// To be sent.
    pub(super) answers: Vec<u8>,
    /// Writes understood and not yet handed to the store, and how to answer them.
    writes: Vec<Write>,
    forms: Vec<Form>,
}

impl Session {
    pub(super) fn new() -> Self {
        Self {
            parser: Parser::new(),
            answers: Vec::new(),
            writes: Vec::new(),
            forms: Vec::new(),
        }
    }

    /// Takes bytes as they came. All that came before must have been executed.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.parser.feed(bytes);
    }

    /// Whether it is between two requests.
    pub(super) fn at_boundary(&self) -> bool {
        self.parser.at_boundary()
    }

    /// Executes every request that is there, until there are many answers, or until `is_late`.
    pub(super) fn execute(
        &mut self,
        store: &Store,
        status: &Status,
        is_late: impl Fn() -> bool,
    ) -> Flow {
        loop {
            let request = match self.parser.next() {
                Ok(Some(request)) => request,
                Ok(None) => return self.commit(store),
                Err(error) => {
                    let text = format!("ERR Protocol error: {error}");
                    return self.last_words(store, |answers| resp::error(answers, &text));
                }
            };
            if is_late() {
                self.commit(store);
                return Flow::Close;
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
                    return self.last_words(store, |answers| resp::simple(answers, "OK"));
                }
                other => {
                    // Reads see the writes before them.
                    if let Flow::Close = self.commit(store) {
                        return Flow::Close;
                    }
                    if let Flow::Close = self.answer(other, store, status) {
                        return Flow::Close;
                    }
                    if self.answers.len() >= FLUSH_AT {
                        return Flow::Full;
                    }
                }
            }
        }
    }

    /// Makes the gathered writes durable and answers them. When the store refuses them they were
    /// not done, and closing without an answer says so.
    fn commit(&mut self, store: &Store) -> Flow {
        let forms = mem::take(&mut self.forms);
        if forms.is_empty() {
            return Flow::Continue;
        }
        match store.write(mem::take(&mut self.writes)) {
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
    fn answer(&mut self, command: Result<Command, String>, store: &Store, status: &Status) -> Flow {
        let answers = &mut self.answers;
        match command {
            Ok(Command::Ping(None)) => resp::simple(answers, "PONG"),
            Ok(Command::Ping(Some(text)) | Command::Echo(text)) => resp::bulk(answers, &text),
            Ok(Command::Get(key)) => match store.get(&key) {
                Ok(Some(value)) => resp::bulk(answers, &value),
                Ok(None) => resp::nil(answers),
                Err(StoreError::Refused | StoreError::Closed) => return Flow::Close,
                Err(error) => resp::error(answers, &format!("ERR {error}")),
            },
            Ok(Command::DbSize) => resp::integer(answers, store.len()),
            Ok(Command::Info) => {
                resp::bulk(answers, status.info(store.len()).as_bytes());
            }
            Ok(Command::Nothing) => resp::empty_array(answers),
            // Handled by the caller, since they do more than answer.
            Ok(Command::Set(_) | Command::Del(_) | Command::Quit) => {}
            Err(text) => resp::error(answers, &text),
        }
        Flow::Continue
    }

    /// Answers what came before, then says goodbye.
    fn last_words(&mut self, store: &Store, goodbye: impl FnOnce(&mut Vec<u8>)) -> Flow {
        if let Flow::Continue = self.commit(store) {
            goodbye(&mut self.answers);
        }
        Flow::Close
    }
}

//! What one client says and is answered, whatever carries the bytes.
//!
//! Writes that arrive together are committed together.

use std::mem;

use super::command::Command;
use super::epoch::Status;
use super::resp::{self, Parser};
use super::store::{Existed, Store, StoreError, Write};

/// Answers are sent once there are this many bytes of them.
pub(super) const FLUSH_AT: usize = 64 * 1024;

/// How far the requests that are there were executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// To the last one.
    Continue,
    /// There are many answers: send them, and go on.
    Full,
    /// There are writes: have the store do them, say what came of it, and go on.
    Commit,
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
    /// What comes after them.
    held: Option<Result<Command, String>>,
}

impl Session {
    pub(super) fn new() -> Self {
        Self {
            parser: Parser::new(),
            answers: Vec::new(),
            writes: Vec::new(),
            forms: Vec::new(),
            held: None,
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

    /// Executes requests that are there, with what `store` has to read, unless `is_late`.
    pub(super) fn execute(
        &mut self,
        store: &Store,
        status: &Status,
        is_late: impl Fn() -> bool,
    ) -> Flow {
        loop {
            let command = match self.held.take() {
                Some(command) => command,
                None => match self.parser.next() {
                    Ok(Some(request)) => Command::parse(request),
                    Ok(None) if self.forms.is_empty() => return Flow::Continue,
                    Err(error) if self.forms.is_empty() => {
                        let text = format!("ERR Protocol error: {error}");
                        resp::error(&mut self.answers, &text);
                        return Flow::Close;
                    }
                    // The parser says it again.
                    Ok(None) | Err(_) => return Flow::Commit,
                },
            };
            let late = is_late();
            match command {
                Ok(Command::Set(write)) if !late => {
                    self.writes.push(write);
                    self.forms.push(Form::Ok);
                }
                Ok(Command::Del(writes)) if !late => {
                    self.forms.push(Form::Count(writes.len()));
                    self.writes.extend(writes);
                }
                // Reads see the writes before them.
                other if !self.forms.is_empty() => {
                    self.held = Some(other);
                    return Flow::Commit;
                }
                _ if late => return Flow::Close,
                Ok(Command::Quit) => {
                    resp::simple(&mut self.answers, "OK");
                    return Flow::Close;
                }
                other => {
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

    /// As [`execute`](Self::execute), and has `store` do the writes.
    pub(super) fn execute_durably(
        &mut self,
        store: &Store,
        status: &Status,
        is_late: impl Fn() -> bool,
    ) -> Flow {
        loop {
            match self.execute(store, status, &is_late) {
                Flow::Commit => {
                    let writes = self.take_writes();
                    if let Flow::Close = self.committed(store.write(writes)) {
                        return Flow::Close;
                    }
                }
                flow => return flow,
            }
        }
    }

    /// The writes that were gathered, to be done in one transaction.
    pub(super) fn take_writes(&mut self) -> Vec<Write> {
        mem::take(&mut self.writes)
    }

    /// Answers them: this came of it. When the store refuses them they were not done, and closing
    /// without an answer says so.
    pub(super) fn committed(&mut self, done: Existed) -> Flow {
        let forms = mem::take(&mut self.forms);
        match done {
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
}

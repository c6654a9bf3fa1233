//! The loop around an [`Engine`] that waits with poll(2); the same for all three roles.
//!
//! While it waits, the machine and its host lie on a table for others. So a thread that has the end of an
//! operation hands it in itself, and does what follows from it ([`Caller::end`]): in the pause no thread
//! has to wake another for that. It wakes the loop only if there is something else to wait for by then.

mod caller;
mod watch;

use std::any::Any;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handoff_core::{Input, Role};

use caller::Inside;
pub(crate) use caller::{Call, Caller};
use watch::{Ready, Watch};

use crate::hooks::Progress;
use crate::host::engine::{self, Engine};
pub(crate) use crate::host::engine::{Ended, Host};
use crate::host::{Calls, Clock};

/// A link's socket. The loop may be waiting for it while another thread closes the link.
pub(crate) type Stream = Arc<UnixStream>;

/// The links of a driver.
pub(crate) type Links = engine::Links<Stream>;

/// Wakes another thread.
pub(crate) type Wake = Box<dyn FnOnce() + Send>;

/// A host on threads.
pub(crate) trait Local {
    /// The listener, while there is one.
    fn socket(&self) -> Option<Arc<UnixListener>> {
        None
    }

    /// Which other threads are to be woken after the turn. Not before: on a busy machine one would run at
    /// once, and find the machine taken when it has something to hand in.
    fn wakes(&mut self) -> Vec<Wake> {
        Vec::new()
    }
}

/// Whether the driver is done.
pub(crate) enum Flow<O> {
    Done(O),
    Stopped,
}

/// An engine, before the loop around it runs.
pub(crate) struct Driver<R: Role<L>, const L: usize> {
    pub(crate) engine: Engine<R, L, Stream>,
    calls: Calls<Call>,
    caller: Caller,
}

impl<R: Role<L>, const L: usize> Driver<R, L> {
    pub(crate) fn new(config: R::Config) -> io::Result<Self> {
        let (caller, calls) = Caller::new()?;
        Ok(Self {
            engine: Engine::new(config, Clock::new()),
            calls,
            caller,
        })
    }

    pub(crate) fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// Runs the machine to its end, or until it is stopped. What is left is the caller's.
    pub(crate) fn run<H>(self, host: H) -> (Flow<R::Outcome>, Box<Turn<R, H, L>>)
    where
        H: Host<R, L, Stream> + Local,
    {
        let (table, turn) = self.around(host);
        table.run(turn)
    }

    /// As [`run`](Self::run), and callers hand in the ends of operations themselves.
    pub(crate) fn run_shared<H>(self, host: H) -> (Flow<R::Outcome>, Box<Turn<R, H, L>>)
    where
        H: Host<R, L, Stream> + Local,
        Turn<R, H, L>: Send + 'static,
    {
        let caller = self.caller();
        let (table, turn) = self.around(host);
        let table = Arc::new(table);
        let inside: Arc<dyn Inside> = Arc::clone(&table) as _;
        caller.let_in(Arc::downgrade(&inside));
        drop(inside);
        table.run(turn)
    }

    fn around<H>(self, host: H) -> (Table<R, H, L>, Box<Turn<R, H, L>>) {
        let table = Table {
            bell: self.calls.bell(),
            turn: Mutex::new(None),
        };
        let turn = Turn {
            engine: self.engine,
            host,
            calls: self.calls,
            caller: self.caller,
            stopped: false,
            watched: None,
            panic: None,
        };
        (table, Box::new(turn))
    }
}

/// Where the loop lays down what it takes to have a turn, while it waits. Whoever uses it there keeps the
/// table locked meanwhile.
struct Table<R: Role<L>, H, const L: usize> {
    bell: Arc<UnixStream>,
    turn: Mutex<Option<Box<Turn<R, H, L>>>>,
}

/// What it takes to have a turn with the machine.
pub(crate) struct Turn<R: Role<L>, H, const L: usize> {
    engine: Engine<R, L, Stream>,
    pub(crate) host: H,
    calls: Calls<Call>,
    caller: Caller,
    stopped: bool,
    /// What the loop waits for, while it does.
    watched: Option<Arc<Watch>>,
    /// Of another thread's turn.
    panic: Option<Box<dyn Any + Send>>,
}

impl<R, H, const L: usize> Table<R, H, L>
where
    R: Role<L>,
    H: Host<R, L, Stream> + Local,
{
    fn run(&self, mut turn: Box<Turn<R, H, L>>) -> (Flow<R::Outcome>, Box<Turn<R, H, L>>) {
        turn.start();
        loop {
            let wakes = turn.host.wakes();
            if let Some(flow) = turn.flow() {
                for wake in wakes {
                    wake();
                }
                return (flow, turn);
            }
            let watch = Arc::new(turn.watch());
            turn.watched = Some(Arc::clone(&watch));
            let now = turn.engine.now();
            *self.lock() = Some(turn);
            for wake in wakes {
                wake();
            }
            let ready = watch.wait(&self.bell, now);
            drop(watch);
            turn = self.lock().take().expect("nobody else takes it away");
            turn.go_on(ready);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Turn<R, H, L>>>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R, H, const L: usize> Inside for Table<R, H, L>
where
    R: Role<L>,
    H: Host<R, L, Stream> + Local,
    Turn<R, H, L>: Send,
{
    fn hand_in(&self) -> bool {
        // If another thread has a turn at the table, the loop looks afterwards.
        let Ok(mut table) = self.turn.try_lock() else {
            return false;
        };
        // Nothing lies there while the loop, perhaps this very thread, has its turn, and after its end.
        let Some(turn) = table.as_mut() else {
            return false;
        };
        let Some(watched) = turn.watched.clone() else {
            return false;
        };
        if turn.flow().is_none() && turn.panic.is_none() {
            // A panic is the loop's to unwind with, and not this thread's, which has other things to do.
            let answered = catch_unwind(AssertUnwindSafe(|| turn.answer_calls()));
            turn.panic = answered.err();
        }
        let covered =
            turn.flow().is_none() && turn.panic.is_none() && watched.covers(&turn.watch());
        // Before anybody else has a turn: what comes of that must not be heard of before this.
        for wake in turn.host.wakes() {
            wake();
        }
        covered
    }
}

impl<R, H, const L: usize> Turn<R, H, L>
where
    R: Role<L>,
    H: Host<R, L, Stream> + Local,
{
    fn start(&mut self) {
        self.engine.give(&mut self.host, Input::Start);
    }

    /// How it has ended, once it has.
    fn flow(&self) -> Option<Flow<R::Outcome>> {
        let done = self.engine.outcome().map(Flow::Done);
        done.or_else(|| self.stopped.then_some(Flow::Stopped))
    }

    /// What there is to wait for.
    fn watch(&mut self) -> Watch {
        let listens = self.engine.listens();
        let until = self.engine.wait();
        let links = self.engine.links().iter();
        Watch {
            links: links
                .map(|(link, socket, blocked)| (link, Arc::clone(socket), blocked))
                .collect(),
            listener: self.host.socket().filter(|_| listens),
            until,
        }
    }

    /// The wait has ended.
    fn go_on(&mut self, ready: Ready) {
        // With this a link that was closed meanwhile is closed for good.
        self.watched = None;
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
        if self.flow().is_some() {
            return;
        }
        let Self { engine, host, .. } = self;
        for link in ready.writable {
            engine.writable(host, link);
        }
        for link in ready.readable {
            engine.read(host, link, 1);
        }
        if ready.listener {
            engine.accept(host);
        }
        if ready.calls {
            self.calls.silence();
            self.answer_calls();
        }
        if self.engine.is_due() {
            // Bytes before timeouts: whatever has arrived is handed in before a deadline is.
            self.engine.read_all(&mut self.host);
            self.answer_calls();
            self.engine.declare_deadline(&mut self.host);
        }
    }

    fn answer_calls(&mut self) {
        for call in self.calls.queued() {
            match call {
                Call::Ended(ended) => self.engine.end(&mut self.host, ended),
                Call::Progress => {
                    if let Some(Progress {
                        sealed,
                        total,
                        revision,
                    }) = self.caller.take_progress()
                    {
                        let input = Input::Progress {
                            sealed,
                            total,
                            revision,
                        };
                        self.engine.give(&mut self.host, input);
                    }
                }
                Call::Probation(verdict) => {
                    self.engine.give(&mut self.host, Input::Probation(verdict));
                }
                Call::Stop => self.stopped = true,
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! A socket with clients that write one line and get one line, perhaps with others before it: the trigger
//! socket of a service, and the supervisor's own.
//!
//! Nobody holds up anybody: every client is a task, and its time is limited but for the time that its
//! answer takes. Of what it does not read, no more than a line is kept for it. How many of them wait for
//! an answer is limited, for one user and for all: they may wait for as long as a handoff takes.

mod guests;
#[cfg(test)]
mod line_tests;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use handoff_std::host::{Accept, ControlListener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

pub(super) use guests::Guests;

use super::crowd::{Crowd, Full, Place};
use super::limits;
use super::readiness::Readiness;

/// How many clients may be in that have not asked yet; beyond that the oldest of them goes.
const SILENT: usize = 64;
/// How long the door stays shut before one of them goes. Commands for hundreds of services may come in at
/// once, and what they have said already is read meanwhile.
const TURN: Duration = Duration::from_millis(1);
/// How long the listener is left alone when the system is short of something.
const REST: Duration = Duration::from_millis(100);
/// How long a client may take to write its line, and again to read its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a client may say after its line before it is not listened to any more, in bytes.
const CHATTER: usize = 65_536;
/// How many clients of one user may be in that have asked, at all doors together. Commands for some hundreds
/// of services may wait at once, and be watched meanwhile.
const OF_ONE: usize = 640;
/// The same for all users but root and our own. Each is a descriptor, which is reckoned with.
const OF_ALL: usize = limits::CLIENTS;
/// How long answers may take that are on their way when the door closes.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Those who have asked and are not answered yet, at all doors together.
pub(super) fn crowd() -> Crowd {
    Crowd::new(OF_ONE, OF_ALL)
}

/// What a client asks.
pub(super) struct Asked {
    /// Who it is.
    pub(super) uid: u32,
    /// Its line without the line break.
    pub(super) line: Result<Vec<u8>, Unheard>,
    /// Itself, while it waits for the answer.
    pub(super) client: Client,
}

/// Why a client is answered without being heard. The words go to it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unheard {
    #[error("the line is too long, at most {0} bytes are possible")]
    TooLong(usize),
    #[error("too many clients wait for an answer, {0}; try again when one of them has left")]
    TooMany(#[from] Full),
}

/// What a client is answered.
pub(super) struct Answer {
    pub(super) text: String,
    /// Something that it has until it is written.
    pub(super) place: Option<Place>,
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self { text, place: None }
    }
}

/// A client that waits for its answer.
pub(super) struct Client {
    lines: mpsc::Sender<String>,
    shut: Arc<Notify>,
}

impl Client {
    /// One whose lines come out here; it has room for one.
    #[cfg(test)]
    pub(super) fn stand_in() -> (Self, mpsc::Receiver<String>) {
        let (lines, said) = mpsc::channel(1);
        let shut = Arc::default();
        (Self { lines, shut }, said)
    }

    /// Writes a line before the answer. Waits for a client that reads slowly, but not for long; false
    /// if it has left, or does not read at all.
    pub(super) async fn say(&self, line: String) -> bool {
        self.lines.send(line).await.is_ok()
    }

    /// Waits until it has left, or has shut its side of the connection down. To be asked once.
    pub(super) async fn shut(&self) {
        self.shut.notified().await;
    }
}

/// A socket that is bound.
pub(super) struct Door {
    listener: ControlListener,
    ready: Readiness,
    guests: Guests,
    hall: Hall,
}

/// What a client comes upon.
#[derive(Clone)]
struct Hall {
    /// Those who have asked, here and at other doors.
    crowd: Crowd,
    /// The longest line, with its line break, in bytes.
    longest: usize,
}

impl Door {
    /// Binds it, in place of one that was there. Of those who ask, no more than fit into the crowd wait.
    ///
    /// # Errors
    /// What is wrong with the path, or the system's.
    pub(super) fn bind(
        path: &Path,
        guests: Guests,
        crowd: Crowd,
        longest: usize,
    ) -> anyhow::Result<Self> {
        let listener = ControlListener::bind(path)?;
        guests.open(path)?;
        Ok(Self {
            ready: Readiness::of(listener.as_fd())?,
            listener,
            guests,
            hall: Hall { crowd, longest },
        })
    }

    /// Lets clients in until `close` is sent or dropped. What `answer` says goes to them.
    pub(super) async fn serve<F>(
        mut self,
        mut close: oneshot::Receiver<()>,
        answer: impl Fn(Asked) -> F + Clone + Send + 'static,
    ) where
        F: Future<Output = Answer> + Send + 'static,
    {
        let mut clients = Clients::default();
        loop {
            tokio::select! {
                _ = &mut close => break,
                stream = self.accept() => {
                    let asked = Arc::new(AtomicBool::new(false));
                    let client = attend(stream, self.hall.clone(), Arc::clone(&asked), answer.clone());
                    clients.add(asked, client).await;
                }
            }
        }
        clients.finish().await;
    }

    /// The next client that may come in.
    async fn accept(&mut self) -> (UnixStream, u32) {
        loop {
            match self.listener.accept(&self.guests.get()) {
                Accept::Accepted(stream, peer) => match UnixStream::from_std(stream) {
                    Ok(stream) => return (stream, peer.uid),
                    Err(error) => tracing::warn!(%error, "a client cannot be attended to"),
                },
                Accept::WouldBlock => poll_fn(|cx| self.ready.poll(cx)).await,
                Accept::Retry => {}
                Accept::Refused { uid } => {
                    tracing::warn!(
                        uid,
                        "this user may not ask for anything; see allowed_uids, or --allow-uid"
                    );
                }
                Accept::BackOff(error) => {
                    tracing::warn!(%error, "cannot accept clients for now");
                    sleep(REST).await;
                }
                Accept::Broken(error) => {
                    tracing::error!(%error, "a socket is broken; binding it again");
                    let path = self.listener.file().path().to_path_buf();
                    match self.bind_again(&path) {
                        Ok(door) => *self = door,
                        Err(error) => tracing::error!("it cannot be bound: {error:#}"),
                    }
                    sleep(REST).await;
                }
            }
            // Refused ones may come without end.
            tokio::task::yield_now().await;
        }
    }

    fn bind_again(&self, path: &Path) -> anyhow::Result<Self> {
        let Hall { crowd, longest } = self.hall.clone();
        Self::bind(path, self.guests.clone(), crowd, longest)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Err(error) = self.listener.file().unlink_if_ours() {
            tracing::warn!(%error, "a socket cannot be removed");
        }
    }
}

/// Those who are in.
#[derive(Default)]
struct Clients {
    tasks: JoinSet<()>,
    /// Those that have not asked yet, the oldest first.
    silent: VecDeque<(AbortHandle, Arc<AtomicBool>)>,
}

impl Clients {
    async fn add(
        &mut self,
        asked: Arc<AtomicBool>,
        client: impl Future<Output = ()> + Send + 'static,
    ) {
        while self.tasks.try_join_next().is_some() {}
        if self.count_silent() >= SILENT {
            sleep(TURN).await;
        }
        if self.count_silent() >= SILENT
            && let Some((task, _)) = self.silent.pop_front()
        {
            task.abort();
        }
        self.silent.push_back((self.tasks.spawn(client), asked));
    }

    fn count_silent(&mut self) -> usize {
        let is_silent = |asked: &AtomicBool| !asked.load(Ordering::Relaxed);
        self.silent
            .retain(|(task, asked)| is_silent(asked) && !task.is_finished());
        self.silent.len()
    }

    /// Lets answers reach their clients that are on their way.
    async fn finish(mut self) {
        self.count_silent();
        for (task, _) in &self.silent {
            task.abort();
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // Whoever has not read by then gets nothing.
        let _ = timeout(LAST_WORDS, all).await;
    }
}

/// One client, from its line to its answer.
async fn attend<F: Future<Output = Answer>>(
    (mut stream, uid): (UnixStream, u32),
    hall: Hall,
    asked: Arc<AtomicBool>,
    answer: impl Fn(Asked) -> F,
) {
    let Ok(Ok(Some(line))) = timeout(PATIENCE, read(&mut stream, hall.longest)).await else {
        return;
    };
    asked.store(true, Ordering::Relaxed);
    let place = hall.crowd.enter(uid);
    let heard = place.as_ref().map_err(|full| Unheard::from(*full));
    let line = heard.and_then(|_| line.ok_or(Unheard::TooLong(hall.longest)));
    if !converse(&mut stream, (uid, line), answer).await {
        return;
    }
    let last = async {
        stream.shutdown().await?;
        // What is left unread at a close would reach the client as an error, perhaps before its
        // answer does.
        let mut rest = [0; 4096];
        for _ in 0..16 {
            if !matches!(stream.try_read(&mut rest), Ok(1..)) {
                break;
            }
        }
        io::Result::Ok(())
    };
    let _ = timeout(PATIENCE, last).await;
}

/// Writes what the client is told, to the end. False if it has left, or does not read it; what it has
/// asked for goes on then, and is waited for.
async fn converse<F: Future<Output = Answer>>(
    stream: &mut UnixStream,
    (uid, line): (u32, Result<Vec<u8>, Unheard>),
    answer: impl Fn(Asked) -> F,
) -> bool {
    let (reader, mut writer) = stream.split();
    let (lines, mut said) = mpsc::channel(1);
    let shut = Arc::new(Notify::new());
    let mut listen = pin!(listen(reader, Arc::clone(&shut)));
    let client = Client { lines, shut };
    let mut answer = pin!(answer(Asked { uid, line, client }));
    let Answer {
        text,
        place: _place,
    } = loop {
        tokio::select! {
            // A line that was said before the answer comes before it.
            biased;
            Some(line) = said.recv() => {
                if !write(&mut writer, &line).await {
                    drop(said);
                    answer.await;
                    return false;
                }
            }
            answer = &mut answer => break answer,
            () = &mut listen => {}
        }
    };
    while let Ok(line) = said.try_recv() {
        if !write(&mut writer, &line).await {
            return false;
        }
    }
    write(&mut writer, &text).await
}

/// One line. False if the client has left, or does not read it.
async fn write(to: &mut WriteHalf<'_>, text: &str) -> bool {
    // Whatever the words hold, it is one line.
    let mut bytes = text.replace(char::is_control, " ").into_bytes();
    bytes.push(b'\n');
    matches!(timeout(PATIENCE, to.write_all(&bytes)).await, Ok(Ok(())))
}

/// Takes in what a client says after its line, and tells when it has nothing more to say. Goes on for
/// ever.
async fn listen(mut from: ReadHalf<'_>, shut: Arc<Notify>) {
    let mut bytes = [0; 1024];
    let mut room = CHATTER;
    while room > 0 {
        match from.read(&mut bytes).await {
            Ok(0) | Err(_) => {
                shut.notify_one();
                break;
            }
            Ok(count) => room = room.saturating_sub(count),
        }
    }
    std::future::pending::<()>().await;
}

/// A line: `None` if the client has nothing to say, `Some(None)` if it says too much.
async fn read(stream: &mut UnixStream, longest: usize) -> io::Result<Option<Option<Vec<u8>>>> {
    let mut line = Vec::new();
    let mut bytes = [0; 1024];
    loop {
        let room = longest.saturating_sub(line.len()).min(bytes.len());
        let room = bytes.get_mut(..room).unwrap_or_default();
        if room.is_empty() {
            return Ok(Some(None));
        }
        let count = stream.read(room).await?;
        let new = room.get(..count).unwrap_or_default();
        if let Some(end) = new.iter().position(|byte| *byte == b'\n') {
            line.extend(new.iter().take(end));
            return Ok(Some(Some(line)));
        }
        line.extend_from_slice(new);
        if count == 0 {
            // A client that shuts its side down has said all it wanted to say.
            return Ok((!line.is_empty()).then_some(Some(line)));
        }
    }
}

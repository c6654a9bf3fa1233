//! What has happened to each service, kept in a file of its own: `NAME.history` in the state directory.
//!
//! One task keeps it for all services. It hears of what happens outside of any pause, writes it on a
//! blocking thread, and answers questions in between, so that an answer holds all that came before it.
//! What has happened meanwhile is written in one go: hundreds of handoffs may end at once.

mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

use super::events::Events;
use crate::operate::event::{Event, What, Why};
use file::HistoryFile;
pub(super) use file::Past;

/// Questions that may wait.
const QUESTIONS: usize = 16;

/// Where one asks for what has happened.
#[derive(Clone)]
pub(super) struct History(mpsc::Sender<Question>);

enum Question {
    /// The last events of this service, so many of them.
    Past(String, usize, oneshot::Sender<Past>),
    /// The last handoff of this service.
    Last(String, oneshot::Sender<Option<Arc<Event>>>),
}

impl Question {
    /// Whether nobody waits for the answer any more.
    fn is_idle(&self) -> bool {
        match self {
            Self::Past(.., reply) => reply.is_closed(),
            Self::Last(_, reply) => reply.is_closed(),
        }
    }
}

impl History {
    /// Keeps what happens in this directory, until nothing happens any more. The task has ended once
    /// all of it is written.
    pub(super) fn keep(state_dir: PathBuf, events: Events) -> (Self, JoinHandle<()>) {
        let (ask, questions) = mpsc::channel(QUESTIONS);
        let keeper = Keeper {
            state_dir,
            last: BTreeMap::new(),
        };
        (Self(ask), tokio::spawn(keeper.run(events, questions)))
    }

    /// One whose disk hangs.
    #[cfg(test)]
    pub(super) fn that_hangs() -> Self {
        let (ask, questions) = mpsc::channel(QUESTIONS);
        std::mem::forget(questions);
        Self(ask)
    }

    /// The last events of this service, the oldest first. Waits for the disk.
    pub(super) async fn past(&self, service: &str, limit: usize) -> Past {
        let (reply, told) = oneshot::channel();
        let question = Question::Past(service.into(), limit, reply);
        // Nobody is there to answer when all is over.
        let _ = self.0.send(question).await;
        told.await.unwrap_or_default()
    }

    /// The last handoff of this service.
    pub(super) async fn last(&self, service: &str) -> Option<Arc<Event>> {
        let (reply, told) = oneshot::channel();
        let _ = self.0.send(Question::Last(service.into(), reply)).await;
        told.await.ok().flatten()
    }
}

/// The task.
struct Keeper {
    state_dir: PathBuf,
    /// The last handoff of every service that it is known of.
    last: BTreeMap<String, Option<Arc<Event>>>,
}

impl Keeper {
    async fn run(mut self, mut events: Events, mut questions: mpsc::Receiver<Question>) {
        loop {
            tokio::select! {
                // What has happened first: it may be what is asked for.
                biased;
                event = events.recv() => match event {
                    Ok(event) => self.take(event, &mut events).await,
                    Err(RecvError::Lagged(count)) => complain(count),
                    Err(RecvError::Closed) => return,
                },
                Some(question) = questions.recv() => if !question.is_idle() {
                    self.answer(question).await;
                },
            }
        }
    }

    /// Writes an event, and those that wait behind it.
    async fn take(&mut self, first: Arc<Event>, events: &mut Events) {
        let mut lines = Vec::new();
        let mut next = Ok(first);
        loop {
            match next {
                Ok(event) if is_kept(&event.what) => {
                    if matches!(event.what, What::HandoffEnded(_)) {
                        let last = Some(Arc::clone(&event));
                        self.last.insert(event.service.clone(), last);
                    }
                    lines.push((self.file(&event.service), event));
                }
                Ok(_) => {}
                Err(TryRecvError::Lagged(count)) => complain(count),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
            next = events.try_recv();
        }
        if lines.is_empty() {
            return;
        }
        let write = move || {
            for (file, event) in lines {
                if let Err(error) = file.append(&event) {
                    tracing::error!("an event is missing in the history: {error:#}");
                } else if let Err(error) = file.bound() {
                    tracing::warn!("a file of the history grows, and misses nothing: {error:#}");
                }
            }
        };
        let _ = spawn_blocking(write).await;
    }

    async fn answer(&mut self, question: Question) {
        // Who has left in the meantime misses the answer.
        match question {
            Question::Past(service, limit, reply) => {
                let _ = reply.send(self.past(&service, limit).await);
            }
            Question::Last(service, reply) => {
                let last = match self.last.get(&service) {
                    Some(known) => known.clone(),
                    None => self.find_last(service).await,
                };
                let _ = reply.send(last);
            }
        }
    }

    async fn past(&self, service: &str, limit: usize) -> Past {
        let file = self.file(service);
        let read = spawn_blocking(move || file.read(limit)).await;
        match read {
            Ok(Ok(past)) => past,
            Ok(Err(error)) => Past::unreadable(format!("{error:#}")),
            Err(error) => Past::unreadable(error.to_string()),
        }
    }

    async fn find_last(&mut self, service: String) -> Option<Arc<Event>> {
        let past = self.past(&service, usize::MAX).await;
        let mut handoffs = past.events.into_iter().rev();
        let last = handoffs.find(|event| matches!(event.what, What::HandoffEnded(_)));
        let last = last.map(Arc::new);
        self.last.insert(service, last.clone());
        last
    }

    fn file(&self, service: &str) -> HistoryFile {
        HistoryFile::new(self.state_dir.join(format!("{service}.history")))
    }
}

fn complain(count: u64) {
    tracing::error!(
        count,
        "events are missing in the history: its files are written too slowly"
    );
}

/// Whether an operator will want to know it later. The end of a daemon that is replaced belongs to its
/// handoff.
fn is_kept(what: &What) -> bool {
    match what {
        What::DaemonStarted { .. } | What::DaemonFound { .. } | What::HandoffEnded(_) => true,
        What::DaemonEnded { why, .. } => matches!(why, Why::ByItself | Why::Stopped),
        _ => false,
    }
}

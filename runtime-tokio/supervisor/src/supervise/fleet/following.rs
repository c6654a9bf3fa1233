//! A client that is told what happens, a line for each event.

use std::sync::Arc;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::door::Client;
use super::events::Events;
use crate::operate::event::Event;
use crate::operate::protocol::Reply;

/// What is yet to be told. No future of it loses an event when it is dropped.
pub(super) struct Following<W> {
    events: Events,
    wanted: W,
    /// What could not be said yet.
    unsaid: Option<String>,
}

impl<W: Fn(&Event) -> bool> Following<W> {
    /// Of these events those that are `wanted`.
    pub(super) const fn new(events: Events, wanted: W) -> Self {
        Self {
            events,
            wanted,
            unsaid: None,
        }
    }

    /// Tells the client as it happens, until nothing will happen any more or the client has left.
    pub(super) async fn go_on(&mut self, client: &Client) {
        while self.say(client).await {
            match self.events.recv().await {
                Ok(event) => self.take(&event),
                Err(RecvError::Lagged(count)) => self.miss(count),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Tells the client what has happened already.
    pub(super) async fn catch_up(&mut self, client: &Client) {
        // What comes meanwhile has nothing to do with what it waits for.
        let mut left = self.events.len();
        while self.say(client).await && left > 0 {
            left = left.saturating_sub(1);
            match self.events.try_recv() {
                Ok(event) => self.take(&event),
                Err(TryRecvError::Lagged(count)) => self.miss(count),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn take(&mut self, event: &Arc<Event>) {
        if (self.wanted)(event) {
            self.unsaid = Some(written(&Reply::Event(Box::new((**event).clone()))));
        }
    }

    fn miss(&mut self, count: u64) {
        self.unsaid = Some(written(&Reply::Missed { count }));
    }

    /// Whether the client is still there.
    async fn say(&mut self, client: &Client) -> bool {
        let Some(line) = &self.unsaid else {
            return true;
        };
        let said = client.say(line.clone()).await;
        self.unsaid = None;
        said
    }
}

/// Text and numbers can always be written.
pub(super) fn written(reply: &Reply) -> String {
    serde_json::to_string(reply).unwrap_or_default()
}

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;
    use crate::operate::event::What;
    use crate::supervise::fleet::events::{BACKLOG, Hub, Teller};

    fn tell(teller: &Teller, pid: u32) {
        let how = String::new();
        let why = crate::operate::event::Why::Stopped;
        teller.tell(None, What::DaemonEnded { pid, how, why });
    }

    /// The pids of the events that were said, and how many are missing.
    fn said(lines: &mut mpsc::Receiver<String>) -> (Vec<u32>, u64) {
        let (mut pids, mut missing) = (Vec::new(), 0);
        while let Ok(line) = lines.try_recv() {
            match serde_json::from_str(&line).unwrap() {
                Reply::Event(event) => match event.what {
                    What::DaemonEnded { pid, .. } => pids.push(pid),
                    other => panic!("{other:?}"),
                },
                Reply::Missed { count } => missing += count,
                other => panic!("{other:?}"),
            }
        }
        (pids, missing)
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_said_in_time_comes_before_the_answer() {
        let hub = Hub::new();
        let teller = hub.teller("a");
        let events = hub.visitors().follow().unwrap();
        let (client, mut lines) = Client::stand_in();
        let mut following = Following::new(events, |event: &Event| event.service == "a");
        tell(&hub.teller("b"), 9);
        for pid in 0..5 {
            tell(&teller, pid);
        }
        // One line has room, and the next one is waited with.
        let wait = Duration::from_secs(1);
        assert!(timeout(wait, following.go_on(&client)).await.is_err());
        let mut all = said(&mut lines).0;
        let collect = async {
            loop {
                let (mut pids, _) = said(&mut lines);
                all.append(&mut pids);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = following.catch_up(&client) => {}
            () = collect => {}
        }
        all.extend(said(&mut lines).0);
        assert_eq!(all, [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn who_reads_too_slowly_is_told_how_much_is_missing() {
        let hub = Hub::new();
        let teller = hub.teller("a");
        let events = hub.visitors().follow().unwrap();
        let (client, mut lines) = Client::stand_in();
        let mut following = Following::new(events, |_: &Event| true);
        let count = u32::try_from(BACKLOG).unwrap() + 3;
        for pid in 0..count {
            tell(&teller, pid);
        }
        drop((hub, teller));
        let (mut pids, mut missing) = (Vec::new(), 0);
        let task = tokio::spawn(async move { following.go_on(&client).await });
        while !(task.is_finished() && lines.is_empty()) {
            let (mut more, count) = said(&mut lines);
            pids.append(&mut more);
            missing += count;
            tokio::task::yield_now().await;
        }
        assert_eq!(missing, 3);
        assert_eq!(pids, (3..count).collect::<Vec<_>>());
    }
}

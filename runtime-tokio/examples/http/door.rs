//! The door of an HTTP/1.1 service: accepts connections, and can be closed without a failed request.
//!
//! A server may close a connection that waits for its next request at any time, and the request that
//! is on its way then fails. So no connection is closed that a client may still use:
//!
//! - Every answer says for how long the connection may be idle (`Keep-Alive: timeout`), and it is
//!   closed some time after that.
//! - When the door closes, every answer says `Connection: close`. Meanwhile new connections are let in
//!   as well, for one request each, so nobody waits for those that are idle.
//! - Once every connection from before has had its last answer, or was idle for too long, and nobody
//!   has just been let in who is about to speak, nobody is let in any more: whoever comes waits in the
//!   kernel's queue, for the successor or for [`Door::open`]. That is the pause; what is left in it
//!   are requests under way.
//!
//! hyper's own `graceful_shutdown` closes idle connections at once, so it is called only when every
//! one that is left was idle for longer than it was told, or has said nothing since it was let in.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

/// How long a connection may be idle, as every answer says. The `2` in the header is this.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// How much longer it is really kept: for a request that was sent at the last moment.
const SLACK: Duration = Duration::from_secs(1);

/// How long those are waited for who were let in while the door closes, and have not spoken yet. A
/// browser may connect long before it does.
const LAST_CALL: Duration = Duration::from_millis(100);

/// How long they are waited for at most while nobody is served.
const LAST_WORD: Duration = Duration::from_millis(20);

/// How long closing takes at most, if nobody says otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How far the door is closed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Open,
    /// Every answer says that the connection is closed.
    Closing,
    /// And nobody is let in.
    Closed,
    /// And whoever is idle is sent away.
    Empty,
}

pub(crate) struct Door {
    listener: TcpListener,
    routes: Router,
    state: watch::Sender<State>,
    /// Held while somebody is let in.
    threshold: Mutex<()>,
    /// Connections from before the door began to close, and those that came since.
    guests: [watch::Sender<u32>; 2],
    /// How many of the latter are waited for to speak.
    silent: watch::Sender<u32>,
}

impl Door {
    pub(crate) fn new(listener: TcpListener, routes: Router) -> Self {
        Self {
            listener,
            routes,
            state: watch::Sender::new(State::Open),
            threshold: Mutex::new(()),
            guests: [watch::Sender::new(0), watch::Sender::new(0)],
            silent: watch::Sender::new(0),
        }
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> u32 {
        self.guests.iter().map(|guests| *guests.borrow()).sum()
    }

    /// Lets connections in again.
    pub(crate) fn open(&self) -> io::Result<()> {
        handoff_tokio::nonblocking(&self.listener)?;
        self.state.send_replace(State::Open);
        Ok(())
    }

    /// Closes the door, in about half of `patience` at most; can be dropped, and then it is to be
    /// opened again. Returns how many connections are still open.
    pub(crate) async fn close(&self, patience: Duration) -> u32 {
        let patience = patience.min(PATIENCE) / 2;
        self.at_least(State::Closing);
        let [before, since] = &self.guests;
        // Everybody is served meanwhile, so this may take its time.
        let good_moment = async {
            none(before).await;
            none(&self.silent).await;
        };
        let _ = timeout(patience.min(KEEP_ALIVE + 2 * SLACK), good_moment).await;

        self.at_least(State::Closed);
        // Whoever was being let in at that moment is counted by now.
        drop(self.threshold.lock().await);
        let _ = timeout(LAST_WORD, none(&self.silent)).await;
        // Requests under way are still answered.
        self.at_least(State::Empty);
        let everybody = async { tokio::join!(none(before), none(since)) };
        let _ = timeout(patience, everybody).await;
        self.connections()
    }

    /// A door that is being closed twice, for a handoff and because the service is told to stop, is not
    /// opened a little by the second time.
    fn at_least(&self, state: State) {
        self.state.send_modify(|now| *now = state.max(*now));
    }

    /// Accepts for as long as it is awaited.
    pub(crate) async fn accept(self: Arc<Self>) {
        loop {
            self.reached(|state| state < State::Closed).await;
            let _threshold = self.threshold.lock().await;
            tokio::select! {
                biased;
                () = self.reached(|state| state >= State::Closed) => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => drop(tokio::spawn(serve(stream, Guest::new(&self)))),
                    // Out of descriptors, most likely: whoever waits keeps waiting.
                    Err(_) => sleep(Duration::from_millis(50)).await,
                },
            }
        }
    }

    async fn reached(&self, wanted: impl Fn(State) -> bool) {
        // The sender is in `self`, so it does not go away.
        let mut state = self.state.subscribe();
        let _ = state.wait_for(|state| wanted(*state)).await;
    }
}

/// Waits until nobody is left.
async fn none(guests: &watch::Sender<u32>) {
    let _ = guests.subscribe().wait_for(|count| *count == 0).await;
}

/// Counts a connection for as long as it is open.
struct Guest {
    door: Arc<Door>,
    since: usize,
    /// Whether it is waited for to speak.
    silent: AtomicBool,
}

impl Guest {
    fn new(door: &Arc<Door>) -> Self {
        let since = usize::from(*door.state.borrow() > State::Open);
        door.guests[since].send_modify(|count| *count += 1);
        if since == 1 {
            door.silent.send_modify(|count| *count += 1);
        }
        Self {
            door: Arc::clone(door),
            since,
            silent: AtomicBool::new(since == 1),
        }
    }

    /// It has spoken, or is no longer waited for.
    fn heard(&self) {
        if self.silent.swap(false, Ordering::Relaxed) {
            self.door.silent.send_modify(|count| *count -= 1);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.heard();
        self.door.guests[self.since].send_modify(|count| *count -= 1);
    }
}

/// Serves one connection to its end.
async fn serve(stream: TcpStream, guest: Guest) {
    let door = &guest.door;
    let answer = service_fn(|request: hyper::Request<Incoming>| {
        guest.heard();
        let answer = door.routes.clone().oneshot(request);
        async move {
            let mut answer = answer.await?;
            let headers = answer.headers_mut();
            if *door.state.borrow() > State::Open {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            } else {
                headers.insert("keep-alive", HeaderValue::from_static("timeout=2"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // From the last answer to the end of the next request's head: whoever is idle for longer is
        // closed, and so is whoever sends half a head, for whom everybody else would wait.
        .header_read_timeout(KEEP_ALIVE + SLACK)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    let sent_away = async {
        let empty = || door.reached(|state| state == State::Empty);
        let _ = timeout(LAST_CALL, empty()).await;
        guest.heard();
        empty().await;
    };
    tokio::select! {
        _ = &mut connection => return,
        () = sent_away => {}
    }
    // It is idle, or it is closed when its request is answered.
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

//! What systemd is told (`sd_notify(3)`): when the services have been looked after, when something goes
//! on, and how they are. Nothing without `NOTIFY_SOCKET`.
//!
//! Tasks write on a [`Board`]; one task reads it and sends. A manager that does not read holds up that
//! task and nobody else, and hears afterwards how things are then, not all that happened in between.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{self, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::UnixDatagram;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::operate::protocol::State;

/// The most services that a status names. It has to fit into a message, of 4096 bytes.
const NAMED: usize = 10;

/// Where the tasks write how they are.
#[derive(Clone, Default)]
pub(super) struct Board(Arc<watch::Sender<Notices>>);

/// What stands on the board.
#[derive(Clone, Default)]
struct Notices {
    /// In the order of the configuration.
    services: Vec<Line>,
    /// Whether all services that are to be are on the board.
    complete: bool,
    /// How many handoffs and reloads have begun. Two that are over before anybody looks are not missed.
    begun: u64,
    /// Reloads of the configuration that go on.
    reloading: bool,
    end: End,
}

/// How far the supervisor is on its way out.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    No,
    Stopping,
    /// Nothing more will be written here.
    Over,
}

/// A service.
#[derive(Clone)]
struct Line {
    name: String,
    /// It was found, or started, or could not be.
    attended: bool,
    state: State,
    pid: Option<u32>,
}

impl Board {
    /// These are the services from now on, in this order. What is known of them stays.
    pub(super) fn list<'a>(&self, names: impl Iterator<Item = &'a str>) {
        self.0.send_modify(|notices| {
            let mut known = std::mem::take(&mut notices.services);
            notices.services = names
                .map(|name| {
                    let at = known.iter().position(|line| line.name == name);
                    at.map(|at| known.swap_remove(at)).unwrap_or(Line {
                        name: name.into(),
                        attended: false,
                        state: State::Starting,
                        pid: None,
                    })
                })
                .collect();
            notices.complete = true;
        });
    }

    /// How a service is. `attended`: it was found or started, or that has been tried in vain.
    pub(super) fn tell(&self, name: &str, attended: bool, state: State, pid: Option<u32>) {
        self.0.send_if_modified(|notices| {
            let lines = &mut notices.services;
            let Some(line) = lines.iter_mut().find(|line| line.name == name) else {
                return false;
            };
            let before = (line.attended, line.state, line.pid);
            (line.attended, line.state, line.pid) = (attended, state, pid);
            if state == State::HandingOver && before.1 != state {
                notices.begun = notices.begun.wrapping_add(1);
            }
            before != (attended, state, pid)
        });
    }

    /// The configuration is read again.
    pub(super) fn reload_begins(&self) {
        self.0.send_modify(|notices| {
            notices.reloading = true;
            notices.begun = notices.begun.wrapping_add(1);
        });
    }

    /// It is in force, or was refused.
    pub(super) fn reload_ends(&self) {
        self.0.send_modify(|notices| notices.reloading = false);
    }

    /// The supervisor is on its way out.
    pub(super) fn stopping(&self) {
        self.0.send_modify(|notices| notices.end = End::Stopping);
    }

    /// What stands here is the last.
    pub(super) fn over(&self) {
        self.0.send_modify(|notices| notices.end = End::Over);
    }

    /// Tells systemd what stands here, until that is over; at once nothing if it was not asked for.
    pub(super) async fn notify(self) {
        let Some(path) = env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
            return;
        };
        let manager = match address(&path) {
            Ok(address) => Manager { address },
            Err(error) => {
                tracing::error!(?path, %error, "NOTIFY_SOCKET names no socket; systemd is not told anything");
                return;
            }
        };
        let mut notices = self.0.subscribe();
        let mut told = Told::default();
        let mut watchdog = sd_notify::watchdog_enabled().map(|limit| {
            let half = (limit / 2).max(Duration::from_millis(1));
            let mut ticks = interval_at(Instant::now() + half, half);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        loop {
            let (messages, over) = {
                let notices = notices.borrow_and_update();
                (told.update(&notices), notices.end == End::Over)
            };
            for message in messages {
                manager.send(&message).await;
            }
            if over {
                return;
            }
            let tick = async {
                match &mut watchdog {
                    Some(ticks) => drop(ticks.tick().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The board is ours as well, so it is never gone.
                _ = notices.changed() => {}
                () = tick => manager.send(&line(&NotifyState::Watchdog)).await,
            }
        }
    }
}

/// The service manager's socket.
struct Manager {
    address: SocketAddr,
}

impl Manager {
    /// Waits for as long as its queue is full. What goes wrong is logged.
    async fn send(&self, message: &str) {
        if let Err(error) = self.try_send(message).await {
            tracing::warn!(message, %error, "systemd cannot be told");
        }
    }

    /// A socket for every message: whoever listens may be another one by now.
    async fn try_send(&self, message: &str) -> io::Result<()> {
        let socket = net::UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect_addr(&self.address)?;
        let socket = UnixDatagram::from_std(socket)?;
        socket.send(message.as_bytes()).await.map(drop)
    }
}

/// A path, or a name in the abstract namespace of Linux behind an `@`.
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = path.as_bytes().strip_prefix(b"@") {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    if path.as_bytes().starts_with(b"/") {
        return SocketAddr::from_pathname(path);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "neither an absolute path nor an abstract name",
    ))
}

/// What has been told so far.
#[derive(Default)]
struct Told {
    ready: bool,
    /// RELOADING=1 was the last word.
    busy: bool,
    begun: u64,
    stopping: bool,
    status: String,
}

impl Told {
    /// What is to be told now, in order. Until READY=1 nothing is said to be reloading, and after
    /// STOPPING=1 nothing is ready.
    fn update(&mut self, notices: &Notices) -> Vec<String> {
        let mut messages = Vec::new();
        if !notices.complete {
            return messages;
        }
        let attended = notices.services.iter().all(|line| line.attended);
        let handing_over = |line: &Line| line.state == State::HandingOver;
        let busy = notices.reloading || notices.services.iter().any(handing_over);
        let status = notices.status();
        let status = (status != self.status).then(|| {
            self.status.clone_from(&status);
            line(&NotifyState::Status(&status))
        });
        if notices.end != End::No {
            if !self.stopping {
                messages.push(line(&NotifyState::Stopping));
            }
            self.stopping = true;
        } else if !self.ready {
            self.ready = attended;
            // What began before that is part of the start.
            self.begun = notices.begun;
            if self.ready {
                messages.push(line(&NotifyState::Ready));
            }
        } else {
            if self.begun != notices.begun {
                // systemd takes no answer for a reload that is older than what it asks.
                match NotifyState::monotonic_usec_now() {
                    Ok(now) => messages.push(line(&NotifyState::Reloading) + &line(&now)),
                    Err(error) => tracing::warn!(%error, "there is no clock"),
                }
                self.begun = notices.begun;
                self.busy = true;
            }
            if self.busy && !busy {
                messages.push(line(&NotifyState::Ready));
                self.busy = false;
            }
        }
        messages.extend(status);
        messages
    }
}

fn line(state: &NotifyState<'_>) -> String {
    format!("{state}\n")
}

impl Notices {
    /// How the services are, in a line: first those that something is to be said of.
    fn status(&self) -> String {
        let mut lines: Vec<_> = self.services.iter().collect();
        let count = match lines.len() {
            1 => "1 service".into(),
            count => format!("{count} services"),
        };
        if lines.len() > NAMED {
            lines.sort_by_key(|line| line.state == State::Running);
        }
        let mut words: Vec<_> = lines.iter().take(NAMED).map(|line| line.words()).collect();
        if let Some(more @ 1..) = lines.len().checked_sub(NAMED) {
            words.push(format!("and {more} more"));
        }
        let words = words.join(", ");
        match (self.end != End::No, self.reloading) {
            (true, _) => format!("ending; {count}: {words}"),
            (_, true) => format!("reading the configuration; {count}: {words}"),
            _ => format!("{count}: {words}"),
        }
    }
}

impl Line {
    fn words(&self) -> String {
        let Self {
            name, state, pid, ..
        } = self;
        match (state, pid) {
            (State::Running, Some(pid)) => format!("{name} running pid {pid}"),
            _ => format!("{name} {}", state.words()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of the board as it stands.
    fn told(told: &mut Told, board: &Board) -> Vec<String> {
        let messages = told.update(&board.0.borrow());
        let first = |message: String| message.lines().next().map(Into::into);
        messages.into_iter().filter_map(first).collect()
    }

    fn two() -> (Board, Told) {
        let board = Board::default();
        board.list(["kv", "web"].into_iter());
        (board, Told::default())
    }

    #[test]
    fn ready_is_when_every_service_has_been_looked_after() {
        let (board, mut so_far) = (Board::default(), Told::default());
        assert!(told(&mut so_far, &board).is_empty());
        board.list(["kv", "web"].into_iter());
        let status = "STATUS=2 services: kv starting, web starting";
        assert_eq!(told(&mut so_far, &board), [status]);
        board.tell("kv", true, State::Running, Some(12));
        let status = "STATUS=2 services: kv running pid 12, web starting";
        assert_eq!(told(&mut so_far, &board), [status]);
        // A handoff before that is part of the start.
        board.tell("kv", true, State::HandingOver, Some(12));
        board.tell("kv", true, State::Running, Some(13));
        board.tell("web", true, State::Down, None);
        let status = "STATUS=2 services: kv running pid 13, web down";
        assert_eq!(told(&mut so_far, &board), ["READY=1", status]);
        assert!(told(&mut so_far, &board).is_empty());
    }

    #[test]
    fn handoffs_and_reloads_are_nested() {
        let (board, mut so_far) = two();
        for name in ["kv", "web"] {
            board.tell(name, true, State::Running, Some(1));
        }
        assert_eq!(told(&mut so_far, &board)[0], "READY=1");

        board.tell("kv", true, State::HandingOver, Some(1));
        let status = "STATUS=2 services: kv handing over, web running pid 1";
        assert_eq!(told(&mut so_far, &board), ["RELOADING=1", status]);
        // What systemd asks for must be confirmed anew, whatever goes on.
        board.reload_begins();
        assert_eq!(told(&mut so_far, &board)[0], "RELOADING=1");
        board.tell("kv", true, State::Running, Some(2));
        let status =
            "STATUS=reading the configuration; 2 services: kv running pid 2, web running pid 1";
        assert_eq!(told(&mut so_far, &board), [status]);
        board.reload_ends();
        assert_eq!(told(&mut so_far, &board)[0], "READY=1");

        // One that is over before anybody looks.
        board.reload_begins();
        board.reload_ends();
        assert_eq!(told(&mut so_far, &board), ["RELOADING=1", "READY=1"]);

        board.tell("web", true, State::HandingOver, Some(1));
        assert_eq!(told(&mut so_far, &board)[0], "RELOADING=1");
        board.stopping();
        let status = "STATUS=ending; 2 services: kv running pid 2, web handing over";
        assert_eq!(told(&mut so_far, &board), ["STOPPING=1", status]);
        board.tell("web", true, State::Running, Some(1));
        assert_eq!(told(&mut so_far, &board).len(), 1);
    }

    #[test]
    fn a_reload_says_how_late_it_is() {
        let (board, mut so_far) = two();
        board.list(std::iter::empty());
        so_far.update(&board.0.borrow());
        board.reload_begins();
        let messages = so_far.update(&board.0.borrow());
        let usec = messages[0].strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(usec.unwrap().trim().parse::<u64>().unwrap() > 0);
    }

    #[test]
    fn a_status_names_those_that_are_not_well_and_fits_into_a_message() {
        let board = Board::default();
        let names: Vec<_> = (0..100).map(|at| format!("{at:064}")).collect();
        board.list(names.iter().map(String::as_str));
        for name in &names[..99] {
            board.tell(name, true, State::Running, Some(u32::MAX));
        }
        let status = board.0.borrow().status();
        assert!(status.len() < 2048, "{}", status.len());
        let first = format!("100 services: {} starting", names[99]);
        assert!(status.starts_with(&first), "{status}");
        assert!(status.ends_with("and 90 more"), "{status}");
    }

    #[test]
    fn addresses() {
        assert!(address("/run/systemd/notify".as_ref()).is_ok());
        assert!(address("relative".as_ref()).is_err());
        assert!(address("vsock:2:1".as_ref()).is_err());
        let abstract_name = address("@name".as_ref()).unwrap();
        assert!(abstract_name.as_pathname().is_none());
    }
}

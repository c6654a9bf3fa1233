//! The measured daemon's one thread that serves clients: it accepts, makes what has arrived durable in
//! one flush, and acknowledges. The same for every contender, and started before it is needed.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};

use super::span::{Record, Span, locked};
use super::store::{PAIR, Store, decode};

/// A client that sends this key wants the daemon to end.
pub(super) const QUIT: u64 = u64::MAX;

enum Order {
    Serve(Store, TcpListener),
    /// Answer what has arrived, close every connection, and hand both back.
    Stop(Sender<(Store, TcpListener)>),
}

/// The thread, as the rest of the daemon sees it.
pub(super) struct Server {
    orders: Sender<Order>,
    bell: UnixStream,
}

impl Server {
    /// Starts the thread. It serves nothing yet.
    pub(super) fn start(record: Arc<Mutex<Record>>) -> io::Result<Self> {
        let (bell, rings) = UnixStream::pair()?;
        let (orders, received) = channel();
        thread::Builder::new()
            .name("server".into())
            .spawn(move || {
                locked(&record).server = rustix::thread::gettid().as_raw_nonzero().get();
                while let Ok(order) = received.recv() {
                    if let Order::Serve(store, listener) = order {
                        let mut service = Service {
                            store,
                            listener,
                            clients: Vec::new(),
                            record: Arc::clone(&record),
                        };
                        match service.run(&received, &rings) {
                            Ok(done) => drop(done.send((service.store, service.listener))),
                            Err(error) => {
                                eprintln!("the server has failed: {error:#}");
                                process::exit(1);
                            }
                        }
                    }
                }
            })?;
        Ok(Self { orders, bell })
    }

    /// Serves from now on.
    pub(super) fn serve(&self, store: Store, listener: TcpListener) -> anyhow::Result<()> {
        let order = Order::Serve(store, listener);
        self.orders.send(order).ok().context("no server thread")
    }

    /// Serves no longer. What is acknowledged is durable; nothing is in flight any more.
    pub(super) fn stop(&self) -> anyhow::Result<(Store, TcpListener)> {
        let (done, stopped) = channel();
        self.orders
            .send(Order::Stop(done))
            .ok()
            .context("no server thread")?;
        (&self.bell).write_all(&[1])?;
        Ok(stopped.recv()?)
    }
}

struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

struct Service {
    store: Store,
    listener: TcpListener,
    clients: Vec<Client>,
    record: Arc<Mutex<Record>>,
}

impl Service {
    /// Serves until it is to stop; returns who waits for that.
    fn run(
        &mut self,
        orders: &Receiver<Order>,
        mut rings: &UnixStream,
    ) -> anyhow::Result<Sender<(Store, TcpListener)>> {
        loop {
            let (told, arrived, ready) = self.wait(rings)?;
            let done = if told {
                rings.read_exact(&mut [0])?;
                match orders.recv()? {
                    Order::Stop(done) => Some(done),
                    Order::Serve(..) => anyhow::bail!("told to serve twice"),
                }
            } else {
                None
            };
            let everybody = 0..self.clients.len();
            let readable = if told { everybody.collect() } else { ready };
            self.answer(&readable)?;
            if let Some(done) = done {
                self.clients.clear();
                return Ok(done);
            }
            if arrived {
                self.accept()?;
            }
        }
    }

    /// Whether there is an order, whether somebody wants in, and who has sent something.
    fn wait(&self, rings: &UnixStream) -> io::Result<(bool, bool, Vec<usize>)> {
        let all = [rings.as_fd(), self.listener.as_fd()]
            .into_iter()
            .chain(self.clients.iter().map(|client| client.stream.as_fd()));
        let mut polled: Vec<_> = all
            .map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN))
            .collect();
        poll(&mut polled, None)?;
        let mut ready = polled.iter().map(|polled| !polled.revents().is_empty());
        let (told, arrived) = (ready.next() == Some(true), ready.next() == Some(true));
        let readable = ready.enumerate().filter(|(_, ready)| *ready);
        Ok((told, arrived, readable.map(|(at, _)| at).collect()))
    }

    /// Once for each time that it was announced: version 1 makes a listener blocking that others still use.
    fn accept(&mut self) -> io::Result<()> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::ConnectionAborted
                ) =>
            {
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        self.clients.push(Client {
            stream,
            received: Vec::new(),
        });
        Ok(())
    }

    /// Reads these clients, makes their writes durable and acknowledges them.
    fn answer(&mut self, readable: &[usize]) -> anyhow::Result<()> {
        let (mut pairs, mut writers, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for &at in readable {
            let Some(client) = self.clients.get_mut(at) else {
                continue;
            };
            let mut chunk = [0; 16 * PAIR];
            match client.stream.read(&mut chunk) {
                Ok(0) => gone.push(at),
                Ok(count) => client
                    .received
                    .extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => gone.push(at),
            }
            let (whole, _) = client.received.as_chunks();
            let sent = whole.len();
            pairs.extend(whole.iter().map(decode));
            client.received.drain(..sent * PAIR);
            writers.extend(std::iter::repeat_n(at, sent));
        }
        if pairs.iter().any(|(key, _)| *key == QUIT) {
            locked(&self.record).write()?;
            process::exit(0);
        }
        if !pairs.is_empty() {
            let written = Span::of(|| self.store.write(&pairs))?;
            locked(&self.record).first_write.get_or_insert(written.0);
        }
        for at in writers {
            if let Some(client) = self.clients.get_mut(at)
                && client
                    .stream
                    .write_all(&process::id().to_be_bytes())
                    .is_err()
            {
                gone.push(at);
            }
        }
        gone.sort_unstable();
        gone.dedup();
        for at in gone.into_iter().rev() {
            self.clients.swap_remove(at);
        }
        Ok(())
    }
}

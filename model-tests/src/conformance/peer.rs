//! One end of a session in the hands of the kit.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use handoff_core::wire::{FrameReader, HEADER_LEN, HandoffId, Hello, MAX_FRAME_LEN, Message};
use handoff_core::wire::{Side, StatusPhase, VersionRange, decode, encode};
use handoff_std::host::descriptors::{self, Wanted};

use super::log::{Log, PATIENCE, Stopped, readable};
use super::trace::words;

/// How long the kit waits between two bytes when it is to be slow.
const BETWEEN_BYTES: Duration = Duration::from_micros(100);

/// A session between the subject and a role that the kit plays.
pub struct Peer {
    us: &'static str,
    them: &'static str,
    /// The process that the kit speaks for, and the one at the other end.
    pid: u32,
    their_pid: u32,
    version: u16,
    socket: UnixStream,
    slow: bool,
    reader: FrameReader,
    room: Vec<u8>,
    /// Bytes that were read and not taken yet.
    rest: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    pub(super) log: Log,
}

impl Peer {
    pub(super) fn new(
        us: &'static str,
        them: &'static str,
        pids: (u32, u32),
        socket: UnixStream,
        log: Log,
    ) -> Result<Self, Stopped> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            us,
            them,
            pid: pids.0,
            their_pid: pids.1,
            version: 1,
            socket,
            slow: false,
            reader: FrameReader::new(),
            room: vec![0; MAX_FRAME_LEN + HEADER_LEN],
            rest: Vec::new(),
            descriptors: Vec::new(),
            log,
        })
    }

    /// Write one byte at a time from now on.
    pub fn slowly(&mut self) {
        self.slow = true;
    }

    /// Write all at once again.
    pub fn at_once(&mut self) {
        self.slow = false;
    }

    /// Say something.
    ///
    /// # Errors
    /// The subject does not take it.
    pub fn says(&mut self, message: &Message<'_>) -> Result<(), Stopped> {
        self.say(&[*message])
    }

    /// Say all of this in one write.
    ///
    /// # Errors
    /// The subject does not take it.
    pub fn say(&mut self, messages: &[Message<'_>]) -> Result<(), Stopped> {
        let mut bytes = Vec::new();
        for message in messages {
            let mut room = vec![0; 4096];
            let len = encode(self.version, message, &mut room).map_err(|e| e.to_string())?;
            bytes.extend(room.drain(..len));
            if let Message::HelloAck { version, id } = *message {
                self.version = version;
                self.log.names(id);
            }
            let words = words(message, self.log.id(), self.pid);
            self.log
                .line(format_args!("{} -> {}  {words}", self.us, self.them));
        }
        self.write(&bytes)
    }

    /// Say this with a descriptor that nobody asked for, and see the session closed, and the descriptor as well.
    ///
    /// # Errors
    /// The subject takes it, or keeps it open.
    pub fn smuggles(&mut self, message: &Message<'_>) -> Result<(), Stopped> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut room = vec![0; 4096];
        let len = encode(self.version, message, &mut room).map_err(|e| e.to_string())?;
        let bytes = room.get(..len).unwrap_or_default();
        descriptors::send(&self.socket, bytes, &[theirs.as_fd()])?;
        drop(theirs);
        let words = words(message, self.log.id(), self.pid);
        self.log.line(format_args!(
            "{} -> {}  {words}, and a descriptor",
            self.us, self.them
        ));
        self.closes()?;
        let closed = readable(ours.as_fd(), Instant::now() + PATIENCE);
        let how = if closed { "closed" } else { "kept open" };
        self.log
            .line(format_args!("{} has     its descriptor {how}", self.them));
        Ok(())
    }

    /// Say this so many times, before any of the answers is read; and hear the same answer as often.
    ///
    /// # Errors
    /// The subject does not take them, or does not answer each in the same way.
    pub fn floods(&mut self, message: &Message<'_>, count: usize) -> Result<(), Stopped> {
        let mut room = [0; 256];
        let len = encode(self.version, message, &mut room).map_err(|e| e.to_string())?;
        let said = words(message, self.log.id(), self.pid);
        let (us, them) = (self.us, self.them);
        self.log
            .line(format_args!("{us} -> {them}  {said}, {count} times"));
        self.write(&room.get(..len).unwrap_or_default().repeat(count))?;
        let (log, answers) = (self.log.clone(), Log::default());
        self.log = answers.clone();
        let heard = (0..count).try_for_each(|_| self.hears());
        self.log = log;
        heard?;
        let mut lines = answers.take();
        lines.dedup();
        for line in lines {
            self.log.line(format_args!("{line}, {count} times"));
        }
        Ok(())
    }

    /// Write bytes that are no message.
    ///
    /// # Errors
    /// The subject does not take them.
    pub fn babbles(&mut self, what: &str, bytes: &[u8]) -> Result<(), Stopped> {
        self.log
            .line(format_args!("{} -> {}  ({what})", self.us, self.them));
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        let step = if self.slow { 1 } else { bytes.len().max(1) };
        self.socket.set_nonblocking(false)?;
        self.socket.set_write_timeout(Some(PATIENCE))?;
        for part in bytes.chunks(step) {
            self.socket.write_all(part)?;
            if self.slow {
                std::thread::sleep(BETWEEN_BYTES);
            }
        }
        Ok(self.socket.set_nonblocking(true)?)
    }

    /// Say Hello, as the incumbent or the successor.
    ///
    /// # Errors
    /// The subject does not take it.
    pub fn hello(&mut self, side: Side, versions: VersionRange) -> Result<(), Stopped> {
        let pid = self.pid;
        self.says(&Message::Hello(Hello {
            side,
            pid,
            build_id: b"kit",
            versions,
            capabilities: 0,
        }))
    }

    /// Hear the subject's Hello, and answer it.
    ///
    /// # Errors
    /// Something else came, or nothing.
    pub fn greets(&mut self, version: u16, id: HandoffId) -> Result<(), Stopped> {
        self.hears()?;
        self.says(&Message::HelloAck { version, id })
    }

    /// Hear one message that is not a heartbeat.
    ///
    /// # Errors
    /// Nothing comes.
    pub fn hears(&mut self) -> Result<(), Stopped> {
        if self.hear(false)? {
            return Ok(());
        }
        self.log
            .line(format_args!("{} <- {}  (closed)", self.us, self.them));
        Err(Stopped::default())
    }

    /// Hear a heartbeat, or another message.
    ///
    /// # Errors
    /// Nothing comes.
    pub fn hears_heartbeat(&mut self) -> Result<(), Stopped> {
        self.hear(true).map(drop)
    }

    /// Hear whatever comes until the subject has closed the session.
    ///
    /// # Errors
    /// It does not.
    pub fn closes(&mut self) -> Result<(), Stopped> {
        while self.hear(false)? {}
        self.log
            .line(format_args!("{} <- {}  (closed)", self.us, self.them));
        Ok(())
    }

    /// Leave without a word.
    pub fn goes(self) {
        self.log
            .line(format_args!("{} -> {}  (closed)", self.us, self.them));
    }

    /// Leave without a word, and wait until that is noticed: the session is closed at the other end, too.
    ///
    /// # Errors
    /// It is not noticed.
    pub fn is_missed(mut self) -> Result<(), Stopped> {
        self.log
            .line(format_args!("{} -> {}  (closed)", self.us, self.them));
        self.socket.shutdown(Shutdown::Write)?;
        while self.hear(false)? {}
        Ok(())
    }

    /// Greet, and ask how the daemon is.
    pub(super) fn asks_status(&mut self) -> Result<StatusPhase, Stopped> {
        self.greets(2, HandoffId::from_random([0; 16]))?;
        self.says(&Message::StatusRequest)?;
        self.hears()?;
        let frame = self.reader.frame(&self.room).ok_or("no frame")?;
        match decode(2, frame.payload) {
            Ok(Message::Status { phase, .. }) => {
                StatusPhase::from_number(phase).ok_or_else(|| "an unknown phase".into())
            }
            _ => Err("not a status".into()),
        }
    }

    /// How many descriptors have come and are open listeners.
    pub fn listeners(&mut self) {
        let listen = |fd: &OwnedFd| rustix::net::sockopt::socket_acceptconn(fd).unwrap_or(false);
        let all = self.descriptors.len();
        let good = self.descriptors.drain(..).filter(listen).count();
        self.log
            .line(format_args!("{} has     {good} of {all} listen", self.us));
    }

    /// Returns false at the end of the session.
    fn hear(&mut self, heartbeats: bool) -> Result<bool, Stopped> {
        let until = Instant::now() + PATIENCE;
        // What was heard last has been looked at.
        if self.reader.frame(&self.room).is_some() {
            self.reader.clear();
        }
        loop {
            let pushed = self
                .reader
                .push(&mut self.room, &self.rest)
                .map_err(|e| e.to_string())?;
            self.rest.drain(..pushed.consumed);
            if pushed.complete {
                let frame = self.reader.frame(&self.room).ok_or("no frame")?;
                let message = decode(self.version, frame.payload).map_err(|e| e.to_string())?;
                if let Message::HelloAck { version, id } = message {
                    self.version = version;
                    self.log.names(id);
                }
                let alive = matches!(message, Message::Heartbeat { .. });
                if !alive || heartbeats {
                    let words = words(&message, self.log.id(), self.their_pid);
                    self.log
                        .line(format_args!("{} <- {}  {words}", self.us, self.them));
                }
                if !alive || heartbeats {
                    return Ok(true);
                }
                self.reader.clear();
                continue;
            }
            if !readable(self.socket.as_fd(), until) {
                return Err(format!("{} hears nothing from {}", self.us, self.them).into());
            }
            let mut room = [0; 4096];
            match descriptors::receive(&self.socket, &mut room, Wanted::Yes) {
                Ok(got) if got.count == 0 => return Ok(false),
                Ok(got) => {
                    self.rest.extend(room.get(..got.count).unwrap_or_default());
                    self.descriptors.extend(got.descriptors);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(false),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

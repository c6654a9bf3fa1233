//! A daemon that is as small as one can be and still has all of it: a listener, a lock, data, hooks.
//!
//! Whoever connects is told its pid and how often it has been asked, as [`Answer`]; the count is its data.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use anyhow::Context;
use clap::Args;
use handoff_std::{
    DataDirLock, DrainReport, Drainable, HookContext, HookError, Incumbent, Readiness, Role,
    SealReport, SuccessorSetup, detect_role,
};
use rustix::event::{PollFd, PollFlags, poll};

/// The name of its listener.
pub(super) const LISTENER: &str = "door";

/// Where a service has what.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The control socket.
    control: PathBuf,
    /// The data directory.
    data: PathBuf,
}

/// Is such a service until it is handed over or told to end.
///
/// # Errors
/// What kept it from being one.
pub fn serve(place: &Place) -> anyhow::Result<()> {
    let Place { control, data } = place;
    let role = detect_role()?;
    let count = Arc::new(Count::new(data));
    let (incumbent, door) = match role {
        Role::ColdStart(mut listeners) => {
            let incumbent = Incumbent::bind(control, DataDirLock::acquire(data)?)?;
            count.open()?;
            (incumbent, listeners.take_unix(LISTENER)?)
        }
        Role::Successor(successor) => {
            let warming = successor.handshake(SuccessorSetup::new(control, data))?;
            let mut begun = warming.stand_by()?.wait_for_begin()?;
            count.open()?;
            let door = begun.take_unix(LISTENER)?;
            (begun.announce(Readiness::healthy())?, door)
        }
    };
    let door = door.context("no listener was inherited")?;
    // The other process waits in accept as well, and only one of the two gets the client.
    door.set_nonblocking(true)?;
    let answering = Arc::clone(&count);
    thread::spawn(move || {
        let Err(error) = answering.answer(&door);
        // Nobody would notice a service that is deaf.
        eprintln!("a service cannot accept: {error}");
        std::process::exit(1);
    });
    incumbent.serve(count)?;
    Ok(())
}

/// How often it was asked; `None` while another process may be the writer.
struct Count {
    file: PathBuf,
    now: Mutex<Option<u64>>,
    opened: Condvar,
}

impl Count {
    fn new(data: &Path) -> Self {
        Self {
            file: data.join("count"),
            now: Mutex::default(),
            opened: Condvar::new(),
        }
    }

    fn open(&self) -> io::Result<()> {
        let count = match fs::read_to_string(&self.file) {
            Ok(text) => text.trim().parse().map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        *self.lock() = Some(count);
        self.opened.notify_all();
        Ok(())
    }

    /// Answers whoever comes, for ever.
    fn answer(&self, door: &UnixListener) -> io::Result<std::convert::Infallible> {
        loop {
            match poll(&mut [PollFd::new(door, PollFlags::IN)], None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let mut now = self.lock();
            // Clients wait in the kernel's queue meanwhile.
            while now.is_none() {
                now = self
                    .opened
                    .wait(now)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            while let Some(count) = now.as_mut() {
                match door.accept() {
                    Ok((mut client, _)) => {
                        *count += 1;
                        let answer = Answer {
                            pid: std::process::id(),
                            count: *count,
                        };
                        // One that has left misses it.
                        let _ = answer.write(&mut client);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<u64>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drainable for Count {
    /// From here on nobody is answered.
    fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        let mut now = self.lock();
        if let Some(count) = *now {
            fs::write(&self.file, count.to_string())?;
            *now = None;
        }
        Ok(DrainReport::CLEAN)
    }

    fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        Ok(SealReport::default())
    }

    fn resume(&self) -> Result<(), HookError> {
        Ok(self.open()?)
    }
}

/// What a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// Who answers.
    pub(super) pid: u32,
    /// The answers so far, of all that have served, with this one.
    pub(super) count: u64,
}

impl Answer {
    fn write(self, to: &mut UnixStream) -> io::Result<()> {
        let mut bytes = [0; 12];
        let (pid, count) = bytes.split_at_mut(4);
        pid.copy_from_slice(&self.pid.to_le_bytes());
        count.copy_from_slice(&self.count.to_le_bytes());
        to.write_all(&bytes)
    }

    /// Asks the service that listens there, and waits for its answer.
    ///
    /// # Errors
    /// It refused, or hung up.
    pub(super) fn of(door: &Path) -> io::Result<Self> {
        let mut stream = UnixStream::connect(door)?;
        let (mut pid, mut count) = ([0; 4], [0; 8]);
        stream.read_exact(&mut pid)?;
        stream.read_exact(&mut count)?;
        Ok(Self {
            pid: u32::from_le_bytes(pid),
            count: u64::from_le_bytes(count),
        })
    }
}

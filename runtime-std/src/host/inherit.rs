//! What a process finds when it is born: the environment convention of protocol, section 3.
//!
//! `LISTEN_FDS` and `LISTEN_FDNAMES` name the listeners at descriptor 3 and up, as systemd does it;
//! `HANDOFF_ROLE` and `HANDOFF_SOCK_FD` make the process a successor. [`Inherited::from_env`] takes
//! all of it, once; [`super::spawn`] is the other end.
//!
//! `O_NONBLOCK` is touched nowhere here: it belongs to the open file, which a successor shares with
//! an incumbent that is still accepting on it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketType};

use super::listen::is_listening;

pub(super) mod variables;

use variables::{HANDOFF_SOCK_FD, LISTEN_FDS, Variables};

/// The first inherited descriptor.
pub(super) const FIRST_FD: RawFd = 3;

/// The most listeners that one process can be given: as many as fit into one message of descriptors
/// (`SCM_MAX_FD`), so that they can be handed back the same way.
pub const MAX_LISTENERS: usize = handoff_core::Handles::MAX as usize;

/// Why the inheritance was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InheritError {
    /// A variable does not say what it should.
    #[error(
        "{variable} is {value:?}, expected {expected}; whoever starts this process sets it wrongly"
    )]
    Malformed {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: OsString,
        /// What it should say.
        expected: &'static str,
    },
    /// A variable is missing that another one makes necessary.
    #[error("{variable} is not set, but {because} is; set both or neither")]
    Missing {
        /// The missing variable.
        variable: &'static str,
        /// The one that is set.
        because: &'static str,
    },
    /// A descriptor is not what a variable says it is.
    #[error("{variable} names descriptor {fd}, which {problem}")]
    BadDescriptor {
        /// The variable.
        variable: &'static str,
        /// The descriptor.
        fd: RawFd,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A listener cannot be kept for a supervisor that comes back.
    #[error("the listener `{name}` cannot be duplicated: {source}; raise the limit of open files")]
    NotKept {
        /// The listener's name.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A listener was asked for as something that it is not. It stays where it is.
    #[error("the inherited listener `{name}` is {found}, not {wanted}")]
    WrongKind {
        /// The listener's name.
        name: String,
        /// What was asked for.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
}

/// A listener that is kept for a supervisor that comes back, whether the daemon uses it or not.
#[derive(Debug, Clone)]
pub struct KeptListener {
    /// Its name.
    pub name: String,
    /// A descriptor of our own.
    pub fd: Arc<OwnedFd>,
}

static KEPT: OnceLock<Vec<KeptListener>> = OnceLock::new();

/// A duplicate of every listener that this process inherited by [`Inherited::from_env`], in order. A supervisor that was
/// restarted asks for them (protocol, section 13).
pub fn kept_listeners() -> &'static [KeptListener] {
    KEPT.get().map(Vec::as_slice).unwrap_or_default()
}

/// All that a process was given at its birth.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The listeners, possibly none.
    pub listeners: InheritedListeners,
    /// The channel to the supervisor, if this process is a successor.
    pub successor_channel: Option<UnixStream>,
}

impl Inherited {
    /// Take what the environment of this process names, make it close-on-exec, and remove the
    /// variables, so that neither a second look nor a child sees them. A second call gives nothing.
    ///
    /// A `LISTEN_PID` that is not ours means that all of it is meant for another process: it is
    /// ignored, and removed too.
    ///
    /// Call it first thing in `main`. Removing a variable is safe among Rust threads, but not beside
    /// a thread that reads the environment through C.
    ///
    /// # Errors
    /// [`InheritError`], naming the variable or the descriptor. Such a process should not go on: it
    /// would listen on other addresses than its supervisor thinks.
    pub fn from_env() -> Result<Self, InheritError> {
        let inherited = Self::without_duplicates()?;
        let kept = inherited.listeners.waiting.iter().map(KeptListener::of);
        let kept = kept.collect::<Result<_, _>>()?;
        KEPT.get_or_init(|| kept);
        Ok(inherited)
    }

    /// The same for a supervisor: nobody asks it for [`kept_listeners`], so there are none, and a
    /// listener that it drops is closed.
    ///
    /// # Errors
    /// As of [`from_env`](Self::from_env).
    pub fn without_duplicates() -> Result<Self, InheritError> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let variables = Variables::take();
        // Even if somebody sets the variables anew: a descriptor has one owner.
        if TAKEN.swap(true, Ordering::AcqRel) {
            return Ok(Self::default());
        }
        let plan = variables.parse(std::process::id())?;
        let mut listeners = InheritedListeners::default();
        for (fd, name) in (FIRST_FD..).zip(plan.names) {
            listeners.waiting.push_back((name, adopt(fd, LISTEN_FDS)?));
        }
        Ok(Self {
            listeners,
            successor_channel: plan.channel.map(adopt_channel).transpose()?,
        })
    }
}

/// The listeners that nobody has taken yet, in the order they were given. Dropping this closes them.
#[derive(Debug, Default)]
pub struct InheritedListeners {
    waiting: VecDeque<(String, OwnedFd)>,
}

impl KeptListener {
    fn of((name, fd): &(String, OwnedFd)) -> Result<Self, InheritError> {
        let fd = fd.try_clone().map_err(|source| InheritError::NotKept {
            name: name.clone(),
            source,
        })?;
        Ok(Self {
            name: name.clone(),
            fd: Arc::new(fd),
        })
    }
}

impl InheritedListeners {
    /// Take the TCP listener of this name. Several may share a name (systemd names them after their
    /// unit): they are given out in order. `None` when no listener has the name, or no longer.
    ///
    /// # Errors
    /// [`InheritError::WrongKind`] if only others have the name; they stay.
    pub fn take_tcp(&mut self, name: &str) -> Result<Option<TcpListener>, InheritError> {
        Ok(self.take(name, Kind::Tcp)?.map(TcpListener::from))
    }

    /// Take the Unix stream listener of this name; otherwise as [`take_tcp`](Self::take_tcp).
    ///
    /// # Errors
    /// [`InheritError::WrongKind`] if only others have the name; they stay.
    pub fn take_unix(&mut self, name: &str) -> Result<Option<UnixListener>, InheritError> {
        Ok(self.take(name, Kind::Unix)?.map(UnixListener::from))
    }

    /// The names of those not taken yet, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(|(name, _)| name.as_str())
    }

    fn take(&mut self, name: &str, wanted: Kind) -> Result<Option<OwnedFd>, InheritError> {
        let mut others = None;
        for (index, (_, fd)) in self
            .waiting
            .iter()
            .enumerate()
            .filter(|(_, (named, _))| named == name)
        {
            let found = Kind::of(fd);
            if found == wanted {
                return Ok(self.waiting.remove(index).map(|(_, fd)| fd));
            }
            others.get_or_insert(found);
        }
        match others {
            None => Ok(None),
            Some(found) => Err(InheritError::WrongKind {
                name: name.into(),
                wanted: wanted.text(),
                found: found.text(),
            }),
        }
    }
}

/// What a socket can be to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Unix,
    NotListening,
    Other,
}

impl Kind {
    fn of(fd: &OwnedFd) -> Self {
        let family = rustix::net::getsockname(fd).map(|address| address.address_family());
        if rustix::net::sockopt::socket_type(fd) != Ok(SocketType::STREAM) {
            return Self::Other;
        }
        if !is_listening(fd) {
            return Self::NotListening;
        }
        match family {
            Ok(AddressFamily::INET | AddressFamily::INET6) => Self::Tcp,
            Ok(AddressFamily::UNIX) => Self::Unix,
            _ => Self::Other,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Tcp => "a TCP listener",
            Self::Unix => "a Unix stream listener",
            Self::NotListening => "a stream socket that does not listen",
            Self::Other => "a socket of another kind",
        }
    }
}

fn adopt_channel(fd: RawFd) -> Result<UnixStream, InheritError> {
    let channel = adopt(fd, HANDOFF_SOCK_FD)?;
    let family = rustix::net::getsockname(&channel).map(|address| address.address_family());
    let is_stream = rustix::net::sockopt::socket_type(&channel) == Ok(SocketType::STREAM);
    if is_stream && family == Ok(AddressFamily::UNIX) && rustix::net::getpeername(&channel).is_ok()
    {
        return Ok(channel.into());
    }
    Err(InheritError::BadDescriptor {
        variable: HANDOFF_SOCK_FD,
        fd,
        problem: "is not a connected Unix stream socket",
    })
}

/// Take ownership of an inherited socket, and make it close-on-exec.
#[allow(unsafe_code)]
fn adopt(fd: RawFd, variable: &'static str) -> Result<OwnedFd, InheritError> {
    let bad = |problem| InheritError::BadDescriptor {
        variable,
        fd,
        problem,
    };
    // SAFETY: used for two harmless questions only, which the system answers for a closed number with
    // an error; and the number is not -1, since it is at least `FIRST_FD`.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    match rustix::io::fcntl_getfd(borrowed) {
        // No descriptor that came through exec has the flag, and all that Rust opens have it.
        Ok(flags) if flags.contains(FdFlags::CLOEXEC) => {
            return Err(bad(
                "was not inherited: this process opened it itself, or adopted it already",
            ));
        }
        Ok(_) => {}
        Err(_) => return Err(bad("is not open")),
    }
    match rustix::net::sockopt::socket_type(borrowed) {
        Ok(_) => {}
        Err(Errno::NOTSOCK) => return Err(bad("is not a socket")),
        Err(_) => return Err(bad("is a socket that cannot be looked at")),
    }
    // SAFETY: it is open, it came through exec and nobody in this process knows of it but by the
    // variables, which are looked at once per process and name every number once.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    rustix::io::fcntl_setfd(owned.as_fd(), FdFlags::CLOEXEC)
        .map_err(|_| bad("cannot be made close-on-exec"))?;
    Ok(owned)
}

//! Inherited listeners on the runtime.

use std::io;
use std::os::fd::AsFd;

use tokio::net::{TcpListener, UnixListener};

/// Accept from an inherited TCP listener on this runtime. Makes it non-blocking.
///
/// In a successor not before Begin: until then the incumbent accepts from it as well, and the flag is
/// shared (protocol, section 3).
///
/// # Errors
/// The system's.
pub fn tcp_listener(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    nonblocking(&listener)?;
    TcpListener::from_std(listener)
}

/// Accept from an inherited Unix listener on this runtime; otherwise as [`tcp_listener`].
///
/// # Errors
/// The system's.
pub fn unix_listener(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
    nonblocking(&listener)?;
    UnixListener::from_std(listener)
}

/// Make a listener non-blocking again, as this runtime needs it. For
/// [`Drainable::resume`](crate::Drainable::resume): a successor that did not stay may have changed the
/// flag, which it shared.
///
/// # Errors
/// The system's.
pub fn nonblocking(listener: &impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(listener, true)?)
}
